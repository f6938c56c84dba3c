"""What data and logs look like, and where data begins: as in Keras 3.15 with TensorFlow, which gave these numbers."""

import io
import zipfile

import numpy as np
import pytest
from PIL import Image

import minicnn.keras.tensorflow as tf
from minicnn import keras, numpy_archive
from minicnn.errors import DataError, FileFormatError
from minicnn.keras.preprocessing.image import ImageDataGenerator
from minicnn.keras.utils import PyDataset


def _sums():
    """A model whose output is the sum of three numbers, and which does not learn; compiled with the squared error."""
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, kernel_initializer="ones")])
    model.compile(keras.optimizers.SGD(0.0), "mse")
    return model


def _numbered():
    """Batches of 1, of 2, of 3, …"""
    for number in range(1, 30):
        yield np.full((2, 3), number, "float32"), np.zeros((2, 1), "float32")


ARRAYS = np.zeros((4, 3), "float32"), np.zeros((4, 1), "float32")


def test_a_generator_validates_with_its_first_two_batches_in_every_epoch():
    """Losses 9 n²: batches 1 and 2, again; of three, the third is the next one of the generator."""
    model = _sums()
    history = model.fit(*ARRAYS, epochs=3, verbose=0, validation_data=_numbered(), validation_steps=2).history
    assert history["val_loss"] == [22.5, 22.5, 22.5]
    history = model.fit(*ARRAYS, epochs=2, verbose=0, validation_data=_numbered(), validation_steps=3).history
    np.testing.assert_allclose(history["val_loss"], [9 * (1 + 4 + 9) / 3, 9 * (1 + 4 + 16) / 3])


@pytest.mark.filterwarnings("ignore:.*fit_generator:FutureWarning")
def test_fit_generator_validates_behind_the_last_batch_as_keras_2():
    history = _sums().fit_generator(
        _numbered(), steps_per_epoch=1, epochs=2, verbose=0, validation_data=_numbered(), validation_steps=2
    )
    np.testing.assert_allclose(history.history["val_loss"], [9 * (1 + 4) / 2, 9 * (9 + 16) / 2])


@pytest.mark.parametrize("callbacks", [None, "list", "one"])
def test_logs_come_in_the_order_of_their_names(callbacks):
    x, y = np.zeros((4, 1), "float32"), np.zeros((4, 2), "float32")
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(2)])
    model.compile("sgd", "mse", metrics=["mae", "accuracy"])
    plateau = keras.callbacks.ReduceLROnPlateau()
    callbacks = {"list": [plateau], "one": plateau}.get(callbacks)
    history = model.fit(x, y, verbose=0, validation_data=(x, y), callbacks=callbacks).history
    expected = ["accuracy", "loss", "mae", "val_accuracy", "val_loss", "val_mae"]
    assert list(history) == expected + (["learning_rate"] if callbacks else [])
    assert list(model.evaluate(x, y, verbose=0, return_dict=True)) == expected[:3]
    assert len(model.evaluate(x, y, verbose=0)) == 3


def test_logs_are_in_order_where_callbacks_are_given_by_their_place():
    seen = []
    look = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(list(logs)))
    model = _sums()
    model.compile("sgd", "mse", metrics=["accuracy"])
    history = model.fit(*ARRAYS, 2, 1, 0, [look])
    assert seen == [["accuracy", "loss"]] and list(history.history) == ["accuracy", "loss"]


class Endless(PyDataset):
    def __getitem__(self, index):
        return np.full((2, 3), index, "float32"), np.zeros((2, 1), "float32")

    @property
    def num_batches(self):
        return None


def test_a_pydataset_whose_batches_are_not_counted():
    history = _sums().fit(Endless(), steps_per_epoch=3, epochs=2, verbose=0, shuffle=False).history
    assert history["loss"] == [15.0, 150.0]  # of batches 0 to 2, 3 to 5


class Uncounted(PyDataset):
    __getitem__ = Endless.__getitem__


def test_a_pydataset_that_says_nothing_of_its_length_is_named():
    with pytest.raises(NotImplementedError, match="Uncounted gives batches by __len__"):
        _sums().fit(Uncounted(), steps_per_epoch=3, verbose=0)


def test_texts_are_bytes_in_numpy_iterators():
    data = tf.data.Dataset.from_tensor_slices(["a", "bé"])
    assert list(data.as_numpy_iterator()) == [b"a", "bé".encode()]
    assert next(data.batch(2).as_numpy_iterator()).tolist() == [b"a", "bé".encode()]
    pairs = tf.data.Dataset.from_tensor_slices({"a": (["x", "y"], [1, 2])})
    assert list(pairs.as_numpy_iterator()) == [{"a": (b"x", 1)}, {"a": (b"y", 2)}]


@pytest.mark.parametrize("dtype", ["float64", "float16", "float32", None])
def test_the_dtype_of_an_image_data_generator(dtype):
    made = next(ImageDataGenerator(rescale=0.5, dtype=dtype).flow(np.ones((4, 6, 6, 3), "float32"), batch_size=4))
    assert made.dtype == (dtype or "float32") and (made == 0.5).all()


def test_images_of_whole_numbers_are_not_scaled():
    images = np.full((4, 6, 6, 3), 200, "uint8")
    made = next(ImageDataGenerator(dtype="uint8").flow(images, batch_size=4))
    assert made.dtype == np.uint8 and (made == 200).all()
    for options in ({"rescale": 1 / 255}, {"samplewise_center": True}):
        with pytest.raises(ValueError, match="images are scaled as floats"):
            ImageDataGenerator(dtype="uint8", **options)


def _jpeg(height, width, kind="JPEG"):
    rows, columns = np.mgrid[:height, :width]
    pixels = np.stack([rows * 10 % 256, columns * 10 % 256, (rows + columns) % 256], -1).astype("uint8")
    Image.fromarray(pixels).save(file := io.BytesIO(), kind)
    return file.getvalue()


@pytest.mark.parametrize(("ratio", "shape", "total"), [(2, (9, 11), 20472), (4, (5, 6), 6741), (8, (3, 3), 2135)])
def test_jpegs_are_read_smaller(ratio, shape, total):
    """The sums are TensorFlow's of the same file; its own way of DCT differs by a level here and there."""
    made = tf.io.decode_jpeg(_jpeg(17, 21), ratio=ratio)
    assert made.shape == (*shape, 3) and abs(int(made.astype("int64").sum()) - total) <= made.size
    assert tf.io.decode_jpeg(_jpeg(17, 21), channels=1, ratio=ratio).shape == (*shape, 1)


def test_what_is_not_read_smaller_is_named():
    for contents in (_jpeg(17, 21, "PNG"), _jpeg(7, 40)):
        with pytest.raises(DataError, match="a JPEG file of 8 pixels or more"):
            tf.io.decode_jpeg(contents, ratio=8)


def _flow(tmp_path, column, **options):
    for name in "abcd":
        Image.new("RGB", (4, 4)).save(tmp_path / f"{name}.png")
    table = {"filename": [f"{name}.png" for name in "abcd"], "class": column}
    return ImageDataGenerator().flow_from_dataframe(
        table, str(tmp_path), target_size=(4, 4), batch_size=4, shuffle=False, **options
    )


def test_classes_in_tables_of_mixed_types(tmp_path):
    flow = _flow(tmp_path, [1, "1", "2", 2], class_mode="sparse")
    assert flow.class_indices == {"1": 0, "2": 1} and next(flow)[1].tolist() == [0, 0, 1, 1]


def test_float_classes_in_tables_are_found_by_their_names(tmp_path):
    flow = _flow(tmp_path, [2.0, 1.0, 3.0, 1.0], class_mode="sparse", classes=["1", "2"])
    assert flow.samples == 3 and next(flow)[1].tolist() == [1, 0, 0]
    assert _flow(tmp_path, [2.0, 1.5, 3.0, 1.0], class_mode="sparse").class_indices == {
        "1.0": 0, "1.5": 1, "2.0": 2, "3.0": 3
    }  # fmt: skip
    with pytest.raises(DataError, match="none of the pictures is of one of the classes"):
        _flow(tmp_path, ["x", "y", "x", "y"], class_mode="sparse", classes=["1", "2"])


def test_archives_whose_reading_needs_more_memory_than_there_is(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros(3))
    expected = pytest.raises(FileFormatError, match=r"cannot be read: .* is whole.*MemoryError")
    with expected, numpy_archive.opened(tmp_path / "a.npz", "it cannot be read"):
        bytearray(2**62)


def test_members_of_archives_are_not_larger_than_they_may(tmp_path):
    path = tmp_path / "a.zip"
    for method, pattern in ((zipfile.ZIP_STORED, "too many"), (zipfile.ZIP_BZIP2, "stored or deflated")):
        with zipfile.ZipFile(path, "w", method) as file:
            file.writestr("x", b"0" * 100)
        with zipfile.ZipFile(path) as file, pytest.raises(FileFormatError, match=pattern):
            numpy_archive.opened_member(file, file.infolist()[0], 99)


def test_dtypes_of_rows_and_of_different_numbers():
    """TensorFlow's: of the numbers that rows hold, and int32 for lists."""
    rows = tf.one_hot([0, 2], 3, on_value=5, off_value=-1)
    assert rows.dtype == np.int32 and rows.tolist() == [[5, -1, -1], [-1, -1, 5]]
    assert tf.one_hot([0, 2], 3).dtype == np.float32 == tf.one_hot([1], 2, on_value=2.0, off_value=0.5).dtype
    assert tf.one_hot([1], 2, on_value=5, off_value=0, dtype=tf.float16).dtype == np.float16
    assert tf.one_hot([1], 2, on_value=True, off_value=False).dtype == bool
    assert tf.unique([1, 1, 3])[0].dtype == np.int32 == tf.unique_with_counts([1, 1, 3])[0].dtype
    assert tf.unique(np.array([1, 1, 3]))[0].dtype == np.int64


def test_names_behind_val_in_the_alphabet_come_behind_it():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", metrics=[keras.metrics.MeanAbsoluteError(name="zp")])
    x, y = np.ones((8, 3), np.float32), np.ones((8, 1), np.float32)
    history = model.fit(x, y, validation_data=(x, y), verbose=0)
    assert list(history.history) == ["loss", "val_loss", "val_zp", "zp"]  # Keras 3.15.1
