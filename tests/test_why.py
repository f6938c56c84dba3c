"""Figures that tell why a network decides: the numbers in them, and one sentence for each typical mistake."""

import base64
import io
import re

import numpy as np
import pytest
from oracles import every_backend

import minicnn as mc
from minicnn import errors, metrics, visualization
from minicnn.layers import Add, BatchNormalization, Conv2D, Dense, Dropout, Flatten, Input, MaxPooling2D

pytest.importorskip("matplotlib")
pytestmark = pytest.mark.filterwarnings("error")


def stack():
    """A network of layers in a row; "top" is the part behind the second convolution."""
    return mc.Sequential(
        [
            Input(shape=(10, 9, 2)),
            Conv2D(3, 3, activation="relu", name="first"),
            MaxPooling2D(2),
            Conv2D(4, 2, activation="tanh", name="second"),
            Dropout(0.5),
            Flatten(),
            Dense(5, activation="softmax", name="scores"),
        ]
    )


def branched():
    """The second convolution is passed by, and stands in a model of its own."""
    inner = mc.Sequential([Input(shape=(8, 7, 3)), Conv2D(3, 3, padding="same", name="inside")], name="base")
    image = Input(shape=(10, 9, 2))
    a = Conv2D(3, 3, activation="tanh", name="first")(image)
    joined = BatchNormalization(name="norm")(Add()([a, inner(a)]))
    return mc.Model(image, Dense(5, name="scores")(Flatten()(joined)))


def drawn(figure):
    """Draw it: what matplotlib warns of is an error here."""
    figure.savefig(io.BytesIO(), format="png")
    return figure


def arrays(axes):
    return [np.asarray(image.get_array()) for image in axes.images]


def titles(figure):
    return [axes.get_title() for axes in figure.axes]


# ------------------------------------------------------------------------------------------------------------ saliency


@every_backend
def test_saliency_is_the_largest_gradient_of_a_pixel(backend, rng):
    mc.set_backend(backend)
    model, x = stack(), rng.normal(size=(2, 10, 9, 2))
    figure = drawn(visualization.show_saliency(model, x, target=[1, 4], class_names=list("abcde")))
    gradients = model.input_gradients(x, [1, 4], before_activation=True)
    maps = np.abs(gradients).max(axis=-1)
    for row in (0, 1):
        np.testing.assert_allclose(arrays(figure.axes[3 * row + 1])[0], maps[row] / maps[row].max(), rtol=1e-5)
    p = model.predict(x)
    assert [titles(figure)[0], titles(figure)[3]] == [f"b: {p[0, 1]:.2f}", f"e: {p[1, 4]:.2f}"]
    assert len(figure.axes) == 7  # two rows of three panels, one colour bar


# ------------------------------------------------------------------------------------------------------------ Grad-CAM


def importance(tail, maps, number, step=1e-3):
    """α_k of one sample by finite differences: all places of a channel are moved together."""
    found = []
    for channel in range(maps.shape[-1]):
        moved = np.zeros_like(maps)
        moved[..., channel] = step
        found.append((tail(maps + moved)[0, number] - tail(maps - moved)[0, number]) / (2 * step))
    return np.array(found) / np.prod(maps.shape[1:3])


@every_backend
@pytest.mark.parametrize("layer", [None, "first"])
def test_grad_cam_in_a_row_of_layers(backend, layer, rng):
    mc.set_backend(backend)
    model, x = stack(), rng.normal(size=(2, 10, 9, 2)).astype(np.float32)
    found = visualization.grad_cam(model, x, layer, target=[3, 0])
    names = [own.name for own in model.layers]
    cut = names.index(layer or "second") + 1
    head, rest = model.layers[:cut], model.layers[cut:-1]
    kernel, bias = (w.astype(np.float64) for w in model.layers[-1].get_weights())

    def tail(maps):
        for own in rest:
            maps = own(maps)
        return np.asarray(maps, np.float64) @ kernel + bias  # before the softmax

    for number, target in enumerate((3, 0)):
        maps = x[number : number + 1]
        for own in head:
            maps = own(maps)
        maps = np.asarray(maps)
        expected = np.maximum(maps[0] @ importance(tail, maps, target), 0)
        np.testing.assert_allclose(found[number], expected, atol=1e-4 * max(expected.max(), 1e-2) + 2e-5)


@pytest.mark.parametrize("layer", ["first", "base/inside", "base", "norm"])
def test_grad_cam_of_branches_and_models_inside(layer, rng):
    mc.set_backend("numpy")
    model, x = branched(), rng.normal(size=(1, 10, 9, 2)).astype(np.float32)
    model.get_layer("norm").set_weights([w + rng.normal(scale=0.1, size=3) for w in np.abs(np.ones((4, 3)))])
    found = visualization.grad_cam(model, x, layer, target=2)
    first, base = model.get_layer("first")(x), model.get_layer("base")
    inside = base.layers[0](first)
    gamma, beta, mean, variance = model.get_layer("norm").get_weights()
    kernel, bias = model.get_layer("scores").get_weights()

    def behind(first, inside):
        joined = (first + inside - mean) / np.sqrt(variance + 1e-3) * gamma + beta
        return (joined if layer != "norm" else inside).reshape(1, -1) @ kernel + bias

    if layer == "first":
        maps, tail = first, lambda maps: behind(maps, base.layers[0](maps))
    elif layer == "norm":
        maps = (first + inside - mean) / np.sqrt(variance + 1e-3) * gamma + beta
        tail = lambda maps: behind(first, maps)  # noqa: E731
    else:
        maps, tail = inside, lambda maps: behind(first, maps)
    expected = np.maximum(maps[0] @ importance(tail, maps, 2, step=1e-2), 0)
    np.testing.assert_allclose(found[0], expected, atol=1e-3 * max(expected.max(), 0.1))
    layer = model.get_layer("first") if layer == "first" else layer  # layers themselves do too
    np.testing.assert_array_equal(visualization.grad_cam(model, x, layer, target=2), found)


def test_the_last_convolution_is_the_default_and_named(rng):
    figure = drawn(visualization.show_grad_cam(branched(), rng.normal(size=(10, 9, 2))))
    assert "Grad-CAM, base/inside" in titles(figure)
    heat = arrays(figure.axes[1])[0]
    assert heat.min() >= 0
    assert heat.max() in (0, pytest.approx(1))


def test_a_score_that_nothing_speaks_for_is_drawn_black(rng):
    model = stack()
    model.layers[-1].set_weights([np.zeros_like(w) for w in model.layers[-1].get_weights()])
    heat = arrays(drawn(visualization.show_grad_cam(model, rng.normal(size=(10, 9, 2)))).axes[1])[0]
    np.testing.assert_array_equal(heat, 0)


# ----------------------------------------------------------------------------------------------------------- occlusion


def test_occlusion_is_the_fall_of_the_output(rng):
    model, x = stack(), rng.random((10, 9, 2))
    figure = drawn(visualization.show_occlusion(model, x, target=1, patch=4, stride=3))
    before, total, count = model.predict(x[None])[0, 1], np.zeros((10, 9)), np.zeros((10, 9))
    for top in (0, 3, 6):
        for left in (0, 3, 5):
            covered = x.copy()
            covered[top : top + 4, left : left + 4] = x.mean(axis=(0, 1))
            total[top : top + 4, left : left + 4] += before - model.predict(covered[None])[0, 1]
            count[top : top + 4, left : left + 4] += 1
    assert count.min() > 0
    np.testing.assert_allclose(arrays(figure.axes[1])[0], total / count, atol=1e-6)
    low, high = figure.axes[1].images[0].get_clim()
    assert high == -low == pytest.approx(np.abs(total / count).max(), rel=1e-4)


def test_a_single_sigmoid_is_explained_too(rng):
    model = mc.Sequential([Input(shape=(8, 8, 1)), Conv2D(2, 3), Flatten(), Dense(1, activation="sigmoid")])
    for show in (visualization.show_saliency, visualization.show_grad_cam, visualization.show_occlusion):
        figure = drawn(show(model, rng.random((8, 8))))
        assert titles(figure)[0] == f"the output: {model.predict(figure_image(figure))[0, 0]:.2f}"


def test_outputs_in_a_dict_are_told_apart_whatever_their_order(rng):
    inputs = Input(shape=(6, 6, 1))
    features = Flatten()(Conv2D(2, 3)(inputs))
    many = Dense(3, activation="softmax", name="many")(features)
    one = Dense(1, activation="sigmoid", name="one")(features)
    model = mc.Model(inputs, {"z": many, "a": one})  # `model.outputs` has them sorted by these keys
    image = rng.random((6, 6))
    expected = model.predict(image[None])
    for show in (visualization.show_saliency, visualization.show_grad_cam, visualization.show_occlusion):
        assert titles(show(model, image, output="one"))[0] == f"the output: {expected['a'][0, 0]:.2f}"
        title = titles(show(model, image, target=2, output="many"))[0]
        assert title == f"2: {expected['z'][0, 2]:.2f}"
    figure = visualization.show_occlusion(model, image, target=2, output="many", patch=6)
    covered = model.predict(np.full((1, 6, 6, 1), image.mean()))
    fall = expected["z"][0, 2] - covered["z"][0, 2]
    np.testing.assert_allclose(arrays(figure.axes[1])[0], np.full((6, 6), fall), atol=1e-6)


def figure_image(figure):
    return arrays(figure.axes[0])[0][None, ..., None]


# ------------------------------------------------------------------------------------------------ mistakes and reports


def test_mistakes_come_worst_first():
    images = np.arange(6)[:, None, None] / 10 * np.ones((6, 4, 4))
    labels = np.array([0, 1, 2, 0, 1, 2])
    p = np.array([[0.9, 0.1, 0], [0.6, 0.4, 0], [0, 0.9, 0.1], [0.3, 0.4, 0.3], [0, 1, 0], [0.5, 0.4, 0.1]])
    figure = drawn(visualization.show_mistakes(images, labels, p, ["cat", "dog", "cow"]))
    order = [2, 5, 3, 1]  # by the probability of the true class: 0.1, 0.1, 0.3, 0.4
    np.testing.assert_allclose([arrays(axes)[0][0, 0] for axes in figure.axes[:4]], np.array(order) / 10)
    texts = [text.replace("\n", " ").replace("\xa0", " ") for text in titles(figure)[:4]]
    assert [re.sub(", act", " act", text) for text in texts] == [
        "pred = dog (90 %) act = cow",
        "pred = cat (50 %) act = cow",
        "pred = dog (40 %) act = cat",
        "pred = cat (60 %) act = dog",
    ]
    assert len({axes.title.get_color() for axes in figure.axes[:4]}) == 1
    assert figure._suptitle.get_text() == "4 of 6 are wrong (66.67 %): all, worst first"
    figure = drawn(visualization.show_mistakes(images, labels, p, count=2))
    assert figure._suptitle.get_text().endswith(": the worst 2, worst first")


def test_mistakes_of_one_sigmoid_of_class_numbers_and_none():
    images, labels = np.zeros((3, 4, 4)), np.array([0, 1, 1])
    figure = visualization.show_mistakes(images, labels, np.array([[0.7], [0.2], [0.9]], np.float32))
    assert [text.split(" (")[0] for text in titles(figure)[:2]] == ["pred = 0", "pred = 1"]
    assert len(visualization.show_mistakes(images, labels, np.array([1, 1, 1])).axes) == 1
    figure = drawn(visualization.show_mistakes(images, labels, labels))
    assert figure._suptitle.get_text() == "0 of 3 are wrong (0.00 %)"


SCIKIT_LEARNS = (  # what version 1.9.1 writes
    "              precision    recall  f1-score   support\n\n"
    "           0       0.33      1.00      0.50         1\n"
    "           1       0.00      0.00      0.00         1\n"
    "           2       1.00      0.67      0.80         3\n"
    "           3       0.00      0.00      0.00         1\n\n"
    "    accuracy                           0.50         6\n"
    "   macro avg       0.33      0.42      0.33         6\n"
    "weighted avg       0.56      0.50      0.48         6\n"
)
WITH_NAMES = (
    "                    precision    recall  f1-score   support\n\n"
    "               cat      0.500     1.000     0.667         1\n"
    "               dog      0.000     0.000     0.000         1\n"
    "a much longer name      1.000     0.667     0.800         3\n"
    "              none      0.000     0.000     0.000         0\n\n"
    "          accuracy                          0.600         5\n"
    "         macro avg      0.375     0.417     0.367         5\n"
    "      weighted avg      0.700     0.600     0.613         5\n"
)


def test_the_report_is_what_scikit_learn_writes():
    assert metrics.classification_report([0, 1, 2, 2, 2, 3], [0, 0, 2, 2, 1, 0]) == SCIKIT_LEARNS
    names = ["cat", "dog", "a much longer name", "none"]
    assert metrics.classification_report([0, 1, 2, 2, 2], [0, 0, 2, 2, 1], names, digits=3) == WITH_NAMES
    data = metrics.classification_report(np.array([[0], [1], [1]]), np.eye(2)[[0, 1, 0]], ["a", "b"], output_dict=True)
    assert data["a"] == {"precision": 0.5, "recall": 1.0, "f1-score": pytest.approx(2 / 3), "support": 1}
    assert data["b"] == {"precision": 1.0, "recall": 0.5, "f1-score": pytest.approx(2 / 3), "support": 2}
    assert data["accuracy"] == pytest.approx(2 / 3)
    assert data["weighted avg"]["precision"] == pytest.approx((0.5 + 2 * 1.0) / 3)
    assert data["macro avg"]["support"] == 3


@pytest.mark.peers
def test_reports_equal_scikit_learns(rng):
    theirs = pytest.importorskip("sklearn.metrics")
    for trial in range(100):
        classes, count = rng.integers(2, 12), rng.integers(1, 60)
        y, p = rng.integers(0, classes, count), rng.integers(0, classes, count)
        p[0] = y[0]  # without any hit, theirs writes the support with a decimal
        names = [f"class {i}" for i in range(classes)] if trial % 2 else None
        options = {"labels": range(classes), "target_names": names} if names else {}
        expected = theirs.classification_report(y, p, zero_division=0.0, digits=trial % 4, **options)
        assert metrics.classification_report(y, p, names, digits=trial % 4) == expected


# ---------------------------------------------------------------------------------------------------------- embeddings


def test_an_embedding_is_the_principal_components_of_a_layer(rng):
    model, x, y = stack(), rng.normal(size=(12, 10, 9, 2)), np.arange(12) % 3
    figure = drawn(visualization.plot_embedding(model, x, y, layer="second", class_names=["a", "b", "$c$"]))
    maps = mc.Model(model.inputs, model.get_layer("second").output).predict(x).reshape(12, -1).astype(np.float64)
    centred = maps - maps.mean(axis=0)
    values, vectors = np.linalg.eigh(centred.T @ centred)
    places = np.concatenate([points.get_offsets() for points in figure.axes[0].collections])
    order = np.argsort(y, kind="stable")
    for column in (0, 1):
        expected = centred @ vectors[:, -1 - column]
        expected *= np.sign(expected[np.abs(expected).argmax()])
        np.testing.assert_allclose(places[:, column], expected[order], atol=1e-5 * np.abs(expected).max())
    share = 100 * values[-1] / values.sum()
    assert figure.axes[0].get_xlabel() == f"first principal component ({share:.0f} % of the variance)"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "b", r"\$c\$"]
    assert "layer flatten sees them (24 numbers each)" in visualization.plot_embedding(model, x).axes[0].get_title()


def test_samples_on_a_point_or_a_line_are_drawn(rng):
    model = mc.Sequential([Input(shape=(2,)), Dense(1, name="one"), Dense(2)])
    for x in (np.zeros((4, 2)), rng.normal(size=(4, 2))):
        figure = drawn(visualization.plot_embedding(model, x))
        assert "(0 % of" in figure.axes[0].get_ylabel()


# ------------------------------------------------------------------------------------------------------ learning rates


def test_the_range_test_trains_a_copy(rng):
    x, y = rng.normal(size=(64, 10, 9, 2)).astype(np.float32), rng.integers(0, 5, 64)
    model = stack()
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, epochs=1, verbose=0)
    before, history, outputs = model.get_weights(), model.history, model.predict(x)
    rate, iterations = model.optimizer.learning_rate, model.optimizer.iterations
    found = visualization.find_learning_rate(model, x, y, batch_size=16, lowest=1e-4, highest=1e5, steps=60)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert (model.optimizer.learning_rate, model.optimizer.iterations) == (rate, iterations)
    assert model.history is history
    np.testing.assert_array_equal(model.predict(x), outputs)
    model.fit(x, y, epochs=1, verbose=0)  # it can be trained further
    assert len(found.rates) == len(found.losses) < 60  # it stopped when the loss grew
    np.testing.assert_allclose(np.diff(np.log(found.rates)), np.log(1e9) / 59)
    assert found.suggestion == pytest.approx(found.rates[found.losses.argmin()] / 10)
    figure = drawn(visualization.plot_learning_rate_finder(model, x, y, batch_size=16, steps=20))
    assert figure.axes[0].get_xscale() == "log"


def test_the_losses_are_those_of_single_iterations(rng):
    """The first loss, which nothing has been smoothed with, is that of the model on the first batch."""
    x, y = rng.normal(size=(8, 4)).astype(np.float32), rng.normal(size=(8, 1)).astype(np.float32)
    model = mc.Sequential([Input(shape=(4,)), Dense(1)])
    model.compile("sgd", "mse")
    found = visualization.find_learning_rate(model, x, y, batch_size=8, steps=10)
    assert found.losses[0] == pytest.approx(float(np.mean((model.predict(x) - y) ** 2)), rel=1e-5)


# ------------------------------------------------------------------------------------------------------ sliding window


@pytest.mark.parametrize(("strides", "padding"), [(1, "valid"), (2, "same"), ((2, 1), "valid")])
def test_a_sliding_window_shows_products_and_their_sum(strides, padding, rng):
    image, kernel = rng.normal(size=(6, 5)), rng.normal(size=(3, 2))
    animation = visualization.show_sliding_window(image, kernel, strides, padding, bias=0.5)
    expected = mc.functional.conv2d(image, kernel, strides=strides, padding=padding) + 0.5
    np.testing.assert_allclose(animation.output, expected, atol=1e-5)
    assert len(animation.frames) == expected.size
    for place in animation.places:
        assert place.value == pytest.approx(expected[place.row, place.column], abs=1e-5)
        assert place.products.sum() + 0.5 == pytest.approx(place.value)
    if padding == "valid":
        down, right = strides if isinstance(strides, tuple) else (strides, strides)
        place = animation.places[-1]
        top, left = place.row * down, place.column * right
        np.testing.assert_allclose(place.products, image[top : top + 3, left : left + 2] * kernel)
    first, last = animation.frames[0], animation.frames[-1]
    assert first.dtype == np.uint8
    assert first.shape == last.shape
    assert (first != last).any()


def test_the_window_of_a_layer_is_what_the_layer_computes(rng, tmp_path):
    layer = Conv2D(3, 3, strides=2, padding="same")
    model = mc.Sequential([Input(shape=(6, 6, 1)), layer])
    layer.set_weights([layer.get_weights()[0], rng.normal(size=3)])
    image = rng.random((6, 6, 1))
    animation = visualization.show_sliding_window(image, layer, filter_number=2)
    np.testing.assert_allclose(animation.output, model.predict(image[None])[0, ..., 2], atol=1e-5)
    animation.save(tmp_path / "slide.gif")
    from PIL import Image

    for file in (tmp_path / "slide.gif", embedded(animation)):
        with Image.open(file) as picture:
            assert picture.n_frames == 9
            assert picture.info["loop"] == 0
            assert picture.info["duration"] == 400


def embedded(animation):
    """The GIF that a notebook plays."""
    return io.BytesIO(base64.b64decode(re.search(r"base64,([^\"]*)", animation._repr_html_())[1]))


# ----------------------------------------------------------------------------------------------------------- galleries


def test_large_galleries_have_pages(rng):
    images = rng.random((230, 2, 2))
    figure = visualization.show_images(images, np.arange(230), columns=10, page=3)
    assert figure._suptitle.get_text() == "201–230 of 230 images, page 3 of 3"
    assert titles(figure)[:30] == [str(number) for number in range(200, 230)]
    assert visualization.show_images(images[:100])._suptitle is None


def test_numbers_that_are_compared_have_one_scale_and_a_colour_bar():
    figure = drawn(visualization.show_images([[[-1.0, 0.5]], [[0.0, 3.0]]], titles=["a", "b"], cmap="PuOr_r"))
    assert {axes.images[0].get_clim() for axes in figure.axes[:2]} == {(-3.0, 3.0)}
    np.testing.assert_array_equal(arrays(figure.axes[1])[0], [[0.0, 3.0]])
    assert len(figure.axes) == 3


def test_filters_and_maps_have_a_colour_bar():
    model = stack()
    bar = drawn(visualization.show_filters(model.layers[0])).axes[1]
    largest = np.abs(model.layers[0].get_weights()[0]).max()
    assert [text.get_text() for text in bar.get_yticklabels()][::4] == [f"{-largest:.2g}", f"{largest:.2g}"]
    model = mc.Sequential([Input(shape=(9, 9, 1)), Conv2D(4, 3), Conv2D(2, 2)])
    bar = drawn(visualization.show_filters(model)).axes[1]
    assert [text.get_text() for text in bar.get_yticklabels()] == ["−", "0", "+"]


def test_feature_maps_end_with_the_decision(rng):
    model, x = stack(), rng.random((10, 9, 2))
    figure = drawn(visualization.show_feature_maps(model, x, class_names=["ant", "bee", "cat", "dog", "elephants"]))
    p = model.predict(x[None])[0]
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts == [f"{name}\n{v:.2f}" for name, v in zip(["ant", "bee", "cat", "dog", "elephan…"], p, strict=True)]


def test_nothing_is_cut_off(rng):
    """All that is drawn lies inside the figures."""
    model, x = stack(), rng.random((4, 10, 9, 2))
    names = [f"class with a long name {i}" for i in range(5)]
    model.compile("sgd", "sparse_categorical_crossentropy")
    for figure in (
        visualization.show_saliency(model, x, class_names=names),
        visualization.show_grad_cam(model, x[0], class_names=names),
        visualization.show_occlusion(model, x[:2], class_names=names),
        visualization.show_feature_maps(model, x[0], class_names=names),
        visualization.show_filters(model),
        visualization.plot_embedding(model, x, [0, 1, 2, 3], class_names=names),
        visualization.show_mistakes(x[..., 0], [0, 1, 2, 3], [1, 2, 3, 0], names),
        visualization.plot_learning_rate_finder(model, x, [0, 1, 2, 3], steps=10),
    ):
        drawn(figure)
        box = figure.get_tightbbox(figure.canvas.get_renderer())  # in inches
        width, height = figure.get_size_inches()
        assert -0.01 <= box.x0 <= box.x1 <= width + 0.01
        assert -0.01 <= box.y0 <= box.y1 <= height + 0.01


# ------------------------------------------------------------------------------------------------------------ mistakes

IMAGE = np.zeros((10, 9, 2))
MLP = mc.Sequential([Input(shape=(4,)), Dense(3), Dense(2)])
UNCOMPILED, COMPILED, SCHEDULED = stack(), stack(), stack()
COMPILED.compile("sgd", "sparse_categorical_crossentropy")
SCHEDULED.compile(mc.optimizers.SGD(mc.optimizers.schedules.ExponentialDecay(0.1, 10, 0.9)), "mse")
v = visualization


def without_an_axis():
    """A model that gives one number for each image, (None,)."""
    inputs = Input(shape=(2, 2, 1))
    return mc.Model(inputs, Flatten()(inputs)[:, 0])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: v.show_saliency(without_an_axis(), np.zeros((2, 2, 1))), ValueError, "model.input_gradients gives"),
        (lambda: v.show_saliency("model", IMAGE), TypeError, "show_saliency takes a model"),
        (lambda: v.show_saliency(MLP, np.zeros(4)), ValueError, "only input is an image.*input_gradients takes any"),
        (lambda: v.show_saliency(stack(), IMAGE[:-1]), errors.ShapeError, "resize_images changes sizes"),
        (lambda: v.show_saliency(stack(), np.zeros((17, 10, 9, 2))), ValueError, r"1 to 16 images, e\.g\. x\[:16\]"),
        (lambda: v.show_saliency(stack(), IMAGE, target=7), ValueError, r"5 classes, 0 … 4\. Received: target with 7"),
        (lambda: v.show_saliency(stack(), IMAGE, 4, class_names=["a"]), ValueError, "class 4 has no name"),
        (lambda: v.show_grad_cam(stack(), IMAGE, "secnd"), ValueError, "Did you mean 'second'"),
        (lambda: v.show_grad_cam(stack(), IMAGE, "flatten_1"), ValueError, "layer of model"),
        (lambda: v.grad_cam(stack(), IMAGE, "scores"), ValueError, r"maps \(None, H, W, C\), one of \['first'"),
        (lambda: v.grad_cam(stack(), IMAGE, Conv2D(2, 3)), ValueError, "of another model"),
        (lambda: v.grad_cam(stack(), IMAGE, 3), TypeError, "a layer or its name"),
        (
            lambda: v.grad_cam(mc.Sequential([Input(shape=(4, 4, 1)), Flatten(), Dense(2)]), np.zeros((4, 4))),
            ValueError,
            "goes by a convolution.*or use show_saliency",
        ),
        (lambda: v.show_occlusion(stack(), IMAGE, patch=11), ValueError, "patch fits into the image of 10×9"),
        (lambda: v.show_occlusion(stack(), IMAGE, patch=2, stride=3), ValueError, "every pixel is covered"),
        (lambda: v.show_mistakes(np.zeros((3, 4, 4)), [0, 1], [0, 1, 0]), ValueError, "3 images, 2 labels, 3 pred"),
        (lambda: v.show_mistakes(np.zeros((1, 4, 4)), [3], [[0.5, 0.5]]), ValueError, "2 classes.*labels with 3"),
        (lambda: v.show_mistakes(np.zeros((1, 4, 4)), [0], [1], count=0), ValueError, "count"),
        (lambda: metrics.classification_report([0, 1], [0]), ValueError, "2 in y_true, 1 in y_pred"),
        (lambda: metrics.classification_report([0, 2], [0, 1], ["a", "b"]), ValueError, "each of 3 classes"),
        (lambda: metrics.classification_report([0, 1], [0, 1], ["a", "a"]), ValueError, "different names"),
        (lambda: metrics.classification_report([0], [0], ["accuracy"], True), ValueError, "give this class another"),
        (lambda: metrics.classification_report([0], [0], ["macro avg"], True), ValueError, "give this class another"),
        (lambda: metrics.classification_report([0], [0], digits=-1), ValueError, "digits"),
        (lambda: v.plot_embedding(MLP, np.zeros((2, 4))), ValueError, "3 samples or more. Received: 2"),
        (lambda: v.plot_embedding(MLP, np.zeros((3, 4)), [0, 1]), ValueError, "each of 3 samples. Received: 2 in y"),
        (lambda: v.plot_embedding(MLP, np.zeros((3, 4)), layer="dens"), ValueError, "Did you mean"),
        (lambda: v.plot_embedding(MLP, np.full((3, 4), np.nan)), ValueError, "NaN or infinite values"),
        (lambda: v.plot_embedding(MLP, np.zeros((60, 4)), np.arange(60)), ValueError, "leave y out"),
        (lambda: v.find_learning_rate(UNCOMPILED, IMAGE[None], [0]), errors.NotCompiledError, "compile"),
        (lambda: v.find_learning_rate(SCHEDULED, IMAGE[None], [0]), TypeError, "compile with a number"),
        (lambda: v.find_learning_rate(COMPILED, IMAGE[None], [0], lowest=1, highest=1), ValueError, "below highest"),
        (lambda: v.find_learning_rate(COMPILED, IMAGE[None], [0], steps=2), ValueError, "steps"),
        (
            lambda: v.find_learning_rate(COMPILED, np.zeros((9, 4)), [0]),
            ValueError,
            r"shape \(9, 4\), y .* \(1,\)",
        ),
        (lambda: v.show_sliding_window(np.zeros((28, 28)), np.ones((3, 3))), ValueError, r"part of the image, image\["),
        (lambda: v.show_sliding_window(np.zeros((2, 2)), np.ones((3, 3))), errors.ShapeError, "fits into the image"),
        (lambda: v.show_sliding_window(IMAGE, np.ones((3, 3))), errors.ShapeError, r"one channel of an image, x\[0"),
        (lambda: v.show_sliding_window(IMAGE, stack().layers[0]), ValueError, "has 2 channels"),
        (lambda: v.show_sliding_window(np.zeros((4, 4)), Conv2D(2, 3)), errors.NotBuiltError, "no weights yet"),
        (lambda: v.show_sliding_window(np.zeros((4, 4)), Conv2D(2, 3), 2), ValueError, "leave them out. Received: str"),
        (lambda: v.show_images(np.zeros((3, 4, 4)), page=2), ValueError, r"page=1 … 1\. Received: page=2"),
        (lambda: v.show_images(np.zeros((3, 4, 4)), cmap="PuOrr"), ValueError, "such as 'viridis'"),
        (lambda: v.show_images(np.zeros((3, 4, 4, 3)), cmap="gray"), ValueError, "leave it out for colour images"),
    ],
)
def test_a_typical_mistake_is_one_sentence_that_says_how_to_mend_it(call, error, message):
    with pytest.raises(error, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_an_animation_is_a_gif(tmp_path):
    animation = visualization.show_sliding_window(np.eye(3), np.ones((2, 2)))
    with pytest.raises(ValueError, match=r"saved as \.gif"):
        animation.save(tmp_path / "slide.mp4")
    with pytest.raises(FileNotFoundError, match="make it first"):
        animation.save(tmp_path / "none" / "slide.gif")


def test_a_loss_that_grows_from_the_start(rng):
    model = mc.Sequential([Input(shape=(4,)), Dense(1)])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="begin with a lower one"):
        visualization.find_learning_rate(
            model, 1e4 * rng.normal(size=(64, 4)), rng.normal(size=64), lowest=1, highest=9
        )
