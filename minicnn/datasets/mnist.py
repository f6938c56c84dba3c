"""MNIST: 70,000 handwritten digits, 28x28 grey pixels (Y. LeCun, C. Cortes, C. Burges; CC BY-SA 3.0)."""

from minicnn.datasets._mnist_layout import IdxDataset, idx_files
from minicnn.hints import FilePath, Split

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)

DATASET = IdxDataset(
    name="MNIST",
    subfolders=("mnist", "."),
    files=idx_files(
        MIRRORS,
        (9_912_422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
        (28_881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
        (1_648_877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
        (4_542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
    ),
)


def load_data(data_dir: FilePath | None = None) -> tuple[Split, Split]:
    """Load MNIST.

    Parameters
    ----------
    data_dir : str or path-like, optional
        The only folder to look in: `data_dir/mnist/` or `data_dir` itself, gzip-compressed or plain IDX files.
        Without it: the folder named by the environment variable `MINICNN_DATA`, the cache folder, and at last a
        download (11 MB) into the cache folder.

    Returns
    -------
    (x_train, y_train), (x_test, y_test) : tuple of two tuples of ndarray, uint8
        Images (60000, 28, 28) and (10000, 28, 28), 0 (paper) to 255 (ink); labels (60000,) and (10000,), 0 to 9.
        Smaller files in the same format are accepted and give fewer items.

    Raises
    ------
    DataNotFoundError
        Found nowhere and not downloaded; the message says where it was looked for.
    DataError
        A file is damaged, is something else or has the wrong checksum after a download.

    Examples
    --------
    >>> (x_train, y_train), (x_test, y_test) = load_data()  # doctest: +SKIP
    >>> x_train.shape, y_train.shape  # doctest: +SKIP
    ((60000, 28, 28), (60000,))
    """
    return DATASET.load(data_dir)
