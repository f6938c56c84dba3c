// The drawing: with mouse, touch or pen; with the keyboard, where the arrows move the pen and the space bar lowers it.

const SIDE = 180; // pixels of the drawing, about: enough for smooth lines, few enough to be read at every stroke

/** A canvas with an image of the network's own size, from its bytes. */
function canvasOf(bytes, { height, width, channels }) {
  const canvas = element("canvas", { width, height });
  const image = new ImageData(width, height);
  for (let i = 0; i < height * width; i++) {
    for (let c = 0; c < 3; c++) image.data[4 * i + c] = bytes[i * channels + (channels === 3 ? c : 0)];
    image.data[4 * i + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

class Drawing {
  /** On a canvas, for images of a size; `changed` is called after every stroke, `ended` when the pen is lifted. */
  constructor(canvas, { height, width, channels }, changed, ended) {
    const zoom = Math.max(4, Math.floor(SIDE / Math.max(height, width)));
    Object.assign(this, { canvas, changed, ended, zoom, size: { height, width, channels } });
    Object.assign(canvas, { width: width * zoom, height: height * zoom });
    this.context = canvas.getContext("2d", { willReadFrequently: true });
    this.colour = "#ffffff";
    this.brush = 0.085; // of the longer side
    this.pen = { x: canvas.width / 2, y: canvas.height / 2, down: false, shown: false };
    this.photo = null; // the last picture, while nothing was drawn over it
    this.#listen();
    this.clear();
  }

  #listen() {
    const { canvas } = this;
    const at = (event) => {
      const box = canvas.getBoundingClientRect();
      const [x, y] = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
      return [x * canvas.width, y * canvas.height];
    };
    let drawing = false;
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button > 0) return;
      drawing = true;
      canvas.setPointerCapture(event.pointerId);
      [this.pen.x, this.pen.y] = at(event);
      this.stroke(...at(event));
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!drawing) return;
      const events = event.getCoalescedEvents?.() ?? [];
      for (const one of events.length ? events : [event]) this.stroke(...at(one));
    });
    for (const name of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(name, () => {
        if (drawing) this.ended();
        drawing = false;
      });
    }
    canvas.addEventListener("keydown", (event) => this.#key(event));
    canvas.addEventListener("blur", () => {
      this.pen.down = false;
    });
  }

  #key(event) {
    const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    const step = this.zoom * (event.shiftKey ? 3 : 1);
    if (move) {
      const x = clip(this.pen.x + move[0] * step, 0, this.canvas.width);
      const y = clip(this.pen.y + move[1] * step, 0, this.canvas.height);
      if (this.pen.down) this.stroke(x, y);
      Object.assign(this.pen, { x, y });
    } else if (event.key === " " || event.key === "Enter") {
      this.pen.down = !this.pen.down;
      if (this.pen.down) this.stroke(this.pen.x, this.pen.y);
      else this.ended();
    } else if (event.key === "Delete" || event.key === "Backspace") {
      this.clear();
    } else {
      return;
    }
    event.preventDefault();
    this.canvas.dispatchEvent(new CustomEvent("pen", { detail: this.pen }));
  }

  /** A line from the pen to a point, in the canvas's pixels. */
  stroke(x, y) {
    const { context, pen } = this;
    context.strokeStyle = this.colour;
    context.lineWidth = this.brush * Math.max(this.canvas.width, this.canvas.height);
    context.lineCap = context.lineJoin = "round";
    context.beginPath();
    context.moveTo(pen.x, pen.y);
    context.lineTo(x, y);
    context.stroke();
    [pen.x, pen.y] = [x, y];
    this.photo = null;
    this.changed();
  }

  /** A line through points from 0 to 1. */
  line(points) {
    const [width, height] = [this.canvas.width, this.canvas.height];
    [this.pen.x, this.pen.y] = [points[0][0] * width, points[0][1] * height];
    for (const [x, y] of points) this.stroke(x * width, y * height);
  }

  #blank() {
    this.context.fillStyle = "#000000";
    this.context.fillRect(0, 0, this.canvas.width, this.canvas.height);
  }

  clear() {
    this.#blank();
    this.photo = null;
    this.pen.down = false;
    this.changed();
    this.ended();
  }

  /** An image of the network's own size, from its bytes: every pixel a square. */
  showPixels(bytes) {
    this.#blank();
    this.context.imageSmoothingEnabled = false;
    this.context.drawImage(canvasOf(bytes, this.size), 0, 0, this.canvas.width, this.canvas.height);
    this.photo = null;
    this.changed();
    this.ended();
  }

  /** A photograph, whole; `cleaned` makes writing on paper white on black. */
  showPhoto(photo, cleaned) {
    const { canvas, context } = this;
    this.#blank();
    const scale = (cleaned ? Math.min : Math.max)(canvas.width / photo.width, canvas.height / photo.height);
    const [width, height] = [photo.width * scale, photo.height * scale];
    context.imageSmoothingEnabled = true;
    context.imageSmoothingQuality = "high";
    if (cleaned) {
      const sheet = element("canvas", { width: Math.round(width) || 1, height: Math.round(height) || 1 });
      const own = sheet.getContext("2d", { willReadFrequently: true });
      own.drawImage(photo, 0, 0, sheet.width, sheet.height);
      const writing = asWriting(pictureOf(sheet, 1));
      const image = new ImageData(sheet.width, sheet.height);
      writing.data.forEach((value, i) => image.data.set([value * 255, value * 255, value * 255, 255], 4 * i));
      own.putImageData(image, 0, 0);
      context.drawImage(sheet, (canvas.width - width) / 2, (canvas.height - height) / 2);
    } else {
      context.drawImage(photo, (canvas.width - width) / 2, (canvas.height - height) / 2, width, height);
    }
    this.photo = photo;
    this.changed();
    this.ended();
  }
}
