"""Figures: what is drawn, what is refused, and that nothing but matplotlib's Figure is touched."""

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import minicnn as mc
from minicnn import visualization
from minicnn.callbacks import History

pytest.importorskip("matplotlib")

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


def test_something_else_is_no_history():
    with pytest.raises(TypeError, match=r"what fit returned.*Received: list"):
        visualization.plot_history([1.0, 0.5])


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
    assert drawn(figure).std() > 0


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


@pytest.mark.parametrize("shape", [(6, 5), (2, 6, 5, 2), (2, 6, 5, 4), (0, 6, 5), (2, 0, 5)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match=r"show_images takes .* Received: shape"):
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


@pytest.mark.parametrize("columns", [0, 1.5])
def test_columns_are_counted(columns):
    with pytest.raises(ValueError, match="columns"):
        visualization.show_images(np.zeros((3, 4, 4)), columns=columns)


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
    visualization._figure_class.cache_clear()
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pip install minicnn\[plot\]"):
        visualization.plot_history(CURVES)
