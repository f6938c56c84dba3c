"""What all examples share: the command line, the digits that stand in for MNIST, and the files that a run leaves."""

import argparse
import contextlib
import json
import statistics
import sys
import tempfile
import time
from importlib.metadata import distributions
from pathlib import Path

from arguments import join_workers, number

import minicnn as mc
from minicnn.errors import BackendError, DataError, DeviceMemoryError, NonFiniteError

# ------------------------------------------------------------------------------------------------------- options


class Parser(argparse.ArgumentParser):
    """The options of all examples; an example may add its own. Errors are one line; the usage is for ``--help``.

    Parameters
    ----------
    description : str
        The first line is shown by ``--help``.
    dataset : str
        Its name, for the result.
    epochs, batch_size : int or str
        The defaults; where they depend on the data, words, and the options are None where not given.
    least_images : int, default 1
        How many training images the example needs.
    """

    def __init__(self, description, dataset, epochs, batch_size, least_images=1):
        super().__init__(description=description.strip().splitlines()[0], allow_abbrev=False)
        add = self.add_argument
        add("--data-dir", metavar="DIR", help="only look here (default: MINICNN_DATA, cache, download)")
        for name, n in (("--epochs", epochs), ("--batch-size", batch_size)):
            add(name, type=number(1), default=n if isinstance(n, int) else None, metavar="N", help=f"default: {n}")
        add("--limit", type=number(least_images), metavar="N", help="train on the first N training images only")
        add("--backend", choices=mc.backends.NAMES, help="default: MINICNN_BACKEND, else numba")
        add("--seed", type=number(0, 2**63 - 1), default=0, metavar="N", help="default: 0")
        add("--out", type=Path, metavar="DIR", help=f"default: runs/{Path(self.prog).stem}, a variant's beside it")
        add("--workers", action="store_true", help="train on all processes that mpiexec has started")
        add("--show", action="store_true", help="open a window with the figures")
        self.set_defaults(dataset=dataset, name=Path(self.prog).stem)
        self.shared = vars(super().parse_args([]))

    def error(self, message):
        """End with one line."""
        self.exit(2, f"{self.prog}: error: {message} (--help lists the options)\n")

    def parse_args(self, arguments=None):
        """Read the command line, choose the backend, seed the random numbers and make the output folder.

        Returns
        -------
        argparse.Namespace
            With the example's ``name``, its ``dataset``, and as ``variant`` its own options that differ from their
            defaults: the default folder is runs/NAME, runs/NAME_option_value or, of a switch, runs/NAME_option.
        """
        options = super().parse_args(arguments)
        if options.workers:
            join_workers(options, self.error)
        options.variant = {k: v for k, v in vars(options).items() if k not in self.shared and v != self.get_default(k)}
        words = [str(w) for k, v in options.variant.items() for w in (k, *(v if isinstance(v, list) else [v]))]
        options.out = options.out or Path("runs", "_".join([options.name, *words]).replace("_True", ""))
        if options.data_dir is not None and not Path(options.data_dir).expanduser().is_dir():
            self.error(f"argument --data-dir: no such folder: {options.data_dir!r}")
        try:
            (mc.set_backend if options.backend else mc.backends.get)(options.backend)
            options.out.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=options.out).close()
        except OSError as error:
            self.error(f"argument --out: cannot write to {options.out} ({error.strerror})")
        except (ValueError, BackendError) as error:
            self.error(f"backend: {error}")
        mc.utils.set_random_seed(options.seed)
        return options


def run(main):
    """Call `main`; what a user can cause ends in one line, not in a traceback."""
    try:
        main()
    except (BackendError, DataError, DeviceMemoryError, NonFiniteError) as error:
        sys.exit(f"error: {error}{_source(error)}")
    except KeyboardInterrupt:
        print("interrupted; what was written is named above", file=sys.stderr)
        sys.exit(130)


# ---------------------------------------------------------------------------------------------------------- data


def digits_instead(options, error):
    """The 8x8 digits of the package, scaled to MNIST's 28x28, after a line that says why; `load_data`'s arrays."""
    print(f"Training on the embedded 8x8 digits, scaled to 28x28, instead of MNIST. Reason: {error}", flush=True)
    options.dataset = "digits"
    return mc.datasets.digits.load_data(upscale=True)


def _source(error):
    """Where to get the data that `error` says is missing, if nothing can stand in for them."""
    files = {"Fashion-MNIST": mc.datasets.fashion_mnist.DATASET.files, "CIFAR-10": [mc.datasets.cifar10.ARCHIVE]}
    wanted = next((value for name, value in files.items() if str(error).startswith(f"{name} not found")), None)
    return f". To get it: {wanted[0].mirrors[-1]} has {', '.join(file.name for file in wanted)}" if wanted else ""


# ------------------------------------------------------------------------------------------------------- results


class EpochClock(mc.callbacks.Callback):
    """Measures each epoch of a training, with its validation: `seconds`, a tuple of float."""

    seconds = ()

    def on_epoch_begin(self, epoch, logs=None):
        self._start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.seconds += (time.perf_counter() - self._start,)


def outcome(options, model, clock, scores, published=None):
    """What became of a network, as it goes into ``result.json``.

    Parameters
    ----------
    options : argparse.Namespace
    model : Model
        Fitted; losses and accuracies are those of its last epoch.
    clock : EpochClock
        Took part in `fit`. Of its seconds, the median counts: the first epoch may compile kernels.
    scores : list of float
        What `evaluate` returned: the loss and the accuracy on the test set.
    published : dict, optional
        Entry of the outcome, such as "test_accuracy" → the number in the document.

    Returns
    -------
    dict
    """
    history, seconds = model.history.history, round(statistics.median(clock.seconds), 4)
    result = {"params": model.count_params(), "epochs": options.epochs, "batch_size": options.batch_size}
    result |= {"train_loss": history["loss"][-1], "train_accuracy": history["accuracy"][-1]}
    result |= {"test_loss": scores[0], "test_accuracy": scores[1]}
    return result | {"seconds_per_epoch": seconds, "published": published or {}, "history": history}


def save_result(options, y_train, y_test, entries):
    """Write the result of training and print our scores beside the published ones.

    Parameters
    ----------
    options : argparse.Namespace
    y_train, y_test : array
        The labels: numbers (N,) or (N, 1), or one-hot rows.
    entries : dict
        The `outcome` of one network, or {"networks": name → outcome} of several. Every entry "…_loss" and "…_accuracy"
        is a score.
    """
    first = y_train[:5].argmax(axis=1) if y_train[0].size > 1 else y_train[:5].ravel()
    about = {"backend": mc.backends.current().name, "variant": options.variant, "first_labels": first.tolist()}
    about |= {"train_images": len(y_train), "test_images": len(y_test)}
    for name, entry in entries.get("networks", {options.dataset: entries}).items():
        title = f"{name}, epoch {entry['epochs']}, {entry['seconds_per_epoch']:.2f} s an epoch"
        print(f"\n{title:<44}{'ours':>8}  published")
        for key in (key for key in entry if key.endswith(("_loss", "_accuracy"))):
            published = f"{entry['published'][key]:.4f}" if key in entry["published"] else "–"
            print(f"  {key.replace('_', ' '):<42}{entry[key]:>8.4f}{published:>11}")
    write_result(options, about | entries)


def write_result(options, entries):
    """Write ``result.json`` into the output folder, with the example's name, the data, the seed and the versions."""
    versions = {"python": sys.version.split()[0], "minicnn": mc.__version__}
    versions |= {name: next((d.version for d in distributions(name=name)), None) for name in ("numpy", "numba")}
    result = {"name": options.name, "dataset": options.dataset, "seed": options.seed, "versions": versions}
    (options.out / "result.json").write_text(json.dumps(result | entries, indent=2) + "\n")
    print(f"Result: {options.out / 'result.json'}")


def model_file(options, name):
    """Path in the output folder; one of minicnn's own format where h5py, which Keras's formats need, is missing."""
    path = options.out / (name if any(distributions(name="h5py")) else f"{Path(name).stem}.safetensors")
    print(f"Model: {path}{'' if path.name == name else f' (a {name} needs h5py: pip install minicnn[keras])'}")
    return path


@contextlib.contextmanager
def figures(options):
    """A dict, file name → figure, to be filled within the block; then they are saved, and with ``--show`` shown.

    Without matplotlib a line says what is missing, and no error is raised: the numbers are there already.
    """
    drawn = {}
    try:
        yield drawn
    except ImportError as error:
        print(f"No figures: {error}", file=sys.stderr)
    for name, figure in drawn.items():
        figure.savefig(options.out / name)
        print(f"Figure: {options.out / name}")
    if options.show and drawn:
        from matplotlib import pyplot

        for figure in drawn.values():
            pyplot.figure(FigureClass=lambda figure=figure, **_: figure)  # gives pyplot our figure instead of a new one
        if pyplot.get_backend().lower() == "agg":
            print("No window: there is no display. The figures are in the files above.", file=sys.stderr)
        else:
            pyplot.show()
