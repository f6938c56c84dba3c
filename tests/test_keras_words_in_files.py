"""Words of Keras's files: parts by indices, classes and arguments of other Kerases, and errors that name the layer."""

import json

import numpy as np
import pytest

import minicnn as mc
from minicnn import keras
from minicnn.errors import FileFormatError
from minicnn.saving.keras.operations import part

WHOLE = {"class_name": "__slice__", "config": {"start": None, "stop": None, "step": None}}
ELLIPSIS = {"class_name": "__ellipsis__", "config": {}}


def bounds(start, stop, step=None):
    return {"class_name": "__slice__", "config": {"start": start, "stop": stop, "step": step}}


def sequential(class_name, shape=(4,), version="3.3.3", **config):
    """A Sequential of one layer, as Keras describes it."""
    entries = [
        {"class_name": "InputLayer", "config": {"batch_shape": [None, *shape], "name": "images"}},
        {"class_name": class_name, "config": {"name": "mine", "trainable": True, **config}},
    ]
    config = {"name": "sequential", "layers": entries}
    return json.dumps({"class_name": "Sequential", "config": config, "keras_version": version})


def with_part(key, shape):
    """``x[key]`` of images, as Keras 3 describes it."""
    config = {"shape": [None, *shape], "dtype": "float32", "keras_history": ["images", 0, 0]}
    tensor = {"class_name": "__keras_tensor__", "config": config}
    entries = [
        {
            "class_name": "InputLayer",
            "config": {"batch_shape": [None, *shape], "name": "images"},
            "name": "images",
            "inbound_nodes": [],
        },
        {
            "module": "keras.src.ops.numpy",
            "class_name": "GetItem",
            "config": {"name": "get_item"},
            "registered_name": "GetItem",
            "name": "get_item",
            "inbound_nodes": [{"args": [tensor, key], "kwargs": {}}],
        },
    ]
    ends = {"input_layers": [["images", 0, 0]], "output_layers": [["get_item", 0, 0]]}
    return json.dumps(
        {
            "class_name": "Functional",
            "config": {"name": "functional", "layers": entries, **ends},
            "keras_version": "3.15.1",
        }
    )


@pytest.mark.parametrize(
    ("key", "index"),
    [
        ([ELLIPSIS, bounds(2, 3)], np.s_[..., 2:3]),
        ([WHOLE, bounds(1, -1), bounds(None, None, 2)], np.s_[:, 1:-1, ::2]),
        ([WHOLE, 1], np.s_[:, 1]),
        ([ELLIPSIS, 0], np.s_[..., 0]),
        ([WHOLE, None, ELLIPSIS, bounds(None, 2)], np.s_[:, None, ..., :2]),
    ],
)
def test_parts_by_indices(key, index, rng):
    x = rng.normal(size=(3, 5, 6, 4)).astype(np.float32)
    model = mc.models.model_from_json(with_part(key, x.shape[1:]))
    np.testing.assert_array_equal(model.predict(x, verbose=0), x[index])


def test_parts_that_take_samples_apart():
    with pytest.raises(FileFormatError, match=r"layer 'get_item' \(GetItem\) is called on something that is no tensor"):
        mc.models.model_from_json(with_part([bounds(0, 2)], (5, 6, 4)))


def test_parts_with_several_ellipses_are_no_parts():
    """Each stood for all axes that the file's own shape has, of which there may be any number."""
    with pytest.raises(FileFormatError, match=r"layer 'get_item' \(GetItem\) is called on something that is no tensor"):
        mc.models.model_from_json(with_part([ELLIPSIS, ELLIPSIS], (5, 6, 4)))
    assert part([ELLIPSIS] * 3000, [None] * 6000) is None


def test_parts_of_keras_2_with_a_new_axis(rng):
    x = rng.normal(size=(3, 5, 4)).astype(np.float32)
    plain = {"start": None, "stop": None, "step": None}
    spec = [plain, None, {"class_name": "__ellipsis__"}, {"start": 1, "stop": 3, "step": None}]
    entries = [
        {
            "class_name": "InputLayer",
            "config": {"batch_input_shape": [None, 5, 4], "name": "images"},
            "name": "images",
            "inbound_nodes": [],
        },
        {
            "class_name": "SlicingOpLambda",
            "config": {"name": "part", "trainable": True, "dtype": "float32", "function": "__operators__.getitem"},
            "name": "part",
            "inbound_nodes": [["images", 0, 0, {"slice_spec": spec}]],
        },
    ]
    ends = {"input_layers": [["images", 0, 0]], "output_layers": [["part", 0, 0]]}
    text = json.dumps({"class_name": "Functional", "config": {"name": "model", "layers": entries, **ends}})
    model = mc.models.model_from_json(text)
    np.testing.assert_array_equal(model.predict(x, verbose=0), x[:, None, ..., 1:3])


def test_the_layer_that_is_unknown_is_named():
    with pytest.raises(FileFormatError, match=r"layer 'mine' \(LSTM\): Unknown layer") as caught:
        mc.models.model_from_json(sequential("LSTM", (4, 3)))
    assert len(str(caught.value)) < 300  # not all the names there are


def test_the_layer_whose_argument_is_wrong_is_named():
    text = sequential("Resizing", (4, 4, 3), height=2, width=2, interpolation="area")
    with pytest.raises(FileFormatError, match=r"layer 'mine' \(Resizing\): `interpolation` must be one of"):
        mc.models.model_from_json(text)


class Powers(keras.layers.Layer):
    """A layer of one's own, with arguments that layers of Keras 1 had, too."""

    def __init__(self, p=3.0, sigma=1.0, output_dim=4, init="one", **kwargs):
        super().__init__(**kwargs)
        self.p, self.sigma, self.output_dim, self.init = p, sigma, output_dim, init

    def call(self, x):
        return x * self.p + self.sigma


@pytest.mark.parametrize("version", ["2.15.0", "3.15.1"])
def test_own_layers_may_call_their_arguments_as_keras_1_did(version):
    text = sequential("Powers", version=version, p=5.0, sigma=2.0, output_dim=7, init="zero")
    model = mc.models.model_from_json(text, custom_objects={"Powers": Powers})
    layer = model.layers[-1]
    assert (layer.p, layer.sigma, layer.output_dim, layer.init) == (5.0, 2.0, 7, "zero")
    np.testing.assert_array_equal(model.predict(np.ones((2, 4), np.float32), verbose=0), np.full((2, 4), 7))


@pytest.mark.parametrize(
    "name", ["ThresholdedReLU", "Custom>ThresholdedReLU", "RandomHeight", "Convolution2D", "Merge", "Dense"]
)
def test_own_layers_may_be_called_as_keras_called_its_own(name):
    """A ThresholdedReLU of one's own was ReLU, in silence."""
    own = type(name.rpartition(">")[2], (Powers,), {})
    config = {"p": 5.0, "sigma": 2.0, "output_dim": 7, "init": "zero"}
    text = sequential(name, version="2.15.0", **config)
    model = mc.models.model_from_json(text, custom_objects={own.__name__: own})
    assert type(model.layers[-1]) is own
    np.testing.assert_array_equal(model.predict(np.ones((2, 4), np.float32), verbose=0), np.full((2, 4), 7))


def test_thresholded_relu_of_keras_2():
    model = mc.models.model_from_json(sequential("ThresholdedReLU", version="2.15.0", theta=0.3))
    y = model.predict(np.float32([[-1, 0.2, 0.3, 0.4]]), verbose=0)
    np.testing.assert_array_equal(y, np.float32([[0, 0, 0, 0.4]]))
    model = mc.models.model_from_json(sequential("ThresholdedReLU", version="2.15.0"))  # θ is 1 there, and 0 of ReLU
    np.testing.assert_array_equal(
        model.predict(np.float32([[-1, 0.9, 1.1, 2]]), verbose=0), np.float32([[0, 0, 1.1, 2]])
    )


def test_augmentation_of_keras_3_3_has_a_range_that_it_does_not_use():
    text = sequential("RandomRotation", (4, 4, 3), factor=[-0.1, 0.1], fill_mode="reflect", value_range=[0, 255])
    x = np.ones((1, 4, 4, 3), np.float32)
    np.testing.assert_array_equal(mc.models.model_from_json(text).predict(x, verbose=0), x)
