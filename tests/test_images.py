"""Pictures in files, folders of them, and their augmentation."""

import gc
import io
import math
import os
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("PIL")

from PIL import Image

import minicnn as mc
from minicnn import images
from minicnn.errors import DataError, ShapeError
from minicnn.images import ImageDataGenerator, image_dataset_from_directory
from minicnn.images.files import read_image
from minicnn.images.memory import pixels_of
from minicnn.images.resizing import fitting, resized
from minicnn.images.transforms import affine_matrix
from minicnn.keras import tensorflow as keras_tf


@pytest.fixture
def folder(tmp_path):
    """Three classes of 6 pictures, each of one colour that tells class and number: (40·class + 5·number, 0, 200)."""
    for label, name in enumerate(("ants", "bees", "cats")):
        (tmp_path / name).mkdir()
        for i in range(6):
            Image.new("RGB", (9 + i, 7), (40 * label + 5 * i, 0, 200)).save(tmp_path / name / f"{i}.png")
    return tmp_path


def colours(batch):
    """The red of each picture's middle."""
    return sorted(np.asarray(batch)[:, 2, 2, 0].round().astype(int).tolist())


def read_all(dataset):
    pairs = list(dataset)
    return np.concatenate([x for x, _ in pairs]), np.concatenate([y for _, y in pairs])


# -------------------------------------------------------------------------------------------------------------- folders


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_folder_is_a_data_set(folder, shuffle, capsys):
    dataset = image_dataset_from_directory(folder, image_size=(5, 6), batch_size=4, shuffle=shuffle, seed=1)
    assert "Found 18 files belonging to 3 classes." in capsys.readouterr().out
    assert dataset.class_names == ["ants", "bees", "cats"]
    assert len(dataset) == 5
    x, y = read_all(dataset)
    assert x.shape == (18, 5, 6, 3)
    assert (x.dtype, y.dtype) == (np.float32, np.int32)
    assert np.array_equal(x[:, 2, 2, 0] // 40, y)  # each picture has the label of its folder
    assert colours(x) == sorted(40 * label + 5 * i for label in range(3) for i in range(6))
    assert (list(y) == sorted(y)) is not shuffle
    assert (list(read_all(dataset)[1]) != list(y)) is shuffle  # every pass has its own order


def test_subsets_do_not_overlap(folder):
    options = {"validation_split": 0.3, "seed": 5, "image_size": (4, 4), "verbose": False}
    train = image_dataset_from_directory(folder, subset="training", **options)
    validation = image_dataset_from_directory(folder, subset="validation", **options)
    assert not set(train.file_paths) & set(validation.file_paths)
    assert len(train.file_paths) + len(validation.file_paths) == 18
    assert len(validation.file_paths) == 5
    both = image_dataset_from_directory(folder, subset="both", **options)
    assert [d.file_paths for d in both] == [train.file_paths, validation.file_paths]


OF_SEEDS = {5: ["10", "06", "03"], 123: ["06", "11", "02"], 0: ["03", "00", "05"]}
"""Seed → the part of 12 pictures for validation, in Keras 3.15.1."""


@pytest.mark.parametrize("seed", OF_SEEDS)
def test_the_split_of_a_seed_is_that_of_keras(seed, tmp_path):
    """Else a model of Keras's would be tested with what it was trained with."""
    for number in range(12):
        (tmp_path / "ab"[number // 6]).mkdir(exist_ok=True)
        Image.new("RGB", (4, 4)).save(tmp_path / "ab"[number // 6] / f"{number:02}.png")
    options = {"validation_split": 0.3, "seed": seed, "image_size": (4, 4), "verbose": False}
    validation = image_dataset_from_directory(tmp_path, subset="validation", **options)
    assert [Path(path).stem for path in validation.file_paths] == OF_SEEDS[seed]


def test_the_order_of_folders_is_that_of_keras(tmp_path):
    """By the names of whole paths, as Keras 3.15.1 read these: a list of labels, and a split, go by it."""
    for folder in ("a/sub", "a", "a.x", "a/sub-2", "b"):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(tmp_path / folder / "0.png")
    Image.new("RGB", (4, 4)).save(tmp_path / "c.png")
    expected = ["c.png", "a/0.png", "a.x/0.png", "a/sub/0.png", "a/sub-2/0.png", "b/0.png"]
    found = image_dataset_from_directory(
        tmp_path, labels=[5, 0, 1, 2, 3, 4], shuffle=False, image_size=(4, 4), verbose=False
    )
    assert [Path(path).relative_to(tmp_path).as_posix() for path in found.file_paths] == expected


def test_an_empty_file_is_said_to_be_empty(tmp_path):
    (tmp_path / "a.jpg").touch()
    with pytest.raises(DataError, match=r"damaged \(it is empty\)\. Received: .*a\.jpg$"):
        images.load_img(tmp_path / "a.jpg")


def test_without_labels_all_pictures_below_a_folder_count(folder):
    """As in Keras: those that lie in no folder of a class, too."""
    Image.new("RGB", (4, 4)).save(folder / "top.png")
    found = image_dataset_from_directory(folder, label_mode=None, image_size=(4, 4), verbose=False)
    assert len(found.file_paths) == 19
    assert len(image_dataset_from_directory(folder, image_size=(4, 4), verbose=False).file_paths) == 18


def test_grey_pixels_of_a_data_set_are_those_of_tensorflow(tmp_path):
    """Of PNG those that libpng makes, noted down from TensorFlow 2.21; of JPEG the file's own brightness."""
    colours = np.array([[69, 78, 10], [128, 155, 248], [186, 161, 139], [208, 171, 0]], "uint8").reshape(2, 2, 3)
    (tmp_path / "png").mkdir()
    Image.fromarray(colours).save(tmp_path / "png" / "a.png")
    options = {"image_size": (2, 2), "color_mode": "grayscale", "label_mode": None, "verbose": False}
    (found,) = image_dataset_from_directory(tmp_path / "png", **options)
    assert found[0, :, :, 0].tolist() == [[67, 157], [165, 162]]
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 16, 3)).astype("uint8"))
    (tmp_path / "jpg").mkdir()
    noise.save(tmp_path / "jpg" / "a.jpg")
    noise.save(tmp_path / "jpg" / "b.jpg", "MPO", save_all=True, append_images=[noise])  # of phones
    with Image.open(tmp_path / "jpg" / "a.jpg") as image:
        image.draft("L", (16, 16))
        expected = np.asarray(image)
    (found,) = image_dataset_from_directory(tmp_path / "jpg", **options | {"image_size": (16, 16), "shuffle": False})
    np.testing.assert_array_equal(found[..., 0], [expected, expected])


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_grey_pictures_are_turned_as_the_camera_was_held(suffix, tmp_path):
    held = Image.Exif()
    held[0x112] = 6  # the camera stood on its right side: a quarter turn clockwise puts it upright
    rows = Image.fromarray(np.repeat(np.uint8([[0], [250]]), 8, axis=0).repeat(8, axis=1)).convert("RGB")  # (16, 8)
    rows.save(tmp_path / f"a.{suffix}", exif=held.tobytes(), quality=100)
    found = read_image(tmp_path / f"a.{suffix}", "grayscale", None, upright=True)
    assert found.shape == (8, 16, 1)
    np.testing.assert_allclose(found[:, :, 0], np.repeat([[250.0] * 8 + [0.0] * 8], 8, axis=0), atol=2)


@pytest.mark.parametrize("subset", ["validation", "both"])
@pytest.mark.parametrize("on_error", ["raise", "skip"])
def test_a_part_for_validation_keeps_its_order(folder, subset, on_error):
    """Labels of one pass stand beside predictions of another, and beside file_paths; Keras's "both" is like that."""
    options = {"validation_split": 0.5, "seed": 5, "image_size": (4, 4), "verbose": False, "batch_size": 4}
    made = image_dataset_from_directory(folder, subset=subset, on_error=on_error, **options)
    validation = made[1] if subset == "both" else made
    names = [path.split(os.sep)[-2] for path in map(str, validation.file_paths)]
    for _ in range(2):
        assert [validation.class_names[label] for label in read_all(validation)[1]] == names
    if subset == "both":
        first, second = (read_all(made[0])[0] for _ in range(2))
        assert not np.array_equal(first, second)  # each pass over the training part has an order of its own


def test_label_modes(folder):
    def labels(**options):
        return next(
            iter(image_dataset_from_directory(folder, image_size=(4, 4), shuffle=False, verbose=False, **options))
        )

    assert np.array_equal(labels(label_mode="categorical")[1], np.eye(3)[np.repeat([0, 1, 2], 6)])
    binary = labels(label_mode="binary", class_names=["cats", "ants"])[1]
    assert binary.tolist() == [[0.0]] * 6 + [[1.0]] * 6
    assert labels(label_mode=None).shape == (18, 4, 4, 3)
    assert labels(labels=None).shape == (18, 4, 4, 3)
    assert labels(labels=list(range(18)))[1].tolist() == list(range(18))
    assert labels(color_mode="grayscale")[0].shape == (18, 4, 4, 1)
    assert labels(color_mode="rgba")[0][0, 0, 0].tolist() == [0, 0, 200, 255]
    assert labels(batch_size=None)[0].shape == (4, 4, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"validation_split": 0.3, "subset": "training"}, "give a seed="),
        ({"subset": "training"}, "validation_split="),
        ({"validation_split": 1.5, "subset": "training", "seed": 1}, "between 0 and 1"),
        ({"label_mode": "binary"}, "two classes"),
        ({"labels": [1, 2]}, "18 pictures"),
        ({"color_mode": "bgr"}, "color_mode"),
        ({"interpolation": "mitchell"}, "interpolation"),
        ({"class_names": ["dogs"]}, "no folder for class 'dogs'"),
    ],
)
def test_arguments_that_do_not_fit(folder, options, message):
    with pytest.raises((ValueError, DataError), match=message):
        image_dataset_from_directory(folder, verbose=False, **options)


def test_folders_that_are_none(tmp_path):
    with pytest.raises(DataError, match="one folder of pictures for each class"):
        image_dataset_from_directory(tmp_path / "nowhere")
    with pytest.raises(DataError, match="labels=None"):
        image_dataset_from_directory(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="found no picture"):
        image_dataset_from_directory(tmp_path)


def test_a_damaged_file_is_named_or_skipped(folder):
    (folder / "bees" / "2.png").write_bytes((folder / "bees" / "2.png").read_bytes()[:45])
    options = {"image_size": (4, 4), "batch_size": 5, "verbose": False}
    with pytest.raises(DataError, match=r"bees.2\.png"):
        list(image_dataset_from_directory(folder, **options))
    dataset = image_dataset_from_directory(folder, on_error="skip", **options)
    with pytest.warns(UserWarning, match=r"1 of 18 files were skipped.*2\.png"):
        x, _ = read_all(dataset)
    assert len(x) == 17


def test_a_model_trains_on_a_folder(folder):
    dataset = image_dataset_from_directory(folder, image_size=(8, 8), batch_size=6, verbose=False)
    model = mc.Sequential(
        [
            mc.Input((8, 8, 3)),
            mc.layers.Rescaling(1 / 255),
            mc.layers.Flatten(),
            mc.layers.Dense(3, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"], backend="numpy")
    history = model.fit(dataset, validation_data=dataset, epochs=2, verbose=0).history
    assert set(history) == {"loss", "accuracy", "val_loss", "val_accuracy"}


# ---------------------------------------------------------------------------------------------------------------- files


def test_modes_of_pictures(tmp_path):
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
    for mode in ("L", "RGB", "RGBA", "CMYK", "P", "1", "LA"):
        Image.fromarray(pixels).convert(mode).save(tmp_path / f"{mode}.tiff")
        image = images.img_to_array(images.load_img(tmp_path / f"{mode}.tiff"))
        assert image.shape == (3, 4, 3)
        if mode != "1":
            assert np.abs(image[..., 0] - pixels).max() <= 1
    deep = (pixels.astype(np.uint16) * 257).astype(np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    assert np.array_equal(images.img_to_array(images.load_img(tmp_path / "deep.png"))[..., 1], pixels)
    assert np.array_equal(np.asarray(images.load_img(tmp_path / "deep.png", color_mode="grayscale")), deep)


def test_saving_and_reading_back(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 6, 3)).astype(np.uint8)
    images.save_img(tmp_path / "a.png", pixels, scale=False)
    assert np.array_equal(images.img_to_array(images.load_img(tmp_path / "a.png")), pixels)
    low, high = int(pixels.min()), int(pixels.max())
    stretched = images.img_to_array(images.array_to_img(pixels / 255.0 - 3))
    assert np.abs(stretched - (pixels.astype(float) - low) * 255 / (high - low)).max() <= 1
    assert images.load_img(tmp_path / "a.png", target_size=(2, 3)).size == (3, 2)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    assert np.array_equal(images.img_to_array(images.load_img(buffer)), pixels)


def test_files_that_are_no_pictures(tmp_path, monkeypatch):
    (tmp_path / "a.jpg").write_text("<html>not found</html>")
    with pytest.raises(DataError, match=r"no picture.*a\.jpg"):
        images.load_img(tmp_path / "a.jpg")
    with pytest.raises(FileNotFoundError):
        images.load_img(tmp_path / "none.jpg")
    Image.new("L", (300, 200)).save(tmp_path / "large.png")
    monkeypatch.setattr("minicnn.images.files.MOST_PIXELS", 10_000)
    with pytest.raises(DataError, match=r"300 x 200 pixels.*large\.png"):
        images.load_img(tmp_path / "large.png")
    with pytest.raises(ShapeError, match="1, 3 or 4 channels"):
        images.array_to_img(np.zeros((3, 3, 2)))


def test_bilinear_is_tensorflow_s():
    """tf.image.resize([[0, 10, 20, 30]]): 4 → 2 gives 5, 25; 4 → 8 the ramp with flat ends."""
    ramp = np.array([[0, 10, 20, 30]], np.float32)[..., None]
    smaller = images.smart_resize(np.repeat(ramp, 2, axis=0), (1, 2))
    assert smaller[0, :, 0].tolist() == [5, 25]
    from minicnn.images.resizing import resized

    assert resized(ramp, (1, 8))[0, :, 0].tolist() == [0, 2.5, 7.5, 12.5, 17.5, 22.5, 27.5, 30]
    assert resized(ramp, (1, 2), "nearest")[0, :, 0].tolist() == [10, 30]


def test_smart_resize_cuts_the_middle():
    image = np.zeros((4, 8, 1))
    image[:, 2:6] = 9
    assert (images.smart_resize(image, (4, 4)) == 9).all()
    assert images.smart_resize(image[None], (2, 2)).shape == (1, 2, 2, 1)
    for dtype in ("uint8", "float64"):  # of which "nearest" takes numbers as they are
        nearest = images.smart_resize(image.astype(dtype), (3, 2), "nearest")
        assert nearest.dtype == dtype
        np.testing.assert_array_equal(nearest, images.smart_resize(image.astype(dtype)[None], (3, 2), "nearest")[0])


def test_a_margin_is_black_to_its_edge(tmp_path):
    """A picture (10, 8) within (4, 4) is 4 rows of int(3.2) columns, and the column on the right is black."""
    (tmp_path / "a").mkdir()
    Image.new("RGB", (8, 10), (255, 255, 255)).save(tmp_path / "a" / "one.png")
    data = images.image_dataset_from_directory(tmp_path, image_size=(4, 4), pad_to_aspect_ratio=True, verbose=False)
    (pixels,) = next(iter(data))[0].numpy()
    np.testing.assert_array_equal(pixels[..., 0], [[255, 255, 255, 0]] * 4)
    assert fitting((34, 25), (20, 11)) == ((14, 11), (2, 0))  # of 10 columns where it is computed in float64


# --------------------------------------------------------------------------------------------------------- augmentation


def test_the_matrix_of_a_transform():
    """Rotation · shift · shear · zoom, in (column, row), around the middle at (size - 1) / 2."""
    assert affine_matrix({}, 5, 5) is None
    assert affine_matrix({"tx": 2, "ty": -1}, 5, 5).round(12).tolist() == [[1, 0, 2], [0, 1, -1], [0, 0, 1]]
    assert affine_matrix({"theta": 90}, 3, 3).round(12).tolist() == [[0, -1, 2], [1, 0, 0], [0, 0, 1]]
    assert affine_matrix({"zx": 2, "zy": 1}, 5, 3).round(12).tolist() == [[2, 0, -1], [0, 1, 0], [0, 0, 1]]


def test_transforms_move_pixels():
    image = np.arange(20, dtype=np.float32).reshape(4, 5, 1)
    generator = ImageDataGenerator()
    assert np.array_equal(generator.apply_transform(image, {"ty": 1}), image[[1, 2, 3, 3]])
    assert np.array_equal(generator.apply_transform(image, {"tx": -2}), image[:, [0, 0, 0, 1, 2]])
    assert np.array_equal(generator.apply_transform(image, {"flip_horizontal": True}), image[:, ::-1])
    assert np.array_equal(generator.apply_transform(image, {"flip_vertical": True}), image[::-1])
    assert np.array_equal(generator.apply_transform(image, {"brightness": 0.5}), image // 2)
    assert np.array_equal(generator.apply_transform(image, {"channel_shift_intensity": 3}), np.minimum(image + 3, 19))
    square = np.random.default_rng(0).random((5, 5, 1)).astype(np.float32)
    assert np.allclose(generator.apply_transform(square, {"theta": 90}), np.rot90(square, 1), atol=1e-5)
    assert np.array_equal(image, np.arange(20).reshape(4, 5, 1))


def test_standardizing():
    x = np.random.default_rng(0).random((50, 4, 4, 3)) * 255
    generator = ImageDataGenerator(featurewise_center=True, featurewise_std_normalization=True)
    with pytest.raises(ValueError, match="call fit"):
        next(generator.flow(x))
    generator.fit(x)
    batch = next(generator.flow(x, batch_size=50, shuffle=False))
    expected = (x - x.mean((0, 1, 2))) / (x.std((0, 1, 2)) + 1e-6)
    assert np.allclose(batch, expected, atol=1e-4)
    sample = ImageDataGenerator(samplewise_center=True, samplewise_std_normalization=True).standardize(x[0])
    assert np.allclose(sample, (x[0] - x[0].mean()) / (x[0].std() + 1e-6), atol=1e-4)
    halves = ImageDataGenerator(rescale=0.5, preprocessing_function=lambda image: image + 2).standardize(x[1])
    assert np.allclose(halves, (x[1] + 2) / 2, atol=1e-4)
    white = ImageDataGenerator(zca_whitening=True)
    white.fit(x[:, :2, :1])
    pixels = next(white.flow(x[:, :2, :1], batch_size=50)).reshape(50, -1)
    assert np.allclose(pixels.T @ pixels / 50, np.eye(6), atol=0.05)


def test_flow_gives_the_data_in_batches():
    x, y = np.random.default_rng(0).random((11, 3, 3, 1)), np.arange(11)
    flow = ImageDataGenerator(validation_split=0.2).flow(x, y, batch_size=4, seed=1)
    assert len(flow) == 3
    seen = [next(flow) for _ in range(3)]
    assert [len(b) for b, _ in seen] == [4, 4, 3]
    labels = np.concatenate([b for _, b in seen])
    assert sorted(labels) == list(range(11)) != list(labels)
    assert np.allclose(np.concatenate([b for b, _ in seen]), x[labels])
    assert list(np.concatenate([next(flow)[1] for _ in range(3)])) != list(labels)
    again = ImageDataGenerator().flow(x, y, batch_size=4, seed=1)
    assert list(next(again)[1]) == list(labels[:4])
    parts = [
        ImageDataGenerator(validation_split=0.2).flow(x, y, subset=s, ignore_class_split=True).n
        for s in ("training", "validation")
    ]
    assert parts == [9, 2]
    with pytest.raises(ValueError, match="the same classes: shuffle x and y first"):
        ImageDataGenerator(validation_split=0.2).flow(x, y, subset="training")
    again.shuffle, again.index_array = False, None  # as Keras's users ask for the order of the files
    assert np.concatenate([again[i][1] for i in range(3)]).tolist() == list(range(11))
    weighted = ImageDataGenerator().flow(x, y, sample_weight=y * 2.0, shuffle=False)[0]
    assert weighted[2].tolist() == (y * 2.0).tolist()


def test_random_changes_stay_in_their_ranges():
    generator = ImageDataGenerator(
        rotation_range=20, width_shift_range=0.25, height_shift_range=3, zoom_range=0.2, shear_range=5
    )
    drawn = [generator.get_random_transform((16, 8, 1), seed=i) for i in range(200)]
    for name, limit in (("theta", 20), ("tx", 2), ("ty", 3), ("shear", 5)):
        values = np.array([d[name] for d in drawn])
        assert 0.9 * limit - 1 < np.abs(values).max() <= limit
    zooms = np.array([d["zx"] for d in drawn])
    assert 0.8 <= zooms.min() < 0.85
    assert 1.15 < zooms.max() <= 1.2
    assert generator.get_random_transform((16, 8, 1), seed=3) == drawn[3]


@pytest.mark.parametrize("mode", ["categorical", "sparse", "input", None])
def test_flow_from_directory(folder, mode, capsys):
    flow = ImageDataGenerator(rescale=1 / 255).flow_from_directory(
        folder, target_size=(4, 5), batch_size=18, class_mode=mode, shuffle=False
    )
    assert "Found 18 images belonging to 3 classes." in capsys.readouterr().out
    assert flow.class_indices == {"ants": 0, "bees": 1, "cats": 2}
    assert (flow.samples, flow.num_classes, flow.image_shape) == (18, 3, (4, 5, 3))
    assert flow.filenames[0].endswith("0.png")
    assert flow.classes.tolist() == [0] * 6 + [1] * 6 + [2] * 6
    batch = next(flow)
    x = batch if mode is None else batch[0]
    assert x.shape == (18, 4, 5, 3)
    assert np.allclose(x[:, 0, 0, 2], 200 / 255)
    if mode == "categorical":
        assert np.array_equal(batch[1], np.eye(3)[flow.classes])
    if mode == "sparse":
        assert batch[1].tolist() == flow.classes.tolist()


def test_the_files_and_classes_of_an_iterator_can_be_replaced(folder):
    """As scripts did before there was `flow_from_dataframe`."""
    flow = ImageDataGenerator().flow_from_directory(
        folder, target_size=(4, 5), batch_size=3, class_mode="sparse", shuffle=False
    )
    wanted = [flow.filepaths[i] for i in (7, 1, 13, 4)]
    expected = np.stack([flow[i // 3][0][i % 3] for i in (7, 1, 13, 4)])
    flow.filenames, flow.classes = np.array(wanted), np.array([0.5, 1.5, 2.5, 3.5])
    flow.samples = flow.n = 4
    flow._set_index_array()
    flow.directory = ""
    (x, y), (rest, last) = next(flow), next(flow)
    assert len(flow) == 2 and np.array_equal(np.concatenate([x, rest]), expected)
    assert [*y, *last] == [0.5, 1.5, 2.5, 3.5] and np.array_equal(flow.labels, flow.classes)


def test_a_subset_for_validation_needs_a_split(folder):
    generator = ImageDataGenerator()
    x = np.zeros((4, 8, 8, 3))
    calls = (lambda s: generator.flow(x, subset=s), lambda s: generator.flow_from_directory(folder, subset=s))
    for call in calls:
        assert call("training").n == call(None).n
        with pytest.raises(ValueError, match=r"needs ImageDataGenerator\(validation_split=0.2\)"):
            call("validation")
        with pytest.raises(ValueError, match="must be one of None, 'training', 'validation'"):
            call("test")


def test_subsets_of_directories_have_the_same_part_of_each_class(folder):
    generator = ImageDataGenerator(validation_split=0.34)
    train = generator.flow_from_directory(folder, subset="training")
    validation = generator.flow_from_directory(folder, subset="validation")
    assert np.bincount(validation.classes).tolist() == [2, 2, 2]
    assert sorted(train.filepaths + validation.filepaths) == sorted({*train.filepaths, *validation.filepaths})
    assert train.n + validation.n == 18


def test_flow_from_a_table(folder):
    table = {
        "file": ["ants/0.png", "cats/1.png", "nowhere.png", "bees/3.png"],
        "kind": ["a", "c", "a", "b"],
        "size": [1.5, 2.5, 3.5, 4.5],
    }
    flow = ImageDataGenerator().flow_from_dataframe(
        table, folder, x_col="file", y_col="kind", class_mode="sparse", target_size=(4, 4), shuffle=False
    )
    assert flow.class_indices == {"a": 0, "b": 1, "c": 2}
    assert next(flow)[1].tolist() == [0, 2, 1]
    raw = ImageDataGenerator().flow_from_dataframe(
        table, folder, x_col="file", y_col="size", class_mode="raw", shuffle=False
    )
    assert next(raw)[1].tolist() == [1.5, 2.5, 4.5]
    table["box"] = [[1, 2], [3, 4], [5, 6], [7, 8]]
    options = {"x_col": "file", "class_mode": "multi_output", "target_size": (4, 4), "shuffle": False}
    each = ImageDataGenerator().flow_from_dataframe(table, folder, y_col=["size", "box"], batch_size=2, **options)
    sizes, boxes = next(each)[1]
    assert sizes.tolist() == [1.5, 2.5] and boxes.tolist() == [[1, 2], [3, 4]]
    assert [part.tolist() for part in next(each)[1]] == [[4.5], [[7, 8]]]
    inputs = mc.Input((4, 4, 3))
    x = mc.layers.Flatten()(inputs)
    model = mc.Model(inputs, [mc.layers.Dense(1, name="size")(x), mc.layers.Dense(2, name="box")(x)])
    model.compile("sgd", ["mse", "mse"], backend="numpy")
    images = np.concatenate([next(each)[0] for _ in range(2)])
    targets = [np.array([1.5, 2.5, 4.5]), np.array([[1, 2], [3, 4], [7, 8]])]
    assert model.evaluate(each, verbose=0) == pytest.approx(model.evaluate(images, targets, verbose=0), rel=1e-5)
    with pytest.raises(TypeError, match="y_col is a list of columns"):
        ImageDataGenerator().flow_from_dataframe(table, folder, y_col="size", **options)
    with pytest.raises(ValueError, match=r"class_mode.*'multi_output'"):
        ImageDataGenerator().flow_from_directory(folder, class_mode="multi_output")


def test_a_model_trains_on_a_generator(folder):
    flow = ImageDataGenerator(rescale=1 / 255, rotation_range=10, horizontal_flip=True).flow_from_directory(
        folder, target_size=(8, 8), batch_size=5
    )
    model = mc.Sequential([mc.Input((8, 8, 3)), mc.layers.Flatten(), mc.layers.Dense(3, activation="softmax")])
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"], backend="numpy")
    assert (
        len(model.fit(flow, steps_per_epoch=len(flow), epochs=2, validation_data=flow, verbose=0).history["loss"]) == 2
    )
    assert model.predict(flow, verbose=0).shape == (18, 3)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "I;16"])
def test_pixels_where_they_lie(mode):
    image = Image.fromarray(np.random.default_rng(3).integers(0, 256, (37, 53, 3), dtype=np.uint8)).convert("L")
    image = image.convert(mode) if mode != "I;16" else Image.fromarray(np.asarray(image).astype(np.uint16) * 200)
    expected = np.asarray(image).copy()
    pixels = pixels_of(image)
    del image
    gc.collect()
    [np.full((37, 53, 4), 7, np.uint8) for _ in range(50)]  # what might take freed memory
    np.testing.assert_array_equal(pixels, expected)


def test_pixels_of_pictures_that_lie_in_pieces():
    image = Image.fromarray(np.random.default_rng(4).integers(0, 256, (2500, 3000, 3), dtype=np.uint8))
    np.testing.assert_array_equal(pixels_of(image), np.asarray(image))


def test_pixels_without_pillows_memory(monkeypatch):
    image = Image.fromarray(np.random.default_rng(5).integers(0, 256, (5, 6, 3), dtype=np.uint8))
    monkeypatch.delattr(Image.Image, "__arrow_c_array__", raising=False)
    np.testing.assert_array_equal(pixels_of(image), np.asarray(image))


@pytest.mark.parametrize("size", [(7, 9), (60, 80), (20, 30)])
def test_resizing_pixels_of_a_larger_array(size):
    whole = np.random.default_rng(6).integers(0, 256, (20, 30, 4), dtype=np.uint8)
    before = whole.copy()
    for part in (whole[..., :3], whole[..., 1:4], whole[:, 3:, :3], whole[::2, :, :2], whole[..., ::2]):
        np.testing.assert_array_equal(resized(part, size), resized(part.copy(), size))
    assert np.array_equal(whole, before)
    numbers = np.random.default_rng(7).random((20, 30, 3)).astype(np.float32)
    kept = numbers.copy()
    resized(numbers, size)
    np.testing.assert_array_equal(numbers, kept)


def kernel_of(method, distance):
    """Textbook forms of the kernels, of one number."""
    d = abs(distance)
    if method == "bicubic":  # Keys, a = -1/2
        return 1.5 * d**3 - 2.5 * d**2 + 1 if d <= 1 else -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2 if d < 2 else 0
    radius = int(method[-1])
    if d == 0:
        return 1
    return radius * math.sin(math.pi * d) * math.sin(math.pi * d / radius) / (math.pi * d) ** 2 if d < radius else 0


@pytest.mark.parametrize("method", ["bicubic", "lanczos3", "lanczos5", "area"])
@pytest.mark.parametrize("size", [(4, 3), (13, 17), (9, 7), (5, 20)])
def test_resizing_with_many_pixels_is_as_its_formula_says(method, size):
    """Without smoothing, as TensorFlow's: of a smaller image, too, each pixel is made of those around its centre."""
    x = np.random.default_rng(3).integers(0, 256, (9, 7, 2)).astype(np.uint8)
    found = keras_tf.image.resize(x, size, method=method)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, resized_by_formula(x, size, method, 1024), atol=1e-3)
    if method != "area":
        of_layer = mc.layers.Resizing(*size, method)(x[None].astype(np.float32))[0]
        np.testing.assert_allclose(of_layer, resized_by_formula(x, size, method), atol=1e-3)


def resized_by_formula(x, size, method, steps=None):
    """By matrices of the kernels; TensorFlow's bicubic one lies at one of so many places between two pixels."""
    matrices = []
    for old, new in zip(x.shape[:2], size, strict=True):
        matrix, step = np.zeros((new, old)), old / new
        for i, j in np.ndindex(new, old):
            place = (i + 0.5) * step - 0.5
            place = round(place * steps) / steps if steps and method == "bicubic" else place
            if method == "area":
                matrix[i, j] = max(0, min((i + 1) * step, j + 1) - max(i * step, j))
            else:
                matrix[i, j] = kernel_of(method, j - place)
        matrices.append(matrix / matrix.sum(axis=1, keepdims=True))
    return np.einsum("ih,jw,hwc->ijc", *matrices, x)
