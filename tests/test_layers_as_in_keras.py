"""Every layer that Keras has computes what Keras's does, with the options that users set, and so do its gradients.

`golden/make_keras_layers.py` noted Keras's numbers down; the cases stand in `layer_cases.py`. A layer, or an option of
one, that is added to the package and has no case makes a test fail.
"""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from layer_cases import CASES, called, inputs, made, noted, slope, weight
from oracles import every_backend

import minicnn as mc
from minicnn import layers
from minicnn.gradient_check import gradcheck
from minicnn.registry import constructor_parameters
from minicnn.testing.running import run

EXPECTED = json.loads(Path(__file__).with_name("golden").joinpath("keras_layers.json").read_text(encoding="utf-8"))
TOLERANCE = 1e-6  # of the sizes' sum, in float64; Keras resizes images in float32
KERAS_NAMES = re.search(
    r"^layers:\n((?: .*\n)+)", (Path(__file__).parent / "keras_names.txt").read_text("utf-8"), re.M
)[1].split()


def same(actual, expected, what):
    """An array is the one that Keras's sums were noted of."""
    shape, *sums = expected
    got_shape, *got = noted(actual)
    assert got_shape == shape, what
    assert np.abs(np.subtract(got, sums)).max() <= TOLERANCE * max(sums[1], 1), (what, got, sums)


@pytest.fixture
def case(request):
    """(layer with the noted weights, its graph, inputs)."""
    name, options, *shapes = CASES[request.param]
    layer = made(mc, name, options)
    tensors = [mc.Input(shape) for shape in shapes]
    graph = mc.Model(tensors, called(layer, name, tensors)).graph
    assert [list(w.shape) for w in layer.weights] == EXPECTED[request.param]["weights"]
    layer.set_weights([weight(place, w.shape) for place, w in enumerate(layer.weights)])
    return layer, graph, inputs(shapes)


@every_backend
@pytest.mark.parametrize("fuses", [True, False])
@pytest.mark.parametrize(("case", "name"), [(name, name) for name in CASES], indirect=["case"], ids=CASES)
def test_values_and_gradients_are_those_of_keras(case, name, fuses, backend):
    (layer, graph, xs), expected = case, EXPECTED[name]
    (y,) = run(graph, xs, None, backend, False, fuses, "float64").outputs
    same(y, expected["y"], "y")
    if "trained" not in expected:  # at random
        return
    result = run(graph, xs, [slope(y.shape)], backend, True, fuses, "float64")
    same(result.outputs[0], expected["trained"], "y in training")
    for dx, noted_dx in zip(result.dxs, expected["dxs"], strict=True):
        same(dx, noted_dx, "dx")
    trained = [w for w in layer.weights if w.has_gradient]
    for w, gradient in zip(trained, expected["gradients"], strict=True):
        same(result.grads[w.path], gradient, f"gradient of {w.name}")
    for w, after in zip(layer.weights, expected["after"], strict=True):
        if w.path in result.state:
            same(result.state[w.path], after, f"{w.name} after the iteration")


# ------------------------------------------------------------------------------------------------ nothing is forgotten

ELSEWHERE = {
    "Embedding": "takes the numbers of its rows: test_embedding.py",
    "InputLayer": "computes nothing",
    "Pipeline": "layers one after the other: test_random_policies.py",
    **dict.fromkeys(
        ("AutoContrast", "Equalization", "Solarization"),
        "change pictures: test_random_filters.py, test_random_policies.py",
    ),
    **dict.fromkeys(
        ("AugMix", "CutMix", "MixUp", "RandAugment"), "at random: test_random_mixing.py, test_random_policies.py"
    ),
}
"""Layers of Keras's whose values are compared by other tests, beside those that change pictures at random."""

UNCOMPARED_OPTIONS = {
    *("seed", "dropout", "flash_attention", "synchronized", "rate", "stddev"),  # at random, or how it is computed
    "fill_mode",  # which has one value
}
"""Beside those of weights, initializers, regularizers and constraints: test_layer_options.py."""


TRANSPOSED = "Conv1DTranspose", "Conv2DTranspose"


def compared_layers():
    """Those of Keras's that have to have cases."""
    return [n for n in layers.CLASSES if n in KERAS_NAMES and n not in ELSEWHERE and not n.startswith("Random")]


def test_every_layer_that_keras_has_is_compared():
    missing = {*compared_layers()} - {case[0] for case in CASES.values()}
    assert not missing, f"write cases of {missing} in layer_cases.py, then run golden/make_keras_layers.py"


@pytest.mark.parametrize("name", compared_layers())
def test_every_option_is_compared(name):
    """A case, or an example of the contract tests, has another value than the default."""
    cls = layers.CLASSES[name]
    common = {p.name for p in constructor_parameters(layers.Layer)}
    configs = [made(mc, *case[:2]).get_config() for case in CASES.values() if case[0] == name]
    configs += [layer.get_config() for layer, _ in cls.examples()]
    for parameter in constructor_parameters(cls):
        known = parameter.name in common | UNCOMPARED_OPTIONS or parameter.kind is parameter.VAR_KEYWORD
        known = known or (name in TRANSPOSED and parameter.name == "dilation_rate")  # below
        if known or parameter.name.endswith(("_initializer", "_regularizer", "_constraint")):
            continue
        values = {json.dumps(config[parameter.name], sort_keys=True) for config in configs}
        assert len(values) > 1 or parameter.default is parameter.empty, f"{name}: no case sets {parameter.name}"


@every_backend
@pytest.mark.parametrize(("kernel_size", "dilation_rate"), [(2, 2), ((3, 2), (1, 2))])
def test_transposed_convolutions_with_gaps(kernel_size, dilation_rate, backend, rng):
    """TensorFlow computes none on a processor. Σ convolution(x) · y is Σ x · transposed(y), with the same kernel."""
    options = {"kernel_size": kernel_size, "dilation_rate": dilation_rate, "use_bias": False}
    there, back = layers.Conv2D(4, **options), layers.Conv2DTranspose(3, **options)
    x = rng.normal(size=(2, 7, 6, 3))
    graph = mc.Model(image := mc.Input(x.shape[1:]), there(image)).graph
    (found,) = run(graph, [x], None, "numpy", dtype="float64").outputs
    graph = mc.Model(image := mc.Input(found.shape[1:]), back(image)).graph
    back.set_weights(there.get_weights())
    y = rng.normal(size=found.shape)
    (transposed,) = run(graph, [y], None, backend, dtype="float64").outputs
    assert transposed.shape == x.shape
    assert np.vdot(found, y) == pytest.approx(np.vdot(x, transposed), rel=1e-9, abs=1e-9)
    again = layers.Conv2DTranspose(3, **options)
    assert gradcheck(again, input_shape=(3, 4, 2), backend=backend).error <= 1e-6
