"""The public names of minicnn, and a page of the site for each: `conf.py` has them written before Sphinx reads.

What is public is what a module's ``__all__`` says, or, in a module without one, the functions and classes that are
defined in it, but for `HELPERS`, and the classes that its registry knows. A name that several modules have has one
page, and a line in the table of each.
"""

import importlib
import inspect
import re
from functools import cache
from pathlib import Path

import minicnn as mc

FOLDER = "reference"
MARKS = re.compile(r"``.*?``|`[^`]*`|\||(?<=\w)_(?!\w)")
PARAMETERS = re.compile(r"^Parameters\n-+\n(.*?)(?=^\w[\w ]*\n---|\Z)", re.DOTALL | re.MULTILINE)
HELPERS = {"minicnn.errors": {"fold_name", "unknown_name"}, "minicnn.datasets.cifar10": {"hint"}}
BESIDE = ("minicnn.optimizers.schedules", "minicnn.data.experimental")
ORDER = ("minicnn", "minicnn.models", "minicnn.layers", "minicnn.losses", "minicnn.metrics", "minicnn.optimizers")


def modules():
    """Names of the public modules, the most used first; `minicnn.keras` has a page of prose instead, docs/keras.md."""
    inside = [
        f"minicnn.datasets.{name}" for name in mc.datasets.__all__ if inspect.ismodule(getattr(mc.datasets, name))
    ]
    named = [f"minicnn.{name}" for name in mc.__all__ if inspect.ismodule(getattr(mc, name)) and name != "keras"]
    return [*ORDER, *sorted({*named, *inside, *BESIDE} - {*ORDER})]


def registry_of(home):
    """Where a module of losses, optimizers, … keeps names and classes, or None."""
    return getattr(home, "registry", getattr(home, "_registry", None)) if hasattr(home, "get") else None


@cache
def names(module):
    """A module's public names that are no modules, sorted."""
    home = importlib.import_module(module)
    listed = {*getattr(home, "__all__", ())} or {
        name
        for name, value in vars(home).items()
        if (inspect.isclass(value) or inspect.isfunction(value)) and value.__module__ == module
    }
    if (registry := registry_of(home)) is not None:
        listed |= {cls.__name__ for cls in registry.classes() if cls.__module__.startswith("minicnn.")}
    listed -= HELPERS.get(module, set())
    public = (name for name in listed if not name.startswith("_") and not inspect.ismodule(getattr(home, name)))
    return sorted(public, key=lambda name: (name.lower(), name))


@cache
def homes():
    """Object's id → (module, name) of its page; for numbers and strings each name has one."""
    found = {}
    for module in sorted(
        modules(), key=lambda name: (name in ("minicnn", "minicnn.utils", "minicnn.functional"), name)
    ):
        for name in names(module):
            value = getattr(importlib.import_module(module), name)
            found.setdefault(_key(module, name, value), (module, value.__name__ if _is_code(value) else name))
    return found


def page_of(module, name):
    """(module, name) where a public name is described; another one for aliases."""
    return homes()[_key(module, name, getattr(importlib.import_module(module), name))]


@cache
def _by_ending():
    """Any ending of a public name, "Conv2D" or "layers.Conv2D" → the full names that end so."""
    found = {}
    for module, name in homes().values():
        words = f"{module}.{name}".split(".")
        for start in range(len(words)):
            found.setdefault(".".join(words[start:]), set()).add(".".join(words))
    return found


def meant_by(text):
    """The full public name that a docstring's `text` means, if there is just one: 'minicnn.layers.Conv2D'."""
    candidates = _by_ending().get(text.removeprefix("mc."), ())
    return next(iter(candidates)) if len(candidates) == 1 else None


def _is_code(value):
    return inspect.isclass(value) or inspect.isfunction(value)


def _key(module, name, value):
    return id(value) if _is_code(value) else (module, name)


def path_of(module, name):
    """The page's path below `FOLDER`, without a suffix; no two differ in case alone, which some file systems fold."""
    return f"{module}/{name}{'-function' if name[0].islower() else ''}"


def first_sentence(value):
    """What the table says about a name."""
    text = " ".join((inspect.getdoc(value) or "").split("\n\n")[0].split())
    end = text.find(". ")
    return as_prose(text if end < 0 else text[: end + 1])


def as_prose(line):
    """A docstring's line in which bars, |x|, and underscores at the ends of names, "val_", mean themselves.

    To reStructuredText they are substitutions and links; our docstrings use neither. What stands in backquotes stays.
    """
    return MARKS.sub(lambda found: found[0] if found[0][0] == "`" else f"\\{found[0]}", line)


# ---------------------------------------------------------------------------------------------------- parameters


def arguments(value):
    """Names of the arguments that a function or the constructor of a class takes, without ``*args, **kwargs``."""
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [p.name for p in inspect.signature(value).parameters.values() if p.kind not in kinds]


def described(value):
    """What a docstring's Parameters say: name of an argument → the lines about it and those that share them."""
    section = PARAMETERS.search(inspect.getdoc(value) or "") if value.__doc__ else None
    found, names = {}, ()
    for line in section[1].splitlines() if section else ():
        if line and not line[0].isspace():
            names = tuple(re.findall(r"\w+", line.partition(" : ")[0]))
            found[names] = [line]
        elif names:
            found[names].append(line)
    return {name: tuple(lines) for names, lines in found.items() for name in names}


def inherited(cls):
    """The lines about arguments of a class that its docstring leaves to those of its bases."""
    missing = {*arguments(cls)} - {*described(cls)}
    lines = []
    for base in cls.__mro__[1:]:
        entries = {entry for name, entry in described(base).items() if name in missing}
        lines += [line for entry in sorted(entries) for line in entry]
        missing -= {*described(base)}
    return lines


def undescribed(value):
    """Arguments of which no docstring of a function, or of a class and its bases, says anything."""
    known = {name for one in getattr(value, "__mro__", [value]) for name in described(one)}
    return [name for name in arguments(value) if name not in known]


# --------------------------------------------------------------------------------------------------------- pages


def write(docs):
    """Write the pages of all modules and names below `docs`; those whose text is as before keep their time.

    Parameters
    ----------
    docs : path
        Sphinx's source folder.
    """
    folder, written = Path(docs, FOLDER), set()
    for path, text in _pages():
        file = folder / f"{path}.rst"
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            file.write_text(text, encoding="utf-8")
        written.add(file)
    for file in {*folder.rglob("*.rst")} - written:  # of names that are gone
        file.unlink()


def _pages():
    yield "index", _index()
    for module in modules():
        yield f"{module}/index", _module_page(module)
        for name in names(module):
            if page_of(module, name) == (module, name):
                yield path_of(module, name), _name_page(module, name)


def _title(text):
    return f"{text}\n{'=' * len(text)}\n"


def _index():
    lines = [
        _title("Reference"),
        "Every public name, with its signature and its types, from the docstrings. ``minicnn.keras`` has the names of",
        "older Kerases; what they map to stands in :doc:`/keras`.\n",
        _table((f":doc:`{module} <{module}/index>`", first_sentence(_module(module))) for module in modules()),
        ".. toctree::\n   :hidden:\n",
        *(f"   {module} <{module}/index>" for module in modules()),
        "   minicnn.keras </keras>",
    ]
    return "\n".join(lines) + "\n"


def _module(module):
    return importlib.import_module(module)


def _module_page(module):
    rows = []
    for name in names(module):
        home = page_of(module, name)
        words = (
            first_sentence(getattr(_module(module), name))
            if _is_code(getattr(_module(module), name))
            else "A constant."
        )
        if home[1] != name:
            words = f"Another name of {home[1]}."
        rows.append((f":doc:`{name} </{FOLDER}/{path_of(*home)}>`", words))
    pages = sorted({path_of(module, n) for n in names(module) if page_of(module, n) == (module, n)})
    toctree = [".. toctree::\n   :hidden:\n", *(f"   /{FOLDER}/{path}" for path in pages)] if pages else []
    about = f".. automodule:: {module}\n   :no-members:\n" if module != "minicnn" else first_sentence(mc) + "\n"
    return "\n".join([_title(module), about, _table(rows), *toctree]) + "\n"


def _table(rows):
    lines = [".. list-table::", "   :widths: auto", "   :class: names", ""]
    for first, second in rows:
        lines += [f"   * - {first}", f"     - {second}"]
    return "\n".join(lines) + "\n"


def _name_page(module, name):
    value = getattr(_module(module), name)
    kind = "autoclass" if inspect.isclass(value) else "autofunction" if inspect.isfunction(value) else "autodata"
    lines = [_title(name), f".. {kind}:: {module}.{name}"]
    lines += ["   :members:", "   :show-inheritance:"] if inspect.isclass(value) else []
    return "\n".join([*lines, "", _other_names(module, name, value)])


def _other_names(module, name, value):
    """Which strings stand for a class, and as which functions of arrays it can be called."""
    registry = registry_of(_module(module))
    if not inspect.isclass(value) or registry is None or value not in registry.classes():
        return ""
    known = [word for word in registry.names() if registry.lookup(word) is value]
    return f"As a string: {', '.join(f'``{chr(34)}{word}{chr(34)}``' for word in known)}.\n"
