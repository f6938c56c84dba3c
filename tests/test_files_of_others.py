"""Model files of other people: Keras 1's structure, files under other names, what was compiled with is not known."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import minicnn as mc
from minicnn.errors import FileFormatError

GOLDEN = Path(__file__).parent / "golden"

KERAS_1 = {
    "class_name": "Sequential",
    "keras_version": "1.2.2",
    "config": [
        {
            "class_name": "Convolution2D",
            "config": {
                "name": "c",
                "batch_input_shape": [None, 8, 8, 1],
                "nb_filter": 3,
                "nb_row": 3,
                "nb_col": 2,
                "border_mode": "same",
                "subsample": [1, 1],
                "init": "glorot_uniform",
                "dim_ordering": "tf",
                "activation": "hard_sigmoid",
                "W_regularizer": {"name": "L1L2Regularizer", "l1": 0.0, "l2": 0.01},
                "bias": True,
            },
        },
        {"class_name": "Dropout", "config": {"name": "d", "p": 0.25}},
        {"class_name": "Flatten", "config": {"name": "f"}},
        {"class_name": "Dense", "config": {"name": "o", "output_dim": 2, "init": "uniform", "activation": "linear"}},
    ],
}


def test_keras_1():
    model = mc.models.model_from_json(json.dumps(KERAS_1))
    assert [tuple(w.shape) for w in model.weights] == [(3, 2, 1, 3), (3,), (192, 2), (2,)]
    assert model.layers[1].rate == 0.25
    x = np.linspace(-40, 40, 64, dtype=np.float32).reshape(1, 8, 8, 1)
    kernel = np.zeros((3, 2, 1, 3), np.float32)
    kernel[1, 0] = 1  # the pixel itself: "same" puts the odd column behind
    model.layers[0].set_weights([kernel, np.zeros(3, np.float32)])
    y = model.layers[0](x)
    np.testing.assert_allclose(y[..., 0], np.clip(0.2 * x[..., 0] + 0.5, 0, 1), atol=1e-6)  # Keras 1's and 2's formula


def test_hdf5_under_another_name(tmp_path):
    for name in ("model.keras", "model.hdf", "model"):
        shutil.copy(GOLDEN / "keras2.h5", tmp_path / name)
        model = mc.load_model(tmp_path / name)
        expected = mc.load_model(GOLDEN / "keras2.h5")
        for a, b in zip(model.get_weights(), expected.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", ["model.pt", "model.tflite", "saved_model.pb"])
def test_files_of_other_programs(name, tmp_path):
    (tmp_path / name).write_bytes(b"anything")
    with pytest.raises(FileFormatError, match="expected a file of minicnn or Keras"):
        mc.load_model(tmp_path / name)
    if name.endswith(".pb"):
        with pytest.raises(FileFormatError, match="SavedModel"):
            mc.load_model(tmp_path)


@pytest.mark.parametrize("backend", ["numba", "numpy"])
@pytest.mark.parametrize("load", [mc.load_model, mc.keras.models.load_model])
def test_stacks_of_stacks_as_teachable_machine_exports_them(load, backend):
    mc.set_backend(backend)
    expected = np.load(GOLDEN / "tfkeras_nested.npz")
    model = load(GOLDEN / "tfkeras_nested.h5", compile=False)
    assert [layer.name for layer in model.layers] == ["sequential_1", "sequential_3"]
    assert model.layers[1].layers[1].use_bias is False
    x, y = expected["x"], expected["y"]
    np.testing.assert_allclose(model.predict(x), expected["predicted"], atol=1e-5)
    one = np.ndarray((1, 12, 12, 3), np.float32)  # as the script that is exported with it
    one[0] = x[3]
    assert np.argmax(model.predict(one)) == np.argmax(expected["predicted"][3])
    model.compile("adam", "categorical_crossentropy", metrics=["acc"])
    for start, loss in zip(range(0, len(x), 4), expected["losses"], strict=True):
        found = model.train_on_batch(x[start : start + 4], y[start : start + 4])[0]
        assert found == pytest.approx(loss, abs=1e-4)


def call(names, is_keras_3):
    """What a layer that is called with a list of tensors, or with one, has among its arguments in a Keras file."""
    if not is_keras_3:
        return [[[name, 0, 0, {}] for name in names]]
    tensors = [
        {"class_name": "__keras_tensor__", "config": {"shape": [None, 4, 4, 3], "keras_history": [name, 0, 0]}}
        for name in names
    ]
    return [{"args": [tensors if len(names) > 1 else tensors[0]], "kwargs": {}}]


def model_with(class_name, config, names, is_keras_3):
    """The description of a model with a layer of one of Keras's applications, of two inputs or the first of these."""
    layers = [
        ("InputLayer", "a", {"batch_shape": [None, 4, 4, 3]}, []),
        ("InputLayer", "b", {"batch_shape": [None, 4, 4, 3]}, []),
    ]
    layers += [(class_name, "own", config, call(names, is_keras_3)), ("ReLU", "r", {}, call(["own"], is_keras_3))]
    ends = {"input_layers": [["a", 0, 0], ["b", 0, 0]], "output_layers": [["r", 0, 0]]}
    entries = [
        {"class_name": kind, "name": name, "config": {"name": name, **more}, "inbound_nodes": nodes}
        for kind, name, more, nodes in layers
    ]
    return json.dumps({"class_name": "Functional", "config": {"name": "m", "layers": entries, **ends}})


@pytest.mark.parametrize("is_keras_3", [True, False])
def test_scaled_sums_of_inception_resnets(is_keras_3, rng):
    """Keras's InceptionResNetV2 has a layer of its own for x + scale · y."""
    config = {"scale": 0.25, "trainable": True, "dtype": "float32"}
    model = mc.models.model_from_json(model_with("CustomScaleLayer", config, ["b", "a"], is_keras_3))
    assert [layer.name for layer in model.layers] == ["a", "b", "own_scaled", "own", "r"]
    a, b = rng.normal(size=(2, 5, 4, 4, 3)).astype(np.float32)
    np.testing.assert_allclose(model.predict([a, b]), np.maximum(b + 0.25 * a, 0), atol=1e-6)


@pytest.mark.parametrize("is_keras_3", [True, False])
def test_stochastic_depth_of_convnexts(is_keras_3, rng):
    model = mc.models.model_from_json(model_with("StochasticDepth", {"drop_path_rate": 0.5}, ["a"], is_keras_3))
    (depth,) = [layer for layer in model.layers if layer.name == "own"]
    a = np.ones((64, 4, 4, 3), np.float32)
    np.testing.assert_array_equal(model.predict([a, a]), a)
    dropped = depth(a, training=True)  # whole samples, the others twice as large
    assert set(np.unique(dropped)) == {0.0, 2.0}
    assert (dropped == dropped[:, :1, :1, :1]).all()


def test_a_class_of_ones_own_comes_before_that_of_an_application():
    class CustomScaleLayer(mc.layers.Add):
        def __init__(self, scale=1.0, **kwargs):
            super().__init__(**kwargs)
            self.scale = scale

    text = model_with("CustomScaleLayer", {"scale": 0.25}, ["a", "b"], True)
    model = mc.models.model_from_json(text, custom_objects={"CustomScaleLayer": CustomScaleLayer})
    assert [type(layer).__name__ for layer in model.layers if layer.name == "own"] == ["CustomScaleLayer"]
