"""Pictures as notebooks have them, in Keras's names: numbers that Keras 3.15.1 and TensorFlow 2.21 gave."""

from io import BytesIO

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

from minicnn import keras
from minicnn.keras import layers, utils
from minicnn.keras import tensorflow as tf
from minicnn.keras.preprocessing import image as keras_image
from minicnn.keras.preprocessing.image import ImageDataGenerator

PIXELS = np.random.default_rng(3).integers(0, 256, (2, 9, 11, 3)).astype("float32")  # (N, H, W, C)

SEEDED = {
    "rotation": lambda: layers.RandomRotation(0.3, seed=3),
    "contrast": lambda: layers.RandomContrast(0.4, seed=3),
    "crop": lambda: layers.RandomCrop(4, 5, seed=3),
    "erasing": lambda: layers.RandomErasing(seed=3),
    "mixing": lambda: layers.MixUp(seed=3),
    "perspective": lambda: layers.RandomPerspective(1.0, seed=3),
    "blur": lambda: layers.RandomGaussianBlur(seed=3),
    "policy": lambda: layers.RandAugment(seed=3),
    "dropout": lambda: layers.Dropout(0.5, seed=3),
    "noise": lambda: layers.GaussianNoise(0.5, seed=3),
}


@pytest.mark.parametrize("name", SEEDED)
def test_a_layer_with_a_seed_draws_others_in_each_call(name):
    def three(layer):
        return [np.asarray(layer(PIXELS, training=True)) for _ in range(3)]

    first, again = three(SEEDED[name]()), three(SEEDED[name]())
    assert not np.array_equal(first[0], first[1]) and not np.array_equal(first[1], first[2])
    assert_array_equal(first, again)


# ------------------------------------------------------------------------------------------ ImageDataGenerator


def test_fit_learns_of_rescaled_images():
    generator = ImageDataGenerator(featurewise_std_normalization=True, rescale=1 / 255)
    generator.fit(PIXELS)
    assert_allclose(generator.mean.ravel(), [0.457734, 0.533215, 0.497524], rtol=1e-5)
    assert_allclose(generator.std.ravel(), [0.279874, 0.284413, 0.284732], rtol=1e-5)
    assert_allclose(generator.standardize(PIXELS[0])[0, 0], [1.264959, -1.585227, -1.127559], rtol=1e-5)


def test_zca_whitening_of_fewer_images_than_pixels():
    images = PIXELS[:, :2, :2, :1] / 255  # two images of four pixels: most directions are in none
    with pytest.warns(UserWarning, match="takes the place of featurewise_std_normalization"):
        generator = ImageDataGenerator(zca_whitening=True, zca_epsilon=0.1, featurewise_std_normalization=True)
    generator.fit(images)
    assert_allclose(generator.zca_whitening_matrix[0], [2.248031, -0.037231, -1.302669, -0.338266], rtol=1e-4)
    assert_allclose(generator.standardize(images)[1].ravel(), [0.112322, 0.492311, -0.398495, -0.935729], rtol=1e-4)


def test_pixels_from_outside_are_the_constant_alone():
    x = np.arange(25.0).reshape(5, 5, 1)
    turned = ImageDataGenerator(fill_mode="constant", cval=-9).apply_transform(x, {"theta": 30})
    assert turned.dtype == np.float64
    assert_allclose(turned[0, :, 0], [-9, -9, 4.339746, 7.705771, -9], rtol=1e-5)
    assert_allclose(turned[3, :, 0], [-9, 12.464102, 15.830127, 19.196152, 22.562178], rtol=1e-5)


def test_images_of_whole_numbers_stay_that():
    turned = ImageDataGenerator().apply_transform(np.arange(25, dtype="uint8").reshape(5, 5, 1), {"theta": 30})
    assert turned.dtype == np.uint8
    halves = np.array([[[-4], [-1], [0], [1], [4]]], "int32")
    between = keras_image.apply_affine_transform(halves, tx=0.5, row_axis=0, col_axis=1, channel_axis=2)
    assert between.ravel().tolist() == [-3, -1, 1, 3, 4]  # of -2.5, -0.5, 0.5, 2.5: as SciPy rounds
    generator, change = ImageDataGenerator(), {"channel_shift_intensity": 2.75}
    shifted = generator.apply_transform(np.array([[[1], [9]]], "uint8"), change)
    assert shifted.ravel().tolist() == [3.75, 9]
    assert turned[..., 0].tolist()[::2] == [[1, 2, 4, 8, 10], [5, 9, 12, 15, 19], [14, 16, 20, 22, 23]]


def test_brightness_leaves_transparency():
    x = np.arange(16, dtype="float32").reshape(2, 2, 4) * 15
    made = ImageDataGenerator().apply_transform(x, {"brightness": 1.3})
    assert made.ravel().tolist() == [0, 19, 39, 45, 78, 97, 116, 105, 156, 175, 195, 165, 233, 253, 255, 225]


def test_ranges_in_any_order():
    generator = ImageDataGenerator(zoom_range=[1.2, 0.8], brightness_range=(1.5, 0.5), width_shift_range=-0.2)
    drawn = [generator.get_random_transform((10, 100, 3), seed=i) for i in range(50)]
    for name, limits in {"zx": (0.8, 1.2), "brightness": (0.5, 1.5), "tx": (-20, 20)}.items():
        values = [each[name] for each in drawn]
        assert limits[0] <= min(values) < np.mean(limits) < max(values) <= limits[1]
    shifts = {
        ImageDataGenerator(width_shift_range=np.int64(3))._drawn((9, 9, 1), np.random.default_rng(i))["tx"]
        for i in range(50)
    }
    assert shifts == {-2, -1, 0, 1, 2}
    with pytest.raises(ValueError, match=r"brightness_range is a pair .* Received: 1.0"):
        ImageDataGenerator(brightness_range=1.0)
    with pytest.raises(ValueError, match="`interpolation_order` must be one of 0, 1"):
        ImageDataGenerator(interpolation_order=3)


def test_functions_for_one_change():
    x = np.arange(25.0).reshape(5, 5, 1)
    axes = {"row_axis": 0, "col_axis": 1, "channel_axis": 2}
    turned = keras_image.apply_affine_transform(x, theta=10, zx=0.8, **axes)
    assert_allclose(turned[0, :, 0], [0.771604, 1.55945, 2.499219, 3.981658, 5.464097], rtol=1e-5)
    first = keras_image.apply_affine_transform(x.transpose(2, 0, 1), theta=10, zx=0.8)
    assert_array_equal(first[0], turned[..., 0])
    assert keras_image.apply_channel_shift(x, 3.0)[4, :, 0].tolist() == [23, 24, 24, 24, 24]
    brighter = keras_image.apply_brightness_shift(np.repeat(x, 3, 2), 0.5)
    assert brighter[4, :, 0].tolist() == [106, 111, 116, 122, 127]
    moved = keras_image.random_shift(x, 0.0, 0.4, 0, 1, 2, "constant", -1.0)  # down or up alone
    assert all(len(set(np.round(row - row[0], 4))) <= 5 and (row[0] == -1) == (row[4] == -1) for row in moved[..., 0])
    for name, amount in {"rotation": 20, "shear": 20, "zoom": (0.5, 1.5)}.items():
        assert getattr(keras_image, f"random_{name}")(x, amount, **axes).shape == x.shape
    assert np.ptp(keras_image.random_channel_shift(x, 5.0, 2)) <= 24
    assert keras_image.random_brightness(x, (0.5, 0.5)).max() == 127


# -------------------------------------------------------------------------------------- folders and tables


@pytest.fixture
def folder(tmp_path):
    """Ten pictures in folders a and b, all pixels of each its number."""
    for i in range(10):
        name = tmp_path / "ab"[i // 5] / f"{i}.png"
        name.parent.mkdir(exist_ok=True)
        Image.fromarray(np.full((4, 4, 3), i, "uint8")).save(name)
    return tmp_path


def _table(**columns):
    names = [f"{'ab'[i // 5]}/{i}.png" for i in range(10)]
    return {"filename": names, "class": ["cat"] * 5 + ["dog"] * 5} | columns


OPTIONS = {"shuffle": False, "target_size": (4, 4), "batch_size": 4}


def _numbers(flow):
    """Which pictures come, in order."""
    batches = [next(flow) for _ in range(len(flow))]
    return [int(x[0, 0, 0]) for batch in batches for x in (batch[0] if isinstance(batch, tuple) else batch)]


def test_classes_are_those_of_the_files_that_are_there(folder):
    table = _table()
    table["filename"][9], table["class"][9] = "b/missing.png", "bird"
    (folder / "note.txt").write_text("x")
    table["filename"][8] = "note.txt"
    with pytest.warns(UserWarning, match="2 of the table's 10 files do not exist, or are no pictures"):
        flow = ImageDataGenerator().flow_from_dataframe(table, folder, **OPTIONS)
    assert flow.class_indices == {"cat": 0, "dog": 1} and flow.classes.tolist() == [0] * 5 + [1] * 3
    told = ImageDataGenerator().flow_from_dataframe(_table(), folder, classes=np.array(["dog", "cat"]), **OPTIONS)
    assert told.class_indices == {"dog": 0, "cat": 1}
    assert _numbers(flow) == list(range(8))


def test_parts_are_of_the_rows_that_the_classes_leave(folder):
    generator = ImageDataGenerator(validation_split=0.4)
    options = OPTIONS | {"classes": ["dog"], "class_mode": "sparse"}
    parts = [
        generator.flow_from_dataframe(_table(), folder, subset=subset, **options)
        for subset in ("validation", "training")
    ]
    assert [_numbers(part) for part in parts] == [[5, 6], [7, 8, 9]]


def test_names_are_those_in_the_table(folder):
    whole = _table(filename=[f"{folder}/{name}" for name in _table()["filename"]])
    for directory in (None, folder):
        flow = ImageDataGenerator().flow_from_dataframe(whole, directory, class_mode=None, **OPTIONS)
        assert flow.filenames == flow.filepaths == whole["filename"]
    flow = ImageDataGenerator().flow_from_dataframe(_table(), folder, class_mode=None, **OPTIONS)
    assert flow.filenames == _table()["filename"] and flow.filepaths == whole["filename"]


def test_a_picture_of_several_classes(folder):
    tags = [["a", "b"], ["b"], ["c", "a"], ["a"], ["b", "c"], ["a", "b", "c"], ["c"], ["b"], ["a"], ["c", "b"]]
    make = ImageDataGenerator().flow_from_dataframe
    flow = make(_table(tags=tags), folder, y_col="tags", **OPTIONS)
    assert flow.class_indices == {"a": 0, "b": 1, "c": 2}
    assert flow.classes == [[0, 1], [1], [2, 0], [0], [1, 2], [0, 1, 2], [2], [1], [0], [2, 1]]
    assert next(flow)[1].tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 1], [1, 0, 0]]
    some = make(_table(tags=tags), folder, y_col="tags", classes=["c", "a"], **OPTIONS)
    assert some.classes == [[1], [0, 1], [1], [0], [1, 0], [0], [1], [0]]
    assert _numbers(some) == [0, 2, 3, 4, 5, 6, 8, 9]
    with pytest.raises(ValueError, match="several classes of a picture need class_mode='categorical'"):
        make(_table(tags=tags), folder, y_col="tags", class_mode="sparse", **OPTIONS)


def test_columns_of_classes(folder):
    make = ImageDataGenerator().flow_from_dataframe
    numbers = make(_table(id=[10, 2, 1, 0, 3, 4, 5, 6, 7, 8]), folder, y_col="id", class_mode="sparse", **OPTIONS)
    assert numbers.classes.tolist() == [9, 2, 1, 0, 3, 4, 5, 6, 7, 8]  # by value, not as text
    with pytest.raises(TypeError, match=r"has one in each row\. Received: nan in 'class'"):
        make(_table(**{"class": ["a"] * 9 + [float("nan")]}), folder, **OPTIONS)
    with pytest.raises(ValueError, match=r"is for two classes\. Received: 10 in 'id'"):
        make(_table(id=list("abcdefghij")), folder, y_col="id", class_mode="binary", **OPTIONS)
    with pytest.raises(TypeError, match="weight_col names a column of numbers"):
        make(_table(), folder, weight_col="class", **OPTIONS)


def test_arguments_in_the_order_of_keras(folder):
    generator = ImageDataGenerator(validation_split=0.4)
    save = (None, "", "png")
    flow = generator.flow_from_directory(
        folder, (4, 4), "grayscale", None, "binary", 3, False, 1, *save, False, "training", "bilinear", True
    )
    assert _numbers(flow) == [2, 3, 4, 7, 8, 9] and next(flow)[0].shape == (3, 4, 4, 1)
    table = _table(w=np.arange(10))
    flow = generator.flow_from_dataframe(
        table, folder, "filename", "class", "w", (4, 4), "rgb", None, "binary", 3, False, 1, *save, "validation"
    )
    assert _numbers(flow) == [0, 1, 2, 3] and next(flow)[2].tolist() == [0, 1, 2]
    with pytest.raises(TypeError, match=r"takes each argument once\. Received: \['target_size'\] twice"):
        generator.flow_from_directory(folder, (4, 4), target_size=(4, 4))


def test_generators_leave_out_what_those_of_keras_do(folder):
    for name in ("0.gif", "0.webp"):
        Image.fromarray(np.zeros((4, 4, 3), "uint8")).save(folder / "a" / name)
    with pytest.warns(UserWarning, match=r"2 pictures are left out, as Keras's generators read no \('.gif', '.webp'\)"):
        flow = ImageDataGenerator().flow_from_directory(folder, **OPTIONS)
    assert flow.samples == 10 and _numbers(flow) == list(range(10))
    with pytest.raises(ValueError, match="crop_to_aspect_ratio or pad_to_aspect_ratio is True, not both"):
        utils.image_dataset_from_directory(folder, crop_to_aspect_ratio=True, pad_to_aspect_ratio=True)


def test_each_validation_begins_with_the_first_batch(folder):
    model = keras.Sequential([keras.Input((4, 4, 3)), layers.Flatten(), layers.Dense(1, kernel_initializer="ones")])
    model.compile(keras.optimizers.SGD(0.0), "mse")
    flow = ImageDataGenerator().flow_from_directory(folder, class_mode="binary", **OPTIONS)
    history = model.fit(flow, validation_data=flow, validation_steps=1, epochs=3, verbose=0).history["val_loss"]
    expected = np.mean((np.arange(4) * 48.0) ** 2)  # pictures 0 to 3, of class 0
    assert_allclose(history, [expected] * 3, rtol=1e-5)
    assert_allclose(model.evaluate(flow, steps=1, verbose=0), expected, rtol=1e-5)


# ---------------------------------------------------------------------------------------------------- tf.io, tf.image

COLOURS = np.array([[[10, 200, 30], [255, 0, 7], [90, 91, 92]]], "uint8")  # (1, 3, 3)


def _file(pixels, kind="PNG", **options):
    into = BytesIO()
    Image.fromarray(pixels).save(into, kind, **options)
    return into.getvalue()


def test_pictures_have_the_channels_of_their_files():
    clear = np.concatenate([COLOURS, COLOURS[..., :1]], axis=-1)
    for decode in (tf.io.decode_png, tf.io.decode_image):
        assert_array_equal(decode(_file(clear)), clear)
        assert_array_equal(decode(_file(clear), channels=3), COLOURS)
        assert_array_equal(decode(_file(clear[..., :2])), clear[..., :2])
        assert_array_equal(decode(_file(COLOURS), channels=1).ravel(), [123, 77, 90])  # libpng cuts off
    palette = Image.fromarray(COLOURS).quantize(4)
    assert tf.io.decode_png(_file(np.asarray(palette.convert("RGB")))).shape == (1, 3, 3)
    into = BytesIO()
    palette.save(into, "PNG", transparency=0)
    assert tf.io.decode_png(into.getvalue()).shape == (1, 3, 4)


def test_pictures_of_16_bits():
    deep = np.array([[300, 65535, 513]], "uint16")
    assert tf.io.decode_png(_file(deep)).ravel().tolist() == [1, 255, 2]
    assert tf.io.decode_png(_file(deep), dtype=tf.uint16).ravel().tolist() == [300, 65535, 513]
    assert_allclose(tf.io.decode_image(_file(deep), dtype=tf.float32).ravel(), [0.004578, 1, 0.007828], rtol=1e-3)
    assert tf.io.decode_png(_file(COLOURS), dtype=tf.uint16)[0, 0].tolist() == [2570, 51400, 7710]
    back = tf.io.decode_png(tf.io.encode_png(deep[..., None]), dtype=tf.uint16)
    assert_array_equal(back, deep[..., None])
    with pytest.raises(ValueError, match="is of uint8, or of uint16, grey"):
        tf.io.encode_png(COLOURS / 255)


def test_animations_are_several_pictures():
    frames = [Image.fromarray(np.full((2, 3, 3), value, "uint8")) for value in (0, 100, 200)]
    into = BytesIO()
    frames[0].save(into, "GIF", save_all=True, append_images=frames[1:])
    moving, single = into.getvalue(), _file(COLOURS, "WEBP", lossless=True)
    assert tf.io.decode_gif(moving)[:, 0, 0, 0].tolist() == [0, 100, 200]
    assert tf.io.decode_image(moving).shape == (3, 2, 3, 3)
    assert tf.io.decode_image(moving, expand_animations=False).shape == (2, 3, 3)
    assert_array_equal(tf.io.decode_image(single), COLOURS[None])
    assert_array_equal(tf.io.decode_webp(single), COLOURS[None])
    assert tf.io.extract_jpeg_shape(_file(COLOURS, "JPEG")).tolist() == [1, 3, 3]


def test_transparent_pixels_of_animations_are_those_before_or_black():
    frames = [
        Image.fromarray(np.array([[0, 1, 2]], "uint8"), "P"),
        Image.fromarray(np.array([[2, 2, 1]], "uint8"), "P"),
    ]
    for frame in frames:
        frame.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    into = BytesIO()
    frames[0].save(into, "GIF", save_all=True, append_images=frames[1:], transparency=2, disposal=2)
    red, green, black = [255, 0, 0], [0, 255, 0], [0, 0, 0]
    expected = [[[red, green, black]], [[red, green, green]]]
    assert tf.io.decode_gif(into.getvalue()).tolist() == expected
    assert tf.io.decode_image(into.getvalue()).tolist() == expected
    assert tf.io.decode_image(into.getvalue(), expand_animations=False).tolist() == expected[0]


def test_255_is_65535_of_png_files_alone():
    for kind, white in {"PNG": 65535, "BMP": 65280, "GIF": 65280}.items():
        file = _file(np.full((1, 1, 3), 255, "uint8"), kind)
        assert np.unique(tf.io.decode_image(file, dtype=tf.uint16)).tolist() == [white]
        assert np.unique(tf.io.decode_image(file, dtype=tf.float32)) == 1
        assert_allclose(np.unique(tf.io.decode_image(file, dtype=tf.float64)), white / 65535)


@pytest.mark.filterwarnings("error")
def test_dtypes_of_images():
    wide = tf.image.convert_image_dtype(np.array([0, 0.5, 1], "float16"), tf.uint16)  # where TensorFlow gives zeros
    assert wide.tolist() == [0, 32767, 65535]
    half = tf.image.convert_image_dtype(np.array([200], "uint16"), tf.float16)
    assert_allclose(half, [0.003052], rtol=1e-3)
    whole = tf.image.convert_image_dtype(np.array([0.25, 1.0, 1.5], "float32"), tf.int32, saturate=True)
    assert whole.tolist() == [536870912, 2147483520, 2147483520]


# -------------------------------------------------------------------------------------------------------------- utils


def test_further_helpers():
    right = utils.split_dataset(tf.data.Dataset.range(7), left_size=2, right_size=3)[1]
    assert [int(v) for v in right] == [4, 5, 6]
    made = keras_image.smart_resize(PIXELS[0].transpose(2, 0, 1), (2, 2), data_format="channels_first")
    expected = [126.3125, 172.75, 100.5, 90.375, 117.5625, 208.4375, 189.8125, 92.1875, 171.9375, 110.8125, 40.75]
    assert_allclose(np.ravel(made), [*expected, 177.4375], rtol=1e-5)
    deep = utils.array_to_img(np.array([[[0], [300], [65535]]]), scale=False)
    assert deep.mode == "I" and utils.img_to_array(deep).ravel().tolist() == [0, 300, 65535]
    batches = utils.PyDataset(workers=2, use_multiprocessing=True, max_queue_size=4)
    assert (batches.workers, batches.use_multiprocessing, batches.max_queue_size) == (2, True, 4)
