"""Figures of numbers and images: what is drawn, what is refused, and that nothing but a Figure is touched."""

import io
import itertools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import minicnn as mc
from minicnn import errors, visualization
from minicnn.callbacks import History
from minicnn.visualization import figures

pytest.importorskip("matplotlib")
pytestmark = pytest.mark.filterwarnings("error")  # matplotlib warns of what it cannot draw

ROOT = Path(__file__).parents[1]
CURVES = {
    "loss": [1.0, 0.5, 0.25],
    "accuracy": [0.5, 0.8, 0.9],
    "val_loss": [1.1, 0.6, 0.4],
    "val_accuracy": [0.4, 0.7, 0.8],
}


def drawn(figure):
    """The picture as an array (H, W, 4), from PNG and back."""
    from matplotlib.image import imread

    file = io.BytesIO()
    figure.savefig(file, format="png")
    file.seek(0)
    return imread(file)


def shown(axes):
    """The picture in an axes, 0 to 1."""
    (image,) = axes.images
    return np.asarray(image.get_array())


# ----------------------------------------------------------------------------------------------------- training curves


def test_a_history_is_a_panel_for_each_metric_with_both_curves():
    figure = visualization.plot_history(CURVES)
    loss, accuracy = figure.axes
    assert (loss.get_ylabel(), accuracy.get_ylabel()) == ("loss", "accuracy")
    assert loss.get_xlabel() == "epoch"
    assert [text.get_text() for text in loss.get_legend().get_texts()] == ["training", "validation"]
    for axes, name in ((loss, "loss"), (accuracy, "accuracy")):
        train, validation = axes.lines
        np.testing.assert_array_equal(train.get_xdata(), [1, 2, 3])
        np.testing.assert_array_equal(train.get_ydata(), CURVES[name])
        np.testing.assert_array_equal(validation.get_ydata(), CURVES[f"val_{name}"])


def test_curves_differ_in_more_than_colour():
    train, validation = visualization.plot_history(CURVES).axes[0].lines
    assert train.get_color() != validation.get_color()
    assert train.get_linestyle() != validation.get_linestyle()
    assert train.get_marker() != validation.get_marker()


@pytest.mark.parametrize("as_saved", [False, True])
def test_a_metric_with_a_value_for_each_class_has_a_panel_for_each(rng, as_saved):
    model = mc.Sequential([mc.Input(shape=(4,)), mc.layers.Dense(3, activation="softmax")])
    model.compile("sgd", "categorical_crossentropy", metrics=[mc.metrics.F1Score()])
    x, y = rng.normal(size=(12, 4)), np.eye(3)[np.arange(12) % 3]
    history = model.fit(x, y, epochs=4, validation_data=(x, y), validation_freq=2, verbose=0)
    if as_saved:  # as a file gives it back
        history.history = {name: np.asarray(values).tolist() for name, values in history.history.items()}
    axes = visualization.plot_history(history).axes
    assert [a.get_ylabel() for a in axes] == ["loss", "f1 score 0", "f1 score 1", "f1 score 2"]
    for number in range(3):
        train, validation = axes[1 + number].lines
        np.testing.assert_array_equal(train.get_ydata(), [value[number] for value in history.history["f1_score"]])
        expected = [value[number] for value in history.history["val_f1_score"]]
        np.testing.assert_array_equal(validation.get_ydata(), expected)
        assert validation.get_xdata().tolist() == [2, 4]


def test_fit_returns_what_plot_history_takes(rng):
    model = mc.Sequential([mc.Input(shape=(4,)), mc.layers.Dense(3, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"], backend="numpy")
    history = model.fit(rng.normal(size=(12, 4)), rng.integers(0, 3, 12), epochs=2, verbose=0)
    assert isinstance(history, History)
    assert len(visualization.plot_history(history).axes) == 2


def test_a_single_epoch_is_visible():
    picture = drawn(visualization.plot_history({"loss": [1.0]}))
    blue = np.array([0x00, 0x72, 0xB2]) / 255
    assert (np.abs(picture[..., :3] - blue).max(axis=-1) < 0.02).sum() > 20


def test_rare_validation_is_drawn_at_its_epochs():
    figure = visualization.plot_history({"loss": [4, 3, 2, 1, 0.5], "val_loss": [3, 1]})  # validation_freq=2
    np.testing.assert_array_equal(figure.axes[0].lines[1].get_xdata(), [2, 4])


@pytest.mark.parametrize("history", [{}, {"loss": []}, {"val_loss": [1.0]}])
def test_an_empty_history_is_refused(history):
    with pytest.raises(ValueError, match="history is empty"):
        visualization.plot_history(history)
    with pytest.raises(ValueError, match="history of run 'b' is empty"):
        visualization.plot_history({"a": CURVES, "b": history})
    with pytest.raises(ValueError, match="history of run 'b' is empty"):
        visualization.plot_history({"a": CURVES, "b": History()})


@pytest.mark.parametrize("history", [[1.0, 0.5], None, {"Adam": 3}, {"a": CURVES, "b": [1]}, {"loss": ["low"]}])
def test_something_else_is_no_history(history):
    with pytest.raises(TypeError, match=r"what fit returned.*Received: "):
        visualization.plot_history(history)


@pytest.mark.parametrize("values", [0.5, [[1.0], [1.0, 2.0]], [[[1.0]]], [[1.0] * 21], ["low"], {"x": 1}, None])
def test_what_is_no_curve_is_named(values):
    with pytest.raises(TypeError, match=r"what fit returned.*Received: run 'b', 'accuracy': .*, no list of numbers"):
        visualization.plot_history({"a": CURVES, "b": {"loss": [1.0], "accuracy": values}})
    if not isinstance(values, dict):
        with pytest.raises(TypeError, match=r"Received: 'accuracy': .*, no list of numbers"):
            visualization.plot_history({"loss": [1.0], "accuracy": values})


def curve_look(line):
    return line.get_color(), line.get_marker(), line.get_linestyle(), line.get_markerfacecolor()


@pytest.mark.parametrize("epochs", [3, 100])
def test_fourteen_runs_are_told_apart_by_one_legend(epochs):
    curve = np.linspace(1, 0.1, epochs)
    histories = {f"run {i}": {"loss": curve + i, "val_loss": curve + i, "accuracy": curve} for i in range(14)}
    figure = visualization.plot_history(histories)
    assert all(axes.get_legend() is None for axes in figure.axes)
    (legend,) = figure.legends
    names = [text.get_text() for text in legend.get_texts()]
    assert names == [*histories, "training", "validation"]
    lines = figure.axes[0].lines
    assert len({curve_look(line) for line in lines}) == 28
    for number, handle in enumerate(legend.get_lines()[:14]):
        assert curve_look(handle) == curve_look(lines[2 * number])
        assert lines[2 * number].get_marker() not in ("", "None")
    with pytest.raises(ValueError, match=r"14 runs apart at most\. Received: 15 runs"):
        visualization.plot_history(histories | {"one more": CURVES})


@pytest.mark.parametrize("letters", [5, 60])
def test_many_long_names_stand_beside_the_panels(letters):
    histories = {f"{i}: " + "long name " * (letters // 10): CURVES for i in range(12)}
    figure = visualization.plot_history(histories)
    drawn(figure)
    renderer = figure.canvas.get_renderer()
    legend = figure.legends[0].get_window_extent(renderer)
    assert figure.bbox.x0 <= legend.x0 < legend.x1 <= figure.bbox.x1
    assert figure.bbox.y0 <= legend.y0 < legend.y1 <= figure.bbox.y1
    for axes in figure.axes:
        box = axes.get_window_extent(renderer)
        assert box.x1 < legend.x0
        assert box.width > 3 * figure.dpi
        assert box.height > 2.5 * figure.dpi


def test_curves_of_no_numbers_are_drawn_all_the_same():
    curves = {"loss": [np.nan] * 100, "val_loss": [np.inf, 1.0] * 50}
    for history in (curves, {"a": curves, "b": curves}, dict.fromkeys("abcd", curves)):
        drawn(visualization.plot_history(history))


def test_a_history_knows_its_epochs(rng):
    """5 epochs with validation_freq=3: the only validation was after epoch 3; another fit goes on at epoch 6."""
    model = mc.Sequential([mc.Input(shape=(4,)), mc.layers.Dense(1)])
    model.compile("sgd", "mse", backend="numpy")
    x, y = rng.normal(size=(12, 4)), rng.normal(size=(12, 1))
    first = model.fit(x, y, epochs=5, validation_split=0.5, validation_freq=3, verbose=0)
    train, validation = visualization.plot_history(first).axes[0].lines
    np.testing.assert_array_equal(train.get_xdata(), [1, 2, 3, 4, 5])
    np.testing.assert_array_equal(validation.get_xdata(), [3])
    second = model.fit(x, y, initial_epoch=5, epochs=7, verbose=0)
    (axes,) = visualization.plot_history(second).axes
    np.testing.assert_array_equal(axes.lines[0].get_xdata(), [6, 7])
    assert axes.get_xlim() == (5.5, 7.5)


def test_several_histories_share_the_panels():
    other = {"loss": [3.0, 2.0], "learning_rate": [0.1, 0.01]}
    figure = visualization.plot_history({"Adam": CURVES, "Adagrad $1$": other})
    assert [axes.get_ylabel() for axes in figure.axes] == ["loss", "accuracy", "learning rate"]
    adam, adam_validation, adagrad = figure.axes[0].lines
    np.testing.assert_array_equal(adagrad.get_ydata(), other["loss"])
    assert adam.get_color() == adam_validation.get_color() != adagrad.get_color()
    assert adam.get_marker() != adagrad.get_marker()
    assert adam.get_linestyle() != adam_validation.get_linestyle()
    names = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert names == ["Adam", "Adam, validation", r"Adagrad \$1\$"]  # not a formula
    drawn(figure)


# --------------------------------------------------------------------------------------------------------- image grids


@pytest.mark.parametrize("shape", [(7, 6, 5), (7, 6, 5, 1), (7, 6, 5, 3)])
def test_images_stand_in_a_grid(rng, shape):
    images = rng.integers(0, 256, shape, np.uint8)
    figure = visualization.show_images(images, titles=range(7), columns=3)
    assert len(figure.axes) == 9
    assert [axes.get_title() for axes in figure.axes[:7]] == [str(i) for i in range(7)]
    for axes, image in zip(figure.axes, images, strict=False):
        np.testing.assert_allclose(shown(axes), np.squeeze(image) / 255, rtol=1e-6)
    assert not figure.axes[7].images
    drawn(figure)


def test_a_short_row_is_no_wider_than_its_images():
    assert len(visualization.show_images(np.zeros((2, 4, 4))).axes) == 2


@pytest.mark.parametrize(
    ("images", "low", "high"),
    [
        (np.array([[[0.25, 0.75]]]), 0.25, 0.75),  # 0 … 1 is drawn as it is
        (np.array([[[-3.0, 5.0]]]), 0.0, 1.0),  # anything else from the lowest to the highest
        (np.array([[[0, 127]]]), 0.0, 1.0),
        (np.array([[[7.0, 7.0]]]), 0.0, 0.0),
        (np.array([[[False, True]]]), 0.0, 1.0),
        (np.array([[[0, 255]]], np.uint8), 0.0, 1.0),
    ],
)
def test_grey_values(images, low, high):
    pixels = shown(visualization.show_images(images).axes[0])
    np.testing.assert_allclose([pixels.min(), pixels.max()], [low, high])


@pytest.mark.parametrize("shape", [(6, 5), (2, 6, 5, 2), (2, 6, 5, 4), (0, 6, 5), (2, 0, 5), (32, 32, 3), (28, 28, 1)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match=r"show_images takes .* image\[None\] for one. .*Received: shape"):
        visualization.show_images(np.zeros(shape))


def test_images_of_different_sizes_are_refused():
    with pytest.raises(ValueError, match="images of one size"):
        visualization.show_images([np.zeros((3, 3)), np.zeros((4, 4))])


def test_text_is_no_image():
    with pytest.raises(TypeError, match="real numbers"):
        visualization.show_images(np.full((1, 2, 2), "x"))


def test_every_image_needs_its_title():
    with pytest.raises(ValueError, match=r"a title for each of 3 images\. Received: 2 titles"):
        visualization.show_images(np.zeros((3, 4, 4)), titles=["a", "b"])


@pytest.mark.parametrize(
    "labels", [[1, 0], [[1], [0]], np.array([1.0, 0.0]), np.eye(2)[::-1], np.array([1, 0], np.uint8)]
)
def test_images_with_class_names(labels):
    figure = visualization.show_images(np.zeros((2, 4, 4)), labels, ["cat", "dog"])
    assert [axes.get_title() for axes in figure.axes] == ["dog", "cat"]
    figure = visualization.show_images(np.zeros((2, 4, 4)), labels)
    assert [axes.get_title() for axes in figure.axes] == ["1", "0"]


def test_images_with_predictions():
    images, labels = np.zeros((2, 4, 4)), [1, 0]
    figure = visualization.show_images(images, labels, predictions=[1, 1])
    assert [axes.get_title() for axes in figure.axes] == ["pred = 1, act = 1", "pred = 1, act = 0"]
    right, wrong = (axes.title.get_color() for axes in figure.axes)
    assert (right, wrong) == ("black", figures.VERMILION)
    figure = visualization.show_images(images, labels, ["cat", "dog"], predictions=[[0.2, 0.8], [0.9, 0.1]])
    titles = [axes.get_title().replace("\xa0", " ") for axes in figure.axes]
    assert titles == ["pred = dog (80 %)\nact = dog", "pred = cat (90 %)\nact = cat"]


@pytest.mark.parametrize(
    ("predictions", "titles"),
    [
        ([[3.5, -1.0], [0.2, 0.8]], ["pred = 0", "pred = 1"]),  # logits are no percentages
        ([[0.0, 1.0 + 5e-6], [1.0, -5e-6]], ["pred = 1 (100 %)", "pred = 0 (100 %)"]),
        ([[0.0, 1.01], [1.0, 0.0]], ["pred = 1", "pred = 0"]),
    ],
)
def test_only_probabilities_are_percentages(predictions, titles):
    figure = visualization.show_images(np.zeros((2, 4, 4)), predictions=predictions)
    assert [axes.get_title().replace("\xa0", " ") for axes in figure.axes] == titles


@pytest.mark.parametrize("names", [["cat", "dog"], ("cat", "dog"), np.array(["cat", "dog"])])
def test_names_may_be_any_sequence(names):
    images = np.zeros((2, 4, 4))
    for figure in (visualization.show_images(images, [0, 1], names), visualization.show_images(images, titles=names)):
        assert [axes.get_title() for axes in figure.axes] == ["cat", "dog"]
    bars = visualization.show_prediction(images[0], [0.5, 0.5], names).axes[1]
    matrix = visualization.plot_confusion_matrix([0, 1], [0, 1], names).axes[0]
    for axes in (bars, matrix):
        assert [text.get_text() for text in axes.get_yticklabels()] == ["cat", "dog"]


@pytest.mark.parametrize("names", [{0: "cat", 1: "dog"}, {"cat", "dog"}, "cd", 2, [["cat"], ["dog", "cow"]]])
@pytest.mark.parametrize(
    ("draw", "argument"),
    [
        (lambda names: visualization.show_images(np.zeros((2, 4, 4)), [0, 1], names), "class_names"),
        (lambda names: visualization.show_images(np.zeros((2, 4, 4)), titles=names), "titles"),
        (lambda names: visualization.show_prediction(np.zeros((4, 4)), [0.5, 0.5], names), "class_names"),
        (lambda names: visualization.plot_confusion_matrix([0, 1], [0, 1], names), "class_names"),
    ],
)
def test_what_are_no_names(draw, argument, names):
    with pytest.raises(TypeError, match=f"{argument} is a list, tuple or array.*Received: {type(names).__name__}"):
        draw(names)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": [0, 5], "class_names": ["a", "b"]}, r"class 5 has no name.*0 … 1\. Received: labels with 5"),
        ({"predictions": [[0, 0, 1]] * 2, "class_names": ["a", "b"]}, r"class 2 has no name.*predictions with 2"),
        ({"labels": [0]}, r"a label for each of 2 images\. Received: 1 labels"),
        ({"predictions": [0]}, r"a prediction for each of 2 images"),
        ({"labels": [0, -1]}, r"labels holds class numbers from 0 on.*values from -1 to 0"),
        ({"labels": [0, 0.5]}, r"labels holds class numbers from 0 on"),
        ({"labels": [0, 1], "titles": ["a", "b"]}, r"titles, or labels and predictions. Received: both"),
    ],
)
def test_classes_that_do_not_fit(options, message):
    with pytest.raises(ValueError, match=message):
        visualization.show_images(np.zeros((2, 4, 4)), **options)


def test_titles_stay_above_their_images():
    """Long names are broken into lines, none of which is wider than an image; dollar signs are no formulas."""
    names = ["a class with quite a long name", "Donaudampfschifffahrtsgesellschaft", "$5 or $6"]
    figure = visualization.show_images(np.zeros((3, 4, 4)), [0, 1, 2], names)
    drawn(figure)
    renderer = figure.canvas.get_renderer()
    boxes = [axes.title.get_window_extent(renderer) for axes in figure.axes]
    assert all(left.x1 < right.x0 for left, right in itertools.pairwise(boxes))
    assert min(box.x0 for box in boxes) >= 0
    assert max(box.x1 for box in boxes) <= figure.bbox.x1
    assert max(box.y1 for box in boxes) <= figure.bbox.y1


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_pixels_that_are_no_numbers_are_drawn_blank(value):
    images = np.array([[[-1.0, value], [1.0, 3.0]]])
    pixels = shown(visualization.show_images(images).axes[0])
    np.testing.assert_allclose([pixels[0, 0], pixels[1, 1]], [0, 1])
    for shape in ((1, 2, 2), (1, 2, 2, 3)):
        drawn(visualization.show_images(np.full(shape, value)))


@pytest.mark.parametrize("columns", [0, 1.5])
def test_columns_are_counted(columns):
    with pytest.raises(ValueError, match="columns"):
        visualization.show_images(np.zeros((3, 4, 4)), columns=columns)


# --------------------------------------------------------------------------------------------------------- predictions


def title_of(figure):
    """The title, with plain spaces."""
    return figure._suptitle.get_text().replace("\xa0", " ")


@pytest.mark.parametrize("shape", [(4, 5), (4, 3), (4, 5, 1), (4, 5, 3), (1, 4, 5), (1, 4, 5, 1), (1, 4, 5, 3)])
def test_a_prediction_is_an_image_beside_bars(rng, shape):
    probabilities = np.array([0.05, 0.7, 0.25], np.float32)
    figure = visualization.show_prediction(rng.random(shape), probabilities, ["cat", "dog", "$cow$"], label=2)
    picture, bars = figure.axes
    assert shown(picture).shape[:2] == ((4, 3) if shape == (4, 3) else (4, 5))
    np.testing.assert_allclose([bar.get_width() for bar in bars.patches], probabilities)
    assert [text.get_text() for text in bars.get_yticklabels()] == ["cat", "dog", r"\$cow\$ (true)"]
    assert title_of(figure) == "predicted: dog (70.00 %)\ntrue class: \\$cow\\$"
    assert len({bar.get_facecolor() for bar in bars.patches}) == 3
    drawn(figure)


def test_a_right_prediction_has_another_colour_than_a_wrong_one():
    colours = [
        visualization.show_prediction(np.zeros((2, 2)), [[0.1, 0.9]], label=label).axes[1].patches[1].get_facecolor()
        for label in (None, 1, np.array([1]), 0)
    ]
    assert colours[0] == colours[1] == colours[2] != colours[3]


def test_of_many_classes_the_most_probable_are_shown_and_the_true_one(rng):
    probabilities = rng.permutation(np.linspace(0, 0.01, 100))
    best = np.argsort(-probabilities)
    figure = visualization.show_prediction(np.zeros((2, 2)), probabilities, label=best[50], top=3)
    expected = [*map(str, best[:3]), f"{best[50]} (true)"]
    assert [text.get_text() for text in figure.axes[1].get_yticklabels()] == expected


@pytest.mark.parametrize(
    ("image", "probabilities", "options", "message"),
    [
        ((3,), [0.5, 0.5], {}, r"takes one image.*Received: shape \(3,\)"),
        ((2, 3, 3, 1), [0.5, 0.5], {}, r"takes one image.*Received: shape \(2, 3, 3, 1\)"),
        ((3, 3), [0.5], {}, r"two or more classes.*write \[1 - p, p\].*Received: shape \(1,\)"),
        ((3, 3), [[0.5, 0.5]] * 2, {}, r"Received: shape \(2, 2\)"),
        ((3, 3), [2.0, -3.0], {}, r"between 0 and 1.*softmax.*values from -3.0 to 2.0"),
        ((3, 3), [0.5, 1.001], {}, r"between 0 and 1"),
        ((3, 3), [np.nan, 0.5], {}, r"a probability is NaN.*Received: NaN for 1 of 2 classes"),
        ((3, 3), [0.5, 0.5], {"class_names": ["a"]}, r"a name for each of 2 classes. Received: 1"),
        ((3, 3), [0.5, 0.5], {"label": 2}, r"one of the 2 classes, 0 … 1. Received: label=2"),
        ((3, 3), [0.5, 0.5], {"label": "cat"}, r"label holds class numbers.*Received: 'cat'"),
        ((3, 3), [0.5, 0.5], {"top": 0}, r"`top` must be an integer of at least 1"),
    ],
)
def test_predictions_that_do_not_fit(image, probabilities, options, message):
    with pytest.raises(ValueError, match=message):
        visualization.show_prediction(np.zeros(image), probabilities, **options)


def test_rounding_may_leave_the_range_of_probabilities():
    probabilities = np.array([-5e-6, 1 + 5e-6, 0.3], np.float32)
    figure = visualization.show_prediction(np.zeros((3, 3)), probabilities)
    np.testing.assert_array_equal([bar.get_width() for bar in figure.axes[1].patches][:2], [0, 1])
    assert title_of(figure) == "predicted: 1 (1.00)"  # they do not add up to 1: sigmoids, no probabilities
    assert figure.axes[1].get_xlabel() == "output of each sigmoid (they do not add up to 1)"


# --------------------------------------------------------------------------------------------------- confusion matrix


def test_confusion_matrix_shows_counts_and_shares():
    true, predicted = [0, 0, 0, 1, 1, 2], [0, 0, 1, 1, 1, 0]
    figure = visualization.plot_confusion_matrix(true, np.eye(4)[predicted], ["cat", "dog", "cow", "$$$"])
    axes = figure.axes[0]
    shares = [[2 / 3, 1 / 3, 0, 0], [0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]  # the last class does not occur
    np.testing.assert_allclose(shown(axes), shares)
    cells = {text.get_position(): text.get_text() for text in axes.texts}  # (column, row)
    assert cells == {(0, 0): "2\n66.7 %", (1, 0): "1\n33.3 %", (1, 1): "2\n100.0 %", (0, 2): "1\n100.0 %"}
    assert [text.get_text() for text in axes.get_yticklabels()] == ["cat", "dog", "cow", r"\$\$\$"]
    assert axes.get_title() == "accuracy 66.67 % of 6"
    drawn(figure)


def test_long_class_names_are_not_cut_off():
    names = [f"the class with the number {i}" for i in range(10)]
    figure = visualization.plot_confusion_matrix(range(10), range(10), names)
    drawn(figure)
    texts = [*figure.axes[0].get_xticklabels(), *figure.axes[0].get_yticklabels()]
    for box in (text.get_window_extent(figure.canvas.get_renderer()) for text in texts):
        assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1
        assert figure.bbox.y0 <= box.y0 < box.y1 <= figure.bbox.y1


def test_many_classes_are_drawn_without_numbers():
    figure = visualization.plot_confusion_matrix(np.arange(60), np.arange(60))
    assert shown(figure.axes[0]).shape == (60, 60)
    assert not figure.axes[0].texts


@pytest.mark.parametrize(
    ("true", "predicted", "names", "message"),
    [
        ([0, 1], [0], None, r"a prediction for each.*2 in y_true, 1 in y_pred"),
        ([], [], None, r"one or more samples"),
        ([0, 2], [0, 1], ["a", "b"], r"class 2 has no name.*Received: y_true with 2"),
        ([0, 1], [0.2, 0.7], None, r"y_pred holds class numbers.*\(p > 0.5\)"),
    ],
)
def test_confusion_that_does_not_fit(true, predicted, names, message):
    with pytest.raises(ValueError, match=message):
        visualization.plot_confusion_matrix(true, predicted, names)


# --------------------------------------------------------------------------------------- filters and feature maps


def tiles(figure):
    """The small pictures from left to right, row by row."""
    return [np.asarray(image.get_array()) for image in figure.axes[0].images]


def row_labels(figure):
    return [text.get_text() for text in figure.axes[0].get_yticklabels()]


@pytest.fixture
def network():
    layers = mc.layers
    return mc.Sequential(
        [
            mc.Input((9, 8, 1)),
            layers.Conv2D(5, 3, activation="relu", name="first"),
            layers.MaxPooling2D(name="pool"),
            layers.Dropout(0.5, name="drop"),
            layers.Conv2D(4, 2, name="second"),
            layers.Flatten(name="flat"),
            layers.Dense(3),
        ]
    )


def test_filters_are_columns_and_channels_rows(network):
    first, second = (network.get_layer(name).get_weights()[0] for name in ("first", "second"))
    found = tiles(visualization.show_filters(network, max_filters=3, max_channels=2))
    expected = [first[:, :, 0, f] for f in range(3)] + [second[:, :, c, f] for c in range(2) for f in range(3)]
    for tile, kernel in zip(found, expected, strict=True):
        np.testing.assert_array_equal(tile, kernel)
    figure = visualization.show_filters(network.get_layer("first"))
    assert row_labels(figure)[0].startswith("first\n3×3, 5 filters\n1 channel")
    low, high = figure.axes[0].images[0].get_clim()
    assert high == -low == np.abs(first).max()


def test_colour_filters_are_in_colour():
    layer = mc.layers.Conv2D(2, 3)
    layer.build_for([(5, 5, 3)])
    kernel = layer.get_weights()[0]
    largest = np.abs(kernel).max()
    found = tiles(visualization.show_filters(layer))
    for number, tile in enumerate(found):
        np.testing.assert_allclose(tile, kernel[..., number] / largest / 2 + 0.5, atol=1e-6)
    assert len(found) == 2


def test_filters_of_nested_models_are_found_once():
    shared = mc.layers.Conv2D(2, 3, padding="same")
    inner = mc.Sequential([mc.Input((6, 6, 1)), shared])
    image = mc.Input((6, 6, 1))
    model = mc.Model(image, mc.layers.Add()([inner(image), shared(image), inner(image)]))
    assert len(tiles(visualization.show_filters(model))) == 2


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("shape", [(9, 8), (9, 8, 1), (1, 9, 8), (1, 9, 8, 1)])
def test_feature_maps_are_what_the_layers_give(network, rng, shape, backend):
    mc.set_backend(backend)
    image = rng.random(shape)
    before, generator = image.copy(), mc.random._state.copy()
    figure = visualization.show_feature_maps(network, image, max_maps=4)
    np.testing.assert_array_equal(image, before)
    assert mc.random._state == generator  # drawing does not move the seeds of later models
    x = image.reshape(1, 9, 8, 1).astype(np.float32)
    expected, labels = [x[0, ..., 0]], [network.inputs[0].name]
    for layer in network.layers:
        x = layer(x)  # layer by layer, without a plan
        if x.ndim == 4:
            expected += [x[0, ..., channel] for channel in range(4)]
        elif layer.name == "flat":
            expected.append(x)  # a strip of all numbers
        else:
            expected += [x[:, number : number + 1] for number in range(3)]  # the decision
        labels.append(layer.name)
    for tile, values in zip(tiles(figure), expected, strict=True):
        np.testing.assert_allclose(tile, values, atol=1e-5)
    assert [label.split("\n")[0] for label in row_labels(figure)] == labels
    assert "7×6, 4 of 5 maps" in row_labels(figure)[1]


def test_feature_maps_of_chosen_layers_and_of_branches(network, rng):
    figure = visualization.show_feature_maps(network, rng.random((9, 8)), layers=["pool", network.get_layer("second")])
    assert [label.split("\n")[0] for label in row_labels(figure)][1:] == ["pool", "second"]
    one, two, shared = mc.Input((5, 5, 3)), mc.Input((4,)), mc.layers.Conv2D(2, 1, name="shared")
    joined = mc.layers.Add()([shared(one), shared(mc.layers.Activation("relu")(one))])
    merged = mc.layers.Concatenate()([mc.layers.GlobalMaxPooling2D()(joined), two])
    model = mc.Model([one, two], mc.layers.Dense(1)(merged))
    figure = visualization.show_feature_maps(model, [rng.random((5, 5, 3)), np.zeros(4)])
    labels = [label.split("\n")[0] for label in row_labels(figure)]
    vectors = ["concatenate", "dense_1", "global_max_pooling2d"]
    assert sorted(labels[1:]) == sorted(["activation", "add", "shared", "shared (call 2)", *vectors])
    drawn(figure)


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_feature_maps_inside_nested_models(rng, backend):
    """A model that is called twice, inside another one: its layers are shown each time, with what they got."""
    mc.set_backend(backend)
    inner = mc.Sequential([mc.Input((4, 4, 2)), mc.layers.Conv2D(2, 1, name="in1"), mc.layers.ReLU(name="in2")], "base")
    middle_input = mc.Input((4, 4, 2))
    middle = mc.Model(middle_input, inner(mc.layers.ZeroPadding2D(0, name="pad")(middle_input)), name="middle")
    image = mc.Input((4, 4, 2), name="image")
    head = mc.layers.Conv2D(1, 1, name="head")
    model = mc.Model(image, head(mc.layers.Add(name="sum")([middle(image), inner(image)])))
    x = rng.normal(size=(1, 4, 4, 2)).astype(np.float32)

    def labels_and_maps(**options):
        figure = visualization.show_feature_maps(model, x, **options)
        names = [label.split("\n")[0] for label in row_labels(figure)]
        assert names.pop(0) == "image"
        maps = iter(tiles(figure)[2:])
        return {name: np.stack([next(maps) for _ in range(1 if name == "head" else 2)], -1) for name in names}

    found = labels_and_maps()
    convolved = inner.get_layer("in1")(x)[0]
    expected = {"middle/pad": x[0], "middle/base/in1": convolved, "middle/base/in2": np.maximum(convolved, 0)}
    expected |= {"base/in1": convolved, "base/in2": np.maximum(convolved, 0), "sum": 2 * np.maximum(convolved, 0)}
    expected["head"] = head(expected["sum"][None])[0]
    assert found.keys() == expected.keys()
    for name, maps in expected.items():
        np.testing.assert_allclose(found[name], maps, atol=1e-5)
    for layers, names in (
        ("sum", ["sum"]),
        (head, ["head"]),
        ("base", ["base", "middle/base"]),
        (["base/in1"], ["base/in1", "middle/base/in1"]),
        ([inner.get_layer("in2"), "sum"], ["base/in2", "middle/base/in2", "sum"]),
    ):
        assert sorted(labels_and_maps(layers=layers)) == names


def test_a_layer_of_another_model_is_refused(network):
    """Also one of the same name."""
    other = mc.layers.MaxPooling2D(name="pool")
    for layers in (other, ["first", other]):
        with pytest.raises(ValueError, match=r"names or layers of model.*Received: .*which is not in this model"):
            visualization.show_feature_maps(network, np.zeros((9, 8)), layers=layers)


LONG_NAMES = ["a_convolution_whose_name_is_longer_than_any_label_should_ever_be_1", "W" * 60, "two words " * 5, "x"]


@pytest.mark.parametrize("draw", ["filters", "maps"])
def test_long_names_leave_room_for_the_tiles(draw):
    stack = [mc.layers.Conv2D(3, 3, padding="same", name=name) for name in LONG_NAMES]
    model = mc.Sequential([mc.Input((9, 8, 1)), *stack])
    if draw == "filters":
        figure = visualization.show_filters(model, max_channels=1)
    else:
        figure = visualization.show_feature_maps(model, np.zeros((9, 8)))
    drawn(figure)
    axes, renderer = figure.axes[0], figure.canvas.get_renderer()
    labels = [text.get_window_extent(renderer) for text in axes.get_yticklabels()]
    assert all(upper.y0 >= lower.y1 for upper, lower in itertools.pairwise(labels))
    assert min(box.x0 for box in labels) >= 0
    assert max(box.width for box in labels) < 3 * figure.dpi  # 24 of the widest letters
    assert max(box.y1 for box in labels) <= figure.bbox.y1
    (x0, y0), (x1, y1) = axes.transData.transform([(0, 0), (1, 1)])
    assert abs(x1 - x0) >= 0.85 * 0.62 * figure.dpi  # a tile has the size it should have
    assert abs(y1 - y0) == pytest.approx(abs(x1 - x0))
    for text, name in zip(axes.get_yticklabels()[-4:], LONG_NAMES, strict=True):
        shown_name = text.get_text().replace("\n", "")
        assert shown_name.startswith(name[:10].strip())


def test_training_goes_on_after_drawing(network, rng):
    """Drawing between two steps changes neither the weights nor the optimizer's state."""
    x, y = rng.random((8, 9, 8, 1)), rng.integers(0, 3, 8)
    start, results = network.get_weights(), []
    for draws in (False, True):
        network.set_weights(start)
        network.compile("adam", mc.losses.SparseCategoricalCrossentropy(from_logits=True))
        network.train_on_batch(x, y)
        if draws:
            visualization.show_feature_maps(network, x[0])
            visualization.show_filters(network)
        network.train_on_batch(x, y)
        results.append(network.get_weights())
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("draw", "error", "message"),
    [
        (
            lambda m: visualization.show_feature_maps(m, np.zeros((8, 8))),
            errors.ShapeError,
            r"\(9, 8, 1\).*resize_images",
        ),
        (
            lambda m: visualization.show_feature_maps(m, np.zeros((2, 9, 8))),
            errors.ShapeError,
            r"one image.*\(2, 9, 8\)",
        ),
        (lambda m: visualization.show_feature_maps(m, np.full((9, 8), "x")), errors.ShapeError, "real numbers"),
        (lambda m: visualization.show_feature_maps(m, np.zeros((9, 8)), ["pol"]), ValueError, "Did you mean 'pool'"),
        (
            lambda m: visualization.show_feature_maps(
                mc.Sequential([mc.Input((9, 8)), mc.layers.Conv1D(2, 3)]), np.zeros((9, 8))
            ),
            ValueError,
            "height and a width, or a vector",
        ),
        (lambda m: visualization.show_feature_maps(m, np.zeros((9, 8)), 3), TypeError, "or a list of them. Received"),
        (lambda m: visualization.show_feature_maps(m, np.zeros((9, 8)), [["pool"]]), ValueError, "layer of model"),
        (lambda m: visualization.show_feature_maps("m", np.zeros((9, 8))), TypeError, "takes a model"),
        (lambda m: visualization.show_filters(m.layers[-1]), TypeError, r"a Conv2D layer or a model. Received: Dense"),
        (lambda m: visualization.show_filters(mc.layers.Conv2D(2, 3)), errors.NotBuiltError, "has no weights yet"),
        (lambda m: visualization.show_filters(m, max_filters=0), ValueError, "max_filters"),
        (
            lambda m: visualization.show_filters(mc.Sequential([mc.Input((3,)), mc.layers.Dense(2)])),
            ValueError,
            "has none",
        ),
        (
            lambda m: visualization.show_feature_maps(mc.Sequential([mc.layers.Conv2D(2, 3)]), np.zeros((9, 8))),
            errors.NotBuiltError,
            "is not built",
        ),
    ],
)
def test_what_has_no_filters_or_maps(network, draw, error, message):
    with pytest.raises(error, match=message):
        draw(network)


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_strange_weights_are_drawn_all_the_same(network, value):
    network.set_weights([np.full_like(w, value) for w in network.get_weights()])
    drawn(visualization.show_filters(network))
    drawn(visualization.show_feature_maps(network, np.zeros((9, 8))))
    colour = mc.Sequential([mc.Input((4, 4, 3)), mc.layers.Conv2D(2, 3)])
    colour.set_weights([np.full_like(w, value) for w in colour.get_weights()])
    drawn(visualization.show_filters(colour))


# ---------------------------------------------------------------------------------------------------------- matplotlib


def test_drawing_needs_no_display_and_leaves_pyplot_alone():
    program = (
        "import sys, minicnn as mc, numpy as np\n"
        "mc.visualization\n"
        "assert 'matplotlib' not in sys.modules\n"
        "figure = mc.visualization.show_images(np.zeros((2, 4, 4)))\n"
        "assert figure._repr_png_().startswith(b'\\x89PNG')\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    environment = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "MPLBACKEND")}
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environment, check=True)


def test_without_matplotlib_the_error_says_how_to_get_it(monkeypatch):
    figures.figure_class.cache_clear()
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    model = mc.Sequential([mc.Input((4, 4, 1)), mc.layers.Conv2D(2, 3)])
    for draw in (
        lambda: visualization.plot_history(CURVES),
        lambda: visualization.show_images(np.zeros((1, 2, 2))),
        lambda: visualization.show_prediction(np.zeros((2, 2)), [0.5, 0.5]),
        lambda: visualization.show_filters(model),
        lambda: visualization.show_feature_maps(model, np.zeros((4, 4))),
        lambda: visualization.plot_confusion_matrix([0], [0]),
        lambda: visualization.plot_model(model),
    ):
        with pytest.raises(ImportError, match=r"pip install minicnn\[plot\]"):
            draw()


@pytest.mark.parametrize(
    ("show", "further"), [(visualization.show_images, ()), (visualization.show_prediction, ([1],))]
)
def test_what_is_no_image_is_named(show, further):
    """A model where images belong, as other functions have it."""
    with pytest.raises(ValueError, match=r"takes one.*Received: a Sequential$"):
        show(mc.Sequential(), *further)
