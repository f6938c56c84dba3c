"""`mc.help`: the documentation in the browser."""

import webbrowser
from pathlib import Path

from minicnn.console import say

CHECKOUT = Path(__file__).resolve().parents[1]
BUILD = "sh install.sh docs && .venv/bin/python -m sphinx -q -W --keep-going docs docs/_build"


def help() -> None:
    """Open the documentation, as it was built beside this package, in the browser; or say how to build it.

    It is built in a copy of the repository, by one command, which is printed where it has not been done. Where no
    browser can be opened, the page's address is printed.
    """
    page = CHECKOUT / "docs" / "_build" / "index.html"
    if page.exists():
        if not webbrowser.open(page.as_uri()):
            say(f"No browser could be opened; the documentation is {page.as_uri()}")
    elif (CHECKOUT / "docs" / "conf.py").exists():
        say(f"The documentation is built by this command, in {CHECKOUT}: {BUILD}")
    else:
        say(f"The documentation is built by this command, in a copy of minicnn's repository: {BUILD}")
