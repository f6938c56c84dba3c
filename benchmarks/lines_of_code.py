"""Lines of code of four ways from a folder of photos to a model, a report and a prediction.

``python benchmarks/lines_of_code.py [--docs docs/command_line.md]`` counts the scripts in ``own_photos/``: neither blank
lines, comments nor docstrings. With ``--docs`` the table is put into that file.
"""

import argparse
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests"))

from source_code import code_lines

WAYS = {
    "minicnn, at the command line": "minicnn_way.sh",
    "Keras": "keras_way.py",
    "fastai": "fastai_way.py",
    "scikit-learn": "sklearn_way.py",
}
BEGIN, END = "<!-- lines of code -->", "<!-- end -->"


def count(path):
    """Lines of code of a script."""
    if path.suffix == ".py":
        return code_lines(path)
    lines = path.read_text(encoding="utf-8").splitlines()
    return sum(bool(line.strip()) and not line.startswith("#") for line in lines)


def table():
    """The table, in Markdown."""
    rows = [f"| [{way}](../benchmarks/own_photos/{name}) | {count(HERE / 'own_photos' / name)} |" for way, name in WAYS.items()]
    return "\n".join(["| way | lines of code |", "|---|---:|", *rows])


def main():
    """Print the table, or put it into a file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--docs", type=Path, help="the file between whose marks the table stands")
    options = parser.parse_args()
    if options.docs is None:
        print(table())
        return
    before, rest = options.docs.read_text(encoding="utf-8").split(BEGIN)
    _, after = rest.split(END)
    options.docs.write_text(f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
