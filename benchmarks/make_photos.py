"""Make a folder of 3 × 60 photos of mixed kinds from CIFAR-10: what ``python -m minicnn train`` is tried on.

``python benchmarks/make_photos.py FOLDER``: automobiles, frogs and ships, of several sizes, as JPEG, PNG, BMP, GIF and
WebP; one file is damaged, one grey, one CMYK, one has an alpha channel, one lies on its side with a note of it (EXIF).
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

import minicnn as mc

CLASSES = {"automobile": 1, "frog": 6, "ship": 8}  # numbers of CIFAR-10
KINDS = ("jpg", "png", "bmp", "gif", "webp")
ON_ITS_SIDE = 6  # EXIF's orientation of what has to be turned by 90° clockwise


def main():
    """Write the folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--each", type=int, default=60, help="photos of a class")
    options = parser.parse_args()
    (x, y), _ = mc.datasets.cifar10.load_data()
    rng = np.random.default_rng(0)
    for name, number in CLASSES.items():
        folder = options.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        for index, pixels in enumerate(x[y.ravel() == number][: options.each]):
            width, height = rng.integers(64, 200, 2)
            image = Image.fromarray(pixels).resize((int(width), int(height)), Image.Resampling.BICUBIC)
            image.save(folder / f"{name}_{index:03d}.{KINDS[index % len(KINDS)]}")
    spoil(options.folder)


def spoil(folder):
    """Of the first class, make files of the kinds that programs stumble over."""
    first = folder / next(iter(CLASSES))
    jpegs = sorted(first.glob("*.jpg"))
    jpegs[0].write_bytes(jpegs[0].read_bytes()[:200])
    Image.open(jpegs[1]).convert("L").save(jpegs[1])
    Image.open(jpegs[2]).convert("CMYK").save(jpegs[2])
    png = min(first.glob("*.png"))
    image = Image.open(png).convert("RGBA")
    image.putalpha(128)
    image.save(png)
    turned = Image.open(jpegs[3]).transpose(Image.Transpose.ROTATE_90)
    notes = Image.Exif()
    notes[0x0112] = ON_ITS_SIDE
    turned.save(jpegs[3], exif=notes)


if __name__ == "__main__":
    main()
