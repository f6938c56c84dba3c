"""Embedding: rows by number. Oracles: a loop over numbers, the contracts of all layers, onnxruntime."""

import json
import warnings

import numpy as np
import pytest
from oracles import assert_close, every_backend

import minicnn as mc
from minicnn import keras, layers
from minicnn.keras import tensorflow as tf
from minicnn.testing import contracts
from minicnn.testing.running import Case

EXAMPLES = {
    "vectors": (lambda: layers.Embedding(256, 3), [(2,)]),
    "matrices": (lambda: layers.Embedding(300, 2, embeddings_regularizer="l2"), [(3, 2)]),
}
every_example = pytest.mark.parametrize("example", EXAMPLES)


def case_of(example, seed):
    make, shapes = EXAMPLES[example]
    return Case(make(), shapes, seed)


@pytest.mark.parametrize("contract", contracts.ONCE, ids=lambda contract: contract.__name__)
@every_example
def test_contract(example, contract, seed):
    contract(case_of(example, seed))


@pytest.mark.parametrize("contract", contracts.PER_BACKEND, ids=lambda contract: contract.__name__)
@every_backend
@every_example
def test_contract_on_a_backend(example, backend, contract, seed):
    contract(case_of(example, seed), backend)


@pytest.mark.parametrize("contract", contracts.PER_PLAN, ids=lambda contract: contract.__name__)
@every_backend
@every_example
def test_contract_in_plans(example, backend, contract, seed):
    contract(case_of(example, seed), backend, True)


@every_backend
def test_rows_and_the_sums_of_their_gradients(backend, rng):
    """One step of SGD by a loop; numbers occur several times, also in one sample."""
    numbers, table = rng.integers(0, 5, (8, 4)), rng.normal(size=(6, 3)).astype(np.float32)
    target = rng.normal(size=(8, 4, 3)).astype(np.float32)
    model = mc.Sequential([mc.Input((4,)), layers.Embedding(6, 3)])
    model.set_weights([table])
    model.compile(mc.optimizers.SGD(1.0), "mse", backend=backend)
    assert np.array_equal(model.predict(numbers), table[numbers])
    expected = table.astype(np.float64)
    for n in range(8):
        for i in range(4):
            expected[numbers[n, i]] -= 2 * (table[numbers[n, i]] - target[n, i]) / target.size
    model.fit(numbers, target, batch_size=8, verbose=0)
    assert_close(model.get_weights()[0], expected, 1e-6)
    assert np.array_equal(model.get_weights()[0][5], table[5])


def test_numbers_outside_of_the_table_are_refused():
    model = mc.Sequential([mc.Input((2,)), layers.Embedding(5, 3, name="label")])
    for wrong in (5, -1):
        with pytest.raises(ValueError, match=rf"'label' .*rows 0 … 4 \(input_dim=5\)\. Received: {wrong} in"):
            model.predict(np.array([[0, wrong]]))
    large = mc.Sequential([mc.Input((1,)), layers.Embedding(2**21, 1)])
    with pytest.raises(ValueError, match="Received: 2097153 in"):  # each digit
        large.predict(np.array([[2**21 + 1]]))
    for wrong in (np.nan, np.inf):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(ValueError, match=f"Received: {wrong} in"):
                model.predict(np.array([[0, wrong]], np.float32))
    with pytest.raises(ValueError, match="supports mask_zero=False only"):
        layers.Embedding(5, 3, mask_zero=True)
    with pytest.raises(ValueError, match="at most 16,777,216"):
        layers.Embedding(2**24 + 1, 3)


@pytest.mark.gpu
def test_numbers_outside_of_the_table_give_nan_on_a_gpu():
    """Nothing can be raised there before the numbers are known: they may not look like rows of the table."""
    table = np.arange(1, 16, dtype=np.float32).reshape(5, 3)
    model = mc.Sequential([mc.Input((4,)), layers.Embedding(5, 3)])
    model.set_weights([table])
    model.compile("sgd", "mse", backend="cupy")
    found = model.predict(np.array([[0, 5, 4, -1]]), verbose=0)
    np.testing.assert_array_equal(found, [[table[0], [np.nan] * 3, table[4], [np.nan] * 3]])


def test_in_mixed_precision_numbers_stay_whole(rng):
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        model = mc.Sequential([mc.Input((1,)), layers.Embedding(1001, 2), layers.Flatten(), layers.Dense(2)])
        inside = mc.Model(model.inputs, model.layers[0].output)
        assert np.array_equal(inside.predict(np.array([[999]]))[0, 0], model.layers[0].get_weights()[0][999])
    finally:
        keras.mixed_precision.set_global_policy("float32")


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("suffix", [".keras", ".h5", ".safetensors"])
def test_files_and_older_arguments(suffix, tmp_path, rng):
    first = keras.layers.Embedding(7, 2, input_length=3, embeddings_constraint="unit_norm")
    model = keras.Sequential([first, keras.layers.Flatten(), keras.layers.Dense(2)])
    numbers = rng.integers(0, 7, (4, 3))
    model.save(tmp_path / f"model{suffix}")
    loaded = keras.models.load_model(tmp_path / f"model{suffix}")
    assert np.array_equal(loaded.predict(numbers), model.predict(numbers))
    assert type(loaded.layers[0].embeddings_constraint).__name__ == "UnitNorm"


def test_arguments_of_keras_1():
    options = {"init": "zeros", "W_regularizer": "l2", "W_constraint": "non_neg"}
    with pytest.warns(FutureWarning):
        layer = keras.layers.Embedding(7, 2, **options)
    assert type(layer.embeddings_constraint).__name__ == "NonNeg"
    assert type(layer.embeddings_regularizer).__name__ == "L2"
    assert type(layer.embeddings_initializer).__name__ == "Zeros"


def test_a_file_of_keras_1():
    config = {"name": "e", "input_dim": 7, "output_dim": 2, "init": "uniform", "input_length": 3, "mask_zero": False}
    config |= {"W_regularizer": None, "W_constraint": None, "dropout": 0.0, "batch_input_shape": [None, 3]}
    described = {"class_name": "Sequential", "config": [{"class_name": "Embedding", "config": config}]}
    described |= {"keras_version": "1.2.2"}
    model = mc.models.model_from_json(json.dumps(described))
    assert model.layers[0].get_weights()[0].shape == (7, 2)
    assert model.predict(np.zeros((1, 3))).shape == (1, 3, 2)


def test_onnx(tmp_path, rng):
    runtime = pytest.importorskip("onnxruntime")
    label = mc.Input((1,), name="label")
    model = mc.Model(label, layers.Reshape((2, 3))(layers.Embedding(5, 6)(label)))
    mc.export_onnx(model, tmp_path / "model.onnx")
    numbers = rng.integers(0, 5, (4, 1)).astype(np.float32)
    session = runtime.InferenceSession(tmp_path / "model.onnx")
    assert_close(session.run(None, {"label": numbers})[0], model.predict(numbers), 1e-6)


def test_gradients_through_a_tape(rng):
    layer = keras.layers.Embedding(4, 2)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(tf.constant([[1], [1], [2]])))
    (gradient,) = tape.gradient(loss, layer.trainable_weights)
    assert np.array_equal(np.asarray(gradient), [[0, 0], [2, 2], [1, 1], [0, 0]])
