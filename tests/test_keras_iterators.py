"""Iterators over pictures as Keras 2 has them: made by their classes, and with subclasses that make their batches."""

import csv
import threading

import numpy as np
import pytest

from minicnn import keras
from minicnn.keras.preprocessing.image import (
    DataFrameIterator,
    DirectoryIterator,
    ImageDataGenerator,
    Iterator,
    NumpyArrayIterator,
    img_to_array,
    load_img,
    save_img,
)

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


@pytest.fixture
def folder(tmp_path, rng):
    for index in range(5):
        (tmp_path / "ab"[index % 2]).mkdir(exist_ok=True)
        save_img(tmp_path / "ab"[index % 2] / f"{index}.png", rng.random((4, 4, 3)), scale=True)
    return tmp_path


class Doubled:
    """Its own targets, and pictures read and changed one by one by what the iterator and its generator have."""

    def _get_batches_of_transformed_samples(self, index_array):
        x = np.zeros((len(index_array), *self.image_shape), np.float32)
        for row, index in enumerate(index_array):
            image = load_img(f"{self.directory}/{self.filenames[index]}", target_size=self.target_size)
            image = self.image_data_generator.random_transform(img_to_array(image, data_format=self.data_format))
            x[row] = self.image_data_generator.standardize(image)
        assert (self.save_to_dir, self.interpolation) == (None, "nearest")
        return x, 2 * np.asarray(index_array)


class OfFolder(Doubled, DirectoryIterator):
    pass


class OfTable(Doubled, DataFrameIterator):
    pass


@pytest.mark.parametrize("kind", ["folder", "positions", "table"])
def test_a_subclass_makes_the_batches_of_files(folder, kind):
    generator = ImageDataGenerator(rescale=1 / 255)
    names = [f"{'ab'[i % 2]}/{i}.png" for i in (0, 2, 4, 1, 3)]
    if kind == "table":
        table = {"filename": names, "class": list("aaabb")}
        made = OfTable(table, str(folder), generator, target_size=(4, 4), batch_size=2, shuffle=False)
    elif kind == "positions":  # size, colours, classes, mode, batch size, shuffle, seed, format
        made = OfFolder(str(folder), generator, (4, 4), "rgb", None, "categorical", 2, False, 1, "channels_last")
    else:
        made = OfFolder(str(folder), image_data_generator=generator, target_size=(4, 4), batch_size=2, shuffle=False)
    batches = [next(made) for _ in range(len(made))]
    assert [y.tolist() for _, y in batches] == [[0, 2], [4, 6], [8]]
    expected = [img_to_array(load_img(folder / name)) / 255 for name in names]
    np.testing.assert_allclose(np.concatenate([x for x, _ in batches]), expected, rtol=1e-6)
    assert made[2][1].tolist() == [8]


def test_a_subclass_changes_the_batch_that_it_is_given(rng):
    class Negative(NumpyArrayIterator):
        def _get_batches_of_transformed_samples(self, index_array):
            x, y = super()._get_batches_of_transformed_samples(index_array)
            return -x, y

    x = rng.random((5, 4, 4, 3), np.float32)
    batches = Negative(x, np.arange(5), ImageDataGenerator(), batch_size=3)
    np.testing.assert_array_equal(next(batches)[0], -x[:3])
    np.testing.assert_array_equal(next(batches)[1], [3, 4])


def test_next_may_be_written_anew(folder):
    class Names(DirectoryIterator):
        def next(self):
            with self.lock:
                places = next(self.index_generator)
            return [self.filenames[i] for i in places]

    names = Names(folder, ImageDataGenerator(), batch_size=3, shuffle=False)
    first, second = ["a/0.png", "a/2.png", "a/4.png"], ["b/1.png", "b/3.png"]
    assert [next(names), next(names), next(names)] == [first, second, first]


def test_an_iterator_of_anything():
    class Squares(Iterator):
        def _get_batches_of_transformed_samples(self, index_array):
            return np.square(index_array)

    squares = Squares(5, 2, False, 0)
    assert [next(squares).tolist() for _ in range(3)] == [[0, 1], [4, 9], [16]]


def test_flows_are_of_these_classes(folder):
    generator = ImageDataGenerator()
    assert isinstance(generator.flow_from_directory(folder), DirectoryIterator)
    table = {"filename": ["a/0.png"], "class": ["a"]}
    assert isinstance(generator.flow_from_dataframe(table, str(folder)), DataFrameIterator)


def test_another_format_than_the_generators_is_refused(folder):
    with pytest.raises(ValueError, match="data_format is that of the ImageDataGenerator, 'channels_last'"):
        DirectoryIterator(folder, ImageDataGenerator(), data_format="channels_first")


class Timed(keras.callbacks.CSVLogger):
    """Begins epochs by itself, and writes rows of its own, as Keras's class does."""

    def on_epoch_begin(self, epoch, logs=None):
        self.begun = epoch

    def on_epoch_end(self, epoch, logs=None):
        if not self.keys:
            self.keys = [*sorted(logs), "begun"]
        if not self.writer:
            self.writer = csv.DictWriter(self.csv_file, ["epoch", *self.keys], delimiter=self.sep)
            if self.append_header:
                self.writer.writeheader()
        self.writer.writerow({"epoch": epoch, "begun": self.begun, **logs})
        self.csv_file.flush()

    def on_train_end(self, logs=None):
        self.csv_file.close()


def fitted(callback):
    model = keras.Sequential([keras.layers.Dense(1, input_shape=(2,))])
    model.compile("sgd", "mse")
    model.fit(np.ones((2, 2)), np.ones(2), epochs=2, verbose=0, callbacks=[callback])


def test_a_csv_logger_of_ones_own_writes_to_the_file(tmp_path):
    for _ in range(2):
        fitted(Timed(tmp_path / "log.csv", separator=";", append=True))
    lines = (tmp_path / "log.csv").read_text().split()
    rows = [line.split(";")[::2] for line in lines]
    assert rows == [["epoch", "begun"], *[["0", "0"], ["1", "1"]] * 2]


def test_a_csv_logger_that_begins_epochs_by_itself_still_writes(tmp_path):
    class Begun(keras.callbacks.CSVLogger):
        def on_epoch_begin(self, epoch, logs=None):
            self.begun = epoch

    callback = Begun(tmp_path / "log.csv")
    fitted(callback)
    assert (tmp_path / "log.csv").read_text().splitlines()[0] == "epoch,loss,val_loss"
    assert callback.csv_file is None


def test_a_lock_of_ones_own():
    class Locked(Iterator):
        def __init__(self):
            super().__init__(4, 2, False, None)
            self.lock = threading.Lock()

        def next(self):
            with self.lock:
                return next(self.index_generator)

    iterator = Locked()
    assert [iterator.next().tolist() for _ in range(3)] == [[0, 1], [2, 3], [0, 1]]
    with Iterator(4, 2, False, None).lock:
        assert not iterator.lock.locked()
