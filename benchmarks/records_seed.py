"""One seed of a record, as a line of JSON: ``python records_seed.py LIBRARY RECORD SEED [TRICK that is left out]``."""

import importlib
import json
import sys
from concurrent.futures import ThreadPoolExecutor

from recipes import RECIPES, load, without


def main(library, name, seed, trick=None):
    """Train, classify the test set; data are decompressed by a thread while the library is imported."""
    recipe = without(RECIPES[name], trick)
    with ThreadPoolExecutor(1) as thread:
        reading = thread.submit(load, recipe)
        run = importlib.import_module(f"records_{library}").run
        accuracy, seconds = run(recipe, int(seed), *reading.result())
    print(json.dumps({"accuracy": accuracy, "train_seconds": seconds, "epochs": recipe.epochs}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
