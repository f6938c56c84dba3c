"""What all examples share: options, data, training with a clock, and the files that a run leaves."""

import argparse
import json
import platform
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

import minicnn as mc

RESULT = "result.json"
CURVES = "curves.png"

# ------------------------------------------------------------------------------------------------------- options


class OneLineParser(argparse.ArgumentParser):
    """A parser whose errors are one line; the usage is for ``--help``."""

    def error(self, message):
        self.exit(2, f"{self.prog}: error: {message} (--help lists the options)\n")


def make_parser(name, description, epochs, batch_size):
    """The options of all examples; an example may add its own before `parse`.

    Parameters
    ----------
    name : str
        Of the example: results go to ``runs/NAME``.
    description : str
        The first line is shown by ``--help``.
    epochs, batch_size : int or str
        The defaults, in words where they depend on the data; the options are None where not given.
    """
    parser = OneLineParser(description=description.strip().splitlines()[0], allow_abbrev=False)
    add = parser.add_argument
    add("--data-dir", type=_folder, metavar="DIR", help="only look here (default: MINICNN_DATA, cache, download)")
    add("--epochs", type=_integer(1), metavar="N", help=f"default: {epochs}")
    add("--batch-size", type=_integer(1), metavar="N", help=f"default: {batch_size}")
    add("--limit", type=_integer(1), metavar="N", help="train on the first N training images only")
    add("--backend", choices=mc.backends.NAMES, help="default: MINICNN_BACKEND, else numba")
    add("--seed", type=_integer(0), default=0, metavar="N", help="default: 0")
    add("--out", type=Path, default=Path("runs") / name, metavar="DIR", help=f"where results go (default: runs/{name})")
    add("--show", action="store_true", help="open a window with the figures")
    return parser


def parse(parser, arguments=None):
    """Read the command line, choose the backend, seed the random numbers and make the output folder.

    Returns
    -------
    argparse.Namespace
    """
    options = parser.parse_args(arguments)
    try:
        if options.backend:
            mc.set_backend(options.backend)
        mc.backends.current()
    except (ValueError, mc.errors.BackendError) as error:
        parser.error(f"backend: {error}")
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=options.out):
            pass
    except OSError as error:
        parser.error(f"argument --out: cannot write to {options.out} ({error.strerror})")
    mc.utils.set_random_seed(options.seed)
    return options


def run(main):
    """Call `main`; what a user can cause ends in one line, not in a traceback."""
    try:
        main()
    except (mc.errors.DataError, mc.errors.NonFiniteError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        print("interrupted: nothing was written", file=sys.stderr)
        sys.exit(130)


def _integer(minimum):
    """A type for argparse: an integer of at least `minimum`."""

    def convert(text):
        try:
            value = int(text)
        except ValueError:
            value = minimum - 1
        if value < minimum:
            raise argparse.ArgumentTypeError(f"must be an integer of at least {minimum}, not {text!r}")
        return value

    return convert


def _folder(text):
    """A type for argparse: a folder that exists."""
    path = Path(text).expanduser()
    if not path.is_dir():
        raise argparse.ArgumentTypeError(f"no such folder: {text!r}")
    return path


# ---------------------------------------------------------------------------------------------------------- data


@dataclass(frozen=True)
class Images:
    """A data set ready for training.

    Attributes
    ----------
    name : str
    x_train, x_test : array (N, H, W, C), float32
        Pixels from 0 to 1.
    y_train, y_test : array (N,)
        Class numbers.
    """

    name: str
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray

    @property
    def test(self):
        """What `fit` takes as validation data."""
        return self.x_test, self.y_test


def grey_images(name, data, limit=None):
    """`Images` from what `load_data` returned for grey pictures.

    Parameters
    ----------
    name : str
    data : ((x_train, y_train), (x_test, y_test))
        Images (N, H, W), 0 to 255.
    limit : int, optional
        Keep the first so many training images.
    """
    (x_train, y_train), (x_test, y_test) = data
    x_train, x_test = (mc.utils.normalize_images(x)[..., None] for x in (x_train[:limit], x_test))  # (N, H, W, 1)
    return Images(name, x_train, y_train[:limit], x_test, y_test)


def mnist_or_digits(options):
    """MNIST, or the digits of the package where MNIST can be neither found nor downloaded, and a line that says so."""
    try:
        return grey_images("MNIST", mc.datasets.mnist.load_data(options.data_dir), options.limit)
    except mc.datasets.DataNotFoundError as error:
        print(f"Training on the embedded 8x8 digits, scaled to 28x28, instead of MNIST. Reason: {error}", flush=True)
    return grey_images("digits", mc.datasets.digits.load_data(upscale=True), options.limit)


# ------------------------------------------------------------------------------------------------------ training


class EpochClock(mc.callbacks.Callback):
    """Measures each epoch with its validation.

    Attributes
    ----------
    seconds : list of float
    """

    def on_train_begin(self, logs=None):
        self.seconds = []

    def on_epoch_begin(self, epoch, logs=None):
        self._start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.seconds.append(time.perf_counter() - self._start)


def train(model, images, epochs, batch_size):
    """Fit a compiled model, the test set as validation data.

    Returns
    -------
    (history, seconds_per_epoch) : (dict of list, float)
        The median of the epochs: the first one may compile kernels.
    """
    clock = EpochClock()
    history = model.fit(
        images.x_train,
        images.y_train,
        batch_size=batch_size,
        epochs=epochs,
        validation_data=images.test,
        callbacks=[clock],
    )
    return history.history, statistics.median(clock.seconds)


# ------------------------------------------------------------------------------------------------------- results


def save_result(options, name, images, model, history, seconds_per_epoch, batch_size, **more):
    """Write ``result.json`` into the output folder.

    Parameters
    ----------
    options : argparse.Namespace
    name : str
        Of the example.
    images : Images
    model : Model
    history : dict of list
        Of the training; the result's losses and accuracies are those of the last epoch.
    seconds_per_epoch : float
    batch_size : int
    **more
        Further entries.

    Returns
    -------
    dict
    """
    result = {
        "name": name,
        "dataset": images.name,
        "params": model.count_params(),
        "epochs": len(history["loss"]),
        "train_loss": history["loss"][-1],
        "train_accuracy": history["accuracy"][-1],
        "test_loss": history["val_loss"][-1],
        "test_accuracy": history["val_accuracy"][-1],
        "seconds_per_epoch": round(seconds_per_epoch, 4),
        "backend": mc.backends.current().name,
        "versions": versions(),
        "seed": options.seed,
        "batch_size": batch_size,
        "train_images": len(images.x_train),
        "test_images": len(images.x_test),
        **more,
        "history": history,
    }
    (options.out / RESULT).write_text(json.dumps(result, indent=2) + "\n")
    print(
        f"{images.name}, epoch {result['epochs']}: training accuracy {result['train_accuracy']:.4f}, "
        f"test accuracy {result['test_accuracy']:.4f}, test loss {result['test_loss']:.4f}, "
        f"{seconds_per_epoch:.2f} s an epoch\nResult: {options.out / RESULT}"
    )
    return result


def versions():
    """Versions of what computed a result; None for a package that is not installed."""
    return {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "numba": _installed_version("numba"),
        "minicnn": mc.__version__,
    }


def _installed_version(package):
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def save_figures(options, figures):
    """Draw figures, save them as PNG in the output folder and show them if ``--show`` was given.

    Parameters
    ----------
    options : argparse.Namespace
    figures : dict
        File name → function without arguments that returns a matplotlib Figure. Without matplotlib a line says what is
        missing, and no error is raised: the numbers are there already.
    """
    try:
        drawn = {options.out / name: draw() for name, draw in figures.items()}
    except ImportError as error:
        print(f"No figures: {error}", file=sys.stderr)
        return
    for path, figure in drawn.items():
        figure.savefig(path)
        print(f"Figure: {path}")
    if options.show:
        _show(drawn.values())


def _show(figures):
    """Open a window for each figure and wait until all are closed."""
    from matplotlib import pyplot

    for figure in figures:
        pyplot.figure(FigureClass=lambda figure=figure, **_: figure)  # gives pyplot our figure instead of a new one
    if pyplot.get_backend().lower() == "agg":
        print("No window: there is no display. The figures are in the files above.", file=sys.stderr)
    else:
        pyplot.show()
