"""What older Kerases had is said once."""

from minicnn.user_warnings import warn_user

_warned: set[str] = set()


def is_older() -> bool:
    """Whether something of an older Keras than today's was used in this process."""
    return bool(_warned)


def warn_once(message: str) -> None:
    """A FutureWarning, once a process, at the user's line."""
    if message not in _warned:
        _warned.add(message)
        warn_user(message, FutureWarning)
