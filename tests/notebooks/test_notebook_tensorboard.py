"""The files that the callback TensorBoard writes."""

import os
import struct

import numpy as np
import pytest

from minicnn import keras
from minicnn.keras import callbacks, layers

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


def test_tensorboard(small):
    """What a reader of TensorBoard's files finds: records of a length, its checksum, an event, its checksum."""
    event = pytest.importorskip("tensorboardX.proto.event_pb2").Event
    board = callbacks.TensorBoard(log_dir="./logs", histogram_freq=1, write_graph=True, write_images=False)
    model = keras.Sequential([layers.Flatten(), layers.Dense(3, activation="softmax")])
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(*small, epochs=2, verbose=0, validation_data=small, callbacks=[board]).history
    scalars, histograms = {}, set()
    for part in ("train", "validation"):
        (name,) = os.listdir(f"logs/{part}")
        assert "tfevents" in name
        with open(f"logs/{part}/{name}", "rb") as file:
            data = file.read()
        while data:
            (length,) = struct.unpack("<Q", data[:8])
            read = event.FromString(data[12 : 12 + length])
            data = data[16 + length :]
            for value in read.summary.value:
                if value.HasField("histo"):
                    histograms.add(value.tag)
                    continue
                assert read.step == len(scalars.setdefault((part, value.tag), []))
                scalars[part, value.tag].append(value.simple_value)
    rate = scalars.pop(("train", "epoch_learning_rate"))
    np.testing.assert_allclose(rate, [model.optimizer.learning_rate] * 2, rtol=1e-6)
    expected = {
        ("validation" if name.startswith("val_") else "train", f"epoch_{name.removeprefix('val_')}"): values
        for name, values in history.items()
    }
    assert scalars.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(scalars[name], values, rtol=1e-6)
    assert len(histograms) == len(model.weights)
