"""Models, optimizers, histories and callbacks that are pickled or copied."""

import copy
import pickle
import subprocess
import sys
import threading

import numpy as np
import pytest

import minicnn as mc
from minicnn import callbacks, layers

X = np.random.default_rng(0).normal(size=(20, 6)).astype(np.float32)
Y = np.arange(20) % 3
COPIES = [lambda value: pickle.loads(pickle.dumps(value)), copy.deepcopy]


def net(backend="numpy"):
    model = mc.Sequential(
        [
            mc.Input((6,)),
            layers.Dense(5, activation="relu"),
            layers.BatchNormalization(),
            layers.Dropout(0.2),
            layers.Dense(3, activation="softmax", kernel_regularizer="l2"),
        ]
    )
    model.compile(mc.optimizers.Adam(clipnorm=1.0), "sparse_categorical_crossentropy", ["accuracy"], backend=backend)
    return model


def assert_same(model, again):
    for a, b in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("copied", COPIES)
@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_a_copy_goes_on_where_the_model_was(copied, backend):
    model = net(backend)
    history = model.fit(X, Y, epochs=2, verbose=0)
    again = copied(model)
    assert again.history.history == history.history
    assert again.optimizer is not model.optimizer
    assert again.optimizer.owner() is again
    assert again.optimizer.iterations == model.optimizer.iterations
    before = model.get_weights()
    again.fit(X, Y, epochs=2, verbose=0)
    for a, b in zip(model.get_weights(), before, strict=True):  # the copy's training is its own
        np.testing.assert_array_equal(a, b)
    model.fit(X, Y, epochs=2, verbose=0)
    assert_same(model, again)
    np.testing.assert_array_equal(model.predict(X), again.predict(X))


@pytest.mark.parametrize("copied", COPIES)
def test_models_that_are_not_trained_or_not_built(copied):
    for model in (net(), mc.Sequential([layers.Dense(3)])):
        again = copied(model)
        assert again.built == model.built
        assert [layer.name for layer in again.layers] == [layer.name for layer in model.layers]
    again.compile("sgd", "sparse_categorical_crossentropy")
    again.fit(X, Y, verbose=0)
    assert not model.built


@pytest.mark.parametrize("copied", COPIES)
def test_what_models_share_their_copies_share(copied):
    start = mc.Input((6,))
    middle = layers.Dense(4)(start)
    whole = mc.Model(start, layers.Dense(2)(middle))
    head = mc.Model(middle, whole.output)  # begins at the output of a layer that is not its own
    whole_again, head_again = copied([whole, head])
    assert [layer.name for layer in head_again.layers] == [layer.name for layer in head.layers]
    assert head_again.layers[-1] is whole_again.layers[-1]
    assert head_again.weights[0] is whole_again.weights[2]
    again = copied(copied(head))
    np.testing.assert_array_equal(again.predict(X[:, :4]), head.predict(X[:, :4]))


@pytest.mark.parametrize("copied", COPIES)
def test_networks_deeper_than_the_stack(copied):
    start = x = mc.Input((6,))
    for _ in range(400):
        x = layers.Activation("relu")(x)
    model = mc.Model(start, layers.Dense(2)(x))
    np.testing.assert_array_equal(copied(model).predict(X), model.predict(X))


@pytest.mark.parametrize("copied", COPIES)
def test_parts(copied):
    model = net()
    callback = callbacks.EarlyStopping("loss")
    history = model.fit(X, Y, verbose=0, callbacks=[callback])
    optimizer = copied(model.optimizer)
    assert optimizer.get_config() == model.optimizer.get_config()
    other = net()
    other.compile(optimizer, "sparse_categorical_crossentropy")  # a copy belongs to no model
    other.fit(X, Y, verbose=0)
    assert copied(history).history == history.history
    assert copied(callback).best == callback.best
    layer = copied(model.layers[0])
    np.testing.assert_array_equal(layer(X), model.layers[0](X))
    assert layer.kernel is layer.weights[0]
    assert layer.kernel.value.ctypes.data % 64 == 0  # as the kernels need it


def test_the_position_of_the_random_numbers_is_copied():
    model = mc.Sequential([mc.Input((6,)), layers.Dropout(0.5)])
    model.predict(X)
    drops = mc.Model(model.input, layers.Dropout(0.5)(model.input, training=True))
    drops.predict(X)
    again = pickle.loads(pickle.dumps(drops))
    np.testing.assert_array_equal(again.predict(X), drops.predict(X))


def test_a_shallow_copy_leaves_the_training_to_its_model():
    """It shares the layers and the optimizer, which goes on with the model that it began with."""
    model, alone = net(), net()
    alone.set_weights(model.get_weights())
    alone.seed = model.seed
    for one in (model, alone):
        one.fit(X, Y, verbose=0)
    shallow = copy.copy(model)
    np.testing.assert_array_equal(shallow.predict(X), model.predict(X))
    for one in (model, alone):
        one.fit(X, Y, verbose=0)
    assert_same(model, alone)
    with pytest.raises(ValueError, match="an optimizer holds the state of one model"):
        shallow.fit(X, Y, verbose=0)


def test_callbacks_keep_no_data_after_the_training(tmp_path):
    callback = callbacks.BackupAndRestore(tmp_path / "run")
    net().fit(X, Y, verbose=0, callbacks=[callback])
    assert len(pickle.dumps(callbacks.BackupAndRestore(tmp_path / "run"))) < 1000
    assert callback._progress is None
    pickle.dumps(callback)


def test_a_lock_in_an_own_callback_is_the_user_s():
    model = net()
    model.fit(X, Y, verbose=0, callbacks=[Locked()])
    pickle.dumps(model)  # holds its history alone, and not other callbacks


class Locked(callbacks.Callback):
    def __init__(self):
        self.lock = threading.Lock()


def test_another_process_takes_a_model_over(tmp_path):
    """As joblib's processes do: spawned, with the pickle alone."""
    model = net()
    model.fit(X, Y, verbose=0)
    (tmp_path / "model.pickle").write_bytes(pickle.dumps((model, X, Y)))
    program = (
        "import pickle, sys\n"
        "model, x, y = pickle.load(open(sys.argv[1], 'rb'))\n"
        "model.fit(x, y, verbose=0)\n"
        "pickle.dump(model, open(sys.argv[1], 'wb'))\n"
    )
    subprocess.run([sys.executable, "-c", program, tmp_path / "model.pickle"], check=True, timeout=120)
    again = pickle.loads((tmp_path / "model.pickle").read_bytes())
    model.fit(X, Y, verbose=0)
    assert_same(model, again)
