// The decision: an output's numbers as bars, one for each class.

const MOST_BARS = 12;

/** The numbers of an output as bars, one for each class; of many, the largest. */
class Bars {
  constructor(app, output) {
    Object.assign(this, { app, output });
    const [count] = app.network.shapes[output.value];
    const last = app.network.writer(output.value);
    this.isShare = last?.op === "softmax" && !last.log;
    this.rows = Array.from({ length: Math.min(count, MOST_BARS) }, () => {
      const [name, value, bar] = [element("span", { className: "name" }), element("span", { className: "amount" }), element("i", { className: "bar" })];
      const row = element("li", {}, name, element("span", { className: "track", "aria-hidden": "true" }, bar), value);
      return { row, name, value, bar };
    });
    this.heading = element("h3", { hidden: app.network.outputs.length < 2 });
    this.note = element("p", { className: "hint" });
    this.verdict = element("p", { className: "verdict" });
    this.element = element("div", {}, this.heading, this.verdict, element("ol", { className: "classes" }, this.rows.map(({ row }) => row)), this.note);
  }

  label() {
    this.heading.textContent = say("resultOf", { name: this.output.name });
    this.note.textContent = say(this.isShare ? "unsure" : "scores");
  }

  #text(value) {
    return this.isShare ? percent(value) : written(value, 3);
  }

  /** The largest number's class, in words. */
  best() {
    const scores = this.app.values[this.output.value];
    const index = scores.indexOf(Math.max(...scores));
    return { index, name: this.app.className(this.output, index), value: this.#text(scores[index]) };
  }

  show(scores) {
    const order = Array.from(scores.keys());
    if (order.length > this.rows.length) order.sort((a, b) => scores[b] - scores[a]);
    const best = this.best();
    write(this.verdict, best.name);
    const most = this.isShare ? 1 : scores.reduce((largest, x) => Math.max(largest, Math.abs(x)), 1e-9);
    this.rows.forEach(({ row, name, value, bar }, n) => {
      const index = order[n];
      write(name, this.app.className(this.output, index));
      write(value, this.#text(scores[index]));
      bar.style.transform = `scaleX(${Math.min(1, Math.abs(scores[index]) / most)})`; // a width would cost a layout
      bar.className = scores[index] < 0 ? "bar negative" : "bar";
      row.classList.toggle("best", index === best.index);
    });
  }
}
