"""Does every link of the built site lead somewhere, is every public name there, is nothing loaded from elsewhere?

Usage: check_site.py CHECKOUT SITE
"""

import importlib
import sys
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADED = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src"}
LINKS = {"a": "href", **LOADED}


class Page(HTMLParser):
    """What a page links to, and the places in it that links can name."""

    def __init__(self, text):
        super().__init__()
        self.links, self.places, self.foreign = [], set(), []
        self.language = None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.places.update(filter(None, (attributes.get("id"), attributes.get("name"))))
        if tag == "html":
            self.language = attributes.get("lang")
        if target := attributes.get(LINKS.get(tag)):
            foreign = bool(urlsplit(target).scheme or target.startswith("//")) and not target.startswith("data:")
            if not foreign and not target.startswith("data:"):
                self.links.append(target)
            elif foreign and tag in LOADED and attributes.get("rel") != "canonical":
                self.foreign.append(target)


@cache
def parsed(path):
    """The page in a file."""
    return Page(path.read_text(encoding="utf-8"))


def faults(site):
    """One line for each link that leads nowhere, and for each file that is loaded from elsewhere."""
    paths = [path for path in sorted(site.rglob("*.html")) if site / "_static" not in path.parents]  # the theme's parts
    pages = {path: parsed(path) for path in paths}
    for path, page in pages.items():
        yield from (f"{path}: loads {target}" for target in page.foreign)
        if page.language is None:
            yield f"{path}: says no language"
        for link in page.links:
            parts = urlsplit(link)
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.exists():
                yield f"{path}: {link} leads nowhere"
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].places:
                yield f"{path}: {link} names no place in that page"


def missing_names(checkout, site):
    """Public names that are not described on the page that the table of their module leads to."""
    sys.path[:0] = [str(checkout / "docs"), str(checkout)]
    reference = importlib.import_module("reference")
    for module in reference.modules():
        for name in reference.names(module):
            home, real = reference.page_of(module, name)
            page = site / reference.FOLDER / f"{reference.path_of(home, real)}.html"
            if not page.exists() or f"{home}.{real}" not in parsed(page).places:
                yield f"{module}.{name} is not described in {page}"


def main(checkout, site):
    """Print what is wrong and exit with 1, or print how much was looked at."""
    checkout, site = Path(checkout).resolve(), Path(site).resolve()
    found = [*faults(site), *missing_names(checkout, site)]
    if found:
        sys.exit("\n".join(found))
    print(f"{len([*site.rglob('*.html')])} pages: all links lead somewhere, all public names are there")


if __name__ == "__main__":
    main(*sys.argv[1:])
