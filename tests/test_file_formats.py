"""A file format is one file: dropped into minicnn/saving, it is there."""

import sys
from importlib import import_module

import numpy as np
import pytest

import minicnn as mc
from minicnn import layers, saving
from minicnn.saving.formats import formats

TOY = '''
"""A format for this test: NumPy's."""

import numpy as np

from minicnn.saving.formats import Format
from minicnn.saving.snapshot import Reader as BaseReader


def write(path, snapshot):
    with open(path, "wb") as file:
        np.savez(file, **snapshot.weights)


class Reader(BaseReader):
    def __init__(self, path):
        with np.load(path) as arrays:
            self.arrays = dict(arrays)

    def weights(self, expected, config):
        return self.arrays


def check_writable(suffix):
    raise ImportError(f"writing '{suffix}' files needs a toy")


FORMAT = Format((".weights.toy", ".toy"), write, Reader, weights_only=True, check_writable=check_writable)
'''


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """Inside, minicnn/saving has one file more."""
    (tmp_path / "toy.py").write_text(TOY)
    monkeypatch.setattr(saving, "__path__", [*saving.__path__, str(tmp_path)])
    formats.cache_clear()
    yield
    sys.modules.pop("minicnn.saving.toy", None)
    formats.cache_clear()


def small_model():
    return mc.Sequential([mc.Input((3,)), layers.Dense(2, name="d")])


def test_a_format_is_one_file(toy, tmp_path):
    model, other = small_model(), small_model()
    model.save_weights(tmp_path / "model.toy")
    other.load_weights(tmp_path / "model.toy")
    np.testing.assert_array_equal(other.get_weights()[0], model.get_weights()[0])
    with pytest.raises(ValueError, match=r"a '\.toy' file holds weights alone"):
        model.save(tmp_path / "model.toy")
    with pytest.raises(ImportError, match=r"writing '\.weights\.toy' files needs a toy"):
        mc.callbacks.ModelCheckpoint(tmp_path / "model.weights.toy", save_weights_only=True)
    with pytest.raises(ValueError, match=r"a model file's name ends in .*\.toy"):
        model.save(tmp_path / "model.other")


def test_without_the_file_there_is_no_such_format(tmp_path):
    with pytest.raises(
        ValueError, match=r"ends in \.weights\.h5, \.safetensors, \.keras, \.h5, \.hdf5; '\.safetensors'"
    ):
        small_model().save(tmp_path / "model.toy")


@pytest.mark.parametrize("suffix", [".weights.h5", ".keras", ".h5", ".hdf5"])
def test_formats_say_themselves_what_they_need(suffix, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ImportError, match=rf"writing '{suffix}' files needs h5py: pip install minicnn\[keras\]"):
        saving.check_writable(tmp_path / f"model{suffix}", weights_only=True)
    saving.check_writable(tmp_path / "model.safetensors", weights_only=False)


def test_a_suffix_belongs_to_the_format_that_names_it():
    assert formats()[".h5"].reader is import_module("minicnn.saving.keras_hdf5").Reader
    assert saving.check_suffix("model.weights.h5", weights_only=True) == ".weights.h5"
    assert saving.check_suffix("weights.h5", weights_only=False) == ".h5"
