"""Files that may come from a stranger, and files that must not be lost."""

import difflib
import errno
import json
import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from traceback import walk_tb
from typing import Any

from minicnn.errors import FileFormatError
from minicnn.hints import FilePath, Shape

MAX_REASON = 2000  # characters of what is wrong with a file, which may name what is in it
MAX_JSON = 10_000_000  # bytes of a model's description; a layer takes less than a thousand
TEMPORARY = ".tmp"
_OF_ANOTHER_KIND = re.compile(
    r"^'(bool|dict|float|int|list|str|tuple|NoneType)' object |^unhashable type|index out of range$|"
    r"^(list|string|tuple) indices must be |^'[<>]=?' not supported between |^cannot unpack non-iterable "
)


def checked_path(path: FilePath) -> Path:
    """`path` as a Path.

    Raises
    ------
    TypeError
        If it is no path.
    """
    try:
        return Path(path)
    except TypeError:
        raise TypeError(f"a path is a string or a pathlib.Path. Received: {path!r}") from None


def check_readable(path: FilePath) -> None:
    """Raise `OSError` unless `path` is an existing regular file; a pipe or a device would be waited for without end."""
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        if os.path.islink(path):  # to what is not there
            raise
        raise FileNotFoundError(errno.ENOENT, _why_missing(Path(path)), str(path)) from None
    if not stat.S_ISREG(mode):
        raise OSError(f"expected a file. Received: {str(path)!r}, which is a folder, a pipe or a device")


def _why_missing(path):
    """What is there in the place of a file that is not."""
    seen = "" if path.is_absolute() else f" (seen from {os.getcwd()!r})"
    if not path.parent.is_dir():
        return f"No such file: there is no folder {str(path.parent)!r}{seen}"
    try:
        near = difflib.get_close_matches(path.name, os.listdir(path.parent), n=2, cutoff=0.5)
    except PermissionError:  # to list it
        near = []
    hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
    return f"No such file in the folder {str(path.parent)!r}{seen}{hint}"


# ------------------------------------------------------------------------------------------------------- writing


@contextmanager
def replacing(path: FilePath) -> Iterator[Path]:
    """A temporary path in the same folder; at the end it takes the place of `path`, after it has reached the disk.

    Whoever opens `path` meanwhile, or after a crash at any moment, finds the previous file or the new one, whole.
    """
    path = Path(path)
    path = path.resolve() if path.is_symlink() else path  # the file is replaced, not the link to it
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"the folder {str(path.parent)!r} does not exist: make it first. Received: {str(path)!r}"
        )
    if path.is_dir():
        raise IsADirectoryError(f"a path names the file, not its folder. Received: {str(path)!r}, a folder")
    if path.exists() and not path.is_file():  # a file in the place of /dev/null would be there for all programs
        raise OSError(f"a path names a file that may be replaced. Received: {str(path)!r}, which is a pipe or a device")
    mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else None
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}{TEMPORARY}")
    try:
        yield temporary
        if mode is not None:
            temporary.chmod(mode)
        to_disk(temporary)
        os.replace(temporary, path)
    except OSError as error:  # a full disk, for one: said without a name, or of the temporary file
        if error.errno is not None and error.filename in (None, str(temporary)):
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)
    to_disk(path.parent)


def to_disk(path: Path) -> None:
    """Wait until a file's content, or a folder's entries, have reached the disk."""
    if os.name == "nt" and path.is_dir():  # Windows cannot open folders
        return
    handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_leftovers(path: Path) -> None:
    """Remove the temporary files that processes which were killed have left beside `path`."""
    for leftover in path.parent.glob(f".{path.name}.*{TEMPORARY}"):
        leftover.unlink(missing_ok=True)


def write_json(value: Any, **kwargs: Any) -> str:
    """`value` as JSON.

    Raises
    ------
    TypeError
        If it holds something else than plain values, lists and dicts.
    """
    try:
        return json.dumps(value, **kwargs)
    except TypeError as error:
        raise TypeError(
            f"a file holds plain values, lists and dicts, and get_config of a class gives something else: {error}"
        ) from None


# ------------------------------------------------------------------------------------------------------- reading


@contextmanager
def named_in_errors(path: FilePath) -> Iterator[None]:
    """Inside, whatever goes wrong with a file's content becomes a `FileFormatError` that names the file.

    What the system says (OSError) and an interruption pass through.
    """
    try:
        yield
    except FileFormatError as error:
        if str(path) in str(error):
            raise
        raise FileFormatError(f"{path}: {error}") from error.__cause__
    except (OSError, ImportError):
        raise
    except Exception as error:
        raise FileFormatError(f"{path} cannot be used: {reason_of(error)}") from error


def reason_of(error: Exception) -> str:
    """What an error that a file's content leads to says, in a line; of one in Python's words, what that means."""
    if _is_pythons(error):
        return "what is read there is of another kind than expected: it is damaged, or in a form that is not known here"
    return (" ".join(f"{error}".split()) or type(error).__name__)[:MAX_REASON]


def _is_pythons(error):
    """Whether Python says in the package that a part of a file is not what it was taken for; in a user's code, not."""
    *_, (frame, _) = walk_tb(error.__traceback__)
    return bool(_OF_ANOTHER_KIND.search(str(error))) and str(frame.f_globals.get("__name__")).startswith("minicnn.")


def read_json(text: str | bytes) -> dict[str, Any]:
    """A dict from JSON; stricter than Python's reader, which takes the last of several equal keys.

    Parameters
    ----------
    text : bytes or str

    Raises
    ------
    FileFormatError
        If it is not a JSON object, or too long.
    """
    if len(text) > MAX_JSON:
        raise FileFormatError(f"a description may have {MAX_JSON} bytes. Received: {len(text)}")
    try:
        value = json.loads(text, object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError) as error:
        raise FileFormatError(f"expected JSON: {error}") from None
    if not isinstance(value, dict):
        raise FileFormatError(f"expected a JSON object. Received: {type(value).__name__}")
    return value


def _without_repeats(pairs) -> dict:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a key occurs more than once")
    return value


def check_arrays(found: dict[str, Shape], expected: dict[str, Shape]) -> None:
    """Raise unless a file's arrays are those of the model.

    Parameters
    ----------
    found, expected : dict
        Name → shape.

    Raises
    ------
    FileFormatError
        Naming what is missing, what is left over, and what has another shape.
    """
    missing = [name for name in expected if name not in found]
    extra = [name for name in found if name not in expected]
    other = [
        f"{name} is {tuple(found[name])} in the file and {tuple(shape)} in the model"
        for name, shape in expected.items()
        if name in found and tuple(found[name]) != tuple(shape)
    ]
    problems = [
        f"{what}: {', '.join(names[:5])}{f' and {len(names) - 5} more' if len(names) > 5 else ''}"
        for what, names in (("missing", missing), ("not in the model", extra), ("of another shape", other))
        if names
    ]
    if problems:
        if any(name.endswith(".weight") for name in extra):
            problems.append("PyTorch's names: its weights come by ONNX, see 'Weights of PyTorch' in docs/files.md")
        raise FileFormatError(f"the weights are not those of the model. Received: {'; '.join(problems)}")
