"""Functions of TensorFlow's name, and their gradients, beside TensorFlow's: the same numbers of the same arrays.

Each is written once, with `tf` handed to it. What is random is compared by its moments, in the notebooks' cells.
"""

import numpy as np
import pytest
from real_keras import keras, tf

from minicnn import keras as our_keras
from minicnn.keras import tensorflow as our_tf

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore")]

RNG = np.random.default_rng(0)
X = RNG.random((2, 9, 8, 4)).astype("float32")
COLOURS = RNG.random((2, 9, 8, 3)).astype("float32")
KERNEL = RNG.normal(size=(3, 2, 4, 5)).astype("float32")
POINTWISE = RNG.normal(size=(1, 1, 20, 2)).astype("float32")
MATRIX = RNG.normal(size=(4, 4)).astype("float32")
BOXES = np.array([[0.1, 0.2, 0.8, 0.9], [-0.2, 0, 0.5, 1.3], [0.9, 0.8, 0.1, 0]], "float32")

DIFFERENTIATED = {
    "conv2d": lambda tf, x: tf.nn.conv2d(x, KERNEL, strides=[1, 2, 1, 1], padding="SAME"),
    "conv2d with holes": lambda tf, x: tf.nn.conv2d(x, KERNEL, 1, "VALID", dilations=[1, 2, 3, 1]),
    "conv2d padded by number": lambda tf, x: tf.nn.conv2d(x, KERNEL, 2, [[0, 0], [1, 2], [0, 3], [0, 0]]),
    "depthwise": lambda tf, x: tf.nn.depthwise_conv2d(x, KERNEL, [1, 2, 2, 1], "SAME"),
    "separable": lambda tf, x: tf.nn.separable_conv2d(
        x, KERNEL, np.ones((1, 1, 20, 2), "float32"), [1, 1, 1, 1], "SAME"
    ),
    "transposed": lambda tf, x: tf.nn.conv2d_transpose(
        x, KERNEL.transpose(0, 1, 3, 2), [2, 18, 16, 5], [1, 2, 2, 1], "SAME"
    ),
    "transposed, valid": lambda tf, x: tf.nn.conv2d_transpose(
        x, KERNEL.transpose(0, 1, 3, 2), [2, 19, 16, 5], 2, padding="VALID"
    ),
    "transposed, with holes": lambda tf, x: tf.nn.conv2d_transpose(
        x, KERNEL.transpose(0, 1, 3, 2), [2, 13, 9, 5], 1, "VALID", dilations=[1, 2, 1, 1]
    ),
    "grouped": lambda tf, x: tf.nn.conv2d(x, KERNEL[:, :, :2, :4], 1, "SAME"),
    "transposed, padded by number": lambda tf, x: tf.nn.conv2d_transpose(
        x, KERNEL.transpose(0, 1, 3, 2), [2, 16, 15, 5], 2, [[0, 0], [1, 2], [0, 1], [0, 0]]
    ),
    "transposed rows": lambda tf, x: tf.nn.conv1d_transpose(x[:, 0], KERNEL[0].transpose(0, 2, 1), [2, 16, 5], 2),
    "conv_transpose": lambda tf, x: tf.nn.conv_transpose(x, KERNEL.transpose(0, 1, 3, 2), [2, 9, 8, 5], 1, "SAME"),
    "atrous_conv2d_transpose": lambda tf, x: tf.nn.atrous_conv2d_transpose(
        x, KERNEL.transpose(0, 1, 3, 2), [2, 13, 10, 5], 2, "VALID"
    ),
    "convolution": lambda tf, x: tf.nn.convolution(x, KERNEL, [2, 1], "SAME"),
    "convolution of rows": lambda tf, x: tf.nn.convolution(x[:, 0], KERNEL[0], padding="SAME", dilations=2),
    "dilation2d": lambda tf, x: tf.nn.dilation2d(x, KERNEL[..., 0], [1, 2, 1, 1], "SAME", "NHWC", [1, 1, 2, 1]),
    "erosion2d": lambda tf, x: tf.nn.erosion2d(x, KERNEL[..., 0], [1, 1, 1, 1], "VALID", "NHWC", [1, 2, 1, 1]),
    "max_pool padded by number": lambda tf, x: tf.nn.max_pool2d(x - 1, 3, 2, [[0, 0], [1, 2], [0, 1], [0, 0]]),
    "pool with holes": lambda tf, x: tf.nn.pool(x, [2, 3], "MAX", dilations=[3, 2]),
    "mean with holes": lambda tf, x: tf.nn.pool(x[:, 0], [3], "AVG", dilations=[2]),
    "fake_quant": lambda tf, x: tf.quantization.fake_quant_with_min_max_args(x * 4 - 2, -1, 1.5, 4, True),
    "fake_quant by variables": lambda tf, x: tf.quantization.fake_quant_with_min_max_vars(
        tf.constant(X) * 4 - 2, x[0, 0, 0, 0] - 2, x[0, 0, 0, 1] + 1
    ),
    "idct": lambda tf, x: tf.signal.idct(x, norm="ortho") + tf.signal.dct(x, type=4),
    "max_pool of rows": lambda tf, x: tf.nn.max_pool(x[:, 0], [1, 2, 1], [1, 2, 1], "SAME"),
    "pool": lambda tf, x: tf.nn.pool(x, [3, 2], "AVG", [2, 1], "SAME"),
    "max_pool2d": lambda tf, x: tf.nn.max_pool2d(x, ksize=3, strides=2, padding="SAME"),
    "max_pool": lambda tf, x: tf.nn.max_pool(x, [1, 2, 2, 1], [1, 2, 2, 1], padding="VALID"),
    "avg_pool2d": lambda tf, x: tf.nn.avg_pool2d(x, ksize=(3, 2), strides=2, padding="SAME"),
    "conv1d": lambda tf, x: tf.nn.conv1d(x[:, 0], KERNEL[0], stride=2, padding="SAME"),
    "max_pool1d": lambda tf, x: tf.nn.max_pool1d(x[:, 0], 2, 2, "VALID"),
    "depth_to_space": lambda tf, x: tf.nn.depth_to_space(x, 2),
    "space_to_depth": lambda tf, x: tf.nn.space_to_depth(x[:, :8], 2),
    "bias_add": lambda tf, x: tf.nn.bias_add(x, MATRIX[0]),
    "batch_normalization": lambda tf, x: tf.nn.batch_normalization(x, MATRIX[0], MATRIX[1] ** 2, MATRIX[2], None, 0.1),
    "lrn": lambda tf, x: tf.nn.local_response_normalization(x, depth_radius=1, bias=2.0, alpha=0.5, beta=0.75),
    "extract_patches": lambda tf, x: tf.image.extract_patches(x, [1, 3, 2, 1], [1, 2, 2, 1], [1, 1, 2, 1], "SAME"),
    "sobel_edges": lambda tf, x: tf.image.sobel_edges(x),
    "image_gradients": lambda tf, x: tf.stack(tf.image.image_gradients(x)),
    "rgb_to_yuv": lambda tf, x: tf.image.rgb_to_yuv(x[..., :3]),
    "yuv_to_rgb": lambda tf, x: tf.image.yuv_to_rgb(x[..., :3]),
    "crop_and_resize": lambda tf, x: tf.image.crop_and_resize(x, BOXES, [0, 1, 1], [5, 4]),
    "crop_and_resize to one row": lambda tf, x: tf.image.crop_and_resize(x, BOXES, [0, 1, 0], (1, 3)),
    "crop_and_resize, nearest": lambda tf, x: tf.image.crop_and_resize(x, BOXES, [0, 1, 1], [5, 4], method="nearest"),
    "gather": lambda tf, x: tf.gather(x, [[0, 2, 2], [8, 1, 1]], batch_dims=1),
    "gather of another axis": lambda tf, x: tf.gather(x, [[0, 2, 2], [7, 1, 1]], axis=2, batch_dims=1),
    "scan": lambda tf, x: tf.scan(lambda before, part: before * 0.5 + part, x, reverse=True),
    "adjoint": lambda tf, x: tf.linalg.inv(x[0, :4, 0] + 2 * np.eye(4, dtype="float32"), adjoint=True),
    "diag beside the middle": lambda tf, x: tf.linalg.diag(x[0, 0], k=-2),
    "weighted average loss": lambda tf, x: tf.nn.compute_average_loss(x[0, 0], sample_weight=X[0, :8, 0, 0]),
    "ssim_multiscale": lambda tf, x: tf.image.ssim_multiscale(
        x, np.clip(X * 0.8 + 0.1, 0, 1), 1.0, power_factors=(0.3, 0.7), filter_size=4
    ),
    "ssim": lambda tf, x: tf.image.ssim(x, np.flip(X, 1).copy(), max_val=1.0, filter_size=5),
    "strided_slice": lambda tf, x: tf.strided_slice(x, [0, 1, 0, 0], [2, 9, 8, 4], [1, 2, 3, 1]),
    "sort": lambda tf, x: tf.sort(x[0, 0, :, 0], direction="DESCENDING") * x[0, 0, :, 1],
    "set_diag": lambda tf, x: tf.linalg.set_diag(x[:, :, :4], x[:, :, 0, :]),
    "diag_part": lambda tf, x: tf.linalg.diag_part(x),
    "diag": lambda tf, x: tf.linalg.diag(x[0, 0]),
    "band_part": lambda tf, x: tf.linalg.band_part(x, 1, -1),
    "trace": lambda tf, x: tf.linalg.trace(x),
    "matvec": lambda tf, x: tf.linalg.matvec(x, MATRIX[0]),
    "inv": lambda tf, x: tf.linalg.inv(x[0, :4, 0] + 2 * np.eye(4, dtype="float32")),
    "normalize": lambda tf, x: tf.linalg.normalize(x, axis=-1)[0],
    "acos": lambda tf, x: tf.acos(x * 0.9) + tf.asin(x * 0.9) * 2,
    "scatter_nd": lambda tf, x: tf.scatter_nd([[1], [3], [1]], x[0, :3, 0], [5, 4]),
    "tensor_scatter_nd_update": lambda tf, x: tf.tensor_scatter_nd_update(x[0, :5, 0], [[1], [3]], x[0, 5:7, 0] * 2),
    "cond": lambda tf, x: tf.cond(tf.reduce_mean(x) > 0, lambda: x * 2, lambda: x),
    "while_loop": lambda tf, x: tf.while_loop(lambda i, y: i < 3, lambda i, y: (i + 1, y * x), (0, x))[1],
    "compute_average_loss": lambda tf, x: tf.nn.compute_average_loss(tf.reduce_sum(x, [1, 2, 3]), global_batch_size=7),
}
DIFFERENTIATED |= {
    "erf": lambda tf, x: tf.math.erf(x) + tf.math.erfinv(x * 0.9) + tf.math.erfc(x),
    "xlogy": lambda tf, x: tf.math.xlogy(x, x + 1) + tf.math.xdivy(x, x + 2) + tf.math.xlog1py(x, x),
    "multiply_no_nan": lambda tf, x: tf.math.multiply_no_nan(x, tf.constant(X) + 1),
    "euclidean norm": lambda tf, x: tf.math.reduce_euclidean_norm(x, axis=[1, 2]),
    "segment_sum": lambda tf, x: tf.math.segment_sum(x[0], [0, 0, 1, 1, 1, 3, 3, 3, 4]),
    "segment_mean": lambda tf, x: tf.math.segment_mean(x[0], [0, 0, 1, 1, 1, 3, 3, 3, 4]),
    "unsorted": lambda tf, x: tf.math.unsorted_segment_mean(x[0, :4], [2, -1, 2, 0], 4),
    "polyval": lambda tf, x: tf.math.polyval([1.0, -2.0, 0.5], x),
    "weighted": lambda tf, x: tf.nn.weighted_cross_entropy_with_logits(tf.constant(X), x * 4 - 2, 3.0),
    "crelu": lambda tf, x: tf.nn.crelu(x - 0.5),
    "argmax": lambda tf, x: tf.nn.max_pool_with_argmax(x, 2, 2, "SAME")[0],
    "argmax of others": lambda tf, x: tf.nn.max_pool_with_argmax(x, [1, 3, 2, 1], [1, 1, 2, 1], "VALID").output,
    "solve": lambda tf, x: tf.linalg.solve(x[0, :4, 0] + 3 * np.eye(4, dtype="float32"), x[1, :4, 1]),
    "lstsq": lambda tf, x: tf.linalg.lstsq(x[0, :4, 0] + 3 * np.eye(4, dtype="float32"), x[1, :4, 1], 0.1),
    "matrix_transpose": lambda tf, x: tf.linalg.matrix_transpose(x),
    "dynamic_partition": lambda tf, x: tf.dynamic_partition(x[0], [0, 1, 0, 1, 1, 0, 0, 2, 1], 3)[1],
    "scatter_nd_sub": lambda tf, x: tf.tensor_scatter_nd_sub(x[0, :5, 0], [[1], [3]], x[0, 5:7, 0] * 2),
    "foldl": lambda tf, x: tf.foldl(lambda before, part: before * 0.5 + part, x[0]),
}
PLAIN = {
    "max_pool of channels": lambda tf: tf.nn.max_pool(X, (1, 1, 1, 2), (1, 1, 1, 2), "VALID"),
    "argmax": lambda tf: tf.nn.max_pool_with_argmax(X, 3, 2, "SAME").argmax,
    "argmax of all": lambda tf: tf.nn.max_pool_with_argmax(X, 2, 1, "VALID", include_batch_in_index=True)[1],
    "bincount": lambda tf: tf.math.bincount([1, 1, 4], minlength=7),
    "rint": lambda tf: tf.math.rint([0.5, 1.5, -2.6]),
    "is_strictly_increasing": lambda tf: tf.math.is_strictly_increasing([1, 1, 2]),
    "is_non_decreasing": lambda tf: tf.math.is_non_decreasing([1, 1, 2]),
    "invert_permutation": lambda tf: tf.math.invert_permutation([2, 0, 1]),
    "reciprocal_no_nan": lambda tf: tf.math.reciprocal_no_nan([0.0, 2.0]),
    "unsorted_segment_max": lambda tf: tf.math.unsorted_segment_max(X[0, :3, 0], [1, 0, 1], 2),
    "sequence_mask": lambda tf: tf.sequence_mask([[1, 0], [3, 2]], 4),
    "unique_with_counts": lambda tf: tf.stack(tf.unique_with_counts([3, 1, 3, 2])[1:2]),
    "scatter_nd_max": lambda tf: tf.tensor_scatter_nd_max(X[0, :, 0], [[1], [1]], X[0, 5:7, 1]),
    "singular values": lambda tf: tf.linalg.svd(MATRIX, compute_uv=False),
    "logdet": lambda tf: tf.linalg.logdet(MATRIX @ MATRIX.T),
    "slogdet": lambda tf: tf.linalg.slogdet(MATRIX)[1],
    "top_k": lambda tf: tf.nn.top_k(X, 2)[0],
    "one_hot": lambda tf: tf.one_hot([1, 0, 3], 3),
    "where": lambda tf: tf.where(tf.constant([[1.0, 0.0], [0.0, 2.0]]) > 0),
    "argsort": lambda tf: tf.argsort([3.0, 1.0, 2.0], direction="DESCENDING"),
    "saturate_cast": lambda tf: tf.saturate_cast([-3.0, 7.9, 300.0], tf.uint8),
    "searchsorted": lambda tf: tf.searchsorted([1.0, 3.0, 5.0], [0.0, 3.0, 9.0]),
    "histogram": lambda tf: tf.histogram_fixed_width([-1.0, 0.0, 1.5, 2.0, 5.0, 15], [0.0, 5.0], nbins=5),
    "zero_fraction": lambda tf: tf.nn.zero_fraction([0.0, 1.0, 0.0, 2.0]),
    "weighted_moments": lambda tf: tf.nn.weighted_moments(X, [0, 1], X + 1)[1],
    "switch_case": lambda tf: tf.switch_case(tf.constant(1), [lambda: tf.constant(3.0), lambda: tf.constant(4.0)]),
    "TensorArray": lambda tf: tf.TensorArray(tf.float32, 2).write(0, X[0]).write(1, X[1]).stack(),
    "searchsorted in rows": lambda tf: tf.searchsorted([[1.0, 3.0], [2.0, 4.0]], [[2.0, 9.0], [4.0, 1.0]]),
    "band_part of infinities": lambda tf: tf.linalg.band_part(tf.fill((3, 3), -np.inf), 0, -1),
    "decode_raw of several": lambda tf: tf.io.decode_raw([b"abc", b"d"], tf.uint8, fixed_length=2),
    "a place not written to": lambda tf: tf.TensorArray(tf.float32, 3).write(1, X[0]).stack(),
    "decode_raw": lambda tf: tf.io.decode_raw(b"\x01\x00\x02\x00", tf.int16),
}


def gradient_of(tf, function):
    x = tf.constant(X)
    with tf.GradientTape() as tape:
        tape.watch(x)
        made = function(tf, x)
        loss = tf.reduce_sum(made * tf.cos(tf.cast(tf.reshape(tf.range(tf.size(made)), tf.shape(made)), tf.float32)))
    return made.numpy(), tape.gradient(loss, x).numpy()


@pytest.mark.parametrize("name", DIFFERENTIATED)
def test_values_and_gradients(name):
    for ours, theirs in zip(
        gradient_of(our_tf, DIFFERENTIATED[name]), gradient_of(tf, DIFFERENTIATED[name]), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=2e-5 * max(1, np.abs(theirs).max()))


@pytest.mark.parametrize("name", PLAIN)
def test_values(name):
    ours, theirs = (PLAIN[name](each).numpy() for each in (our_tf, tf))
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    assert ours.dtype == theirs.dtype


BACKEND = {  # of Keras 2's backend, which Keras 3 keeps for scripts
    "conv2d": lambda K, x: K.conv2d(x, KERNEL, strides=(2, 1), padding="same"),
    "conv2d, valid": lambda K, x: K.conv2d(x, KERNEL),
    "pool2d": lambda K, x: K.pool2d(x, (3, 2), strides=(2, 2), padding="same"),
    "pool2d of means": lambda K, x: K.pool2d(x, (2, 3), strides=(1, 2), padding="same", pool_mode="avg"),
    "spatial_2d_padding": lambda K, x: K.spatial_2d_padding(x, ((1, 0), (2, 3))),
    "bias_add": lambda K, x: K.bias_add(x, MATRIX[0]),
    "l2_normalize": lambda K, x: K.l2_normalize(x, axis=-1),
    "repeat_elements": lambda K, x: K.repeat_elements(x, 2, axis=1),
    "reverse": lambda K, x: K.reverse(x, axes=(1, 2)),
    "clip": lambda K, x: K.clip(x, 0.25, 0.75),
    "std": lambda K, x: K.std(x, axis=(1, 2), keepdims=True),
    "batch_flatten": lambda K, x: K.batch_flatten(x),
    "permute_dimensions": lambda K, x: K.permute_dimensions(x, (0, 3, 1, 2)),
    "elu": lambda K, x: K.elu(x - 0.5, 0.5),
    "relu": lambda K, x: K.relu(x - 0.5, alpha=0.1, max_value=0.3),
}


@pytest.mark.parametrize("name", BACKEND)
def test_functions_of_the_backend(name):
    found, expected = (gradient_of(t, lambda t, x: BACKEND[name](t.keras.backend, x)) for t in (our_tf, tf))
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=2e-5 * max(1, np.abs(theirs).max()))


OPS = {
    "conv": lambda k, x: k.ops.conv(x, KERNEL, strides=2, padding="same"),
    "conv of rows": lambda k, x: k.ops.conv(x[:, 0], KERNEL[0], strides=1, padding="valid", dilation_rate=2),
    "depthwise_conv": lambda k, x: k.ops.depthwise_conv(x, KERNEL, padding="valid"),
    "conv_transpose": lambda k, x: k.ops.conv_transpose(x, KERNEL.transpose(0, 1, 3, 2), strides=2, padding="valid"),
    "max_pool": lambda k, x: k.ops.max_pool(x, 2, padding="same"),
    "average_pool": lambda k, x: k.ops.average_pool(x, (2, 3), strides=1, padding="same"),
    "average_pool of rows": lambda k, x: k.ops.average_pool(x[:, 0], 3, 2),
    "nn.relu": lambda k, x: k.ops.nn.relu(x - 0.5),
}


@pytest.mark.parametrize("name", OPS)
def test_ops_of_arrays_and_of_tensors(name):
    theirs = np.asarray(OPS[name](keras, X))
    np.testing.assert_allclose(OPS[name](our_keras, X), theirs, rtol=2e-5, atol=2e-5)
    inputs = our_keras.Input(X.shape[1:])
    model = our_keras.Model(inputs, OPS[name](our_keras, inputs))
    np.testing.assert_allclose(model.predict(X, verbose=0), theirs, rtol=2e-5, atol=2e-5)


def test_records_go_both_ways(tmp_path):
    for writer, reader, name in ((tf, our_tf, "theirs"), (our_tf, tf, "ours")):
        path = str(tmp_path / f"{name}.tfrecord")
        with writer.io.TFRecordWriter(path) as file:
            for number in (-3, 0, 2**40):
                file.write(record(writer, number))
        features = {
            "picture": reader.io.FixedLenFeature([], reader.string),
            "label": reader.io.FixedLenFeature([], reader.int64),
            "box": reader.io.FixedLenFeature([2, 2], reader.float32),
            "missing": reader.io.FixedLenFeature([], reader.int64, default_value=5),
        }
        data = reader.data.TFRecordDataset([path]).map(
            lambda r, f=features, tf=reader: tf.io.parse_single_example(r, f)
        )
        found = list(data.as_numpy_iterator())
        assert [int(each["label"]) for each in found] == [-3, 0, 2**40]
        assert [int(each["missing"]) for each in found] == [5, 5, 5]
        np.testing.assert_array_equal(found[0]["box"], np.array([[0, 0.5], [1, -2]], "float32"))


@pytest.mark.parametrize("dtype", ["float32", "int64", "uint8", "bool", "float16"])
def test_tensors_as_bytes_go_both_ways(dtype):
    array = (X[0, :3] * 4).astype(dtype)
    for writer, reader in ((tf, our_tf), (our_tf, tf)):
        content = writer.io.serialize_tensor(writer.constant(array)).numpy()
        np.testing.assert_array_equal(reader.io.parse_tensor(content, dtype).numpy(), array)


def record(tf, number):
    train = tf.train
    features = {
        "picture": train.Feature(bytes_list=train.BytesList(value=[b"\xff\x00ends with 0\x00"])),
        "label": train.Feature(int64_list=train.Int64List(value=[number])),
        "box": train.Feature(float_list=train.FloatList(value=[0, 0.5, 1, -2])),
    }
    return train.Example(features=train.Features(feature=features)).SerializeToString()


@pytest.mark.parametrize(
    "shapes", [((3, 4), (4, 5)), ((4,), (4,)), ((4,), (4, 5)), ((3, 4), (4,)), ((2, 3, 4), (4, 5))]
)
def test_batch_dot(shapes):
    a, b = (RNG.random((2, *shape), "float32") for shape in shapes)
    np.testing.assert_allclose(
        our_keras.backend.batch_dot(a, b), np.asarray(tf.keras.backend.batch_dot(a, b)), rtol=1e-5
    )


def test_variables_that_are_assigned_to_in_parts():
    def changed(tf):
        v = tf.Variable(np.arange(12, dtype="float32").reshape(3, 4))
        v[1:, 2].assign([7.0, 8.0])
        v.scatter_nd_update([[0, 1], [2, 3]], [-1.0, -2.0])
        v.scatter_nd_add([[0], [0]], np.ones((2, 4), "float32"))
        v.scatter_nd_sub([[1]], np.ones((1, 4), "float32"))
        return v.numpy()

    np.testing.assert_array_equal(changed(our_tf), changed(tf))


CORNERS = RNG.uniform(0, 1, (40, 4)).astype("float32")
SCORES = np.round(RNG.uniform(0, 1, 40), 1).astype("float32")  # with ties
ORDERED = np.sort(CORNERS.reshape(-1, 2, 2), axis=1).reshape(-1, 4)
WHICH = {
    "plain": lambda image: image.non_max_suppression(CORNERS, SCORES, 9),
    "thresholds": lambda image: image.non_max_suppression(CORNERS, SCORES, 40, 0.3, 0.2),
    "scores": lambda image: image.non_max_suppression_with_scores(CORNERS, SCORES, 30, 0.2, 0.1)[1],
    "soft": lambda image: image.non_max_suppression_with_scores(CORNERS, SCORES, 40, 0.2, 0.05, 0.5)[0],
    "scores of soft": lambda image: image.non_max_suppression_with_scores(CORNERS, SCORES, 20, 1.0, 0.05, 0.5)[1],
    "overlaps": lambda image: image.non_max_suppression_overlaps(np.abs(MATRIX), SCORES[:4], 3, 0.4),
    "padded": lambda image: image.non_max_suppression_padded(
        np.sort(CORNERS.reshape(-1, 2, 2), axis=1).reshape(-1, 4),
        np.linspace(0, 1, 40, dtype="float32"),
        30,
        0.1,
        0.3,
        pad_to_max_output_size=True,
    )[0],
    "boxes": lambda image: image.draw_bounding_boxes(COLOURS, BOXES[None][[0, 0]], None),
    "coloured boxes": lambda image: image.draw_bounding_boxes(X[..., :1], BOXES[None][[0, 0]], [[0.3], [0.7]]),
    "yiq": lambda image: image.yiq_to_rgb(image.rgb_to_yiq(COLOURS) * 1.1),
}


@pytest.mark.parametrize("name", WHICH)
def test_boxes(name):
    np.testing.assert_allclose(np.asarray(WHICH[name](our_tf.image)), WHICH[name](tf.image).numpy(), atol=1e-6)


@pytest.mark.parametrize("options", [{}, {"pad_per_class": True}, {"clip_boxes": False, "score_threshold": 0.6}])
@pytest.mark.parametrize("shared", [True, False])
def test_boxes_of_classes(options, shared):
    corners = RNG.uniform(-0.1, 1.1, (2, 30, 1 if shared else 3, 4)).astype("float32")
    scores = RNG.uniform(0, 1, (2, 30, 3)).astype("float32")
    ours, theirs = (
        each.image.combined_non_max_suppression(corners, scores, 4, 20, iou_threshold=0.3, **options)
        for each in (our_tf, tf)
    )
    for mine, expected in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(np.asarray(mine), expected.numpy())
    assert ours.valid_detections.dtype == np.int32


WHOLE = RNG.integers(0, 9, (4, 5)).astype("int32")
REAL = RNG.normal(size=(4, 5)).astype("float32")
HOLED = np.where(REAL > 1, np.nan, REAL).astype("float32")
POSITIVE = (MATRIX @ MATRIX.T + np.eye(4)).astype("float32")
NAMED = {  # arguments → functions
    "real": (*("cbrt", "copy", "corrcoef", "deg2rad", "diagflat", "diff", "exp2", "fabs", "fliplr", "flipud"), "sinc"),
    "reals": (
        *("isposinf", "isreal", "ptp", "rad2deg", "signbit", "trapezoid", "trunc", "amax", "conj"),
        "swish",
        "erf",
    ),
    "activations": ("celu", "hard_shrink", "hard_tanh", "soft_shrink", "sparse_plus", "sparse_sigmoid", "squareplus"),
    "pairs": ("allclose", "fmax", "fmin", "fmod", "hypot", "kron", "nextafter", "logaddexp2"),
    "holed": ("nanmax", "nanmin", "nanmean", "nansum", "nanprod", "nanstd", "nanvar", "nanmedian", "nancumsum"),
    "whole": ("gcd", "lcm", "bitwise_left_shift", "right_shift"),
    "counts": ("bartlett", "blackman", "hamming", "hanning"),
    "matrices": ("cholesky", "det", "inv", "slogdet", "logdet", "pinv", "matrix_rank"),
}
GIVEN = {**dict.fromkeys(("real", "reals", "activations"), (REAL,)), "pairs": (REAL, REAL[::-1] + 1), "holed": (HOLED,)}
GIVEN |= {"whole": (WHOLE, WHOLE % 3), "counts": (7,), "matrices": (POSITIVE,)}
RARE = {name: GIVEN[kind] for kind, names in NAMED.items() for name in names} | {
    **{"append": (REAL, REAL), "array_split": (REAL, 3), "correlate": (REAL[0], REAL[1]), "heaviside": (REAL, 0.5)},
    **{"geomspace": (1.0, 8.0, 4), "logspace": (0.0, 2.0, 4), "isin": (WHOLE, [1, 2]), "ldexp": (REAL, WHOLE)},
    **{"vsplit": (REAL, 2), "percentile": (REAL, 30.0), "tri": (3,), "unravel_index": ([3, 4], (2, 3))},
    **{"vander": (REAL[0],), "erfinv": (np.tanh(REAL),), "segment_max": (REAL, np.array([0, 1, 1, 0]))},
    **{"divide_no_nan": (REAL, np.maximum(REAL, 0)), "bitwise_invert": (WHOLE,), "solve": (POSITIVE, REAL)},
    **{"lstsq": (POSITIVE, REAL), "tanh_shrink": (REAL,), "threshold": (REAL, 0.2, 3.0), "nonzero": (REAL,)},
    **{"kaiser": (5, 2.0), "saturate_cast": (REAL * 300, "uint8"), "psnr": (REAL, REAL + 0.1, 1.0)},
}


@pytest.mark.parametrize("name", RARE)
def test_rare_operations(name):
    ours, theirs = (getattr(each.ops, name)(*RARE[name]) for each in (our_keras, keras))
    several = isinstance(theirs, list | tuple)
    for mine, expected in zip(ours if several else [ours], theirs if several else [theirs], strict=True):
        assert np.asarray(mine).dtype == np.asarray(expected).dtype
        np.testing.assert_allclose(np.asarray(mine), np.asarray(expected), rtol=2e-4, atol=1e-4)


def _windows(image):
    """What `keras.ops.image` makes of images, by name."""
    rng = np.random.default_rng(0)
    spread = np.array([0.2, 0.2, 2, 0.2, 0.2, 2, 0.01, 0.01])
    transforms = (np.array([1, 0, 0, 0, 1, 0, 0, 0]) + rng.normal(size=(2, 8)) * spread).astype("float32")
    start = np.array([[0, 0], [7, 0], [0, 8], [7, 8]], "float32")
    end = start + rng.normal(size=(2, 4, 2)).astype("float32")
    yield "patches", image.extract_patches(X, (3, 2), (1, 2), padding="same")
    yield "one image's patches", image.extract_patches(X[0], 2, 1, dilation_rate=2)
    yield "blur", image.gaussian_blur(X, (4, 4), (0.5, 1.5))
    yield "edges", image.sobel_edges(X)
    yield "bytes", image.affine_transform((X * 255).astype("uint8"), transforms)
    for way in ("nearest", "bilinear"):
        for mode in ("constant", "nearest", "reflect"):
            yield f"{way}, {mode}", image.affine_transform(X, transforms, way, mode, 0.7)
        yield f"perspective, {way}", image.perspective_transform(X, np.stack([start, start]), end, way, 0.3)


def test_windows_of_keras_ops_image():
    ours = dict(_windows(our_keras.ops.image))
    for name, expected in _windows(keras.ops.image):
        np.testing.assert_allclose(ours[name], np.asarray(expected), atol=1e-5, err_msg=name)
