"""`mc.export_html`: what is refused, what a page holds, and that in a real browser it computes what the reference does.

Everything in a browser is skipped without Playwright and a Chromium. With ``MINICNN_EVERY_PAGE=1`` in the environment
every network of the documents and every example of every layer is compared, else LeNet-5 and a branched network.
"""

import base64
import importlib.util
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from browser import TOLERANCE, around, assert_same_values, branched, opened, reference_values, start, wait_until
from networks import NETWORKS, lenet5

import minicnn as mc
from minicnn import layers
from minicnn.errors import NonFiniteError, NotBuiltError, ShapeError
from minicnn.page import exporter
from minicnn.page.description import describe
from minicnn.page.weights import Numbers
from minicnn.testing.running import SPREAD, run, tie_free

EVERY_PAGE = os.environ.get("MINICNN_EVERY_PAGE") == "1"
LENGTH = 400_000  # bytes that a page of LeNet-5 may have
BROWSER = Path(exporter.__file__).parent / "browser"


@pytest.fixture
def small():
    """A model that is quickly made, built and not compiled."""
    return mc.Sequential([mc.Input((6, 6, 1)), layers.Flatten(), layers.Dense(3, activation="softmax")], name="small")


def network_in(path):
    """The description in a page's file."""
    text = Path(path).read_text(encoding="utf-8")
    return json.loads(re.search(r'<script type="application/json" id="network">(.*?)</script>', text, re.S)[1])


# ----------------------------------------------------------------------------------------------------- what is refused


class Doubled(layers.Dense):
    """A layer of a user's: the page cannot know its formula."""

    def forward(self, xs, ws):
        super().forward(xs, ws)
        ws.y *= 2


def refused(model, tmp_path, error, match, **options):
    """Exporting fails and leaves nothing behind, not even where there was a page before."""
    path = tmp_path / "page.html"
    path.write_text("before")
    with pytest.raises(error, match=match):
        mc.export_html(model, path, **options)
    assert [file.name for file in tmp_path.iterdir()] == ["page.html"]
    assert path.read_text() == "before"


@pytest.mark.parametrize(
    ("stack", "match"),
    [
        (
            [mc.Input((4, 4, 1)), layers.Flatten(), Doubled(2, name="mine")],
            "layer 'mine' cannot run in a page: Doubled",
        ),
        ([mc.Input((4, 4, 1)), layers.Lambda(np.sin, name="code")], "layer 'code' cannot run in a page: Lambda"),
        ([mc.Input((65, 4, 1), name="large"), layers.Flatten()], "at most 64×64.*input 'large'"),
        ([mc.Input((4, 4, 2), name="two"), layers.Flatten()], "input 'two'"),
        ([mc.Input((5,), name="row"), layers.Dense(2)], "input 'row'"),
        ([mc.Input((2, 2, 2, 1), name="deep"), layers.Flatten()], "input 'deep'"),
    ],
)
def test_what_a_page_cannot_run_is_refused_by_name(stack, match, tmp_path):
    refused(mc.Sequential(stack), tmp_path, ValueError, match)


def test_further_arguments_that_are_wrong(small, tmp_path):
    for options, error, match in (
        ({"class_names": ["a", "b"]}, ValueError, "for each number of the output.*Received: 2 names"),
        ({"class_names": "abc"}, TypeError, "sequence of strings"),
        ({"class_names": [1, 2, 3]}, TypeError, "sequence of strings"),
        ({"value_range": (1, 1)}, ValueError, "two different numbers"),
        ({"value_range": (0, np.nan)}, ValueError, "two different numbers"),
        ({"examples": np.zeros((2, 6, 5))}, ShapeError, "as the model takes them"),
        ({"examples": np.zeros((25, 6, 6))}, ShapeError, "1 to 24 images"),
        ({"examples": np.full((1, 6, 6), 255)}, ValueError, "value_range"),
    ):
        refused(small, tmp_path, error, match, **options)


def test_models_that_are_wrong(small, tmp_path):
    refused("model", tmp_path, TypeError, "takes a model")
    refused(mc.Sequential([layers.Dense(2)]), tmp_path, NotBuiltError, "input shape is not known")
    two = [mc.Input((4, 4, 1), name="left"), mc.Input((4, 4, 1), name="right")]
    refused(mc.Model(two, layers.Add()(two)), tmp_path, ValueError, "one input.*'left', 'right'")
    active = mc.Input((4, 4, 1))
    in_training = mc.Model(active, layers.Dropout(0.5, name="noisy")(active, training=True))
    refused(in_training, tmp_path, ValueError, "'noisy' was called with training=True")
    small.layers[-1].kernel.assign(np.full(small.layers[-1].kernel.shape, np.nan))
    refused(small, tmp_path, NonFiniteError, "kernel' holds NaN")


def test_another_suffix_is_refused(small, tmp_path):
    for name in ("page.safetensors", "page"):
        with pytest.raises(ValueError, match=r"ends in \.html"):
            mc.export_html(small, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


REFUSED = {
    "Reduce",  # of functions of tensors, without a picture of its own
    "TimeDistributed",
    *("AdaptiveAveragePooling3D", "AdaptiveMaxPooling3D", "AveragePooling3D", "Conv3D", "Conv3DTranspose"),  # volumes
    *("Cropping3D", "MaxPooling3D", "UpSampling3D", "ZeroPadding3D"),
}


def layer_examples():
    for name, cls in layers.CLASSES.items():
        for number in range(len(list(cls.examples()) if name not in REFUSED and hasattr(cls, "examples") else [])):
            yield pytest.param(name, number, id=f"{name}-{number}")


every_example = pytest.mark.parametrize(("name", "number"), list(layer_examples()))


@every_example
def test_no_layer_of_the_package_is_refused(name, number):
    layer, shapes = list(layers.CLASSES[name].examples())[number]
    numbers = Numbers()
    network = describe(around(layer, shapes), numbers)
    assert sum(entry["count"] for entry in network["layers"]) == len(network["places"])
    assert {place["op"] for place in network["places"]} <= known_operations()


def known_operations():
    """Those that the page can run, and the one that it need not."""
    text = (BROWSER / "operations.js").read_text(encoding="utf-8")
    return {"view", *re.findall(r"^  (\w+)\(o, \[?\w+", text.partition("const OPERATIONS")[2], re.M)}


# --------------------------------------------------------------------------------------------------- what a page holds


def test_lenet5_is_one_small_file_without_addresses(tmp_path):
    path = tmp_path / "lenet5.html"
    mc.export_html(lenet5(mc), path, examples=np.zeros((10, 28, 28, 1)))
    text = path.read_text(encoding="utf-8")
    assert path.stat().st_size < LENGTH
    assert re.findall(r"https?:|\bsrc=|@import|url\(", text) == []
    assert "default-src 'none'" in text
    assert [file.name for file in tmp_path.iterdir()] == ["lenet5.html"]


def test_every_file_of_the_page_is_joined():
    assert {path.stem for path in BROWSER.glob("*.js")} == set(exporter.SCRIPTS)


def test_a_model_is_not_changed_and_its_arrays_are_read_in_any_form(small, tmp_path):
    before = [array.copy() for array in small.get_weights()]
    examples = np.asfortranarray(np.random.default_rng(0).integers(0, 2, (3, 6, 6, 1)).astype(bool))
    examples.flags.writeable = False
    mc.export_html(small, tmp_path / "a.html", examples=examples)
    for array, old in zip(small.get_weights(), before, strict=True):
        np.testing.assert_array_equal(array, old)
    found = [base64.b64decode(text) for text in network_in(tmp_path / "a.html")["examples"]]
    np.testing.assert_array_equal([np.frombuffer(f, np.uint8) for f in found], examples.reshape(3, -1) * 255)


def test_the_range_of_pixels_follows_the_model(small, tmp_path):
    path = tmp_path / "page.html"
    mc.export_html(small, path)
    assert network_in(path)["range"] == [0, 1]
    mc.export_html(mc.Sequential([mc.Input((6, 6, 1)), layers.Rescaling(1 / 255), layers.Flatten()]), path)
    assert network_in(path)["range"] == [0, 255]
    mc.export_html(small, path, value_range=(-1, 1))
    assert network_in(path)["range"] == [-1, 1]


def test_a_weight_that_is_used_twice_is_stored_once(tmp_path):
    image = mc.Input((8, 8, 1))
    conv = layers.Conv2D(8, 5, padding="same")
    mc.export_html(mc.Model(image, layers.Conv2D(1, 1)(conv(image))), tmp_path / "once.html")
    mc.export_html(mc.Model(image, layers.Add()([conv(image), conv(image)])), tmp_path / "twice.html")
    places = network_in(tmp_path / "twice.html")["places"]
    assert places[0]["kernel"] == places[1]["kernel"]


def test_both_languages_say_the_same_things():
    text = (BROWSER / "strings.js").read_text(encoding="utf-8")
    english, spanish = re.findall(r"^  (?:en|es): \{\n(.*?)^  \},", text, re.S | re.M)
    words = [dict(re.findall(r'^    (\w+): "(.*)",$', part, re.M)) for part in (english, spanish)]
    assert len(words[0]) > 80
    assert words[0].keys() == words[1].keys()
    for key, one in words[0].items():
        assert set(re.findall(r"\{\w+\}", one)) == set(re.findall(r"\{\w+\}", words[1][key])), key
    used = "".join(path.read_text(encoding="utf-8") for path in BROWSER.iterdir() if path.name != "strings.js")
    mentioned = {name for pair in re.findall(r'"(\w+)"|^  (\w+): \{ low', used, re.M) for name in pair}
    assert words[0].keys() - mentioned == set()


# ------------------------------------------------------------------------------------------------------------- browser


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        chromium = start(playwright)
        yield chromium
        chromium.close()


@pytest.fixture(autouse=True)
def reference_backend(request):
    if "browser" in request.fixturenames:
        mc.set_backend("numpy")


@pytest.fixture
def open_page(browser, tmp_path):
    """Exports a model and opens it; in the end nothing may have gone wrong in it, and no address been asked for."""
    pages = []

    def export_and_open(model, viewing=None, **options):
        path = tmp_path / f"page{len(pages)}.html"
        mc.export_html(model, path, **options)
        pages.append(opened(browser, path, **(viewing or {})))
        return pages[-1]

    yield export_and_open
    for page in pages:
        problems, requests = page.problems, page.requests
        page.context.close()
        assert problems == []
        assert [url for url in requests if not url.startswith(("file:", "blob:", "data:"))] == []


@pytest.fixture(scope="module")
def digits():
    """LeNet-5 after a short training on the embedded digits, and test images (355, 28, 28, 1)."""
    mc.utils.set_random_seed(0)
    (x, y), (x_test, _) = mc.datasets.digits.load_data(upscale=True)
    model = lenet5(mc)
    model.compile("adam", "sparse_categorical_crossentropy", backend="numba")
    model.fit(x[..., None] / 255, y, batch_size=32, epochs=3, verbose=0)
    return model, (x_test[..., None] / 255).astype(np.float32)


def randomize(model, rng):
    """Weights that hide no mistake: first values are zeros and ones in places."""
    for weight in model.weights:
        weight.assign(weight.numpy() + rng.uniform(-SPREAD, SPREAD, weight.shape))


def test_lenet5_computes_what_the_reference_computes(digits, open_page):
    model, images = digits
    page = open_page(model)
    for image in images[:3]:
        assert_same_values(page, model, image)


def test_a_branched_network_computes_what_the_reference_computes(open_page, rng):
    model = branched()
    randomize(model, rng)
    page = open_page(model, class_names=["a", "b", "c", "d"])
    assert_same_values(page, model, rng.uniform(size=(12, 10, 3)))
    facts = page.locator(".layer .facts").all_inner_texts()
    assert sum("reads" in text for text in facts) >= 5
    assert page.locator("#results .classes").count() == 2


@pytest.mark.skipif(not EVERY_PAGE, reason="MINICNN_EVERY_PAGE=1 compares every network and layer")
@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_of_the_documents(name, open_page, rng):
    model = NETWORKS[name](mc)
    page = open_page(model)
    assert_same_values(page, model, rng.uniform(size=model.inputs[0].shape[1:]))


@pytest.mark.skipif(not EVERY_PAGE, reason="MINICNN_EVERY_PAGE=1 compares every network and layer")
@every_example
def test_every_example_of_every_layer(name, number, open_page, rng):
    layer, shapes = list(layers.CLASSES[name].examples())[number]
    model = around(layer, shapes)
    randomize(layer, rng)
    page = open_page(model)
    assert_same_values(page, model, tie_free(rng, *model.inputs[0].shape[1:]))
    explain_some(page, model, rng)


def explain_some(page, model, rng):
    """Explaining any number of any layer works, and ends in the number that the layer gives."""
    x = tie_free(rng, *model.inputs[0].shape[1:]).astype(np.float32)
    values = page.evaluate("x => minicnn.run(x)", x.ravel().tolist())
    for number, outputs in enumerate(page.evaluate("minicnn.app.network.layers.map(layer => layer.output)")):
        index = int(rng.integers(len(values[outputs])))
        chain = page.evaluate("([x, n, i]) => minicnn.explain(x, n, i)", [x.ravel().tolist(), number, index])
        assert chain[0]["value"] == values[outputs][index]
        for step in chain:
            if step["kind"] == "sum":
                assert step["sum"] == pytest.approx(step["value"], rel=1e-6, abs=1e-6)
        if page.evaluate("n => minicnn.app.cards[n].view !== undefined", number):
            page.evaluate("([n, i]) => minicnn.app.choose(minicnn.app.network.layers[n], i, 'tap')", [number, index])
            assert page.locator("#inspection .result").count() == 1


# -------------------------------------------------------------------------------------------- what a number is made of


def test_a_cell_of_a_convolution_is_its_window_times_its_kernel(digits, open_page, rng):
    model, images = digits
    page, image = open_page(model), images[5]
    row, column, filter_ = (int(n) for n in rng.integers(0, (24, 24, 6)))
    kernel, bias = model.layers[0].get_weights()
    window = image[row : row + 5, column : column + 5, 0]
    chain = page.evaluate(
        "([x, i]) => minicnn.explain(x, 0, i)", [image.ravel().tolist(), (row * 24 + column) * 6 + filter_]
    )
    assert [step["op"] for step in chain] == ["function", "conv"]
    terms = chain[1]["terms"]
    np.testing.assert_allclose([t["value"] for t in terms], window.ravel(), atol=1e-7)
    np.testing.assert_allclose([t["weight"] for t in terms], kernel[:, :, 0, filter_].ravel(), atol=1e-7)
    total = (window.astype(np.float64) * kernel[:, :, 0, filter_]).sum() + bias[filter_]
    assert chain[1]["sum"] == pytest.approx(total, abs=1e-6)
    assert chain[0]["value"] == pytest.approx(max(total, 0), abs=1e-6)


def test_the_winner_of_a_pool_and_the_products_of_a_dense_unit(digits, open_page, rng):
    model, images = digits
    page, x = open_page(model), images[7]
    expected = reference_values(model, x)
    maps, pooled = expected[2], expected[3]  # (24, 24, 6), (12, 12, 6)
    row, column, channel = (int(n) for n in rng.integers(0, (12, 12, 6)))
    (step,) = page.evaluate(
        "([x, i]) => minicnn.explain(x, 1, i)", [x.ravel().tolist(), (row * 12 + column) * 6 + channel]
    )
    window = maps[2 * row : 2 * row + 2, 2 * column : 2 * column + 2, channel]
    assert step["winner"] == window.argmax()
    assert step["value"] == pytest.approx(pooled[row, column, channel], abs=1e-5)
    kernel, bias = model.layers[5].get_weights()
    unit = int(rng.integers(120))
    chain = page.evaluate("([x, i]) => minicnn.explain(x, 5, i)", [x.ravel().tolist(), unit])
    flat = expected[7] if len(expected[7]) == 256 else expected[6].ravel()
    np.testing.assert_allclose([t["product"] for t in chain[-1]["terms"]], flat * kernel[:, unit], atol=1e-5)
    assert chain[-1]["bias"] == pytest.approx(bias[unit], abs=1e-7)


def test_what_is_written_under_the_magnifying_glass(digits, open_page):
    model, images = digits
    page = open_page(model, examples=images[:1])
    page.locator("#cards canvas.value").first.click(position={"x": 20, "y": 20})
    assert page.locator(".grid").count() == 3
    assert page.locator(".grid td").count() == 75
    assert page.locator(".total .sum").count() == 1
    page.locator("#inspection summary").click()
    assert page.locator(".writtenOut").inner_text().count("·") == 25
    page.locator("#cards canvas.value").nth(1).click(position={"x": 20, "y": 20})
    assert page.locator(".grid td").count() == 4
    assert page.locator(".grid td.winner").count() == 1
    page.locator("#cards canvas.value").nth(5).click(position={"x": 5, "y": 5})
    assert page.locator(".products tr").count() == 12
    page.keyboard.press("Escape")
    assert page.locator("#inspection .result").count() == 0


# ----------------------------------------------------------------------------------------------------------------- why


def test_grad_cam_is_that_of_the_gradient(digits, open_page):
    """The oracle is the plan's backward pass; the page raises whole maps."""
    model, images = digits
    page, x, label = open_page(model), images[3], 4
    conv = model.layers[2]
    behind = value = mc.Input((8, 8, 16))
    for layer in model.layers[3:-1]:
        value = layer(value)
    last = layers.Dense(10, name="last")
    behind_model = mc.Model(behind, last(value))
    last.set_weights(model.layers[-1].get_weights())
    maps = mc.Model(model.inputs, conv.output).predict(x[None])  # (1, 8, 8, 16)
    head = np.zeros((1, 10))
    head[0, label] = 1
    gradient = run(behind_model.graph, [maps], [head], dtype="float64").dxs[0]
    expected = np.maximum((gradient.mean(axis=(1, 2), keepdims=True) * maps).sum(axis=-1), 0).ravel()
    found = page.evaluate("([x, c]) => minicnn.gradCam(x, 2, c)", [x.ravel().tolist(), label])
    assert expected.max() > 0
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE * expected.max())


def test_occlusion_is_what_covering_does(digits, open_page):
    model, images = digits
    page, x, label = open_page(model), images[2], 3
    corners = [*range(0, 24, 2), 24]
    covered = np.repeat(x[None], len(corners) ** 2, axis=0)
    sums, counts = np.zeros((28, 28)), np.zeros((28, 28))
    places = [(top, left) for top in corners for left in corners]
    for image, (top, left) in zip(covered, places, strict=True):
        image[top : top + 4, left : left + 4] = 0
    scores = model.predict(np.concatenate([x[None], covered]))[:, label].astype(np.float64)
    for change, (top, left) in zip(scores[0] - scores[1:], places, strict=True):
        sums[top : top + 4, left : left + 4] += change
        counts[top : top + 4, left : left + 4] += 1
    found = page.evaluate("([x, c]) => minicnn.occlusion(x, c)", [x.ravel().tolist(), label])
    np.testing.assert_allclose(found, (sums / counts).ravel(), atol=1e-5)


def test_the_ends_of_a_small_scale_are_not_both_nought(digits, open_page):
    page = open_page(digits[0])
    texts = page.evaluate(
        "[[0, 2.2632], [0, 0], [0, 0.001634], [-2.34e-9, 0], [-0.0049, 0.0049]].map((e) => minicnn.writtenEnds(...e))"
    )
    assert texts == [["0.00", "2.26"], ["0.00", "0.00"], ["0", "0.0016"], ["−2.3E−9", "0"], ["−0.0049", "0.0049"]]


# -------------------------------------------------------------------------------------------------- drawing, breaking


def box_and_centre(page):
    """Height and width of what the network sees, and its centre of mass."""
    image = np.array(page.evaluate("minicnn.input()")).reshape(28, 28)
    rows, columns = (np.flatnonzero(image.max(axis=axis) > 0.1) for axis in (1, 0))
    centre = [(image.sum(axis=axis) @ (np.arange(28) + 0.5)) / image.sum() for axis in (1, 0)]
    return (np.ptp(rows) + 1, np.ptp(columns) + 1), centre


def test_a_drawing_is_scaled_and_centred_as_mnist_was_unless_switched_off(digits, open_page):
    page = open_page(digits[0])
    page.locator("#clear").click()
    board = page.locator("#drawing").bounding_box()
    page.mouse.move(board["x"] + 40, board["y"] + 30)
    page.mouse.down()
    page.mouse.move(board["x"] + 60, board["y"] + 110, steps=5)
    page.mouse.up()
    size, centre = box_and_centre(page)
    assert max(size) in (20, 21)
    np.testing.assert_allclose(centre, [14, 14], atol=0.1)
    page.get_by_role("switch").click()
    size, centre = box_and_centre(page)
    assert max(size) < 16
    assert max(centre) < 11


def test_the_keyboard_draws_and_looks(digits, open_page):
    page = open_page(digits[0])
    page.locator("#drawing").focus()
    page.keyboard.press("Delete")
    assert max(page.evaluate("minicnn.input()")) == 0
    for key in (" ", *["ArrowDown"] * 6, " "):
        page.keyboard.press(key)
    assert max(page.evaluate("minicnn.input()")) > 0.9
    page.locator("#cards canvas.value").first.focus()
    for key in ("ArrowRight", "ArrowDown", "PageDown"):
        page.keyboard.press(key)
    assert "map 2, row 2, column 2" in page.locator("#inspection").inner_text()


def test_a_picture_of_dark_writing_on_paper_becomes_white_on_black(digits, open_page, tmp_path):
    image = pytest.importorskip("PIL.Image")
    paper = np.full((90, 60, 3), 225, np.uint8)
    paper[20:70, 25:33] = (20, 25, 60)
    image.fromarray(paper).save(tmp_path / "writing.png")
    page = open_page(digits[0])
    page.locator("#file").set_input_files(tmp_path / "writing.png")
    wait_until(page, "minicnn.app.drawing.photo !== null")
    pixels = np.array(page.evaluate("minicnn.input()")).reshape(28, 28)
    assert pixels[14, 14] > 0.9
    assert pixels[:, :8].max() == 0
    (tmp_path / "no.png").write_text("no picture")
    page.locator("#file").set_input_files(tmp_path / "no.png")
    wait_until(page, "document.getElementById('saying').textContent.includes('no picture')")


def test_what_breaks_it(digits, open_page):
    page = open_page(digits[0], examples=digits[1][:1])
    page.locator("#centre").uncheck()
    before = np.array(page.evaluate("minicnn.input()")).reshape(28, 28)
    for name, amount, expected in (
        ("right", 3, np.pad(before, ((0, 0), (3, 0)))[:, :28]),
        ("down", -2, np.pad(before, ((0, 2), (0, 0)))[2:]),
        ("turn", 90, np.rot90(before, -1)),
    ):
        page.locator(f"#{name}").fill(str(amount))
        found = np.array(page.evaluate("minicnn.input()")).reshape(28, 28)
        np.testing.assert_allclose(found, expected, atol=1e-9)
        page.get_by_role("button", name="Mend everything").click()
    page.locator("#noise").fill("0.5")
    noisy = page.evaluate("minicnn.input()")
    assert np.abs(np.array(noisy).reshape(28, 28) - before).mean() > 0.05
    assert noisy == page.evaluate("minicnn.input()")  # it does not flicker


def test_a_filter_is_switched_off_and_on(digits, open_page):
    page = open_page(digits[0], examples=digits[1][:1])
    whole = "Array.from(minicnn.app.values[minicnn.app.network.layers[0].output])"
    before = np.array(page.evaluate(whole)).reshape(24, 24, 6)
    page.locator("#filterNumber").fill("3")
    page.get_by_role("button", name="Switch off").click()
    after = np.array(page.evaluate(whole)).reshape(24, 24, 6)
    assert after[..., 2].max() == 0
    np.testing.assert_array_equal(np.delete(after, 2, axis=-1), np.delete(before, 2, axis=-1))
    assert "conv2d" in page.locator("#damage .hint").inner_text()
    page.get_by_role("button", name="Switch on").click()
    np.testing.assert_array_equal(np.array(page.evaluate(whole)).reshape(24, 24, 6), before)


# ------------------------------------------------------------------------------------------------------ who looks at it


HOSTILE = '</script><script>window.hacked=1</script><img src=x onerror="window.hacked=1">{{network}}&lt;\u2028'


def test_names_are_text(open_page):
    hostile_name = HOSTILE.replace("/", "∕")  # layers' names have none
    image = mc.Input((6, 6, 1), name=hostile_name)
    output = layers.Dense(2, activation="softmax", name=f"{hostile_name} 2")(layers.Flatten()(image))
    model = mc.Model(image, output, name=hostile_name)
    page = open_page(model, class_names=[HOSTILE, "b"], title=HOSTILE)
    page.locator("#cards canvas.value").last.click(position={"x": 4, "y": 4})
    assert page.evaluate("window.hacked") is None
    assert page.locator("img").count() == 0
    assert page.title() == HOSTILE.replace("\u2028", page.title()[-1])
    assert page.locator("h1").inner_text().startswith("</script>")
    assert page.locator(".classes .name").first.text_content() == HOSTILE


def test_a_script_that_got_in_would_not_run(digits, open_page):
    page = open_page(digits[0])
    page.evaluate(
        "document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.hacked=1'}))"
    )
    assert page.evaluate("window.hacked") is None
    assert any("Content Security Policy" in problem for problem in page.problems)
    page.problems.clear()


def test_the_language_is_the_readers_and_can_be_changed(digits, open_page):
    page = open_page(digits[0], viewing={"locale": "es-AR"})
    assert page.locator("html").get_attribute("lang") == "es"
    assert "Capa por capa" in page.locator("#layers").inner_text()
    page.get_by_role("button", name="English").click()
    assert page.locator("html").get_attribute("lang") == "en"
    assert "Layer by layer" in page.locator("#layers").inner_text()


VIEWINGS = [
    {"viewport": {"width": width, "height": 800}, "color_scheme": scheme, "locale": locale}
    for width, scheme, locale in (
        (360, "light", "es-ES"),
        (360, "dark", "en-US"),
        (1280, "light", "en-US"),
        (1280, "dark", "es-ES"),
    )
]


@pytest.mark.parametrize("viewing", VIEWINGS, ids=lambda v: f"{v['viewport']['width']}-{v['color_scheme']}")
def test_nothing_is_wider_than_the_window_and_axe_finds_nothing_serious(digits, open_page, viewing):
    spec = importlib.util.find_spec("axe_playwright_python")
    if spec is None:
        pytest.skip("axe-playwright-python is not installed")
    page = open_page(digits[0], viewing, examples=digits[1][:3])
    page.locator("#cards canvas.value").nth(2).click(position={"x": 9, "y": 9})
    page.locator("#cards canvas.value").nth(5).scroll_into_view_if_needed()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    page.evaluate(Path(spec.origin).with_name("axe.min.js").read_text(encoding="utf-8"))
    found = page.evaluate(
        "axe.run().then(result => result.violations.map(v => [v.impact, v.id, v.nodes.map(n => n.html)]))"
    )
    assert [fault for fault in found if fault[0] in ("serious", "critical")] == []
