"""Train one epoch on the embedded digits with an installed package. Usage: train_installed.py ENVIRONMENT"""

import os
import sys
from pathlib import Path

import minicnn as mc
from minicnn import layers

package = Path(mc.__file__).resolve()
if not package.is_relative_to(Path(sys.argv[1]).resolve()):
    sys.exit(f"this is not the installed package: {package}")

mc.utils.set_random_seed(0)
(x_train, y_train), (x_test, y_test) = mc.datasets.digits.load_data(upscale=True)
model = mc.Sequential(
    [
        mc.Input(shape=(28, 28, 1)),
        layers.Conv2D(8, 5, activation="relu"),
        layers.MaxPooling2D(),
        layers.Flatten(),
        layers.Dense(10, activation="softmax"),
    ]
)
model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(x_train / 255, y_train, epochs=1, verbose=0)
loss, accuracy = model.evaluate(x_test / 255, y_test)
if accuracy < 0.5:
    sys.exit("the model did not learn")
if not any(Path(os.environ["MINICNN_CACHE"]).glob("kernels-*/*")):
    sys.exit("no compiled kernel is in the cache folder")
