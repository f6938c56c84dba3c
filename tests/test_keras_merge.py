"""Keras 1's `Merge`, with which a Sequential begins with several others, its function `merge`, and `Highway`.

The losses and sums of predictions in here are Keras 3.15's, of the functional model that a script means.
"""

import json

import numpy as np
import pytest

from minicnn import keras
from minicnn.keras import backend as K
from minicnn.keras.layers import Add, Dense, Dropout, Highway, Input, InputLayer, MaxoutDense, Merge, merge
from minicnn.keras.models import Model, Sequential, clone_model, load_model, model_from_json

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")
FILES = (".keras", ".h5", ".safetensors")


def numbers(shape, start):
    return np.sin(np.arange(start, start + np.prod(shape))).reshape(shape).astype(np.float32)


def give_numbers(model):
    model.set_weights([numbers(w.shape, 7 * i) for i, w in enumerate(model.get_weights())])


A, B, Y = numbers((8, 3), 0), numbers((8, 2), 50), numbers((8, 1), 90)


def branches(units=4):
    left, right = Sequential(), Sequential()
    left.add(Dense(units, activation="tanh", input_dim=3))
    right.add(Dense(units, input_shape=(2,)))
    return left, right


def merged(mode="concat", **options):
    model = Sequential()
    model.add(Merge([*branches()], mode=mode, **options))
    model.add(Dense(1))
    give_numbers(model)
    return model


def beginning_with(*layers):
    return Sequential([Merge([*layers], mode="concat")])


# ------------------------------------------------------------------------------------------------------- training

TRAINED = {
    "sum": ([2.49079, 1.411171, 1.085272], 0.501501),
    "mul": ([0.881854, 0.680787, 0.574423], -0.332954),
    "concat": ([2.316234, 1.657959, 1.326165], 0.632626),
    "ave": ([1.059574, 0.965976, 0.894488], 0.428237),
    "max": ([1.951662, 1.12183, 0.838513], 0.39303),
    "dot": ([1.06716, 0.742981, 0.611511], -1.590337),
    "cos": ([0.771975, 0.657005, 0.589956], -0.993483),
}


@pytest.mark.parametrize("mode", TRAINED)
def test_trains_as_the_functional_model_of_keras(mode):
    losses, total = TRAINED[mode]
    model = merged(mode)
    model.compile(keras.optimizers.SGD(lr=0.05), "mse")
    history = model.fit([A, B], Y, nb_epoch=3, batch_size=4, shuffle=False, verbose=0)
    assert np.allclose(history.history["loss"], losses, atol=1e-5)
    assert np.isclose(model.predict([A, B]).sum(), total, atol=1e-4)


@pytest.mark.parametrize("options", [{"output_shape": lambda shapes: shapes[0]}, {"output_shape": (4,)}, {}])
def test_a_function_as_mode(options):
    left, right = branches()
    model = Sequential([Merge([left, right], mode=lambda xs: K.abs(xs[0] - xs[1]), **options)])
    assert model.output_shape == (None, 4)
    assert np.allclose(model.predict([A, B]), np.abs(left.predict(A) - right.predict(B)))


def test_further_arguments_of_a_function():
    def mixed(xs, share):
        return share * xs[0] + (1 - share) * xs[1]

    left, right = branches()
    model = Sequential([Merge([left, right], mixed, output_shape=(4,), arguments={"share": 0.25})])
    assert np.allclose(model.predict([A, B]), 0.25 * left.predict(A) + 0.75 * right.predict(B), atol=1e-6)


def test_axes_of_larger_arrays():
    p, q = numbers((5, 4, 3), 0), numbers((5, 4, 2), 9)
    inputs = [InputLayer((4, 3)), InputLayer((4, 2))]
    by_axis = Sequential([Merge(inputs, mode="concat", concat_axis=2)])
    assert np.array_equal(by_axis.predict([p, q]), np.concatenate([p, q], axis=2))
    for axes in (1, (1, 1), ([1], [1])):
        dot = Sequential([Merge(inputs, mode="dot", dot_axes=axes)])
        assert np.allclose(dot.predict([p, q]), np.einsum("nki,nkj->nij", p, q), atol=1e-6)


# ------------------------------------------------------------------------------------------------- what is joined


def test_models_of_models():
    inner, third = merged(), Sequential([Dense(1, input_dim=3)])
    model = Sequential([Merge([inner, third], mode="sum"), Dense(2)])
    model.compile("adam", "mse")
    kernel, bias = model.layers[1].get_weights()
    by_hand = (inner.predict([A, B]) + third.predict(A * 2)) @ kernel + bias
    assert np.allclose(model.predict([A, B, A * 2]), by_hand, atol=1e-6)
    assert model.input_shape == [(None, 3), (None, 2), (None, 3)]
    assert [w.shape for w in model.get_weights()] == [w.shape for m in (inner, third) for w in m.get_weights()] + [
        (1, 2),
        (2,),
    ]
    before = third.get_weights()[0]
    model.fit([A, B, A * 2], np.ones((8, 2)), nb_epoch=1, verbose=0)
    assert np.any(third.get_weights()[0] != before)


def test_one_branch_twice_has_one_input():
    left, _ = branches()
    model = Sequential([Merge([left, left], mode="sum")])
    assert model.input_shape == (None, 3) and len(model.get_weights()) == 2
    assert np.allclose(model.predict(A), 2 * left.predict(A))


def test_branches_on_one_model_share_its_input():
    base = Sequential([Dense(4, input_dim=3)])
    left, right = Sequential([base, Dense(2)]), Sequential([base, Dense(2)])
    model = Sequential([Merge([left, right], mode="mul")])
    assert model.input_shape == (None, 3) and len(model.get_weights()) == 6
    assert np.allclose(model.predict(A), left.predict(A) * right.predict(A), atol=1e-6)


def test_branches_of_one_input_tensor_share_it():
    x = Input((3,))
    left, right = Model(x, Dense(2)(x)), Model(x, Dense(2)(x))
    model = Sequential([Merge([left, right], mode="ave")])
    assert np.allclose(model.predict(A), (left.predict(A) + right.predict(A)) / 2, atol=1e-6)


def test_layers_as_branches():
    model = beginning_with(Dense(4, input_dim=3), InputLayer((2,), name="right"))
    kernel, bias = model.get_weights()
    assert np.allclose(model.predict([A, B]), np.concatenate([A @ kernel + bias, B], axis=1), atol=1e-6)


def test_layers_that_were_called():
    x, dense, other = Input((3,)), Dense(2), Dense(2)
    dense(x), other(x)
    model = Model(x, merge([dense, other], mode="max"))
    assert np.allclose(model.predict(A), np.maximum(*(A @ layer.get_weights()[0] for layer in (dense, other))))


def test_tensors():
    a, b = Input((4,)), Input((4,))
    p, q = numbers((8, 4), 0), numbers((8, 4), 40)
    for join in (Merge(mode="mul"), lambda xs: merge(xs, "mul"), lambda xs: merge(xs, lambda x: x[0] * x[1])):
        assert np.allclose(Model([a, b], join([a, b])).predict([p, q]), p * q)
    cosines = (p * q).sum(1) / np.sqrt((p * p).sum(1) * (q * q).sum(1))
    assert np.allclose(Model([a, b], merge([a, b], "cos", -1, 1)).predict([p, q])[:, 0], cosines, atol=1e-6)


def test_the_output_of_a_merge():
    left, right = branches()
    both = Merge([left, right], mode="sum")
    model = Model(input=[left.input, right.input], output=Dense(2)(both.output))
    assert model.predict([A, B]).shape == (8, 2)


# ----------------------------------------------------------------------------------------------- the Sequential


def test_what_one_does_with_it():
    model = merged()
    model.add(Dropout(0.5))
    assert isinstance(model.pop(), Dropout)
    model.compile("rmsprop", "mse", metrics=["mae"])
    assert len(model.evaluate([A, B], Y, verbose=0)) == 2
    names = [tensor.name for tensor in model.inputs]
    assert np.array_equal(model.predict(dict(zip(names, [A, B], strict=True))), model.predict([A, B]))
    assert model.predict_classes([A, B]).shape == (8, 1)

    def batches():
        while True:
            yield [A, B], Y

    history = model.fit_generator(batches(), samples_per_epoch=16, nb_epoch=2, verbose=0, validation_data=([A, B], Y))
    assert len(history.history["val_loss"]) == 2
    lines = []
    model.summary(print_fn=lines.append, expand_nested=True)
    assert "tanh" not in str(lines) and "Total params: 37" in "".join(lines)


def test_one_array_of_another_size_changes_nothing():
    model = merged()
    before = model.predict([A, B])
    with pytest.raises(ValueError, match="has 2 inputs"):
        model.predict(np.ones((8, 5)))
    assert np.array_equal(model.predict([A, B]), before) and len(model.layers[0].nodes) == 1


def test_layers_of_branches_are_found_by_name():
    left = Sequential([Dense(4, input_dim=3, name="inside")])
    model = beginning_with(left, Dense(2, input_dim=2))
    assert model.get_layer("inside") is left.layers[0]
    assert isinstance(model.layers[0], Model) and model.get_layer(index=0) is model.layers[0]
    with pytest.raises(ValueError, match="outside"):
        model.get_layer("outside")


def test_frozen_branches():
    left, right = branches()
    left.trainable = False
    model = Sequential([Merge([left, right], mode="sum"), Dense(1)])
    model.compile("sgd", "mse")
    before = left.get_weights()[0], right.get_weights()[0]
    model.fit([A, B], Y, nb_epoch=1, verbose=0)
    assert np.array_equal(before[0], left.get_weights()[0])
    assert not np.array_equal(before[1], right.get_weights()[0])


class Two(Sequential):
    def __init__(self):
        super().__init__()
        self.add(Merge([*branches()], mode="concat"))
        self.add(Dense(1))


@pytest.mark.parametrize("make", [merged, Two])
@pytest.mark.parametrize("suffix", FILES)
def test_files(tmp_path, make, suffix):
    model = make()
    model.compile("adam", "mse")
    model.fit([A, B], Y, nb_epoch=1, verbose=0)
    model.save(tmp_path / f"model{suffix}")
    again = load_model(tmp_path / f"model{suffix}")
    assert np.array_equal(again.predict([A, B]), model.predict([A, B]))
    assert again.train_on_batch([A, B], Y) == model.train_on_batch([A, B], Y)


def test_structures_and_weights(tmp_path):
    model = merged()
    model.save_weights(tmp_path / "own.weights.h5")
    copies = model_from_json(model.to_json()), Sequential.from_config(model.get_config()), clone_model(model)
    for copy in copies:
        copy.load_weights(tmp_path / "own.weights.h5")
        assert np.array_equal(copy.predict([A, B]), model.predict([A, B]))
    stack = copies[1]
    assert type(stack) is Sequential
    stack.add(Dense(3))
    assert stack.predict([A, B]).shape == (8, 3)


def test_configs_of_what_is_no_stack():
    a, b = Input((3,)), Input((3,))
    with pytest.raises(ValueError, match=r"config of a stack.*Model.from_config takes any"):
        Sequential.from_config(Model([a, b], Add()([Dense(2)(a), b[:, :2]])).get_config())


# -------------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda a, b: Merge([a]), TypeError, r"two or more models: Merge\(\[left, right\]\)"),
        (lambda a, b: Merge([]), TypeError, "two or more models"),
        (lambda a, b: Merge([a, "b"]), TypeError, "joins models and layers. Received: 'b'"),
        (lambda a, b: Merge([Input((2,)), Input((2,))]), TypeError, r"of tensors, write Merge\(mode=…\)\(\[a, b\]\)"),
        (lambda a, b: Merge([a, Sequential([Dense(2)])]), ValueError, "an input_shape="),
        (lambda a, b: Merge([a, Dense(2)]), ValueError, "an input_shape="),
        (lambda a, b: Merge([a, Model(x := Input((2,)), [x, Dense(1)(x)])]), ValueError, "models of one output"),
        (lambda a, b: Merge([a, b], mode="join"), ValueError, "'sum', 'mul'.*Received: mode='join'"),
        (lambda a, b: Merge([a, b], axis=1), TypeError, "concat_axis.*Received: axis=1"),
        (lambda a, b: Merge([a, b], node_indices=[0, 1]), ValueError, "call it on the tensors"),
        (lambda a, b: Merge([a, b], output_mask=lambda m: m), ValueError, "output_mask=None alone"),
        (lambda a, b: Merge([a, b], mode="dot", dot_axes=([1, 2], [1, 2])), ValueError, "one axis of each input"),
        (lambda a, b: Sequential([Dense(2, input_dim=2), Merge([a, b])]), ValueError, "the first of a Sequential"),
        (lambda a, b: Sequential([Merge([a, b])]).pop(), ValueError, "does not come off"),
        (lambda a, b: Sequential([Merge([a, b])]).predict(A), ValueError, "has 2 inputs: give a list of 2 arrays"),
    ],
)
def test_what_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make(*branches())


# ----------------------------------------------------------------------------------------------------------- Highway


def test_highway_trains_as_in_keras():
    model = Sequential([Highway(activation="tanh", W_regularizer=keras.regularizers.l2(0.1), input_dim=3), Dense(1)])
    give_numbers(model)
    model.compile(keras.optimizers.SGD(lr=0.05), "mse")
    history = model.fit(A, Y, nb_epoch=3, batch_size=4, shuffle=False, verbose=0)
    assert np.allclose(history.history["loss"], [2.001061, 1.667387, 1.457847], atol=1e-5)
    assert np.isclose(model.predict(A).sum(), -0.472775, atol=1e-4)


@pytest.mark.parametrize(
    ("activation", "function"),
    [
        (None, lambda x: x),
        ("relu", lambda x: np.maximum(x, 0)),
        (keras.activations.tanh, np.tanh),
        (K.tanh, np.tanh),
        (lambda x: x * K.sigmoid(x), lambda x: x / (1 + np.exp(-x))),
        (keras.layers.LeakyReLU(0.2), lambda x: np.where(x > 0, x, 0.2 * x)),
    ],
)
@pytest.mark.parametrize("bias", [True, False])
def test_highway_is_its_formula(activation, function, bias):
    layer = Highway(activation=activation, bias=bias, input_dim=3, transform_bias=-1)
    model = Sequential([layer])
    if bias:
        assert np.array_equal(layer.b_carry.numpy(), [-1, -1, -1]) and not layer.b.numpy().any()
    give_numbers(model)
    kernel, carry = (w.astype(float) for w in model.get_weights()[:2])
    b, b_carry = model.get_weights()[2:] if bias else (0, 0)
    t = 1 / (1 + np.exp(-(A @ carry + b_carry)))
    assert np.allclose(model.predict(A), t * function(A @ kernel + b) + (1 - t) * A, atol=1e-5)


def test_how_highway_begins():
    arrays = [numbers(shape, 3) for shape in ((3, 3), (3, 3), (3,), (3,))]
    assert np.array_equal(Sequential([Highway(input_dim=3)]).get_weights()[3], [-2, -2, -2])
    given = Sequential([Highway(init="zero", weights=arrays, input_dim=3)])
    assert all(map(np.array_equal, given.get_weights(), arrays))
    layer = Highway(init="one", W_constraint="nonneg", b_regularizer="l1", input_dim=3)
    model = Sequential([layer])
    assert np.array_equal(layer.W.numpy(), np.ones((3, 3))) and np.array_equal(layer.W_carry.numpy(), np.ones((3, 3)))
    assert [w.constraint is not None for w in model.weights] == [True, False, False, False]
    assert [w.regularizer is not None for w in model.weights] == [False, False, True, False]


def test_dense_layers_of_the_numbers_at_each_place():
    from minicnn.keras.layers.core import TimeDistributedDense

    model = Sequential([TimeDistributedDense(output_dim=2, init="one", input_shape=(4, 3))])
    x = numbers((5, 4, 3), 0)
    assert np.allclose(model.predict(x), x.sum(axis=2, keepdims=True).repeat(2, axis=2), atol=1e-6)


def test_highway_of_pictures_is_refused():
    with pytest.raises(ValueError, match=r"Highway takes inputs \(N, C\): put Flatten\(\) before it"):
        Highway()(Input((4, 4, 1)))


@pytest.mark.parametrize(
    "layer", [lambda: Highway(activation="relu", input_dim=3), lambda: MaxoutDense(2, input_dim=3)]
)
@pytest.mark.parametrize("suffix", FILES)
def test_files_of_layers_of_keras_1(tmp_path, layer, suffix):
    model = Sequential([layer()])
    give_numbers(model)
    model.save(tmp_path / f"model{suffix}")
    copy = clone_model(model)
    copy.set_weights(model.get_weights())
    for again in (copy, load_model(tmp_path / f"model{suffix}")):
        assert type(again.layers[0]) is type(model.layers[0])
        assert np.array_equal(again.predict(A), model.predict(A))


def test_files_of_highways_with_a_function(tmp_path):
    def doubled(x):
        return 2 * x

    model = Sequential([Highway(activation=doubled, input_dim=3)])
    model.save(tmp_path / "model.keras")
    again = load_model(tmp_path / "model.keras", custom_objects={"doubled": doubled})
    assert np.array_equal(again.predict(A), model.predict(A))


# --------------------------------------------------------------------------------------------------- files of Keras 1


def written_by_keras_1(mode, layers=None):
    """A functional model of two inputs (N, 4), whose outputs a Merge joins."""
    entries = [
        {"class_name": "InputLayer", "name": name, "config": {"name": name, "batch_input_shape": [None, 4]}}
        | {"inbound_nodes": []}
        for name in "ab"
    ]
    config = {"name": "merge_1", "mode": mode, "mode_type": "raw", "concat_axis": -1, "dot_axes": [1, 1]}
    config |= {"output_shape": None, "output_shape_type": "raw"} | ({} if layers is None else {"layers": layers})
    merge_1 = {
        "class_name": "Merge",
        "name": "merge_1",
        "config": config,
        "inbound_nodes": [[["a", 0, 0], ["b", 0, 0]]],
    }
    ends = {"input_layers": [["a", 0, 0], ["b", 0, 0]], "output_layers": [["merge_1", 0, 0]]}
    whole = {"name": "model_1", "layers": [*entries, merge_1], **ends}
    return json.dumps({"class_name": "Model", "keras_version": "1.2.2", "config": whole}), merge_1


@pytest.mark.parametrize(("mode", "value"), [("dot", 15), ("cos", 15 / np.sqrt(15 * 18)), ("sum", [3, 3, 3, 6])])
def test_merges_in_functional_models(mode, value):
    model = model_from_json(written_by_keras_1(mode)[0])
    assert np.allclose(model.predict([np.float32([[1, 2, 1, 3]]), np.float32([[2, 1, 2, 3]])]), value)


def test_sequentials_that_begin_with_a_merge():
    """It was a stack of what is above the branches, in silence."""
    stack = {"class_name": "Sequential", "config": [{"class_name": "Dense", "config": {"name": "d", "output_dim": 2}}]}
    first = written_by_keras_1("concat", [stack, stack])[1]
    with pytest.raises(
        ValueError, match=r"'merge_1' \(Merge\) holds the models that it joins.*minicnn.keras.layers.Merge"
    ):
        model_from_json(json.dumps({"class_name": "Sequential", "config": [first]}))
