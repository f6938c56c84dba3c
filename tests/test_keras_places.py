"""``layer.inbound_nodes``: what a graph is made of, as scripts read it that convert or draw models of Keras 1 and 2."""

import copy
import pickle

import numpy as np
import pytest

from minicnn import keras
from minicnn.keras.layers import Add, Conv2D, Dense, Flatten, Input, Layer, concatenate
from minicnn.keras.models import Model, Sequential, load_model
from minicnn.keras.ops import relu


class Own(Layer):
    def call(self, x):
        return 2 * x


class Two(Layer):
    def call(self, x):
        return 2 * x, x + 1


def _branched():
    x = Input((4, 4, 2), name="x")
    a, b = Conv2D(3, 1, name="a")(x), Own(name="b")(x)
    y = Flatten(name="f")(concatenate([a, b], name="both"))
    return Model(x, Dense(2, name="d")(y))


@pytest.mark.parametrize("attribute", ["inbound_nodes", "_inbound_nodes"])
def test_places_name_the_layers_before(attribute, tmp_path):
    model = _branched()
    before = {"x": [], "a": ["x"], "b": ["x"], "both": ["a", "b"], "f": ["both"], "d": ["f"]}
    for layer in model.layers:
        (place,) = getattr(layer, attribute)
        layers = place.inbound_layers
        assert isinstance(layers, list)
        assert [each.name for each in layers] == before[layer.name]
        assert [node.outbound_layer.name for node in place.parent_nodes] == before[layer.name]
        assert place.outbound_layer is place.operation is layer
        assert place.output_shapes == [layer.output.shape]
    d, both = model.get_layer("d"), model.get_layer("both")
    assert getattr(d, attribute)[0].inbound_layers.name == "f"  # as in tf.keras, which has no list of a single one
    assert getattr(d, attribute)[0].inbound_layers.output_shape == (None, 80)
    assert type(getattr(both, attribute)[0].inbound_layers) is list
    with pytest.raises(AttributeError, match="no_such"):
        _ = getattr(d, attribute)[0].inbound_layers.no_such
    plain = Model(model.inputs, Dense(1)(model.get_layer("a").output))
    plain.save(tmp_path / "m.h5")
    assert [n.inbound_layers[0].name for n in getattr(load_model(tmp_path / "m.h5").layers[1], attribute)] == ["x"]


def test_a_layer_that_is_used_twice_has_two_places():
    x = Input((3,))
    shared = Dense(3)
    first = shared(x)
    second = shared(first)
    total = Add()([first, second])
    model = Model(x, total)
    assert [place.inbound_layers[0] for place in shared.inbound_nodes] == [model.layers[0], shared]
    assert model.layers[-1].inbound_nodes[0].node_indices == [0, 1]
    assert model.layers[-1].inbound_nodes[0].tensor_indices == [0, 0]


def test_operations_on_tensors_have_places():
    x = Input((3,))
    both = Two()(x)
    model = Model(x, relu(both[0]) * 2 + both[1][:, :1])
    for layer in model.layers[1:]:
        (place,) = layer.inbound_nodes
        assert place.input_tensors == list(layer.nodes[0].inputs)
        assert [layer.get_output_at(0)] == place.output_tensors
        assert [each.outbound_layer for each in place.parent_nodes] == list(place.inbound_layers)
    assert model.layers[-1].inbound_nodes[0].outbound_layer is model.layers[-1]


def test_places_are_only_looked_at():
    model = Sequential([Input((3,)), Dense(2)])
    expected = model.predict(np.ones((1, 3)), verbose=0)
    model.inbound_nodes = []
    model.layers[-1].inbound_nodes = []
    np.testing.assert_array_equal(model.predict(np.ones((1, 3)), verbose=0), expected)
    (layers,) = (place.inbound_layers for place in model.layers[-1].inbound_nodes)
    assert len(copy.copy(layers)) == len(layers) == 1
    assert len(pickle.loads(pickle.dumps(model)).layers[-1].inbound_nodes) == 1


class Doubled(keras.layers.Layer):
    def call(self, x):
        return x * 2


class Shifted(keras.layers.Dense):
    def call(self, x):
        return super().call(x) + 1


def test_a_layer_that_is_called_twice_has_the_ends_of_its_first_call():
    """As in Keras 3, whose guide to saving puts a model's layers into another one, and then cuts the first."""
    x, other = keras.Input((3,)), keras.Input((3,))
    for layer in (keras.layers.Dense(3), Doubled(), keras.layers.Lambda(lambda t: t * 2)):
        first = layer(x)
        layer(other)
        assert layer.input is x and layer.output is first
    with pytest.raises(AttributeError, match="0 times"):
        _ = keras.layers.Dense(3).output
    added = Shifted(2)
    added(x)
    added(other)
    with pytest.raises(AttributeError, match="2 times"):  # what its call adds is not known of the first one
        _ = added.output
