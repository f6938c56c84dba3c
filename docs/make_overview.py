"""The picture at the top of README, overview.png: a digit in LeNet-5. ``python docs/make_overview.py`` draws it.

The network is `lenet5.safetensors`, which `make_gallery.py` trained; the digit is one of the package's.
"""

from itertools import pairwise
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import ConnectionPatch
from PIL import Image

import minicnn as mc

DOCS = Path(__file__).resolve().parent
INK, PAPER, MUTED, ACCENT = "#1f2933", "#ffffff", "#8a94a0", "#c2410c"
DIGIT = 7
CODE = """\
model = mc.Sequential([
    mc.Input(shape=(28, 28, 1)),
    layers.Conv2D(6, 5, activation="relu"),
    layers.MaxPooling2D(2),
    layers.Conv2D(16, 5, activation="relu"),
    layers.MaxPooling2D(2),
    layers.Flatten(),
    layers.Dense(120, activation="relu"),
    layers.Dense(84, activation="relu"),
    layers.Dense(10, activation="softmax"),
])
model.compile("adam", "sparse_categorical_crossentropy")
model.fit(x_train, y_train, epochs=5)
mc.export_html(model, "digits.html")"""


def values(model, image):
    """The maps of both convolutions, (24, 24, 6) and (8, 8, 16), and the probabilities, (10,)."""
    first, second = (layer for layer in model.layers if isinstance(layer, mc.layers.Conv2D))
    inside = mc.Model(model.inputs, [first.output, second.output, model.outputs[0]])
    return [value[0] for value in inside.predict(image[None, ..., None])]


def tiled(maps, columns):
    """Maps (H, W, C) side by side, with gaps between them, as one picture."""
    height, width, count = maps.shape
    rows = -(-count // columns)
    whole = np.full((rows * (height + 1) - 1, columns * (width + 1) - 1), np.nan)
    for n in range(count):
        top, left = n // columns * (height + 1), n % columns * (width + 1)
        whole[top : top + height, left : left + width] = maps[..., n] / maps.max()
    return whole


def panel(figure, place, title):
    """Axes without ticks and frame."""
    axes = figure.add_axes(place)
    axes.set_title(title, fontsize=10, color=INK)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    return axes


def arrow(figure, left, right):
    """From one panel to the next."""
    ends = {"axesA": left, "axesB": right, "arrowstyle": "->", "color": MUTED, "lw": 1.5}
    figure.add_artist(ConnectionPatch((1.04, 0.5), (-0.04, 0.5), "axes fraction", "axes fraction", **ends))


def main():
    """Compute, draw, and write the file with few colours."""
    (x, y), _ = mc.datasets.digits.load_data(upscale=True)
    model = mc.load_model(DOCS / "lenet5.safetensors")
    images = x[y == DIGIT] / 255  # (n, 28, 28)
    image = images[model.predict(images[..., None])[:, DIGIT].argmax()]  # the clearest
    first, second, probabilities = values(model, image)

    figure = Figure((12, 3.2), facecolor=PAPER)
    code = panel(figure, (0.015, 0.04, 0.33, 0.92), "")
    code.text(0, 0.5, CODE, family="monospace", fontsize=8, color=INK, va="center", linespacing=1.45)
    places = [(0.365, 0.22, 0.13, 0.5), (0.53, 0.08, 0.16, 0.78), (0.725, 0.22, 0.13, 0.5), (0.905, 0.08, 0.085, 0.78)]
    titles = ["28 × 28 pixels", "6 maps, 24 × 24", "16 maps, 8 × 8", f"it is a {probabilities.argmax()}"]
    axes = [panel(figure, place, title) for place, title in zip(places, titles, strict=True)]
    axes[0].imshow(image, cmap="gray")
    for ax, maps, columns in ((axes[1], first, 2), (axes[2], second, 4)):
        ax.imshow(tiled(maps, columns), cmap="viridis", vmin=0, vmax=1)
    bars = axes[3].barh(range(10), probabilities, color=MUTED)
    bars[int(probabilities.argmax())].set_color(ACCENT)
    axes[3].set(yticks=range(10), ylim=(9.6, -0.6), xlim=(0, 1))
    axes[3].tick_params(length=0, labelsize=9, labelcolor=INK)
    for left, right in pairwise(axes[:3]):
        arrow(figure, left, right)
    figure.add_artist(
        ConnectionPatch((0.862, 0.47), (0.885, 0.47), "figure fraction", arrowstyle="->", color=MUTED, lw=1.5)
    )
    path = DOCS / "overview.png"
    figure.savefig(path, dpi=140)
    Image.open(path).convert("RGB").quantize(128, dither=Image.Dither.NONE).save(path, optimize=True)


if __name__ == "__main__":
    main()
