"""The same with Keras: python keras_way.py FOLDER PHOTO; needs tensorflow, matplotlib, scikit-learn and Pillow."""

import base64
import html
import io
import json
import sys
from pathlib import Path

import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import layers
from PIL import Image, ImageOps
from sklearn.metrics import ConfusionMatrixDisplay, classification_report
from sklearn.model_selection import train_test_split

SIZE = 64


def read(path):
    """A photo as the network takes it: upright, in colour, cut to a square."""
    image = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    return np.asarray(ImageOps.fit(image, (SIZE, SIZE), Image.Resampling.BOX))


def grad_cam(model, image, target):
    """Where the last convolution finds what speaks for a class."""
    import tensorflow as tf

    convolution = [layer for layer in model.layers if isinstance(layer, layers.Conv2D)][-1]
    inside = keras.Model(model.inputs, [convolution.output, model.layers[-1].output])
    with tf.GradientTape() as tape:
        maps, scores = inside(image[None].astype("float32"))
        score = tf.math.log(scores[0, target])
    weights = tf.reduce_mean(tape.gradient(score, maps), axis=(1, 2))[0]
    heat = np.maximum((maps[0] * weights).numpy().sum(axis=-1), 0)
    return heat / (heat.max() or 1)


def as_element(figure):
    """A figure inside a page."""
    file = io.BytesIO()
    figure.savefig(file, format="png")
    plt.close(figure)
    return f'<img src="data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}">'


folder, photo = Path(sys.argv[1]), sys.argv[2]
names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir())
images, labels, skipped = [], [], []
for number, name in enumerate(names):
    for path in sorted((folder / name).iterdir()):
        try:
            images.append(read(path))
            labels.append(number)
        except OSError as error:
            print(f"left out {path}: {error}")
            skipped.append(str(path))
images, labels = np.stack(images), np.array(labels)
x_train, x_held, y_train, y_held = train_test_split(images, labels, test_size=0.2, stratify=labels, random_state=0)

keras.utils.set_random_seed(0)
model = keras.Sequential(
    [
        keras.Input((SIZE, SIZE, 3)),
        layers.RandomTranslation(0.1, 0.1),
        layers.RandomRotation(0.03),
        layers.RandomZoom(0.1),
        layers.RandomFlip("horizontal"),
        layers.Rescaling(1 / 255),
        layers.Conv2D(16, 3, padding="same", activation="relu"),
        layers.MaxPooling2D(),
        layers.Conv2D(32, 3, padding="same", activation="relu"),
        layers.MaxPooling2D(),
        layers.Conv2D(64, 3, padding="same", activation="relu"),
        layers.MaxPooling2D(),
        layers.Conv2D(64, 3, padding="same", activation="relu"),
        layers.MaxPooling2D(),
        layers.Flatten(),
        layers.Dense(64, activation="relu"),
        layers.Dense(len(names), activation="softmax"),
    ]
)
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
best = keras.callbacks.EarlyStopping(patience=8, restore_best_weights=True)
try:
    history = model.fit(
        x_train, y_train, epochs=40, validation_data=(x_held, y_held), callbacks=[best], verbose=2
    ).history
except KeyboardInterrupt:
    model.set_weights(best.best_weights)
    history = model.history.history
model.save("model.keras")
Path("model.json").write_text(json.dumps({"class_names": names, "size": SIZE}))

scores = model.predict(x_held, verbose=0)
curves, axes = plt.subplots(1, 2, figsize=(10, 4))
for ax, name in zip(axes, ("loss", "accuracy"), strict=True):
    ax.plot(history[name], label="training")
    ax.plot(history[f"val_{name}"], label="validation")
    ax.set(xlabel="epoch", ylabel=name)
    ax.legend()
confusion = ConfusionMatrixDisplay.from_predictions(y_held, scores.argmax(axis=1), display_labels=names).figure_
wrong = np.flatnonzero(scores.argmax(axis=1) != y_held)
worst = wrong[np.argsort(scores[wrong, y_held[wrong]])][:20]
mistakes = plt.figure(figsize=(10, 8))
for place, index in enumerate(worst, 1):
    ax = mistakes.add_subplot(4, 5, place)
    ax.imshow(x_held[index])
    ax.set_title(f"{names[scores[index].argmax()]}, is {names[y_held[index]]}", fontsize=8)
    ax.axis("off")
why, axes = plt.subplots(2, 3, figsize=(9, 6))
for ax, index in zip(axes.flat, np.argsort(-scores.max(axis=1)), strict=False):
    heat = Image.fromarray(grad_cam(model, x_held[index], scores[index].argmax())).resize((SIZE, SIZE))
    ax.imshow(x_held[index])
    ax.imshow(heat, cmap="inferno", alpha=0.5)
    ax.set_title(names[scores[index].argmax()])
    ax.axis("off")
report = html.escape(classification_report(y_held, scores.argmax(axis=1), target_names=names))
left_out = "".join(f"<li>{html.escape(path)}</li>" for path in skipped)
figures = "".join(map(as_element, (curves, confusion, mistakes, why)))
Path("report.html").write_text(f"<!DOCTYPE html><meta charset=utf-8>{figures}<pre>{report}</pre><ul>{left_out}</ul>")

loaded, known = keras.models.load_model("model.keras"), json.loads(Path("model.json").read_text())
probabilities = loaded.predict(read(photo)[None], verbose=0)[0]
print(photo, known["class_names"][probabilities.argmax()], probabilities.max())
