// What one number of a value is made of: for each operation, the numbers that it read and what became of them.
//
// explain(operation, xs, y, i) gives
//   kind     "sum" (products and a bias), "winner", "mean", "pass" (the number only moved), "function", "affine",
//            "standardize", "share" (softmax), "combine", "unit" or "argmax"
//   terms    [{ input, index, value, weight, product, p, q, channel }]: index -1 is padding; input is the number of xs
// and what the kind needs beside them.

const explain = (operation, xs, y, i) => EXPLANATIONS[operation.op](operation, xs, i, y);

const term = (xs, input, index, more = {}) => ({ input, index, value: index < 0 ? 0 : xs[input][index], ...more });

/** The terms of a window at a cell, padding among them, of one channel. */
function windowTerms(o, xs, i, channels, channel) {
  const w = o.window;
  const cell = Math.floor(i / o.shape[o.shape.length - 1]) % (w.outHeight * w.outWidth);
  const [row, column] = [Math.floor(cell / w.outWidth), cell % w.outWidth];
  const terms = [];
  for (let p = 0; p < w.kernelHeight; p++) {
    for (let q = 0; q < w.kernelWidth; q++) {
      const [y, x] = [row * w.strideY + p * w.dilationY - w.top, column * w.strideX + q * w.dilationX - w.left];
      const inside = y >= 0 && y < w.inHeight && x >= 0 && x < w.inWidth;
      terms.push(term(xs, 0, inside ? (y * w.inWidth + x) * channels + channel : -1, { p, q, channel }));
    }
  }
  return terms;
}

function sumOf(terms, bias) {
  for (const one of terms) one.product = one.value * one.weight;
  return { kind: "sum", terms, bias, sum: terms.reduce((sum, one) => sum + one.product, bias ?? 0) };
}

const pass = (xs, input, index) => ({ kind: "pass", terms: [term(xs, input, index)] });

const EXPLANATIONS = {
  view: (o, xs, i) => pass(xs, 0, i),
  permute: (o, xs, i) => pass(xs, 0, o.sources[i]),
  part: (o, xs, i) => pass(xs, 0, o.sources[i]),
  repeat: (o, xs, i) => pass(xs, 0, i % xs[0].length),

  place(o, xs, i) {
    const [height, width, channels] = o.inputShapes[0];
    const pixel = Math.floor(i / channels);
    const [row, column] = [Math.floor(pixel / o.shape[1]) - o.top, (pixel % o.shape[1]) - o.left];
    const inside = row >= 0 && row < height && column >= 0 && column < width;
    return pass(xs, 0, inside ? (row * width + column) * channels + (i % channels) : -1);
  },

  concatenate(o, xs, i) {
    const behind = sizeOf(o.shape.slice(o.axis + 1));
    let at = Math.floor(i / behind) % o.shape[o.axis];
    let input = 0;
    while (at >= o.inputShapes[input][o.axis]) at -= o.inputShapes[input++][o.axis];
    const block = Math.floor(i / (behind * o.shape[o.axis]));
    return pass(xs, input, (block * o.inputShapes[input][o.axis] + at) * behind + (i % behind));
  },

  conv(o, xs, i) {
    const [, , inGroup, filters] = o.kernelShape;
    const f = i % filters;
    const first = Math.floor(f / (filters / o.groups)) * inGroup;
    const terms = [];
    for (let c = 0; c < inGroup; c++) {
      for (const one of windowTerms(o, xs, i, inGroup * o.groups, first + c)) {
        const tap = one.p * o.window.kernelWidth + one.q;
        terms.push({ ...one, weight: o.kernel[(tap * inGroup + c) * filters + f] });
      }
    }
    return { ...sumOf(terms, o.bias?.[f]), window: o.window };
  },

  transposed(o, xs, i) {
    const [, , filters, channels] = o.kernelShape;
    const { window: w } = o;
    const f = i % filters;
    const pixel = Math.floor(i / filters);
    const [y, x] = [Math.floor(pixel / w.inWidth), pixel % w.inWidth];
    const terms = [];
    for (let row = 0; row < w.outHeight; row++) {
      for (let column = 0; column < w.outWidth; column++) {
        eachTap(w, row, column, (p, q, toRow, toColumn) => {
          if (toRow !== y || toColumn !== x) return;
          for (let c = 0; c < channels; c++) {
            const weight = o.kernel[((p * w.kernelWidth + q) * filters + f) * channels + c];
            terms.push(term(xs, 0, (row * w.outWidth + column) * channels + c, { weight, channel: c }));
          }
        });
      }
    }
    return sumOf(terms, o.bias?.[f]);
  },

  dense(o, xs, i) {
    const [inputs, units] = o.kernelShape;
    const [row, unit] = [Math.floor(i / units), i % units];
    const terms = [];
    for (let k = 0; k < inputs; k++) {
      terms.push(term(xs, 0, row * inputs + k, { weight: o.kernel[k * units + unit] }));
    }
    return sumOf(terms, o.bias?.[unit]);
  },

  maximum(o, xs, i, y) {
    const channels = o.inputShapes[0][2];
    const terms = windowTerms(o, xs, i, channels, i % channels);
    const winner = terms.findIndex((one) => one.index >= 0 && one.value === y[i]);
    return { kind: "winner", terms, winner, window: o.window };
  },

  mean(o, xs, i) {
    const channels = o.inputShapes[0][2];
    const terms = windowTerms(o, xs, i, channels, i % channels);
    return { kind: "mean", terms, count: terms.filter((one) => one.index >= 0).length, window: o.window };
  },

  resample(o, xs, i) {
    const [, width, channels] = o.inputShapes[0];
    const pixel = Math.floor(i / channels);
    const terms = [];
    eachResampled(o, Math.floor(pixel / o.shape[1]), pixel % o.shape[1], (row, column, weight) => {
      terms.push(term(xs, 0, (row * width + column) * channels + (i % channels), { weight }));
    });
    return sumOf(terms, o.filling?.[pixel]);
  },

  affine(o, xs, i) {
    const k = o.spread[i];
    const [centre, scale, shift] = [o.centre?.[k] ?? 0, o.scale[k], o.shift?.[k] ?? 0];
    return { kind: "affine", terms: [term(xs, 0, o.reads[i])], centre, scale, shift };
  },

  standardize(o, xs, i) {
    const { means, deviations } = momentsOf(o, xs[0]);
    const [set, k] = [o.sets[i], o.spread[i]];
    const moments = { centre: means[set], deviation: deviations[set] };
    return { kind: "standardize", terms: [term(xs, 0, i)], ...moments, scale: o.scale?.[k] ?? 1, shift: o.shift?.[k] ?? 0 };
  },

  stretch(o, xs, i) {
    const { least, most } = extentsOf(o, xs[0]);
    const [centre, spread] = [least[o.sets[i]], most[o.sets[i]] - least[o.sets[i]]];
    if (!(spread > 0)) return { kind: "pass", terms: [term(xs, 0, i)] };
    return { kind: "affine", terms: [term(xs, 0, i)], centre, scale: (o.high - o.low) / spread, shift: o.low };
  },

  unit(o, xs, i) {
    return { kind: "unit", terms: [term(xs, 0, i)], length: lengthsOf(o, xs[0])[o.sets[i]] };
  },

  function: (o, xs, i) => ({ kind: "function", name: o.name, terms: [term(xs, 0, i)] }),

  prelu(o, xs, i) {
    return { kind: "function", name: "prelu", terms: [term(xs, 0, i)], alpha: o.alpha[o.spread[i]] };
  },

  softmax(o, xs, i) {
    const members = Array.from(o.sets.keys()).filter((k) => o.sets[k] === o.sets[i]);
    const total = members.reduce((sum, k) => sum + Math.exp(xs[0][k]), 0);
    const terms = [term(xs, 0, i), ...members.filter((k) => k !== i).map((k) => term(xs, 0, k))];
    return { kind: "share", log: o.log, terms, total };
  },

  combine(o, xs, i) {
    return { kind: "combine", how: o.how, terms: xs.map((_, n) => term(xs, n, o.spreads[n][i])) };
  },

  select(o, xs, i) {
    const side = xs[0][o.spreads[0][i]] > 0 ? 0 : 1;
    const n = inputOfSide(o, side);
    const taken = o.numbers[side] === null ? [term(xs, n, o.spreads[n][i])] : [];
    return { kind: "combine", how: "select", terms: [term(xs, 0, o.spreads[0][i]), ...taken] };
  },

  argmax(o, xs, i) {
    const length = o.inputShapes[0][o.inputShapes[0].length - 1];
    return { kind: "argmax", terms: Array.from({ length }, (_, k) => term(xs, 0, i * length + k)) };
  },

  constant: (o, xs, i) => sumOf([], o.filling[i]),

  product(o, xs, i) {
    const terms = [];
    for (let k = 0; k < o.length; k++) {
      terms.push(term(xs, 0, o.rowOf[i] * o.length + k, { weight: xs[1][placeIn(o, i, k)] }));
    }
    return sumOf(terms, undefined);
  },

  dot(o, xs, i) {
    const columns = o.starts[1].length;
    const [p, q] = [Math.floor(i / columns), i % columns];
    const lengths = vectorLengths(o, xs[0], 0)[p] * vectorLengths(o, xs[1], 1)[q];
    const terms = [];
    for (let k = 0; k < o.length; k++) {
      const weight = xs[1][o.starts[1][q] + k * o.steps[1]] / lengths;
      terms.push(term(xs, 0, o.starts[0][p] + k * o.steps[0], { weight }));
    }
    return sumOf(terms, undefined);
  },
};

/** The chain from a layer's number back to what it was made of: its operations from the last, until one has terms. */
function explainLayer(network, layer, values, index) {
  const chain = [];
  let value = layer.output;
  let at = index;
  for (;;) {
    const operation = layer.operations.find((one) => one.output === value);
    if (!operation || at < 0) return chain;
    const xs = operation.inputs.map((input) => values[input]);
    const found = explain(operation, xs, values[value], at);
    chain.push({ operation, at, value: values[value][at], ...found });
    const goesOn = found.kind === "share" || (found.terms.length === 1 && found.kind !== "sum");
    if (!goesOn) return chain;
    value = operation.inputs[found.terms[0].input];
    at = found.terms[0].index;
  }
}

const SEES_ALL = new Set(["dense", "standardize", "unit", "stretch", "softmax", "dot", "product", "argmax"]);

/** Which numbers of the network's input a number depends on: a mask; null where it is all of them, or long to find. */
function receptiveField(network, values, value, index, limit = 40000) {
  const masks = network.shapes.map(() => null);
  const mask = (v) => (masks[v] ??= new Uint8Array(sizeOf(network.shapes[v])));
  mask(value)[index] = 1;
  let work = 0;
  for (let n = network.operations.length - 1; n >= 0; n--) {
    const operation = network.operations[n];
    const marked = masks[operation.output];
    if (!marked) continue;
    if (SEES_ALL.has(operation.op)) return null;
    const xs = operation.inputs.map((input) => values[input]);
    for (let i = 0; i < marked.length; i++) {
      if (!marked[i]) continue;
      const { terms } = explain(operation, xs, values[operation.output], i);
      work += terms.length;
      if (work > limit) return null;
      for (const { input, index: source } of terms) if (source >= 0) mask(operation.inputs[input])[source] = 1;
    }
  }
  return mask(network.inputValue);
}
