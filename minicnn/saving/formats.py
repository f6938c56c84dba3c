"""What a file format is, and which there are."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from minicnn.registry import modules_of
from minicnn.saving.snapshot import Reader, Snapshot


@dataclass(frozen=True)
class Format:
    """A file format; a module in this folder that has one as its `FORMAT` is found, without an entry anywhere.

    Attributes
    ----------
    suffixes : tuple of str
        What its files' names end in, such as ".h5".
    write : callable
        ``write(path, snapshot)`` writes a `Snapshot` to a new file.
    reader : type
        ``reader(path)`` opens a file, see `minicnn.saving.snapshot.Reader`.
    weights_only : bool
        Whether such a file cannot hold a whole model.
    kind : str, optional
        What such a file is, of those in `minicnn.saving.kinds`: another one is named in the error.
    check_writable : callable, optional
        ``check_writable(suffix)`` raises `ImportError` if something that writing needs is not installed.
    """

    suffixes: tuple[str, ...]
    write: Callable[[Path, Snapshot], None]
    reader: type[Reader]
    weights_only: bool = False
    kind: str | None = None
    check_writable: Callable[[str], None] | None = None


@cache
def formats() -> dict[str, Format]:
    """Suffix → format, ".weights.h5" before ".h5": a suffix that ends in another one has more dots."""
    found = [module.FORMAT for module in modules_of("minicnn.saving") if hasattr(module, "FORMAT")]
    found.sort(key=lambda f: (f.suffixes[0].count("."), len(f.suffixes[0])), reverse=True)
    return {suffix: form for form in found for suffix in form.suffixes}
