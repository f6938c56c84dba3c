// Break it: what is done to the picture before the network gets it, and to the network.

const SLIDERS = {
  noise: { low: 0, high: 1, step: 0.05, unit: (value) => written(value) },
  right: { low: -12, high: 12, step: 1, unit: (value) => say("pixels", { value: written(value, 0) }) },
  down: { low: -12, high: 12, step: 1, unit: (value) => say("pixels", { value: written(value, 0) }) },
  turn: { low: -180, high: 180, step: 5, unit: (value) => say("degrees", { value: written(value, 0) }) },
};

class Damage {
  constructor(app) {
    this.app = app;
    this.amounts = Object.fromEntries(Object.keys(SLIDERS).map((name) => [name, 0]));
    this.rows = Object.keys(SLIDERS).map((name) => this.#slider(name));
    this.layer = element("select", { id: "filterLayer" });
    this.filter = element("input", { id: "filterNumber", type: "number", min: 1, value: 1 });
    this.button = element("button", { type: "button" });
    this.list = element("p", { className: "hint", role: "status" });
    this.reset = element("button", { type: "button", className: "quiet" });
    this.words = { layer: element("label", { for: "filterLayer" }), filter: element("label", { for: "filterNumber" }) };
    this.layers = app.network.layers.filter((layer) => layer.filters);
    for (const { number, name } of this.layers) this.layer.append(element("option", { value: number }, name));
    const filters = element("div", { className: "row", hidden: !this.layers.length });
    filters.append(element("span", {}, this.words.layer, this.layer), element("span", {}, this.words.filter, this.filter), this.button);
    byId("damage").append(...this.rows.map((row) => row.element), filters, this.list, this.reset);
    this.#listen();
  }

  #slider(name) {
    const { low, high, step } = SLIDERS[name];
    const label = element("label", { for: name });
    const input = element("input", { id: name, type: "range", min: low, max: high, step, value: 0 });
    const output = element("output", { for: name });
    input.oninput = () => {
      this.amounts[name] = Number(input.value);
      this.label();
      this.app.changed();
    };
    input.onchange = () => this.app.settled();
    return { name, label, input, output, element: element("div", { className: "slider" }, label, input, output) };
  }

  #listen() {
    this.layer.onchange = this.filter.oninput = () => this.label();
    this.button.onclick = () => this.app.toggleFilter(...this.chosen);
    this.reset.onclick = () => {
      for (const { name, input } of this.rows) this.amounts[name] = Number((input.value = 0));
      this.app.network.off.clear();
      this.label();
      this.app.changed();
      this.app.settled();
    };
  }

  /** [layer, number of its filter] that the controls name. */
  get chosen() {
    const layer = this.app.network.layers[Number(this.layer.value)];
    return [layer, clip(Math.round(Number(this.filter.value)) || 1, 1, layer.filters) - 1];
  }

  label() {
    const { network } = this.app;
    for (const { name, label, input, output } of this.rows) {
      label.textContent = say(name);
      output.textContent = SLIDERS[name].unit(this.amounts[name]);
      input.setAttribute("aria-valuetext", output.textContent);
    }
    this.words.layer.textContent = say("filterLayer");
    this.words.filter.textContent = say("filterNumber");
    this.reset.textContent = say("reset");
    if (this.layers.length) {
      const [layer, filter] = this.chosen;
      this.filter.max = layer.filters;
      this.button.textContent = say(network.isOff(layer, filter) ? "filterOn" : "filterOff");
    }
    const names = [...network.off].flatMap(([number, filters]) => {
      return [...filters].map((filter) => `${network.layers[number].name} ${filter + 1}`);
    });
    this.list.textContent = names.length ? say("filtersOff", { list: names.join(", ") }) : say("noneOff");
    this.list.hidden = !this.layers.length;
  }
}
