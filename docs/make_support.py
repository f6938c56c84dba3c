"""What each layer can do, tried out: the table of layer_support.md. ``python docs/make_support.py`` writes the page.

Needs the extras `keras` and `onnx`. A tick is what worked here, with the first of the layer's `examples()`.
"""

import ast
import tempfile
import warnings
from pathlib import Path

import numpy as np

import minicnn as mc
from minicnn.gradient_check import gradcheck
from minicnn.layers import CLASSES

DOCS = Path(__file__).resolve().parent
PAGE = DOCS / "layer_support.md"
BACKENDS = Path(mc.__file__).parent / "backends"
YES, NO = "✓", "–"
TOLERANCE = 1e-4  # of numbers in float32, by another library's kernels

HEAD = """\
# What each layer can do

`python docs/make_support.py` tries each layer out, with the first of its `examples()`, and writes this page;
`tests/test_documentation.py` looks whether it is what the code does. ✓: it worked; –: it was refused.

- **numpy**: computed by the reference.
- **numba**, **cupy**: ✓ every op that it calls, forwards and backwards, has a kernel there. *2 of 3*: so many have it,
  and the others are the reference's, of NumPy's functions (on a GPU of CuPy's). *NumPy*: it calls no ops, but those.
- **gradient**: compared with a finite difference in float64 ([gradcheck](design.md#gradients-that-one-can-check)). That
  of `SpectralNormalization` takes the vectors of its power iteration for constants, as in Keras, which a finite
  difference does not.
- **Keras written**, **read**: a model of the layer went into a `.keras` file, and came out of it with the same numbers.
  What Keras makes of such files, and minicnn of Keras's, `tests/test_keras_oracle_files.py` compares.
- **ONNX written**, **read**: the same with an [ONNX file](files.md#onnx). What needs no input has none.
- **page**: as a part of a network on a [web page](page.md).

| layer | numpy | numba | cupy | gradient | Keras written | Keras read | ONNX written | ONNX read | page |
|---|---|---|---|---|---|---|---|---|---|
"""


def functions_of(backend):
    """The names of the functions in a backend's files, without importing it."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in (BACKENDS / backend).glob("*.py")]
    return {node.name for tree in trees for node in tree.body if isinstance(node, ast.FunctionDef)}


ON_GPUS = functions_of("cupy")


def example(name):
    """A new layer of the class, and the shapes of its inputs."""
    layer, shapes = next(iter(CLASSES[name].examples()))
    return layer, list(shapes)


def model_of(name):
    """(a model of the layer alone, data for it)"""
    layer, shapes = example(name)
    inputs = [mc.Input(shape) for shape in shapes]
    model = mc.Model(inputs, layer.call_symbolically(inputs).outputs)
    rng = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(weight.numpy() + rng.uniform(-0.3, 0.3, weight.shape))
    xs = [rng.uniform(0.1, 0.9, (2, *shape)).astype(np.float32) for shape in shapes]
    return model, xs if len(xs) > 1 else xs[0]


def tried(function):
    """✓ where it gives True, – where it refuses. Other numbers are no refusal, and nothing that a table may hide."""
    try:
        found = function()
    except Exception:  # whatever it refuses with
        return NO
    if not found:
        raise AssertionError("it gave other numbers, or nothing, where it should have refused")
    return YES


def gives_the_same(model, xs, expected):
    """Whether a model computes the numbers of another one."""
    found = model.predict(xs)
    several = isinstance(expected, list | tuple)
    pairs = zip(found, expected, strict=True) if several else [(found, expected)]
    return all(np.allclose(a, b, rtol=TOLERANCE, atol=TOLERANCE) for a, b in pairs)


def on_a_page(name):
    """A model from pixels to the layer."""
    layer, shapes = example(name)
    pixels = mc.Input((4, 4, 1))
    flat = mc.layers.Flatten()(pixels)
    made = [mc.layers.Reshape(shape)(mc.layers.Dense(int(np.prod(shape)))(flat)) for shape in shapes]
    return mc.Model(pixels, layer.call_symbolically(made).outputs)


def row(name, folder):
    """The cells of a layer."""
    model, xs = model_of(name)
    expected = model.predict(xs)
    layer, shapes = example(name)
    check = []
    gradient = tried(lambda: check.append(gradcheck(layer, input_shape=shapes if len(shapes) > 1 else shapes[0])) or 1)
    keras, onnx = folder / f"{name}.keras", folder / f"{name}.onnx"
    return [
        *kernels(check[0].kernels if check else ()),
        gradient,
        tried(lambda: model.save(keras) is None),
        tried(lambda: gives_the_same(mc.load_model(keras), xs, expected)),
        tried(lambda: mc.export_onnx(model, onnx) is None or onnx.exists()),
        tried(lambda: gives_the_same(mc.import_onnx(onnx), xs, expected)),
        tried(lambda: mc.export_html(on_a_page(name), folder / f"{name}.html") is None or True),
    ]


def kernels(ran):
    """The cells of numpy, numba and cupy: of the ops that a check on numba ran, as "module.op"."""
    ops = {kernel.rsplit(".", 1)[1] for kernel in ran}
    compiled = {kernel.rsplit(".", 1)[1] for kernel in ran if kernel.startswith("numba.")}
    yield YES
    for own in (compiled, ops & ON_GPUS):
        yield "NumPy" if not ops else YES if own == ops else f"{len(own)} of {len(ops)}"


def table():
    """The page."""
    names = [name for name, cls in CLASSES.items() if hasattr(cls, "examples") and list(cls.examples())]
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lines = [f"| `{name}` | {' | '.join(row(name, Path(folder)))} |" for name in sorted(names)]
    return HEAD + "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(table(), encoding="utf-8")
