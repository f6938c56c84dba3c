// The arithmetic: how each operation computes its output `y` from its inputs `xs`.
//
// Values are Float64Arrays in NumPy's order, the last axis fastest, without a batch axis. An operation is an object of
// the exported description (minicnn/page/operations.py), with its weights put in place of their [start, count], and
// with `inputShapes` and `shape`.

const sizeOf = (shape) => shape.reduce((product, n) => product * n, 1);

/** How far apart neighbours along each axis lie. */
function stridesOf(shape) {
  const strides = new Array(shape.length).fill(1);
  for (let axis = shape.length - 2; axis >= 0; axis--) strides[axis] = strides[axis + 1] * shape[axis + 1];
  return strides;
}

/** For each element of a value of shape `shape`: Σ over axes of its coordinate · strides[axis]. */
function indicesBy(shape, strides) {
  const indices = new Int32Array(sizeOf(shape));
  const own = stridesOf(shape);
  for (let i = 0; i < indices.length; i++) {
    let rest = i;
    for (let axis = 0; axis < shape.length; axis++) {
      const at = Math.floor(rest / own[axis]);
      rest -= at * own[axis];
      indices[i] += at * strides[axis];
    }
  }
  return indices;
}

/** For each element of `shape`, which one of a value of shape `sizes`, 1 along some axes, belongs to it. */
function spreadIndices(shape, sizes) {
  const padded = [...new Array(shape.length - sizes.length).fill(1), ...sizes];
  const strides = stridesOf(padded).map((stride, axis) => (padded[axis] === 1 ? 0 : stride));
  return indicesBy(shape, strides);
}

/** For each element of `shape`, the number of the set that it is in: elements that differ along `axes` alone. */
function setIndices(shape, axes) {
  return spreadIndices(shape, shape.map((n, axis) => (axes.includes(axis) ? 1 : n)));
}

/** A window's numbers by name, from the list that the export writes. */
function readWindow(list) {
  const names = ["inHeight", "inWidth", "outHeight", "outWidth", "kernelHeight", "kernelWidth"];
  names.push("strideY", "strideX", "dilationY", "dilationX", "top", "left");
  return Object.fromEntries(names.map((name, i) => [name, list[i]]));
}

/** Calls visit(p, q, row, column) for each tap of a window whose pixel is inside the input. */
function eachTap(w, i, j, visit) {
  for (let p = 0; p < w.kernelHeight; p++) {
    const row = i * w.strideY + p * w.dilationY - w.top;
    if (row < 0 || row >= w.inHeight) continue;
    for (let q = 0; q < w.kernelWidth; q++) {
      const column = j * w.strideX + q * w.dilationX - w.left;
      if (column >= 0 && column < w.inWidth) visit(p, q, row, column);
    }
  }
}

/** Sums of x over sets: `count` of them, element i in set sets[i]. */
function sumsOver(x, sets, count) {
  const sums = new Float64Array(count);
  for (let i = 0; i < x.length; i++) sums[sets[i]] += x[i];
  return sums;
}

/** What is computed once for an operation: its tables of indices. */
const PREPARE = {
  conv: (o) => { o.window = readWindow(o.window); },
  transposed: (o) => { o.window = readWindow(o.window); },
  maximum: (o) => { o.window = readWindow(o.window); },
  mean: (o) => { o.window = readWindow(o.window); },
  permute: (o) => {
    const strides = stridesOf(o.inputShapes[0]);
    o.sources = indicesBy(o.shape, o.order.map((axis) => strides[axis]));
  },
  part: (o) => { o.sources = indicesBy(o.shape, o.steps).map((source) => source + o.corner); },
  affine: (o) => {
    o.spread = spreadIndices(o.shape, o.sizes);
    o.reads = spreadIndices(o.shape, o.inputShapes[0]); // numbers beside it may be more than its own
  },
  prelu: (o) => { o.spread = spreadIndices(o.shape, o.sizes); },
  combine: (o) => { o.spreads = o.inputShapes.map((shape) => spreadIndices(o.shape, shape)); },
  select: (o) => { o.spreads = o.inputShapes.map((shape) => spreadIndices(o.shape, shape)); },
  softmax: (o) => { o.sets = setIndices(o.shape, o.axes); },
  unit: (o) => { o.sets = setIndices(o.shape, o.axes); },
  stretch: (o) => { o.sets = setIndices(o.shape, o.axes); },
  standardize: (o) => {
    o.sets = setIndices(o.parts, o.axes);
    o.spread = spreadIndices(o.shape, o.sizes);
  },
  dot: (o) => {
    const [a, b] = o.inputShapes;
    const strides = [stridesOf(a), stridesOf(b)];
    o.length = a[o.axes[0]];
    o.steps = [0, 1].map((n) => strides[n][o.axes[n]]);
    o.starts = [0, 1].map((n) => {
      const others = o.inputShapes[n].map((_, axis) => axis).filter((axis) => axis !== o.axes[n]);
      return indicesBy(others.map((axis) => o.inputShapes[n][axis]), others.map((axis) => strides[n][axis]));
    });
  },
  product: (o) => {
    const [a, b] = o.inputShapes;
    [o.length, o.columns] = b.slice(-2);
    o.rowOf = spreadIndices(o.shape, [...a.slice(0, -1), 1]);
    o.columnOf = spreadIndices(o.shape, [...b.slice(0, -2), 1, o.columns]);
  },
};

const OPERATIONS = {
  /** y[i,j,f] = bias[f] + Σ over taps and the channels of f's group of x · kernel[p,q,c,f]. */
  conv(o, [x], y) {
    const [, , inGroup, filters] = o.kernelShape;
    const { window: w, kernel, bias, groups } = o;
    const channels = inGroup * groups;
    const share = filters / groups;
    const sums = new Float64Array(filters);
    for (let i = 0, at = 0; i < w.outHeight; i++) {
      for (let j = 0; j < w.outWidth; j++, at += filters) {
        if (bias) sums.set(bias);
        else sums.fill(0);
        for (let p = 0; p < w.kernelHeight; p++) {
          const row = i * w.strideY + p * w.dilationY - w.top;
          if (row < 0 || row >= w.inHeight) continue;
          for (let q = 0; q < w.kernelWidth; q++) {
            const column = j * w.strideX + q * w.dilationX - w.left;
            if (column < 0 || column >= w.inWidth) continue;
            const pixel = (row * w.inWidth + column) * channels;
            const tap = (p * w.kernelWidth + q) * inGroup * filters;
            for (let group = 0; group < groups; group++) {
              const [start, end] = [group * share, (group + 1) * share];
              for (let c = 0; c < inGroup; c++) {
                const value = x[pixel + group * inGroup + c];
                if (value === 0) continue; // most of a drawing, and half of what ReLU gives
                const first = tap + c * filters;
                for (let f = start; f < end; f++) sums[f] += value * kernel[first + f];
              }
            }
          }
        }
        y.set(sums, at);
      }
    }
  },

  /** Every input pixel adds kernel · x to the output pixels that a convolution over the output would read for it. */
  transposed(o, [x], y) {
    const [, , filters, channels] = o.kernelShape;
    const { window: w, kernel, bias } = o;
    for (let i = 0; i < y.length; i++) y[i] = bias ? bias[i % filters] : 0;
    for (let i = 0; i < w.outHeight; i++) {
      for (let j = 0; j < w.outWidth; j++) {
        const pixel = (i * w.outWidth + j) * channels;
        eachTap(w, i, j, (p, q, row, column) => {
          const target = (row * w.inWidth + column) * filters;
          for (let f = 0; f < filters; f++) {
            const first = ((p * w.kernelWidth + q) * filters + f) * channels;
            let sum = 0;
            for (let c = 0; c < channels; c++) sum += x[pixel + c] * kernel[first + c];
            y[target + f] += sum;
          }
        });
      }
    }
  },

  /** y = x · kernel + bias, over the last axis. */
  dense(o, [x], y) {
    const [inputs, units] = o.kernelShape;
    const { kernel, bias } = o;
    for (let row = 0; row * inputs < x.length; row++) {
      const sums = y.subarray(row * units, (row + 1) * units);
      if (bias) sums.set(bias);
      else sums.fill(0);
      for (let i = 0; i < inputs; i++) {
        const value = x[row * inputs + i];
        if (value === 0) continue;
        for (let u = 0, first = i * units; u < units; u++) sums[u] += value * kernel[first + u];
      }
    }
  },

  maximum(o, [x], y) {
    const channels = o.inputShapes[0][2];
    const w = o.window;
    y.fill(-Infinity);
    for (let i = 0, at = 0; i < w.outHeight; i++) {
      for (let j = 0; j < w.outWidth; j++, at += channels) {
        eachTap(w, i, j, (p, q, row, column) => {
          const pixel = (row * w.inWidth + column) * channels;
          for (let c = 0; c < channels; c++) if (x[pixel + c] > y[at + c]) y[at + c] = x[pixel + c];
        });
      }
    }
  },

  /** The mean of the window's pixels, of which padding is none. */
  mean(o, [x], y) {
    const channels = o.inputShapes[0][2];
    const w = o.window;
    y.fill(0);
    for (let i = 0, at = 0; i < w.outHeight; i++) {
      for (let j = 0; j < w.outWidth; j++, at += channels) {
        let count = 0;
        eachTap(w, i, j, (p, q, row, column) => {
          const pixel = (row * w.inWidth + column) * channels;
          for (let c = 0; c < channels; c++) y[at + c] += x[pixel + c];
          count++;
        });
        for (let c = 0; c < channels; c++) y[at + c] /= count;
      }
    }
  },

  permute(o, [x], y) {
    for (let i = 0; i < y.length; i++) y[i] = x[o.sources[i]];
  },

  part(o, [x], y) {
    for (let i = 0; i < y.length; i++) y[i] = x[o.sources[i]];
  },

  repeat(o, [x], y) {
    for (let n = 0; n < o.times; n++) y.set(x, n * x.length);
  },

  /** An image inside a larger one of zeros, or a part of it: its corner comes to (top, left). */
  place(o, [x], y) {
    const [height, width, channels] = o.inputShapes[0];
    const [outHeight, outWidth] = o.shape;
    y.fill(0);
    for (let i = Math.max(0, o.top); i < Math.min(outHeight, height + o.top); i++) {
      for (let j = Math.max(0, o.left); j < Math.min(outWidth, width + o.left); j++) {
        const source = ((i - o.top) * width + j - o.left) * channels;
        for (let c = 0; c < channels; c++) y[(i * outWidth + j) * channels + c] = x[source + c];
      }
    }
  },

  concatenate(o, xs, y) {
    const behind = sizeOf(o.shape.slice(o.axis + 1));
    const whole = o.shape[o.axis] * behind;
    let start = 0;
    xs.forEach((x, n) => {
      const part = o.inputShapes[n][o.axis] * behind;
      for (let block = 0; block * part < x.length; block++) {
        y.set(x.subarray(block * part, (block + 1) * part), block * whole + start);
      }
      start += part;
    });
  },

  /** Each new pixel is a weighted sum of old ones, along rows and along columns. */
  resample(o, [x], y) {
    const [, width, channels] = o.inputShapes[0];
    const [outHeight, outWidth] = o.shape;
    y.fill(0);
    for (let i = 0; i < outHeight; i++) {
      for (let j = 0; j < outWidth; j++) {
        const at = (i * outWidth + j) * channels;
        eachResampled(o, i, j, (row, column, weight) => {
          const source = (row * width + column) * channels;
          for (let c = 0; c < channels; c++) y[at + c] += weight * x[source + c];
        });
        if (o.filling) for (let c = 0; c < channels; c++) y[at + c] += o.filling[i * outWidth + j];
      }
    }
  },

  /** (x - centre) · scale + shift. */
  affine(o, [x], y) {
    const { reads, spread, centre, scale, shift } = o;
    for (let i = 0; i < y.length; i++) {
      const k = spread[i];
      y[i] = (x[reads[i]] - (centre ? centre[k] : 0)) * scale[k] + (shift ? shift[k] : 0);
    }
  },

  standardize(o, [x], y) {
    const { means, deviations } = momentsOf(o, x);
    for (let i = 0; i < y.length; i++) {
      const set = o.sets[i];
      const k = o.spread[i];
      y[i] = ((x[i] - means[set]) / deviations[set]) * (o.scale ? o.scale[k] : 1) + (o.shift ? o.shift[k] : 0);
    }
  },

  unit(o, [x], y) {
    const lengths = lengthsOf(o, x);
    for (let i = 0; i < y.length; i++) y[i] = x[i] / lengths[o.sets[i]];
  },

  /** Each channel from its least to its most fills the range from low to high; one of equal numbers stays. */
  stretch(o, [x], y) {
    const { least, most } = extentsOf(o, x);
    for (let i = 0; i < y.length; i++) {
      const set = o.sets[i];
      const spread = most[set] - least[set];
      y[i] = spread > 0 ? ((x[i] - least[set]) / spread) * (o.high - o.low) + o.low : x[i];
    }
  },

  function(o, [x], y) {
    const apply = FUNCTIONS[o.name];
    for (let i = 0; i < y.length; i++) y[i] = apply(x[i], o);
  },

  prelu(o, [x], y) {
    for (let i = 0; i < y.length; i++) y[i] = x[i] > 0 ? x[i] : o.alpha[o.spread[i]] * x[i];
  },

  softmax(o, [x], y) {
    const { largest, sums } = powersOf(o, x);
    for (let i = 0; i < y.length; i++) {
      const set = o.sets[i];
      const difference = x[i] - largest[set];
      y[i] = o.log ? difference - Math.log(sums[set]) : Math.exp(difference) / sums[set];
    }
  },

  argmax(o, [x], y) {
    const length = o.inputShapes[0][o.inputShapes[0].length - 1];
    for (let i = 0; i < y.length; i++) {
      let best = 0;
      for (let k = 1; k < length; k++) if (x[i * length + k] > x[i * length + best]) best = k;
      y[i] = best;
    }
  },

  combine(o, xs, y) {
    const join = COMBINATIONS[o.how];
    for (let i = 0; i < y.length; i++) {
      let value = xs[0][o.spreads[0][i]];
      for (let n = 1; n < xs.length; n++) value = join(value, xs[n][o.spreads[n][i]]);
      y[i] = o.how === "average" ? value / xs.length : value;
    }
  },

  select(o, xs, y) {
    for (let i = 0; i < y.length; i++) y[i] = selected(o, xs, i);
  },

  constant(o, [x], y) { y.set(o.filling); },

  /** y[…,p,q] = Σ over k of a[…,p,k] · b[…,k,q]. */
  product(o, [a, b], y) {
    for (let i = 0; i < y.length; i++) {
      y[i] = 0;
      for (let k = 0; k < o.length; k++) y[i] += a[o.rowOf[i] * o.length + k] * b[placeIn(o, i, k)];
    }
  },

  /** Scalar products of the vectors along one axis of each input. */
  dot(o, [a, b], y) {
    const [first, second] = [a, b].map((x, n) => vectorLengths(o, x, n));
    const columns = o.starts[1].length;
    for (let i = 0; i < y.length; i++) {
      const p = Math.floor(i / columns);
      const q = i % columns;
      let sum = 0;
      for (let k = 0; k < o.length; k++) {
        sum += a[o.starts[0][p] + k * o.steps[0]] * b[o.starts[1][q] + k * o.steps[1]];
      }
      y[i] = sum / (first[p] * second[q]);
    }
  },
};

/** Calls visit(row, column, weight) for the old pixels that a new one is made of. */
function eachResampled(o, i, j, visit) {
  const [[rowIndex, rowWeight], [columnIndex, columnWeight]] = [o.rows, o.columns];
  for (let p = 0; p < rowIndex.length; p++) {
    for (let q = 0; q < columnIndex.length; q++) {
      const weight = rowWeight[p][i] * columnWeight[q][j];
      if (weight !== 0) visit(rowIndex[p][i], columnIndex[q][j], weight);
    }
  }
}

/** Mean and √(variance + epsilon) of each set of a standardization. */
function momentsOf(o, x) {
  const count = o.sets[x.length - 1] + 1;
  const each = x.length / count;
  const means = o.centred ? sumsOver(x, o.sets, count).map((sum) => sum / each) : new Float64Array(count);
  const squares = x.map((value, i) => (value - means[o.sets[i]]) ** 2);
  const deviations = sumsOver(squares, o.sets, count).map((sum) => Math.sqrt(sum / each + o.epsilon));
  return { means, deviations };
}

/** |v| of each set, kept away from 0. */
function lengthsOf(o, x) {
  const squares = x.map((value) => value * value);
  return sumsOver(squares, o.sets, o.sets[x.length - 1] + 1).map((sum) => Math.sqrt(Math.max(sum, 1e-24)));
}

/** The smallest and the largest number of each set. */
function extentsOf(o, x) {
  const count = o.sets[x.length - 1] + 1;
  const [least, most] = [new Float64Array(count).fill(Infinity), new Float64Array(count).fill(-Infinity)];
  for (let i = 0; i < x.length; i++) {
    least[o.sets[i]] = Math.min(least[o.sets[i]], x[i]);
    most[o.sets[i]] = Math.max(most[o.sets[i]], x[i]);
  }
  return { least, most };
}

/** The largest number of each set, and Σ exp(x - largest). */
function powersOf(o, x) {
  const count = o.sets[x.length - 1] + 1; // the last element is in the last set
  const largest = new Float64Array(count).fill(-Infinity);
  for (let i = 0; i < x.length; i++) largest[o.sets[i]] = Math.max(largest[o.sets[i]], x[i]);
  const powers = x.map((value, i) => Math.exp(value - largest[o.sets[i]]));
  return { largest, sums: sumsOver(powers, o.sets, count) };
}
