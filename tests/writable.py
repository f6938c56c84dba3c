"""Copies of a checkout's files that a test may edit, also where the checkout itself is read-only."""

import shutil
import stat
from pathlib import Path


def copied(source, target, *left_out) -> Path:
    """Copy a file or a folder, but for names like `left_out`, and let its owner write."""
    if Path(source).is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns(*left_out))
    else:
        shutil.copyfile(source, target)
    for path in (Path(target), *Path(target).rglob("*")):
        path.chmod(path.stat().st_mode | stat.S_IWUSR)
    return Path(target)
