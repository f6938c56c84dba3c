"""Diagrams of models: the layout alone, what the boxes say, and that nothing overlaps or is cut off."""

import io
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minicnn as mc
from minicnn import layers
from minicnn.errors import NotBuiltError
from minicnn.visualization import layout, plot_model

pytest.importorskip("matplotlib")
pytestmark = pytest.mark.filterwarnings("error")


# ------------------------------------------------------------------------------------------------------------- layout


@st.composite
def graphs(draw):
    """(sizes, edges) of a directed graph without cycles."""
    count = draw(st.integers(1, 9))
    side = st.floats(0.2, 3)
    sizes = draw(st.lists(st.tuples(side, side), min_size=count, max_size=count))
    pairs = list(itertools.combinations(range(count), 2))
    return sizes, draw(st.lists(st.sampled_from(pairs), max_size=14)) if pairs else []


def edges_of(centre, size):
    """(left, right, upper, lower) edge of a box."""
    (x, y), (width, height) = centre, size
    return x - width / 2, x + width / 2, y - height / 2, y + height / 2


@given(graph=graphs())
def test_boxes_lie_apart_inside_and_below_what_they_read(graph):
    sizes, edges = graph
    result = layout.layered(sizes, edges)
    boxes = [edges_of(*box) for box in zip(result.centres, sizes, strict=True)]
    for left, right, top, bottom in boxes:
        assert left > -1e-9
        assert right < result.size[0] + 1e-9
        assert top > -1e-9
        assert bottom < result.size[1] + 1e-9
    for a, b in itertools.combinations(boxes, 2):
        assert a[1] < b[0] or b[1] < a[0] or a[3] < b[2] or b[3] < a[2]
    for start, end in edges:
        assert boxes[start][3] < boxes[end][2]


@given(graph=graphs())
def test_arrows_go_down_from_box_to_box_and_around_others(graph):
    sizes, edges = graph
    result = layout.layered(sizes, edges)
    boxes = [edges_of(*box) for box in zip(result.centres, sizes, strict=True)]
    assert set(result.paths) == set(edges)
    for (start, end), points in result.paths.items():
        assert boxes[start][0] <= points[0][0] <= boxes[start][1]
        assert points[0][1] == pytest.approx(boxes[start][3])
        assert boxes[end][0] <= points[-1][0] <= boxes[end][1]
        assert points[-1][1] == pytest.approx(boxes[end][2])
        assert all(a[1] <= b[1] + 1e-9 for a, b in itertools.pairwise(points))
        for (x, top), (_, bottom) in zip(points[::2], points[1::2], strict=True):  # the straight pieces
            for number, (left, right, upper, lower) in enumerate(boxes):
                if number not in (start, end):
                    assert not (left < x < right and top < lower - 1e-9 and bottom > upper + 1e-9)


def test_a_chain_is_straight():
    result = layout.layered([(1, 1), (3, 1), (0.5, 1), (2, 1)], [(0, 1), (1, 2), (2, 3)])
    np.testing.assert_allclose([x for x, _ in result.centres], 1.5)
    assert result.size[0] == pytest.approx(3)


def test_a_skip_passes_beside_a_chain():
    """A residual block: the chain stays straight, and the skip is one straight line beside it."""
    result = layout.layered([(2, 1)] * 5, [(0, 1), (1, 2), (2, 3), (3, 4), (0, 4)])
    assert np.ptp([x for x, _ in result.centres]) < 0.05
    beside = [x for x, _ in result.paths[0, 4][2:-2]]
    assert np.ptp(beside) < 0.05
    assert min(abs(x - result.centres[0][0]) for x in beside) > 1


def test_crossings_are_counted_and_avoided():
    edges = [(0, 3), (1, 2), (0, 2), (1, 3), (4, 6), (5, 7)]
    assert layout._crossings([[0, 1], [2, 3]], edges[:4]) == 1
    assert layout._crossings([[0, 1], [2, 3]], [(0, 3), (1, 2)]) == 1
    assert layout._crossings([[0, 1], [3, 2]], [(0, 3), (1, 2)]) == 0
    assert layout._crossings([[0], [2, 3]], [(0, 2), (0, 3)]) == 0
    result = layout.layered([(1, 1)] * 4, [(0, 3), (1, 2)])
    (a, b, c, d) = (x for x, _ in result.centres)
    assert (a < b) == (d < c)


def test_arrows_at_one_box_do_not_cross():
    result = layout.layered([(1, 1)] * 5, [(0, 1), (0, 2), (0, 3), (1, 4), (2, 4), (3, 4)])
    middle = sorted((1, 2, 3), key=lambda box: result.centres[box][0])
    starts, ends = (
        [result.paths[edge][end][0] for edge in edges]
        for edges, end in (([(0, box) for box in middle], 0), ([(box, 4) for box in middle], -1))
    )
    assert starts == sorted(starts)
    assert ends == sorted(ends)
    assert len({*starts}) == len({*ends}) == 3


def test_inputs_stand_just_above_what_reads_them():
    result = layout.layered([(1, 1)] * 5, [(0, 1), (1, 2), (2, 4), (3, 4)])
    assert result.centres[3][1] == result.centres[2][1]


@given(
    wanted=st.lists(st.floats(-5, 5), min_size=1, max_size=6),
    seed=st.integers(0, 2**31),
)
def test_positions_are_the_nearest_that_keep_their_distance(wanted, seed):
    """No feasible point found at random is better than the result."""
    rng = np.random.default_rng(seed)
    weights, distances = rng.uniform(0.1, 3, len(wanted)), rng.uniform(0, 2, len(wanted) - 1)
    found = np.array(layout._apart(wanted, list(weights), list(distances)))
    assert (np.diff(found) >= distances - 1e-9).all()
    cost = (weights * (found - wanted) ** 2).sum()
    for scale in (1e-3, 0.1, 2):
        other = found + scale * rng.normal(size=found.shape)
        for i, distance in enumerate(distances):
            other[i + 1] = max(other[i + 1], other[i] + distance)
        assert cost <= (weights * (other - wanted) ** 2).sum() + 1e-9


# --------------------------------------------------------------------------------------------------------------- text


def lenet():
    return mc.Sequential(
        [
            mc.Input((28, 28, 1)),
            layers.Conv2D(6, 5, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(10, activation="softmax"),
        ]
    )


def texts(figure):
    """All lines, with plain spaces."""
    return [text.get_text().replace("\xa0", " ") for text in figure.axes[0].texts]


def arrows(figure):
    from matplotlib.patches import FancyArrowPatch

    return [patch for patch in figure.axes[0].patches if isinstance(patch, FancyArrowPatch)]


def test_a_box_for_each_layer():
    figure = plot_model(lenet())
    assert texts(figure) == ["Conv2D", "MaxPooling2D", "Flatten", "Dense"]
    assert len(arrows(figure)) == 3


def test_what_the_boxes_say():
    model = lenet()
    assert texts(plot_model(model, show_layer_names=True))[:2] == ["conv2d (Conv2D)", "max_pooling2d (MaxPooling2D)"]
    expected = ["Conv2D", "input: (None, 28, 28, 1)", "output: (None, 24, 24, 6)", "MaxPooling2D"]
    assert texts(plot_model(model, show_shapes=True))[:4] == expected
    expected = ["Conv2D", "activation: relu", "MaxPooling2D", "Flatten", "Dense", "activation: softmax"]
    assert texts(plot_model(model, show_layer_activations=True)) == expected
    model.layers[0].trainable = False
    lines = texts(plot_model(model, show_trainable=True, show_dtype=True))
    assert lines[:5] == ["Conv2D", "dtype: float32", "trainable: False", "MaxPooling2D", "dtype: float32"]
    assert lines[-1] == "trainable: True"


def test_layers_of_the_room_of_keras_have_the_colours_of_the_library():
    from matplotlib.patches import FancyBboxPatch

    from minicnn import keras

    def colours(model):
        return [p.get_facecolor() for p in plot_model(model).axes[0].patches if isinstance(p, FancyBboxPatch)]

    parts = [
        (keras.layers.Conv2D, 6, 5),
        (keras.layers.MaxPooling2D,),
        (keras.layers.Flatten,),
        (keras.layers.Dense, 10),
    ]
    model = keras.Sequential([keras.Input((28, 28, 1)), *(kind(*arguments) for kind, *arguments in parts)])
    assert colours(model) == colours(lenet()) and len(set(colours(model))) > 2


def branched():
    """Two inputs, two outputs, a residual connection, a shared layer and a nested model with branches."""
    inner_in = mc.Input((8, 8, 1), name="inner_in")
    both = layers.Add()([layers.Conv2D(2, 3, padding="same")(inner_in), layers.Conv2D(2, 1)(inner_in)])
    inner = mc.Model(inner_in, both, name="a $nested$ model")
    one, two = mc.Input((8, 8, 1), name="one"), mc.Input((8, 8, 1), name="two")
    shared = layers.Conv2D(2, 3, padding="same", name="shared")
    merged = layers.Concatenate()([shared(one), shared(two), inner(two)])
    skip = layers.Add()([merged, layers.ReLU()(layers.Conv2D(6, 3, padding="same")(merged))])
    pooled = layers.GlobalAveragePooling2D()(skip)
    return mc.Model([one, two], [layers.Dense(3, name="left")(pooled), layers.Dense(1, name="right")(pooled)])


@pytest.mark.parametrize("rankdir", ["TB", "BT", "LR", "RL"])
def test_branches_shared_layers_and_nested_models(rankdir):
    model = branched()
    figure = plot_model(model, show_layer_names=True, rankdir=rankdir)
    titles = texts(figure)
    assert len(titles) == len(model.graph.nodes) == 12
    assert "shared (Conv2D), call 2" in titles
    assert r"a \$nested\$ model (Model)" in titles  # not a formula
    assert len(arrows(figure)) == sum(len(node.inputs) for node in model.graph.nodes)
    expanded = plot_model(model, show_layer_names=True, rankdir=rankdir, expand_nested=True)
    assert len(texts(expanded)) == 12 + 4
    assert "inner_in (InputLayer)" in texts(expanded)
    places = {text.get_text(): np.array(text.get_position()) for text in expanded.axes[0].texts}
    direction = {"TB": (0, 1), "BT": (0, -1), "LR": (1, 0), "RL": (-1, 0)}[rankdir]
    for start, end in (("one (InputLayer)", "shared (Conv2D)"), ("add_1 (Add)", "left (Dense)")):
        assert (places[end] - places[start]) @ direction > 0


@pytest.mark.parametrize("rankdir", ["TB", "RL"])
@pytest.mark.parametrize("make", [lenet, branched])
def test_text_stays_inside_its_box_and_the_picture(make, rankdir):
    figure = plot_model(
        make(), show_shapes=True, show_layer_names=True, show_dtype=True, expand_nested=True, rankdir=rankdir
    )
    figure.canvas.draw()
    axes, renderer = figure.axes[0], figure.canvas.get_renderer()
    boxes = [p.get_window_extent(renderer) for p in axes.patches if p not in arrows(figure)]
    written = [text.get_window_extent(renderer) for text in axes.texts]
    for text in written:
        assert figure.bbox.x0 < text.x0 < text.x1 < figure.bbox.x1
        assert figure.bbox.y0 < text.y0 < text.y1 < figure.bbox.y1
        assert any(b.x0 < text.x0 and text.x1 < b.x1 and b.y0 < text.y0 and text.y1 < b.y1 for b in boxes)
    for a, b in itertools.combinations(written, 2):
        assert not (a.x0 < b.x1 - 1 and b.x0 < a.x1 - 1 and a.y0 < b.y1 - 3 and b.y0 < a.y1 - 3)


def test_layers_of_the_users_own_are_drawn():
    class Mystery(layers.Layer):
        def build(self, input_shapes):
            return input_shapes[0]

        def forward(self, xs, ws):
            np.sin(xs[0], out=ws.y)

    model = mc.Sequential([mc.Input((3,)), Mystery(), layers.Dense(2)])
    assert texts(plot_model(model, show_shapes=True, show_trainable=True))[0] == "Mystery"


def test_a_model_that_begins_inside_another_one():
    image = mc.Input((4, 4, 1))
    middle = layers.Conv2D(2, 3, name="middle")(image)
    model = mc.Model(middle, layers.Flatten()(middle))
    assert texts(plot_model(model, show_shapes=True, show_layer_names=True)) == [
        "middle (InputLayer)",
        "output: (None, 2, 2, 2)",
        "flatten (Flatten)",
        "input: (None, 2, 2, 2)",
        "output: (None, 8)",
    ]


def test_an_input_alone_is_drawn():
    assert texts(plot_model(mc.Sequential([mc.Input((3,))]))) == ["InputLayer"]


# -------------------------------------------------------------------------------------------------------------- files


@pytest.mark.parametrize("name", ["model.png", "model.pdf", "model.svg", "MODEL.PNG"])
def test_the_picture_is_saved(tmp_path, name):
    figure = mc.utils.plot_model(lenet(), tmp_path / name)
    start = (tmp_path / name).read_bytes()[:5]
    assert start.startswith({"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xml"}[name[-3:].lower()])
    assert figure.dpi == 200


def test_a_picture_too_large_to_draw_gets_fewer_pixels():
    deep = mc.Sequential([mc.Input((2,)), *(layers.Dense(2) for _ in range(120))])
    figure = plot_model(deep, dpi=2000)
    width, height = figure.get_size_inches() * figure.dpi
    assert max(width, height) < 2**16
    assert width * height < 1e8
    figure = plot_model(lenet(), dpi=50)
    file = io.BytesIO()
    figure.savefig(file)
    assert figure.dpi == 50


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"model": "model"}, TypeError, r"draws a model\. Received: 'model'"),
        ({"model": layers.Dense(3)}, TypeError, r"draws a model\. Received: Dense"),
        ({"model": mc.Sequential([layers.Dense(3)])}, NotBuiltError, r"not built.*start with Input"),
        ({"rankdir": "XY"}, ValueError, r"`rankdir` must be one of 'TB'"),
        ({"dpi": 0}, ValueError, r"`dpi` must be a finite number greater than 0"),
        ({"to_file": "model.txt"}, ValueError, r"saved as .*\.png.* Received: to_file='model.txt'"),
        ({"to_file": "no/such/folder/model.png"}, FileNotFoundError, r"the folder 'no/such/folder' does not exist"),
        ({"to_file": "."}, IsADirectoryError, r"names the picture"),
    ],
)
def test_what_cannot_be_drawn_or_saved(arguments, error, message):
    with pytest.raises(error, match=message):
        plot_model(**({"model": lenet()} | arguments))
