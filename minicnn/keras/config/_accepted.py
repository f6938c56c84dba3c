"""Settings of Keras's own machinery: they are kept, so that what was set is told, and change nothing here."""

from __future__ import annotations

from collections.abc import Callable

from minicnn.checks import check_choice
from minicnn.user_warnings import warn_user

_STATE = {"interactive_logging": True, "traceback_filtering": True, "flash_attention": False}


def _setting(name: str) -> tuple[Callable[[], None], Callable[[], None], Callable[[], bool]]:
    """Functions that switch a setting on and off, and one that tells it."""

    def enable() -> None:
        _STATE[name] = True

    def disable() -> None:
        _STATE[name] = False

    def is_enabled() -> bool:
        return _STATE[name]

    called = {f"enable_{name}": enable, f"disable_{name}": disable, f"is_{name}_enabled": is_enabled}
    for own_name, function in called.items():
        function.__name__ = function.__qualname__ = own_name
        function.__doc__ = f"{'Tells' if function is is_enabled else 'Keeps'} a setting that changes nothing here."
    return enable, disable, is_enabled


enable_interactive_logging: Callable[[], None]
disable_interactive_logging: Callable[[], None]
enable_traceback_filtering: Callable[[], None]
disable_traceback_filtering: Callable[[], None]
enable_flash_attention: Callable[[], None]
disable_flash_attention: Callable[[], None]
is_interactive_logging_enabled: Callable[[], bool]
is_traceback_filtering_enabled: Callable[[], bool]
is_flash_attention_enabled: Callable[[], bool]
enable_interactive_logging, disable_interactive_logging, is_interactive_logging_enabled = _setting(
    "interactive_logging"
)
enable_traceback_filtering, disable_traceback_filtering, is_traceback_filtering_enabled = _setting(
    "traceback_filtering"
)
enable_flash_attention, disable_flash_attention, is_flash_attention_enabled = _setting("flash_attention")


def is_nnx_enabled() -> bool:
    """False: it is a setting of JAX's."""
    return False


def enable_unsafe_deserialization() -> None:
    """Does nothing: files hold no code here, but names of functions, which `custom_objects` gives."""


def set_backend(backend: str) -> None:
    """Nothing for "tensorflow", whose branch of scripts fits; a warning for others, whose arrays are not here.

    Parameters
    ----------
    backend : {"tensorflow", "jax", "torch", "numpy", "openvino"}

    Raises
    ------
    ValueError
        For anything else.
    """
    check_choice("backend", backend, ("tensorflow", "jax", "torch", "numpy", "openvino"))
    if backend != "tensorflow":
        warn_user(
            f"minicnn computes by itself, whatever Keras's backend is: what a script writes for TensorFlow, with "
            f"tf.GradientTape, runs here. Received: backend={backend!r}"
        )


def version() -> str:
    """The version of the Keras whose names these are."""
    from minicnn.keras import __version__

    return __version__


__all__ = [
    "disable_flash_attention",
    "disable_interactive_logging",
    "disable_traceback_filtering",
    "enable_flash_attention",
    "enable_interactive_logging",
    "enable_traceback_filtering",
    "enable_unsafe_deserialization",
    "is_flash_attention_enabled",
    "is_interactive_logging_enabled",
    "is_nnx_enabled",
    "is_traceback_filtering_enabled",
    "set_backend",
]
