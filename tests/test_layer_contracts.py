"""What every layer promises, on every backend, fused and not. A new layer takes part through its `examples()`.

The promises are those of `minicnn.testing`, which users call for layers of their own.
"""

import zlib
from itertools import islice

import numpy as np
import pytest
from oracles import every_backend, ran_where_it_should

from minicnn import backends, layers
from minicnn.errors import ContractError
from minicnn.gradient_check import GradientError, gradcheck
from minicnn.layers import CLASSES, Layer
from minicnn.layers.dot_attention import Scores
from minicnn.plan.fusion import fuse, simplify
from minicnn.plan.program import lower
from minicnn.testing import contracts
from minicnn.testing.running import Case, graph_of

HELPERS = {
    "Embedding",  # takes the numbers of its rows alone: test_embedding.py
    "InputLayer",  # no formulas of its own
    "SpectralNormalization",  # changes its kernel, also a frozen one, as Keras's does: test_spectral_normalization.py
}

# Whose gradients depend on the number of samples.
SEE_THE_BATCH = {"ActivityRegularization", "AddLoss", "BatchNormalization"}

# The kernels that a gradient check of the layer must run; a layer that is not listed may run any.
KERNELS = {
    "Conv2D": {"conv2d", "conv2d_backward"},
    "Dense": {"dense", "dense_backward"},
    "MaxPooling2D": {"max_pool2d", "max_pool2d_backward"},
    "AveragePooling2D": {"avg_pool2d", "avg_pool2d_backward"},
}
ACTIVATIONS = {"pointwise", "softmax", "softmax_backward"}  # of a layer whose activation is not fused


def examples():
    """Every class of `layers`, with every one of its examples by number."""
    for name, cls in CLASSES.items():
        if name not in HELPERS and hasattr(cls, "examples"):
            for number in range(len(list(cls.examples()))):
                yield pytest.param(name, number, id=f"{name}-{number}")


def case_of(name, number, seed):
    """The layer in a graph of its own, with random weights."""
    layer, shapes = next(islice(CLASSES[name].examples(), number, None))
    return Case(layer, shapes, seed, independent=False if name in SEE_THE_BATCH else None)


def hold(promises, name, number, seed, *options):
    """What each contract returns, of a layer and numbers of its own; all that are broken are told, by their names.

    One test for a contract would be 9,700 of them, of which pytest's part takes a quarter of the time.
    """
    returned, broken = {}, []
    for contract in promises:
        try:
            own_seed = zlib.crc32(f"{seed} {contract.__name__}".encode())
            returned[contract] = contract(case_of(name, number, own_seed), *options)
        except Exception as error:
            error.add_note(f"contract: {contract.__name__}, seed of its case: {own_seed}")
            broken.append(error)
    if len(broken) > 1:
        raise ExceptionGroup("several contracts", broken)
    if broken:
        raise broken[0]
    return returned


every_example = pytest.mark.parametrize(("name", "number"), list(examples()))


def plans():
    """Every example, as backends fuse it; and unfused too, where that makes other steps of it."""
    for example in examples():
        layer, shapes = list(CLASSES[example.values[0]].examples())[example.values[1]]
        graph = graph_of(layer, shapes)
        for fuses in (True, False) if any(_merges(graph, training) for training in (True, False)) else (True,):
            kind = "fused" if fuses else "unfused"
            yield pytest.param(*example.values, fuses, id=f"{example.id}-{kind}")


def _merges(graph, training):
    plain, fused = lower(graph), lower(graph)
    for program in (plain, fused):
        simplify(program, {*program.outputs}, training)
    fuse(fused, {*fused.outputs}, training, {*range(len(fused.shapes))})
    return [type(p.step) for p in plain.places] != [type(p.step) for p in fused.places]


every_plan = pytest.mark.parametrize(("name", "number", "fuses"), list(plans()))


def test_every_layer_has_examples():
    missing = [
        n for n, cls in CLASSES.items() if n not in HELPERS and not (hasattr(cls, "examples") and list(cls.examples()))
    ]
    assert not missing, f"write examples() for {missing}, see docs/adding_a_layer.md"


def test_all_layers_of_the_package_take_part():
    assert {"Conv2D", "Dense", "MaxPooling2D", "BatchNormalization", "Dropout", "Add", "Concatenate", "Flatten"} <= set(
        CLASSES
    )
    for name, cls in CLASSES.items():
        assert getattr(layers, name) is cls
        assert issubclass(cls, Layer)
        assert cls.__doc__
        assert name in layers.__all__


@every_example
def test_contract(name, number, seed):
    hold(contracts.ONCE, name, number, seed)


@every_backend
@every_example
def test_contract_on_a_backend(name, number, backend, seed):
    hold(contracts.PER_BACKEND, name, number, seed, backend)


@every_backend
@every_plan
def test_contract_fused_or_not(name, number, backend, fuses, seed):
    check = hold(contracts.PER_PLAN, name, number, seed, backend, fuses)[contracts.has_right_gradients]
    assert check.error <= 1e-6
    assert all(ran_where_it_should(kernel, backend) for kernel in check.kernels), check.kernels
    ran = {kernel.rsplit(".", 1)[1] for kernel in check.kernels}
    own = ran - ACTIVATIONS
    assert own == KERNELS.get(name, own)


def test_a_gradient_whose_parts_cancel_out_may_differ_by_their_rounding():
    """Of 4 samples whose parts are as large as 1, 0.0058 is left, and both of float32's are off by 4e-7 and less."""
    case = case_of("Attention", 0, 143)
    contracts.agrees_with_numpy(case, "numba")
    contracts.agrees_with_float64(case_of("Attention", 0, 143), "numba")


# ---------------------------------------------------------------------- the suite itself: broken layers must not pass


def test_the_suite_notices_a_single_number_that_is_off(monkeypatch):
    """By 1e-4 of what the samples' parts of its gradient are together, on one of two backends."""
    right = Scores._backward_of_products

    def wrong(self, dy, ws):
        right(self, dy, ws)
        if ws.ops is not backends.get("numpy").ops:
            ws.grads["scale"][...] += 1e-4

    monkeypatch.setattr(Scores, "_backward_of_products", wrong)
    with pytest.raises(ContractError, match=r"gradient of .*/scale"):
        contracts.agrees_with_numpy(case_of("Attention", 0, 143), "numba")


def test_every_broken_contract_is_told():
    """And those after it are kept or broken all the same."""

    def breaks(case):
        raise ContractError(f"{case.who} has this fault")

    with pytest.raises(ExceptionGroup, match="several contracts") as caught:
        hold((breaks, contracts.keeps_its_arguments, breaks), "Dense", 0, 5)
    assert [str(error).endswith("(Dense) has this fault") for error in caught.value.exceptions] == [True, True]
    with pytest.raises(ContractError, match="has this fault") as caught:
        hold((contracts.keeps_its_arguments, breaks), "Dense", 0, 5)
    assert caught.value.__notes__[0].startswith("contract: breaks, seed of its case: ")
    assert hold((contracts.keeps_its_arguments,), "Dense", 0, 5) == {contracts.keeps_its_arguments: None}


def test_the_suite_notices_broken_layers():
    class Wrong(layers.Tanh):
        def backward(self, dy, ws):
            np.multiply(dy, 1 - ws.y, out=ws.dxs[0])

    with pytest.raises(GradientError, match="relative error"):
        gradcheck(Wrong(), input_shape=(5,), backend="numpy")
