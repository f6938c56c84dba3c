// A value as a picture: maps side by side, or numbers in rows. One canvas with a pixel for each number, which the style
// sheet enlarges, so that a stroke costs little however many maps there are.

/** How a value's numbers lie in the picture: `tiles` of rows × columns. */
function tilingOf(shape) {
  if (shape.length === 3 && shape[0] * shape[1] > 1) {
    const [rows, columns, tiles] = shape;
    return { kind: "maps", rows, columns, tiles };
  }
  if (shape.length === 1 || shape.length === 3) return { kind: "units", count: sizeOf(shape), tiles: 1 };
  const columns = shape[shape.length - 1] ?? 1;
  return { kind: "matrix", rows: sizeOf(shape) / columns, columns, tiles: 1 };
}

/** Of numbers in rows: how large a cell is. */
const cellSize = (count) => [[16, 22], [64, 16], [160, 12], [600, 8], [3000, 5]].find(([most]) => count <= most)?.[1] ?? 3;

const IN_A_ROW = 8; // so many maps stand in one row if they are not smaller than
const LEAST = 36; // pixels

class ValueView {
  /** For values of a shape; `image` is [height, width, channels] where it is the network's input. */
  constructor(shape, image = null) {
    this.image = image;
    this.shape = image ?? shape;
    this.tiling = tilingOf(this.shape);
    this.isColoured = image !== null && image[2] === 3;
    if (image) Object.assign(this.tiling, { kind: "maps", rows: image[0], columns: image[1], tiles: 1 });
    this.canvas = element("canvas", { tabIndex: 0, role: "application", className: "value" });
    this.marks = element("div", { className: "marks", "aria-hidden": "true" });
    this.element = element("div", { className: "view" }, this.canvas, this.marks);
    this.chosen = 0;
    this.layOut(300);
  }

  /** Fit into a width, in pixels of the style sheet; true if anything moved. */
  layOut(width, zoomOfImage = null) {
    const { tiling } = this;
    let zoom;
    let across = 1;
    if (tiling.kind === "units") {
      zoom = cellSize(tiling.count);
      tiling.columns = Math.max(1, Math.min(tiling.count, Math.floor(width / zoom)));
      if (tiling.columns >= 10 && tiling.columns < tiling.count) tiling.columns -= tiling.columns % 10;
      tiling.rows = Math.ceil(tiling.count / tiling.columns);
    } else {
      const side = Math.max(tiling.rows, tiling.columns);
      const wanted = tiling.tiles === 1 ? 140 : tiling.tiles <= IN_A_ROW ? clip(width / tiling.tiles - 8, 84, 128) : 58;
      const fits = Math.floor(width / tiling.columns);
      const inRow = Math.floor(width / (tiling.tiles * (tiling.columns + 1))); // all maps beside each other
      const most = tiling.tiles <= IN_A_ROW && inRow * side >= LEAST ? inRow : fits;
      zoom = zoomOfImage ?? Math.max(1, Math.min(10, Math.round(wanted / side), most));
      across = Math.max(1, Math.min(tiling.tiles, Math.floor((width + zoom) / ((tiling.columns + 1) * zoom))));
    }
    const key = [zoom, across, tiling.columns].join();
    if (key === this.key) return false;
    Object.assign(this, { key, zoom, across, down: Math.ceil(tiling.tiles / across) });
    this.width = across * (tiling.columns + 1) - 1;
    this.height = this.down * (tiling.rows + 1) - 1;
    Object.assign(this.canvas, { width: this.width, height: this.height });
    Object.assign(this.canvas.style, { width: `${this.width * zoom}px`, height: `${this.height * zoom}px` });
    Object.assign(this.element.style, { width: `${this.width * zoom}px` });
    this.pixels = new ImageData(this.width, this.height);
    this.packed = new Uint32Array(this.pixels.data.buffer);
    return true;
  }

  draw(array, scale) {
    this.scale = scale;
    if (this.isColoured) this.#drawColours(array, scale);
    else this.#drawTiles(array, scale);
    this.canvas.getContext("2d").putImageData(this.pixels, 0, 0);
  }

  #drawTiles(array, scale) {
    const { rows, columns, tiles, kind, count } = this.tiling;
    for (let t = 0; t < tiles; t++) {
      const corner = Math.floor(t / this.across) * (rows + 1) * this.width + (t % this.across) * (columns + 1);
      for (let r = 0; r < rows; r++) {
        for (let c = 0; c < columns; c++) {
          const i = (r * columns + c) * tiles + t;
          const isThere = kind !== "units" || i < count;
          this.packed[corner + r * this.width + c] = isThere ? colourOf(array[i], scale) : 0;
        }
      }
    }
  }

  #drawColours(array, { low, high }) {
    const level = (value) => Math.round(clip((value - low) / (high - low), 0, 1) * 255);
    for (let i = 0; i < this.packed.length; i++) {
      this.packed[i] = packed(level(array[3 * i]), level(array[3 * i + 1]), level(array[3 * i + 2]));
    }
  }

  /** The number under the pointer; -1 between maps. */
  cellAt(event) {
    const box = this.canvas.getBoundingClientRect();
    const x = Math.floor(((event.clientX - box.left) / box.width) * this.width);
    const y = Math.floor(((event.clientY - box.top) / box.height) * this.height);
    const { rows, columns, tiles } = this.tiling;
    const [c, r] = [x % (columns + 1), y % (rows + 1)];
    const t = Math.floor(y / (rows + 1)) * this.across + Math.floor(x / (columns + 1));
    if (x < 0 || y < 0 || c >= columns || r >= rows || t >= tiles) return -1;
    return this.indexOf({ row: r, column: c, tile: t });
  }

  indexOf({ row, column, tile }) {
    const { columns, tiles, kind, count } = this.tiling;
    if (this.isColoured) return (row * columns + column) * 3 + (this.chosen % 3);
    const index = (row * columns + column) * tiles + tile;
    return kind === "units" && index >= count ? -1 : index;
  }

  placeOf(index) {
    const { columns, tiles } = this.tiling;
    const pixel = Math.floor(index / (this.isColoured ? 3 : tiles));
    return { row: Math.floor(pixel / columns), column: pixel % columns, tile: this.isColoured ? 0 : index % tiles };
  }

  /** In words where a number is. */
  nameOf(index) {
    const { row, column, tile } = this.placeOf(index);
    const at = { row: row + 1, column: column + 1 };
    if (this.isColoured) return say("colourAt", { ...at, channel: say(["red", "green", "blue"][index % 3]) });
    if (this.tiling.kind === "units") return say("unitAt", { unit: index + 1 });
    return this.tiling.tiles === 1 ? say("pixelAt", at) : say("mapAt", { ...at, map: tile + 1 });
  }

  what() {
    const { kind, rows, columns, tiles, count } = this.tiling;
    if (kind === "maps") return say("maps", { count: whole(tiles), rows, columns });
    return kind === "units" ? say("units", { count: whole(count) }) : say("matrix", { rows, columns });
  }

  /** Frames around numbers: [{ indices, kind }]; those of one map are framed together. */
  mark(list) {
    fill(this.marks, list.flatMap(({ indices, kind }) => this.#frames(indices, kind)));
  }

  #frames(indices, kind) {
    const boxes = new Map();
    for (const index of indices) {
      const { row, column, tile } = this.placeOf(index);
      const key = this.tiling.kind === "units" && indices.length > 1 ? index : tile;
      const box = boxes.get(key) ?? { tile, top: row, left: column, bottom: row, right: column };
      [box.top, box.bottom] = [Math.min(box.top, row), Math.max(box.bottom, row)];
      [box.left, box.right] = [Math.min(box.left, column), Math.max(box.right, column)];
      boxes.set(key, box);
    }
    return [...boxes.values()].slice(0, 40).map((box) => {
      const x = (box.tile % this.across) * (this.tiling.columns + 1) + box.left;
      const y = Math.floor(box.tile / this.across) * (this.tiling.rows + 1) + box.top;
      const frame = element("i", { className: `mark ${kind}` });
      const { zoom } = this;
      frame.style.left = `${x * zoom}px`;
      frame.style.top = `${y * zoom}px`;
      frame.style.width = `${(box.right - box.left + 1) * zoom}px`;
      frame.style.height = `${(box.bottom - box.top + 1) * zoom}px`;
      return frame;
    });
  }

  /** Calls choose(index, "hover" | "tap" | "key" | "leave") as the reader points, taps and presses keys. */
  listen(choose) {
    const { canvas } = this;
    canvas.addEventListener("pointermove", (event) => {
      const index = this.cellAt(event);
      if (index >= 0 && event.pointerType !== "touch") choose(index, "hover");
    });
    canvas.addEventListener("pointerleave", () => choose(-1, "leave"));
    canvas.addEventListener("click", (event) => {
      const index = this.cellAt(event);
      if (index < 0) return;
      this.chosen = index;
      choose(index, "tap");
    });
    canvas.addEventListener("keydown", (event) => {
      const index = this.#moved(event);
      if (index === null) return;
      event.preventDefault();
      this.chosen = index;
      choose(index, "key");
    });
  }

  /** Where a key leads from the chosen number; null if nowhere. */
  #moved({ key }) {
    const { rows, columns, tiles } = this.tiling;
    const place = this.placeOf(this.chosen);
    const to = {
      ArrowLeft: { column: place.column - 1 },
      ArrowRight: { column: place.column + 1 },
      ArrowUp: { row: place.row - 1 },
      ArrowDown: { row: place.row + 1 },
      PageUp: { tile: place.tile - 1 },
      PageDown: { tile: place.tile + 1 },
      Home: { row: 0, column: 0 },
      End: { row: rows - 1, column: columns - 1 },
      Enter: {},
      " ": {},
    }[key];
    if (!to) return null;
    if (this.isColoured && key.startsWith("Page")) return this.chosen - (this.chosen % 3) + ((this.chosen + 1) % 3);
    const { row, column, tile } = { ...place, ...to };
    const at = { row: clip(row, 0, rows - 1), column: clip(column, 0, columns - 1), tile: clip(tile, 0, tiles - 1) };
    const index = this.indexOf(at);
    return index < 0 ? this.chosen : index;
  }
}

/** The bar that says which number has which colour. */
class Legend {
  constructor(caption = "") {
    this.low = element("span");
    this.high = element("span");
    this.bar = element("span", { className: "gradient", "aria-hidden": "true" });
    this.caption = element("span", { className: "caption" }, caption);
    this.element = element("div", { className: "legend" }, this.low, this.bar, this.high, this.caption);
  }

  show({ low, high, colours }) {
    const [lowest, highest] = writtenEnds(low, high);
    write(this.low, lowest);
    write(this.high, highest);
    if (this.colours !== colours) this.bar.style.background = gradientOf(colours);
    this.colours = colours;
  }
}

/** A layer's name, what it is, and what it makes of the picture. */
class LayerCard {
  constructor(layer, network) {
    this.layer = layer;
    this.title = element("h3", { id: `layer-${layer.number}` }, layer.name);
    this.facts = element("p", { className: "facts" });
    this.element = element("section", { className: "layer", "aria-labelledby": `layer-${layer.number}` });
    this.element.append(element("div", { className: "headline" }, this.title, this.facts));
    const [before] = layer.inputs;
    const same = String(network.shapes[before]) === String(layer.shape);
    this.isQuiet = same && layer.operations.every((operation) => operation.op === "view");
    if (this.isQuiet) {
      this.note = element("p", { className: "hint" });
      this.element.append(this.note);
      return;
    }
    this.view = new ValueView(layer.shape);
    this.legend = new Legend();
    this.holder = element("div", { className: "holder" }, this.view.element);
    this.element.append(this.holder, this.legend.element);
  }

  /** Write the words, in the language of the page; `sources` are names of layers before, if they are not the last. */
  label(sources) {
    const { layer } = this;
    const parts = [layer.kind, this.view ? this.view.what() : layer.shape.join("×")];
    if (layer.parameters) parts.push(say("parameters", { count: whole(layer.parameters) }));
    if (sources.length) parts.push(say("from", { names: sources.join(" + ") }));
    this.facts.textContent = parts.join(" · ");
    if (this.note) this.note.textContent = say("unchanged");
    this.view?.canvas.setAttribute("aria-label", say("viewLabel", { name: layer.name, what: this.view.what() }));
  }

  draw(values) {
    if (!this.view) return;
    const array = values[this.layer.output];
    const scale = scaleOf(array);
    this.view.draw(array, scale);
    this.legend.show(scale);
  }
}
