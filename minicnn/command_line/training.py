"""``minicnn train FOLDER``: from photos to a model and a report."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np

from minicnn import networks, saving
from minicnn.callbacks import Callback, EarlyStopping, ModelCheckpoint
from minicnn.command_line.photos import Photos, chosen, listed, read
from minicnn.command_line.problems import Problem, tell
from minicnn.console import say
from minicnn.data.splitting import stratified_split
from minicnn.images.files import CHANNELS
from minicnn.images.preprocessing import Preprocessing
from minicnn.layers import Input, Layer, RandomFlip, RandomRotation, RandomTranslation, RandomZoom, Rescaling
from minicnn.models import Model, Sequential
from minicnn.random import set_seed

MOST_WEIGHT = 20.0  # of a class beside the heaviest one's photos: more, and single photos would decide batches


class Parts(NamedTuple):
    """Positions of photos: to train with, held back."""

    train: np.ndarray
    held: np.ndarray


def train(options: argparse.Namespace) -> int:
    """Train, write the model and the report; after Ctrl-C the best model so far. Returns the exit code."""
    report = None if options.no_report else options.report or options.out.parent / "report.html"
    _check_outputs(options.out, report)
    set_seed(options.seed)
    paths, labels, names = listed(options.folder)
    size, color = chosen(paths)
    size, color = options.size or size, options.color or color
    preprocessing = Preprocessing((size, size), color, "area", crop_to_aspect_ratio=True, upright=True)
    photos = read(paths, labels, names, preprocessing)
    parts = Parts(*stratified_split(photos.labels, options.validation, options.seed))
    _tell_counts(photos, parts, preprocessing)
    model = network(options.network, preprocessing, names, augments=not options.no_augment)
    was_interrupted = _fit(model, photos, parts, options)
    if not model.history.epoch:
        raise Problem("interrupted before the first epoch had ended: nothing was written")
    model.save(options.out)
    tell(f"model: {options.out}")
    if report is not None:
        from minicnn.command_line.report import write_report

        write_report(report, model, photos, parts, options)
        tell(f"report: {report}")
    _say_result(model, photos, parts, options.out)
    return 130 if was_interrupted else 0


def _check_outputs(out: Path, report: Path | None) -> None:
    """What would only fail after hours is looked at first."""
    saving.check_writable(out, weights_only=False)
    for path in filter(None, (out, report)):
        if path.is_dir():
            raise Problem(f"expected the name of a file to write, and '{path}' is a folder")
        if not path.parent.is_dir():
            raise Problem(f"the folder '{path.parent}' does not exist: make it first")
    if report is not None:
        if report.suffix.lower() not in (".html", ".htm"):
            raise Problem(f"the name of a report ends in .html; received '{report}'")
        from minicnn.visualization.figures import figure_class

        try:
            figure_class()
        except ImportError:
            raise Problem(
                "the report needs matplotlib: pip install 'minicnn[plot]', or train with --no-report"
            ) from None


def _tell_counts(photos: Photos, parts: Parts, preprocessing: Preprocessing) -> None:
    counts = ", ".join(f"{name} {n}" for name, n in zip(photos.class_names, photos.counts(), strict=True))
    if len(photos.class_names) > 20:
        least, most = min(photos.counts()), max(photos.counts())
        counts = f"{len(photos.class_names)} classes of {least if least == most else f'{least} to {most}'}"
    height, width = preprocessing.image_size or (0, 0)
    kind = "grey" if preprocessing.color_mode == "grayscale" else "in colour"
    tell(f"photos: {len(photos.labels)} ({counts}), as {height}×{width} pixels, {kind}")
    tell(f"training with {len(parts.train)}, measuring with {len(parts.held)} that are held back")
    if not len(parts.held):
        raise Problem("each class has a single photo, so that none can be held back: put in two or more")


# ------------------------------------------------------------------------------------------------------- the network


def network(name: str, preprocessing: Preprocessing, class_names: list[str], augments: bool) -> Model:
    """A compiled network for photos that scales, and in training varies, them itself; it knows names and preprocessing.

    Parameters
    ----------
    name : str
        Of `minicnn.networks`.
    preprocessing : Preprocessing
        With size and colours.
    class_names : list of str
    augments : bool
        Whether photos are moved, turned and zoomed in training; photos in colour are mirrored too, grey ones not, which
        often are letters and digits.
    """
    height, width = preprocessing.image_size or (0, 0)
    shape = height, width, CHANNELS[preprocessing.color_mode or "rgb"]
    varied: list[Layer] = []
    if augments:
        varied = [RandomTranslation(0.1, 0.1), RandomRotation(0.03), RandomZoom(0.1)]
        varied += [RandomFlip("horizontal")] if shape[2] == 3 else []
    model = Sequential(
        [Input(shape), *varied, Rescaling(1 / 255), *networks.get(name)(shape, len(class_names), "softmax")]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.class_names, model.preprocessing = class_names, preprocessing
    return model


def class_weights(labels: np.ndarray) -> dict[int, float] | None:
    """Class number → weight with which classes count alike, of at most `MOST_WEIGHT`; None where they do anyway."""
    counts = np.bincount(labels)
    if counts.min() * 1.5 >= counts.max():
        return None
    return {number: float(min(counts.max() / count, MOST_WEIGHT)) for number, count in enumerate(counts)}


def _fit(model, photos, parts, options) -> bool:
    """Train; the model has the best weights then. Returns whether Ctrl-C ended it."""
    callbacks = [
        EarlyStopping(patience=options.patience, restore_best_weights=True),
        ModelCheckpoint(options.out, save_best_only=True),  # what a process that is killed leaves
        Lines(),
    ]
    held = photos.pixels[parts.held], photos.labels[parts.held]
    train = photos.pixels[parts.train], photos.labels[parts.train]
    tell("training; Ctrl-C ends it, and leaves the best model so far")
    try:
        model.fit(
            *train,
            batch_size=options.batch_size,
            epochs=options.epochs,
            verbose=0,
            validation_data=held,
            class_weight=class_weights(train[1]),
            callbacks=callbacks,
        )
    except KeyboardInterrupt:
        tell("interrupted: the best model so far is kept")
        return True
    return False


class Lines(Callback):
    """A line for each epoch, on stderr."""

    def on_epoch_end(self, epoch, logs=None):
        """Tell how the epoch went."""
        logs = logs or {}
        tell(
            f"epoch {epoch + 1}: loss {logs['loss']:.4f}, accuracy {logs['accuracy']:.1%}; held-back photos: loss "
            f"{logs['val_loss']:.4f}, accuracy {logs['val_accuracy']:.1%}"
        )


def _say_result(model, photos, parts, out):
    from minicnn.command_line.model_files import probabilities_of

    held = parts.held
    correct = probabilities_of(model, photos.pixels[held]).argmax(axis=1) == photos.labels[held]
    photo = "1 photo that was" if len(held) == 1 else f"{len(held)} photos that were"
    say(f"accuracy on {photo} held back: {correct.mean():.1%}")
    say(f"next: python -m minicnn predict {out} PHOTO.jpg")
