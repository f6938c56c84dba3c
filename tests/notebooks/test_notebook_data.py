"""Data sets, arrays, folders, generators and chains, as scripts prepare them."""

import os
import shutil
import tarfile

import numpy as np
import pytest

import minicnn as mc
from minicnn import keras
from minicnn.errors import DataError
from minicnn.keras import layers, models
from minicnn.keras.preprocessing.image import ImageDataGenerator

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


def network(shape, classes):
    """A small compiled classifier of pictures."""
    model = models.Sequential(
        [layers.Conv2D(2, 3, activation="relu", input_shape=shape), layers.GlobalAveragePooling2D()]
    )
    model.add(layers.Dense(classes, activation="softmax" if classes > 1 else "sigmoid"))
    loss = "categorical_crossentropy" if classes > 1 else "binary_crossentropy"
    model.compile(optimizer="rmsprop", loss=loss, metrics=["acc"])
    return model


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10"])
def test_data_sets(name):
    (x_train, y_train), (x_test, _) = getattr(keras.datasets, name).load_data()
    assert x_train.dtype == np.uint8
    assert len(x_train) == len(y_train) == 64
    assert x_test.shape[1:] == x_train.shape[1:]


def test_mnist_with_a_path():
    (x, y), _ = keras.datasets.mnist.load_data(path="mnist.npz")
    assert x.shape == (64, 28, 28)
    assert y.shape == (64,)


def test_mnist_from_a_file_of_keras():
    x, y = np.zeros((5, 28, 28), np.uint8), np.arange(5, dtype=np.uint8)
    np.savez("mine.npz", x_train=x, y_train=y, x_test=x[:2], y_test=y[:2])
    (_, labels), (images, _) = keras.datasets.mnist.load_data(path=os.path.abspath("mine.npz"))
    assert labels.tolist() == [0, 1, 2, 3, 4]
    assert images.shape == (2, 28, 28)


def test_one_hot_labels():
    from minicnn.keras.utils import to_categorical

    assert to_categorical([0, 2], num_classes=3).tolist() == [[1, 0, 0], [0, 0, 1]]
    assert keras.utils.to_categorical(np.array([[1], [0]])).tolist() == [[0, 1], [1, 0]]
    assert keras.utils.np_utils.to_categorical(np.array([1, 0]), 2).shape == (2, 2)
    assert np.allclose(keras.utils.normalize(np.array([[3.0, 4.0]])), [[0.6, 0.8]])


def test_augmented_arrays(grey):
    x, y = grey
    datagen = ImageDataGenerator(
        featurewise_center=False,
        samplewise_center=False,
        rotation_range=10,
        zoom_range=0.1,
        width_shift_range=0.1,
        height_shift_range=0.1,
        horizontal_flip=False,
    )
    datagen.fit(x)
    target = keras.utils.to_categorical(y, 10)
    model = network((28, 28, 1), 10)
    history = model.fit_generator(
        datagen.flow(x, target, batch_size=32),
        steps_per_epoch=len(x) / 32,
        epochs=2,
        verbose=2,
        validation_data=(x, target),
        workers=4,
    )
    assert set(history.history) == {"loss", "acc", "val_loss", "val_acc"}
    history = model.fit(x=datagen.flow(x, target, batch_size=16), epochs=1, steps_per_epoch=len(x) // 16, verbose=0)
    assert len(history.history["loss"]) == 1
    images, labels = next(datagen.flow(x, target, batch_size=9))
    assert images.shape == (9, 28, 28, 1)
    assert labels.shape == (9, 10)


def test_photos_in_folders(folder):
    train_datagen = ImageDataGenerator(rescale=1.0 / 255, shear_range=0.2, zoom_range=0.2, horizontal_flip=True)
    test_datagen = ImageDataGenerator(rescale=1.0 / 255)
    train = train_datagen.flow_from_directory(folder / "train", target_size=(10, 10), batch_size=4, class_mode="binary")
    test = test_datagen.flow_from_directory(
        str(folder / "test"), target_size=(10, 10), batch_size=3, class_mode="binary"
    )
    assert train.class_indices == {"cats": 0, "dogs": 1}
    assert train.samples == 12
    model = network((10, 10, 3), 1)
    model.fit_generator(
        train, steps_per_epoch=12 // 4, epochs=2, validation_data=test, validation_steps=6 // 3, verbose=0
    )
    model.fit_generator(train, samples_per_epoch=12, nb_epoch=1, validation_data=test, nb_val_samples=6, verbose=0)
    loss, _ = model.evaluate_generator(test, steps=2)
    assert loss > 0
    assert model.predict_generator(test, 2).shape == (6, 1)
    batch, labels = next(train)
    assert batch.shape == (4, 10, 10, 3)
    assert set(labels) <= {0.0, 1.0}


def test_a_part_for_validation(folder):
    datagen = ImageDataGenerator(rescale=1 / 255.0, validation_split=0.5)
    parts = [
        datagen.flow_from_directory(folder / "train", (8, 8), subset=subset, class_mode="categorical", seed=1)
        for subset in ("training", "validation")
    ]
    assert [part.n for part in parts] == [6, 6]
    network((8, 8, 3), 2).fit(parts[0], validation_data=parts[1], verbose=0)


def test_one_photo(folder):
    from minicnn.keras.preprocessing import image

    path = folder / "test" / "cats" / "cats.0.png"
    img = image.load_img(path, target_size=(10, 10))
    x = image.img_to_array(img)
    x = np.expand_dims(x, axis=0)
    assert network((10, 10, 3), 1).predict(np.vstack([x])).shape == (1, 1)
    assert keras.utils.array_to_img(x[0]).size == (10, 10)
    i = 0
    for _ in ImageDataGenerator(rotation_range=40, fill_mode="nearest").flow(x, batch_size=1):
        i += 1
        if i > 3:
            break
    assert i == 4


def test_pictures_as_a_data_set(folder):
    AUTOTUNE = mc.data.AUTOTUNE
    arguments = {"validation_split": 0.5, "seed": 123, "image_size": (10, 10), "batch_size": 4}
    train_ds = keras.utils.image_dataset_from_directory(folder / "train", subset="training", **arguments)
    val_ds = keras.preprocessing.image_dataset_from_directory(folder / "train", subset="validation", **arguments)
    class_names = train_ds.class_names
    assert class_names == ["cats", "dogs"]
    for images, labels in train_ds.take(1):
        assert images[0].numpy().astype("uint8").shape == (10, 10, 3)
        assert class_names[labels[0]] in class_names
        assert images.shape == (4, 10, 10, 3)
        assert labels.numpy().shape == (4,)
    train_ds = train_ds.cache().shuffle(1000).prefetch(buffer_size=AUTOTUNE)
    val_ds = val_ds.cache().prefetch(buffer_size=AUTOTUNE)
    model = models.Sequential(
        [layers.Rescaling(1.0 / 255, input_shape=(10, 10, 3)), layers.Conv2D(2, 3), layers.Flatten(), layers.Dense(2)]
    )
    model.compile(
        optimizer="adam", loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"]
    )
    history = model.fit(train_ds, validation_data=val_ds, epochs=2, verbose=0)
    assert len(history.history["val_accuracy"]) == 2
    normalization = layers.Rescaling(1.0 / 255)
    image_batch, _ = next(iter(train_ds.map(lambda x, y: (normalization(x), y))))
    assert np.max(image_batch[0]) <= 1
    augmentation = keras.Sequential([layers.RandomFlip("horizontal"), layers.RandomRotation(0.1)])
    augmented = train_ds.map(lambda x, y: (augmentation(x, training=True), y), num_parallel_calls=AUTOTUNE)
    model.fit(augmented, verbose=0)


def test_arrays_as_a_data_set(small):
    import minicnn as tf

    x, y = small
    train = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(100).batch(8)
    test = tf.data.Dataset.from_tensor_slices((x, y)).batch(8)
    model = models.Sequential([layers.Flatten(), layers.Dense(3, activation="softmax")])
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(train, epochs=1, validation_data=test, verbose=0)
    assert model.evaluate(test, verbose=0)[0] == pytest.approx(model.evaluate(x, y, verbose=0)[0], rel=1e-5)
    left, right = keras.utils.split_dataset((x, y), left_size=0.75, shuffle=True, seed=1)
    assert (len(left), len(right)) == (24, 8)


def test_helpers(capsys, tmp_path):
    with pytest.raises(DataError, match="cannot be downloaded"):
        keras.utils.get_file("flowers.tgz", origin="file:///nowhere/flowers.tgz", untar=True, cache_dir=tmp_path)
    bar = keras.utils.Progbar(10)
    for i in range(1, 11):
        bar.update(i, values=[("loss", 1 / i)])
    assert "10/10" in capsys.readouterr().out
    assert keras.utils.unpack_x_y_sample_weight(keras.utils.pack_x_y_sample_weight(1, 2)) == (1, 2, None)


def test_kaggle_digits(grey):
    """A table's rows, as pandas gives them, reshaped."""
    x, y = grey
    table = np.column_stack([y, x.reshape(len(x), -1) * 255]).astype(int)
    X_train = (table[:, 1:] / 255.0).reshape(-1, 28, 28, 1)
    Y_train = keras.utils.to_categorical(table[:, 0], num_classes=10)
    model = network((28, 28, 1), 10)
    model.fit(X_train, Y_train, batch_size=32, epochs=1, validation_split=0.1, verbose=2)
    results = np.argmax(model.predict(X_train), axis=1)
    assert results.shape == (64,)


@pytest.mark.parametrize("packed", [False, True])
def test_cifar100_files(packed, monkeypatch, tmp_path):
    """Records of the published layout: coarse label, fine label, the planes red, green, blue."""
    from minicnn.datasets import cifar100

    monkeypatch.setattr(cifar100, "COUNTS", {"train.bin": 3, "test.bin": 2})
    home = tmp_path / "cifar-100-binary"
    home.mkdir()
    for name, count in cifar100.COUNTS.items():
        records = [bytes([i, 10 + i]) + bytes([1]) * 1024 + bytes([2]) * 1024 + bytes([3]) * 1024 for i in range(count)]
        (home / name).write_bytes(b"".join(records))
    if packed:
        with tarfile.open(tmp_path / "cifar-100-binary.tar.gz", "w:gz") as archive:
            archive.add(home, "cifar-100-binary")
        shutil.rmtree(home)
    (x, fine), (_, test) = cifar100.load_data(data_dir=tmp_path)
    assert x.shape == (3, 32, 32, 3)
    assert (x == [1, 2, 3]).all()
    assert fine.tolist() == [[10], [11], [12]]
    assert test.tolist() == [[10], [11]]
    assert keras.datasets.cifar100.load_data("coarse", tmp_path)[0][1].tolist() == [[0], [1], [2]]
    with pytest.raises(ValueError, match="'fine' or 'coarse'"):
        cifar100.load_data("both", tmp_path)
