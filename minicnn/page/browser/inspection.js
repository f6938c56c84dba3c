// The magnifying glass: how one number was computed, written out, and where in the layers before its parts lie.

const MOST_IN_GRID = 11; // rows or columns of a window that is shown as a table
const LISTED = 12; // products of a long sum
const MOST_WRITTEN = 2000; // of all products, where the reader asks for them
const SIGNS = { add: " + ", subtract: " − ", multiply: " · ", divide: " / " };

class Inspector {
  /** Writes into an element; `app` has the network, its values, and `viewOf(value)`. */
  constructor(root, app) {
    Object.assign(this, { root, app, channel: null });
  }

  /** Explain a number of a layer, or of the input (layer undefined). */
  show(layer, index) {
    const { network, values } = this.app;
    const view = layer ? this.app.cards[layer.number].view : this.app.inputView;
    const value = values[layer ? layer.output : network.inputValue][index];
    const title = element("p", { className: "where" }, element("strong", {}, layer?.name ?? say("input")), ` · ${view.nameOf(index)}`);
    const head = [title, element("p", { className: "result" }, written(value, 4))];
    if (!layer) return fill(this.root, head, element("p", { className: "hint" }, say("pixel")));
    const chain = explainLayer(network, layer, values, index);
    const leaf = chain[chain.length - 1];
    const shown = chain.filter((step) => step.kind !== "pass" || step === leaf).reverse();
    const isOff = layer.filters && network.isOff(layer, index % layer.filters);
    const blocks = isOff ? [element("p", { className: "warning" }, say("isOff"))] : shown.map((step) => this.#block(step));
    return fill(this.root, head, this.#field(layer, index), blocks, this.#switch(layer, index));
  }

  /** Which numbers of which values to frame for a number: [{ value, indices, kind }]. */
  sources(layer, index) {
    const { network, values } = this.app;
    if (!layer) return [];
    const chain = explainLayer(network, layer, values, index);
    const leaf = chain[chain.length - 1];
    if (!leaf) return [];
    const frames = [];
    let terms = leaf.terms;
    const channel = this.#channelOf(leaf);
    if (leaf.window && channel !== undefined) terms = terms.filter((one) => one.channel === channel);
    if (terms.length > 400) return [];
    const byValue = new Map();
    terms.forEach((one, n) => {
      const found = one.index < 0 ? null : this.#displayed(leaf.operation.inputs[one.input], one.index);
      if (!found) return;
      const list = byValue.get(found.value) ?? [];
      list.push(found.index);
      byValue.set(found.value, list);
      if (leaf.kind === "winner" && n === leaf.winner) frames.push({ value: found.value, indices: [found.index], kind: "winner" });
    });
    for (const [value, indices] of byValue) {
      if (leaf.window || indices.length < 40) frames.push({ value, indices, kind: "source" });
    }
    const field = this.fieldOf(layer, index);
    if (field && !byValue.has(network.inputValue)) frames.push({ value: network.inputValue, indices: field, kind: "field" });
    return frames;
  }

  /** The pixels that a number depends on, which are the same whatever is drawn; null for all of them. */
  fieldOf(layer, index) {
    const key = `${layer.number} ${index}`;
    if (this.field?.key !== key) {
      const { network, values } = this.app;
      const mask = receptiveField(network, values, layer.output, index);
      this.field = { key, pixels: mask && Array.from(mask.keys()).filter((i) => mask[i]) };
    }
    return this.field.pixels;
  }

  /** Where a number of an inner value can be seen: it only moved since. */
  #displayed(value, index) {
    const { network, values } = this.app;
    while (!this.app.viewOf(value)) {
      const operation = network.writer(value);
      const found = operation && explain(operation, operation.inputs.map((v) => values[v]), values[value], index);
      if (found?.kind !== "pass" || found.terms[0].index < 0) return null;
      [value, index] = [operation.inputs[found.terms[0].input], found.terms[0].index];
    }
    return { value, index };
  }

  #field(layer, index) {
    const field = this.fieldOf(layer, index);
    if (!field || !field.length) return element("p", { className: "hint" }, say("fieldAll"));
    const places = field.map((i) => this.app.inputView.placeOf(i));
    const [rows, columns] = ["row", "column"].map((name) => {
      const all = places.map((place) => place[name]);
      return Math.max(...all) - Math.min(...all) + 1;
    });
    return element("p", { className: "hint" }, say("field", { rows, columns }));
  }

  #switch(layer, index) {
    if (!layer.filters) return null;
    const filter = index % layer.filters;
    const keys = layer.shape.length === 1 ? ["unitOff", "unitOn"] : ["off", "on"];
    const key = keys[Number(this.app.network.isOff(layer, filter))];
    const onclick = () => this.app.toggleFilter(layer, filter);
    return element("button", { type: "button", className: "quiet", onclick }, say(key, { filter: filter + 1 }));
  }

  // ------------------------------------------------------------------------------------------- one operation

  #block(step) {
    const isGrid = step.window && Math.max(step.window.kernelHeight, step.window.kernelWidth) <= MOST_IN_GRID;
    switch (step.kind) {
      case "sum":
        return isGrid ? this.#windowSum(step) : this.#longSum(step);
      case "winner":
      case "mean":
        return isGrid ? this.#pool(step) : this.#largePool(step);
      case "pass":
        return this.#pass(step);
      case "share":
        return this.#share(step);
      case "combine":
        return this.#combined(step);
      case "argmax":
        return equation(say("argmax", { count: step.terms.length }), [written(step.value, 0)]);
      default:
        return this.#formula(step);
    }
  }

  /** The channel of a window that is shown: the reader's, or the one that counts most. */
  #channelOf(step) {
    const sums = channelSums(step.terms);
    if (sums.has(this.channel)) return this.channel;
    const size = ([, sum]) => Math.abs(sum);
    return [...sums].reduce((best, one) => (size(one) > size(best) ? one : best), [...sums][0] ?? [])[0];
  }

  #windowSum(step) {
    const channel = this.#channelOf(step);
    const sums = channelSums(step.terms);
    const terms = step.terms.filter((one) => one.channel === channel);
    const values = grid(say("window"), terms, (one) => one.value, this.app.scaleOfValue(step.operation.inputs[0]));
    const kernel = grid(say("kernel"), terms, (one) => one.weight, signedScale(terms.map((one) => one.weight)));
    const products = grid(say("products"), terms, (one) => one.product, signedScale(terms.map((one) => one.product)));
    const factors = [["", values], ["·", kernel], ["=", products]].map(([sign, table]) => {
      return element("div", { className: "factor" }, element("span", { className: "sign", "aria-hidden": "true" }, sign), table);
    });
    const grids = element("div", { className: "grids" }, factors);
    const several = sums.size > 1;
    const parts = several ? [...sums].map(([c, sum]) => [say("channel", { channel: c + 1 }), sum]) : [[say("products"), sums.get(channel) ?? 0]];
    return element("div", { className: "block" },
      several ? this.#chooser(sums, channel) : null,
      grids,
      terms.some((one) => one.index < 0) ? element("p", { className: "hint" }, say("paddingNote")) : null,
      total(parts, step),
      productsOf(step, terms, several ? channel : null),
    );
  }

  #chooser(sums, channel) {
    const select = element("select", { id: "channel" });
    for (const [c, sum] of sums) {
      const text = say("channelSum", { channel: c + 1, sum: written(sum) });
      select.append(element("option", { value: c, selected: c === channel }, text));
    }
    select.onchange = () => {
      this.channel = Number(select.value);
      this.app.refreshSelection();
      byId("channel")?.focus();
    };
    return element("p", { className: "row" }, element("label", { for: "channel" }, say("channelShown")), select);
  }

  #longSum(step) {
    const size = (one) => Math.abs(one.product);
    const sorted = [...step.terms].sort((a, b) => size(b) - size(a));
    const [listed, rest] = [sorted.slice(0, LISTED), sorted.slice(LISTED)];
    const most = size(sorted[0] ?? { product: 0 }) || 1;
    const rows = listed.map((one) => {
      const bar = element("i", { className: one.product < 0 ? "bar negative" : "bar" });
      bar.style.width = `${(100 * size(one)) / most}%`;
      return element("tr", {},
        element("th", { scope: "row" }, this.#nameOf(step, one)),
        element("td", {}, `${written(one.value)} · ${bracketed(one.weight)}`),
        element("td", { className: "number" }, written(one.product)),
        element("td", { className: "bars", "aria-hidden": "true" }, bar),
      );
    });
    const parts = [[say("largest", { count: listed.length, total: whole(sorted.length) }), listed.reduce((sum, one) => sum + one.product, 0)]];
    if (rest.length) parts.push([say("others", { count: whole(rest.length) }), rest.reduce((sum, one) => sum + one.product, 0)]);
    return element("div", { className: "block" },
      element("table", { className: "products" }, element("caption", {}, parts[0][0]), element("tbody", {}, rows)),
      total(parts, step),
      productsOf(step, step.terms, null),
    );
  }

  /** Which number of which layer a term is. */
  #nameOf(step, one) {
    const found = one.index < 0 ? null : this.#displayed(step.operation.inputs[one.input], one.index);
    return found ? this.app.viewOf(found.value).nameOf(found.index) : "–";
  }

  #pool(step) {
    const scale = this.app.scaleOfValue(step.operation.inputs[0]);
    const table = grid(say("window"), step.terms, (one) => one.value, scale, step.terms[step.winner]);
    const isPadded = step.terms.some((one) => one.index < 0);
    return element("div", { className: "block" },
      element("div", { className: "grids" }, table),
      isPadded ? element("p", { className: "hint" }, say("paddingPool")) : null,
      this.#poolResult(step),
    );
  }

  #poolResult(step) {
    if (step.kind === "mean") {
      const there = step.terms.filter((one) => one.index >= 0);
      const written_ = there.length <= 16 ? [`(${there.map((one) => bracketed(one.value)).join(" + ")}) / ${step.count}`] : [];
      return equation(say("mean", { count: step.count }), [...written_, written(step.value, 4)]);
    }
    const { p, q } = step.terms[step.winner] ?? { p: 0, q: 0 };
    return element("p", { className: "equation" }, say("winner", { row: p + 1, column: q + 1, value: written(step.value, 4) }));
  }

  #largePool(step) {
    return element("div", { className: "block" }, this.#poolResult(step));
  }

  #pass(step) {
    if (step.terms[0].index < 0) return element("p", {}, say("passedZero"));
    const found = this.#displayed(step.operation.inputs[step.terms[0].input], step.terms[0].index);
    if (!found) return null;
    const name = this.app.network.layerOf(found.value)?.name ?? say("input");
    return element("p", {}, say("passed", { where: `${name}, ${this.app.viewOf(found.value).nameOf(found.index)}` }));
  }

  #share(step) {
    const value = written(step.terms[0].value, 3);
    const text = say(step.log ? "shareLog" : "shareText", { value, count: step.terms.length });
    return equation(say("share"), [text, written(step.value, 4)]);
  }

  #combined(step) {
    const numbers = step.terms.map((one) => bracketed(one.value, 3));
    const sign = SIGNS[step.how];
    const name = { average: say("mean", { count: numbers.length }), maximum: "max", minimum: "min", select: "?" }[step.how];
    const text = sign ? numbers.join(sign) : `${name}: ${numbers.join("; ")}`;
    return equation(say("combined", { count: numbers.length }), [text, written(step.value, 4)]);
  }

  #formula(step) {
    const x = bracketed(step.terms[0].value, 3);
    const [behind, shift] = [` · ${bracketed(step.scale ?? 1, 3)}`, step.shift ? ` + ${bracketed(step.shift, 3)}` : ""];
    if (step.kind === "affine") {
      const inner = step.centre ? `(${x} − ${bracketed(step.centre, 3)})` : x;
      return equation(say("normalization"), [inner + behind + shift, written(step.value, 4)]);
    }
    if (step.kind === "standardize") {
      const text = `(${x} − ${bracketed(step.centre, 3)}) / ${written(step.deviation, 3)}${behind}${shift}`;
      return equation(say("normalization"), [text, written(step.value, 4)]);
    }
    if (step.kind === "unit") return equation(say("unit"), [`${x} / ${written(step.length, 3)}`, written(step.value, 4)]);
    return equation(say("function"), [`${step.name}(${written(step.terms[0].value, 3)})`, written(step.value, 4)]);
  }
}

/** Σ of products of each channel. */
function channelSums(terms) {
  const sums = new Map();
  for (const one of terms) sums.set(one.channel, (sums.get(one.channel) ?? 0) + (one.product ?? 0));
  return sums;
}

/** A window as a table of coloured numbers. */
function grid(caption, terms, number, scale, winner) {
  const rows = [];
  for (const one of terms) {
    const cell = element("td", {}, one.index < 0 && number(one) === 0 ? "–" : written(number(one)));
    Object.assign(cell.style, cssColour(colourOf(number(one), scale)));
    if (one === winner) cell.className = "winner";
    (rows[one.p] ??= []).push(cell);
  }
  const body = element("tbody", {}, rows.map((cells) => element("tr", {}, cells)));
  return element("table", { className: "grid" }, element("caption", {}, caption), body);
}

/** "a + b + bias = sum". */
function total(parts, step) {
  const items = [...parts];
  if (step.bias !== undefined) items.push([say("bias"), step.bias]);
  const list = items.map(([name, value]) => element("li", {}, element("span", {}, name), element("b", {}, written(value, 3))));
  const sum = element("li", { className: "sum" }, element("span", {}, say("sumTitle")), element("b", {}, written(step.sum, 4)));
  return element("ol", { className: "total" }, list, sum);
}

/** All products as one line of text, for those who want to check. */
function productsOf(step, terms, channel) {
  const list = terms.slice(0, MOST_WRITTEN).map((one) => `${written(one.value)}·${bracketed(one.weight)}`);
  const end = terms.length > MOST_WRITTEN ? " + …" : "";
  const summary = channel === null ? say("allProducts", { count: whole(terms.length) }) : say("sumOfChannel", { channel: channel + 1 });
  const details = element("details", {}, element("summary", {}, summary));
  details.ontoggle = () => {
    if (details.open && details.children.length === 1) {
      details.append(element("p", { className: "writtenOut" }, list.join(" + ") + end));
    }
  };
  return details;
}

/** A caption, and what is equal. */
function equation(caption, sides) {
  return element("div", { className: "block" },
    element("p", { className: "caption" }, caption),
    element("p", { className: "equation" }, sides.join(" = ")),
  );
}
