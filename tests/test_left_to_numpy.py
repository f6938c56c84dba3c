"""What the default backend leaves to NumPy: a list, with reasons. All layers' examples run for it, in training."""

from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("numba")

from minicnn import backends
from minicnn.backends.numba.machine import recording
from minicnn.backends.reference import ops as reference
from minicnn.layers import CLASSES
from minicnn.parameters import ParameterStore
from minicnn.plan.plan import Plan
from minicnn.testing.running import graph_of

HELPERS = {"InputLayer"}
COUNT = 3
SEEN = set()  # what NumPy has computed of the step that runs
BESIDE_OPS = {}  # step that says it does nothing but call ops → what else it did


class Watched(np.ndarray):
    """An array that tells which of NumPy's functions computed with it."""

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **options):
        SEEN.add(f"np.{ufunc.__name__}")
        outputs = {} if out is None else {"out": tuple(plain(a) for a in out)}
        result = getattr(ufunc, method)(*map(plain, inputs), **outputs, **options)
        return out[0] if out is not None else watched(result)

    def __array_function__(self, function, kinds, arguments, options):
        SEEN.add(f"np.{function.__name__}")
        return watched(function(*map(plain, arguments), **{k: plain(v) for k, v in options.items()}))

    def __setitem__(self, index, value):
        SEEN.add("assignment")
        plain(self)[plain(index)] = plain(value)

    def fill(self, value):
        SEEN.add("fill")
        plain(self).fill(value)


def plain(x):
    """Without the watching; also inside tuples and lists."""
    if isinstance(x, tuple | list):
        return type(x)(map(plain, x)) if type(x) in (tuple, list) else x._make(map(plain, x))
    return x.view(np.ndarray) if isinstance(x, Watched) else x


def watched(x):
    return x.view(Watched) if isinstance(x, np.ndarray) else x


def seen_op(name, function):
    """An op of the reference that is seen."""

    def call(*arguments, **options):
        SEEN.add(f"op {name}")
        return function(*arguments, **options)

    return call


def watched_ops():
    """The ops of the default backend, on arrays that do not watch; those that the reference computes are seen."""

    def op(name, function):
        function = seen_op(name, function) if "reference" in function.__module__ else function
        return lambda *arguments, **named: function(*map(plain, arguments), **{k: plain(v) for k, v in named.items()})

    return SimpleNamespace(**{name: op(name, f) for name, f in vars(backends.get("numba").ops).items()})


def left_by(layer, shapes):
    """Step class → what NumPy computed of it, forward and backward, in training."""
    graph = graph_of(layer, shapes)
    weights = list(dict.fromkeys(w for each in graph.layers for w in each.weights))
    store = ParameterStore(weights, backends.get("numba"), np.dtype("float32"), adopt=False)
    bound = Plan(graph, store, COUNT, training=True, input_gradients=True).bind(COUNT)
    rng, left = np.random.default_rng(0), {}
    for array in (*bound.inputs, *bound.head_gradients):
        array[...] = rng.uniform(0.1, 1, array.shape)
    for step in (*bound.forward_steps, *bound.backward_steps):
        watch(step.ws)
    for place, ws, _ in bound.forward_steps:
        SEEN.clear()
        place.step.forward(ws.xs, ws)
        left.setdefault(type(place.step).__name__, set()).update(SEEN)
        note_what_is_beside_ops(place.step)
    for place, ws, _ in bound.backward_steps:
        SEEN.clear()
        place.step.backward(ws.dy, ws)
        left[type(place.step).__name__].update(SEEN)
        note_what_is_beside_ops(place.step)
    return left


def note_what_is_beside_ops(step):
    beside = {seen for seen in SEEN if not seen.startswith("op ")}
    if step.only_ops and beside:
        BESIDE_OPS.setdefault(type(step).__name__, set()).update(beside)


def watch(ws):
    """Let a step see arrays that watch."""
    ws.ops = watched_ops()
    for name, value in vars(ws).items():
        if isinstance(value, np.ndarray):
            setattr(ws, name, watched(value))
        elif name in ("xs", "dxs"):
            setattr(ws, name, tuple(map(watched, value)))
        elif name in ("params", "grads", "buffers"):
            setattr(ws, name, {k: watched(v) for k, v in value.items()})


# Step → why NumPy computes a part of it, or all.
LEFT = {
    "ActivityPenalty": "a regularizer is a formula in NumPy, also one of the user's own",
    "AddLoss": "a part of the loss that a user's model computes: one number",
    "AddMetric": "a number for the logs that a user's model computes",
    "AlphaDropout": "fills an array with ones, from which its mask is drawn",
    "ArgMax": "at the end of a model that is used, not trained",
    "AttentionWeights": "what a mask leaves out, and room for gradients",
    "AugMix": "pictures on their way in",
    "AutoContrast": "pictures on their way in",
    "Concatenate": "up to 4,096 numbers, which NumPy has copied before a kernel is called; more have one",
    "ConstantTensor": "a copy for each sample",
    "Conv3D": "as Conv3DTranspose",
    "Conv3DTranspose": "adds up gradients of parts of a batch, and fills with zeros what they are added to",
    "Cropping2D": "copies rows: NumPy's memory copy",
    "Cropping3D": "copies rows: NumPy's memory copy",
    "Dot": "rare; a product of small matrices",
    "Dropout": "copies where the rate is 0, and fills an array with ones where the mask has another shape",
    "EinsumDense": "over other axes than the last ones, or along axes that input, kernel and output share; rare",
    "EarlierPlaces": "a copy of a mask for each sample",
    "Elementary": "what files of other programs and Keras's operators need; rare",
    "Equalization": "pictures on their way in",
    "FusedConv3D": "as Conv3DTranspose",
    "GetItem": "copies a part: NumPy's memory copy",
    "LayerNormalization": "over other axes than the last ones; rare",
    "CutMix": "pictures on their way in",
    "LayerScale": "of ConvNeXt alone: a product",
    "MatrixProduct": "NumPy's products of many small matrices; in files of attention",
    "MixUp": "pictures on their way in",
    "Normalizing": "a few products of a matrix and a vector, no longer than the kernel",
    "Normalization": "of its moments alone, a number a channel: the deviation from the variance",
    "Permute": "a transposed copy",
    "PlacedResizing": "a gradient of zeros for an input of which the size alone counts",
    "Power": "rare",
    "RandomBrightness": "pictures on their way in",
    "RandomColorDegeneration": "pictures on their way in",
    "RandomContrast": "pictures on their way in",
    "RandomCrop": "pictures on their way in",
    "RandAugment": "pictures on their way in",
    "RandomErasing": "pictures on their way in",
    "RandomGaussianBlur": "pictures on their way in",
    "RandomGrayscale": "pictures on their way in",
    "RandomHue": "pictures on their way in",
    "RandomPerspective": "pictures on their way in",
    "RandomInvert": "pictures on their way in",
    "RandomPosterization": "pictures on their way in",
    "RandomSaturation": "pictures on their way in",
    "RandomSharpness": "pictures on their way in",
    "Reduce": "what Keras's operators need; rare",
    "ReLU": "with a threshold, or a slope and a bound at once; rare",
    "Scores": "of attention without heads; sums for each pair of places; rare",
    "Select": "what masks of other programs' files choose; rare",
    "Softmax": "over other axes than the last ones; rare",
    "Solarization": "pictures on their way in",
    "SpatialDropout1D": "fills a row of ones, from which its mask is drawn",
    "SpatialDropout2D": "fills a row of ones, from which its mask is drawn",
    "SpatialDropout3D": "fills a row of ones, from which its mask is drawn",
    "UnitNormalization": "rare",
    "Warp": "a few numbers an image: the matrices of the moves",
    "ZeroPadding2D": "copies rows: NumPy's memory copy",
    "ZeroPadding3D": "copies rows: NumPy's memory copy",
}


@pytest.fixture
def fallbacks(monkeypatch):
    """Ops that kernels hand to the reference are seen too."""
    for namespace in (reference, recording.reference):
        for name, function in list(vars(namespace).items()):
            monkeypatch.setattr(namespace, name, seen_op(name, function))


def test_what_is_left_to_numpy_is_listed(fallbacks):
    found = {}
    for cls in CLASSES.values():
        for layer, shapes in cls.examples() if hasattr(cls, "examples") and cls.__name__ not in HELPERS else ():
            for step, seen in left_by(layer, shapes).items():
                found.setdefault(step, set()).update(seen)
    left = {step: sorted(seen) for step, seen in found.items() if seen}
    assert left.keys() - LEFT.keys() == set(), {step: left[step] for step in left.keys() - LEFT.keys()}
    assert LEFT.keys() - left.keys() == set(), "these have kernels now: strike them from the list"
    assert BESIDE_OPS == {}, "only_ops is said of steps that compute with NumPy: a plan would leave that out"


def test_the_list_would_notice(fallbacks):
    """A step that computes with NumPy, one that assigns, one whose op is left to the reference, and none of them."""
    assert "np.power" in left_by(CLASSES["Power"](3), [(3,)])["Power"]
    assert "assignment" in left_by(CLASSES["Cropping2D"](1), [(4, 4, 2)])["Cropping2D"]
    assert left_by(CLASSES["Softmax"](1), [(3, 2)]) == {"Softmax": {"op softmax", "op softmax_backward"}}
    assert left_by(CLASSES["Softmax"](), [(3, 2)]) == {"Softmax": set()}
