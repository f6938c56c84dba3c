// Functions of single numbers, by the names that an export gives them; `o` holds the operation's options.
// Formulas and sources: minicnn/backends/reference/activation.py and minicnn/layers/elementary.py.

const SELU_SCALE = 1.0507009873554805;
const SELU_ALPHA = 1.6732632423543772;
const SHRINK = 0.5;

const clip = (x, low, high) => (x < low ? low : x > high ? high : x);
const sigmoid = (x) => 0.5 + 0.5 * Math.tanh(0.5 * x);
const softplus = (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
const hardSigmoid = (x) => clip(x, -3, 3) / 6 + 0.5;

/** 2/√π · ∫ exp(-t²) dt from 0 to x: the midpoint rule with a correction for its poles (Chiarella, Reichel, 1968). */
function erf(value) {
  const x = clip(value, -6, 6);
  const h = 0.5;
  let total = 0;
  for (let k = 0; k < 13; k++) {
    const t = (k + 0.5) * h;
    total += Math.exp(-t * t) / (x * x + t * t);
  }
  return Math.tanh((Math.PI / h) * x) - ((2 * h) / Math.PI) * x * Math.exp(-x * x) * total;
}

/** The even one of two nearest integers, as NumPy rounds. */
function roundToEven(x) {
  const floor = Math.floor(x);
  if (x - floor !== 0.5) return Math.round(x);
  return floor % 2 === 0 ? floor : floor + 1;
}

/** The nearest number of float16: 11 bits, and none above 65504 but infinity. */
function roundToHalf(x) {
  if (!Number.isFinite(x)) return x;
  const step = 2 ** (Math.max(Math.floor(Math.log2(Math.abs(x))), -14) - 10);
  const y = roundToEven(x / step) * step;
  return Math.abs(y) > 65504 ? Math.sign(x) * Infinity : y;
}

const FUNCTIONS = {
  relu(x, o) {
    if (x <= o.threshold) return o.slope ? o.slope * (x - o.threshold) : 0;
    return o.most === null ? x : Math.min(x, o.most);
  },
  sigmoid,
  tanh: Math.tanh,
  elu: (x, o) => (x > 0 ? x : (o.alpha ?? 1) * Math.expm1(x)),
  erf,
  exponential: Math.exp,
  gelu: (x) => x * (0.5 + 0.5 * erf(Math.SQRT1_2 * x)),
  hard_shrink: (x) => (Math.abs(x) > SHRINK ? x : 0),
  hard_sigmoid: hardSigmoid,
  hard_silu: (x) => x * hardSigmoid(x),
  hard_tanh: (x) => clip(x, -1, 1),
  log_sigmoid: (x) => -softplus(-x),
  mish: (x) => x * Math.tanh(softplus(x)),
  selu: (x) => SELU_SCALE * (x > 0 ? x : SELU_ALPHA * Math.expm1(x)),
  silu: (x) => x * sigmoid(x),
  soft_shrink: (x) => x - clip(x, -SHRINK, SHRINK),
  softplus,
  softsign: (x) => x / (1 + Math.abs(x)),
  sparse_plus: (x) => (x >= 1 ? x : (Math.max(x, -1) + 1) ** 2 / 4),
  sparse_sigmoid: (x) => clip(x / 2 + 0.5, 0, 1),
  squareplus: (x) => (x + Math.sqrt(x * x + 4)) / 2,
  tanh_shrink: (x) => x - Math.tanh(x),
  power: (x, o) => x ** o.exponent,
  clip: (x, o) => clip(x, o.least ?? -Infinity, o.most ?? Infinity),
  abs: Math.abs,
  ceil: Math.ceil,
  cos: Math.cos,
  expm1: Math.expm1,
  float16: roundToHalf,
  floor: Math.floor,
  hard_sigmoid_2: (x) => clip(0.2 * x + 0.5, 0, 1),
  log: Math.log,
  log1p: Math.log1p,
  nan: (x) => Number(Number.isNaN(x)),
  nonnegative: (x) => Number(x >= 0),
  positive: (x) => Number(x > 0),
  round: roundToEven,
  sign: Math.sign,
  sin: Math.sin,
  tan: Math.tan,
  zero: (x) => Number(x === 0),
};

/** Which input holds what a mask chooses where it is above 0 (side 0), and elsewhere (side 1). */
const inputOfSide = (o, side) => (side === 0 || o.numbers[0] !== null ? 1 : 2);

/** What a mask chooses, of two inputs or numbers; infinite numbers are text. */
function selected(o, xs, i) {
  const side = xs[0][o.spreads[0][i]] > 0 ? 0 : 1;
  const number = o.numbers[side];
  const n = inputOfSide(o, side);
  return number === null ? xs[n][o.spreads[n][i]] : Number(String(number).replace("inf", "Infinity"));
}

const COMBINATIONS = {
  add: (a, b) => a + b,
  subtract: (a, b) => a - b,
  multiply: (a, b) => a * b,
  divide: (a, b) => a / b,
  average: (a, b) => a + b, // divided by their number in the end
  maximum: (a, b) => (a > b || a !== a ? a : b),
  minimum: (a, b) => (a < b || a !== a ? a : b),
};

/** Where the k-th number of a product's column is that gives number i. */
function placeIn(o, i, k) {
  const matrix = Math.floor(o.columnOf[i] / o.columns);
  return (matrix * o.length + k) * o.columns + (o.columnOf[i] % o.columns);
}

/** By what the vectors of a dot product's input are divided: their lengths if it normalizes, else 1. */
function vectorLengths(o, x, n) {
  return Float64Array.from(o.starts[n], (start) => {
    if (!o.normalize) return 1;
    let sum = 0;
    for (let k = 0; k < o.length; k++) sum += x[start + k * o.steps[n]] ** 2;
    return Math.sqrt(Math.max(sum, 1e-14));
  });
}
