// From what was drawn to what the network gets: scaled and centred as MNIST's digits were, and damaged as asked.
//
// A picture is { height, width, channels, data }: data is a Float64Array in (row, column, channel) order, 0 to 1.

const newPicture = (height, width, channels) => {
  return { height, width, channels, data: new Float64Array(height * width * channels) };
};

/** The picture of a canvas, grey or in colours. */
function pictureOf(canvas, channels) {
  const { width, height } = canvas;
  const bytes = canvas.getContext("2d", { willReadFrequently: true }).getImageData(0, 0, width, height).data;
  const picture = newPicture(height, width, channels);
  const { data } = picture;
  if (channels === 1) {
    for (let i = 0; i < data.length; i++) {
      data[i] = (0.299 * bytes[4 * i] + 0.587 * bytes[4 * i + 1] + 0.114 * bytes[4 * i + 2]) / 255;
    }
  } else {
    for (let i = 0; i < width * height; i++) for (let c = 0; c < 3; c++) data[3 * i + c] = bytes[4 * i + c] / 255;
  }
  return picture;
}

/** Where the drawn part of a grey picture lies, and its centre of mass; null if nothing is drawn. */
function extentOf({ height, width, data }) {
  let [top, left, bottom, right] = [height, width, -1, -1];
  let [mass, momentY, momentX] = [0, 0, 0];
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      const value = data[i];
      if (value < 0.05) continue;
      mass += value;
      momentY += value * (y + 0.5);
      momentX += value * (x + 0.5);
      if (y < top) top = y;
      if (x < left) left = x;
      if (x > right) right = x;
      bottom = y;
    }
  }
  if (bottom < 0) return null;
  return { height: bottom - top + 1, width: right - left + 1, centreY: momentY / mass, centreX: momentX / mass };
}

/**
 * A picture of another size: each new pixel is the mean of the old ones under it, of what is outside, 0.
 * New pixel (i, j) covers the old rows from top + i · step to top + (i + 1) · step, and columns likewise.
 */
function resampled(picture, height, width, stepY, stepX, top, left) {
  const { channels } = picture;
  const result = newPicture(height, width, channels);
  const totals = totalsOf(picture);
  const w = picture.width + 1;
  const below = w * channels;
  const at = (y, x, c) => {
    const row = clip(y, 0, picture.height);
    const column = clip(x, 0, picture.width);
    const i = Math.min(Math.floor(row), picture.height - 1);
    const j = Math.min(Math.floor(column), picture.width - 1);
    const v = row - i;
    const u = column - j;
    const k = (i * w + j) * channels + c;
    const above = (1 - u) * totals[k] + u * totals[k + channels];
    return (1 - v) * above + v * ((1 - u) * totals[k + below] + u * totals[k + below + channels]);
  };
  for (let i = 0, n = 0; i < height; i++) {
    const [y0, y1] = [top + i * stepY, top + (i + 1) * stepY];
    for (let j = 0; j < width; j++) {
      const [x0, x1] = [left + j * stepX, left + (j + 1) * stepX];
      for (let c = 0; c < channels; c++, n++) {
        const sum = at(y1, x1, c) - at(y0, x1, c) - at(y1, x0, c) + at(y0, x0, c);
        result.data[n] = clip(sum / (stepY * stepX), 0, 1);
      }
    }
  }
  return result;
}

/** totals[y, x] = Σ of all pixels above and to the left (Crow: "Summed-area tables for texture mapping", 1984). */
function totalsOf({ height, width, channels, data }) {
  const w = width + 1;
  const totals = new Float64Array((height + 1) * w * channels);
  for (let y = 0; y < height; y++) {
    for (let c = 0; c < channels; c++) {
      let row = 0;
      for (let x = 0; x < width; x++) {
        row += data[(y * width + x) * channels + c];
        totals[((y + 1) * w + x + 1) * channels + c] = totals[(y * w + x + 1) * channels + c] + row;
      }
    }
  }
  return totals;
}

/** The picture in the network's size, as it is. */
const asItIs = (picture, height, width) => {
  return resampled(picture, height, width, picture.height / height, picture.width / width, 0, 0);
};

/**
 * As MNIST's digits were prepared (LeCun, Cortes, Burges): the drawn part fits a box of 20/28 of the image, its aspect
 * kept, and its centre of mass comes to the middle.
 */
function asMnist(picture, height, width) {
  const extent = extentOf(picture);
  if (!extent) return newPicture(height, width, 1);
  const step = Math.max(extent.height / height, extent.width / width) / (20 / 28);
  const [top, left] = [extent.centreY - (step * height) / 2, extent.centreX - (step * width) / 2];
  return resampled(picture, height, width, step, step, top, left);
}

/** The picture turned (degrees, clockwise), then moved (pixels), with noise; what comes in from outside is 0. */
function damaged(picture, { turn, right, down, noise }) {
  const { height, width, channels } = picture;
  if (!turn && !right && !down && !noise) return picture;
  const result = newPicture(height, width, channels);
  const [cos, sin] = [Math.cos((turn * Math.PI) / 180), Math.sin((turn * Math.PI) / 180)];
  const [middleY, middleX] = [(height - 1) / 2, (width - 1) / 2];
  const pixel = (y, x, c) => {
    return y < 0 || x < 0 || y >= height || x >= width ? 0 : picture.data[(y * width + x) * channels + c];
  };
  const random = randomNumbers(1);
  for (let i = 0, n = 0; i < height; i++) {
    for (let j = 0; j < width; j++) {
      const [y, x] = [i - middleY - down, j - middleX - right];
      const [sourceY, sourceX] = [middleY + cos * y - sin * x, middleX + sin * y + cos * x];
      const [row, column] = [Math.floor(sourceY), Math.floor(sourceX)];
      const [v, u] = [sourceY - row, sourceX - column];
      for (let c = 0; c < channels; c++, n++) {
        const above = (1 - u) * pixel(row, column, c) + u * pixel(row, column + 1, c);
        const below = (1 - u) * pixel(row + 1, column, c) + u * pixel(row + 1, column + 1, c);
        result.data[n] = clip((1 - v) * above + v * below + noise * (2 * random() - 1), 0, 1);
      }
    }
  }
  return result;
}

/** The same random numbers from 0 to 1 each time, so that noise does not flicker (mulberry32). */
function randomNumbers(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** A photograph of writing as white on black: what differs little from its border becomes 0. */
function asWriting(picture) {
  const { height, width, data } = picture;
  const border = [];
  for (let x = 0; x < width; x++) border.push(data[x], data[(height - 1) * width + x]);
  for (let y = 0; y < height; y++) border.push(data[y * width], data[y * width + width - 1]);
  border.sort((a, b) => a - b);
  const paper = border[border.length >> 1];
  const sign = paper > 0.5 ? -1 : 1;
  let most = 0.1;
  for (const value of data) most = Math.max(most, sign * (value - paper));
  return { ...picture, data: data.map((value) => clip(((sign * (value - paper)) / most - 0.25) / 0.6, 0, 1)) };
}
