"""Every name of Keras's is there, or docs/keras.md says why not, and so does the import."""

import re
from importlib import import_module
from pathlib import Path

import pytest

LIST = (Path(__file__).parent / "keras_names.txt").read_text(encoding="utf-8")
NAMES = {m: names.split() for m, names in re.findall(r"^([a-z.]+):\n((?: .*\n)+)", LIST, re.MULTILINE)}
DOCS = (Path(__file__).parents[1] / "docs" / "keras.md").read_text(encoding="utf-8")


def listed(module):
    """The names of a module in the page's table of what is not there."""
    table = DOCS.split("## What is not there")[1]
    rows = re.findall(rf"^\| `{re.escape(module)}` \| (.*?) \| .*\|$", table, re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`(\w+)`", row)}


def has(module, name):
    """Whether `minicnn.keras` has a name; the sentence where it does not."""
    try:
        return getattr(import_module(f"minicnn.keras.{module}"), name) is not None
    except AttributeError as error:
        return str(error)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore:minicnn has no")
@pytest.mark.parametrize("module", NAMES)
def test_names_are_there_or_on_the_page(module):
    found = {name: has(module, name) for name in NAMES[module]}
    missing = {name for name, answer in found.items() if answer is not True}
    assert missing == listed(module)
    assert [name for name in missing if not found[name].startswith(f"minicnn has no {name}: ")] == []
