"""Photos a second, read from a folder, decoded and resized: minicnn beside Keras and torchvision.

What is timed: README.md beside this file.
"""

import argparse
import importlib.util
import json
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import harness
import numpy as np

COUNT, SIZE = 2000, (500, 375)  # photos; width and height
TO, BATCH = 128, 32  # height and width that networks get; images of a batch
QUALITY = 90  # of the JPEG files


def main():
    """Measure, or, as a worker, read photos whenever a line arrives on stdin."""
    options = parse()
    if options.worker:
        return work(LIBRARIES[options.worker](options.folder))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        make_photos(folder, options.photos, options.count)
        pythons = {"minicnn": sys.executable, "torchvision": options.torch, "keras": options.keras}
        workers = {
            name: stack.enter_context(Worker(python, name, folder)) for name, python in pythons.items() if python
        }
        measured = harness.interleave(workers, options.rounds, harness.available_cores(), "epoch")
    print(report(measured, options.count))
    if options.out:
        result = {"machine": harness.machine(), "photos": options.count, **vars(measured)}
        options.out.write_text(json.dumps(result, indent=2) + "\n")


def parse():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--photos", nargs="+", type=Path, metavar="FILE", help="photos to cut from (default: scikit-learn's samples)")
    add("--count", type=int, default=COUNT, metavar="N", help=f"photos in the folder (default: {COUNT})")
    add("--rounds", type=int, default=5, metavar="N", help="turns of each library (default: 5)")
    add("--torch", metavar="PYTHON", help="an interpreter with torchvision: it is measured too")
    add("--keras", metavar="PYTHON", help="an interpreter with Keras on TensorFlow: it is measured too")
    add("--out", type=Path, metavar="FILE", help="write all numbers there as JSON")
    add("--worker", choices=LIBRARIES, help=argparse.SUPPRESS)
    add("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not options.worker and not options.photos:
        options.photos = samples_of_scikit_learn(parser)
    return options


def samples_of_scikit_learn(parser):
    """The photos that scikit-learn ships."""
    found = importlib.util.find_spec("sklearn")
    if found is None:
        parser.error("no scikit-learn, whose sample photos are used: install it, or name photos with --photos")
    return sorted(Path(found.submodule_search_locations[0], "datasets", "images").glob("*.jpg"))


def make_photos(folder, sources, count):
    """Cut `count` parts, every one another, out of photos and write them as JPEG files of two classes."""
    from PIL import Image

    rng = np.random.default_rng(0)
    photos = [Image.open(source).convert("RGB") for source in sources]
    for name in ("a", "b"):
        (folder / name).mkdir()
    for number in range(count):
        photo = photos[number % len(photos)]
        share = rng.uniform(0.5, 1.0)
        width, height = (max(1, int(share * side)) for side in photo.size)
        left, top = rng.integers(0, photo.width - width + 1), rng.integers(0, photo.height - height + 1)
        part = photo.resize(SIZE, box=(left, top, left + width, top + height))
        part.save(folder / "ab"[number % 2] / f"{number:05}.jpg", quality=QUALITY)


class Worker:
    """This script as a worker in a process of its own."""

    def __init__(self, python, library, folder):
        command = [python, __file__, "--worker", library, "--folder", str(folder)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, do):
        """Read all photos once; what it took."""
        print(do, file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.process.stdin.close()
        self.process.wait()


def work(batches):
    """Read all photos once for each line on stdin, and write how long it took and how many they were."""
    for _ in sys.stdin:
        start = time.perf_counter()
        images = sum(len(batch) for batch, _ in batches)
        print(json.dumps({"seconds": [time.perf_counter() - start], "images": images}), flush=True)


def minicnn(folder):
    """The batches of minicnn's data set."""
    import minicnn as mc

    mc.backends.current()  # as where a model trains
    utils = mc.keras.utils
    return utils.image_dataset_from_directory(folder, image_size=(TO, TO), batch_size=BATCH, seed=0, verbose=False)


def keras(folder):
    """The batches of Keras's data set."""
    import keras
    import tensorflow as tf

    read = keras.utils.image_dataset_from_directory
    return read(folder, image_size=(TO, TO), batch_size=BATCH, seed=0, verbose=False).prefetch(tf.data.AUTOTUNE)


def torchvision(folder):
    """The batches of PyTorch's loader, with a process for each core."""
    import torch
    from torchvision import datasets, transforms

    prepare = transforms.Compose([transforms.Resize((TO, TO)), transforms.ToTensor()])
    cores = harness.available_cores()
    photos = datasets.ImageFolder(folder, prepare)
    return torch.utils.data.DataLoader(
        photos, batch_size=BATCH, shuffle=True, num_workers=cores, persistent_workers=True
    )


LIBRARIES = {"minicnn": minicnn, "keras": keras, "torchvision": torchvision}


def report(measured, count):
    """The table, and how busy the machine was besides."""
    result = harness.compare(measured.milliseconds)
    rows = [
        [name, f"{np.median([1000 * count / each for each in times]):,.0f}"]
        for name, times in measured.milliseconds.items()
    ]
    lines = [harness.table(["photos a second", "median"], rows), ""]
    if "ratio" in result:
        spread = f"{result['ratio_min']:.2f} - {result['ratio_max']:.2f}"
        lines.append(f"The fastest peer's time ({result['peer']}) ÷ minicnn's: {result['ratio']:.2f} ({spread})")
    foreign = max(each or 0 for each in measured.foreign_cores)
    lines.append(f"Other programs kept up to {foreign:.2f} cores busy meanwhile.")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
