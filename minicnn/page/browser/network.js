// The network: its operations in order, the values between them, and which of these a layer is.

/** Numbers of a base64 text, little-endian float32, as they lie in the memory of every machine that runs a browser. */
const readNumbers = (text) => new Float32Array(readBytes(text).buffer);

const WEIGHTS = ["kernel", "bias", "centre", "scale", "shift", "alpha", "filling"];
const WITH_FILTERS = new Set(["conv", "transposed", "dense"]);

class Network {
  /** From the exported description and all its numbers. */
  constructor(description, numbers) {
    this.description = description;
    this.shapes = description.shapes;
    this.inputValue = description.input.value;
    this.outputs = description.outputs;
    this.operations = description.places.map((place) => this.#operation(place, numbers));
    this.layers = this.#layers(description.layers);
    this.off = new Map(); // layer number → Set of its filters that are switched off
  }

  #operation(place, numbers) {
    const operation = { ...place, shape: this.shapes[place.output] };
    operation.inputShapes = place.inputs.map((value) => this.shapes[value]);
    for (const name of WEIGHTS) {
      if (!Array.isArray(place[name])) continue;
      const [start, count] = place[name];
      operation[name] = numbers.subarray(start, start + count);
    }
    PREPARE[place.op]?.(operation);
    return operation;
  }

  /** Each call of a layer: the operations that are its, the values that it reads, the one that it gives. */
  #layers(list) {
    let next = 0;
    const outputs = new Set(this.outputs.map((output) => output.value));
    return list.map(({ name, kind, count, parameters }, number) => {
      const members = this.operations.slice(next, next + count);
      next += count;
      const output = members[count - 1].output;
      const inner = new Set(members.map((member) => member.output));
      const inputs = members.flatMap((member) => member.inputs).filter((value) => !inner.has(value));
      const shape = this.shapes[output];
      const kernel = members.find((member) => WITH_FILTERS.has(member.op));
      const hasFilters = kernel !== undefined && !outputs.has(output) && shape.length !== 2;
      const layer = { number, name, kind, parameters, operations: members, inputs, output, shape };
      return { ...layer, filters: hasFilters ? shape[shape.length - 1] : 0, last: next - 1 };
    });
  }

  /** The layer that gives a value; undefined for the network's input and for values inside a layer. */
  layerOf(value) {
    return this.layers.find((layer) => layer.output === value);
  }

  /** The operation that gives a value. */
  writer(value) {
    return this.operations.find((operation) => operation.output === value);
  }

  /** An array for every value; where numbers stay as they are, the same one. */
  newValues() {
    const values = this.shapes.map(() => null);
    values[this.inputValue] = new Float64Array(sizeOf(this.shapes[this.inputValue]));
    for (const { op, inputs, output, shape } of this.operations) {
      values[output] = op === "view" ? values[inputs[0]] : new Float64Array(sizeOf(shape));
    }
    return values;
  }

  /** Compute all values from the input, which is in `values` already. */
  run(values) {
    for (const operation of this.operations) this.#runOne(operation, values);
    return values;
  }

  #runOne(operation, values) {
    const xs = operation.inputs.map((value) => values[value]);
    if (operation.op !== "view") OPERATIONS[operation.op](operation, xs, values[operation.output]);
    const layer = this.off.size ? this.layerOf(operation.output) : undefined;
    const off = layer && this.off.get(layer.number);
    if (!off) return;
    const y = values[operation.output];
    for (const filter of off) for (let i = filter; i < y.length; i += layer.filters) y[i] = 0;
  }

  /** What changing one value changes: a function (array in its place) → all values. Others are those of `values`. */
  after(value, values) {
    const touched = new Set([value]);
    const later = this.operations.filter(({ inputs, output }) => {
      if (inputs.some((input) => touched.has(input)) && output !== value) touched.add(output);
      return touched.has(output) && output !== value;
    });
    const own = this.shapes.map((shape, v) => (touched.has(v) ? new Float64Array(sizeOf(shape)) : values[v]));
    return (array) => {
      own[value] = array;
      for (const operation of later) {
        if (operation.op === "view") own[operation.output] = own[operation.inputs[0]];
        this.#runOne(operation, own);
      }
      return own;
    };
  }

  /** Switch a filter of a layer off, or on again. */
  toggle(layer, filter) {
    const off = this.off.get(layer.number) ?? new Set();
    if (!off.delete(filter)) off.add(filter);
    if (off.size) this.off.set(layer.number, off);
    else this.off.delete(layer.number);
  }

  isOff(layer, filter) {
    return this.off.get(layer.number)?.has(filter) ?? false;
  }
}
