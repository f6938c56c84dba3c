"""ONNX files of networks whose inputs have sizes None: what onnxruntime computes for several sizes."""

import numpy as np
import pytest
from onnx_files import TOLERANCE, exported, make_file, predict, run_file
from oracles import assert_close, randomize
from test_layer_contracts import every_example
from test_open_sizes import NEED_SIZES, larger, model_of, opened, unet

import minicnn as mc
from minicnn import layers as L
from minicnn.errors import FileFormatError, ShapeError
from minicnn.layers import CLASSES


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.onnx"


def dimensions(values):
    """The axes of inputs or outputs: numbers or names."""
    return [[d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim] for value in values]


# ------------------------------------------------------------------------------------------------------------- export

NOT_WRITTEN = {
    *(
        (f"Adaptive{kind}Pooling{rank}D", i) for kind in ("Average", "Max") for rank in (1, 2) for i in (0, 1)
    ),  # windows
    *((f"Adaptive{kind}Pooling3D", i) for kind in ("Average", "Max") for i in (0, 1, 2)),
    ("AveragePooling3D", 1),  # "same", and strides wider than the window
    ("MaxPooling3D", 1),
    ("CenterCrop", 0),  # where the crop begins depends on the size
    ("CenterCrop", 1),
    ("PlacedResizing", 2),  # cubic, and may become smaller
    ("RandomCrop", 0),
    *(("TimeDistributed", i) for i in range(3)),  # frames are counted with the samples
    ("Resizing", 1),  # what is padded or cropped depends on the size
    ("Resizing", 2),
}
"""The examples of layers that no file holds for open sizes: (class, number)."""


@every_example
def test_every_layer(name, number, path, rng):
    layer, shapes = list(CLASSES[name].examples())[number]
    if opened(shapes) == shapes or (name, number) in NEED_SIZES:
        pytest.skip("it takes no open sizes")
    model = model_of(layer, opened(shapes))
    randomize([layer], rng)
    if (name, number) in NOT_WRITTEN:
        with pytest.raises(
            ValueError,
            match=f"layer '{getattr(layer, 'layer', layer).name}'.*(cannot be written for sizes that are None|"
            "depends on the size, and runtimes stop)",
        ):
            mc.export_onnx(model, path)
        return
    proto = exported(model, path)
    assert dimensions(proto.graph.input)[0] == [
        "N",
        *(f"{model.inputs[0].name}_{i + 1}" for i in range(len(shapes[0]) - 1)),
        shapes[0][-1],
    ]
    for by in (0, 2, 3):
        xs = [rng.normal(size=(3, *shape)).astype(np.float32) for shape in larger(shapes, by)]
        for actual, expected in zip(run_file(path, xs).values(), predict(model, xs), strict=True):
            assert_close(actual, expected, TOLERANCE)


SPREAD = [
    {"interpolation": "bilinear", "coordinates": "half_pixel"},
    {"interpolation": "nearest", "coordinates": "asymmetric", "rounding": "floor"},
]


@pytest.mark.parametrize("options", SPREAD)
def test_images_that_get_the_size_of_others(options, path, rng):
    """As the pooled branch of DeepLab, and the paths of feature pyramids; they are read again, too."""
    x = mc.Input((None, None, 3))
    pooled = L.GlobalAveragePooling2D(keepdims=True)(x)
    half = L.MaxPooling2D()(L.Conv2D(2, 3, padding="same")(x))
    made = [L.PlacedResizing(None, None, **options)([small, x]) for small in (pooled, half)]
    model = mc.Model(x, L.Concatenate()(made))
    mc.export_onnx(model, path)
    again = mc.import_onnx(path)
    for size in ((9, 12), (32, 10)):
        images = rng.normal(size=(2, *size, 3)).astype(np.float32)
        (expected,) = run_file(path, [images]).values()
        assert_close(model.predict(images), expected, TOLERANCE)
        assert_close(again.predict(images), expected, TOLERANCE)


@pytest.mark.parametrize("coordinates", ["half_pixel_symmetric", "tf_half_pixel_for_nn"])
def test_places_that_the_operators_written_do_not_know(coordinates, path):
    x = mc.Input((None, None, 3))
    model = mc.Model(x, L.PlacedResizing(9, 8, coordinates=coordinates, name="spread")(x))
    with pytest.raises(ValueError, match=r"layer 'spread'.*cannot be written for sizes that are None"):
        mc.export_onnx(model, path)


@pytest.mark.parametrize("strides", [1, 2, 3])
@pytest.mark.parametrize("kernel_size", [1, 2, 3, 4, (2, 5)])
def test_padding_that_depends_on_the_size(kernel_size, strides, path, rng):
    stack = [L.Conv2D(2, kernel_size, strides, "same"), L.AveragePooling2D(3, strides, "same")]
    model = mc.Sequential([mc.Input((None, None, 3)), *stack, L.MaxPooling2D(max(2, strides), strides, "same")])
    mc.export_onnx(model, path)
    for size in range(7, 13):
        x = rng.normal(size=(2, size, 20 - size, 3)).astype(np.float32)
        assert_close(next(iter(run_file(path, [x]).values())), model.predict(x), TOLERANCE)


def test_gaps_and_strides_are_refused(path):
    model = mc.Sequential([mc.Input((None, None, 3)), L.DepthwiseConv2D(3, 1, "same", dilation_rate=2)])
    mc.export_onnx(model, path)
    conv = L.Conv2D(2, 3, strides=2, padding="same", dilation_rate=2)
    with pytest.raises(ValueError, match=r"depends on the size.*Received: an input of shape \(None, None, None, 3\)"):
        mc.export_onnx(mc.Sequential([mc.Input((None, None, 3)), conv]), path)


# ------------------------------------------------------------------------------------------------------------- import


def check_sizes(path, model, rng, sizes, channels=3, is_nchw=True):
    """For images of several sizes the model computes what onnxruntime does with the file."""
    for size in sizes:
        x = rng.normal(size=(2, *size, channels)).astype(np.float32)
        (expected,) = run_file(path, [np.moveaxis(x, -1, 1) if is_nchw else x]).values()
        expected = np.moveaxis(expected, 1, -1) if is_nchw and expected.ndim > 2 else expected
        assert_close(model.predict(x), expected, TOLERANCE)


def test_round_trip(path, rng):
    model = unet((None, None, 3))
    randomize(model.layers, rng)
    top = model.layers[-1].kernel  # of small numbers: softmax's result is as wrong as large logits are, in their units
    top.assign(0.1 * top.numpy())
    mc.export_onnx(model, path)
    copy = mc.import_onnx(path)
    assert copy.input_shape == (None, None, None, 3)
    assert copy.output_shape == (None, None, None, 4)
    check_sizes(path, copy, rng, [(8, 12), (20, 6), (32, 32)], is_nchw=False)
    copy.compile("sgd", "sparse_categorical_crossentropy")
    copy.fit(rng.random((4, 8, 8, 3)), rng.integers(0, 4, (4, 8, 8)), verbose=0)


OPEN = 'g (float["N",3,"H","W"] x) => (float["N", "C", "h", "w"] y)'
STRIDED = {
    "numbers": "pads=[1,1,1,1], strides=[2,2]",
    "at the end alone": "pads=[0,0,1,1], strides=[2,2]",  # for even sizes Keras's "same"
    "same": 'auto_pad="SAME_UPPER", strides=[2,2]',
    "none": "strides=[3,2]",
    "no strides": 'auto_pad="SAME_LOWER"',
}


@pytest.mark.parametrize("options", STRIDED)
@pytest.mark.parametrize("span", [2, 3])
@pytest.mark.parametrize("operator", ["Conv", "MaxPool", "AveragePool"])
def test_padding_in_files(operator, span, options, path, rng):
    if operator == "Conv":
        node = f"r = Conv<{STRIDED[options]}>(x, w)"
        constants = {"w": rng.normal(size=(4, 3, span, span)).astype(np.float32)}
    else:
        node, constants = f"p = Relu(x) r = {operator}<kernel_shape=[{span},{span}], {STRIDED[options]}>(p)", {}
        if operator == "AveragePool" and "pads" in STRIDED[options]:
            node = node.replace("pads=", "count_include_pad=1, pads=")
    if options == "no strides" and span == 2 and operator == "AveragePool":
        pytest.skip("no layer has such a padding, for any size")
    make_file(path, f"{OPEN} {{ {node} y = Relu(r) }}", **constants)
    model = mc.import_onnx(path)
    assert model.input_shape == (None, None, None, 3)
    check_sizes(path, model, rng, [(6, 7), (9, 8), (12, 13)])


def test_parts_of_channels(path, rng):
    """As ShuffleNet and MixNet take them; of rows and columns, borders are cut."""
    nodes = (
        "c = Conv(x, w) a, b = Split<axis=1>(c) g = Gather<axis=1>(c, i) j = Concat<axis=1>(b, g, a) "
        "y = Slice(j, one, last, rows)"
    )
    numbers = {"i": [2, 0, 1], "one": [1, 2], "last": [-1, 2**62], "rows": [2, 3]}
    integers = {name: np.array(values, np.int64) for name, values in numbers.items()}
    make_file(path, f"{OPEN} {{ {nodes} }}", 13, **integers, w=rng.normal(size=(6, 3, 1, 1)).astype(np.float32))
    check_sizes(path, mc.import_onnx(path), rng, [(6, 7), (9, 8)])


def test_sizes_that_are_calculated_in_32_bits(path, rng):
    """As tf2onnx writes the size that a transposed convolution of TensorFlow's gives."""
    nodes = (
        "long = Shape(x) s = Cast<to=6>(long) n = Slice(s, zero, two) h = Slice(s, two, four) d = Mul(h, twice) "
        "t = Concat<axis=0>(n, d) sizes = Cast<to=7>(t) "
        'y = Resize<mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor">(x, , , sizes)'
    )
    integers = {name: np.array([value]) for name, value in {"zero": 0, "two": 2, "four": 4}.items()}
    make_file(path, f"{OPEN} {{ {nodes} }}", 13, **integers, twice=np.array([2, 2], np.int32))
    check_sizes(path, mc.import_onnx(path), rng, [(6, 7), (9, 8)])


def test_channels_that_are_shuffled(path, rng):
    """As ShuffleNet does, whose sizes the exporter of PyTorch computes."""
    nodes = (
        "c = Conv(x, w) s = Shape(c) n = Slice(s, zero, one) h = Slice(s, two, four) p = Concat<axis=0>(n, g, h) "
        "r = Reshape(c, p) t = Transpose<perm=[0,2,1,3,4]>(r) q = Concat<axis=0>(n, all, h) z = Reshape(t, q) "
        "y = Add(z, c)"
    )
    numbers = {"zero": [0], "one": [1], "two": [2], "four": [4], "g": [2, 3], "all": [6]}
    integers = {name: np.array(values, np.int64) for name, values in numbers.items()}
    make_file(path, f"{OPEN} {{ {nodes} }}", 13, **integers, w=rng.normal(size=(6, 3, 1, 1)).astype(np.float32))
    check_sizes(path, mc.import_onnx(path), rng, [(6, 7), (9, 8)])


@pytest.mark.parametrize("mode", ["reflect", "edge", "wrap"])
@pytest.mark.parametrize("pads", [(3, 1, 2, 0), (0, 0, 0, 2), (2, 2, 2, 2)])
def test_borders_of_an_images_own_pixels(mode, pads, path, rng):
    """As CycleGAN's and other generators have them."""
    top, left, bottom, right = pads
    sides = np.array([0, 0, top, left, 0, 0, bottom, right])
    nodes = f'c = Conv(x, w) p = Pad<mode="{mode}">(c, s) y = Relu(p)'
    opset = 19 if mode == "wrap" else 13
    make_file(path, f"{OPEN} {{ {nodes} }}", opset, s=sides, w=rng.normal(size=(2, 3, 1, 1)).astype(np.float32))
    model = mc.import_onnx(path)
    check_sizes(path, model, rng, [(6, 7), (9, 8), (4, 12)])
    mc.export_onnx(model, path)
    check_sizes(path, mc.import_onnx(path), rng, [(6, 7), (4, 12)], is_nchw=False)
    if mode != "edge":  # one pixel has none besides
        with pytest.raises(ShapeError, match="leaves nothing of a sample"):
            model.predict(np.zeros((1, 1, 1, 3), np.float32))


CUT = {
    "from the end": ([-2, -3], [2**62, 2**62], [1, 1]),
    "to a row": ([1, 0], [4, 5], [1, 2]),
    "before the last": ([-4, 1], [-1, -2], [1, 1]),
    "backwards": ([-1, -1], [-(2**62), -(2**62)], [-1, -1]),
}


@pytest.mark.parametrize("case", CUT)
def test_parts_of_rows_and_columns(case, path, rng):
    starts, ends, steps = (np.array(numbers, np.int64) for numbers in CUT[case])
    arrays = {"s": starts, "e": ends, "a": np.array([2, 3]), "t": steps}
    nodes = "c = Conv(x, w) y = Slice(c, s, e, a, t)"
    make_file(path, f"{OPEN} {{ {nodes} }}", 13, **arrays, w=rng.normal(size=(2, 3, 1, 1)).astype(np.float32))
    model = mc.import_onnx(path)
    check_sizes(path, model, rng, [(6, 7), (9, 8)])
    mc.export_onnx(model, path)
    check_sizes(path, mc.import_onnx(path), rng, [(6, 7), (9, 8)], is_nchw=False)


SUMS = {
    "a row's": "y = ReduceSum<keepdims=1>(c, three)",
    "a mean of columns": "y = ReduceMean<axes=[2], keepdims=1>(c)",
    "of pixels in a row": "r = Reshape(c, s) l = ReduceLogSumExp<axes=[2], keepdims=1>(r) t = Unsqueeze(l, three) "
    "y = Mul(c, t)",
    "of one number": "h = Shape(c) o = ConstantOfShape<value = float[1] {2.5}>(h) g = Greater(c, f) y = Where(g, o, c)",
}


@pytest.mark.parametrize("case", SUMS)
def test_sums_and_numbers_of_open_sizes(case, path, rng):
    arrays = {"three": np.array([3]), "s": np.array([0, 2, -1]), "f": np.array(0, "f4")}
    arrays["w"] = rng.normal(size=(2, 3, 1, 1)).astype(np.float32)
    make_file(path, f"{OPEN} {{ c = Conv(x, w) {SUMS[case]} }}", 13, **arrays)
    check_sizes(path, mc.import_onnx(path), rng, [(6, 7), (9, 8)])


@pytest.mark.parametrize("node", ["Concat<axis=1>(c, o)", "MatMul(c, o)", "Concat<axis=1>(c, r)"])
def test_numbers_that_nothing_spreads_are_refused(node, path, rng):
    """One number, or one beside a diagonal, would do for a sum, and not where each of them counts."""
    nodes = "s = Shape(c) o = ConstantOfShape<value = float[1] {1.0}>(s) r = Trilu<upper=0>(o, zero)"
    arrays = {"zero": np.array(0), "w": rng.normal(size=(1, 3, 1, 1)).astype(np.float32)}
    text = OPEN.replace('"W"', '"H"')
    make_file(path, f"{text} {{ c = Conv(x, w) {nodes} y = {node} }}", 14, **arrays)
    with pytest.raises(FileFormatError, match="depends on a size that the file leaves open"):
        mc.import_onnx(path)


def test_axes_that_are_reordered(path, rng):
    """One Permute, whatever the sizes are."""
    model = mc.Sequential([mc.Input((3, None, None)), L.Conv2D(2, 3, data_format="channels_first")])
    mc.export_onnx(model, path)
    copy = mc.import_onnx(path)
    assert [type(layer).__name__ for layer in copy.layers[1:]] == ["Permute", "Conv2D", "Permute"]
    for size in [(6, 7), (9, 8)]:
        x = rng.normal(size=(2, 3, *size)).astype(np.float32)
        assert_close(copy.predict(x), model.predict(x), TOLERANCE)


@pytest.mark.parametrize("layer", [L.MaxPooling2D, L.AveragePooling2D])
def test_windows_that_leave_out_pixels_are_refused(layer, path):
    """onnxruntime counts padding of less than nothing for some sizes, and stops."""
    model = mc.Sequential([mc.Input((None, None, 3)), layer(2, 3, "same", name="pool")])
    with pytest.raises(ValueError, match=r"layer 'pool': padding='same' with strides wider than the window"):
        mc.export_onnx(model, path)
    known = mc.Sequential([mc.Input((9, 10, 3)), layer(2, 3, "same")])
    exported(known, path)


@pytest.mark.parametrize("operator", ["MaxPool", "AveragePool", "AveragePool, zeros count"])
@pytest.mark.parametrize(("span", "stride", "pad"), [(2, 2, 0), (3, 2, 0), (3, 2, 1)])
def test_windows_beyond_the_end(operator, span, stride, pad, path, rng):
    """`ceil_mode`: a row more or none, as the size is."""
    operator, *counts = operator.split(", ")
    options = f"kernel_shape=[{span},{span}], strides=[{stride},{stride}], pads={[pad] * 4}, ceil_mode=1"
    node = f"r = {operator}<{options}{', count_include_pad=1' if counts else ''}>(x)"
    make_file(path, f"{OPEN} {{ {node} y = Relu(r) }}")
    check_sizes(path, mc.import_onnx(path), rng, [(6, 7), (9, 8), (12, 13)])


def test_sizes_that_the_file_computes_with(path, rng):
    """An image is resized to twice its size by what Shape says, and rows are made of all pixels, as PyTorch writes."""
    text = f"""{OPEN.replace(', "w"] y', "] y")} {{
      s = Shape(x)
      a = Slice(s, start, end)
      b = Mul(a, two)
      n = Slice(s, zero, start)
      t = Concat<axis=0>(n, b)
      r = Resize<mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor">(x, , , t)
      f = Reshape(r, rows)
      y = Transpose<perm=[0,2,1]>(f)
    }}"""
    integers = {"start": [2], "end": [4], "zero": [0], "two": [2], "rows": [0, 3, -1]}
    make_file(path, text, **{name: np.array(numbers, np.int64) for name, numbers in integers.items()})
    model = mc.import_onnx(path)
    assert model.output_shape == (None, None, 3)
    for size in [(3, 4), (5, 2)]:
        x = rng.normal(size=(2, 3, *size)).astype(np.float32)
        (expected,) = run_file(path, [x]).values()
        assert_close(model.predict(np.moveaxis(x, 1, -1)), expected, TOLERANCE)


BY_FACTORS = 'Resize<mode="linear", coordinate_transformation_mode="{}">(x, , factors)'
LIKE_ANOTHER = (
    "c = Conv<strides=[2,2], pads=[1,1,1,1]>(x, w) p = MaxPool<kernel_shape=[2,2]>(c) s = Shape(c) "
    'n = Shape<end=2>(p) h = Slice(s, two, four) t = Concat<axis=0>(n, h) r = Resize<mode="{}", '
    'coordinate_transformation_mode="{}">(p, , , t) y = Add(r, c)'
)
AT_ANY_SIZE = {
    "factors, align_corners": (f"r = {BY_FACTORS.format('align_corners')} y = Relu(r)", {"factors": [1, 1, 2, 2]}),
    "factors that are not whole": (f"r = {BY_FACTORS.format('half_pixel')} y = Relu(r)", {"factors": [1, 1, 1.5, 2]}),
    "whole factors": (f"r = {BY_FACTORS.format('half_pixel')} y = Relu(r)", {"factors": [1, 1, 3, 2]}),
    "as large as another": (LIKE_ANOTHER.format("linear", "align_corners"), {}),
    "as large as another, nearest": (LIKE_ANOTHER.format("nearest", "asymmetric"), {}),
    "mean of channels": ("c = Conv(x, w) m = ReduceMean<axes=[1]>(c) y = Mul(c, m)", {}),
    "maximum of channels": ("c = Conv(x, w) m = ReduceMax<axes=[1]>(c) y = Mul(c, m)", {}),
    "minimum of many channels": ("c = Conv(x, many) m = ReduceMin<axes=[1]>(c) y = Mul(x, m)", {}),
    "length of all rows and columns": ("c = Conv(x, w) m = ReduceL2<axes=[2,3]>(c) y = Div(c, m)", {}),
    "sum of rows and columns": ("c = Conv(x, w) a = Abs(c) m = ReduceSum(a, places) y = Div(c, m)", {}),
    "gates that are spread": (
        "c = Conv(x, w) g = GlobalAveragePool(c) z = Sigmoid(g) s = Shape(c) e = Expand(z, s) y = Mul(e, c)",
        {},
    ),
    "blocks of pixels": ("c = Conv(x, eight) d = DepthToSpace<blocksize=2>(c) y = Relu(d)", {}),
    "blocks of pixels, channels first": (
        'c = Conv(x, eight) d = DepthToSpace<blocksize=2, mode="CRD">(c) y = Relu(d)',
        {},
    ),
}


@pytest.mark.parametrize("case", AT_ANY_SIZE)
def test_what_goes_by_the_size(case, path, rng):
    """Factors, and the size of another tensor, whatever they come to for the odd ones, too."""
    nodes, constants = AT_ANY_SIZE[case]
    constants = {name: np.array(numbers, np.float32) for name, numbers in constants.items()}
    constants |= {"two": np.array([2]), "four": np.array([4]), "places": np.array([2, 3])}
    sizes = {"w": (4, 3, 1, 1), "many": (510, 3, 1, 1), "eight": (8, 3, 1, 1)}
    constants |= {name: rng.normal(size=size).astype(np.float32) for name, size in sizes.items()}
    make_file(path, f"{OPEN} {{ {nodes} }}", **constants)
    check_sizes(path, mc.import_onnx(path), rng, [(6, 8), (9, 7), (5, 12)])


@pytest.mark.parametrize("calculated", ["f = Div(g, two) h = Mul(f, two)", "h = Max(g, low)"])
def test_calculated_sizes_are_not_those_of_a_tensor(calculated, path):
    """Twice the half is the whole for the even sizes alone; a bound is no matter for large ones, which are tried."""
    nodes = LIKE_ANOTHER.format("linear", "align_corners").replace("Shape<end=2>(p)", "Shape<end=2>(c)")
    nodes = nodes.replace("h = Slice(s, two, four)", f"g = Slice(s, two, four) {calculated}")
    make_file(
        path,
        f"{OPEN} {{ {nodes.replace('Add(r, c)', 'Relu(r)')} }}",
        **{"two": np.array([2]), "four": np.array([4]), "low": np.array([20]), "w": np.ones((4, 3, 1, 1), np.float32)},
    )
    with pytest.raises(FileFormatError, match="for one size"):
        mc.import_onnx(path)


DEPENDENT = {
    "Flatten and Gemm": (
        "p = MaxPool<kernel_shape=[2,2]>(x) f = Flatten(p) y = Gemm(f, w)",
        {"w": np.ones((9, 2), "f4")},
        "f",
    ),
    "a part that begins in the middle": (
        "s = Shape<start=2, end=3>(x) h = Div(s, two) c = Slice(x, h, s, two) y = Relu(c)",
        {"two": np.array([2])},
        r"key.*for one size",
    ),
    "padding to a multiple": (
        "s = Shape<start=2, end=3>(x) m = Mod(s, two) z = Sub(two, m) k = Mod(z, two) "
        "q = Concat<axis=0>(zeros, k, zero) p = Pad(x, q) y = Relu(p)",
        {"two": np.array([2]), "zeros": np.zeros(6, np.int64), "zero": np.array([0])},
        "for one size",
    ),
    "windows beyond the end": (
        "p = MaxPool<kernel_shape=[2,2], strides=[2,2], pads=[1,1,1,1], ceil_mode=1>(x) y = Relu(p)",
        {},
        r"\(MaxPool\): how much it pads depends on the size.*ceil_mode=1",
    ),
    "same, more before": (
        'p = MaxPool<kernel_shape=[3,3], strides=[2,2], auto_pad="SAME_LOWER">(x) y = Relu(p)',
        {},
        r"\(MaxPool\): how much it pads depends on the size.*SAME_LOWER",
    ),
}


@pytest.mark.parametrize("case", DEPENDENT)
def test_what_depends_on_the_size_is_refused(case, path):
    nodes, constants, message = DEPENDENT[case]
    make_file(path, f"{OPEN} {{ {nodes} }}", **constants)
    with pytest.raises(FileFormatError, match=message):
        mc.import_onnx(path)


@pytest.mark.parametrize(
    ("begin", "end", "step"), [(0, 300, 1), (-300, 2**31 - 1, 1), (-300, -1, 1), (0, 100, 1), (-1, -(2**63), -1)]
)
def test_parts_reach_as_far_in_larger_images(begin, end, step, path, rng):
    nodes = "c = Conv(x, w) y = Slice(c, first, last, axis, step)"
    numbers = {"first": [begin], "last": [end], "axis": [2], "step": [step]}
    constants = {name: np.array(number) for name, number in numbers.items()} | {"w": np.ones((4, 3, 1, 1), np.float32)}
    make_file(path, f"{OPEN} {{ {nodes} }}", **constants)
    check_sizes(path, mc.import_onnx(path), rng, [(400, 3), (310, 4), (60, 5)])


@pytest.mark.parametrize(("begin", "end"), [(-1, -301), (500, -(2**63))])
def test_turned_parts_that_end_or_begin_within_are_refused(begin, end, path):
    nodes = "c = Conv(x, w) y = Slice(c, first, last, axis, step)"
    numbers = {"first": [begin], "last": [end], "axis": [2], "step": [-1]}
    constants = {name: np.array(number) for name, number in numbers.items()} | {"w": np.ones((4, 3, 1, 1), np.float32)}
    make_file(path, f"{OPEN} {{ {nodes} }}", **constants)
    with pytest.raises(FileFormatError, match="for one size"):
        mc.import_onnx(path)
