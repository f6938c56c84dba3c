// Why: heat maps of a class over the picture, by covering parts of it, and by what its feature maps are worth.

/** Side of the patch that covers, and how far it moves each time. */
function patchOf(height, width) {
  const size = Math.max(3, Math.round(Math.max(height, width) / 7));
  return { size, step: Math.max(1, Math.floor(size / 2)) };
}

/** Where the patch's corner goes along one axis, so that every pixel is covered. */
function cornersOf(length, { size, step }) {
  const corners = [];
  for (let at = 0; at < length - size; at += step) corners.push(at);
  return [...corners, Math.max(0, length - size)];
}

/**
 * Occlusion (Zeiler, Fergus: "Visualizing and understanding convolutional networks", 2014): a generator of steps, each
 * of which covers one place; in the end it returns the mean change of the class's number at each pixel.
 */
function* occlusion(network, values, image, black, output, index) {
  const [height, width, channels] = image;
  const patch = patchOf(height, width);
  const input = values[network.inputValue];
  const forward = network.after(network.inputValue, values);
  const [sums, counts] = [new Float64Array(height * width), new Float64Array(height * width)];
  const score = values[output.value][index];
  for (const top of cornersOf(height, patch)) {
    for (const left of cornersOf(width, patch)) {
      const covered = input.slice();
      const pixels = [];
      for (let y = top; y < Math.min(top + patch.size, height); y++) {
        for (let x = left; x < Math.min(left + patch.size, width); x++) pixels.push(y * width + x);
      }
      for (const pixel of pixels) covered.fill(black, pixel * channels, (pixel + 1) * channels);
      const change = score - forward(covered)[output.value][index];
      for (const pixel of pixels) {
        sums[pixel] += change;
        counts[pixel]++;
      }
      yield;
    }
  }
  return sums.map((sum, i) => sum / counts[i]);
}

/**
 * Grad-CAM (Selvaraju and others, 2017): ReLU(Σ over maps of weight · map), where a map's weight is the mean of the
 * score's gradient by its cells. That mean is found as what it says: the whole map is raised a little, and the network
 * behind it computed again, once up and once down.
 */
function gradCam(network, values, value, output, index) {
  const [height, width, maps] = network.shapes[value];
  const own = values[value];
  const forward = network.after(value, values);
  const most = own.reduce((largest, x) => Math.max(largest, Math.abs(x)), 0);
  const little = 1e-6 * Math.max(most, 1e-3);
  const cells = height * width;
  const raised = (map, by) => {
    const array = own.slice();
    for (let i = map; i < array.length; i += maps) array[i] += by;
    return forward(array)[output.score][index];
  };
  const heat = new Float64Array(cells);
  for (let map = 0; map < maps; map++) {
    const weight = (raised(map, little) - raised(map, -little)) / (2 * little * cells);
    for (let i = 0; i < cells; i++) heat[i] += weight * own[i * maps + map];
  }
  return heat.map((x) => Math.max(x, 0));
}

class Why {
  constructor(app) {
    Object.assign(this, { app, index: null, job: 0 });
    this.output = app.network.outputs.find(({ value }) => app.network.shapes[value].length === 1);
    this.layers = app.network.layers.filter(({ shape, filters }) => filters && shape.length === 3 && shape[0] * shape[1] > 1);
    this.maps = { occlusion: byId("occlusion"), gradCam: byId("gradCam") };
    this.legends = { occlusion: new Legend(), gradCam: new Legend() };
    for (const [name, canvas] of Object.entries(this.maps)) {
      Object.assign(canvas, { height: app.image[0], width: app.image[1] });
      byId(`${name}Legend`).append(this.legends[name].element);
    }
    this.classes = byId("whyClass");
    this.layer = byId("whyLayer");
    this.classes.onchange = () => {
      this.index = this.classes.value === "" ? null : Number(this.classes.value);
      this.show();
    };
    this.layer.onchange = () => this.show();
    byId("whyControls").hidden = !this.output;
    byId("whyMaps").hidden = !this.output;
    byId("gradCamFigure").hidden = !this.layers.length;
  }

  label() {
    const { app } = this;
    byId("whyHint").textContent = say(this.output ? "whyHint" : "noClasses");
    if (!this.output) return;
    const names = Array.from({ length: app.network.shapes[this.output.value][0] }, (_, i) => app.className(this.output, i));
    const option = (value, text) => element("option", { value, selected: String(this.index ?? "") === String(value) }, text);
    fill(this.classes, option("", say("whyLargest")), names.map((name, i) => option(i, name)));
    const chosen = this.layer.value || this.layers[this.layers.length - 1]?.number;
    fill(this.layer, this.layers.map(({ number, name }) => element("option", { value: number, selected: String(number) === String(chosen) }, name)));
    this.legends.occlusion.caption.textContent = say("occlusionLegend");
    this.legends.gradCam.caption.textContent = say("gradCamLegend");
  }

  /** The class that is explained. */
  get chosen() {
    const scores = this.app.values[this.output.value];
    return this.index ?? scores.indexOf(Math.max(...scores));
  }

  /** Stop computing: the picture changes. */
  cancel() {
    this.job++;
    for (const canvas of Object.values(this.maps)) canvas.classList.add("stale");
  }

  /** Compute both maps anew, in pieces between which the page reacts. */
  async show() {
    if (!this.output) return;
    const { app } = this;
    const job = ++this.job;
    const index = this.chosen;
    const name = app.className(this.output, index);
    const [height, width] = app.image;
    byId("occlusionText").textContent = say("occlusionText", { size: patchOf(height, width).size, name });
    const values = app.network.run(Object.assign(app.network.newValues(), { [app.network.inputValue]: app.values[app.network.inputValue].slice() }));
    if (this.layers.length) this.#showGradCam(values, index, name);
    const steps = occlusion(app.network, values, app.image, app.range[0], this.output, index);
    for (let start = performance.now(); ; ) {
      const { done, value } = steps.next();
      if (done) return this.#draw("occlusion", value, app.image, signedScale(value));
      if (performance.now() - start > 12) {
        await new Promise((resume) => setTimeout(resume));
        if (job !== this.job) return undefined;
        start = performance.now();
      }
    }
  }

  #showGradCam(values, index, name) {
    const { network } = this.app;
    const layer = network.layers[Number(this.layer.value)];
    const heat = gradCam(network, values, layer.output, this.output, index);
    const most = Math.max(...heat);
    byId("gradCamText").textContent = say("gradCamText", { layer: layer.name, name });
    const scale = { low: 0, high: 1, colours: UNSIGNED };
    this.#draw("gradCam", heat.map((x) => (most > 0 ? x / most : 0)), layer.shape, scale);
  }

  /** Heat over the picture in grey, which stays visible under it. */
  #draw(name, heat, [rows, columns], scale) {
    const { app } = this;
    const canvas = this.maps[name];
    const [height, width, channels] = app.image;
    const image = new ImageData(width, height);
    const input = app.values[app.network.inputValue];
    const [black, white] = app.range;
    for (let i = 0; i < height * width; i++) {
      let grey = 0;
      for (let c = 0; c < channels; c++) grey += (input[i * channels + c] - black) / (white - black) / channels;
      const at = sampled(heat, rows, columns, ((Math.floor(i / width) + 0.5) * rows) / height - 0.5, (((i % width) + 0.5) * columns) / width - 0.5);
      const colour = colourOf(at, scale);
      const level = 255 * clip(grey, 0, 1);
      for (let c = 0; c < 3; c++) image.data[4 * i + c] = 0.7 * ((colour >> (8 * c)) & 255) + 0.3 * level;
      image.data[4 * i + 3] = 255;
    }
    canvas.getContext("2d").putImageData(image, 0, 0);
    canvas.classList.remove("stale");
    this.legends[name].show(scale);
  }
}

/** The number of a map between its cells. */
function sampled(map, rows, columns, y, x) {
  const [row, column] = [clip(y, 0, rows - 1), clip(x, 0, columns - 1)];
  const [i, j] = [Math.min(Math.floor(row), Math.max(rows - 2, 0)), Math.min(Math.floor(column), Math.max(columns - 2, 0))];
  const at = (r, c) => map[Math.min(r, rows - 1) * columns + Math.min(c, columns - 1)];
  const [v, u] = [row - i, column - j];
  return (1 - v) * ((1 - u) * at(i, j) + u * at(i, j + 1)) + v * ((1 - u) * at(i + 1, j) + u * at(i + 1, j + 1));
}
