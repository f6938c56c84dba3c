"""``keras.KerasTensor``: what tensors of a model are, and what a script makes by hand to say a shape and a dtype."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minicnn.graph import Node, Tensor
from minicnn.keras._new_arrays import standardize_dtype
from minicnn.keras._whole_numbers import note_dtype
from minicnn.layers.input import InputLayer
from minicnn.settings import floatx


class _OfTensors(type):
    """Metaclass: all tensors of a model are of this class."""

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, Tensor)


class KerasTensor(Tensor, metaclass=_OfTensors):
    """A shape and a dtype without numbers, as ``compute_output_spec`` of a layer returns them; a graph may begin here.

    Parameters
    ----------
    shape : sequence of int or None
        With the batch axis.
    dtype : str, default `floatx`
    name : str, optional
    **options
        Keras's `sparse`, `ragged` and `record_history`, which change nothing as long as they say what is there.

    Raises
    ------
    ValueError
        Without a batch axis, or for what is sparse or ragged.
    """

    def __init__(
        self, shape: Sequence[int | None], dtype: Any = None, *, name: str | None = None, **options: Any
    ) -> None:
        sizes = tuple(shape)
        unknown = sorted(options.keys() - {"sparse", "ragged", "record_history"})
        if not sizes or unknown or options.get("sparse") or options.get("ragged"):
            raise ValueError(
                "KerasTensor takes a shape with the batch axis, a dtype and a name, and is dense: "
                f"KerasTensor((None, 3), 'float32'). Received: shape={shape}, {options}"
            )
        node = Node(InputLayer(sizes[1:], name=name or "keras_tensor"), (), [sizes[1:]])
        super().__init__(sizes[1:], node)
        self.shape = sizes
        given = floatx() if dtype is None else dtype
        note_dtype(self, given)
        vars(self)["_dtype"] = standardize_dtype(getattr(given, "name", given))

    @property
    def dtype(self) -> str:
        """As it was said."""
        return vars(self)["_dtype"]
