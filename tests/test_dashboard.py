"""What a training shows: the speed without compiling, the dashboard, the notebook's output."""

import io
import re
import socket
import sys
import threading
import types
import urllib.error
import urllib.request
import zlib

import numpy as np
import pytest

import minicnn as mc
from minicnn import callbacks, compile_time, errors
from minicnn.callbacks import drawing
from minicnn.layers import Conv2D, Dense, Flatten


@pytest.fixture(autouse=True)
def _reference():
    mc.set_backend("numpy")


def trained(rng, *used, name="net", epochs=2, **options):
    """A small training with some callbacks; returns the model."""
    model = mc.Sequential([mc.Input(shape=(6, 6, 1)), Conv2D(2, 3, name="<conv>"), Flatten(), Dense(3)], name=name)
    model.compile("sgd", mc.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    x, y = rng.random((12, 6, 6, 1)), rng.integers(0, 3, 12)
    model.fit(x, y, epochs=epochs, callbacks=list(used), validation_split=0.25, **{"verbose": 0, **options})
    return model


# -------------------------------------------------------------------------------------------------------- the progress


def test_compiling_does_not_count_as_training(monkeypatch, capsys):
    clock = {"now": 0.0, "compiled": 0.0}
    monkeypatch.setattr(callbacks.bars.time, "perf_counter", lambda: clock["now"])
    monkeypatch.setattr(callbacks.bars, "compile_seconds", lambda: clock["compiled"])
    line = callbacks.EpochLines()
    line.set_params({"epochs": 2, "samples": 100})
    line.on_epoch_begin(0)
    clock |= {"now": 5.0, "compiled": 3.0}  # two of five seconds were training
    line.on_test_begin()
    clock |= {"now": 8.0, "compiled": 4.5}
    line.on_epoch_end(0, {"loss": 1.0})
    assert capsys.readouterr().out == "Epoch 1/2 - 8.0s (4.5s of it compiling) - 50 images/s - loss: 1.0000\n"
    line.on_epoch_begin(1)
    clock |= {"now": 12.0, "compiled": 4.55}
    line.on_epoch_end(1, {})
    assert "compiling" not in capsys.readouterr().out


def test_backends_measure_what_they_wait_for(monkeypatch):
    before, times = compile_time.compile_seconds(), iter([10.0, 12.5])
    monkeypatch.setattr(compile_time.time, "perf_counter", lambda: next(times))
    with compile_time.waiting_for_kernels():
        pass
    assert compile_time.compile_seconds() - before == pytest.approx(2.5)


def test_a_numba_kernel_is_counted():
    pytest.importorskip("numba")
    from minicnn.backends.numba.machine.launch import serial_kernel

    @serial_kernel
    def doubled(x, y):
        for i in range(x.shape[0]):
            y[i] = 2 * x[i]

    before = compile_time.compile_seconds()
    x, y = np.arange(4.0), np.zeros(4)
    doubled(x, y)
    once = compile_time.compile_seconds()
    assert once > before
    doubled(x, y)
    assert compile_time.compile_seconds() == once
    np.testing.assert_array_equal(y, 2 * x)


def test_a_notebook_has_one_output_with_a_bar_and_curves(rng, monkeypatch, capsys):
    shown = []

    class Handle:
        def update(self, page):
            shown.append(page)

    def display(page, display_id):
        assert not shown  # one output, which is drawn anew
        shown.append(page)
        return Handle()

    shell = type("ZMQInteractiveShell", (), {})()
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setitem(sys.modules, "IPython.display", types.SimpleNamespace(HTML=str, display=display))
    trained(rng, verbose="auto", epochs=2)
    assert "<progress" in shown[0]
    assert "Epoch 2/2" in shown[-1]
    assert shown[-1].count("<polyline") == 4  # loss and accuracy, training and validation
    assert capsys.readouterr().out == ""
    trained_lines = callbacks.progress(2)
    assert type(trained_lines[0]) is callbacks.EpochLines


# ------------------------------------------------------------------------------------------------------- the dashboard


def get(url, **headers):
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=20) as answer:
        return answer.read().decode()


def test_the_page_is_served_while_it_trains_and_no_longer(rng, capsys):
    pages, urls = [], []

    def look(epoch, logs):
        urls.append(board.url)
        pages.append((get(board.url), get(f"{board.url}content")))
        with pytest.raises(urllib.error.HTTPError):
            get(f"{board.url}../etc")
        with pytest.raises(urllib.error.HTTPError):
            get(board.url, Host="evil.example")

    data = rng.random((5, 6, 6, 1)), np.array([0, 1, 2, 1, 0])
    board = callbacks.LiveDashboard(data=data, class_names=["<b>cat</b>", "dog", "cow"], port=18000)
    trained(rng, board, callbacks.LambdaCallback(on_epoch_end=look), name="net<script>")
    page, content = pages[1]
    assert content in page
    assert "Epoch 2 of 2" in content
    assert content.count("<svg") == 3  # loss, accuracy, images per second
    assert content.count("data:image/png") == 4  # two filters, two maps
    assert '<th scope="row">&lt;b&gt;cat&lt;/b&gt;</th>' in content
    for text in ("<b>cat", "net<script>", "<conv>", "//cdn", "https:"):
        assert text not in page
    assert board.url is None
    assert not any(
        thread.name.startswith("Thread") and "serve_forever" in thread.name for thread in threading.enumerate()
    )
    with pytest.raises(urllib.error.URLError):
        get(urls[0])
    assert f"LiveDashboard: {urls[0]}" in capsys.readouterr().out


def test_the_confusion_matrix_is_that_of_the_data(rng, tmp_path):
    x, y = rng.random((9, 6, 6, 1)), np.arange(9) % 3
    board = callbacks.LiveDashboard(tmp_path / "training.html", data=(x, y))
    model = trained(rng, board)
    numbers = [int(n) for n in re.findall(r"<td style[^>]*>(\d+)</td>", (tmp_path / "training.html").read_text())]
    expected = np.zeros((3, 3), int)
    for true, predicted in zip(y, model.predict(x).argmax(axis=1), strict=True):
        expected[true, predicted] += 1
    np.testing.assert_array_equal(np.reshape(numbers, (3, 3)), expected)


def test_a_page_in_a_file_is_read_again_until_the_end(rng, tmp_path):
    path, states = tmp_path / "training.html", []
    look = callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: states.append(path.read_text()))
    board = callbacks.LiveDashboard(path, image=rng.random((6, 6)))
    trained(rng, board, look)
    assert all('http-equiv="refresh"' in state for state in states)
    assert "refresh" not in path.read_text()
    assert "The training has ended." in path.read_text()
    assert "<script" not in path.read_text()


def test_a_port_that_is_taken_is_passed_by(rng):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        if port > 65000:
            pytest.skip("the system gave a port at the end")
        ports = []
        board = callbacks.LiveDashboard(port=port)
        look = callbacks.LambdaCallback(
            on_epoch_end=lambda e, logs: ports.append(int(board.url.split(":")[2].strip("/")))
        )
        trained(rng, board, look, epochs=1)
        assert port < ports[0] < port + 20


def test_no_free_port_is_a_sentence(rng, monkeypatch):
    def refuse(*arguments):
        raise OSError("taken")

    monkeypatch.setattr(callbacks.dashboard, "_Server", refuse)
    with pytest.raises(OSError, match=r"no port is free.*path='training\.html'"):
        trained(rng, callbacks.LiveDashboard())


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"path": "page.png"}, ValueError, r"e\.g\. 'training\.html'"),
        ({"port": 0}, ValueError, "port"),
        ({"port": 70000}, ValueError, "port is a number up to"),
        ({"data": np.zeros(3)}, TypeError, r"pair of arrays, \(x, y\)"),
        ({"class_names": "cat"}, TypeError, "list of names"),
        ({"class_names": 5}, TypeError, "list of names"),
        ({"image": np.zeros((5, 5))}, errors.ShapeError, r"image=x_test\[0\]"),
        ({"data": (np.zeros((2, 6, 6, 1)), [0, 1, 2])}, ValueError, "3 in y_true, 2 in y_pred"),
        ({"data": (np.zeros((2, 6, 6, 1)), [0.5, 1])}, ValueError, "y of data holds class numbers"),
        ({"data": (np.zeros((2, 5, 6, 1)), [0, 1]), "image": np.zeros((6, 6))}, errors.ShapeError, r"6, 6, 1"),
        ({"data": (np.zeros((2, 6, 6, 1)), [0, 1]), "class_names": ["a", "b"]}, ValueError, "each of 3 classes"),
    ],
)
def test_mistakes_are_one_sentence_before_the_first_epoch(rng, arguments, error, message):
    epochs = []
    look = callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: epochs.append(epoch))
    with pytest.raises(error, match=message):
        trained(rng, callbacks.LiveDashboard(**arguments), look)
    assert not epochs


@pytest.mark.parametrize("as_dict", [False, True])
def test_data_of_several_inputs_have_a_confusion_matrix_and_no_maps(rng, tmp_path, as_dict):
    first, second = mc.Input(shape=(6, 6, 1), name="first"), mc.Input(shape=(3,), name="second")
    joined = mc.layers.Concatenate()([Flatten()(Conv2D(2, 3)(first)), second])
    model = mc.Model([first, second], Dense(3, activation="softmax")(joined))
    model.compile("sgd", "sparse_categorical_crossentropy")
    x, y = [rng.random((9, 6, 6, 1)), rng.random((9, 3))], np.arange(9) % 3
    data = dict(zip(("first", "second"), x, strict=True)) if as_dict else x
    model.fit(x, y, verbose=0, callbacks=callbacks.LiveDashboard(tmp_path / "t.html", data=(data, y)))
    page = (tmp_path / "t.html").read_text()
    taken = model.predict(x).argmax(axis=1)
    counts = [int(n) for n in re.findall(r"<td style[^>]*>(\d+)</td>", page)]
    assert counts == [sum((y == t) & (taken == p)) for t in range(3) for p in range(3)]
    assert "Feature maps" not in page


def test_an_output_in_a_dict_has_a_confusion_matrix(rng, tmp_path):
    inputs = mc.Input(shape=(6, 6, 1))
    model = mc.Model(inputs, {"kind": Dense(3, activation="softmax")(Flatten()(inputs))})
    model.compile("sgd", {"kind": "sparse_categorical_crossentropy"})
    x, y = rng.random((9, 6, 6, 1)), np.arange(9) % 3
    model.fit(x, {"kind": y}, verbose=0, callbacks=callbacks.LiveDashboard(tmp_path / "t.html", data=(x, y)))
    counts = re.findall(r"<td style[^>]*>(\d+)</td>", (tmp_path / "t.html").read_text())
    taken = model.predict(x)["kind"].argmax(axis=1)
    assert [int(n) for n in counts] == [sum((y == t) & (taken == p)) for t in range(3) for p in range(3)]


def test_a_training_that_does_not_begin_leaves_no_server_and_no_page(rng, tmp_path):
    def refuse(logs):
        raise RuntimeError("no")

    boards = callbacks.LiveDashboard(port=18100), callbacks.LiveDashboard(tmp_path / "training.html")
    with pytest.raises(RuntimeError, match="no"):
        trained(rng, *boards, callbacks.LambdaCallback(on_train_begin=refuse))
    assert not [thread for thread in threading.enumerate() if "serve_forever" in thread.name]
    assert not list(tmp_path.iterdir())


@pytest.mark.filterwarnings("ignore:BinaryCrossentropy expects probabilities")
@pytest.mark.parametrize(("from_logits", "limit"), [(True, 0.0), (False, 0.5)])
def test_one_output_is_class_1_above_the_middle_of_its_scale(rng, tmp_path, from_logits, limit):
    model = mc.Sequential([mc.Input(shape=(1, 1, 1)), Flatten(), Dense(1)])
    model.compile(mc.optimizers.SGD(1e-9), mc.losses.BinaryCrossentropy(from_logits=from_logits))
    model.set_weights([np.ones((1, 1)), np.zeros(1)])  # the output is the input
    x = np.array([0.1, 0.4, 0.6, 0.9]).reshape(-1, 1, 1, 1)
    board = callbacks.LiveDashboard(tmp_path / "training.html", data=(x, [0, 0, 1, 1]))
    model.fit(x, [0, 0, 1, 1], epochs=1, verbose=0, callbacks=board)
    numbers = [int(n) for n in re.findall(r"<td style[^>]*>(\d+)</td>", (tmp_path / "training.html").read_text())]
    above = (x.ravel() > limit).astype(int)
    expected = [sum((above == p) & (np.array([0, 0, 1, 1]) == t)) for t in (0, 1) for p in (0, 1)]
    assert numbers == expected


# ------------------------------------------------------------------------------------------------------- the pictures


def test_png_files_hold_the_pixels(rng):
    image = pytest.importorskip("PIL.Image")
    pixels = rng.integers(0, 256, (5, 7, 3)).astype(np.uint8)
    np.testing.assert_array_equal(np.asarray(image.open(io.BytesIO(drawing.png(pixels)))), pixels)
    assert zlib.decompress(drawing.png(pixels)[41:-16])[1:4] == pixels[0, 0].tobytes()


@pytest.mark.parametrize(
    ("number", "text"),
    [(0.22449, "0.224"), (9234.5, "9.23 k"), (1.5e6, "1.5 M"), (1.234e-5, "1.2e-05"), (-0.5, "-0.5"), (0, "0")],
)
def test_numbers_beside_an_axis_fit_its_margin(number, text):
    assert f'text-anchor="end">{text}</text>' in drawing.curves({"rate": [(1, number), (2, number + 7e12)]})
    assert len(text) <= 7


def test_curves_without_finite_values_and_names_with_signs():
    assert drawing.curves({"loss": [(1, float("nan"))]}) == ""
    text = drawing.curves({"a<b": [(1, 1.0), (2, float("inf")), (3, 0.5)]})
    assert "a&lt;b" in text
    assert "inf" not in text
