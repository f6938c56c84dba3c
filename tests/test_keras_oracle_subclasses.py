"""Files of users' models between real Keras 3 and minicnn, both ways: outputs, and how training goes on.

`pip install "keras>=3.15" tensorflow-cpu h5py` to run these; tests/test_keras_attribute_files.py needs no Keras.
"""

import numpy as np
import pytest
from real_keras import keras
from subclassed import X, built, leaves, make, trained

from minicnn import keras as own

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5")]
pytest.importorskip("h5py")

KINDS = ["attributes", "containers", "nested", "owned", "functional", "stack"]
WAYS = {"from Keras": (keras, own), "to Keras": (own, keras)}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", KINDS)
def test_weights(name, way, tmp_path):
    writer, reader = WAYS[way]
    model, like = built(writer, name), built(reader, name)
    trained(writer, model)
    model.save_weights(path := str(tmp_path / "f.weights.h5"))
    like.load_weights(path)
    for found, expected in zip(leaves(like(X)), leaves(model(X)), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", KINDS)
def test_whole_models(name, way, tmp_path):
    """What `call` computes with weights of the model's own no file of minicnn holds."""
    writer, reader = WAYS[way]
    if writer is own and name == "owned":
        pytest.skip("refused when it is written")
    model = built(writer, name)
    trained(writer, model)
    model.save(path := str(tmp_path / "f.keras"))
    loaded = reader.models.load_model(path, custom_objects=make(reader)[1])
    for found, expected in zip(leaves(loaded.predict(X)), leaves(model.predict(X)), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(trained(reader, loaded, compiled=True), trained(writer, model, compiled=True), rtol=1e-4)
