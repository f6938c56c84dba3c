"""Copies to the device through pinned memory: any array, and never before the device has read what was there."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minicnn as mc
from minicnn import backends, layers

pytestmark = pytest.mark.gpu
HALF = 1024  # bytes; in the library there are more, and everything would fit


@pytest.fixture
def cupy():
    """The module: the real one, or the stand-in."""
    backends.get("cupy")
    import cupy

    return cupy


class SlowDevice:
    """Reads pinned memory as late as it may: when somebody waits for an event, all that was launched before it."""

    def __init__(self, cupy, monkeypatch):
        self.waiting, self.waits = [], 0
        set_now = cupy.ndarray.set
        slow = self

        class Event:
            def __init__(self):
                self.count = len(slow.waiting)

            def synchronize(self):
                slow.waits += 1
                for number in range(self.count):
                    if slow.waiting[number] is not None:
                        set_now(*slow.waiting[number])
                        slow.waiting[number] = None

        def set_late(array, host, stream=None):
            assert stream is not None, "this one waits"
            slow.waiting.append((array, host))

        monkeypatch.setattr(cupy.ndarray, "set", set_late)
        monkeypatch.setattr(cupy.cuda.Stream, "record", lambda stream, event=None: Event())
        self.end = lambda: Event().synchronize()


@pytest.fixture
def slow(cupy, monkeypatch):
    if cupy.__version__ != "stand-in":
        pytest.skip("a device reads when it likes")
    monkeypatch.setattr("minicnn.backends.cupy.uploads.HALF_BYTES", HALF)
    return SlowDevice(cupy, monkeypatch)


@pytest.mark.parametrize(
    "shapes", [[(7, 3)] * 40, [(1000, 3)], [(5, 3, 700)], [(3, 2, 2, 300), (9,)], [(0, 4), (4, 0)]]
)
def test_halves_are_filled_again_when_the_device_has_read_them(slow, rng, shapes):
    from minicnn.backends.cupy.uploads import PinnedCopies

    backend, pinned = backends.get("cupy"), PinnedCopies()
    arrays = [rng.normal(size=shape).astype(np.float32) for shape in shapes]
    outs = [backend.empty(shape, np.float32) for shape in shapes]
    for array, out in zip(arrays, outs, strict=True):
        given = array.copy()
        pinned.copy(given, out)
        given[...] = np.nan  # the user's array is the user's again
    slow.end()
    for array, out in zip(arrays, outs, strict=True):
        np.testing.assert_array_equal(backend.to_host(out), array)
    pieces = [host for _, host in filter(None, slow.waiting)]
    assert all(piece.nbytes <= HALF for piece in pieces)


def test_nobody_waits_before_both_halves_are_full(slow, rng):
    from minicnn.backends.cupy.uploads import PinnedCopies

    pinned, out = PinnedCopies(), backends.get("cupy").empty((64,), np.float32)  # 256 bytes
    for _ in range(8):
        pinned.copy(rng.normal(size=64), out)
    assert slow.waits == 0
    pinned.copy(rng.normal(size=64), out)
    assert slow.waits == 1


DTYPES = ["uint8", "int8", "bool", "float16", "float32", "float64", ">f4", ">i8", "int64", "uint16"]


@settings(deadline=None, max_examples=40)
@given(
    st.sampled_from(DTYPES), st.lists(st.integers(0, 6), min_size=1, max_size=4), st.integers(0, 2**32 - 1), st.data()
)
def test_views_of_any_dtype(dtype, shape, seed, drawn):
    from minicnn.backends.cupy import uploads
    from minicnn.training.device_data import device_dtype

    backend = backends.get("cupy")
    array = np.random.default_rng(seed).integers(0, 2, shape).astype(dtype)
    array = array[::-1] if drawn.draw(st.booleans()) else array.T if drawn.draw(st.booleans()) else array
    array.flags.writeable = False
    out = backend.empty(array.shape, device_dtype(array.dtype))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(uploads, "HALF_BYTES", drawn.draw(st.sampled_from([8, 64, 1024])))
        with backend.device:
            uploads.PinnedCopies().copy(array, out)
    np.testing.assert_array_equal(backend.to_host(out), array)


@pytest.mark.parametrize("dtype", ["float32", "float64", ">f4"])
@pytest.mark.parametrize("is_view", [False, True])
def test_chunks_are_gathered_by_several_threads(cupy, rng, monkeypatch, dtype, is_view):
    from minicnn.backends.cupy import uploads

    used = set()
    monkeypatch.setattr(uploads, "LEAST_BYTES", 64)
    monkeypatch.setattr(uploads, "get_num_threads", lambda: 3)
    in_parts = uploads._in_parts
    monkeypatch.setattr(uploads, "_in_parts", lambda rows, count, fill: (used.add(count), in_parts(rows, count, fill)))
    source = rng.normal(size=(101, 7)).astype(dtype)
    source = source[::-1] if is_view else source
    order = rng.permutation(101)[:61]
    piece = np.full((61, 7), np.nan, "f4")
    for indices in (order, order[:5], None):
        rows = piece[: 61 if indices is None else len(indices)]
        uploads._fill(rows, source[:61] if indices is None else source, indices)
        wanted = source[:61] if indices is None else source[indices]
        np.testing.assert_array_equal(rows, wanted.astype("f4"))
    assert used == {2, 3}
    uploads._fill(piece[:1], source, order[:1])
    assert 1 in used


def test_bytes_go_up_as_bytes(cupy, rng, monkeypatch):
    """A quarter of what floats would be; the device casts. The results are those of the floats."""
    from minicnn.backends.cupy.uploads import PinnedCopies

    gone = []
    copy = PinnedCopies.copy

    def watched(self, array, out):
        gone.append((array.shape, out.dtype))
        copy(self, array, out)

    monkeypatch.setattr(PinnedCopies, "copy", watched)
    x, y = rng.integers(0, 256, (24, 5, 5, 1)).astype(np.uint8), rng.integers(0, 3, 24)
    weights = []
    for images in (x, x.astype(np.float32)):
        mc.utils.set_random_seed(1)
        stack = [mc.Input((5, 5, 1)), layers.Rescaling(1 / 255), layers.Conv2D(4, 3), layers.Flatten(), layers.Dense(3)]
        model = mc.Sequential(stack)
        loss = mc.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("sgd", loss, backend="cupy")
        model.fit(images, y, batch_size=8, epochs=2, verbose=0)
        model.train_on_batch(images[:8], y[:8])
        weights.append(model.get_weights())
    sent = [dtype for shape, dtype in gone if shape[1:] == x.shape[1:]]
    assert sent == [np.uint8] * 2 + [np.float32] * 2  # all of them, and a batch
    for a, b in zip(*weights, strict=True):
        np.testing.assert_array_equal(a, b)
