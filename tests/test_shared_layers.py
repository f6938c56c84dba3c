"""Layers and models that several models use: what is saved is read again, shared as it was."""

import copy
import io
import json
import pickle
import zipfile
from itertools import count

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minicnn as mc
from minicnn import layers
from minicnn.saving import hdf5

X = np.random.default_rng(0).normal(size=(8, 6)).astype(np.float32)
SUFFIXES = (".safetensors", ".keras", ".h5")


def dense(name, units=6):
    return layers.Dense(units, name=name)


def stack(name, *inner, units=6):
    return mc.Sequential([mc.Input((units,)), *inner], name=name)


def stack_and_its_layer():
    inside, start = dense("inside"), mc.Input((6,))
    return mc.Model(start, layers.Add()([stack("stack", inside)(start), inside(start)]))


def autoencoder_and_its_encoder():
    encoder, decoder = stack("encoder", dense("a", 3)), stack("decoder", dense("b"), units=3)
    both, start = mc.Sequential([encoder, decoder], name="both"), mc.Input((6,))
    return mc.Model(start, [both(start), encoder(start)])


def encoder_first():
    encoder, decoder = stack("encoder", dense("a", 3)), stack("decoder", dense("b"), units=3)
    both, start = mc.Sequential([encoder, decoder], name="both"), mc.Input((6,))
    return mc.Model(start, [encoder(start), both(start)])


def layer_in_two_stacks():
    shared, start = dense("shared"), mc.Input((6,))
    return mc.Model(start, layers.Add()([stack("a", shared)(start), stack("b", dense("own"), shared)(start)]))


def model_in_a_model_used_twice():
    shared, start = dense("shared"), mc.Input((6,))
    first = stack("first", shared)
    inner = mc.Model(start, layers.Add()([first(start), shared(start)]), name="inner")
    start = mc.Input((6,))
    return mc.Model(start, layers.Add()([inner(start), inner(first(start)), shared(start)]))


def stack_in_a_stack_and_beside_it():
    first = stack("first", dense("a"), layers.BatchNormalization(name="norm"))
    return mc.Sequential([mc.Input((6,)), first, mc.Sequential([first, dense("b", 2)], name="second")])


KINDS = (
    stack_and_its_layer,
    autoencoder_and_its_encoder,
    encoder_first,
    layer_in_two_stacks,
    model_in_a_model_used_twice,
    stack_in_a_stack_and_beside_it,
)


def trained(model):
    """The model after two iterations, so that the optimizer has a state."""
    model.compile("adam", "mse", backend="numpy")
    model.fit(X, targets(model), batch_size=4, verbose=0)
    return model


def targets(model):
    arrays = [np.ones((8, *t.shape[1:]), np.float32) for t in model.outputs]
    return arrays if len(arrays) > 1 else arrays[0]


def read_again(model, path):
    """The model as a file, or as a pickle where `path` has no suffix."""
    if not path.suffix:
        return pickle.loads(pickle.dumps(model))
    model.save(path)
    return mc.load_model(path)


def assert_goes_on(model, again):
    """`again` computes what `model` does, and learns what it does."""
    again.compiled.backend_name = "numpy"  # files do not name it
    for _ in range(2):
        for a, b in zip(model.get_weights(), again.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
        for a, b in zip(model.predict(X), again.predict(X), strict=True):  # outputs, or the samples of one
            np.testing.assert_array_equal(a, b)
        for one in (model, again):
            one.fit(X, targets(one), batch_size=4, verbose=0)


@pytest.mark.parametrize("suffix", [*SUFFIXES, ""])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_shared_stays_shared(kind, suffix, tmp_path):
    model = trained(kind())
    again = read_again(model, tmp_path / f"m{suffix}")
    assert list(again.named_weights()) == list(model.named_weights())
    assert_goes_on(model, again)


@st.composite
def networks(draw):
    """Graphs of layers, stacks and models, each of which any other may use again."""
    numbers, units = count(), []

    def graph(name):
        tensors = [mc.Input((6,), name=f"{name}_start")]
        for unit in draw(st.lists(st.sampled_from(units), min_size=1, max_size=4)):
            tensors.append(unit(draw(st.sampled_from(tensors))))
        end = layers.Add(name=f"{name}_sum")([tensors[-1], draw(st.sampled_from(tensors))])
        return mc.Model(tensors[0], end, name=name)

    for _ in range(draw(st.integers(2, 5))):
        number = next(numbers)
        kind = draw(st.sampled_from(["layer", "norm", "stack", "model"] if units else ["layer"]))
        if kind == "stack":
            inner = draw(st.lists(st.sampled_from(units), min_size=1, max_size=2, unique=True))
            units.append(stack(f"stack{number}", *inner))
        elif kind == "model":
            units.append(graph(f"model{number}"))
        else:
            units.append(dense(f"dense{number}") if kind == "layer" else layers.BatchNormalization(name=f"n{number}"))
    return graph("whole")


@settings(max_examples=12, deadline=None)
@given(networks())
def test_any_sharing_is_read_again(tmp_path_factory, model):
    trained(model)
    folder = tmp_path_factory.mktemp("shared")
    copies = [read_again(model, folder / f"m{suffix}") for suffix in (*SUFFIXES, "")]
    for again in copies:
        assert_goes_on(copy.deepcopy(model), again)


def test_the_file_is_laid_out_as_keras_lays_it_out(tmp_path):
    autoencoder_and_its_encoder().save(tmp_path / "m.keras")
    with zipfile.ZipFile(tmp_path / "m.keras") as archive:
        config = json.loads(archive.read("config.json"))
        root = hdf5.read(io.BytesIO(archive.read("model.weights.h5")).getvalue())
    inner = "layers/sequential/layers/"  # as Keras 3.15.1 writes this model
    assert sorted(dataset.path for dataset in hdf5.datasets(root)) == [
        f"{inner}sequential/layers/dense/vars/0",
        f"{inner}sequential/layers/dense/vars/1",
        f"{inner}sequential_1/layers/dense/vars/0",
        f"{inner}sequential_1/layers/dense/vars/1",
    ]
    # Keras 3 reads "both" first, and calls the first of two layers twice: the graph's own call of it is the third.
    assert config["config"]["output_layers"] == [["both", 0, 0], ["encoder", 2, 0]]


def test_weights_alone_of_shared_layers(tmp_path):
    for suffix in (".weights.h5", ".h5", ".safetensors"):
        model, other = model_in_a_model_used_twice(), model_in_a_model_used_twice()
        model.save_weights(tmp_path / f"w{suffix}")
        other.load_weights(tmp_path / f"w{suffix}")
        np.testing.assert_array_equal(model.predict(X), other.predict(X))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_names_that_differ_in_a_slash_alone(suffix, tmp_path):
    inner = stack("a", dense("b"))
    model = trained(mc.Sequential([mc.Input((6,)), inner, dense("a_b", 3)]))
    assert_goes_on(model, read_again(model, tmp_path / f"m{suffix}"))
