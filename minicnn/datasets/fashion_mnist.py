"""Fashion-MNIST: 70,000 pictures of clothes in MNIST's format (H. Xiao, K. Rasul, R. Vollgraf, Zalando; MIT)."""

from minicnn.datasets._mnist_layout import IdxDataset, idx_files
from minicnn.hints import FilePath, Split

CLASS_NAMES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)

MIRRORS = (
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
)

DATASET = IdxDataset(
    name="Fashion-MNIST",
    subfolders=("fashion-mnist", "fashion_mnist", "."),
    files=idx_files(
        MIRRORS,
        (26_421_880, "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
        (29_515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
        (4_422_102, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
        (5_148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
    ),
)


def load_data(data_dir: FilePath | None = None) -> tuple[Split, Split]:
    """Load Fashion-MNIST.

    Parameters
    ----------
    data_dir : str or path-like, optional
        The only folder to look in: `data_dir/fashion-mnist/`, `data_dir/fashion_mnist/` or `data_dir` itself,
        gzip-compressed or plain IDX files. Without it: the folder named by the environment variable `MINICNN_DATA`,
        the cache folder, and at last a download (31 MB) into the cache folder.

    Returns
    -------
    (x_train, y_train), (x_test, y_test) : tuple of two tuples of ndarray, uint8
        Images (60000, 28, 28) and (10000, 28, 28), 0 to 255; labels (60000,) and (10000,), 0 to 9, named by
        `CLASS_NAMES`. Smaller files in the same format are accepted and give fewer items.

    Raises
    ------
    DataNotFoundError, DataError
        As from `minicnn.datasets.mnist.load_data`.
    """
    return DATASET.load(data_dir)
