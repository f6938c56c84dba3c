"""Shapes, texts and checks of ``tf``, with the values of TensorFlow 2.21."""

import operator

import numpy as np
import pytest

from minicnn import keras
from minicnn.keras import tensorflow as tf
from minicnn.keras._missing import NotInMinicnn


def test_the_shape_of_an_array_is_computed_with():
    sizes = tf.shape(tf.ones([4, 6, 3]))
    assert np.asarray(sizes[:2] * 2).tolist() == [8, 12] and np.asarray(sizes[:2] // 4).tolist() == [1, 1]
    assert np.asarray(sizes + 1).tolist() == [5, 7, 4] and (sizes[0] / 8).numpy() == 0.5
    assert sizes.numpy().tolist() == [4, 6, 3] and sizes[1].numpy() == 6 and sizes.dtype == tf.int32
    assert tf.shape([[1, 2]], out_type=tf.int64).dtype == tf.int64
    assert tf.zeros(sizes[:2]).shape == (4, 6) and tf.reshape(tf.ones([4, 6, 3]), [sizes[0], -1]).shape == (4, 18)


class Larger(keras.Model):
    """Doubles its pictures by their sizes."""

    def __init__(self):
        super().__init__()
        self.conv = keras.layers.Conv2D(2, 3, padding="same")

    def call(self, inputs):
        y = self.conv(inputs)
        y = tf.image.resize(y, tf.shape(y)[1:3] * 2)
        return tf.image.resize(y, (tf.shape(y)[1:3] + np.array([2, 0])) // 2)


def test_the_shape_of_a_models_tensor_is_computed_with():
    image = keras.Input((6, 4, 1))
    sizes = tf.shape(image)
    assert sizes[1:3] * 2 == (12, 8) and 2 * sizes[1:3] == (12, 8) and sizes[1:3] - 1 == (5, 3)
    assert sizes[1:3] / 4 == (1.5, 1.0) and sizes * 2 == (None, 12, 8, 2)
    assert Larger()(np.ones((2, 6, 4, 1), "float32")).shape == (2, 7, 4, 2)
    assert Larger()(image).shape == (None, 7, 4, 2)


def test_a_models_tensor_is_broadcast():
    image, gate = keras.Input((4, 4, 2)), keras.Input((1, 1, 2))
    wide = tf.broadcast_to(gate, tf.shape(image))
    model = keras.Model([image, gate], wide * image)
    x, scale = np.ones((3, 4, 4, 2), "float32"), np.arange(6.0).reshape(3, 1, 1, 2)
    assert wide.shape == (None, 4, 4, 2) and np.array_equal(model.predict([x, scale], verbose=0), x * scale)
    with pytest.raises(ValueError, match="4 sizes"):
        tf.broadcast_to(gate, (None, 4, 4))


def test_shapes_are_objects_with_methods():
    shape = tf.TensorShape([2, 3])
    assert shape.as_list() == [2, 3] and shape.num_elements() == 6 and shape.is_fully_defined() and shape.rank == 2
    is_open = tf.TensorShape([None, 3])
    assert is_open[1:].as_list() == [3] and is_open.num_elements() is None and not is_open.is_fully_defined()
    assert shape.concatenate([5]).as_list() == [2, 3, 5] and isinstance(tf.ones([2]).shape, tf.TensorShape)
    assert tf.broadcast_static_shape(tf.TensorShape([3]), tf.TensorShape([None, 1])).as_list() == [None, 3]
    assert tf.broadcast_dynamic_shape([2, 1], [3]).numpy().tolist() == [2, 3]
    with pytest.raises(ValueError, match="go together"):
        tf.broadcast_static_shape([2], [3])


def test_means_of_whole_numbers_are_whole():
    assert tf.reduce_mean(tf.constant([-3, -4, -4])).numpy() == -3 and tf.reduce_mean([1, 2, 4]).dtype == tf.int32
    assert tf.reduce_mean(tf.constant([[100, 120, 121]], "uint8"), 1).numpy().tolist() == [113]
    assert tf.reduce_mean(tf.constant([1.0, 2.0])).numpy() == 1.5 and tf.reduce_mean([1, 2.0]).numpy() == 1.5


def test_numbers_of_python_in_data_sets():
    slices = tf.data.Dataset.from_tensor_slices
    assert next(iter(slices([1.0, 2.0]))).dtype == "float32" and next(iter(slices([[1, 2]]))).dtype == "int32"
    image, label = next(iter(slices((np.arange(3.0), [0, 1, 2]))))
    assert image.dtype == "float64" and label.dtype == "int32"
    assert next(iter(slices([2**40, 1]))).dtype == "int64" and next(iter(slices([np.float64(1), 2]))).dtype == "float64"
    found = next(iter(slices({"a": [0.1], "b": [True], "c": ["x"]}).map(lambda each: (each["a"], 1.5, 7))))
    assert [part.dtype.name for part in found] == ["float32", "float32", "int32"]
    assert next(iter(tf.data.Dataset.range(3))).dtype == "int64"


def test_bytes_of_files_have_numpy(tmp_path):
    pixels = np.arange(48, dtype="uint8").reshape(4, 4, 3)
    for encode, first in ((tf.io.encode_png, b"\x89PNG"), (tf.io.encode_jpeg, b"\xff\xd8\xff")):
        content = encode(pixels)
        assert isinstance(content.numpy(), bytes) and content.numpy().startswith(first)
        tf.io.write_file(str(tmp_path / "a"), content)
        read = tf.io.read_file(str(tmp_path / "a"))
        assert read.numpy() == content.numpy() == (tmp_path / "a").read_bytes() and read.shape == ()
        record = tf.train.Feature(bytes_list=tf.train.BytesList(value=[read.numpy()]))
        assert tf.io.decode_image(record.bytes_list.value[0]).shape == (4, 4, 3)


def test_structures():
    assert tf.nest.map_structure(lambda a, b: a * b, [1, (2, 3)], [4, (5, 6)]) == [4, (10, 18)]
    assert tf.nest.map_structure(lambda a: a + 1, {"b": [2, 3], "a": 1}) == {"b": [3, 4], "a": 2}
    assert tf.is_tensor(tf.Variable(1.0)) and not tf.is_tensor(np.ones(2))
    assert tf.foldr(lambda a, b: a - b, tf.constant([3, 1, 2])).numpy() == -2
    assert tf.foldr(lambda a, b: a + b, [3, 1, 2], 10).numpy() == 16
    assert tf.nn.embedding_lookup([[1.0, 2.0], [3.0, 4.0]], [1, 0]).numpy().tolist() == [2, 1]  # rows of two parts
    assert tf.clip_by_norm([3.0, 4.0], 1.0).numpy() == pytest.approx([0.6, 0.8])


def test_texts():
    assert tf.strings.as_string(2.5).numpy() == b"2.500000" and tf.strings.as_string([True]).numpy() == [b"true"]
    assert tf.strings.substr(["abcd", "efgh"], 1, 2).numpy().tolist() == [b"bc", b"fg"]
    assert tf.strings.substr("abcd", -3, 2).numpy() == b"bc"
    assert tf.strings.reduce_join(["a", "b"], separator="-").numpy() == b"a-b"
    assert tf.strings.reduce_join([["a", "b"], ["c", "d"]], 0).numpy().tolist() == [b"ac", b"bd"]
    assert tf.strings.format("{} of {}", (tf.constant([1, 2]), 2)).numpy() == b"[1 2] of 2"
    with pytest.raises(ValueError, match="a place for each of 1 inputs"):
        tf.strings.format("no place", 3)


def test_texts_of_arrays_are_joined_and_cut_place_by_place():
    assert tf.strings.join([["a", "b"], ["c", "d"]], "-").numpy().tolist() == [b"a-c", b"b-d"]
    assert tf.strings.join([tf.constant(["a", "b"]), ".png"]).numpy().tolist() == [b"a.png", b"b.png"]
    assert tf.strings.join(["a", "b"]).numpy() == b"ab"
    assert tf.strings.substr(["hello", "world"], [1, 2], [2, 1]).numpy().tolist() == [b"el", b"r"]


def test_texts_are_cut_by_bytes_or_letters():
    assert tf.strings.substr("h\u00e9llo", 0, 3).numpy() == b"h\xc3\xa9"
    assert tf.strings.substr("h\u00e9llo", 0, 2).numpy() == b"h\xc3"
    assert tf.strings.substr("h\u00e9llo", 0, 3, unit="UTF8_CHAR").numpy() == b"h\xc3\xa9l"


def test_texts_along_several_axes():
    texts = [["a", "b"], ["c", "d"]]
    assert tf.strings.reduce_join(texts, [0, 1]).numpy() == b"acbd"
    assert tf.strings.reduce_join(texts, [1, 0]).numpy() == b"abcd"
    assert tf.strings.reduce_join(texts, keepdims=True).numpy().tolist() == [[b"abcd"]]
    assert tf.strings.reduce_join(texts, 0, keepdims=True).numpy().tolist() == [[b"ac", b"bd"]]


def test_the_gradient_of_clipping_zeros_is_that_of_what_is_not_clipped():
    x = tf.Variable([[0.0, 0.0], [3.0, 4.0]])
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.clip_by_norm(x, 1.0, axes=[1]) * [[1.0, 2.0], [4.0, 3.0]])
    np.testing.assert_allclose(tape.gradient(loss, x), [[1, 2], [0.224, -0.168]], atol=1e-6)


def test_rows_of_an_embedding_with_norms_up_to_a_bound():
    rows = np.arange(12, dtype="float32").reshape(4, 3)
    found = tf.nn.embedding_lookup(rows, [1, 0], max_norm=3.0)
    np.testing.assert_allclose(found, [rows[1] * 3 / np.sqrt(50), rows[0]], rtol=1e-6)
    found = tf.nn.embedding_lookup([rows[:2].reshape(1, 2, 3), rows[2:].reshape(1, 2, 3)], 1, max_norm=1.0)
    np.testing.assert_allclose(found, rows[2:] / np.sqrt(36 + 49 + 64 + 81 + 100 + 121), rtol=1e-6)


@pytest.mark.parametrize("other", [[1, [2]], [[1], 2], [1], {"a": 1, "b": 2}])
def test_structures_that_differ_are_refused(other):
    with pytest.raises(ValueError, match="structures of one form"):
        tf.nest.map_structure(lambda a, b: a + b, [1, 2], other)


def test_shapes_beside_lists():
    shape = tf.constant([[1, 2, 3]]).shape
    assert (
        shape == [1, 3] and shape == (1, 3) and not operator.ne(shape, [1, 3]) and shape != [3, 1] and shape in {(1, 3)}
    )
    assert operator.add([2], shape[1:]) == operator.add((2,), shape[1:]) == (2, 3)
    assert operator.add(shape[:1], [4]) == (1, 4)
    assert keras.Input((4,)).shape == [None, 4]
    assert tf.TensorShape([None, 3]).is_compatible_with([2, 3])
    assert not tf.TensorShape([None, 3]).is_compatible_with([2, 4])
    assert not tf.TensorShape([None, 3]).is_compatible_with([2])
    assert type(np.float32(1) / operator.add(shape, [4])[2]) is np.float32  # sizes are plain numbers


def test_the_state_of_a_data_set_that_is_reduced_has_its_numbers():
    numbers = tf.data.Dataset.range(5)
    assert numbers.reduce(0, lambda count, _: count + 1).numpy() == 5
    assert numbers.reduce(np.int64(0), lambda total, n: total + n).numpy() == 10
    total, count = numbers.reduce((0.0, 0), lambda state, n: (state[0] + n, state[1] + 1))
    assert (total.numpy(), count.numpy()) == (10.0, 5)
    assert numbers.reduce([], lambda seen, n: [*seen, int(n)]) == [0, 1, 2, 3, 4]


PASS = [
    lambda d: d.assert_near(1.0, 1.0 + 1e-7),
    lambda d: d.assert_positive([1.0]),
    lambda d: d.assert_shapes([(tf.ones([2, 3]), ("N", 3)), (tf.ones([2]), ("N",))]),
    lambda d: d.assert_shapes([(tf.ones([2, 3, 4]), (..., "Q")), (tf.ones([4]), ("*", "Q"))]),
    lambda d: d.assert_shapes([(tf.ones([2, 3]), (".", None)), (tf.ones([3]), (".",)), (tf.ones([]), ()), (1.0, (1,))]),
    lambda d: d.assert_shapes([(keras.Input((4,)), ("N", "4")), (tf.ones([2, 3]), ("N", 3))]),
    lambda d: d.assert_rank(tf.ones([2, 3]), 2),
    lambda d: d.assert_rank_in(tf.ones([2, 3]), (1, 2)),
    lambda d: d.assert_type(tf.ones([2]), tf.float32),
    lambda d: d.check_numerics(tf.ones([2]), "x"),
    lambda d: d.Assert(True, [1]),
]
FAIL = [
    (lambda d: d.assert_near(1.0, 2.0), "near"),
    (lambda d: d.assert_positive([0.0]), "positive"),
    (lambda d: d.assert_shapes([(tf.ones([2, 3]), ("N", "N"))]), "N"),
    (lambda d: d.assert_shapes([(tf.ones([2, 3]), ("N", 2))]), "shape"),
    (lambda d: d.assert_shapes([(tf.ones([2, 3]), ("2", "4"))]), "shape"),
    (lambda d: d.assert_shapes([(tf.ones([2, 3]), (..., "Q", 2, 3))]), "shape"),
    (lambda d: d.assert_rank(tf.ones([2]), 2), "2 axes"),
    (lambda d: d.check_numerics([1.0, np.nan], "a loss"), "a loss"),
    (lambda d: d.assert_all_finite([np.inf], "a loss"), "a loss"),
    (lambda d: d.Assert(False, ["what"]), "what"),
]


@pytest.mark.parametrize("call", PASS)
def test_checks_that_hold(call):
    call(tf.debugging)


@pytest.mark.parametrize(("call", "said"), FAIL)
def test_checks_that_do_not_hold(call, said):
    with pytest.raises(ValueError, match=said):
        call(tf.debugging)


def test_checks_of_what_a_tape_records():
    x = tf.Variable([2.0, 3.0])
    with tf.GradientTape() as tape:
        y = x * x
        tf.debugging.assert_positive(y)
        tf.debugging.assert_less(y, 10.0)
        tf.debugging.Assert(y[0] > 0, [y])
        with pytest.raises(ValueError, match=r"equal. Received: \[4. 9.\], 4.0"):
            tf.debugging.assert_equal(y, 4.0)
        loss = tf.reduce_sum(y)
    np.testing.assert_array_equal(tape.gradient(loss, x), [4.0, 6.0])


class _Checking(keras.layers.Layer):
    def call(self, x):
        tf.debugging.assert_positive(x)
        return x * 2


def test_what_a_layer_checks_is_the_data_and_not_the_zeros_by_which_its_shape_is_found():
    inputs = keras.Input((2,))
    model = keras.Model(inputs, _Checking()(inputs))
    np.testing.assert_array_equal(model.predict(np.ones((1, 2)), verbose=0), [[2, 2]])
    with pytest.raises(ValueError, match="expected positive numbers"):
        model.predict(-np.ones((1, 2)), verbose=0)


class _CheckingWithWeights(_Checking):
    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(1, kernel_initializer="ones")

    def call(self, x):
        return self.dense(super().call(x))


def test_in_the_graph_of_a_model_nothing_is_checked_which_a_warning_says():
    inputs = keras.Input((2,))
    with pytest.warns(UserWarning, match="in its graph, they check nothing"):
        model = keras.Model(inputs, _CheckingWithWeights()(inputs))
    np.testing.assert_array_equal(model.predict(np.ones((1, 2)), verbose=0), [[4]])


def test_a_type_that_is_another():
    with pytest.raises(TypeError, match="float32"):
        tf.debugging.assert_type(tf.ones([1]), tf.int32)


def test_names_that_change_nothing():
    with tf.init_scope():
        assert tf.dtypes.cast([1.5], tf.dtypes.int32).numpy().tolist() == [1]
    assert tf.double == tf.float64 and tf.half == tf.float16 and tf.config.functions_run_eagerly()
    assert tf.VariableAggregation.MEAN.name == "MEAN" and tf.get_static_value(tf.constant(3)) == 3
    assert tf.recompute_grad(abs)(-1) == 1 and not tf.sysconfig.get_build_info()["is_cuda_build"]


def test_what_print_writes(capsys):
    tf.print("a", tf.constant([1, 2]), end="")
    tf.print(tf.strings.join(["b", "c"]), 3, sep="|")
    assert capsys.readouterr().out == 'a [1 2]"bc"|3\n'


class TwoLayers(tf.Module):
    """Holds a variable, a module and a layer."""

    def __init__(self):
        super().__init__()
        with self.name_scope:
            self.scale, self.inner = tf.Variable(2.0), tf.Module("inner")
        self.inner.dense = keras.layers.Dense(3)


def test_modules_have_names_and_submodules():
    module = TwoLayers()
    assert module.name == "two_layers" and module.submodules == (module.inner, module.inner.dense)
    module.inner.dense(np.ones((1, 2), "float32"))
    assert [v.shape for v in module.inner.variables] == [(2, 3), (3,)]


def test_a_seed_may_be_written_as_a_float():
    tf.random.set_seed(3.0)
    first = tf.random.uniform([4]).numpy()
    tf.random.set_seed(3)
    assert np.array_equal(first, tf.random.uniform([4]).numpy())


def test_databases_are_refused_in_one_sentence():
    with pytest.raises(NotInMinicnn, match=r"pandas\.read_sql"):
        tf.data.experimental.SqlDataset("sqlite", "a.db", "select x from y", (tf.int32,))


def test_bounds_of_the_dtype_of_what_a_tape_records():
    x = tf.Variable([1.0])
    with tf.GradientTape():
        dtype = (x * 2).dtype
    assert (dtype.size, dtype.max, dtype.min) == (4, np.float32(3.4028235e38), np.float32(-3.4028235e38))


def test_sizes_may_be_whole_numbers_of_floats():
    """As detectors count the places of their anchors; TensorFlow takes them, and cuts a fraction off in silence."""
    two = tf.math.ceil(tf.constant(15) / 8)
    x = tf.constant([[1.0, 2.0]])
    np.testing.assert_array_equal(tf.tile(x, [two, 1]), [[1, 2], [1, 2]])
    np.testing.assert_array_equal(tf.reshape(x, [two, 1]), [[1], [2]])
    np.testing.assert_array_equal(tf.slice(x, [0, 0], [1, two]), [[1, 2]])
    for made in (tf.zeros([two, 3]), tf.ones((two, 3)), tf.fill([two, 3], 1.0)):
        assert made.shape == (2, 3)
    with pytest.raises(TypeError):
        tf.tile(x, [tf.constant(2.5), 1])
    with pytest.raises(TypeError):
        tf.reshape(x, [2.0, 1])
