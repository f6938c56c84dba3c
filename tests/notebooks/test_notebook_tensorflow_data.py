"""Pipelines of ``tf.data``, ``tf.strings``, ``tf.image`` and ``tf.random`` as scripts write them, on few pictures.

The oracle is what TensorFlow documents, Python's `colorsys`, and NumPy.
"""

import colorsys
import os

import numpy as np
import pytest

from minicnn.keras import backend as K
from minicnn.keras import layers, models
from minicnn.keras import tensorflow as tf

AUTOTUNE = tf.data.AUTOTUNE


@pytest.fixture
def folder(tmp_path):
    """Pictures in folders of three classes, 12 each."""
    pytest.importorskip("PIL")
    rng = np.random.default_rng(0)
    for label, name in enumerate(("daisy", "rose", "tulip")):
        (tmp_path / name).mkdir()
        for i in range(12):
            pixels = rng.integers(80 * label, 80 * label + 80, (20, 16, 3)).astype(np.uint8)
            layers_of_file = tf.constant(pixels).numpy()
            from PIL import Image

            Image.fromarray(layers_of_file).save(tmp_path / name / f"{i}.png")
    return tmp_path


def test_labels_from_the_paths_of_files(folder):
    """TensorFlow's tutorial on loading images: list_files, strings.split, argmax, decode, cache, batch."""
    class_names = np.array(sorted(item.name for item in folder.glob("*")))
    paths = tf.data.Dataset.list_files(str(folder / "*/*"), shuffle=False)
    paths = paths.shuffle(36, reshuffle_each_iteration=False)
    assert all(isinstance(path.numpy(), bytes) and b".png" in path.numpy() for path in paths.take(3))

    def process(path):
        one_hot = tf.strings.split(path, os.path.sep)[-2] == class_names
        image = tf.io.decode_jpeg(tf.io.read_file(path), channels=3)
        return tf.image.resize(image, [8, 8]), tf.argmax(one_hot)

    train, test = (part.map(process, num_parallel_calls=AUTOTUNE) for part in (paths.skip(9), paths.take(9)))
    for image, label in train.take(9):
        assert image.shape == (8, 8, 3) and int(image.numpy().mean() // 80) == label.numpy()
    train = train.cache().shuffle(buffer_size=100).batch(9).prefetch(buffer_size=AUTOTUNE)
    model = tf.keras.Sequential([layers.Rescaling(1.0 / 255), layers.Flatten(), layers.Dense(3)])
    loss = tf.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer="adam", loss=loss, metrics=["accuracy"])
    history = model.fit(train, validation_data=test.batch(9), epochs=2, verbose=0).history
    assert len(history["val_accuracy"]) == 2 and np.isfinite(history["loss"]).all()


def test_orders_of_files(folder):
    listed = [path.numpy() for path in tf.data.Dataset.list_files([str(folder / "rose/*"), str(folder / "daisy/*")])]
    assert len(set(listed)) == 24 and listed != sorted(listed)
    with pytest.raises(ValueError, match=r"nowhere/\*"):
        tf.data.Dataset.list_files("nowhere/*")


def test_data_sets_of_data_sets():
    """The example of TensorFlow's documentation of `interleave`."""
    numbers = tf.data.Dataset.range(1, 6)
    blocks = numbers.interleave(
        lambda x: tf.data.Dataset.from_tensors(x).repeat(6), cycle_length=2, block_length=4, num_parallel_calls=AUTOTUNE
    )
    expected = [*[1] * 4, *[2] * 4, 1, 1, 2, 2, *[3] * 4, *[4] * 4, 3, 3, 4, 4, *[5] * 6]
    assert [int(x) for x in blocks] == expected
    flat = tf.data.Dataset.range(4).flat_map(lambda n: tf.data.Dataset.range(n))
    assert [int(x) for x in flat] == [0, 0, 1, 0, 1, 2]


def test_what_elements_are():
    data = tf.data.Dataset.from_tensor_slices(({"image": np.zeros((6, 4, 4, 3))}, np.arange(6)))
    inputs, label = data.batch(3).element_spec
    assert inputs["image"].shape == (3, 4, 4, 3) and inputs["image"].dtype == tf.float64 and label.shape == (3,)
    with pytest.raises(ValueError, match="empty"):
        data.take(0).element_spec  # noqa: B018


def test_steps_of_older_versions():
    data = tf.data.Dataset.range(6).apply(tf.data.experimental.shuffle_and_repeat(buffer_size=6, count=2))
    assert sorted(int(x) for x in data) == sorted(2 * [*range(6)])
    data = tf.data.Dataset.range(6).apply(tf.data.experimental.map_and_batch(lambda x: 2 * x, 4))
    assert [batch.tolist() for batch in data] == [[0, 2, 4, 6], [8, 10]]
    counted = tf.data.Dataset.zip((tf.data.Dataset.range(3), tf.data.experimental.Counter()))
    assert [(int(x), int(n)) for x, n in counted.with_options(None)] == [(0, 0), (1, 1), (2, 2)]


def test_augmentation_by_seeds():
    """TensorFlow's tutorial on augmentation: a counter, and a generator, give seeds to stateless functions."""
    pixels = np.random.default_rng(1).integers(0, 256, (12, 10, 10, 3)).astype("uint8")

    def augment(image_label, seed):
        image, label = image_label
        image = tf.image.resize_with_crop_or_pad(tf.cast(image, tf.float32) / 255.0, 14, 14)
        new_seed = tf.random.split(seed, num=1)[0, :]
        image = tf.image.stateless_random_crop(image, size=[10, 10, 3], seed=seed)
        image = tf.image.stateless_random_flip_left_right(image, seed)
        image = tf.image.stateless_random_brightness(image, max_delta=0.5, seed=new_seed)
        return tf.clip_by_value(image, 0, 1), label

    counter = tf.data.experimental.Counter()
    data = tf.data.Dataset.from_tensor_slices((pixels, np.arange(12)))
    by_counter = tf.data.Dataset.zip((data, (counter, counter))).map(augment, num_parallel_calls=AUTOTUNE)
    first, second = (np.stack([np.asarray(image) for image, _ in by_counter]) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    generator = tf.random.Generator.from_seed(123, alg="philox")
    by_generator = data.map(lambda x, y: augment((x, y), generator.make_seeds(2)[0])).batch(12)
    images, labels = next(iter(by_generator))
    assert images.shape == (12, 10, 10, 3) and labels.numpy().tolist() == [*range(12)]
    assert tf.random.stateless_uniform((3,), seed=(1, 2)).numpy().tolist() == [
        *tf.random.stateless_uniform((3,), (1, 2)).numpy()
    ]
    assert np.ptp(generator.normal((100,)).numpy()) > 1 and generator.uniform((5,), 0, 3, tf.int32).dtype == tf.int32


def test_hues():
    pixels = np.random.default_rng(2).random((3, 4, 5, 3)).astype("float32")
    hsv = np.apply_along_axis(lambda pixel: colorsys.rgb_to_hsv(*pixel), -1, pixels)
    np.testing.assert_allclose(tf.image.rgb_to_hsv(pixels), hsv, atol=1e-6)
    np.testing.assert_allclose(tf.image.hsv_to_rgb(hsv.astype("float32")), pixels, atol=1e-6)
    turned = np.apply_along_axis(lambda p: colorsys.hsv_to_rgb((p[0] + 0.2) % 1, p[1], p[2]), -1, hsv)
    np.testing.assert_allclose(tf.image.adjust_hue(pixels, 0.2), turned, atol=1e-5)
    in_bytes = tf.image.adjust_hue((255 * pixels).astype("uint8"), 0.2)
    assert in_bytes.dtype == tf.uint8 and np.abs(in_bytes.numpy() / 255 - turned).max() < 0.02
    assert tf.image.random_hue(pixels, 0.1).shape == pixels.shape
    np.testing.assert_allclose(tf.image.adjust_gamma(pixels, 2.0, gain=0.5), 0.5 * pixels**2, rtol=1e-5)


def test_sizes_that_keep_proportions():
    pixels = np.ones((20, 10, 3), "float32")
    padded = tf.image.resize_with_pad(pixels, 8, 8)
    assert padded.shape == (8, 8, 3) and padded.numpy()[..., 0].sum() == 8 * 4
    assert tf.image.resize(pixels, (8, 8), preserve_aspect_ratio=True).shape == (8, 4, 3)
    assert tf.image.resize(pixels, (5, 5), tf.image.ResizeMethod.BICUBIC, antialias=True).shape == (5, 5, 3)
    assert tf.image.transpose(pixels).shape == (10, 20, 3)


def test_text():
    assert tf.strings.split("a b c").numpy().tolist() == [b"a", b"b", b"c"]
    assert tf.strings.regex_replace("img_007.png", r"\D", "").numpy() == b"007"
    assert tf.strings.to_number(["1", "2.5"]).numpy().tolist() == [1.0, 2.5]
    assert tf.strings.join(["a", "b"], separator="/").numpy() == b"a/b"
    assert tf.strings.length(["ab", "c"]).numpy().tolist() == [2, 1] and tf.strings.lower("AB").numpy() == b"ab"
    assert tf.strings.regex_full_match("x.png", r".*\.png").numpy() and tf.strings.upper("a").numpy() == b"A"
    with pytest.raises(ValueError, match="one text"):
        tf.strings.split(["a/b", "c"], "/")


def test_functions_of_numbers():
    assert tf.math.top_k([1.0, 5.0, 3.0], k=2).values.numpy().tolist() == [5.0, 3.0]
    assert tf.math.in_top_k([0, 2], [[0.1, 0.5, 0.4], [0.2, 0.1, 0.7]], k=2).numpy().tolist() == [False, True]
    assert tf.math.divide_no_nan(np.array([1.0, 2.0]), np.array([0.0, 4.0])).numpy().tolist() == [0.0, 0.5]
    assert tf.math.squared_difference(np.array([1.0]), 3.0).numpy() == 4 and tf.math.ceil(3 / 2).numpy() == 2
    assert tf.math.mod(7, 3).numpy() == 1 and tf.math.floordiv(7, 2).numpy() == 3
    assert tf.add_n([np.ones(2), np.ones(2), np.ones(2)]).tolist() == [3, 3]
    assert tf.math.count_nonzero([[0, 1], [2, 3]]).numpy() == 3 and not tf.math.is_nan(np.array([1.0])).numpy().any()
    assert tf.roll([1, 2, 3], 1, 0).numpy().tolist() == [3, 1, 2]
    assert [part.shape for part in tf.meshgrid([1, 2], [1, 2, 3])] == [(3, 2), (3, 2)]
    assert tf.sort([3, 1, 2]).numpy().tolist() == [1, 2, 3] and tf.repeat([1, 2], 2).numpy().tolist() == [1, 1, 2, 2]


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_keras_1_calls_a_deviation_std():
    made = np.asarray(K.random_normal((2000,), mean=1.0, std=3.0))
    assert 2.5 < made.std() < 3.5 and np.abs(np.asarray(K.truncated_normal((100,), std=0.1))).max() <= 0.2001


def test_export_writes_onnx_alone(tmp_path):
    model = models.Sequential([layers.Input((4,)), layers.Dense(2)])
    with pytest.raises(ImportError, match="format='onnx'"):
        model.export(tmp_path / "exported")
    pytest.importorskip("onnx")
    model.export(tmp_path / "m.onnx", format="onnx")
    assert (tmp_path / "m.onnx").exists()


def test_groups_of_elements_with_one_key():
    numbers = tf.data.Dataset.range(11)
    batches = numbers.group_by_window(lambda n: n % 3, lambda key, group: group.batch(2), window_size=2)
    assert [b.tolist() for b in batches] == [[0, 3], [1, 4], [2, 5], [6, 9], [7, 10], [8]]
    sized = numbers.group_by_window(
        lambda n: n % 2, lambda key, group: group.map(lambda n: (key, n)), window_size_func=lambda key: 1 + 8 * key
    )
    assert [(int(k), int(n)) for k, n in sized][:6] == [(0, 0), (0, 2), (0, 4), (0, 6), (0, 8), (0, 10)]
    with pytest.raises(ValueError, match="window_size_func"):
        numbers.group_by_window(lambda n: n, lambda key, group: group)
    with pytest.raises(ValueError, match="gives a data set"):
        list(numbers.group_by_window(lambda n: 0, lambda key, group: 3, 2))


def test_data_sets_in_a_file(tmp_path):
    pictures = np.random.default_rng(7).random((5, 3, 2)).astype("float32")
    names = np.array(["a", "bc", "d", "é", "f"])
    dataset = tf.data.Dataset.from_tensor_slices((pictures, {"name": names, "label": np.arange(5)}))
    for compression in (None, "GZIP"):
        dataset.save(tmp_path / "kept", compression=compression)
        loaded = tf.data.Dataset.load(str(tmp_path / "kept"))
        assert loaded.cardinality() == 5
        for _ in range(2):
            for (picture, parts), (expected, own) in zip(loaded, dataset, strict=True):
                np.testing.assert_array_equal(picture, expected)
                assert parts["label"] == own["label"] and parts["name"].numpy() == own["name"].numpy()
    assert os.listdir(tmp_path / "kept") == ["elements.zip"]
    with pytest.raises(FileNotFoundError, match="has written"):
        tf.data.Dataset.load(tmp_path)
    (tmp_path / "kept" / "elements.zip").write_bytes(b"PK other")
    with pytest.raises(ValueError, match="no file that"):
        tf.data.Dataset.load(tmp_path / "kept")
    with pytest.raises(ValueError, match="without elements"):
        dataset.take(0).save(tmp_path / "empty")


def test_data_sets_of_nothing_and_of_one():
    assert [int(n) for n in tf.data.Dataset.counter(3, 2).take(3)] == [3, 5, 7]
    drawn = tf.data.Dataset.random(seed=4).take(200)
    first, again = ([int(n) for n in drawn] for _ in range(2))
    assert first == again and len({*first}) > 190 and min(first) >= 0 and max(first) < 2**32
    varied = tf.data.Dataset.random(4, rerandomize_each_iteration=True).take(5)
    assert [int(n) for n in varied] != [int(n) for n in varied]
    assert tf.data.Dataset.from_tensors(7).get_single_element() == 7
    for count, found in ((0, "none"), (2, "several")):
        with pytest.raises(ValueError, match=found):
            tf.data.Dataset.range(count).get_single_element()


@pytest.mark.parametrize("workers", [None, 2])
def test_elements_that_fail_are_left_out(workers):
    def inverse(n):
        if n == 2:
            raise ArithmeticError("no such number")
        return n * 10

    made = tf.data.Dataset.range(5).map(inverse, num_parallel_calls=workers).ignore_errors()
    assert [int(n) for n in made] == [0, 10, 30, 40]
    with pytest.raises(ValueError, match="right behind map"):
        list(tf.data.Dataset.range(5).map(inverse).unbatch().ignore_errors())
    with pytest.warns(UserWarning, match="no such number"):
        list(tf.data.Dataset.range(5).map(inverse).ignore_errors(log_warning=True))


def test_lines_of_text_files(tmp_path):
    import gzip

    (tmp_path / "a.csv").write_text("x.png,1\ny.png,0\n", encoding="utf-8")
    (tmp_path / "b.csv").write_text("é.png,2", encoding="utf-8")
    lines = tf.data.TextLineDataset([str(tmp_path / "a.csv"), str(tmp_path / "b.csv")])
    assert [line.numpy().decode() for line in lines.skip(1)] == ["y.png,0", "é.png,2"]
    with gzip.open(tmp_path / "c.gz", "wt", encoding="utf-8") as file:
        file.write("one\r\ntwo\n")
    assert [str(line) for line in tf.data.TextLineDataset(tmp_path / "c.gz", "GZIP")] == ["one", "two"]
    with pytest.raises(ValueError, match="compression_type"):
        tf.data.TextLineDataset("a", "ZLIB")


def test_ragged_batches_are_refused_by_a_sentence():
    """Batches are arrays: what stands for them is said where they are asked for."""
    data = tf.data.Dataset.range(5)
    for name in ("ragged_batch", "sparse_batch", "bucket_by_sequence_length", "dense_to_ragged_batch"):
        with pytest.raises(ImportError, match=f"data sets have no {name}: batches are arrays of one shape: padded_"):
            getattr(data, name)(2)
    with pytest.raises(ImportError, match="rejection_resample: filter, or sample_from_datasets"):
        data.rejection_resample(lambda x: x, [0.5, 0.5])


def test_a_data_set_is_told_how_many_elements_it_has():
    data = tf.data.Dataset.range(5).filter(lambda x: x < 3).assert_cardinality(3)
    assert (len(data), [int(x) for x in data]) == (3, [0, 1, 2])
