"""The figures of the learner's path, as SVG, from the numbers that the pages compute: `python docs/figures.py`.

Shapes are drawn by hand here, so that the files are small, sharp and the same on every machine. Words stand in the
pages, which there are in two languages.
"""

import base64
import io
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np

import minicnn as mc
from minicnn.functional import avg_pool2d, conv2d, max_pool2d

FOLDER = Path(__file__).parent / "figures"
CELL = 34  # pixels
INK, LINE, PAPER = "#1b1b1b", "#9a9a9a", "#ffffff"
WINDOW, WINNER, FRAME = "#d94801", "#fdd0a2", "#ececec"
BLUE, PALE = "#2171b5", "#deebf7"
LETTER = 0.6 * np.array([[*map(int, row)] for row in ("000000", "001100", "010010", "011110", "010010", "000000")])
SOBEL = np.array([[1, 0, -1], [2, 0, -2], [1, 0, -1]])


class Drawing:
    """An SVG file that grows: rectangles, words, arrows."""

    def __init__(self, width, height):
        self.width, self.height, self.parts = width, height, []

    def rectangle(self, x, y, width, height, fill="none", stroke=LINE, thickness=1):
        self.parts.append(
            f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" fill="{fill}" stroke="{stroke}" '
            f'stroke-width="{thickness}"/>'
        )

    def text(self, x, y, words, size=14, fill=INK, weight="normal"):
        self.parts.append(
            f'<text x="{x:g}" y="{y:g}" font-size="{size}" fill="{fill}" font-weight="{weight}">{escape(words)}</text>'
        )

    def arrow(self, x, y, to_x, to_y, color=INK):
        self.parts.append(
            f'<line x1="{x:g}" y1="{y:g}" x2="{to_x:g}" y2="{to_y:g}" stroke="{color}" stroke-width="1.5" '
            'marker-end="url(#tip)"/>'
        )

    def grid(self, x, y, values, fills=None, form="{:g}", cell=CELL):
        """Numbers in cells; `fills` says the colours."""
        for (row, column), value in np.ndenumerate(np.asarray(values)):
            fill = PAPER if fills is None else fills[row][column]
            left, top = x + column * cell, y + row * cell
            self.rectangle(left, top, cell, cell, fill)
            ink = PAPER if fill.startswith("#") and int(fill[1:3], 16) < 110 else INK
            words = form.format(value + 0.0).replace("-", "−")
            self.text(left + cell / 2, top + cell / 2, words, cell * (0.38 if len(words) < 4 else 0.31), ink)

    def pixels(self, x, y, values, side):
        """A picture without numbers; `values` from 0, black, to 1, white."""
        png = io.BytesIO()
        pixels = np.round(255 * np.clip(values, 0, 1))[..., np.newaxis]
        mc.images.array_to_img(pixels, scale=False).save(png, "png")
        data = base64.b64encode(png.getvalue()).decode()
        self.parts.append(
            f'<image x="{x:g}" y="{y:g}" width="{side:g}" height="{side:g}" style="image-rendering: pixelated" '
            f'href="data:image/png;base64,{data}"/>'
        )
        self.rectangle(x, y, side, side)

    def window(self, x, y, row, column, rows, columns, cell=CELL):
        self.rectangle(x + column * cell, y + row * cell, columns * cell, rows * cell, "none", WINDOW, 3)

    def save(self, name):
        """Write the file, on white paper: pages have a dark form too."""
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width:g} {self.height:g}" '
            f'width="{self.width:g}" height="{self.height:g}" font-family="DejaVu Sans, Verdana, sans-serif" '
            'text-anchor="middle" dominant-baseline="central">\n'
            '<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" '
            'markerHeight="8" orient="auto">'
            f'<path d="M0 0L10 5L0 10z" fill="{INK}"/></marker></defs>\n'
            f'<rect width="100%" height="100%" fill="{PAPER}"/>\n'
        )
        FOLDER.mkdir(exist_ok=True)
        (FOLDER / name).write_text(head + "\n".join(self.parts) + "\n</svg>\n", encoding="utf-8")


def grey(value):
    return "#" + f"{round(255 * float(np.clip(value, 0, 1))):02x}" * 3


def shades(values):
    """Pale colours for cells whose numbers are to be read: blue for what is positive, orange for what is negative."""
    part = np.asarray(values, dtype=float) / np.max(np.abs(values))
    toward = {True: (255, 185, 120), False: (130, 180, 255)}
    return [
        ["#" + "".join(f"{round(255 + abs(p) * (end - 255)):02x}" for end in toward[p < 0]) for p in row]
        for row in part
    ]


def pixels():
    digit = mc.datasets.digits.load_data()[0][0][0]
    drawing = Drawing(8 * CELL * 2 + 60, 8 * CELL + 30)
    drawing.grid(8 * CELL + 45, 15, digit, [[grey(v / 255) for v in row] for row in digit], "{:.0f}")
    drawing.pixels(15, 15, digit / 255, 8 * CELL)
    drawing.save("pixels.svg")


def kernels():
    result = conv2d(LETTER, SOBEL)
    drawing = Drawing(600, 6 * CELL + 30)
    drawing.grid(15, 15, LETTER, shades(LETTER))
    drawing.window(15, 15, 0, 0, 3, 3)
    drawing.text(245, 15 + 3 * CELL, "×", 24)
    drawing.grid(270, 15 + 1.5 * CELL, SOBEL)
    drawing.rectangle(270, 15 + 1.5 * CELL, 3 * CELL, 3 * CELL, "none", WINDOW, 3)
    drawing.text(400, 15 + 3 * CELL, "=", 24)
    drawing.grid(440, 15 + CELL, result, shades(result), "{:.1f}")
    drawing.window(440, 15 + CELL, 0, 0, 1, 1)
    drawing.save("kernels.svg")


def filters():
    digit = mc.datasets.digits.load_data(upscale=True)[0][0][0] / 255
    kernels = (
        [[0, 0, 0], [0, 1, 0], [0, 0, 0]],
        [[1 / 9] * 3] * 3,
        [[0, -1, 0], [-1, 5, -1], [0, -1, 0]],
        SOBEL,
        SOBEL.T,
    )
    drawing = Drawing(5 * 130 + 15, 160)
    names = (
        "0 0 0 / 0 1 0 / 0 0 0",
        "1/9 …",
        "0 −1 0 / −1 5 −1 / 0 −1 0",
        "1 0 −1 / 2 0 −2 / 1 0 −1",
        "1 2 1 / 0 0 0 / −1 −2 −1",
    )
    for place, (kernel, name) in enumerate(zip(kernels, names, strict=True)):
        map_ = conv2d(digit, np.array(kernel))
        has_signs = place >= 3  # 0 is grey in the middle
        drawing.pixels(15 + place * 130, 15, 0.5 + map_ / 8 if has_signs else map_, 115)
        drawing.text(15 + place * 130 + 57, 145, name, 9)
    drawing.save("filters.svg")


def padding():
    picture = np.array([[1, 2, 0, 1], [0, 1, 3, 0], [2, 1, 1, 2], [0, 0, 1, 1]])
    kernel = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]])
    framed = np.pad(picture, 1)
    inside = np.pad(np.ones((4, 4), dtype=bool), 1)
    drawing = Drawing(600, 6 * CELL + 30)
    drawing.grid(15, 15, framed, [[PAPER if is_inside else FRAME for is_inside in row] for row in inside])
    drawing.rectangle(15 + CELL, 15 + CELL, 4 * CELL, 4 * CELL, "none", INK, 2)
    drawing.window(15, 15, 0, 0, 3, 3)
    drawing.text(245, 15 + 3 * CELL, "×", 24)
    drawing.grid(270, 15 + 1.5 * CELL, kernel)
    drawing.rectangle(270, 15 + 1.5 * CELL, 3 * CELL, 3 * CELL, "none", WINDOW, 3)
    drawing.text(400, 15 + 3 * CELL, "=", 24)
    drawing.grid(440, 15 + CELL, conv2d(picture, kernel, padding="same"))
    drawing.window(440, 15 + CELL, 0, 0, 1, 1)
    drawing.save("padding.svg")


def stride():
    picture = np.arange(25).reshape(5, 5)
    kernel = np.array([[0, 0, 0], [0, 1, 0], [0, 0, 1]])
    result = conv2d(picture, kernel, strides=2)
    colors = "#d94801", "#2171b5", "#238b45", "#6a51a3"
    drawing = Drawing(520, 5 * CELL + 30)
    drawing.grid(15, 15, picture)
    drawing.grid(380, 15 + 1.5 * CELL, result)
    for place, color in enumerate(colors):
        row, column = divmod(place, 2)
        inset = 3 + 2 * place  # windows overlap: none hides another
        side = 3 * CELL - 2 * inset
        drawing.rectangle(15 + 2 * column * CELL + inset, 15 + 2 * row * CELL + inset, side, side, "none", color, 2.5)
        drawing.rectangle(380 + column * CELL + 2, 15 + (1.5 + row) * CELL + 2, CELL - 4, CELL - 4, "none", color, 2.5)
    drawing.grid(230, 15 + CELL, kernel)
    drawing.text(208, 15 + 2.5 * CELL, "×", 24)
    drawing.text(357, 15 + 2.5 * CELL, "=", 24)
    drawing.save("stride.svg")


def pooling():
    rows = [[12, 5, 3, 9, 1, 23], [8, 6, 55, 6, 13, 62], [41, 8, 3, 51, 22, 27]]
    picture = np.array([*rows, [32, 67, 53, 12, 26, 17], [9, 22, 15, 8, 57, 62], [23, 53, 25, 75, 12, 9]])
    largest = np.kron(max_pool2d(picture, 2), np.ones((2, 2)))
    drawing = Drawing(570, 6 * CELL + 50)
    fills = [[WINNER if is_winner else PAPER for is_winner in row] for row in picture == largest]
    drawing.grid(15, 15, picture, fills)
    for row in range(3):
        for column in range(3):
            drawing.rectangle(15 + 2 * column * CELL, 15 + 2 * row * CELL, 2 * CELL, 2 * CELL, "none", INK, 2)
    drawing.arrow(228, 15 + 3 * CELL, 252, 15 + 3 * CELL)
    drawing.grid(265, 15 + 1.5 * CELL, max_pool2d(picture, 2), [[WINNER] * 3] * 3)
    drawing.text(265 + 1.5 * CELL, 15 + 5 * CELL, "max", 15)
    wide = 50
    drawing.grid(400, 15 + 3 * CELL - 1.5 * wide, avg_pool2d(picture, 2), None, "{:.2f}", wide)
    drawing.text(400 + 1.5 * wide, 15 + 3 * CELL + 1.5 * wide + 18, "mean", 15)
    drawing.save("pooling.svg")


def backprop():
    """The worked example: values on top, weights in the middle, gradients in blue."""
    x, kernel, dense = (
        np.array([[1, 2, 0], [0, 1, 3], [4, 1, 1]]),
        np.array([[1, 0], [-1, 1]]),
        np.array([[1, -1], [2, 2]]),
    )
    z = conv2d(x, kernel) + 1
    a = np.maximum(z, 0)
    d_a = 2 * dense
    d_z = d_a * (z > 0)
    d_x = np.zeros((3, 3))
    for i, j in np.ndindex(2, 2):
        d_x[i : i + 2, j : j + 2] += kernel * d_z[i, j]
    drawing = Drawing(760, 420)
    values = {
        "x": (15, x, d_x),
        "z": (275, z, d_z),
        "ReLU": (405, a, d_a),
        "ŷ": (610, [[2]], [[2]]),
        "(ŷ − 1)²": (700, [[1]], None),
    }
    places = list(values.values())
    for (name, (left, numbers, gradient)), following in zip(values.items(), [*places[1:], None], strict=True):
        width = CELL * np.shape(numbers)[1]
        drawing.text(left + width / 2, 18, name, 14, INK, "bold")
        drawing.grid(left, 36, numbers)
        if gradient is not None:
            drawing.grid(left, 300, gradient, [[PALE] * len(row) for row in gradient])
            drawing.text(left + width / 2, 284, f"∂L / ∂{name}", 13, BLUE)
        if following:
            drawing.arrow(left + width + 8, 36 + CELL, following[0] - 8, 36 + CELL)
        if following and following[2] is not None:
            drawing.arrow(following[0] - 8, 300 + CELL, left + width + 8, 300 + CELL, BLUE)
    for left, numbers, gradient, bias, d_bias in ((125, kernel, conv2d(x, d_z), 1, 4), (480, dense, 2 * a, 0, 2)):
        drawing.grid(left, 150, numbers)
        drawing.grid(left + 82, 150, gradient, [[PALE] * 2] * 2)
        drawing.text(left + CELL, 150 + 2.5 * CELL, f"+ {bias}", 13)
        drawing.text(left + 82 + CELL, 150 + 2.5 * CELL, f"{d_bias}", 13, BLUE)
        middle = left + CELL + (41 if left < 200 else 60)
        drawing.arrow(middle - 12, 142, middle - 12, 36 + CELL + 6)
        drawing.arrow(middle + 12, 300 + CELL - 6, middle + 12, 258, BLUE)
    drawing.save("backprop.svg")


def lenet5():
    sizes = (
        ("28 × 28 × 1", 28, 1),
        ("24 × 24 × 6", 24, 6),
        ("12 × 12 × 6", 12, 6),
        ("8 × 8 × 16", 8, 16),
        ("4 × 4 × 16", 4, 16),
    )
    drawing = Drawing(860, 250)
    left, middle, scale, step = 15, 110, 4, 5
    for place, (name, side, count) in enumerate(sizes):
        length = side * scale
        whole = length + (count - 1) * step
        for map_ in range(count):
            shift = map_ * step
            drawing.rectangle(
                left + shift, middle - whole / 2 + shift, length, length, "#deebf7" if place else "#dddddd", "#2171b5"
            )
        drawing.text(left + whole / 2, 222, name, 12)
        if place < 4:
            drawing.arrow(left + whole + 8, middle, left + whole + 34, middle)
            drawing.text(left + whole + 21, middle - 14, ("5×5", "2×2", "5×5", "2×2")[place], 10)
        left += whole + 42
    for units in (120, 84, 10):
        drawing.arrow(left - 34, middle, left - 8, middle)
        height = max(units * 1.6, 24)
        drawing.rectangle(left, middle - height / 2, 14, height, "#fdd0a2", "#d94801")
        drawing.text(left + 7, 222, str(units), 12)
        left += 56
    drawing.width = left - 20
    drawing.save("lenet5.svg")


FIGURES = (pixels, kernels, filters, padding, stride, pooling, backprop, lenet5)

if __name__ == "__main__":
    for figure in FIGURES:
        figure()
