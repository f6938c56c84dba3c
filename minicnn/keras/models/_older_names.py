"""Names of layers as Keras 1 and 2 gave them: counted from 1, and in Keras 1 without underscores in a word."""

from __future__ import annotations

import re
from typing import Any

from minicnn.user_warnings import warn_user

_OF_KERAS_1 = {"convolution": "conv", "separableconvolution": "separableconv", "deconvolution2d": "conv2dtranspose"}


def _parts(name):
    """What kind of layer a name is of, without underscores, and the number behind; 0 for none."""
    kind, number = re.fullmatch(r"(.*?)(?:_(\d+))?", name).groups()
    kind = kind.replace("_", "")
    old = next((old for old in _OF_KERAS_1 if kind.startswith(old)), "")
    return _OF_KERAS_1.get(old, "") + kind[len(old) :], int(number or 0)


class OlderNames:
    """Mixin of Keras's models."""

    def get_layer(self, name: str | None = None, index: int | None = None) -> Any:
        """The layer of that name, or at that position; of a name that none has, what it was in Keras 1 and 2."""
        try:
            return super().get_layer(name, index)  # type: ignore[misc]
        except ValueError:
            kind, number = _parts(name) if isinstance(name, str) else ("", 0)
            for layer in self.layers if number else ():  # type: ignore[attr-defined]
                if _parts(layer.name) == (kind, number - 1):
                    warn_user(
                        f"no layer is called {name!r}, so that '{layer.name}' is taken, as Keras 1 and 2 called it: "
                        "they counted from 1, and today the first has no number. Give layers names of your own"
                    )
                    return layer
            raise
