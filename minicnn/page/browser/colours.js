// Colours of numbers: the maps of minicnn's figures. Viridis grows evenly from dark to light, also in grey; purple,
// white and orange around 0 are told apart with any colour vision.

const VIRIDIS = ["440154", "482878", "3e4a89", "31688e", "26828e", "1f9e89", "35b779", "6ece58", "b5de2b", "fde725"];
const PURPLE_ORANGE = ["2d004b", "542788", "8073ac", "b2abd2", "d8daeb", "f7f7f7", "fee0b6", "fdb863", "e08214", "b35806", "7f3b08"];
const STEPS = 256;

/** 256 colours, as the numbers of an image's pixels (alpha, blue, green, red), between those of a list. */
function table(list) {
  const parts = list.map((colour) => [0, 2, 4].map((at) => parseInt(colour.slice(at, at + 2), 16)));
  return Uint32Array.from({ length: STEPS }, (_, i) => {
    const at = (i / (STEPS - 1)) * (parts.length - 1);
    const low = Math.min(Math.floor(at), parts.length - 2);
    const mix = parts[low].map((value, n) => Math.round(value + (parts[low + 1][n] - value) * (at - low)));
    return packed(...mix);
  });
}

const packed = (red, green, blue) => ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
const UNSIGNED = table(VIRIDIS);
const SIGNED = table(PURPLE_ORANGE);
const GREY = Uint32Array.from({ length: STEPS }, (_, i) => packed(i, i, i));

/** How an array's numbers are coloured: from 0 (or more) up, or evenly around 0. */
function scaleOf(array) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of array) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (!(low <= high)) return { low: 0, high: 1, colours: UNSIGNED };
  if (low < 0) {
    const most = Math.max(-low, high);
    return { low: -most, high: most, colours: SIGNED };
  }
  return { low: 0, high: high > 0 ? high : 1, colours: UNSIGNED };
}

/** Colours around 0, also where no number is negative. */
function signedScale(array) {
  const most = array.reduce((largest, x) => Math.max(largest, Math.abs(x)), 1e-9);
  return { low: -most, high: most, colours: SIGNED };
}

/** The packed colour of a number. */
function colourOf(value, { low, high, colours }) {
  const step = Math.round(((value - low) / (high - low)) * (STEPS - 1));
  return colours[step > STEPS - 1 ? STEPS - 1 : step > 0 ? step : 0];
}

/** A packed colour for CSS, and the colour of text on it. */
function cssColour(colour) {
  const [red, green, blue] = [colour & 255, (colour >> 8) & 255, (colour >> 16) & 255];
  const light = 0.2126 * (red / 255) ** 2.2 + 0.7152 * (green / 255) ** 2.2 + 0.0722 * (blue / 255) ** 2.2;
  return { background: `rgb(${red} ${green} ${blue})`, color: light > 0.18 ? "#000" : "#fff" };
}

/** A CSS gradient with the colours of a scale. */
function gradientOf(colours) {
  const stops = Array.from({ length: 9 }, (_, i) => cssColour(colours[Math.round((i / 8) * (STEPS - 1))]).background);
  return `linear-gradient(to right, ${stops.join(", ")})`;
}
