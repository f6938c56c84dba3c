"""Arrays of any layout mean what they hold: views, reversed, Fortran, read-only, other byte orders.

Every entry point is given an array and its contiguous copy; results must be the same bits.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minicnn as mc
from minicnn import layers

BACKENDS = ["numba", "numpy", pytest.param("cupy", marks=pytest.mark.gpu)]
COUNT, CLASSES = 10, 3
CLASS_WEIGHT = {0: 2.0, 1: 0.5}


# ------------------------------------------------------------------------------------------------------- layouts


def every_second(array):
    wide = np.full((2 * len(array), *array.shape[1:]), 99, array.dtype)
    wide[::2] = array
    return wide[::2]


def reversed_axes(array):
    """A view with negative strides along every axis."""
    flipped = (slice(None, None, -1),) * array.ndim
    return np.ascontiguousarray(array[flipped])[flipped]


def column_of_a_table(array):
    table = np.full((*array.shape, 4), 99, array.dtype)
    table[..., 2] = array
    return table[..., 2]


def fortran(array):
    return np.asfortranarray(array)


def read_only(array):
    copy = array.copy()
    copy.flags.writeable = False
    return copy


def other_byte_order(array):
    return array.astype(array.dtype.newbyteorder())


def unaligned(array):
    raw = np.zeros(array.nbytes + 1, np.uint8)
    view = raw[1:].view(array.dtype).reshape(array.shape)
    view[...] = array
    return view


LAYOUTS = [every_second, reversed_axes, column_of_a_table, fortran, read_only, other_byte_order, unaligned]


def test_the_layouts_are_what_they_are_called():
    array = np.arange(12.0).reshape(4, 3)
    for layout in LAYOUTS:
        np.testing.assert_array_equal(layout(array), array)
    assert [bool(layout(array).flags.c_contiguous) for layout in LAYOUTS] == [False] * 4 + [True] * 3
    assert min(reversed_axes(array).strides) < 0 and not unaligned(array).flags.aligned
    assert not read_only(array).flags.writeable and not other_byte_order(array).dtype.isnative


# -------------------------------------------------------------------------------------------------- entry points


class Batches:
    """A Sequence of two batches."""

    def __init__(self, x, y, weight):
        self.arrays = x, y, weight

    def __len__(self):
        return 2

    def __getitem__(self, i):
        return tuple(a[5 * i : 5 * i + 5] for a in self.arrays)


def _fit(model, x, y, weight, **options):
    return model.fit(x, y, sample_weight=weight, batch_size=4, epochs=2, verbose=0, **options).history


def _by_generator(model, x, y, weight):
    def stream():
        batches = Batches(x, y, weight)
        return (batches[i % 2] for i in range(4))

    options = {"validation_data": stream(), "validation_steps": 2}
    return model.fit(stream(), steps_per_epoch=2, epochs=2, verbose=0, **options).history


def _by_sequence(model, x, y, weight):
    batches = Batches(x, y, weight)
    return model.fit(batches, epochs=2, verbose=0, class_weight=CLASS_WEIGHT, validation_data=batches).history


ENTRIES = {
    "evaluate": lambda m, x, y, w: m.evaluate(x, y, batch_size=4, sample_weight=w, verbose=0),
    "predict": lambda m, x, y, w: m.predict(x, batch_size=4),
    "train_on_batch": lambda m, x, y, w: m.train_on_batch(x, y, sample_weight=w),
    "test_on_batch": lambda m, x, y, w: m.test_on_batch(x, y, sample_weight=w),
    "predict_on_batch": lambda m, x, y, w: m.predict_on_batch(x),
    "call": lambda m, x, y, w: m(x),
    "gradients": lambda m, x, y, w: m.gradients(x, y, sample_weight=w),
    "fit shuffled": lambda m, x, y, w: _fit(m, x, y, w),
    "fit unshuffled": lambda m, x, y, w: _fit(m, x, y, w, shuffle=False),
    "fit split": lambda m, x, y, w: _fit(m, x, y, w, validation_split=0.3),
    "fit validated": lambda m, x, y, w: _fit(m, x, y, w, validation_data=(x, y, w)),
    "fit by class": lambda m, x, y, w: _fit(m, x, y, w, class_weight=CLASS_WEIGHT, steps_per_epoch=1, shuffle=False),
    "fit a Sequence": _by_sequence,
    "fit a generator": _by_generator,
    "evaluate a Sequence": lambda m, x, y, w: m.evaluate(Batches(x, y, w), verbose=0),
    "predict a generator": lambda m, x, y, w: m.predict(x[i : i + 5] for i in (0, 5)),
}


def model_for(loss, backend):
    """A small network, the same at every call."""
    mc.utils.set_random_seed(3)
    units, final = (1, "sigmoid") if loss == "binary_crossentropy" else (CLASSES, "softmax")
    model = mc.Sequential(
        [
            layers.Input((4, 4, 1)),
            layers.Conv2D(2, 3, name="conv"),
            layers.Flatten(),
            layers.Dense(units, activation=final, name="dense"),
        ]
    )
    model.compile("adam", loss, metrics=["accuracy"], backend=backend)
    return model


def target_for(loss, rng):
    """Labels (N,), wrapped labels (N, 1), one-hot rows, float rows."""
    labels = rng.integers(CLASSES, size=COUNT)
    return {
        "sparse_categorical_crossentropy": labels,
        "categorical_crossentropy": np.eye(CLASSES, dtype=np.float32)[labels],
        "binary_crossentropy": (labels[:, None] > 0).astype(np.float32),
        "mse": rng.random((COUNT, CLASSES), np.float32),
    }[loss]


def outcome(entry, model, x, y, weight):
    """What an entry point returns, and the weights afterwards."""
    return ENTRIES[entry](model, x, y, weight), model.get_weights()


def same_bits(a, b):
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same_bits(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same_bits, a, b))
    return np.array_equal(np.asarray(a), np.asarray(b))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("entry", ENTRIES)
@settings(max_examples=20)
@given(data=st.data())
def test_layouts_change_nothing(entry, backend, data):
    loss = data.draw(
        st.sampled_from(["sparse_categorical_crossentropy", "categorical_crossentropy", "binary_crossentropy", "mse"])
    )
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    y = target_for(loss, rng)
    label_dtypes = ["int64", "int32", "uint8", "float32", "float64"]
    y = y.astype(data.draw(st.sampled_from(label_dtypes if loss.startswith("sparse") else ["float32", "float64"])))
    x = (rng.random((COUNT, 4, 4, 1)) * 255).astype(
        data.draw(st.sampled_from(["float32", "float64", "uint8", "int16"]))
    )
    weight = rng.random(COUNT).astype(data.draw(st.sampled_from(["float32", "float64"])))
    arrays = x, y, weight
    views = [data.draw(st.sampled_from(LAYOUTS))(array) for array in arrays]
    before = [view.copy() for view in views]
    expected = outcome(entry, model_for(loss, backend), *arrays)
    received = outcome(entry, model_for(loss, backend), *views)
    assert same_bits(expected, received)
    assert same_bits(before, views), "a user's array was changed"


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_weights_of_any_layout(layout, backend, rng, tmp_path):
    model = model_for("mse", backend)
    arrays = [rng.random(w.shape, np.float32) for w in model.get_weights()]
    model.set_weights([layout(a) for a in arrays])
    assert same_bits(arrays, model.get_weights())
    x = rng.random((COUNT, 4, 4, 1), np.float32)
    expected = model.predict(x)
    other = model_for("mse", backend)
    other.get_layer("conv").set_weights([layout(a) for a in arrays[:2]])
    other.get_layer("dense").set_weights([layout(a.astype(np.float64)) for a in arrays[2:]])
    assert same_bits(expected, other.predict(x))
    for suffix in ("safetensors", "weights.h5"):
        other.save_weights(tmp_path / f"w.{suffix}")
        third = model_for("mse", backend)
        third.load_weights(tmp_path / f"w.{suffix}")
        assert same_bits(expected, third.predict(x))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_loss_of_labels_by_hand(layout, backend, rng):
    """Against the formula in float64, not against another call of the library."""
    x, y = rng.random((COUNT, 4, 4, 1), np.float32), rng.integers(CLASSES, size=COUNT)
    model = model_for("sparse_categorical_crossentropy", backend)
    p = model.predict(x).astype(np.float64)
    expected = -np.log(p[np.arange(COUNT), y]).mean()
    assert model.evaluate(x, layout(y), verbose=0)[0] == pytest.approx(expected, rel=1e-5)
