"""What the cells share: few images for every data set, the reference backend, an empty folder."""

import numpy as np
import pytest

import minicnn as mc
from minicnn.datasets import cifar10, digits, fashion_mnist, mnist

TRAIN, TEST = 64, 32


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, tmp_path):
    """As a notebook starts, but with few images in the published shapes and dtypes."""
    (x_train, y_train), (x_test, y_test) = digits.load_data(upscale=True)
    grey = (x_train[:TRAIN], y_train[:TRAIN]), (x_test[:TEST], y_test[:TEST])
    colour = tuple((np.pad(x, ((0, 0), (2, 2), (2, 2)))[..., None].repeat(3, -1), y[:, None]) for x, y in grey)
    for source, data in ((mnist, grey), (fashion_mnist, grey), (cifar10, colour)):
        monkeypatch.setattr(source, "load_data", lambda *args, data=data: data)
    monkeypatch.chdir(tmp_path)
    mc.utils.clear_session()
    mc.utils.set_random_seed(1)
    mc.set_backend("numpy")
    yield
    mc.set_backend("numba")
    mc.keras.backend.set_image_data_format("channels_last")


@pytest.fixture
def grey():
    """Images (64, 28, 28, 1) in [0, 1] and their labels (64,)."""
    (x, y), _ = mnist.load_data()
    return x[..., None].astype("float32") / 255, y


@pytest.fixture
def small():
    """Images (32, 8, 8, 1) in [0, 1] and labels (32,) of 3 classes."""
    rng = np.random.default_rng(0)
    return rng.random((32, 8, 8, 1), np.float32), np.arange(32) % 3


@pytest.fixture
def folder(tmp_path):
    """A folder with pictures of two classes, in train/ and test/."""
    image = pytest.importorskip("PIL.Image")
    rng = np.random.default_rng(0)
    for part, count in (("train", 6), ("test", 3)):
        for name, level in (("cats", 60), ("dogs", 180)):
            home = tmp_path / "photos" / part / name
            home.mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(level - 40, level + 40, (12, 14, 3)).astype(np.uint8)
                image.fromarray(pixels).save(home / f"{name}.{i}.png")
    return tmp_path / "photos"
