"""Modules that Keras 3 has beside layers, losses and metrics: numbers of Keras 3.15.1 on TensorFlow."""

from collections import OrderedDict, defaultdict, namedtuple

import numpy as np
import pytest

from minicnn import keras
from minicnn.keras import layers, ops
from minicnn.keras import tensorflow as tf
from minicnn.keras.distillation import DistillationLoss, Distiller, FeatureDistillation, LogitsDistillation

NESTED = {"b": [1, None], "a": (2, 3)}
IMAGES = np.arange(2 * 2 * 4 * 8, dtype=np.float32).reshape(2, 2, 4, 8)


def net(width):
    parts = [layers.Conv2D(width, 3, activation="relu"), layers.Conv2D(2, 1, name="features")]
    model = keras.Sequential([keras.Input((4, 4, 1)), *parts, layers.Flatten(), layers.Dense(3)])
    model.set_weights([(np.arange(w.size) % 7 / 10 - 0.3).reshape(w.shape) for w in model.get_weights()])
    return model


def test_a_distiller_trains_as_kerass():
    teacher, student = net(4), net(2)
    x, y = (np.arange(12 * 16) % 11 / 10).reshape(12, 4, 4, 1), np.arange(12) % 3
    parts = [LogitsDistillation(2.0, keras.losses.KLDivergence()), FeatureDistillation("mse", "features", "features")]
    model = Distiller(teacher, student, parts, [1.0, 0.5], student_loss_weight=0.3)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=keras.optimizers.SGD(0.1), loss=loss, metrics=["accuracy"])
    history = model.fit(x, y, batch_size=5, epochs=2, shuffle=False, verbose=0).history
    expected = {
        "accuracy": [0.3333333432674408, 0.3333333432674408],
        "distillation_loss": [0.0005214565899223089, 0.0005196747952140868],
        "loss": [0.33144721388816833, 0.33151352405548096],
        "student_loss": [1.093384861946106, 1.093143343925476],
        "total_loss": [0.3283804953098297, 0.32830676436424255],
    }
    assert history.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(history[name], values, rtol=1e-5, atol=1e-6)
    after = model.evaluate(x, y, verbose=0, return_dict=True)
    np.testing.assert_allclose(after["loss"], 0.3313257098197937, rtol=1e-5)
    np.testing.assert_allclose(after["distillation_loss"], 0.0005902404664084315, atol=1e-6)
    bias = [-0.30549830198287964, -0.1946016103029251, -0.09990012645721436]
    np.testing.assert_allclose(student.get_weights()[-1], bias, atol=1e-6)
    np.testing.assert_allclose(teacher.get_weights()[-1], [-0.3, -0.2, -0.1], atol=1e-7)  # frozen


def test_logits_are_compared_as_probabilities_by_name_too():
    said = np.array([[1.0, 2.0, -3.0], [0.0, 0.5, 1.0]]), np.array([[1.0, -2.0, 3.0], [0.3, 0.0, 1.0]])
    p, q = (np.exp(x / 4) / np.exp(x / 4).sum(axis=-1, keepdims=True) for x in said)
    divergence = 16 * (p * np.log(p / q)).sum(axis=-1).mean()
    np.testing.assert_allclose(LogitsDistillation(4.0).compute_loss(*said), divergence, rtol=1e-5)
    again = LogitsDistillation.from_config(LogitsDistillation(2.5, "mse").get_config())
    np.testing.assert_allclose(again.compute_loss(*said), ((said[0] - said[1]) ** 2).mean() / 6.25, rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"distillation_losses": None}, "needs distillation losses"),
        (
            {"distillation_losses": LogitsDistillation(), "distillation_loss_weights": [1.0, 2.0]},
            "with a weight for each",
        ),
        ({"distillation_losses": LogitsDistillation(), "student_loss_weight": 1.5}, "from 0 to 1"),
        ({"distillation_losses": LogitsDistillation(), "student": None}, "a student is a Model"),
        ({"distillation_losses": FeatureDistillation("mse", "none", "features")}, "none"),
    ],
)
def test_a_distiller_that_cannot_be(options, words):
    with pytest.raises(ValueError, match=words):
        Distiller(net(2), **{"student": net(2), **options})


def test_a_distillation_loss_of_ones_own_and_without_a_loss():
    class Sums(DistillationLoss):
        def compute_loss(self, teacher_outputs, student_outputs):
            return ops.mean(ops.square(ops.sum(teacher_outputs, axis=-1) - ops.sum(student_outputs, axis=-1)))

    x = np.ones((3, 4, 4, 1), np.float32)
    teacher, student = net(4), net(2)
    model = Distiller(teacher, student, Sums(), student_loss_weight=0.0)
    model.compile(loss="mse")
    apart = teacher.predict(x, verbose=0).sum(axis=-1) - student.predict(x, verbose=0).sum(axis=-1)
    logs = model.evaluate(x, np.zeros((3, 3)), verbose=0, return_dict=True)
    np.testing.assert_allclose(logs["distillation_loss"], (apart**2).mean(), rtol=1e-5)
    for given, words in (({"loss": None}, "needs the loss of its student"), ({"loss": [None]}, "for one output")):
        with pytest.raises(ValueError, match=words):
            model.compile(**given)
    with pytest.raises(ValueError, match="above 0"):
        LogitsDistillation(temperature=0)


def test_trees_are_flattened_and_filled_in_kerass_order():
    tree = keras.tree
    assert tree.flatten(NESTED) == [2, 3, 1, None]
    assert tree.flatten_with_path(NESTED) == [(("a", 0), 2), (("a", 1), 3), (("b", 0), 1), (("b", 1), None)]
    assert tree.map_structure(lambda n: n + 1, NESTED, none_is_leaf=False) == {"b": [2, None], "a": (3, 4)}
    assert tree.map_structure(lambda a, b: a * b, [1, (2,)], [3, (4,)]) == [3, (8,)]
    assert tree.pack_sequence_as(NESTED, [9, 8, 7, 6]) == {"b": [7, 6], "a": (9, 8)}
    assert tree.lists_to_tuples(NESTED) == {"b": (1, None), "a": (2, 3)}
    assert tree.map_shape_structure(len, {"a": (None, 3), "b": [(2,), (1, 2, 3)]}) == {"a": 2, "b": [1, 3]}
    assert tree.traverse(lambda v: v * 10 if isinstance(v, int) else None, NESTED) == {"b": [10, None], "a": (20, 30)}
    counted = tree.traverse(lambda v: len(v) if isinstance(v, tuple) else None, NESTED, top_down=False)
    assert counted == {"b": [1, None], "a": 2}
    assert tree.is_nested(NESTED) and not tree.is_nested(3)


@pytest.mark.parametrize(
    "call",
    [
        lambda tree: tree.assert_same_structure([1], (1,)),
        lambda tree: tree.assert_same_structure({"a": 1}, {"b": 1}),
        lambda tree: tree.map_structure(lambda a, b: a, [1], [1, 2]),
        lambda tree: tree.map_structure(len),
        lambda tree: tree.pack_sequence_as([1], [1, 2]),
        lambda tree: tree.assert_same_paths([1], [1, 2]),
    ],
)
def test_trees_of_other_forms_are_refused(call):
    with pytest.raises(ValueError, match="Received"):
        call(keras.tree)


def test_settings_are_kept_and_change_nothing():
    config = keras.config
    assert config.is_interactive_logging_enabled() and not config.is_flash_attention_enabled()
    config.disable_interactive_logging()
    assert not keras.utils.is_interactive_logging_enabled()
    keras.utils.enable_interactive_logging()
    assert config.is_interactive_logging_enabled()
    config.enable_unsafe_deserialization()
    config.set_backend("tensorflow")
    with pytest.warns(UserWarning, match="computes by itself"):
        config.set_backend("jax")
    with pytest.raises(ValueError, match="theano"):
        config.set_backend("theano")
    with keras.device("cpu:0"), keras.name_scope("part"):
        assert keras.version() == keras.__version__


def test_modules_that_are_not_there_say_so():
    for module, name in (("visualization", "plot_image_gallery"), ("export", "ExportArchive"), ("quantizers", "get")):
        with pytest.warns(UserWarning, match=f"minicnn has no {name}: "):
            given = getattr(__import__(f"minicnn.keras.{module}", fromlist=[name]), name)
        with pytest.raises(ImportError, match=f"minicnn has no {name}: "):
            given()


def test_built_is_set_as_scripts_do():
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(3)

        def build(self, input_shape):
            self.dense.build(input_shape)
            self.built = True

        def call(self, x):
            return self.dense(x)

    assert Own()(np.ones((2, 4))).shape == (2, 3)
    dense = layers.Dense(2)
    dense.built = True  # says nothing of weights that are still to come
    assert dense(np.ones((2, 4))).shape == (2, 2) and len(dense.weights) == 2


GIVEN = np.array([[1.0, 2.0], [3.0, 0.5]], np.float32)
RESULTS = {
    "mean": lambda: ops.mean(GIVEN),
    "argmax": lambda: ops.argmax(GIVEN, axis=-1),
    "sum": lambda: ops.sum(GIVEN, axis=0),
    "cast": lambda: ops.cast(GIVEN, "int32"),
    "convert_to_tensor": lambda: ops.convert_to_tensor([1.0, 2.0]),
    "norm": lambda: ops.norm(GIVEN),
    "one_hot": lambda: ops.one_hot([0, 1], 2),
    "where": lambda: ops.where(GIVEN > 1, GIVEN, 0),
    "einsum": lambda: ops.einsum("ij,kj->ik", GIVEN, GIVEN),
    "top_k": lambda: ops.top_k(GIVEN, 1)[1],
    "split": lambda: ops.split(GIVEN, 2)[0],
    "svd": lambda: ops.svd(GIVEN)[1],
    "conv": lambda: ops.conv(IMAGES, np.ones((1, 1, 8, 2), np.float32)),
    "any": lambda: ops.any(GIVEN > 2),
    "sparse_categorical_crossentropy": lambda: ops.sparse_categorical_crossentropy([0, 1], GIVEN / 4),
}


@pytest.mark.parametrize("name", RESULTS)
def test_results_of_operations_have_numpy(name):
    result = RESULTS[name]()
    np.testing.assert_array_equal(result.numpy(), np.asarray(result))
    assert type(result.numpy()) is np.ndarray or isinstance(result.numpy(), np.generic)


@pytest.mark.parametrize(
    ("given", "dtype"),
    [
        *[([1], "int32"), ([1.0], "float32"), ([True], "bool"), (1, "int32"), (1.5, "float32"), ((1, 2), "int32")],
        *[(np.array([1]), "int64"), (np.array([1.0]), "float64"), (np.float64(2), "float64"), (np.int64(3), "int64")],
        *[([np.array([1, 2])], "int32"), ([np.array([1.0])], "float64"), ([np.float32(1), 2.0], "float32")],
        *[([[1, 2], [3, 4.0]], "float32"), (2**40, "int64"), ([], "float32")],
    ],
)
def test_arrays_of_lists_and_numbers_have_kerass_dtypes(given, dtype):
    assert ops.array(given).dtype == ops.convert_to_tensor(given).dtype == dtype
    assert ops.array(given, "float16").dtype == ops.convert_to_tensor(given, "float16").dtype == "float16"


def test_full_is_of_floats_unless_told():
    assert [ops.full((2,), n).dtype for n in (1, True, np.int64(3), 2.5)] == ["float32"] * 4
    assert ops.full((2,), 1, "int32").dtype == ops.full((2,), 1, dtype="int32").dtype == "int32"


def test_operations_that_arrange_numbers():
    first = IMAGES.transpose(0, 3, 1, 2)
    blocks = ops.depth_to_space(IMAGES, 2)
    assert blocks.shape == (2, 4, 8, 2)
    np.testing.assert_array_equal(blocks[1, 2:, 4:6], IMAGES[1, 1, 2].reshape(2, 2, 2))
    np.testing.assert_array_equal(ops.space_to_depth(blocks, 2), IMAGES)
    of_first = ops.depth_to_space(first, 2, data_format="channels_first")
    np.testing.assert_array_equal(of_first, np.moveaxis(np.asarray(blocks), -1, 1))
    np.testing.assert_array_equal(ops.space_to_depth(of_first, 2, "channels_first"), first)
    patches = ops.rearrange(IMAGES, "b (h p) (w q) c -> b h w (c p q)", p=2, q=2)
    np.testing.assert_array_equal(patches[1, 0, 1, 12:16], IMAGES[1, :, 2:, 3].ravel())
    assert ops.rearrange(IMAGES, "b h w c -> h (b w) c").shape == (2, 8, 8)
    for pattern in ("b h w c -> b h w", "b h w -> b w h", "b (h p) w c -> b h p w c"):
        with pytest.raises(ValueError, match="Received"):
            ops.rearrange(IMAGES, pattern, **({"p": 3} if "p" in pattern else {}))
    apart = ops.cdist(IMAGES[0, 0], IMAGES[1, 0])
    np.testing.assert_allclose(apart[1, 2], np.linalg.norm(IMAGES[0, 0, 1] - IMAGES[1, 0, 2]), rtol=1e-6)


def test_they_are_layers_of_a_model_and_have_gradients():
    given = keras.Input((2, 4, 8))
    outputs = [ops.depth_to_space(given, 2), ops.rearrange(given, "b h w c -> b c (h w)")]
    said = keras.Model(given, outputs).predict(IMAGES, verbose=0)
    np.testing.assert_array_equal(said[0], ops.depth_to_space(IMAGES, 2))
    np.testing.assert_array_equal(said[1], IMAGES.reshape(2, 8, 8).transpose(0, 2, 1))
    with tf.GradientTape() as tape:
        x = tf.constant(IMAGES[:, :, 0])  # (2, 2, 8)
        tape.watch(x)
        apart = ops.cdist(x[:, 0], x[:, 1])
        total = ops.sum(apart) + ops.sum(ops.cdist(x[:, 0], x[:, 0]))
    sides = np.asarray(x[:, None, 0] - x[None, :, 1])  # (2, 2, 8)
    own = sides / np.linalg.norm(sides, axis=-1, keepdims=True)
    np.testing.assert_allclose(np.asarray(tape.gradient(total, x))[:, 1], -own.sum(axis=0), rtol=1e-5)


def test_functions_of_ones_own_over_parts_and_what_a_tensor_is():
    mapped = ops.map(lambda part: {"sum": part["a"].sum(), "b": part["b"] * 2}, {"a": IMAGES, "b": np.arange(2)})
    np.testing.assert_array_equal(mapped["sum"], IMAGES.sum(axis=(1, 2, 3)))
    np.testing.assert_array_equal(mapped["b"], [0, 2])
    assert [int(ops.switch(i, [lambda n: n, lambda n: n * 3], 5)) for i in (-1, 0, 1, 7)] == [5, 5, 15, 15]
    np.testing.assert_array_equal(ops.vectorize(lambda a, b: max(a, b))(np.array([1.0, 5.0]), 2.0), [2, 5])
    assert ops.get_item(IMAGES, (0, slice(None), 1)).shape == (2, 8)
    assert ops.is_tensor(ops.zeros(2)) and not ops.is_tensor(IMAGES) and not ops.is_tensor(3)
    assert [ops.dtype(ops.zeros(2)), ops.dtype(ops.array([1])), ops.dtype(keras.Input((3,)))] == [
        "float32",
        "int32",
        "float32",
    ]
    names = [keras.backend.standardize_dtype(each) for each in (None, float, int, np.float16, "bool", "bfloat16")]
    assert names == ["float32", "float32", "int64", "float16", "bool", "bfloat16"]
    assert keras.backend.is_float_dtype("float16") and keras.backend.is_int_dtype("uint8")


def test_text_of_tensorflow():
    assert tf.compat.as_str_any(b"\xc3\xa9") == tf.compat.as_text("é") == tf.compat.as_str(b"\xc3\xa9") == "é"
    assert tf.compat.as_bytes("é") == tf.compat.as_bytes(b"\xc3\xa9") == b"\xc3\xa9"
    assert tf.compat.as_str_any(3) == "3"


def test_weights_go_by_functions_of_keras_saving(tmp_path):
    one, other = net(2), net(2)
    other.set_weights([w * 0 for w in other.get_weights()])
    keras.saving.save_weights(one, tmp_path / "a.weights.h5")
    keras.saving.load_weights(other, tmp_path / "a.weights.h5")
    np.testing.assert_array_equal(other.get_weights()[0], one.get_weights()[0])


SCHEDULES = keras.optimizers.schedules
NUMBERS = {
    "schedule": lambda: SCHEDULES.CosineDecay(0.1, 10)(5),
    "steps": lambda: SCHEDULES.PiecewiseConstantDecay([2], [0.5, 0.25])(3),
    "regularizer": lambda: keras.regularizers.L2(0.1)(GIVEN),
    "patches": lambda: ops.image.extract_patches(IMAGES, 2),
    "blurred": lambda: ops.image.gaussian_blur(IMAGES),
    "dropout": lambda: keras.random.dropout(GIVEN, 0.5),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_schedules_penalties_and_pictures_have_numpy(name):
    result = NUMBERS[name]()
    np.testing.assert_allclose(result.numpy(), np.asarray(result), rtol=1e-7)


def test_a_schedule_is_one_of_the_librarys_in_files_and_in_subclasses(tmp_path):
    class Twice(SCHEDULES.ExponentialDecay):
        def __call__(self, step):
            return super().__call__(step) * 2

    assert Twice(0.1, 10, 0.5)(10) == pytest.approx(0.1)
    model = net(2)
    model.compile(keras.optimizers.SGD(SCHEDULES.CosineDecay(0.1, 10, warmup_target=0.2, warmup_steps=2)), "mse")
    model.fit(np.ones((2, 4, 4, 1)), np.ones((2, 3)), verbose=0)
    model.save(tmp_path / "a.keras")
    loaded = keras.models.load_model(tmp_path / "a.keras")
    assert loaded.optimizer.get_config()["learning_rate"] == model.optimizer.get_config()["learning_rate"]
    assert float(loaded.optimizer.learning_rate) == pytest.approx(0.15)
    assert isinstance(loaded.optimizer.get_config()["learning_rate"], dict)


def test_trees_keep_the_classes_of_dicts_and_the_order_of_an_ordered_one():
    """What optree gives in Keras 3.15: an OrderedDict goes as it stands, others by their keys in order."""
    tree, ordered = keras.tree, OrderedDict(b=1, a=[2, 3])
    assert tree.flatten(ordered) == [1, 2, 3] and tree.flatten(dict(ordered)) == [2, 3, 1]
    assert tree.flatten_with_path(ordered)[0] == (("b",), 1)
    made = tree.map_structure(lambda n: -n, ordered)
    assert type(made) is OrderedDict and list(made.items()) == [("b", -1), ("a", [-2, -3])]
    assert type(tree.map_structure(abs, defaultdict(list, a=1))) is defaultdict
    assert list(tree.pack_sequence_as(ordered, [7, 8, 9]).items()) == [("b", 7), ("a", [8, 9])]
    assert type(tree.traverse(lambda part: None, ordered)) is OrderedDict and dict(ordered) == {"b": 1, "a": [2, 3]}


def test_a_tree_is_traversed_to_none_where_keras_says_so():
    tree = keras.tree
    assert tree.traverse(lambda part: tree.MAP_TO_NONE if part == 1 else None, [1, {"a": 2}]) == [None, {"a": 2}]
    assert tree.traverse(lambda part: tree.MAP_TO_NONE if part == 1 else None, (1, 2), top_down=False) == (None, 2)


def test_the_shapes_of_a_tree_are_handed_on_as_they_are():
    assert keras.tree.map_shape_structure(lambda shape: shape, {"a": (None, 2), "b": [3, 4]}) == {
        "a": (None, 2),
        "b": [3, 4],
    }


def test_structures_with_named_parts_of_other_forms_are_not_the_same():
    pair = namedtuple("pair", "x y")
    keras.tree.assert_same_structure(pair(1, [2]), pair(3, [4]))
    with pytest.raises(ValueError, match="the same lists, tuples and dicts"):
        keras.tree.assert_same_structure(pair(1, [2]), pair(1, 2))


def test_dtypes_have_the_names_that_keras_gives_with_tensorflow():
    names = [keras.utils.standardize_dtype(dtype) for dtype in (int, float, bool, str, "string", "int8", np.uint8)]
    assert names == ["int64", "float32", "bool", "string", "string", "int8", "uint8"]


def test_the_largest_numbers_are_found_by_name_too():
    found = keras.ops.top_k(np.array([3.0, 5.0, 4.0], "float32"), 2)
    np.testing.assert_array_equal(found.values.numpy(), [5, 4])
    np.testing.assert_array_equal(found.indices.numpy(), [1, 2])


def test_a_file_of_a_distiller_says_that_its_parts_have_their_own(tmp_path):
    """The teacher, which no call reaches, was met by a KeyError without a word."""
    model = Distiller(net(4), net(2), LogitsDistillation())
    model.compile("sgd", loss="mse")
    model.fit(np.zeros((2, 4, 4, 1)), np.zeros((2, 3)), verbose=0)
    with pytest.raises(ValueError, match=r"model\.part\.save.*Received: .*kernel"):
        model.save_weights(tmp_path / "distiller.weights.h5")
    model.student.save_weights(tmp_path / "student.weights.h5")


def test_a_function_is_mapped_down_to_the_leaves_of_a_shallow_structure():
    tree, deep = keras.tree, {"a": [1, 2], "b": ([3], 4)}
    assert tree.map_structure_up_to({"a": 0, "b": (0, 0)}, str, deep) == {"a": "[1, 2]", "b": ("[3]", "4")}
    assert tree.map_structure_up_to(["even", "odd"], lambda n, v: n * len(v), ["a", "b"], [[2, 4], [1]]) == ["aa", "b"]
    for other in ([1, [2]], {"a": 1}, 3):
        with pytest.raises(ValueError, match="lists, tuples and dicts of the shallow one"):
            tree.map_structure_up_to({"a": 0, "b": (0, 0)}, str, other)
    with pytest.raises(ValueError, match="Received: none"):
        tree.map_structure_up_to([0], str)


def test_a_teacher_of_any_size_teaches_a_student_of_one():
    def of_any_size(channels):
        parts = [keras.Input((None, None, channels)), layers.Conv2D(3, 1), layers.GlobalAveragePooling2D()]
        return keras.Sequential(parts)

    parts = [LogitsDistillation(), FeatureDistillation()]
    model = Distiller(of_any_size(1), net(2), parts, [1.0, 0.5])
    assert model.distillation_losses == parts and model.distillation_loss_weights == [1.0, 0.5]
    with pytest.raises(ValueError, match="inputs of the same shapes"):
        Distiller(of_any_size(3), net(2), LogitsDistillation())
