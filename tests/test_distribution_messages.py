"""What workers say to each other, with communicators in one process: routes, lengths, buffers, and what is compared."""

import gc
import signal
import weakref

import numpy as np
import pytest
from communicators import together, wires

import minicnn as mc
from minicnn.callbacks import LambdaCallback
from minicnn.distribution import handshake, shards, sums, wire
from minicnn.distribution.engine import ShardedEngine
from minicnn.keras import _optimizer_variables
from minicnn.training import interrupts

EDGE = wire.DIRECT // 4  # float32 numbers


# --------------------------------------------------------------------------------------------------- routes of arrays


@pytest.mark.parametrize("width, route", [(EDGE // 2, "Ialltoallv"), (EDGE // 2 + 1, "Iallgatherv")])
def test_rows_of_all_workers_are_gathered_whatever_each_has(width, route):
    """Two rows, none, one: the route goes by the longest of them, for all alike."""
    counts, (there, posts) = [2, 0, 1], wires(3)
    table = np.arange(3 * width, dtype=np.float32).reshape(3, width)
    rows = [table[:2], table[2:2], table[2:]]
    for found in together(lambda one, own: one.gather_rows(own, counts).result(), there, rows):
        np.testing.assert_array_equal(found, table)
    assert posts.names == [route]
    assert [one.sent for one in there] == [2 * own.nbytes for own in rows]


def test_each_worker_gets_its_columns_of_all_rows():
    counts, (there, _) = [2, 0, 1], wires(3)
    table = np.arange(3 * 7).reshape(3, 7)
    parts = sums.columns(7, 3)
    rows = [table[:2], table[2:2], table[2:]]
    found = together(lambda one, own: one.exchange_columns(own, counts, parts).result(), there, rows)
    for own, part in zip(found, parts, strict=True):
        np.testing.assert_array_equal(own, table[:, part])
    vectors = [table[0, part] for part in parts]
    for whole in together(lambda one, own: one.gather_parts(own, np.empty(7, int), parts).result(), there, vectors):
        np.testing.assert_array_equal(whole, table[0])


@pytest.mark.parametrize("size, count", [(2, 8), (3, 8), (3, 2), (5, 3), (4, 5)])
@pytest.mark.parametrize("width, routes", [(sums.LARGE // 4 - 1, 1), (sums.LARGE // 4, 2)])
def test_sums_over_workers_are_those_of_the_tree(size, count, width, routes, rng):
    vectors = rng.normal(size=(count, width)).astype(np.float32)
    vectors *= np.float32(10.0) ** rng.integers(-6, 7, vectors.shape).astype(np.float32)

    def plain(low, high):
        middle = (low + high) // 2
        return vectors[low].copy() if high - low == 1 else plain(low, middle) + plain(middle, high)

    def compute(shard, onto=None):
        return vectors[shard].copy() if onto is None else sums.add(onto, vectors[shard])

    def summed(one):
        own = sums.over_shards(count, shards.own_part(count, one.rank, size), compute)
        return sums.over_workers(one, own, count, width, np.dtype("f4"))()

    there, posts = wires(size)
    for found in together(summed, there):
        np.testing.assert_array_equal(found, plain(0, count))
    assert len(posts.names) == routes


# ------------------------------------------------------------------------------------------- lengths of small messages


def test_a_long_message_makes_the_later_ones_of_its_kind_no_longer():
    there, posts = wires(2)
    rounds = []
    for length in (9000, 8990, 9030, 5, 5, 40, 2000, 5, 990, 1010):
        before = len(posts.names), there[0].sent
        value = "y" * length
        assert together(lambda one, value=value: one.gather(value, "records"), there) == [[value] * 2] * 2
        rounds.append((len(posts.names) - before[0], there[0].sent - before[1]))
    counts, sent = zip(*rounds, strict=True)
    assert counts == (2, 1, 1, 1, 1, 1, 2, 1, 1, 1)
    assert max(sent[4], sent[5], sent[8]) <= 8 + wire.FIRST_CAPACITY
    assert sent[9] <= 8 + 2 * wire.FIRST_CAPACITY  # some bytes more than the last one still are one round


def test_batches_of_other_sizes_are_other_kinds():
    """The records of a small batch are not as long as those of a large one."""
    made = sharded(wires(1)[0][0])
    kinds, gather = [], made.engine.wire.gather
    made.engine.wire.gather = lambda value, kind="": kinds.append(kind) or gather(value, kind)
    for count in (8, 40):
        made.train_on_batch(*samples(count))
        made.evaluate(*samples(count), batch_size=count, verbose=0)
    asked = [kind for kind in kinds if kind.startswith("records")]
    assert len(set(asked)) == len(asked) == 4


# ----------------------------------------------------------------------------------------------------------- buffers


class Late:
    """A communicator whose messages arrive when it is told."""

    rank, size, is_there = 0, 2, False

    def Ialltoallv(self, send, receive):
        self.arrays = [weakref.ref(array) for array in (send[0], receive[0])]
        return self

    def Test(self):
        return self.is_there


@pytest.mark.parametrize("call", ["gather_rows", "exchange_columns", "gather_parts"])
def test_arrays_of_a_message_that_is_forgotten_live_until_it_is_there(call):
    """As where a metric raises while gradients are under way: MPI writes all the same."""
    here = wire.Wire(None, comm := Late(), [], 1.0)
    parts = [slice(0, 1), slice(1, 3)]
    arguments = {
        "gather_rows": lambda: (np.ones((1, 3)), [1, 1]),
        "exchange_columns": lambda: (np.ones((2, 3)), [2, 2], parts),
        "gather_parts": lambda: (np.ones(2), np.ones(4), [slice(0, 2), slice(2, 4)]),
    }
    getattr(here, call)(*arguments[call]())
    arrays = comm.arrays
    gc.collect()
    assert all(array() is not None for array in arrays)
    here.gather_rows(np.ones((1, 3)), [1, 1])
    gc.collect()
    assert all(array() is not None for array in arrays)
    comm.is_there = True
    here.gather_rows(np.ones((1, 3)), [1, 1]).result()
    gc.collect()
    assert all(array() is None for array in (*arrays, *comm.arrays))


# ------------------------------------------------------------------------------------------- what is compared, and when


def samples(count=8):
    """Numbers and labels."""
    rng = np.random.default_rng(1)
    return rng.normal(size=(count, 3)).astype(np.float32), np.arange(count) % 2


def network(units=2, seed=3):
    """A small network, compiled."""
    mc.utils.set_random_seed(seed)
    made = mc.Sequential([mc.Input((3,)), mc.layers.Dense(units, activation="softmax", name="top")])
    made.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"], backend="numpy")
    return made


def sharded(there, **options):
    """The same, trained by the workers of a wire."""
    made = network(**options)
    made._engine_for = lambda backend: ShardedEngine.of(there, 8)
    return made


@pytest.fixture
def workers():
    """Models of three workers after two updates that they have made together, and what they post."""
    there, posts = wires(3)
    models = []
    for one in there:
        made = network()
        for _ in range(2):
            made.train_on_batch(*samples())
        made._engine_for = lambda backend, one=one: ShardedEngine.of(one, 8)
        made.training_engine().updates = 2
        models.append(made)
    return models, posts


def compared(models):
    """What all say about a batch that belongs to no pass."""
    engines = [made.training_engine() for made in models]
    return together(handshake.compare_batch, engines, [made._intake().batch(*samples()) for made in models])


def test_what_is_known_is_not_hashed_and_is_one_message(workers):
    models, posts = workers
    assert compared(models) == [None] * 3
    assert len(posts.names) == 1


def compiled_again(model):
    model.compile(model.optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"], backend="numpy")


def elsewhere(model):
    """Used by itself, as after set_distribution(None) on one worker, and together again."""
    chosen, model._engine_for = model._engine_for, type(model)._engine_for
    model.evaluate(*samples(), verbose=0)
    model._engine_for = chosen


@pytest.mark.parametrize("act", [compiled_again, elsewhere])
@pytest.mark.parametrize("rank", [0, 2])
def test_an_engine_that_is_new_on_one_worker_is_no_difference(workers, act, rank):
    models, posts = workers
    act(models[rank])
    assert compared(models) == [None] * 3
    assert len(posts.names) == 2


def optimizer_set(model):
    """As Keras's optimizer.set_weights does, with as many iterations."""
    arrays = _optimizer_variables.variables(model.optimizer)
    _optimizer_variables.set_weights(model.optimizer, [*arrays[:-1], arrays[-1] + 1])


def engine_set(model):
    state = model.engine.state_by_weight()
    model.engine.set_state({name: {w: a + 1 for w, a in arrays.items()} for name, arrays in state.items()})


def weights_set_and_compiled_again(model):
    model.set_weights([w + 1 for w in model.get_weights()])
    compiled_again(model)


def another_seed(model):
    model.seed = 99


def another_optimizer(model):
    model.optimizer.learning_rate = 0.5


@pytest.mark.parametrize(
    "act, what",
    [
        (optimizer_set, "optimizer state"),
        (engine_set, "optimizer state"),
        (weights_set_and_compiled_again, "weights"),
        (another_seed, "seed"),
        (another_optimizer, "optimizer"),
    ],
)
def test_what_one_worker_changes_between_batches_is_told_by_its_name(workers, act, what):
    models, _ = workers
    act(models[1])
    for error in compared(models):
        assert isinstance(error, mc.distribution.DistributionError)
        assert f"worker 1 (host here, process 1) has another {what} than worker 0" in str(error)
        assert "None" not in str(error)


def test_another_model_or_dtype_is_told_before_the_first_batch():
    for change, what in (({"units": 4}, "model"), ({"seed": 4}, "seed"), ({"dtype": "float64"}, "dtype")):
        there, _ = wires(2)
        models = [sharded(there[0])]
        mc.utils.set_floatx(change.pop("dtype", "float32"))
        models.append(sharded(there[1], **change))
        mc.utils.set_floatx("float32")
        for error in compared(models):
            assert f"worker 1 (host here, process 1) has another {what} than worker 0" in str(error), what


# ------------------------------------------------------------------------------------------------ numbers that are not


def test_sums_that_are_not_finite_are_no_error_of_their_own():
    """So that NonFiniteError is what is raised, also under np.seterr(all="raise")."""
    infinite, other = np.array([np.inf, 1]), np.array([-np.inf, np.finfo("f8").max])
    (there, *_), _ = wires(1)
    with np.errstate(all="raise"):
        assert np.isnan(sums.of_all([infinite, other])[0])
        assert np.isnan(sums.add(infinite.copy(), other)[0])
        found = sums.of_leaves(there, [[(0, 2)]], {0: infinite, 1: other}, np.add)
    assert np.isnan(found[0])
    assert infinite.tolist() == [np.inf, 1]


# ---------------------------------------------------------------------------------------------------------- decisions


@pytest.fixture
def ctrl_c():
    """Python's own handler, which a process started in the background does not have."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_is_a_bit_of_the_decision(ctrl_c):
    asked = []
    with (
        pytest.raises(KeyboardInterrupt),
        interrupts.deferred_interrupt(lambda bits: asked.append(bits) or bits) as ask,
    ):
        ask()
        signal.raise_signal(signal.SIGINT)
        ask(True)
    assert asked == [0, 3]


def test_ctrl_c_while_the_source_ends_does_not_wait_for_the_validation(ctrl_c):
    (x, y), seen = samples(), []

    def batches():
        yield x, y
        signal.raise_signal(signal.SIGINT)

    made = network()
    begins = LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append("epoch"))
    begins.on_test_begin = lambda logs=None: seen.append("validation")
    with pytest.raises(KeyboardInterrupt):
        made.fit(batches(), validation_data=(x, y), verbose=0, callbacks=[begins])
    assert seen == []


@pytest.mark.parametrize("value, stops", [(None, False), (256, True), (0.5, True), ([], False), (np.True_, True)])
def test_whatever_a_callback_sets_is_asked_as_true_or_false(value, stops):
    (x, y), asked = samples(), []
    (there, *_), _ = wires(1)
    made = sharded(there)
    there.agreed = lambda bits: asked.append(bits) or int(bits)
    names = {"on_epoch_end": "stop_training", "on_test_batch_end": "stop_evaluating"}
    names["on_predict_batch_end"] = "stop_predicting"
    sets = mc.callbacks.Callback()
    for hook, name in names.items():
        setattr(sets, hook, lambda *args, name=name, **logs: setattr(made, name, value))
    history = made.fit(x, y, epochs=2, verbose=0, callbacks=[sets])
    assert len(history.epoch) == (1 if stops else 2)
    made.evaluate(x, y, 4, verbose=0, callbacks=[sets])
    assert len(made.predict(x, 4, verbose=0, callbacks=[sets])) == (4 if stops else 8)
    assert all(type(bits) in (bool, int) and 0 <= bits <= 3 for bits in asked)
