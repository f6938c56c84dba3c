"""The pages that teach: their blocks run in order, print what the page says, and are the same in both languages."""

import doctest
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
SPANISH = DOCS / "es"
FOLDERS = ("tutorials", "learn")
NAMES = sorted(f"{folder}/{page.name}" for folder in FOLDERS for page in (DOCS / folder).glob("*.md"))
BLOCK = re.compile(r"^```(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MARK = "-- end of a block --"
SECONDS = 120  # a page takes less than 30 s where kernels are compiled; machines are busy


# ------------------------------------------------------------------------------------------------------ code


def examples(text):
    """The page's blocks of Python, each with its first line and the output that the block after it states, or None."""
    blocks = list(BLOCK.finditer(text))
    for block, following in zip(blocks, [*blocks[1:], None], strict=True):
        if block[1] == "python":
            stated = following and following[1] == "text" and not text[block.end() : following.start()].strip()
            yield block[2], text[: block.start(2)].count("\n"), following[2] if stated else None


def program(text):
    """The page's Python as one program, whose lines are those of the page; it prints MARK after every block."""
    lines = [""] * (text.count("\n") + 1)
    for code, first, _ in examples(text):
        block = code.splitlines()
        lines[first : first + len(block) + 1] = [*block, f"print({MARK!r})"]
    return "\n".join(lines)


def run(page, folder):
    """What each block of a page printed, in a process of its own."""
    script = folder / page.name.replace(".md", ".py")
    script.write_text(program(page.read_text(encoding="utf-8")), encoding="utf-8")
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"PYTHONPATH": paths, "MPLBACKEND": "Agg", "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, script.name]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, encoding="utf-8", timeout=SECONDS)
    assert done.returncode == 0, done.stderr
    return done.stdout.split(MARK + "\n")[:-1]


@pytest.mark.parametrize("name", NAMES)
def test_blocks_run_and_print_what_the_page_says(name, tmp_path):
    """The Spanish pages have the same blocks, see below: one run serves both."""
    page = DOCS / name
    stated = list(examples(page.read_text(encoding="utf-8")))

    printed = run(page, tmp_path) if stated else []

    assert len(printed) == len(stated)
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    for (_, line, expected), output in zip(stated, printed, strict=True):
        if expected is not None:
            same = doctest.OutputChecker().check_output(expected, output, flags)
            assert same, f"the block at line {line} of {name} printed:\n{output}\nThe page says:\n{expected}"


# ------------------------------------------------------------------------------------------------- languages


def headings(page):
    """The levels of a page's headings, in order."""
    prose = BLOCK.sub("", page.read_text(encoding="utf-8"))
    return [len(marks) for marks in re.findall(r"^(#+) ", prose, re.MULTILINE)]


def targets(page):
    """What a page's links and pictures point to, in order, without the steps up to it."""
    prose = BLOCK.sub("", page.read_text(encoding="utf-8"))
    return [re.sub(r"^(\.\./)+", "", target) for target in re.findall(r"\]\(([^)]+)\)", prose)]


def test_every_page_is_there_in_both_languages():
    spanish = sorted(f"{folder}/{page.name}" for folder in FOLDERS for page in (SPANISH / folder).glob("*.md"))

    assert NAMES
    assert spanish == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_both_languages_have_the_same_headings_code_and_links(name):
    english, spanish = DOCS / name, SPANISH / name

    assert headings(english) == headings(spanish)
    blocks = [[block.groups() for block in BLOCK.finditer(page.read_text("utf-8"))] for page in (english, spanish)]
    assert blocks[0] == blocks[1]
    assert [target.split("#")[0] for target in targets(english)] == [t.split("#")[0] for t in targets(spanish)]


PAGES = [folder / name for folder in (DOCS, SPANISH) for name in NAMES]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(DOCS).as_posix())
def test_links_lead_somewhere(page):
    prose = BLOCK.sub("", page.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)#]+)", prose):
        assert target.startswith("http") or (page.parent / target).exists(), target
    for target in re.findall(r'(?:src|href)="([^"]+)"', prose):  # what the site writes beside its own files
        assert os.path.normpath(page.parent / target) == str(DOCS / "_static" / "lenet5.html")


# --------------------------------------------------------------------------------------------------- figures


def test_figures_are_those_that_the_script_draws(tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location("figures", DOCS / "figures.py")
    figures = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(figures)
    monkeypatch.setattr(figures, "FOLDER", tmp_path)

    for draw in figures.FIGURES:
        draw()

    kept = sorted(path.name for path in (DOCS / "figures").iterdir())
    assert sorted(path.name for path in tmp_path.iterdir()) == kept
    for name in kept:
        new, old = ((folder / name).read_text(encoding="utf-8") for folder in (tmp_path, DOCS / "figures"))
        photos = re.compile('base64,[^"]*')  # Pillow's versions compress differently
        assert photos.sub("", new) == photos.sub("", old), f"python docs/figures.py draws another {name}"
