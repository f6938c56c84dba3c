"""What goes into a training: which batches an epoch takes, data of other libraries and in files, and messages."""

import array
import itertools
import warnings
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minicnn as mc
from minicnn import layers
from minicnn.callbacks import BackupAndRestore, Callback, TerminateOnNaN
from minicnn.checks import real_array
from minicnn.errors import DataError, ShapeError
from minicnn.training.data_advice import shape_advice
from minicnn.training.lazy import LazyArray
from minicnn.training.passes import Passes, check_steps

X = np.arange(10.0)[:, None]  # five batches of two, each known by its number
Y = np.arange(10) % 3


class Seen(layers.Layer):
    """Changes nothing; a model's first layer, which notes the batches that come by, from their first sample."""

    def __init__(self, notes, **options):
        super().__init__(**options)
        self.notes = notes

    def build(self, input_shapes):
        return input_shapes[0]

    def forward(self, xs, ws):
        np.copyto(ws.y, xs[0])
        self.notes.append(int(xs[0][0, 0]) // 2)

    def backward(self, dy, ws):
        if ws.dxs[0] is not None:
            np.copyto(ws.dxs[0], dy)


@pytest.fixture
def notes():
    return []


@pytest.fixture
def model(notes):
    model = mc.Sequential([mc.Input((1,)), Seen(notes), layers.Dense(3, activation="softmax")])
    model.compile(mc.optimizers.SGD(1e-4), "sparse_categorical_crossentropy", backend="numpy")
    return model


class Batches:
    """A Sequence of the batches of X and Y, of which the first ones are there."""

    def __init__(self, notes, count=5, grows=0):
        self.notes, self.count, self.grows = notes, count, grows

    def __len__(self):
        return self.count

    def __getitem__(self, i):
        assert 0 <= i < self.count, "asked beyond its length"
        return X[2 * i : 2 * i + 2], Y[2 * i : 2 * i + 2]

    def on_epoch_begin(self):
        self.notes.append("B")

    def on_epoch_end(self):
        self.notes.append("E")
        self.count += self.grows


class OnlyIterable:
    """As a loader of PyTorch's: can be read again, has no indices, gives lists."""

    def __init__(self, has_length):
        if has_length:
            self.__class__ = type("WithLength", (OnlyIterable,), {"__len__": lambda _: 5})

    def __iter__(self):
        return iter([[X[i : i + 2], Y[i : i + 2]] for i in range(0, 10, 2)])


def generator(count):
    return ((X[i : i + 2], Y[i : i + 2]) for i in itertools.islice(itertools.cycle(range(0, 10, 2)), count))


def fit(model, data, **options):
    """Without shuffling; returns how many of the epochs were cut short."""
    y = Y if isinstance(data, np.ndarray) else None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(data, y, **({"verbose": 0, "shuffle": False} | options))
    assert all("ran out of data" in str(w.message) and w.filename == __file__ for w in caught)
    return sum("batches" in str(w.message) for w in caught)


# ---------------------------------------------------------------------------------------------- batches of an epoch

# The numbers are what Keras 3.15.1 with TensorFlow gave for the same data (a train_step that prints its batch).
SHORT = [0, 1, 2, 3, 4, 0, 1]  # four epochs of at most two batches: 0 1, 2 3, 4, 0 1


@pytest.mark.parametrize("kind", ["arrays", "Sequence", "iterable", "iterable with a length"])
def test_short_epochs_go_on_where_the_last_one_stopped(kind, model, notes):
    data = {"arrays": X, "Sequence": Batches([]), "iterable": OnlyIterable(False)}.get(kind, OnlyIterable(True))
    options = {"batch_size": 2} if kind == "arrays" else {}
    assert fit(model, data, steps_per_epoch=2, epochs=4, **options) == 1
    assert notes == SHORT
    assert len(model.history.history["loss"]) == 4


@pytest.mark.parametrize("kind", ["arrays", "Sequence", "iterable"])
def test_epochs_longer_than_the_data_end_with_it_and_warn(kind, model, notes):
    data = {"arrays": X, "Sequence": Batches([]), "iterable": OnlyIterable(False)}[kind]
    assert fit(model, data, steps_per_epoch=7, epochs=3, **({"batch_size": 2} if kind == "arrays" else {})) == 3
    assert notes == [0, 1, 2, 3, 4] * 3


@pytest.mark.parametrize("has_length", [False, True])
def test_an_iterable_that_ends_with_an_epoch_begins_again(has_length, model, notes):
    assert fit(model, OnlyIterable(has_length), steps_per_epoch=5, epochs=3) == 0
    assert notes == [0, 1, 2, 3, 4] * 3


def test_a_generator_that_ends_within_an_epoch(model, notes):
    """Keras then repeats the batches it had looked at; here the training stops, and says so."""
    assert fit(model, generator(7), steps_per_epoch=3, epochs=4) == 1
    assert notes == [0, 1, 2, 3, 4, 0, 1]
    assert len(model.history.history["loss"]) == 3


@pytest.mark.parametrize("sequence", [False, True])
def test_shuffled_short_epochs_share_one_order(sequence, model, notes):
    data = Batches([]) if sequence else X
    fit(model, data, steps_per_epoch=2, epochs=6, shuffle=True, **({} if sequence else {"batch_size": 2}))
    passes = notes[:5], notes[5:]
    if sequence:
        assert sorted(passes[0]) == sorted(passes[1]) == [0, 1, 2, 3, 4]
        assert passes[0] != passes[1] or passes[0] != [0, 1, 2, 3, 4]
    assert [len(p) for p in passes] == [5, 5]


@given(samples=st.integers(1, 40), batch=st.integers(1, 9), steps=st.integers(1, 9), seed=st.integers(0, 99))
def test_a_pass_of_short_epochs_takes_every_sample_once(samples, batch, steps, seed):
    """By a count of samples, for any sizes."""
    from minicnn.training.sources import ArraySource

    source = ArraySource([np.arange(samples)], [], None, batch, steps)
    taken = []
    for _ in range(-(-source.available // steps)):
        assert source.goes_on() == bool(taken)
        epoch = list(source.batches(np.random.default_rng(seed)))
        assert len(epoch) <= steps
        taken += [int(i) for b in epoch for i in b.pick(b.inputs[0])]
    assert sorted(taken) == list(range(samples))
    assert not source.goes_on()


class Killed(Exception):
    """Stands for the end of the process."""


class Kill(Callback):
    def __init__(self, batches):
        self.left = batches

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if self.left == 0:
            raise Killed


@pytest.mark.parametrize("kind", ["arrays", "Sequence", "iterable"])
@pytest.mark.parametrize("kill_after", [2, 3, 4, 5, 6])
def test_a_killed_training_goes_on_within_a_pass(kind, kill_after, notes, tmp_path):
    def run(*own):
        mc.utils.set_random_seed(1)
        model = mc.Sequential([mc.Input((1,)), Seen(notes), layers.Dense(3, activation="softmax")])
        model.compile("sgd", "sparse_categorical_crossentropy", backend="numpy")
        data = {"arrays": X, "Sequence": Batches([]), "iterable": OnlyIterable(True)}[kind]
        fit(model, data, steps_per_epoch=2, epochs=4, shuffle=True, callbacks=list(own), batch_size=2)
        return model.get_weights()

    expected, order = run(), notes.copy()
    notes.clear()
    with pytest.raises(Killed):
        run(BackupAndRestore(tmp_path, 1), Kill(kill_after))
    weights = run(BackupAndRestore(tmp_path, 1))
    assert len(notes) in (len(order), len(order) + 1)  # the batch at which it was killed may be computed again
    assert notes[-1] == order[-1]
    for a, b in zip(weights, expected, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.gpu
@pytest.mark.parametrize("most", [0.5, 0.0])  # of the memory: all data lies there, or chunks of three batches
@pytest.mark.parametrize("shuffle", [False, True])
def test_short_epochs_on_a_gpu(most, shuffle, monkeypatch):
    """Against the reference; seven epochs of at most three of ten batches."""
    monkeypatch.setattr("minicnn.training.device_engine.MOST_OF_MEMORY", most)
    monkeypatch.setattr("minicnn.training.device_engine.BATCHES_A_CHUNK", 2)

    def losses(backend):
        mc.utils.set_random_seed(1)
        model = mc.Sequential([mc.Input((1,)), layers.Dense(3, activation="softmax")])
        model.compile("sgd", "sparse_categorical_crossentropy", backend=backend)
        with pytest.warns(UserWarning, match="ran out of data after 1 of 3 batches"):
            return model.fit(X, Y, 1, 7, verbose=0, shuffle=shuffle, steps_per_epoch=3).history["loss"]

    np.testing.assert_allclose(losses("cupy"), losses("numpy"), rtol=1e-5)


def test_steps_without_a_batch_size_cut_the_arrays(model, notes):
    """As in Keras: ceil(10 / 2) samples a batch."""
    assert fit(model, X, steps_per_epoch=2, epochs=2) == 0
    assert notes == [0, 2, 0, 2]  # samples 0 and 5 come first
    model.evaluate(X, Y, steps=4, verbose=0)
    assert notes[4:] == [0, 1, 3, 4]  # samples 0, 3, 6, 9


def test_validation_begins_anew_every_time(model, notes):
    """Keras 3.15.1: batches 0 and 1 each time, of arrays and of a Sequence."""
    for data, options in (((X, Y), {"validation_batch_size": 2}), (Batches([]), {})):
        notes.clear()
        fit(model, X, batch_size=10, epochs=3, validation_data=data, validation_steps=2, **options)
        assert notes == [0, 0, 1] * 3


def test_validation_split_has_its_own_batch_size_and_steps(model, notes):
    fit(model, X, batch_size=6, validation_split=0.4, validation_batch_size=2, validation_steps=1, epochs=2)
    assert notes == [0, 3, 0, 3]


def test_a_sequence_is_never_asked_beyond_its_length(model, notes):
    """Keras 3.15.1: all five batches, and a warning."""
    for call in (
        lambda: model.evaluate(Batches([]), steps=8, verbose=0),
        lambda: model.predict(Batches([]), steps=8),
        lambda: model.predict(X, batch_size=2, steps=8),
    ):
        notes.clear()
        with pytest.warns(UserWarning, match="ran out of data after 5 of 8 batches") as caught:
            call()
        assert caught[0].filename == __file__
        assert notes == [0, 1, 2, 3, 4]
    notes.clear()
    with pytest.warns(UserWarning, match="ran out of data after 5 of 8 batches"):
        model.fit(X, Y, batch_size=10, validation_data=Batches([]), validation_steps=8, verbose=0, shuffle=False)
    assert notes == [0, 0, 1, 2, 3, 4]


def test_the_hooks_of_a_sequence_and_its_length_in_every_epoch(model, notes):
    fit(model, Batches(notes, 2, grows=1), epochs=3)
    assert notes == ["B", 0, 1, "E", "B", 0, 1, 2, "E", "B", 0, 1, 2, 3, "E"]
    notes.clear()
    fit(model, Batches(notes, 4, grows=-1), epochs=3)
    assert notes == ["B", 0, 1, 2, 3, "E", "B", 0, 1, 2, "E", "B", 0, 1, "E"]
    notes.clear()
    model.predict(Batches(notes, 2))
    model.evaluate(Batches(notes, 1), verbose=0)
    assert notes == ["B", 0, 1, "E", "B", 0, "E"]


def test_an_endless_sequence(model, notes):
    """Keras's PyDataset whose `num_batches` is None."""

    class Endless:
        num_batches = None

        def __getitem__(self, i):
            return X[i % 10 : i % 10 + 1], Y[i % 10 : i % 10 + 1]

    fit(model, Endless(), steps_per_epoch=3, epochs=2)
    assert notes == [0, 0, 1, 1, 2, 2]


def test_whole_floats_count_batches(model, notes):
    fit(model, X, batch_size=2, steps_per_epoch=len(X) / 5, validation_data=(X, Y), validation_steps=np.float32(1))
    assert notes[:2] == [0, 1]
    model.evaluate(X, Y, steps=1.0, verbose=0)
    assert check_steps("steps", None) is None
    assert [type(check_steps("steps", v)) for v in (3, 3.0, np.int64(3), np.float32(3))] == [int] * 4
    for wrong in (2.5, 0, -1, 0.0, True, "3", np.nan, np.inf):
        with pytest.raises(ValueError, match=r"`steps_per_epoch`.*Received: steps_per_epoch="):
            model.fit(X, Y, steps_per_epoch=wrong, verbose=0)
        with pytest.raises(ValueError, match="`steps`"):
            model.predict(X, steps=wrong)
    with pytest.raises(ValueError, match=r"must be whole: write math.ceil.*10\.5"):
        model.evaluate(X, Y, steps=10.5, verbose=0)


def test_an_epoch_knows_where_it_begins():
    class Five(Passes):
        available = 5

    passes = Five(2)
    passes.skip(3)  # one batch of the second epoch is done
    assert passes.epoch(1) == range(3, 4)
    passes.skip(5)  # the third epoch is done, and its end not yet noted
    assert passes.epoch(1) == range(5, 5)
    assert passes.epoch() == range(2)


# ---------------------------------------------------------------------------------------------------------- items


def test_items_of_generators(model):
    with pytest.raises(ValueError, match=r"x, \(x, y\) or \(x, y, sample_weight\).*Received: a tuple of 4"):
        model.fit(iter([(X, Y, None, None)]), verbose=0)
    with pytest.raises(ValueError, match="Received: a list of 0"):
        model.predict(iter([[]]))
    with pytest.raises(DataError, match="equal lengths"):
        model.fit([(X, Y)], verbose=0)  # a list of batches
    exhausted = iter([])
    for call in (model.predict, lambda g: model.fit(g, verbose=0), lambda g: model.evaluate(g, verbose=0)):
        with pytest.raises(DataError, match="gave no batch"):
            call(exhausted)


@pytest.mark.parametrize("last", ["labels", "wrapped labels", "one-hot"])
def test_wrapped_batches_of_one_sample(last):
    """A short last batch is as any other: against the arrays at once."""
    model = mc.Sequential([mc.Input((1,)), layers.Dense(3, activation="softmax")])
    loss = "categorical_crossentropy" if last == "one-hot" else "sparse_categorical_crossentropy"
    model.compile("sgd", loss, metrics=["accuracy"], backend="numpy")
    y = {"labels": Y, "wrapped labels": Y[:, None], "one-hot": np.eye(3)[Y]}[last]
    expected = model.evaluate(X, y, verbose=0)
    items = [((X[k : k + 3],), (y[k : k + 3],)) for k in (0, 3, 6, 9)]
    assert model.evaluate(iter(items), verbose=0) == pytest.approx(expected, rel=1e-5)
    one = model.evaluate(X[9:], y[9:], verbose=0)
    assert model.test_on_batch([X[9:]], [y[9:]]) == one
    assert model.test_on_batch([X], [y]) == pytest.approx(expected, rel=1e-6)
    assert model.train_on_batch([X[9:]], [y[9:]]) == one


def test_a_list_of_one_sample_is_no_wrapped_batch():
    model = mc.Sequential([mc.Input((2, 3)), layers.Dense(3, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy", backend="numpy")
    x, y = np.ones((1, 2, 3)), np.array([[0, 2]])
    expected = model.evaluate(x, y, verbose=0)
    assert model.evaluate([x[0]], [y[0]], verbose=0) == model.evaluate([x], [y], verbose=0) == expected


@pytest.mark.parametrize("kind", ["iterable", "generator", "wrapped", "Sequence"])
def test_a_model_learns_its_input_from_any_stream(kind):
    data = {
        "iterable": OnlyIterable(False),
        "generator": ([X[i : i + 2], Y[i : i + 2]] for i in range(0, 10, 2)),
        "wrapped": iter([((X,), (Y,))]),
        "Sequence": Batches([]),
    }[kind]
    model = mc.Sequential([layers.Dense(3, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy", backend="numpy")
    model.fit(data, verbose=0)
    assert model.input_shape == (None, 1)
    assert model.optimizer.iterations == (1 if kind == "wrapped" else 5)  # no batch was lost
    with pytest.raises(DataError, match="empty"):
        mc.Sequential([layers.Dense(3)]).predict(iter([]))


class Stop(Callback):
    """Ends everything after its second batch."""

    def on_test_batch_end(self, batch, logs=None):
        self.model.stop_evaluating = batch == 1

    def on_predict_batch_end(self, batch, logs=None):
        self.model.stop_predicting = batch == 1


def test_callbacks_stop_evaluations_and_predictions(model, notes):
    """As in Keras 3.15.1, which ends after the batch and begins the next one anew."""
    for endless in (False, True):
        data = generator(10**9) if endless else X
        notes.clear()
        assert model.predict(data, batch_size=2, callbacks=Stop()).shape == (4, 3)
        model.evaluate(data, None if endless else Y, batch_size=2, verbose=0, callbacks=Stop())
        assert len(notes) == 4
    notes.clear()
    model.fit(X, Y, epochs=2, validation_data=(X, Y), validation_batch_size=2, verbose=0, callbacks=Stop())
    assert len(notes) == 2 * (1 + 2)
    assert model.evaluate(X, Y, verbose=0) > 0 and model.predict(X).shape == (10, 3)


# ----------------------------------------------------------------------------------------------- class weights


@pytest.mark.parametrize("form", ["labels", "column", "one-hot", "two columns", "binary"])
@pytest.mark.parametrize("keys", [int, float, np.int8, np.float32, bool])
def test_class_weights_by_hand(form, keys):
    """Against sample weights that Python's dict gives; a class without an entry weighs 1."""
    labels = Y % 2 if keys is bool or form in ("binary", "two columns") else Y
    weights = {0: 3.0, 1: np.float32(0.5)}
    y = {"labels": labels, "column": labels[:, None], "one-hot": np.eye(3)[labels], "binary": labels[:, None] * 1.0}
    y["two columns"] = np.eye(2)[labels % 2]
    loss = dict.fromkeys(["one-hot", "two columns"], "categorical_crossentropy") | {"binary": "binary_crossentropy"}
    units = {"two columns": 2, "binary": 1}.get(form, 3)

    def loss_of_a_batch(**options):
        mc.utils.set_random_seed(1)
        final = layers.Dense(units, activation="sigmoid" if form == "binary" else "softmax")
        model = mc.Sequential([mc.Input((1,)), final])
        model.compile("sgd", loss.get(form, "sparse_categorical_crossentropy"), backend="numpy")
        return model.train_on_batch(X, y[form], **options)

    by_hand = np.array([float(weights.get(int(label), 1)) for label in labels])
    given_keys = {keys(label): factor for label, factor in weights.items()}
    assert loss_of_a_batch(class_weight=given_keys) == loss_of_a_batch(sample_weight=by_hand)


def test_classes_that_do_not_exist(model):
    with pytest.warns(
        UserWarning, match=r"class_weight has weights for classes \[3, 7\].*3 classes apart, 0 to 2\."
    ) as caught:
        model.fit(X, Y, class_weight={0: 1, 7: 2, 3.0: 2}, verbose=0)
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(X, Y * 0, class_weight={0: 1, 2: 2}, verbose=0)  # one that is missing in the data is none of these
    for wrong in (0.5, -1, "cat", np.nan, None):
        with pytest.raises(ValueError, match="class numbers from 0 on"):
            model.fit(X, Y, class_weight={wrong: 1.0}, verbose=0)
    for wrong in ("often", [1, 2, 3], np.ones(3)):
        with pytest.raises(TypeError, match=r"dict\(enumerate\(weights\)\)"):
            model.fit(X, Y, class_weight=wrong, verbose=0)


# ------------------------------------------------------------------------------------------ of other libraries


class NAType:
    """As pandas.NA."""

    def __repr__(self):
        return "<NA>"


class Tensor:
    """As PyTorch's: needs `detach` and `cpu` before NumPy may have it; bfloat16 is none of NumPy's types."""

    def __init__(self, array, dtype="torch.float32", ready=False):
        self._array, self.dtype, self.ready, self.shape = array, dtype, ready, array.shape

    def detach(self):
        return Tensor(self._array, self.dtype, True)

    def cpu(self):
        return self

    def float(self):
        return Tensor(self._array, ready=True)

    def __array__(self, dtype=None, copy=None):
        if not self.ready or self.dtype == "torch.bfloat16":
            raise RuntimeError("Can't call numpy() on Tensor that requires grad")
        return np.asarray(self._array, dtype)


class Frame:
    """As pandas' DataFrame of nullable types: NumPy gets objects."""

    def __init__(self, array):
        self._array = array

    def __array__(self, dtype=None, copy=None):
        return np.array(self._array, object)


class Table(Frame):
    """As pandas' DataFrame, whose columns have names."""

    def __init__(self, array, columns):
        super().__init__(array)
        self.columns = columns


class Picture:
    """As Pillow's."""

    def __init__(self, array):
        self._array = array
        self.__array_interface__ = array.__array_interface__


class Sparse:
    """As SciPy's."""

    def __init__(self, array):
        self._array = array

    def toarray(self):
        return self._array


class Nullable:
    """As polars' and pandas' series, of which NumPy makes NaN where a value is missing."""

    def __init__(self, values, library):
        self._array, self.name, self.iloc = np.array([np.nan if v is None else v for v in values]), "age", None
        if library == "polars":
            self.null_count = lambda: values.count(None)
        else:
            self.dtype = type("Int64Dtype", (), {"na_value": NAType()})()
            self.isna = lambda: np.isnan(self._array)

    def __array__(self, dtype=None, copy=None):
        return self._array


ROWS = np.arange(12.0).reshape(4, 3)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Frame([[1, True], [2.5, False]]), np.array([[1, 1], [2.5, 0]])),
        (Frame([[True], [False]]), np.array([[True], [False]])),
        (Frame([[np.int64(1)], [2]]), np.array([[1], [2]])),
        (Frame([Decimal("0.5"), np.float32(2), np.bool_(True)]), np.array([0.5, 2, 1])),
        (Frame([2**70, 1]), np.array([2.0**70, 1])),
        (Nullable([1, 2], "polars"), np.array([1, 2])),
        (Nullable([1, 2], "pandas"), np.array([1, 2])),
        (Tensor(ROWS), ROWS),
        (Tensor(ROWS, "torch.bfloat16"), ROWS),
        ([Tensor(ROWS), Tensor(ROWS + 1)], np.stack([ROWS, ROWS + 1])),
        ([Picture(ROWS), Picture(ROWS + 1)], np.stack([ROWS, ROWS + 1])),
        (Sparse(ROWS), ROWS),
        (np.ma.array(ROWS, mask=False), ROWS),
        ([np.ma.array(ROWS)], ROWS[None]),
        (ROWS.view(type("Own", (np.ndarray,), {})), ROWS),
        (list(ROWS), ROWS),
        (np.array([ROWS, ROWS + 1, None], object)[:2], np.stack([ROWS, ROWS + 1])),
    ],
)
def test_numbers_in_any_wrapping(value, expected):
    received = real_array(value, "x")
    assert type(received) is np.ndarray and received.dtype == expected.dtype
    np.testing.assert_array_equal(received, expected)


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (Frame([[1, NAType()]]), DataError, r"x has missing values: fill them.*<NA> at position \(0, 1\)"),
        (Frame([1.5, None]), DataError, "missing values"),
        (Nullable([1, None, None], "polars"), DataError, "missing values: fill them.*2 of them"),
        (Nullable([1, None, None], "pandas"), DataError, r"missing values: fill them.*some in \['age'\]"),
        (np.ma.array(ROWS, mask=ROWS == 5), DataError, r"masked values.*x.filled\(0\).*1 masked of 12"),
        ([ROWS, np.ma.array(ROWS, mask=ROWS == 5)], DataError, r"x\[1\] holds masked values"),
        ([ROWS, ROWS, ROWS[:3]], DataError, r"one shape; resize.*entry 0 of shape \(4, 3\) and entry 2 of .*\(3, 3\)"),
        ([Picture(ROWS), Picture(ROWS.T.copy())], DataError, r"entry 1 of shape \(3, 4\)"),
        (np.array([ROWS, ROWS[:3]], object), DataError, "entry 1 of shape"),
        (["cat", "dog"], TypeError, r"numpy.unique\(y, return_inverse=True\)\. Received: dtype <U3$"),
        (Frame(["cat", "dog"]), TypeError, r"numpy.unique\(y, return_inverse=True\)\. Received: dtype object"),
        (
            np.array(["2020-01-01"], "M8[D]"),
            TypeError,
            r"real numbers.*astype\('int64'\)\. Received: dtype datetime64.D.$",
        ),
        ([1j], TypeError, r"real numbers.*take \.real.*Received: dtype complex128$"),
        (np.array([(1,)], [("y", "i4")]), TypeError, r"one of its fields, for example x\['y'\]\. Received: dtype \[\("),
        ([1, 2, None, {}], TypeError, r"Received: dtype object, with None at position 2$"),
        (np.array([[None, None]]), TypeError, r"Received: dtype object, with None at position \(0, 0\)$"),
        ({"a": 1}, TypeError, r"real numbers.*Received: \{'a': 1\}$"),
        (None, TypeError, "real numbers.*Received: None$"),
        ("cat.jpg", TypeError, r"real numbers.*model.predict_image\(path\).*Received: 'cat.jpg'$"),
        (lambda: iter(()), TypeError, r"write batches\(\), not batches\. Received: <function"),
        (
            Table([[1, "x"], [2, "y"]], ["size", "colour"]),
            TypeError,
            r"columns=\['colour'\]\)\. Received: dtype object$",
        ),
        (Table([["x"], ["y"]], ["label"]), TypeError, r"numpy.unique\(y, return_inverse=True\)"),
    ],
)
def test_what_holds_no_numbers(value, error, message):
    with pytest.raises(error, match=message):
        real_array(value, "x")


class OnlyInterface:
    """An array as NumPy's oldest protocol shows it, that can be asked for its rows."""

    def __init__(self, array):
        self.array = array
        self.__array_interface__ = array.__array_interface__

    def __len__(self):
        return len(self.array)

    def __getitem__(self, index):
        return self.array[index]


@pytest.mark.parametrize(
    "wrap",
    [
        memoryview,
        lambda x: array.array("f", x.ravel()),
        np.ctypeslib.as_ctypes,
        OnlyInterface,
    ],
    ids=["memoryview", "array", "ctypes", "interface"],
)
def test_what_numpy_reads_from_memory_is_data_and_no_stream(wrap, model):
    x = X.astype(np.float32)
    expected = model.evaluate(x, Y, batch_size=4)
    assert model.evaluate(wrap(x), Y, batch_size=4) == expected
    assert np.array_equal(model.predict(wrap(x)), model.predict(x))
    model.fit(wrap(x), Y, validation_data=(wrap(x), Y), validation_split=0.0, verbose=0)


def test_real_frames():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": [0.5, 2, 3], "b": [True, False, True], "c": [1, 2, 3]})
    expected = np.array([[0.5, 1, 1], [2, 0, 2], [3, 1, 3]])
    for version in (frame, frame.convert_dtypes(), frame.astype(object), frame.astype({"c": "category"})):
        np.testing.assert_array_equal(real_array(version, "x"), expected)
    with pytest.raises(DataError, match=r"missing values.*'c'"):
        real_array(frame.assign(c=pandas.array([1, None, 3], "Int64")), "x")


# -------------------------------------------------------------------------------------------------------- in files


class File:
    """A data set in a file, of which rows are read by slices, each once a batch and forward."""

    def __init__(self, array):
        self._array, self.shape, self.dtype, self.reads = array, array.shape, array.dtype, []

    def __getitem__(self, key):
        assert isinstance(key, slice) and 0 <= key.start < key.stop <= len(self._array)
        self.reads.append((key.start, key.stop))
        return self._array[key].copy()


IMAGES = np.random.default_rng(0).random((30, 4, 4), np.float32)
LABELS = np.arange(30) % 3


def image_model(backend):
    mc.utils.set_random_seed(1)
    model = mc.Sequential([mc.Input((4, 4, 1)), layers.Flatten(), layers.Dense(3, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"], backend=backend)
    return model


@pytest.mark.parametrize("backend", ["numba", "numpy", pytest.param("cupy", marks=pytest.mark.gpu)])
@pytest.mark.parametrize("entry", ["evaluate", "predict", "fit", "unshuffled", "split", "steps", "on_batch", "call"])
def test_files_are_read_batch_by_batch(entry, backend):
    """Bit for bit what the array itself gives; and no more at once than a batch, in increasing order inside."""
    fits = {"fit": {}, "unshuffled": {"shuffle": False}, "split": {"validation_split": 0.3}}
    fits["steps"] = {"steps_per_epoch": 3, "epochs": 3}

    def outcome(x):
        model = image_model(backend)
        call = {
            "evaluate": lambda: model.evaluate(x, LABELS, batch_size=4, verbose=0),
            "predict": lambda: model.predict(x, batch_size=4),
            "on_batch": lambda: model.train_on_batch([x], LABELS),
            "call": lambda: model(x),
        }.get(entry, lambda: model.fit(x, LABELS, batch_size=4, verbose=0, **fits[entry]).history)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "the input ran out of data after 2 of 3")
            return call(), model.get_weights()

    file = File(IMAGES)  # the last axis is missing, as for arrays
    expected, received = outcome(IMAGES), outcome(file)
    np.testing.assert_equal(received, expected)
    if entry not in ("on_batch", "call"):
        assert max(stop - start for start, stop in file.reads) <= 4
        read = [i for start, stop in file.reads for i in range(start, stop)]
        assert sorted(read) == list(range(30)) if entry != "steps" else len(read) == 30


@pytest.mark.parametrize("options", [{}, {"shuffle": False}, {"validation_split": 0.3}, {"steps_per_epoch": 3}])
def test_targets_in_a_file_are_read_batch_by_batch(options):
    """Bit for bit what the array itself gives, with inputs in memory or in a file."""
    masks = np.random.default_rng(2).random((30, 6, 5, 1))

    def outcome(x, y):
        mc.utils.set_random_seed(3)
        model = mc.Sequential([mc.Input((6, 5, 1)), layers.Conv2D(1, 3, padding="same")])
        model.compile("sgd", "mse")
        history = model.fit(x, y, batch_size=4, verbose=0, **options).history
        return history, model.get_weights(), model.evaluate(x, y, batch_size=4, verbose=0), model.train_on_batch(x, y)

    images = np.random.default_rng(1).random((30, 6, 5, 1))
    expected = outcome(images, masks)
    for x in (images, File(images)):
        file = File(masks)
        np.testing.assert_equal(outcome(x, file), expected)
        assert sorted(stop - start for start, stop in file.reads)[-1] == 30  # train_on_batch alone
        assert sum(stop - start > 4 for start, stop in file.reads) == 1


def test_wrong_targets_in_a_file():
    masks = np.zeros((30, 6, 5, 1))
    masks[17] = np.nan
    model = mc.Sequential([mc.Input((6, 5, 1)), layers.Conv2D(1, 3, padding="same")])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="targets must be finite"):
        model.fit(np.zeros((30, 6, 5, 1)), File(masks), verbose=0)
    with pytest.raises(ValueError, match="element by element"):
        model.fit(np.zeros((30, 6, 5, 1)), File(masks[:, :2]), verbose=0)


def test_an_archive_of_arrays_is_a_dict_of_them(tmp_path):
    np.savez(tmp_path / "both.npz", a=ROWS, b=ROWS[::-1])
    a, b = mc.Input((3,), name="a"), mc.Input((3,), name="b")
    model = mc.Model([b, a], layers.Subtract()([b, a]))
    with np.load(tmp_path / "both.npz") as archive:
        np.testing.assert_array_equal(model.predict(archive), ROWS[::-1] - ROWS)
        np.testing.assert_array_equal(model(archive), ROWS[::-1] - ROWS)
        alone = mc.Sequential([mc.Input((3,), name="x"), layers.Dense(1)])
        alone.compile("sgd", "mse")
        for call in (alone.predict, lambda x: alone.fit(x, ROWS[:, 0], verbose=0)):
            with pytest.raises(ValueError, match=r"needs inputs named \['x'\]. Received: \['a', 'b'\]"):
                call(archive)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1, 2, np.nan, np.inf], "sample_weight must be finite. Received: nan at position 2"),
        ([1, 2, 3], "x and sample_weight need the same number of samples. Received: 4 and 3"),
    ],
)
def test_weights_of_samples_that_do_not_fit(weights, message):
    model = mc.Sequential([mc.Input((3,)), layers.Dense(1)])
    model.compile("sgd", "mse")
    for call in (lambda w: model.fit(ROWS, ROWS[:, 0], sample_weight=w, verbose=0), lambda w: fit_batches(model, w)):
        with pytest.raises(ValueError, match=message):
            call(np.array(weights, float))


def fit_batches(model, weights):
    model.fit(iter([(ROWS, ROWS[:, 0], weights)]), verbose=0)


def test_a_generator_that_yields_nothing_in_a_batch_is_told_so():
    model = mc.Sequential([mc.Input((3,)), layers.Dense(1)])
    model.compile("sgd", "mse")
    with pytest.raises(TypeError, match="Received: None"):
        model.fit(iter([(ROWS, ROWS[:, 0]), None]), verbose=0)


def test_a_model_learns_its_input_from_a_file():
    file = File(IMAGES)
    model = mc.Sequential([layers.Flatten(), layers.Dense(3)])
    assert model.predict(file, batch_size=7).shape == (30, 3)
    assert max(stop - start for start, stop in file.reads) <= 7


@given(data=st.data())
def test_rows_of_a_file_in_any_order(data):
    file = File(np.arange(60).reshape(20, 3))
    start = data.draw(st.integers(0, 19))
    part = LazyArray(file, 0, 20, (3,))[start:]
    order = data.draw(st.permutations(range(len(part))))
    indices = np.array(order[: data.draw(st.integers(1, len(part)))])
    np.testing.assert_array_equal(part[indices], file._array[start:][indices])
    assert file.reads == sorted(file.reads)  # as h5py demands, and a disk likes
    np.testing.assert_array_equal(np.asarray(part[..., None])[..., 0], file._array[start:])


def test_h5py_data_sets(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["x"], file["y"] = IMAGES[..., None], LABELS
        expected = image_model("numpy").fit(IMAGES[..., None], LABELS, batch_size=4, verbose=0).history
        assert image_model("numpy").fit(file["x"], file["y"], batch_size=4, verbose=0).history == expected


# -------------------------------------------------------------------------------------------------------- messages


@pytest.mark.parametrize(
    ("shape", "expected", "advice"),
    [
        ((5, 3, 8, 9), (8, 9, 3), "numpy.moveaxis(x, 1, -1), which is x.transpose(0, 2, 3, 1)"),
        ((5, 8, 9, 3), (3, 8, 9), "make it for Input((8, 9, 3)) and keep the data"),
        ((8, 9, 3, 5), (8, 9, 3), "numpy.moveaxis(x, -1, 0)"),
        ((8, 9, 3), (8, 9, 3), "x[None]"),
        ((8, 9), (8, 9, 1), "x[None, ..., None]"),
        ((5, 216), (8, 9, 3), "x.reshape((-1, 3, 8, 9)).transpose(0, 2, 3, 1) if they stand channel after channel"),
        ((5, 72), (8, 9, 1), "use x.reshape((-1, 8, 9, 1))"),
        ((5, 8, 9, 3), (216,), "use x.reshape((-1, 216))"),
        ((5, 8, 9, 1), (72,), "use x.reshape((-1, 72))"),
        ((5, 9, 8), (8, 9), ""),
        ((5, 9, 8, 3), (8, 9, 3), "mc.utils.resize_images(x, (8, 9)), or a model for Input((9, 8, 3))"),
        ((5, 8, 9), (8, 9, 3), "numpy.repeat(x[..., None], 3, axis=-1)"),
        ((5, 8, 9, 1), (8, 9, 3), "numpy.repeat(x, 3, axis=-1)"),
        ((5, 8, 9, 1), (None, None, 3), "numpy.repeat(x, 3, axis=-1)"),
        ((5, 8, 9, 3), (8, 9, 1), "mc.utils.to_grayscale(x)"),
        ((5, 8, 9, 4), (8, 9, 3), "x[..., :3] leaves transparency out"),
        ((5, 8, 9, 2), (8, 9, 3), ""),
        ((5, 6, 4), (4, 6, 1), ""),
        ((5, 7), (8,), ""),
        ((), (8,), ""),
    ],
)
def test_advice_on_shapes(shape, expected, advice):
    received = shape_advice(shape, expected)
    assert advice in received and bool(advice) == bool(received)


@given(data=st.data())
def test_advised_reshapes_keep_pixels_where_they_are(data):
    """Where a reshape alone is advised, pixels that were neighbours on the last axis of the longer shape stay so."""
    axes = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    other = data.draw(st.permutations(axes))
    advice = shape_advice((7, *axes), tuple(other))
    if "; use x.reshape" in advice:  # a permutation that a reshape does is one of axes of size 1
        assert [n for n in axes if n != 1] == [n for n in other if n != 1]


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (Y + 1, r"do they start at 1\? then train with y - 1\. Received: 3 at position 2"),
        (Y % 2 * 2 - 1, r"labels -1 and 1 become 0 and 1 by \(y \+ 1\) // 2\. Received: -1 at position 0"),
        (np.arange(10), "for 10 classes the last layer needs 10 units"),
        (Y - 7, r"since the output has 3 column\(s\)\. Received: -7"),
        (np.eye(3)[Y], "use loss='categorical_crossentropy'"),
        (np.array(list("abcabcabca")), "numpy.unique"),
        (Y[:9], "x and y need the same number of samples. Received: 10 and 9"),
    ],
)
def test_targets_that_do_not_fit(y, message, model):
    for call in (model.evaluate, model.fit):
        with pytest.raises((ValueError, TypeError), match=message):
            call(X, y, verbose=0)
    with pytest.raises((ValueError, TypeError), match=f"^validation_data: .*{message}"):
        model.fit(X, Y, validation_data=(X, y), verbose=0)
    with pytest.raises((ValueError, TypeError), match=f"^validation_data: .*{message}"):
        model.fit(X, Y, validation_data=iter([(X, y)]), verbose=0)


def test_validation_inputs_that_do_not_fit(model):
    with pytest.raises(ShapeError, match=r"^validation_data: model .* expected data of shape"):
        model.fit(X, Y, validation_data=(np.ones((10, 2)), Y), verbose=0)
    broken = (int("x") for _ in range(1))  # an error of the user's own stays what it is
    with pytest.raises(ValueError, match=r"^invalid literal"):
        model.fit(X, Y, validation_data=broken, verbose=0)


@pytest.mark.parametrize(
    ("units", "loss", "y", "message"),
    [
        (3, "mse", Y, r"class numbers become columns by utils.to_categorical\(y, 3\)\. Received: .*\(10,\)$"),
        (2, "binary_crossentropy", (Y > 0)[:, None], r"become columns by utils.to_categorical\(y, 2\)"),
        (1, "binary_crossentropy", np.eye(2)[Y // 2], r"one unit takes 0 or 1 for each sample, y.argmax\(axis=-1\)"),
        (1, "mae", np.ones((10, 2)), "for 2 columns the last layer needs 2 units"),
        (1, "mse", np.eye(3)[Y], "for 3 columns the last layer needs 3 units"),
        (2, "mse", Y + 0.5, r"of shape \(N, 2\)\. Received"),
        (1, "binary_crossentropy", Y, "for 3 classes use 3 units, activation='softmax'"),
        (1, "binary_crossentropy", Y // 2 + 1, "labels 1 and 2 become 0 and 1 by y - 1"),
        (4, "binary_crossentropy", np.stack([Y * 100] * 4, axis=1), "pixels are scaled first: y / 255"),
        (1, "binary_crossentropy", Y * 100, "for 201 classes use 201 units"),
        (1, "binary_crossentropy", Y // 2 * 2 - 1, r"-1 and 1 by \(y \+ 1\) / 2"),
    ],
)
def test_targets_for_another_last_layer(units, loss, y, message):
    model = mc.Sequential([mc.Input(X.shape[1:]), layers.Dense(units, activation="sigmoid")])
    model.compile("sgd", loss)
    with pytest.raises(ValueError, match=message):
        model.fit(X, y, verbose=0)


def test_class_numbers_where_columns_are_needed(model):
    model.compile("sgd", "categorical_crossentropy")
    with pytest.raises(ValueError, match=r"sparse_categorical_crossentropy.*utils.to_categorical\(y, 3\)"):
        model.fit(X, Y, verbose=0)


# ------------------------------------------------------------------------------------------------- rare wishes


@pytest.mark.parametrize("loss", ["mse", lambda y_true, y_pred: (y_true - y_pred) ** 2], ids=["mse", "own"])
@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
def test_targets_that_are_not_finite_and_a_callback_that_waits_for_them(bad, loss):
    model = mc.Sequential([mc.Input((1,)), layers.Dense(1)])
    model.compile("sgd", loss, backend="numpy")
    y = np.where(X == 7, bad, X)
    with pytest.raises(ValueError, match="targets must be finite"):
        model.fit(X, y, verbose=0)
    history = model.fit(X, y, epochs=3, batch_size=2, shuffle=False, verbose=0, callbacks=[TerminateOnNaN()]).history
    assert len(history["loss"]) == 1 and not np.isfinite(history["loss"][0])
    assert np.isfinite(model.get_weights()[0]).all() and model.optimizer.iterations == 3  # 0 … 5 are fine
    model.compile("sgd", "binary_crossentropy", backend="numpy")
    with pytest.raises(ValueError, match="from 0 to 1"):  # the finite ones are checked all the same
        model.fit(X, y, verbose=0, callbacks=[TerminateOnNaN()])


def test_a_single_image_is_augmented():
    """As in Keras: without the batch axis, in and out."""
    image = np.random.default_rng(0).random((6, 5, 3), np.float32)
    for make in (
        lambda: layers.RandomFlip("horizontal", seed=4),
        lambda: mc.Sequential([layers.RandomRotation(0.2, seed=1), layers.RandomFlip(seed=2)]),
    ):
        mc.utils.set_random_seed(3)
        one = make()(image)
        mc.utils.set_random_seed(3)
        assert one.shape == image.shape
        np.testing.assert_array_equal(one, make()(image[None])[0])


MASKED = np.ma.array(ROWS, mask=ROWS == 5)


@pytest.mark.parametrize(
    "make",
    [
        lambda: mc.data.Dataset.from_tensor_slices((MASKED, ROWS)),
        lambda: mc.data.Dataset.from_tensors({"x": MASKED}),
        lambda: next(iter(mc.data.Dataset.from_generator(lambda: iter(MASKED)).batch(4))),
        lambda: next(
            iter(mc.data.Dataset.from_tensor_slices(ROWS).map(lambda row: np.ma.masked_equal(row, 5)).batch(4))
        ),
        lambda: mc.metrics.MeanSquaredError()(MASKED, ROWS),
        lambda: mc.metrics.MeanSquaredError()(ROWS, MASKED),
        lambda: mc.metrics.R2Score()(ROWS, MASKED),
        lambda: mc.metrics.Precision()(MASKED > 1, np.zeros_like(ROWS)),
        lambda: mc.metrics.AUC()(ROWS > 1, MASKED),
        lambda: mc.metrics.F1Score()(MASKED, ROWS),
        lambda: mc.metrics.MeanIoU(12)(ROWS, MASKED),
        lambda: mc.metrics.Mean()(MASKED),
        lambda: mc.metrics.Sum()(MASKED),
        lambda: mc.metrics.confusion_matrix(MASKED[:, 2], ROWS[:, 2]),
        lambda: mc.utils.to_categorical(np.ma.masked_equal([0, 5], 5)),
    ],
)
def test_masked_values_are_refused_by_data_sets_metrics_and_one_hot_rows(make):
    with pytest.raises(DataError, match=r"holds masked values, which have no number"):
        make()


def test_arrays_of_which_nothing_is_masked_are_elements_of_data_sets():
    (batch,) = mc.data.Dataset.from_tensor_slices(np.ma.masked_array(ROWS)).batch(len(ROWS))
    np.testing.assert_array_equal(batch, ROWS)
