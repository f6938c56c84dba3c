"""Which layers of a model in Keras's form Keras does not have, so that it cannot read the file."""

from collections.abc import Iterator

from minicnn.hints import Config
from minicnn.saving.keras.written_operations import WRITERS
from minicnn.user_warnings import warn_user

ABSENT = {*WRITERS, "AddLoss", "AddMetric", "ConstantTensor", "PlacedResizing"}


def warn_of_absent(written: Config) -> None:
    """Warn if Keras cannot read a model.

    Parameters
    ----------
    written : dict
        In Keras's form, with modules; in functional models operations stand in the place of what is no layer there.
    """
    found = dict(_absent_in(written))
    if found:
        names = ", ".join(f"'{name}' ({kind})" for name, kind in list(found.items())[:3])
        more = f" and {len(found) - 3} more" if len(found) > 3 else ""
        functional = any(kind in WRITERS for kind in found.values())
        hint = "; a functional model, keras.Model(inputs, outputs), has such steps as Keras's operations" * functional
        warn_user(f"minicnn reads this file, and Keras does not, as it has no such layers: {names}{more}{hint}")


def _absent_in(entry: Config) -> Iterator[tuple[str, str]]:
    """Name → class of such layers; an operation of the same name is in another module."""
    config, module = entry["config"], entry.get("module")
    if module == "minicnn" or (module == "keras.layers" and entry["class_name"] in ABSENT):
        yield config.get("name", entry["class_name"]), entry["class_name"]
    inner = config.get("layers", []) if isinstance(config, dict) else []
    for part in [*inner, *([config["layer"]] if entry["class_name"] == "TimeDistributed" else [])]:
        if isinstance(part, dict) and isinstance(part.get("config"), dict):
            yield from _absent_in(part)
