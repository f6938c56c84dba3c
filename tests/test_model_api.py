"""What users call, in the words of Keras: building models, names, weights, summary, data in every form, imports."""

import gc
import importlib
import subprocess
import sys
import weakref

import numpy as np
import pytest
from oracles import assert_close, every_backend

import minicnn as mc
from minicnn.errors import DataError, NotBuiltError, ShapeError
from minicnn.layers import (
    Activation,
    Add,
    BatchNormalization,
    Concatenate,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    Input,
    InputLayer,
    MaxPooling2D,
    ReLU,
    Reshape,
    Softmax,
)

LENET_PARAMETERS = [
    ((5, 5, 1, 6), (6,)),
    ((5, 5, 6, 16), (16,)),
    ((400, 120), (120,)),
    ((120, 84), (84,)),
    ((84, 10), (10,)),
]


def lenet_layers(**first):
    return [
        Conv2D(6, kernel_size=(5, 5), activation="relu", padding="same", **first),
        MaxPooling2D(pool_size=(2, 2), strides=2),
        Conv2D(16, 5, activation="relu"),
        MaxPooling2D(),
        Flatten(),
        Dense(120, activation="relu"),
        Dense(84, activation="relu"),
        Dense(10, activation="softmax"),
    ]


# ---------------------------------------------------------------------------------------------- ways to build a model


def by_list():
    return mc.Sequential([Input(shape=(28, 28, 1)), *lenet_layers()])


def by_input_layer():
    return mc.Sequential([InputLayer(shape=(28, 28, 1)), *lenet_layers()])


def by_old_input_layer():
    return mc.Sequential([InputLayer(input_shape=(28, 28, 1)), *lenet_layers()])


def by_input_shape():
    return mc.Sequential(lenet_layers(input_shape=(28, 28, 1)))


def by_add():
    model = mc.Sequential()
    for layer in lenet_layers(input_shape=[28, 28, 1]):
        model.add(layer)
    return model


def by_add_of_input():
    model = mc.Sequential()
    model.add(mc.Input((28, 28, 1)))
    for layer in lenet_layers():
        model.add(layer)
    return model


def by_build():
    model = mc.Sequential(lenet_layers())
    model.build((None, 28, 28, 1))
    return model


def by_late_input():
    model = mc.Sequential(lenet_layers())
    model.build(input_shape=(64, 28, 28, 1))
    return model


def by_data():
    model = mc.Sequential(lenet_layers())
    model.predict(np.zeros((2, 28, 28, 1)))
    return model


def by_call_on_array():
    model = mc.Sequential(lenet_layers())
    model(np.zeros((2, 28, 28, 1)))
    return model


def by_functional():
    x = tensor = mc.Input(shape=(28, 28, 1))
    for layer in lenet_layers():
        x = layer(x)
    return mc.Model(inputs=tensor, outputs=x)


def by_call_of_sequential():
    x = mc.Input(shape=(28, 28, 1))
    return mc.Model([x], [mc.Sequential(lenet_layers())(x)])


WAYS = [
    by_list,
    by_input_layer,
    by_old_input_layer,
    by_input_shape,
    by_add,
    by_add_of_input,
    by_build,
    by_late_input,
    by_data,
    by_call_on_array,
    by_functional,
    by_call_of_sequential,
]


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_build_lenet(way, rng):
    model = way()
    assert model.built
    assert model.count_params() == 61706
    assert [w.shape for w in model.weights] == [shape for shapes in LENET_PARAMETERS for shape in shapes]
    assert model.input_shape == (None, 28, 28, 1)
    assert model.output_shape == (None, 10)
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(rng.normal(size=(8, 28, 28, 1)), rng.integers(0, 10, 8), verbose=0)
    assert set(history.history) == {"loss", "accuracy"}
    assert model.predict(rng.normal(size=(3, 28, 28))).shape == (3, 10)


def test_names_are_numbered_by_class_as_in_keras():
    model = mc.Sequential([Input((8, 8, 1)), Conv2D(2, 3), ReLU(), Conv2D(2, 3), MaxPooling2D(), BatchNormalization()])
    names = ["conv2d", "re_lu", "conv2d_1", "max_pooling2d", "batch_normalization"]
    assert [layer.name for layer in model.layers] == names
    assert model.name == "sequential"
    assert mc.Sequential().name == "sequential_1"
    assert GlobalAveragePooling2D().name == "global_average_pooling2d"
    assert mc.layers.LeakyReLU().name == "leaky_re_lu"
    x = Input((3,))
    assert x.name == "input_layer_1"
    assert mc.Model(x, Dense(2, name="mine")(x)).name == "functional"
    mc.utils.clear_session()
    assert Conv2D(1, 1).name == "conv2d"


def test_names_given_and_layers_found():
    model = mc.Sequential([Input((4,), name="in"), Dense(3, name="first"), Dense(2, name="second")], name="net")
    assert model.name == "net"
    assert model.inputs[0].name == "in"
    assert model.predict({"in": np.ones((3, 4))}).shape == (3, 2)
    assert model.get_layer("second") is model.layers[1] is model.get_layer(index=1) is model.get_layer(index=-1)
    assert [w.path for w in model.weights] == ["first/kernel", "first/bias", "second/kernel", "second/bias"]
    with pytest.raises(ValueError, match=r"Did you mean 'second'.*Received: 'secnd'"):
        model.get_layer("secnd")
    with pytest.raises(ValueError, match=r"2 layers\. Received: index=2"):
        model.get_layer(index=2)
    with pytest.raises(ValueError, match="name or an index"):
        model.get_layer()


def test_layers_in_keras_order():
    """By distance from the output, then as a search from the output meets them (checked with Keras 3.15)."""

    def names(outputs):
        return [layer.name for layer in mc.Model(x, outputs).layers][1:]

    x = Input((4,))
    a = Dense(4, name="a")(x)
    b = Dense(4, name="b")(a)
    s = Dense(4, name="s")(x)
    assert names(Add(name="+")([s, b])) == ["a", "s", "b", "+"]
    assert names(Add(name="+")([b, s])) == ["a", "b", "s", "+"]
    assert names([Add(name="+")([b, s]), Dense(2, name="h")(a)]) == ["a", "b", "s", "+", "h"]


def test_model_structure_attributes():
    a, b = Input((3,), name="a"), Input((4,), name="b")
    y = Dense(2, name="y")(Concatenate(name="c")([a, b]))
    model = mc.Model([a, b], [y, Flatten(name="z")(y)])
    assert [t.name for t in model.inputs] == ["a", "b"]
    assert model.output_names == ["y", "z"]
    assert model.input_shape == [(None, 3), (None, 4)]
    assert model.output_shape == [(None, 2), (None, 2)]
    assert model.get_layer("c").input == [a, b]
    assert model.get_layer("y").output is y
    assert y.shape == (None, 2)
    with pytest.raises(TypeError, match="symbolic"):
        np.asarray(y)


def test_names_of_outputs_of_one_layer_are_no_others():
    """As Keras 2 numbers them (tf_keras 2.21): past names that other outputs have."""
    a, b, x = Dense(2, name="m"), Dense(2, name="m_1"), Input((2,))
    for layers, names in (((b, a, a, a), ["m_1", "m", "m_2", "m_3"]), ((a, a, b), ["m", "m_1", "m_1_1"])):
        model = mc.Model(x, [layer(x) for layer in layers])
        assert model.output_names == names
        model.compile("sgd", "mse")
        history = model.fit(np.ones((3, 2)), [np.ones((3, 2))] * len(names), verbose=0).history
        assert set(history) == {"loss", *(f"{name}_loss" for name in names)}


def test_layer_output_needs_exactly_one_call():
    layer = Dense(2)
    with pytest.raises(AttributeError, match="0 times"):
        _ = layer.output
    layer(Input((3,)))
    assert layer.output.shape == (None, 2)
    layer(Input((3,)))
    with pytest.raises(AttributeError, match="called 2 times"):
        _ = layer.output


# ------------------------------------------------------------------------------------------------------ add and pop


@pytest.mark.parametrize("moment", ["start", "summary", "build", "compile", "fit"])
def test_add_at_any_moment(moment, rng, capsys):
    x, y = rng.normal(size=(6, 5)), rng.normal(size=(6, 2))
    model = mc.Sequential([Dense(4, activation="relu")])
    actions = {
        "start": [],
        "summary": [lambda: model.summary()],
        "build": [lambda: model.build((None, 5))],
        "compile": [lambda: model.compile("adam", "mse")],
        "fit": [lambda: model.compile("adam", "mse"), lambda: model.fit(x, np.zeros((6, 4)), verbose=0)],
    }[moment]
    for action in actions:
        action()
    first = model.layers[0].get_weights() if model.built else None
    model.add(Dense(2))
    if first:
        assert all(np.array_equal(a, b) for a, b in zip(first, model.layers[0].get_weights(), strict=True))
    if moment != "fit":
        model.compile("adam", "mse")
    model.fit(x, y, verbose=0, epochs=2)
    assert model.predict(x).shape == (6, 2)
    assert len(model.get_weights()) == 4
    model.pop()
    assert model.predict(x).shape == (6, 4)
    assert model.layers == model.layers[:1]


def test_summary_before_and_after_build(capsys):
    model = mc.Sequential([Dense(3), Dense(2)])
    assert model.summary() is None
    assert "unbuilt" in capsys.readouterr().out
    model.build((None, 4))
    model.summary()
    assert "Total params: 23 (92.00 B)" in capsys.readouterr().out


def test_pop_down_to_nothing():
    model = mc.Sequential([Input((4,)), Dense(3)])
    layer = model.pop()
    assert layer.name == "dense"
    assert model.layers == []
    with pytest.raises(ValueError, match="no layers"):
        model.pop()
    model.add(Dense(5))
    assert model.output_shape == (None, 5)


# -------------------------------------------------------------------------------------------------------- summary


def test_summary_of_lenet(capsys):
    assert by_list().summary() is None
    text = capsys.readouterr().out
    lines = text.splitlines()
    assert lines[0] == 'Model: "sequential"'
    for column in ("Layer (type)", "Output Shape", "Param #"):
        assert column in lines[2]
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines if line.startswith("│")]
    assert rows == [
        ["conv2d (Conv2D)", "(None, 28, 28, 6)", "156"],
        ["max_pooling2d (MaxPooling2D)", "(None, 14, 14, 6)", "0"],
        ["conv2d_1 (Conv2D)", "(None, 10, 10, 16)", "2,416"],
        ["max_pooling2d_1 (MaxPooling2D)", "(None, 5, 5, 16)", "0"],
        ["flatten (Flatten)", "(None, 400)", "0"],
        ["dense (Dense)", "(None, 120)", "48,120"],
        ["dense_1 (Dense)", "(None, 84)", "10,164"],
        ["dense_2 (Dense)", "(None, 10)", "850"],
    ]
    assert " Total params: 61,706 (241.04 KB)" in text
    assert " Trainable params: 61,706 (241.04 KB)" in text
    assert " Non-trainable params: 0 (0.00 B)" in text


def test_summary_counts_frozen_and_state():
    model = mc.Sequential([Input((6, 6, 2)), Conv2D(3, 3), BatchNormalization(), Flatten(), Dense(2)])
    texts = []
    model.summary(print_fn=texts.append)
    assert "Total params: 167 " in "\n".join(texts)
    assert "Trainable params: 161 " in "\n".join(texts)
    assert "Non-trainable params: 6 (24.00 B)" in "\n".join(texts)
    model.layers[0].trainable = False
    texts.clear()
    model.summary(print_fn=texts.append)
    assert "Non-trainable params: 63 (252.00 B)" in "\n".join(texts)


def test_summary_of_nested_and_branching_models(capsys):
    inner = mc.Sequential([Input((4,)), Dense(4, name="inside")], name="inner")
    x = Input((4,), name="x")
    y = inner(x)
    model = mc.Model(x, Add(name="sum")([x, y]))
    model.summary()
    text = capsys.readouterr().out
    assert "inner (Sequential)" in text
    assert "inside" not in text
    assert "Connected to" in text
    assert "Total params: 20" in text
    model.summary(expand_nested=True)
    assert "inside (Dense)" in capsys.readouterr().out


# -------------------------------------------------------------------------------------------------------- weights


@every_backend
def test_get_and_set_weights(backend, rng):
    mc.set_backend(backend)
    model = mc.Sequential([Input((6, 6, 2)), Conv2D(3, 3), BatchNormalization(), Flatten(), Dense(2, use_bias=False)])
    shapes = [(3, 3, 2, 3), (3,), (3,), (3,), (3,), (3,), (48, 2)]  # HWIO; gamma, beta, mean, variance; (in, out)
    assert [w.shape for w in model.get_weights()] == shapes
    assert [w.name for w in model.layers[1].weights] == ["gamma", "beta", "moving_mean", "moving_variance"]
    new = [rng.uniform(0.5, 1.5, shape) for shape in shapes]
    model.set_weights(new)
    for a, b in zip(model.get_weights(), new, strict=True):
        assert a.dtype == np.float32
        np.testing.assert_array_equal(a, b.astype(np.float32))
    new[0][...] = 0  # copies, in and out
    model.get_weights()[1][...] = 7
    assert not (model.get_weights()[0] == 0).any()
    assert not (model.get_weights()[1] == 7).any()
    model.compile("adam", "mse")
    x, y = rng.normal(size=(5, 6, 6, 2)), rng.normal(size=(5, 2))
    model.fit(x, y, verbose=0)
    saved = model.get_weights()
    expected = model.predict(x)
    model.fit(x, y, verbose=0, epochs=2)
    assert not np.array_equal(model.predict(x), expected)
    model.set_weights(saved)
    np.testing.assert_array_equal(model.predict(x), expected)


def test_set_weights_is_all_or_nothing():
    model = mc.Sequential([Input((4,)), Dense(3, name="a"), Dense(2, name="b")])
    before = model.get_weights()
    wrong = [np.zeros_like(w) for w in before]
    for weights, error, match in (
        (wrong[:3], ValueError, "4 weight arrays. Received: 3"),
        ([*wrong[:3], np.zeros(3)], ValueError, r"'b/bias' has shape \(2,\). Received: shape \(3,\)"),
        ([*wrong[:3], np.zeros(2, complex)], TypeError, r"'b/bias' takes real numbers\..*Received: dtype complex"),
        ([*wrong[:3], np.array(["a", "b"])], TypeError, "'b/bias'"),
        ([*wrong[:3], np.array([None, 1])], DataError, "'b/bias' has missing values"),
    ):
        with pytest.raises(error, match=match):
            model.set_weights(weights)
        for a, b in zip(before, model.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
    model.layers[0].set_weights([np.ones((4, 3), int), [1, 2, 3]])
    np.testing.assert_array_equal(model.layers[0].bias, [1, 2, 3])


def test_weights_exist_before_compile_and_survive_it(rng):
    model = mc.Sequential([Input((4,)), Dense(3)])
    x = rng.normal(size=(5, 4))
    first = model.predict(x)
    weights = model.get_weights()
    for optimizer in ("sgd", "adam"):
        model.compile(optimizer, "mse")
        np.testing.assert_array_equal(model.predict(x), first)
    for a, b in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_weights_of_a_layer_can_be_read_and_assigned_while_in_a_model(rng):
    model = mc.Sequential([Input((4,)), Dense(3)])
    model.compile("adam", "mse")
    model.fit(rng.normal(size=(5, 4)), rng.normal(size=(5, 3)), verbose=0)
    kernel = model.layers[0].kernel
    np.testing.assert_array_equal(kernel.numpy(), model.get_weights()[0])
    np.testing.assert_array_equal(np.asarray(kernel), kernel)
    kernel.assign(np.ones((4, 3)))
    assert_close(model.predict(np.ones((1, 4))) - model.get_weights()[1], np.full((1, 3), 4.0), 1e-6)


def test_new_layers_differ_and_seeds_repeat():
    a, b = Dense(4, input_dim=3), Dense(4, input_dim=3)
    models = mc.Sequential([a]), mc.Sequential([b])
    assert not np.array_equal(models[0].get_weights()[0], models[1].get_weights()[0])

    def fresh(seed):
        mc.utils.set_random_seed(seed)
        return mc.Sequential([Input((3,)), Dense(4), Dense(4)]).get_weights()

    for p, q in zip(fresh(5), fresh(5), strict=True):
        np.testing.assert_array_equal(p, q)
    assert not np.array_equal(fresh(5)[0], fresh(6)[0])


def test_float64_models(rng):
    mc.utils.set_floatx("float64")
    model = mc.Sequential([Input((6, 6, 1)), Conv2D(2, 3, activation="relu"), MaxPooling2D(), Flatten(), Dense(2)])
    mc.utils.set_floatx("float32")
    model.compile("adam", "mse")
    x, y = rng.normal(size=(4, 6, 6, 1)), rng.normal(size=(4, 2))
    model.fit(x, y, verbose=0)
    assert {w.dtype for w in model.get_weights()} == {np.dtype("float64")}
    assert model.predict(x).dtype == np.float64
    with pytest.raises(ValueError, match="float16"):
        mc.utils.set_floatx("float16")


# --------------------------------------------------------------------------------------------------- forms of data


class Frame:
    """What a pandas DataFrame is to NumPy: an object with __array__, len and columns."""

    def __init__(self, array):
        self._array, self.columns = array, list(range(array.shape[-1]))

    def __array__(self, dtype=None, copy=None):
        return np.array(self._array, dtype=dtype)

    def __len__(self):
        return len(self._array)

    def __getitem__(self, column):
        return self._array[:, column]

    @property
    def shape(self):
        return self._array.shape


class Torchlike:
    """A tensor with __array__ only."""

    def __init__(self, array):
        self._array = array

    def __array__(self, *args, **options):
        return self._array


def forms(x, tmp_path):
    path = tmp_path / f"{x.dtype}.npy"
    np.save(path, x)
    yield np.load(path, mmap_mode="r")
    yield Frame(x)
    yield Torchlike(x)
    yield x.tolist()
    yield [row for row in x]
    yield tuple(row for row in x)


@every_backend
def test_data_in_every_form(backend, rng, tmp_path):
    mc.set_backend(backend)
    x, y = rng.normal(size=(10, 4)).astype(np.float32), rng.integers(0, 3, (10, 1))
    model = mc.Sequential([Input((4,)), Dense(3, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    start, expected, scores = model.get_weights(), model.predict(x), model.evaluate(x, y, verbose=0)
    model.fit(x, y, batch_size=4, shuffle=False, verbose=0)
    trained = model.get_weights()
    for a, b in zip(forms(x, tmp_path), forms(y, tmp_path), strict=True):
        model.set_weights(start)
        np.testing.assert_array_equal(model.predict(a), expected)
        assert model.evaluate(a, b, verbose=0) == scores
        model.fit(a, b, batch_size=4, shuffle=False, verbose=0)
        for p, q in zip(model.get_weights(), trained, strict=True):
            np.testing.assert_array_equal(p, q)
    lazy = mc.Sequential([Dense(3)])
    assert lazy.predict(Frame(x)).shape == (10, 3)


def test_pandas(rng):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": [1.0, 2, 3], "b": [0, 1, 0], "label": [0, 1, 1]})
    model = mc.Sequential([Input((2,)), Dense(2, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.fit(frame[["a", "b"]], frame["label"], verbose=0, validation_split=0.4, shuffle=False)
    assert model.predict(frame[["a", "b"]]).shape == (3, 2)


def test_torch(rng):
    torch = pytest.importorskip("torch")
    model = mc.Sequential([Input((2,)), Dense(2)])
    model.compile("sgd", "mse")
    model.fit(torch.ones(3, 2), torch.zeros(3, 2), verbose=0)


class Batches(mc.utils.Sequence):
    """Three batches of four."""

    def __init__(self, x, y, weight=None):
        self.x, self.y, self.weight, self.seen, self.ends = x, y, weight, [], 0

    def __len__(self):
        return 3

    def __getitem__(self, index):
        self.seen.append(index)
        part = slice(4 * index, 4 * index + 4)
        item = self.x[part], self.y[part]
        return item if self.weight is None else (*item, self.weight[part])

    def on_epoch_end(self):
        self.ends += 1


def model_and_data(rng, lazy=False):
    model = mc.Sequential([Dense(3, activation="softmax")] if lazy else [Input((4,)), Dense(3, activation="softmax")])
    model.compile(mc.optimizers.SGD(0.1), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model, rng.normal(size=(12, 4)), rng.integers(0, 3, 12)


@pytest.mark.parametrize("weighted", [False, True])
def test_sequence_as_data(weighted, rng):
    model, x, y = model_and_data(rng)
    weight = rng.uniform(size=12) if weighted else None
    start = model.get_weights()
    model.fit(x, y, batch_size=4, epochs=2, shuffle=False, verbose=0, sample_weight=weight)
    expected, history = model.get_weights(), model.history.history
    model.set_weights(start)
    batches = Batches(x, y, weight)
    result = model.fit(batches, epochs=2, shuffle=False, verbose=0, validation_data=Batches(x, y, weight))
    assert result.history["loss"] == history["loss"]
    assert batches.seen == [0, 1, 2] * 2
    assert batches.ends == 2
    for a, b in zip(model.get_weights(), expected, strict=True):
        np.testing.assert_array_equal(a, b)
    batches.seen.clear()
    model.fit(batches, epochs=4, verbose=0)
    assert sorted(batches.seen) == sorted([0, 1, 2] * 4)
    assert batches.seen != [0, 1, 2] * 4  # its batches are shuffled
    scores = model.evaluate(x, y, sample_weight=weight, verbose=0)
    assert model.evaluate(Batches(x, y, weight), verbose=0) == pytest.approx(scores, rel=1e-6)
    np.testing.assert_array_equal(model.predict(Batches(x, y, weight)), model.predict(x, batch_size=4))


@pytest.mark.parametrize("lazy", [False, True])
def test_generator_as_data(lazy, rng):
    def forever():
        while True:
            for i in range(0, 12, 4):
                yield x[i : i + 4], y[i : i + 4]

    model, x, y = model_and_data(rng, lazy)
    history = model.fit(
        forever(), steps_per_epoch=3, epochs=2, verbose=0, validation_data=forever(), validation_steps=3
    )
    assert len(history.history["val_loss"]) == 2
    assert model.optimizer.iterations == 6
    assert model.evaluate(forever(), steps=3, verbose=0) == pytest.approx(model.evaluate(x, y, verbose=0), rel=1e-6)
    only_x = (x[i : i + 4] for i in range(0, 12, 4))
    np.testing.assert_array_equal(model.predict(only_x), model.predict(x, batch_size=4))
    with_y = ((x[i : i + 4], y[i : i + 4]) for i in range(0, 12, 4))
    assert model.predict(with_y, steps=2).shape == (8, 3)
    model.fit(iter([(x, y)]), verbose=0)
    assert model.optimizer.iterations == 7


def test_generator_that_runs_dry(rng):
    model, x, y = model_and_data(rng)
    with pytest.warns(UserWarning, match=r"ran out of data after 1 epoch.*steps_per_epoch") as caught:
        history = model.fit(iter([(x, y)]), epochs=3, verbose=0)
    assert caught[0].filename == __file__  # it points at the line of the user
    assert len(history.history["loss"]) == 1
    with pytest.raises(mc.errors.DataError, match="no batch"):
        model.fit(iter([]), verbose=0)
    with pytest.raises(mc.errors.DataError, match="no batch"):
        model.evaluate(iter([]), verbose=0)


def test_streams_cannot_be_split_and_have_their_own_targets(rng):
    model, x, y = model_and_data(rng)
    for options in ({"validation_split": 0.5}, {"y": y}, {"sample_weight": np.ones(12)}):
        with pytest.raises(ValueError, match="a generator, Sequence or Dataset gives targets"):
            model.fit(Batches(x, y), verbose=0, **options)


def test_batches_of_changing_size_from_a_generator(rng):
    model, x, y = model_and_data(rng)
    sizes = [1, 7, 2, 2]
    ends = np.cumsum(sizes)
    parts = [(x[e - s : e], y[e - s : e]) for s, e in zip(sizes, ends, strict=True)]
    np.testing.assert_array_equal(model.predict(iter(parts)).shape, (12, 3))
    model.fit(iter(parts), verbose=0)
    assert model.optimizer.iterations == 4


def test_no_array_of_the_user_is_kept_or_changed(rng):
    class Array(np.ndarray):
        """An ndarray that can be weakly referenced as itself."""

    def use(make):
        x, y = make(rng.normal(size=(12, 4))), make(rng.integers(0, 3, 12))
        copies = np.array(x), np.array(y)
        model.fit(x, y, batch_size=5, epochs=2, verbose=0, validation_split=0.25, class_weight={0: 2.0, 1: 1.0, 2: 1.0})
        model.fit(x, y, verbose=0, validation_data=(x, y), sample_weight=make(np.ones(12)))
        model.evaluate(x, y, verbose=0)
        model.predict(x, batch_size=5)
        model.train_on_batch(x, y)
        model.gradients(x, y)
        model(x)
        np.testing.assert_array_equal(x, copies[0])
        np.testing.assert_array_equal(y, copies[1])
        return weakref.ref(x), weakref.ref(y)

    model, _, _ = model_and_data(rng)
    references = use(lambda a: a.view(Array)) + use(lambda a: a.astype(np.float32).view(Array))
    gc.collect()
    assert [r() for r in references] == [None] * 4


@every_backend
def test_results_belong_to_the_user(backend, rng):
    """What predict and gradients return is not overwritten by later calls, and writing into it changes nothing."""
    mc.set_backend(backend)
    model, x, y = model_and_data(rng)
    a, g = model.predict(x), model.gradients(x, y)
    copies = a.copy(), {name: value.copy() for name, value in g.items()}
    model.predict(2 * x)
    model.fit(x, y, verbose=0)
    np.testing.assert_array_equal(a, copies[0])
    for name in g:
        np.testing.assert_array_equal(g[name], copies[1][name])
    b = model.predict(x)
    b[...] = np.nan
    assert np.isfinite(model.predict(x)).all()
    on_array = model(x)
    on_array[...] = np.nan
    assert np.isfinite(model(x)).all()


# -------------------------------------------------------------------------------------------------- return values


def test_return_types(rng):
    model, x, y = model_and_data(rng)
    history = model.fit(x, y, epochs=2, validation_split=0.25, verbose=0)
    assert isinstance(history, mc.callbacks.History)
    assert model.history is history
    assert history.epoch == [0, 1]
    assert set(history.history) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert all(type(v) is float for values in history.history.values() for v in values)
    assert history.params["epochs"] == 2
    assert history.model is model
    scores = model.evaluate(x, y, verbose=0)
    assert isinstance(scores, list)
    assert [type(s) for s in scores] == [float, float]
    assert set(model.evaluate(x, y, verbose=0, return_dict=True)) == {"loss", "accuracy"}
    assert model.test_on_batch(x, y) == pytest.approx(scores, rel=1e-6)
    step = model.train_on_batch(x, y)
    assert step == pytest.approx(scores, rel=1e-6)
    assert model.train_on_batch(x, y, return_dict=True)["loss"] < scores[0]
    assert type(model.predict(x)) is np.ndarray
    assert model.predict(x).dtype == np.float32
    np.testing.assert_array_equal(model.predict_on_batch(x), model.predict(x))
    plain = mc.Sequential([Input((4,)), Dense(3)])
    plain.compile("sgd", "mse")
    assert type(plain.evaluate(x, np.zeros((12, 3)), verbose=0)) is float
    assert type(plain.train_on_batch(x, np.zeros((12, 3)))) is float


def test_on_batch_methods_with_several_inputs(rng):
    a, b = Input((3,), name="a"), Input((2,), name="b")
    model = mc.Model([a, b], Dense(1)(Concatenate()([a, b])))
    model.compile("sgd", "mse", metrics=["mae"])
    xs, y = [rng.normal(size=(7, 3)), rng.normal(size=(7, 2))], rng.normal(size=(7, 1))
    by_name = {"b": xs[1], "a": xs[0]}
    np.testing.assert_array_equal(model.predict_on_batch(xs), model.predict_on_batch(by_name))
    assert model.predict_on_batch(tuple(xs)).shape == (7, 1)
    assert model.test_on_batch(xs, y) == pytest.approx(model.test_on_batch(by_name, y))
    assert len(model.train_on_batch(by_name, y)) == 2
    assert_close(model(xs), model.predict(xs), 1e-7)


def test_gradients_leave_the_model_unchanged(rng):
    model = mc.Sequential([Input((6, 6, 1)), Conv2D(2, 3), BatchNormalization(), Dropout(0.5), Flatten(), Dense(3)])
    model.compile("adam", "mse", metrics=["mae"])
    x, y = rng.normal(size=(5, 6, 6, 1)), rng.normal(size=(5, 3))
    model.fit(x, y, verbose=0)
    state = {name: v.copy() for name, v in model._engine.optimizer_state.items()}
    before, iterations, epochs = model.get_weights(), model.optimizer.iterations, model.epochs_trained
    first = model.gradients(x, y)
    second = model.gradients(x, y)
    assert list(first) == [w.path for w in model.trainable_weights]
    for name in first:
        assert first[name].shape == model.get_layer(name.split("/")[0])._weights[name.split("/")[1]].shape
        np.testing.assert_array_equal(first[name], second[name])
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert (model.optimizer.iterations, model.epochs_trained) == (iterations, epochs)
    for name, vector in state.items():
        np.testing.assert_array_equal(model._engine.optimizer_state[name], vector)


@every_backend
def test_warmup_leaves_everything_as_it_was(backend, rng):
    def build():
        mc.utils.set_random_seed(3)
        model = mc.Sequential(
            [
                Input((6, 6, 1)),
                Conv2D(2, 3, activation="relu"),
                MaxPooling2D(),
                BatchNormalization(),
                Dropout(0.5),
                Flatten(),
                Dense(3, activation="softmax"),
            ]
        )
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"], backend=backend)
        return model

    x, y = rng.integers(0, 256, (20, 6, 6, 1), np.uint8), rng.integers(0, 3, 20)
    cold, warm = build(), build()
    mc.warmup(warm, batch_size=8)
    for a, b in zip(cold.get_weights(), warm.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert warm.optimizer.iterations == 0
    for model in (cold, warm):
        model.fit(x, y, epochs=2, batch_size=8, verbose=0)
    mc.warmup(warm)
    for a, b in zip(cold.get_weights(), warm.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert cold.history.history == warm.history.history
    for model in (cold, warm):
        model.fit(x, y, batch_size=8, verbose=0)
    assert cold.history.history == warm.history.history
    with pytest.raises(mc.errors.NotCompiledError):
        mc.warmup(mc.Sequential([Input((3,)), Dense(2)]))


# ----------------------------------------------------------------------------------------------------- names, imports


@pytest.mark.parametrize("name", ["relu", "ReLU", "sigmoid", "tanh", "softmax", "leaky_relu", "linear", None])
def test_activations_by_name_object_function_and_layer(name, rng):
    x = rng.normal(size=(4, 3))
    by_name = mc.Sequential([Input((3,)), Dense(3, activation=name)])
    forms = [Activation(name or "linear")] if name != "ReLU" else [ReLU(), "relu"]
    forms += [getattr(mc.activations, name or "linear")] if name != "ReLU" else []
    for form in forms:
        model = mc.Sequential([Input((3,)), Dense(3, activation=form)])
        model.set_weights(by_name.get_weights())
        np.testing.assert_array_equal(model.predict(x), by_name.predict(x))


def test_strings_and_objects_everywhere(rng):
    layer = Conv2D(
        2, 3, kernel_initializer="he_normal", kernel_regularizer="l2", bias_initializer=mc.initializers.Constant(2)
    )
    model = mc.Sequential([Input((5, 5, 1)), layer, Flatten(), Dense(1, activation="sigmoid")])
    np.testing.assert_array_equal(layer.get_weights()[1], [2, 2])
    x, y = rng.normal(size=(4, 5, 5, 1)), rng.integers(0, 2, 4)
    for optimizer in ("sgd", "Adam", mc.optimizers.RMSprop, mc.optimizers.Adadelta(0.5)):
        for loss in ("binary_crossentropy", mc.losses.BinaryCrossentropy(), mc.losses.BinaryCrossentropy, "mse"):
            for metric in (["accuracy"], ["acc"], [mc.metrics.BinaryAccuracy()], ["binary_accuracy", "mae"], None):
                model.compile(optimizer=optimizer, loss=loss, metrics=metric)
        model.fit(x, y, verbose=0)


@pytest.mark.parametrize("layer", [Dense(2), Flatten(), MaxPooling2D(), BatchNormalization(), Dropout(0.5)])
def test_a_layer_that_is_no_activation_is_refused_as_one(layer):
    with pytest.raises((TypeError, ValueError), match="activation"):
        Dense(3, activation=layer)


def test_padding_names_in_any_case():
    assert Conv2D(1, 3, padding="SAME").padding == MaxPooling2D(padding="Same").padding == "same"


def test_import_is_light():
    code = (
        "import sys, minicnn\n"
        "heavy = {'numba', 'matplotlib', 'tqdm', 'pooch', 'threadpoolctl', 'minicnn.models'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    "module",
    [
        "layers",
        "models",
        "optimizers",
        "losses",
        "metrics",
        "callbacks",
        "datasets",
        "initializers",
        "utils",
        "functional",
        "regularizers",
        "activations",
    ],
)
def test_submodules_are_attributes_and_importable(module):
    assert getattr(mc, module) is importlib.import_module(f"minicnn.{module}")


def test_a_notebook_with_one_word_changed(rng, capsys):
    """Cells as they stand in a typical Keras notebook, `tf.keras` replaced."""
    tf = mc
    mnist_images, mnist_labels = rng.integers(0, 256, (40, 28, 28), np.uint8), rng.integers(0, 10, 40)
    x_train, y_train = mnist_images.reshape(-1, 28, 28, 1).astype("float32") / 255, mnist_labels
    model = tf.keras.models.Sequential()
    model.add(tf.keras.layers.Conv2D(32, (3, 3), activation="relu", input_shape=(28, 28, 1)))
    model.add(tf.keras.layers.MaxPooling2D((2, 2)))
    model.add(tf.keras.layers.Conv2D(8, (3, 3), activation=tf.keras.activations.relu))
    model.add(tf.keras.layers.Flatten())
    model.add(tf.keras.layers.Dropout(0.5))
    model.add(tf.keras.layers.Dense(10, activation="softmax"))
    model.summary()
    model.compile(
        optimizer=tf.keras.optimizers.Adam(learning_rate=0.001),
        loss=tf.keras.losses.SparseCategoricalCrossentropy(),
        metrics=["accuracy"],
    )
    stop = tf.keras.callbacks.TerminateOnNaN()
    history = model.fit(x_train, y_train, epochs=2, batch_size=16, validation_split=0.2, callbacks=[stop], verbose=2)
    test_loss, test_acc = model.evaluate(x_train, y_train, verbose=2)
    predictions = model.predict(x_train)
    assert np.argmax(predictions[0]) in range(10)
    assert len(history.history["val_accuracy"]) == 2
    assert test_loss > 0
    assert 0 <= test_acc <= 1
    one_hot = tf.keras.utils.to_categorical(y_train, 10)
    model.compile("sgd", "categorical_crossentropy", ["accuracy"])
    model.fit(x=x_train, y=one_hot, validation_data=(x_train, one_hot), verbose=0)
    assert "Epoch 2/2" in capsys.readouterr().out


# ------------------------------------------------------------------------------------------------- what is not there


def test_unbuilt_models_say_so():
    model = mc.Sequential([Dense(2)])
    for use in (model.count_params, lambda: model.output_shape, lambda: model.set_weights([])):
        with pytest.raises(NotBuiltError, match="input shape is not known"):
            use()
    assert model.get_weights() == model.layers[0].get_weights() == []  # as in Keras
    with pytest.raises(NotBuiltError, match="input_shape"):
        model.build()


def test_odd_models(rng):
    """No weights at all; one weightless output; the identity."""
    model = mc.Sequential([Input((4, 4, 1)), MaxPooling2D(), Flatten(), Softmax()])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    x, y = rng.normal(size=(6, 4, 4, 1)), rng.integers(0, 4, 6)
    model.fit(x, y, verbose=0)
    assert model.count_params() == 0
    assert model.gradients(x, y) == {}
    assert model.get_weights() == []
    identity = mc.Sequential([Input((3,)), Activation("linear")])
    np.testing.assert_array_equal(identity.predict(x[:, 0, :3, 0]), x[:, 0, :3, 0].astype(np.float32))
    empty = mc.Sequential([Input((3,))])
    np.testing.assert_array_equal(empty.predict(x[:, 0, :3, 0]), x[:, 0, :3, 0].astype(np.float32))
    scalar = mc.Sequential([Dense(2)])
    assert scalar.predict(np.arange(5)).shape == (5, 2)  # (N,) is (N, 1)


def test_reshape_infers_one_axis():
    assert mc.Sequential([Input((4, 3, 2)), Reshape((-1, 8))]).output_shape == (None, 3, 8)
    with pytest.raises(ShapeError, match="does not fit samples of 24 elements"):
        mc.Sequential([Input((4, 3, 2)), Reshape((-1, 7))])
    with pytest.raises(ValueError, match="at most one -1"):
        Reshape((-1, -1))


def test_deep_models_do_not_reach_the_recursion_limit(rng):
    x = y = Input((3,))
    for _ in range(1500):
        y = ReLU()(y)
    model = mc.Model(x, y)
    np.testing.assert_array_equal(model.predict(np.ones((1, 3))), np.ones((1, 3)))


def test_a_seed_that_is_set_is_the_one_of_dropout(rng):
    """Also where plans exist already, which hold the one before."""
    x, outputs = rng.normal(size=(8, 50)), []
    for first, second in ((1, 2), (2, 2), (1, 1)):
        model = mc.Sequential([mc.Input((50,)), mc.layers.Dropout(0.5)])
        model.seed = first
        model(x, training=True)
        model.seed, model.engine.calls = second, 0
        outputs.append(model(x, training=True))
    np.testing.assert_array_equal(outputs[0], outputs[1])
    assert not np.array_equal(outputs[0], outputs[2])
