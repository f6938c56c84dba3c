"""The same with scikit-learn: python sklearn_way.py FOLDER PHOTO; a perceptron on pixels, and so no Grad-CAM."""

import base64
import html
import io
import pickle
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image, ImageOps
from sklearn.metrics import ConfusionMatrixDisplay, classification_report
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

SIZE = 64


def read(path):
    """A photo as the network takes it: upright, in colour, cut to a square, in a row."""
    image = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    return np.asarray(ImageOps.fit(image, (SIZE, SIZE), Image.Resampling.BOX)).ravel()


def as_element(figure):
    """A figure inside a page."""
    file = io.BytesIO()
    figure.savefig(file, format="png")
    plt.close(figure)
    return f'<img src="data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}">'


folder, photo = Path(sys.argv[1]), sys.argv[2]
images, labels, skipped = [], [], []
for path in sorted(folder.glob("*/*")):
    try:
        images.append(read(path))
        labels.append(path.parent.name)
    except OSError as error:
        print(f"left out {path}: {error}")
        skipped.append(str(path))
images, labels = np.stack(images), np.array(labels)
x_train, x_held, y_train, y_held = train_test_split(images, labels, test_size=0.2, stratify=labels, random_state=0)

network = MLPClassifier((64,), early_stopping=True, n_iter_no_change=8, max_iter=40, random_state=0)
model = make_pipeline(StandardScaler(), network).fit(x_train, y_train)
Path("model.pkl").write_bytes(pickle.dumps(model))

probabilities, names = model.predict_proba(x_held), model.classes_
predicted = names[probabilities.argmax(axis=1)]
curves, axes = plt.subplots(1, 2, figsize=(10, 4))
axes[0].plot(network.loss_curve_)
axes[0].set(xlabel="epoch", ylabel="loss")
axes[1].plot(network.validation_scores_)
axes[1].set(xlabel="epoch", ylabel="validation accuracy")
confusion = ConfusionMatrixDisplay.from_predictions(y_held, predicted).figure_
wrong = np.flatnonzero(predicted != y_held)
of_true = probabilities[np.arange(len(y_held)), np.searchsorted(names, y_held)]
mistakes = plt.figure(figsize=(10, 8))
for place, index in enumerate(wrong[np.argsort(of_true[wrong])][:20], 1):
    ax = mistakes.add_subplot(4, 5, place)
    ax.imshow(x_held[index].reshape(SIZE, SIZE, 3))
    ax.set_title(f"{predicted[index]}, is {y_held[index]}", fontsize=8)
    ax.axis("off")
report = html.escape(classification_report(y_held, predicted))
left_out = "".join(f"<li>{html.escape(path)}</li>" for path in skipped)
figures = "".join(map(as_element, (curves, confusion, mistakes)))
Path("report.html").write_text(f"<!DOCTYPE html><meta charset=utf-8>{figures}<pre>{report}</pre><ul>{left_out}</ul>")

loaded = pickle.loads(Path("model.pkl").read_bytes())
probabilities = loaded.predict_proba(read(photo)[None])[0]
print(photo, loaded.classes_[probabilities.argmax()], probabilities.max())
