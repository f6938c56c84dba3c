"""Names of layers after those of a file, which may hold anything."""

import re


def layer_name(wanted: str, otherwise: str, taken: set[str]) -> str:
    """A valid name that is not taken yet; it is taken then.

    Parameters
    ----------
    wanted, otherwise : str
        What the file says, and what the layer is.
    taken : set of str
        Gets the name.
    """
    name = re.sub(r"[^A-Za-z0-9_.]+", "_", wanted).strip("_.")[:80]
    chosen = name = name or otherwise.lower()
    if name in taken and not name.endswith(otherwise.lower()):
        chosen = name = f"{name}_{otherwise.lower()}"
    number = 0
    while chosen in taken:
        number += 1
        chosen = f"{name}_{number}"
    taken.add(chosen)
    return chosen
