"""Generators of pictures as Keras 1 and 2 had them: without end, without `fit`, and without classes."""

import warnings

import numpy as np
import pytest

from minicnn import keras
from minicnn.errors import DataError
from minicnn.keras import tensorflow as tf
from minicnn.keras.preprocessing.image import ImageDataGenerator, save_img

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


@pytest.fixture
def pictures(rng):
    return rng.random((10, 4, 4, 3), np.float32), rng.integers(0, 2, 10)


@pytest.fixture
def folder(tmp_path, rng):
    for index in range(10):
        (tmp_path / "ab"[index % 2]).mkdir(exist_ok=True)
        save_img(tmp_path / "ab"[index % 2] / f"{index}.png", rng.random((4, 4, 3)))
    return tmp_path


class Table(dict):
    """As much of a DataFrame as is asked for."""


def flows(kind, pictures, folder):
    """An iterator of three batches, of 4, 4 and 2 pictures."""
    generator = ImageDataGenerator(rescale=None if kind == "arrays" else 1 / 255)
    options = {"batch_size": 4, "shuffle": False}
    if kind == "arrays":
        return generator.flow(*pictures, **options)
    options |= {"target_size": (4, 4), "class_mode": "binary"}
    if kind == "folder":
        return generator.flow_from_directory(folder, **options)
    names = [f"{'ab'[index % 2]}/{index}.png" for index in range(10)]
    return generator.flow_from_dataframe(
        Table(filename=names, **{"class": list("ab" * 5)}), directory=folder, **options
    )


def network():
    model = keras.Sequential([keras.layers.Flatten(input_shape=(4, 4, 3)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.01), "mse")
    return model


@pytest.mark.parametrize("kind", ["arrays", "folder", "table"])
def test_iterators_are_endless_in_methods_of_keras_2(kind, pictures, folder):
    flow, model, seen = flows(kind, pictures, folder), network(), []
    sizes = keras.callbacks.LambdaCallback(on_batch_end=lambda batch, logs: seen.append(batch))
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        model.fit_generator(flow, 5, 2, 0, [sizes], flows(kind, pictures, folder), 4)
        assert seen == [*range(5)] * 2 and model.optimizer.iterations == 10
        model.fit_generator(flow, 2, 3, 0)  # less than a pass, which the next epoch goes on with
        assert model.optimizer.iterations == 16
        model.fit_generator(flow, len(flow.labels if kind != "arrays" else flow.x) / 2, verbose=0)
        assert model.optimizer.iterations == 21
        fresh = flows(kind, pictures, folder)
        once = model.predict(np.concatenate([fresh[i][0] for i in range(3)]), verbose=0)
        predicted = model.predict_generator(fresh, 5)
        np.testing.assert_allclose(predicted, np.concatenate([once, once[:8]]), rtol=1e-5, atol=1e-6)
        labels = np.concatenate([fresh[i][1] for i in range(3)])
        expected = np.mean((predicted[:, 0] - np.concatenate([labels, labels[:8]])) ** 2)
        assert model.evaluate_generator(fresh, 5) == pytest.approx(expected, rel=1e-5)


def test_each_pass_has_an_order_of_its_own(pictures):
    flow = ImageDataGenerator().flow(np.arange(10.0).repeat(48).reshape(10, 4, 4, 3), pictures[1], batch_size=5, seed=1)
    seen = []
    network().fit_generator(flow, 6, 1, 0)
    assert flow._pass == 2  # the third has begun with its last batch
    for _ in range(3):
        seen.append(tuple(flow.index_array))
        flow.on_epoch_end()
    assert len({*seen}) == 3 and all(sorted(order) == [*range(10)] for order in seen)


@pytest.mark.parametrize("wants", ["featurewise_center", "featurewise_std_normalization", "zca_whitening"])
def test_a_generator_that_was_not_fit_warns_and_goes_on(wants, pictures):
    x, y = pictures
    generator = ImageDataGenerator(**{wants: True}, rescale=0.5)
    with pytest.warns(UserWarning, match="call fit") as said:
        batches = [*zip(range(3), generator.flow(x, y, batch_size=4, shuffle=False), strict=False)]
    assert len(said) == 1
    np.testing.assert_array_equal(np.concatenate([batch[0] for _, batch in batches]), x * np.float32(0.5))
    generator.fit(x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = generator.flow(x, batch_size=10, shuffle=False)[0]
    assert abs(made.mean() - x.mean() / 2) > 0.1


@pytest.mark.parametrize("classes", [(), ("a", "b")])
def test_a_folder_without_pictures_of_classes(classes, tmp_path, rng, capsys):
    for name in classes:
        (tmp_path / name).mkdir()
    images = rng.integers(0, 256, (3, 4, 4, 3)).astype(np.uint8)
    for index, image in enumerate(images):
        save_img(tmp_path / f"{index}.png", image, scale=False)
    with pytest.warns(UserWarning, match="one folder for each class"):
        flow = ImageDataGenerator().flow_from_directory(tmp_path, (4, 4), class_mode=None, batch_size=2, shuffle=False)
    assert f"Found 0 images belonging to {len(classes)} classes." in capsys.readouterr().out
    assert len(flow) == flow.samples == 0 and flow.class_indices == {name: i for i, name in enumerate(classes)}
    model = network()
    for draw in (
        lambda: next(flow),
        lambda: flow[0],
        lambda: model.predict(flow, verbose=0),
        lambda: model.predict_generator(flow, 2),
        lambda: model.fit(flow, verbose=0),
    ):
        with pytest.raises(DataError, match=r"there are no pictures|gave no batch"):
            draw()
    flow.filenames = [f"{index}.png" for index in range(3)]
    flow.samples = flow.n = 3
    np.testing.assert_array_equal(np.concatenate([flow[0], flow[1]]), images)
    assert model.predict_generator(flow, 2).shape == (3, 1)


def test_folders_that_are_not_there(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(DataError, match="expected a folder"):
        ImageDataGenerator().flow_from_directory(tmp_path / "c")
    with pytest.raises(DataError, match="no folder for class 'c'"):
        ImageDataGenerator().flow_from_directory(tmp_path, classes=["c"])


def test_what_flow_from_dataframe_does_not_know_changes_nothing(folder):
    table = Table(filename=["a/0.png", "b/1.png"], **{"class": ["a", "b"]})
    options = {"directory": folder, "target_size": (4, 4), "class_mode": "sparse", "shuffle": False}
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        as_it_is = next(ImageDataGenerator().flow_from_dataframe(table, has_ext=True, sort=False, **options))
    with pytest.warns(UserWarning, match=r"no batchsize=, rescale=, which changes nothing.*'batch_size'.*'x_col'"):
        batch = next(ImageDataGenerator().flow_from_dataframe(table, rescale=1 / 255, batchsize=1, **options))
    assert all(np.array_equal(one, other) for one, other in zip(batch, as_it_is, strict=True))
    assert batch[0].shape == (2, 4, 4, 3) and batch[0].max() > 1


def test_samples_of_a_data_set_are_counted_in_its_batches():
    """Keras 1's numbers of samples, of a data set that does not say how large its batches are."""
    data = tf.data.Dataset.from_tensor_slices((np.ones((20, 3), "float32"), np.ones((20, 1), "float32"))).batch(4)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    counts = []
    count = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: counts.append(batch))
    model.fit_generator(data, samples_per_epoch=8, nb_epoch=2, callbacks=[count], verbose=0)
    assert counts == [0, 1, 0, 1]
    model.fit_generator(data.repeat(), samples_per_epoch=10, nb_epoch=1, callbacks=[count], verbose=0)
    assert counts[4:] == [0, 1, 2]
    assert model.predict_generator(data, val_samples=8).shape == (8, 1)
