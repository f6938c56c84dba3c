"""Bases that Keras 2's convolutions and poolings had, which scripts ask for: `_Conv`, `_Pooling2D`."""

from __future__ import annotations

from typing import Any

from minicnn import layers as core
from minicnn.keras import layers
from minicnn.keras.layers._of_older_arguments import check_rank

_CONVOLUTIONS = tuple(f"Conv{rank}D{kind}" for rank in (1, 2, 3) for kind in ("", "Transpose"))


class _Kind:
    """In the place of such a class: what is an instance of it, and what a class that begins with it is made of.

    Parameters
    ----------
    name : str
    classes : sequence of str
        Today's layers that were its subclasses.
    bases : tuple of type, optional
        What a user's subclass begins with.
    """

    def __init__(self, name: str, classes: tuple[str, ...], bases: tuple[type, ...] = ()) -> None:
        self.__name__, self._classes = name, tuple(getattr(core, each) for each in classes)
        self._bases = bases

    def __instancecheck__(self, instance: object) -> bool:
        return isinstance(instance, self._classes)

    def __subclasscheck__(self, subclass: type) -> bool:
        return issubclass(subclass, self._classes)

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[type, ...]:
        if not self._bases:
            today = " or ".join(each.__name__ for each in self._classes) or "Layer"
            raise TypeError(f"a subclass of {self.__name__} is one of {today} today. Received: {self.__name__}")
        return self._bases


class _OfRank:
    """Mixin of a `Conv2D` that is told its rank, 2, as Keras 2's base of convolutions was, and has it in its config.

    Parameters
    ----------
    rank : int
        How many axes of places there are.
    *args, **kwargs
        As of `Conv2D`.
    """

    def __init__(self, rank: int, *args: Any, **kwargs: Any) -> None:
        check_rank(self, rank, 2)
        super().__init__(*args, **kwargs)

    def get_config(self) -> dict[str, Any]:
        """As of `Conv2D`, with the rank."""
        return super().get_config() | {"rank": 2}  # type: ignore[misc]


_POOLINGS = ("MaxPooling", "AveragePooling")
_APART = tuple(f"{kind}Conv{rank}D" for kind in ("Depthwise", "Separable") for rank in (1, 2))
_Conv = _Kind("_Conv", (*_CONVOLUTIONS, *_APART), (_OfRank, layers.Conv2D))
_Pooling1D = _Kind("_Pooling1D", tuple(f"{each}1D" for each in _POOLINGS))
_Pooling2D = _Kind("_Pooling2D", tuple(f"{each}2D" for each in _POOLINGS))
_Pooling3D = _Kind("_Pooling3D", tuple(f"{each}3D" for each in _POOLINGS))
_GlobalPooling1D = _Kind("_GlobalPooling1D", tuple(f"Global{each}1D" for each in _POOLINGS))
_GlobalPooling2D = _Kind("_GlobalPooling2D", tuple(f"Global{each}2D" for each in _POOLINGS))
_GlobalPooling3D = _Kind("_GlobalPooling3D", tuple(f"Global{each}3D" for each in _POOLINGS))
