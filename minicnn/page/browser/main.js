// The page: from every stroke to the network's numbers, and from there to what is shown.

const DIGIT_TWO = [[0.3, 0.34], [0.36, 0.23], [0.5, 0.18], [0.64, 0.24], [0.68, 0.37], [0.6, 0.52], [0.45, 0.66], [0.3, 0.8], [0.5, 0.8], [0.72, 0.79]];
const CALM = 350; // milliseconds without a stroke after which the heat maps are computed
const PATIENCE = 200; // milliseconds between two writings about a cell
const WIDE = window.matchMedia("(min-width: 62rem)");

class App {
  constructor(description, numbers) {
    const { image, range } = description;
    Object.assign(this, { description, image, range });
    this.network = new Network(description, numbers);
    this.values = this.network.newValues();
    this.selection = null; // { layer (undefined for the input), index, pinned }
    this.inputView = new ValueView(this.network.shapes[this.network.inputValue], image);
    this.inputView.chosen = 0;
    byId("sees").append(this.inputView.element);
    const soon = oncePerFrame(() => this.update());
    this.changed = () => {
      clearTimeout(this.waiting);
      this.why?.cancel();
      soon();
    };
    this.#makeCards();
    this.#makeResults();
    this.inspector = new Inspector(byId("inspection"), this);
    this.why = new Why(this);
    this.damage = new Damage(this);
    const [height, width, channels] = image;
    const drawn = () => this.changed();
    this.drawing = new Drawing(byId("drawing"), { height, width, channels }, drawn, () => this.settled());
    this.#listen();
    this.#makeExamples();
    this.setLanguage(language);
    this.layOut();
    if (description.examples.length) this.showExample(0);
    else this.drawing.line(DIGIT_TWO);
    this.update();
    this.settled();
    if (WIDE.matches) this.#beginWithACell();
  }

  /** Explain the brightest cell of the first layer with filters, until the reader points at another. */
  #beginWithACell() {
    const layer = this.network.layers.find(({ filters }) => filters);
    if (!layer) return;
    const values = this.values[layer.output];
    this.choose(layer, values.indexOf(values.reduce((most, value) => Math.max(most, value))), "hover");
  }

  #makeCards() {
    this.cards = this.network.layers.map((layer) => new LayerCard(layer, this.network));
    byId("cards").append(...this.cards.map((card) => card.element));
    this.views = new Map([[this.network.inputValue, this.inputView]]);
    for (const { layer, view } of this.cards) if (view) this.views.set(layer.output, view);
    for (const { layer, view } of this.cards) view?.listen((index, how) => this.choose(layer, index, how));
    this.inputView.listen((index, how) => this.choose(undefined, index, how));
  }

  /** Where a value is shown; undefined if nowhere. */
  viewOf(value) {
    return this.views.get(value);
  }

  scaleOfValue(value) {
    return this.viewOf(value)?.scale ?? scaleOf(this.values[value]);
  }

  // -------------------------------------------------------------------------------------------------- the reader

  #listen() {
    byId("clear").onclick = () => this.drawing.clear();
    byId("brush").oninput = (event) => { this.drawing.brush = Number(event.target.value) / 100; };
    byId("colour").oninput = (event) => { this.drawing.colour = event.target.value; };
    byId("colourChoice").hidden = this.image[2] === 1;
    byId("centreChoice").hidden = this.image[2] === 3;
    byId("centre").onchange = () => {
      if (this.drawing.photo) this.drawing.showPhoto(this.drawing.photo, this.isCentred);
      this.changed();
      this.settled();
    };
    byId("file").onchange = (event) => this.openFile(event.target.files[0]);
    byId("language").onclick = () => this.setLanguage(language === "en" ? "es" : "en");
    byId("theme").onchange = (event) => { document.documentElement.dataset.theme = event.target.value; };
    byId("textSize").onclick = (event) => {
      const isLarge = document.documentElement.classList.toggle("large");
      event.currentTarget.setAttribute("aria-pressed", isLarge);
      this.layOut();
    };
    byId("release").onclick = () => this.release();
    byId("drawing").addEventListener("pen", (event) => this.#showPen(event.detail));
    byId("drawing").addEventListener("blur", () => { byId("pen").hidden = true; });
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.release();
    });
    const board = byId("board");
    for (const name of ["dragenter", "dragover", "dragleave", "drop"]) {
      document.addEventListener(name, (event) => {
        event.preventDefault();
        board.classList.toggle("over", name === "dragenter" || name === "dragover");
        if (name === "drop" && event.dataTransfer.files.length) this.openFile(event.dataTransfer.files[0]);
      });
    }
    window.addEventListener("resize", oncePerFrame(() => this.layOut()));
  }

  get isCentred() {
    return this.image[2] === 1 && byId("centre").checked;
  }

  async openFile(file) {
    if (!file) return;
    try {
      this.drawing.showPhoto(await createImageBitmap(file), this.isCentred);
    } catch {
      clearTimeout(this.waiting); // the decision about the last drawing would take the message's place
      byId("saying").textContent = say("notAPicture");
      byId("saying").classList.remove("unseen");
      return;
    }
    byId("saying").classList.add("unseen");
  }

  #makeExamples() {
    byId("examplesChoice").hidden = !this.description.examples.length;
    this.examples = this.description.examples.map(readBytes);
    this.exampleButtons = this.examples.map((bytes, number) => {
      return element("button", { type: "button", className: "example", onclick: () => this.showExample(number) }, canvasOf(bytes, this.drawing.size));
    });
    byId("examples").append(...this.exampleButtons);
  }

  showExample(number) {
    this.drawing.showPixels(this.examples[number]);
  }

  #showPen({ x, y, down }) {
    const pen = byId("pen");
    const { width, height } = this.drawing.canvas;
    pen.hidden = false;
    pen.className = down ? "pen down" : "pen";
    pen.style.left = `${(100 * x) / width}%`;
    pen.style.top = `${(100 * y) / height}%`;
    const at = { row: Math.floor(y / this.drawing.zoom) + 1, column: Math.floor(x / this.drawing.zoom) + 1 };
    byId("saying").textContent = say(down ? "penDown" : "penUp", at);
  }

  // ------------------------------------------------------------------------------------------------ computing

  /** The numbers that the network gets for what is drawn. */
  readInput() {
    const [height, width, channels] = this.image;
    const drawn = pictureOf(this.drawing.canvas, channels);
    const prepared = (this.isCentred ? asMnist : asItIs)(drawn, height, width);
    const [black, white] = this.range;
    return damaged(prepared, this.damage.amounts).data.map((value) => black + value * (white - black));
  }

  /** Compute everything anew for what is drawn, and show it. */
  update() {
    const start = performance.now();
    this.values[this.network.inputValue].set(this.readInput());
    this.network.run(this.values);
    this.draw();
    this.lastUpdate = performance.now() - start;
  }

  draw() {
    const [low, high] = [Math.min(...this.range), Math.max(...this.range)];
    this.inputView.draw(this.values[this.network.inputValue], { low, high, colours: GREY });
    for (const card of this.cards) card.draw(this.values);
    this.#showResults();
    this.#refreshInTime();
  }

  /** What is written about a cell follows a drawing hand a few times a second, the pictures at every stroke. */
  #refreshInTime() {
    clearTimeout(this.refreshing);
    if (!this.selection) return;
    const wait = (this.lastRefresh ?? 0) + PATIENCE - performance.now();
    if (wait <= 0) this.refreshSelection();
    else this.refreshing = setTimeout(() => this.selection && this.refreshSelection(), wait);
  }

  /** The reader has stopped: say the decision, and explain it. */
  settled() {
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => {
      const [first] = this.results;
      if (first) byId("saying").textContent = say("saying", first.best());
      this.why.show();
    }, CALM);
  }

  toggleFilter(layer, filter) {
    this.network.toggle(layer, filter);
    this.damage.layer.value = layer.number;
    this.damage.filter.value = filter + 1;
    this.damage.label();
    this.update();
    this.settled();
  }

  // -------------------------------------------------------------------------------------------------- decision

  className(output, index) {
    const isFirst = output === this.network.outputs[0];
    return (isFirst && this.description.classNames[index]) || String(index);
  }

  #makeResults() {
    const vectors = this.network.outputs.filter(({ value }) => this.network.shapes[value].length === 1);
    this.results = vectors.map((output) => new Bars(this, output));
    byId("results").append(...this.results.map((bars) => bars.element));
  }

  #showResults() {
    for (const bars of this.results) bars.show(this.values[bars.output.value]);
    const best = this.results[0]?.best();
    write(byId("glance"), best ? `${best.name} · ${best.value}` : "");
  }

  // --------------------------------------------------------------------------------------- the magnifying glass

  /** What the reader pointed at: hovering changes nothing while a tap or a key holds a cell. */
  choose(layer, index, how) {
    if (how === "leave" || (how === "hover" && this.selection?.pinned)) return;
    const same = this.selection?.layer === layer && this.selection?.index === index;
    if (how === "hover" && same) return;
    if (this.selection?.layer !== layer) this.inspector.channel = null;
    this.selection = { layer, index, pinned: how !== "hover" };
    byId("release").hidden = !this.selection.pinned;
    byId("inspection").setAttribute("aria-live", how === "hover" ? "off" : "polite");
    this.#placeGlass();
    this.refreshSelection();
  }

  release() {
    this.selection = null;
    byId("release").hidden = true;
    fill(byId("inspection"), element("p", { className: "hint" }, say("inspectHint")));
    for (const view of this.views.values()) view.mark([]);
    this.#placeGlass();
  }

  refreshSelection() {
    const { layer, index } = this.selection;
    this.lastRefresh = performance.now();
    const open = byId("inspection").querySelector("details[open]") !== null;
    this.inspector.show(layer, index);
    if (open) byId("inspection").querySelectorAll("details").forEach((one) => { one.open = true; });
    const frames = this.inspector.sources(layer, index);
    frames.push({ value: layer ? layer.output : this.network.inputValue, indices: [index], kind: "chosen" });
    for (const [value, view] of this.views) view.mark(frames.filter((frame) => frame.value === value));
  }

  /** Beside the layers where there is room, else below the one that is looked at. */
  #placeGlass() {
    const { layer } = this.selection ?? {};
    const glass = byId("glass");
    const home = WIDE.matches || !this.selection ? document.querySelector("main") : layer ? this.cards[layer.number].element : byId("sees");
    const isInside = home !== document.querySelector("main");
    glass.classList.toggle("inside", isInside);
    if (glass.parentElement !== home) home.append(glass);
  }

  // ------------------------------------------------------------------------------------------ words and widths

  setLanguage(name) {
    language = name;
    document.documentElement.lang = name;
    for (const one of document.querySelectorAll("[data-say]")) one.textContent = say(one.dataset.say);
    const { title, parameters, image } = this.description;
    byId("title").textContent = title;
    const facts = { parameters: whole(parameters), layers: this.network.layers.length, image: image.slice(0, image[2] === 1 ? 2 : 3).join("×") };
    byId("about").textContent = say("about", facts);
    const other = name === "en" ? "es" : "en";
    byId("language").textContent = STRINGS[other].language;
    byId("language").lang = other;
    byId("drawing").setAttribute("aria-label", say("drawLabel"));
    this.inputView.canvas.setAttribute("aria-label", say("viewLabel", { name: say("input"), what: this.inputView.what() }));
    this.exampleButtons.forEach((button, number) => button.setAttribute("aria-label", say("example", { number: number + 1 })));
    this.#labelCards();
    this.damage.label();
    this.why.label();
    for (const bars of this.results) bars.label();
    if (this.ready) this.draw();
    if (this.ready) this.why.show();
    if (!this.selection) this.release();
    this.ready = true;
  }

  #labelCards() {
    let before = this.network.inputValue;
    for (const card of this.cards) {
      const { inputs, output } = card.layer;
      const isChain = inputs.length === 1 && inputs[0] === before;
      card.label(isChain ? [] : inputs.map((value) => this.network.layerOf(value)?.name ?? say("input")));
      before = output;
    }
  }

  /** Fit all pictures into the widths that they have. */
  layOut() {
    const zoom = Math.max(1, Math.floor(Math.min(196, byId("sees").clientWidth) / Math.max(this.image[0], this.image[1])));
    let moved = this.inputView.layOut(byId("sees").clientWidth, zoom);
    for (const { view, holder } of this.cards) if (view) moved = view.layOut(holder.clientWidth) || moved;
    this.#placeGlass();
    if (moved && this.ready) this.draw();
  }

  /** How many strokes a second the page can follow, each shown before the next; and how long one takes to compute. */
  async measure(strokes = 60) {
    this.drawing.clear();
    const { canvas } = this.drawing;
    const point = (n) => [0.5 + 0.3 * Math.cos(n / 9), 0.5 + 0.3 * Math.sin(n / 9)];
    const start = performance.now();
    let busy = 0;
    for (let n = 0; n < strokes; n++) {
      const [x, y] = point(n);
      this.drawing.stroke(x * canvas.width, y * canvas.height); // asks for an update in the next frame
      await new Promise(requestAnimationFrame);
      busy += this.lastUpdate;
    }
    return { strokesPerSecond: (1000 * strokes) / (performance.now() - start), millisecondsPerStroke: busy / strokes };
  }
}

const app = new App(JSON.parse(byId("network").textContent), readNumbers(byId("weights").textContent.trim()));

/** All values for an input, in arrays of their own. */
function valuesFor(input) {
  const values = app.network.newValues();
  values[app.network.inputValue].set(input);
  return app.network.run(values);
}

/** For the curious, in the browser's console: the numbers behind the pictures. An input is an array, rows first. */
window.minicnn = {
  app,
  description: app.description,
  measure: (strokes) => app.measure(strokes),
  /** The numbers that the network gets for what is drawn now. */
  input: () => Array.from(app.readInput()),
  /** All values for an input, in the order of `description.shapes`. */
  run: (input) => valuesFor(input).map((value) => Array.from(value)),
  /** The change of a class's number where a patch covers the picture, for each pixel. */
  occlusion(input, index, output = 0) {
    const steps = occlusion(app.network, valuesFor(input), app.image, app.range[0], app.network.outputs[output], index);
    for (let step = steps.next(); ; step = steps.next()) if (step.done) return Array.from(step.value);
  },
  /** The heat of a layer's cells for a class. */
  gradCam(input, layer, index, output = 0) {
    const value = app.network.layers[layer].output;
    return Array.from(gradCam(app.network, valuesFor(input), value, app.network.outputs[output], index));
  },
  /** What stands at the ends of a scale. */
  writtenEnds,
  /** What a number of a layer's output is made of: the chain of its operations, the last first. */
  explain(input, layer, index) {
    const chain = explainLayer(app.network, app.network.layers[layer], valuesFor(input), index);
    return chain.map(({ operation, ...step }) => ({ op: operation.op, ...step }));
  },
};
