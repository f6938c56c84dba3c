"""Do a wheel and an sdist hold every file of the package? Usage: check_contents.py CHECKOUT WHEEL SDIST"""

import sys
import tarfile
import zipfile
from pathlib import Path

MUST_EXIST = {
    "minicnn/py.typed",
    "minicnn/datasets/digits.npz",
    "minicnn/datasets/digits_LICENSE.txt",
    *(f"minicnn/page/browser/{n}" for n in ("page.html", "style.css", "main.js", "operations.js")),
    *(
        f"minicnn/backends/cupy/{n}.cu"
        for n in (
            "blas",
            "common",
            "cross_entropy",
            "dense",
            "depthwise",
            "few_channels",
            "gather",
            "graph",
            "hopper_convolution",
            "normalization",
            "optimizers",
            "partial_sums",
            "pointwise",
            "pooling",
            "prepared_weights",
            "products",
            "random",
            "slices",
            "tensor_convolution",
            "tensor_cores",
            "tensor_gradient",
            "tensor_moments",
            "tensor_narrow",
            "tensor_places",
            "warp",
        )
    ),
}


def main(checkout, wheel, sdist):
    """Compare the names and exit with a message where one is missing."""
    files = {path.relative_to(checkout).as_posix() for path in Path(checkout, "minicnn").rglob("*") if path.is_file()}
    with zipfile.ZipFile(wheel) as archive:
        in_wheel = set(archive.namelist())
    with tarfile.open(sdist) as archive:
        in_sdist = {name.partition("/")[2] for name in archive.getnames()}
    for name, missing in (
        ("the checkout", MUST_EXIST - files),
        (wheel, files - in_wheel),
        (sdist, files - in_sdist),
        (sdist, {"README.md", "LICENSE", "setup.cfg", "install.sh", "tests/conftest.py"} - in_sdist),
    ):
        if missing:
            sys.exit(f"{name} lacks {', '.join(sorted(missing))}")
    stray = {name for name in in_wheel if not name.startswith("minicnn")}
    if stray:
        sys.exit(f"{wheel} holds {', '.join(sorted(stray))}")
    kernels = sum(name.endswith(".cu") for name in files)
    print(f"{len(files)} files of the package, {kernels} of them .cu, are in {Path(wheel).name} and {Path(sdist).name}")


main(*sys.argv[1:])
