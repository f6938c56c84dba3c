"""What all examples share: options, data, training with a clock, and the files that a run leaves."""

import argparse
import json
import math
import platform
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

import minicnn as mc

RESULT = "result.json"
CURVES = "curves.png"

# ------------------------------------------------------------------------------------------------------- options


class OneLineParser(argparse.ArgumentParser):
    """A parser whose errors are one line; the usage is for ``--help``.

    Attributes
    ----------
    name : str
        Of the example.
    shared : dict
        The options of all examples, with their defaults.
    """

    name, shared = "", {}

    def error(self, message):
        self.exit(2, f"{self.prog}: error: {message} (--help lists the options)\n")


def make_parser(name, description, epochs, batch_size, least_images=1):
    """The options of all examples; an example may add its own before `parse`.

    Parameters
    ----------
    name : str
        Of the example: results go to ``runs/NAME``.
    description : str
        The first line is shown by ``--help``.
    epochs, batch_size : int or str
        The defaults; where they depend on the data, words, and the options are None where not given.
    least_images : int, default 1
        How many training images the example needs.
    """
    parser = OneLineParser(description=description.strip().splitlines()[0], allow_abbrev=False)
    add = parser.add_argument
    add("--data-dir", type=_folder, metavar="DIR", help="only look here (default: MINICNN_DATA, cache, download)")
    add("--epochs", type=_integer(1), metavar="N", **_default(epochs))
    add("--batch-size", type=_integer(1), metavar="N", **_default(batch_size))
    add("--limit", type=_integer(least_images), metavar="N", help="train on the first N training images only")
    add("--backend", choices=mc.backends.NAMES, help="default: MINICNN_BACKEND, else numba")
    add("--seed", type=_integer(0, 2**63 - 1), default=0, metavar="N", help="default: 0")
    add("--out", type=Path, metavar="DIR", help=f"where results go (default: runs/{name}, a variant's beside it)")
    add("--show", action="store_true", help="open a window with the figures")
    parser.shared = vars(parser.parse_args([]))
    parser.name = name
    return parser


def _variant(parser, options):
    """The example's own options that differ from their defaults: option → value."""
    own = {key: value for key, value in vars(options).items() if key not in parser.shared}
    return {key: value for key, value in own.items() if value != parser.get_default(key)}


def _default_folder(name, changed):
    """runs/NAME, and for variants runs/NAME_option or runs/NAME_option_value."""
    parts = [name]
    for key, value in changed.items():
        values = () if value is True else value if isinstance(value, list) else (value,)
        parts += [key, *map(str, values)]
    return Path("runs") / "_".join(parts)


def _default(value):
    """Arguments of ``add_argument``: a number is a default, words only describe it."""
    return {"default": value if isinstance(value, int) else None, "help": f"default: {value}"}


def parse(parser, arguments=None):
    """Read the command line, choose the backend, seed the random numbers and make the output folder.

    Returns
    -------
    argparse.Namespace
    """
    options = parser.parse_args(arguments)
    options.variant = _variant(parser, options)
    options.out = options.out or _default_folder(parser.name, options.variant)
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
    except (
        mc.errors.DataError,
        mc.errors.NonFiniteError,
        mc.errors.BackendError,
        mc.errors.DeviceMemoryError,
    ) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        print("interrupted; what was written is named above", file=sys.stderr)
        sys.exit(130)


def _integer(minimum, maximum=math.inf):
    """A type for argparse: an integer in a range, ends included."""

    def convert(text):
        try:
            value = int(text)
        except ValueError:
            value = minimum - 1
        if not minimum <= value <= maximum:
            most = "" if maximum == math.inf else f" and at most {maximum}"
            raise argparse.ArgumentTypeError(f"must be an integer of at least {minimum}{most}, not {text!r}")
        return value

    return convert


def fraction(text):
    """A type for argparse: a number from 0 to 1."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"must be a number from 0 to 1, not {text!r}")
    return value


def _folder(text):
    """A type for argparse: a folder that exists."""
    path = Path(text).expanduser()
    if not path.is_dir():
        raise argparse.ArgumentTypeError(f"no such folder: {text!r}")
    return path


# ---------------------------------------------------------------------------------------------------------- data


DIGIT_NAMES = tuple("0123456789")


@dataclass(frozen=True)
class Images:
    """A data set.

    Attributes
    ----------
    name : str
    x_train, x_test : array (N, H, W) or (N, H, W, C)
        uint8 from 0 to 255 as loaded; float32 from 0 to 1 after `scaled`.
    y_train, y_test : array (N,), or (N, classes) after `one_hot`
        Class numbers.
    class_names : tuple of str
    """

    name: str
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    class_names: tuple

    @property
    def test(self):
        """What `fit` takes as validation data, and `evaluate` as its first arguments."""
        return self.x_test, self.y_test

    @property
    def train_labels(self):
        """Class numbers (N,) of the training set, also after `one_hot`."""
        return self.y_train if self.y_train.ndim == 1 else self.y_train.argmax(axis=1)

    @property
    def test_labels(self):
        """Class numbers (N,) of the test set, also after `one_hot`."""
        return self.y_test if self.y_test.ndim == 1 else self.y_test.argmax(axis=1)

    def scaled(self):
        """The same with pixels from 0 to 1 and a channel axis."""
        return self.with_pixels(lambda x: _with_channels(mc.utils.normalize_images(x)))

    def one_hot(self):
        """The same with one row of zeros and a one for each label, for categorical_crossentropy."""
        count = len(self.class_names)
        return replace(self, y_train=mc.utils.one_hot(self.y_train, count), y_test=mc.utils.one_hot(self.y_test, count))

    def with_pixels(self, change):
        """The same with `change` applied to the training and to the test images."""
        return replace(self, x_train=change(self.x_train), x_test=change(self.x_test))


def mnist_or_digits(options):
    """MNIST, or the digits of the package where MNIST can be neither found nor downloaded, and a line that says so."""
    try:
        return _images("MNIST", mc.datasets.mnist.load_data(options.data_dir), DIGIT_NAMES, options.limit)
    except mc.datasets.DataNotFoundError as error:
        print(f"Training on the embedded 8x8 digits, scaled to 28x28, instead of MNIST. Reason: {error}", flush=True)
    return _images("digits", mc.datasets.digits.load_data(upscale=True), DIGIT_NAMES, options.limit)


def fashion_mnist(options):
    """Fashion-MNIST: 28x28 pixels of grey."""
    source = mc.datasets.fashion_mnist
    return _images("Fashion-MNIST", _load(source, source.DATASET.files, options), source.CLASS_NAMES, options.limit)


def cifar10(options):
    """CIFAR-10: 32x32 pixels of red, green and blue."""
    source = mc.datasets.cifar10
    return _images("CIFAR-10", _load(source, [source.ARCHIVE], options), source.CLASS_NAMES, options.limit)


def _load(source, files, options):
    """What `load_data` returns; nothing can stand in where it is missing, and the error says how to get it."""
    try:
        return source.load_data(options.data_dir)
    except mc.datasets.DataNotFoundError as error:
        names = ", ".join(file.name for file in files)
        raise mc.datasets.DataNotFoundError(f"{error}. To get it: {files[0].mirrors[-1]} has {names}") from None


def _images(name, data, class_names, limit):
    """`Images` with the first `limit` training images; CIFAR-10's labels (N, 1) lose their second axis."""
    (x_train, y_train), (x_test, y_test) = data
    return Images(name, x_train[:limit], y_train[:limit].ravel(), x_test, y_test.ravel(), class_names)


def _with_channels(images):
    """(N, H, W) as (N, H, W, 1)."""
    return images if images.ndim == 4 else images[..., None]


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


def train(model, images, options, published=None, **fit):
    """Fit a compiled model, then score it on the test set.

    Parameters
    ----------
    model : Model
        Compiled with ``metrics=["accuracy"]``.
    images : Images
    options : argparse.Namespace
        Its epochs and batch size count.
    published : dict, optional
        Entry of the outcome, such as "test_accuracy" → the number in the document.
    **fit
        Arguments of `fit` in place of the test set as validation data.

    Returns
    -------
    dict
        The outcome, as it goes into ``result.json``: losses and accuracies are those of the last epoch, the seconds an
        epoch the median of all (the first one may compile kernels).
    """
    clock = EpochClock()
    fit = fit or {"validation_data": images.test}
    fit |= {"epochs": options.epochs, "batch_size": options.batch_size, "callbacks": [clock]}
    history = model.fit(images.x_train, images.y_train, **fit).history
    test_loss, test_accuracy = model.evaluate(*images.test, batch_size=options.batch_size, verbose=0)
    return {
        "params": model.count_params(),
        "epochs": options.epochs,
        "batch_size": options.batch_size,
        "train_loss": history["loss"][-1],
        "train_accuracy": history["accuracy"][-1],
        "test_loss": test_loss,
        "test_accuracy": test_accuracy,
        "seconds_per_epoch": round(statistics.median(clock.seconds), 4),
        "published": published or {},
        "history": history,
    }


# ------------------------------------------------------------------------------------------------------- results


def save_result(options, name, images, outcome=None, networks=None):
    """Write ``result.json`` into the output folder and print our numbers beside the published ones.

    Parameters
    ----------
    options : argparse.Namespace
    name : str
        Of the example.
    images : Images
    outcome : dict, optional
        What `train` returned, where the example trains one network: its entries become those of the result.
    networks : dict, optional
        Name → outcome, where it trains several: an entry of that name.
    """
    result = {
        "name": name,
        "dataset": images.name,
        "backend": mc.backends.current().name,
        "versions": versions(),
        "seed": options.seed,
        "variant": options.variant,
        "first_labels": images.train_labels[:5].tolist(),
        "train_images": len(images.x_train),
        "test_images": len(images.x_test),
        **(outcome or {"networks": networks}),
    }
    (options.out / RESULT).write_text(json.dumps(result, indent=2) + "\n")
    for network, entry in ({"": outcome} if outcome else networks).items():
        print(comparison(images.name, network, entry))
    print(f"Result: {options.out / RESULT}")


def comparison(dataset, network, outcome):
    """A small table: the scores of one network, ours and published.

    Parameters
    ----------
    dataset, network : str
    outcome : dict
        What `train` returned; every entry "…_loss" and "…_accuracy" is a score.
    """
    title = ", ".join(filter(None, [dataset, network, f"epoch {outcome['epochs']}"]))
    title += f", {outcome['seconds_per_epoch']:.2f} s an epoch"
    lines = [f"\n{title:<44}{'ours':>8}  published"]
    for key, value in outcome.items():
        if key.endswith(("_loss", "_accuracy")):
            published = outcome["published"].get(key)
            shown = "–" if published is None else f"{published:.4f}"
            lines.append(f"  {key.replace('_', ' ').replace('train', 'training'):<42}{value:>8.4f}{shown:>11}")
    return "\n".join(lines)


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


def save_model(options, model, name):
    """Save a model into the output folder; in minicnn's own format where what Keras's formats need is not installed.

    Returns
    -------
    Path
    """
    path = options.out / name
    try:
        model.save(path)
    except ImportError as error:
        path = path.with_suffix(".safetensors")
        print(f"Saved as {path.name} instead of {name}: {error}", file=sys.stderr)
        model.save(path)
    print(f"Model: {path}")
    return path


def draw_predictions(options, model, images, count=10):
    """`count` random test images with predicted and actual class.

    Parameters
    ----------
    options : argparse.Namespace
        Its seed chooses the images.
    model : Model
    images : Images

    Returns
    -------
    matplotlib.figure.Figure
    """
    chosen = np.random.default_rng(options.seed).choice(len(images.x_test), count, replace=False)
    pictures = images.x_test[chosen]
    return mc.visualization.show_images(
        pictures, images.test_labels[chosen], images.class_names, predictions=model.predict(pictures)
    )


def draw_confusion(model, images):
    """The confusion matrix of the test set; a matplotlib Figure."""
    predicted = model.predict(images.x_test, batch_size=500).argmax(axis=1)
    return mc.visualization.plot_confusion_matrix(images.test_labels, predicted, images.class_names)


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
