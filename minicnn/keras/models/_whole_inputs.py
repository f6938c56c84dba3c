"""Inputs of whole numbers or bools, ``Input(shape, dtype="int32")``: what comes in is cast, as Keras does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from minicnn.graph import Node, Tensor
from minicnn.keras._whole_numbers import as_whole, whole_dtype
from minicnn.training.streams import is_stream


class WholeInputs:
    """Mixin of Keras's models: arrays are cast before they are computed with, an outer model's tensors in its graph."""

    graph: Any

    def call_symbolically(self, tensors: Sequence[Tensor], training: bool | None = None) -> Node:
        """See `minicnn.layers.Layer.call_symbolically`."""
        kinds = self._kinds()
        if any(kinds) and len(kinds) == len(tensors) and all(isinstance(t, Tensor) for t in tensors):
            tensors = [as_whole(t, kind) if kind else t for t, kind in zip(tensors, kinds, strict=True)]
        return super().call_symbolically(tensors, training)  # type: ignore[misc]

    def call_on_arrays(self, arrays: Sequence[Any], training: bool = False) -> Any:
        """See `minicnn.Model.call_on_arrays`."""
        return super().call_on_arrays(self._cast(list(arrays)), training)  # type: ignore[misc]

    def fit(self, *args: Any, **kwargs: Any) -> Any:
        """Train; see `minicnn.Model.fit`."""
        validation = kwargs.get("validation_data")
        if isinstance(validation, list | tuple) and validation and any(self._kinds()):
            kwargs["validation_data"] = (self._cast(validation[0]), *validation[1:])
        return self._run_on_whole(super().fit, args, kwargs)  # type: ignore[misc]

    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        """Loss and metrics; see `minicnn.Model.evaluate`."""
        return self._run_on_whole(super().evaluate, args, kwargs)  # type: ignore[misc]

    def predict(self, *args: Any, **kwargs: Any) -> Any:
        """The outputs; see `minicnn.Model.predict`."""
        return self._run_on_whole(super().predict, args, kwargs)  # type: ignore[misc]

    def predict_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        """The outputs for one batch; see `minicnn.Model.predict_on_batch`."""
        return self._run_on_whole(super().predict_on_batch, args, kwargs)  # type: ignore[misc]

    def train_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        """One iteration; see `minicnn.Model.train_on_batch`."""
        return self._run_on_whole(super().train_on_batch, args, kwargs)  # type: ignore[misc]

    def test_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        """Loss and metrics of one batch; see `minicnn.Model.test_on_batch`."""
        return self._run_on_whole(super().test_on_batch, args, kwargs)  # type: ignore[misc]

    def _run_on_whole(self, method, args, kwargs):
        if any(self._kinds()):
            args = (self._cast(args[0]), *args[1:]) if args else args
            kwargs = {name: self._cast(value) if name == "x" else value for name, value in kwargs.items()}
        return method(*args, **kwargs)

    def _kinds(self) -> list[str | None]:
        """The dtype of each input of whole numbers or bools; None for others."""
        return [whole_dtype(tensor) for tensor in self.graph.inputs] if self.graph is not None else []

    def _cast(self, x: Any) -> Any:
        """Data of the inputs, in the form in which the model takes it; batches that come one by one are left alone."""
        if not any(kinds := self._kinds()) or x is None or is_stream(x):
            return x
        x = self.inputs_in_order(x)  # type: ignore[attr-defined]
        if isinstance(x, Mapping):
            of_names = {tensor.name: kind for tensor, kind in zip(self.graph.inputs, kinds, strict=True)}
            return {name: _whole(value, of_names.get(name)) for name, value in x.items()}
        if isinstance(x, list | tuple) and len(x) == len(kinds) and (len(kinds) > 1 or isinstance(x[0], np.ndarray)):
            return [_whole(value, kind) for value, kind in zip(x, kinds, strict=True)]
        return _whole(x, kinds[0]) if len(kinds) == 1 else x


def _whole(x, kind):
    """For "bool" whether numbers are not 0; floats without what is behind the point; all else as it is."""
    found = np.asarray(x) if isinstance(x, list | tuple) else x
    if kind is None or not isinstance(found, np.ndarray):
        return x
    if kind == "bool":
        return found != 0 if found.dtype.kind in "fiu" else x
    return np.trunc(found) if found.dtype.kind == "f" else x
