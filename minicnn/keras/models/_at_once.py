"""Models whose `call` depends on numbers, so that symbolic tensors give no graph: it runs on arrays, each time anew.

Such a model has no plan: its layers compute one by one, and tapes go back through them. It trains in `fit` by the
step that is written for models with steps of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from inspect import signature
from types import MappingProxyType
from typing import Any

import numpy as np

from minicnn.errors import ContractError
from minicnn.graph import Tensor
from minicnn.keras._as_tensor import as_tensor
from minicnn.keras._call_forms import is_input
from minicnn.keras._called import take_added
from minicnn.keras._eager import eager
from minicnn.keras._missing import NotInMinicnn
from minicnn.keras._taped import as_numbers, nothing_recorded
from minicnn.keras._taped_calls import forget_added, within
from minicnn.layers.added_loss import Measured
from minicnn.models.again import called_again
from minicnn.models.subclassing import layers_in
from minicnn.nested import leaves, mapped
from minicnn.settings import floatx
from minicnn.training.streams import first_batch
from minicnn.user_warnings import warn_user

_UNTRACED = (ContractError, NotInMinicnn, NotImplementedError, TypeError, ValueError)


class AtOnce:
    """Mixin of Keras's models.

    Attributes
    ----------
    runs_at_once : bool
        Whether `call` runs on arrays, as it could not be run with symbolic tensors.
    """

    runs_at_once: bool = False
    _losses_at_once: tuple[Any, ...] = ()
    measured: Mapping[str, Measured] = MappingProxyType({})  # what `call` has measured on arrays, by name
    _is_running: bool = False  # `call`, on arrays
    _is_in_training: bool = False  # while a model that runs at once, of which this is a part, does so in training

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        is_more = len(args) > 2 or bool(kwargs.keys() - {"training", "inputs"}) or any(map(is_input, args[1:]))
        has_options = hasattr(self, "call") and is_more
        if has_options and _has_tensors([list(args), kwargs]):
            return self.call(*args, **kwargs)  # whose layers become those of the model around
        if self._is_in_training and len(args) == 1:
            kwargs = {"training": True} | kwargs
        if self.runs_at_once or has_options:
            self.has_own_steps = self.has_own_steps or self.graph is None
            return self._run(args, kwargs)
        if self.graph is not None or not hasattr(self, "call") or _has_tensors([list(args), kwargs]):
            return super().__call__(*args, **kwargs)  # type: ignore[misc]
        try:
            return super().__call__(*args, **kwargs)  # type: ignore[misc]
        except _UNTRACED as problem:
            if self.graph is not None:
                raise
            return self._tried(args, kwargs, problem)

    def build(self, input_shape: Any = None) -> None:
        """Make the weights for inputs of this shape; where `call` gives no graph, it runs on zeros."""
        if self.runs_at_once and self.weights:  # type: ignore[attr-defined]
            return
        try:
            super().build(input_shape)  # type: ignore[misc]
        except _UNTRACED as problem:
            if self.graph is not None or not isinstance(input_shape, list | tuple):
                raise
            shapes = input_shape if isinstance(input_shape[0], list | tuple) else [input_shape]
            if any(None in tuple(shape)[1:] for shape in shapes):
                raise
            zeros = [np.zeros((1, *tuple(shape)[1:]), floatx()) for shape in shapes]
            self._tried([zeros if shapes is input_shape else zeros[0]], {}, problem)

    def _tried(self, args, kwargs, problem) -> Any:
        """What `call` gives for arrays; if it fails there too, `problem` is raised, which said so first."""
        try:
            made = self._run(args, kwargs)
        except Exception:
            raise problem from None
        warn_user(
            f"call of model '{self.name}' ({type(self).__name__}) cannot be run with symbolic tensors ({problem}); it "
            "runs on arrays, layer by layer, which is slower, and the model has no graph to show, save or export"
        )
        self.runs_at_once = self.has_own_steps = True
        return self._run(args, kwargs) if self.takes_what_waits() else made  # type: ignore[attr-defined]

    def _run(self, args, kwargs) -> Any:
        """`call` on arrays."""
        args, kwargs = mapped(_as_given, list(args)), {name: mapped(_as_given, part) for name, part in kwargs.items()}
        is_in_training = kwargs.get("training") or ("training" not in kwargs and len(args) == 2 and args[1] is True)
        names = signature(self.call).parameters
        if "training" not in names and not any(p.kind is p.VAR_KEYWORD for p in names.values()):
            kwargs.pop("training", None)
        made = self._called_once(args, kwargs, is_in_training)
        return self._called_once(args, kwargs, is_in_training) if self.takes_what_waits() else made  # type: ignore[attr-defined]

    def _called_once(self, args, kwargs, is_in_training):
        """What `call` gives; its layers act as in training if it does, unless it tells them."""
        self._losses_at_once, self._is_running = (), True
        for part in within(self)[1:]:  # what its layers added counts for one call, whether this one reaches them or not
            forget_added(part)
        parts = list(dict.fromkeys(layers_in(list(vars(self).values())))) if is_in_training else []
        names = ["_is_in_training" if isinstance(part, AtOnce) else "acts_on_arrays" for part in parts]
        before = [vars(part).get(name) for part, name in zip(parts, names, strict=True)]
        for part, name in zip(parts, names, strict=True):
            vars(part)[name] = True
        try:
            return eager(self.call(*args, **kwargs))
        finally:
            self._is_running = False
            for part, name, value in zip(parts, names, before, strict=True):
                vars(part).pop(name) if value is None else vars(part).update({name: value})

    def _need_graph(self, method: str) -> None:
        if self.runs_at_once:
            raise NotImplementedError(
                f"model '{self.name}' runs on arrays, as its call depends on numbers, so that it has no graph to "
                f"{method}: save_weights and load_weights keep its weights. Received: a call of {method}"
            )

    def add_loss(self, losses: Any, **options: Any) -> None:
        """Make what the model computes a part of its loss; see `minicnn.Model.add_loss`."""
        if self._is_running:
            added = list(losses) if isinstance(losses, list | tuple) else [losses]
            self._losses_at_once += tuple(take_added(self, added, 0))  # `metrics` has those in attributes
        else:
            added_later = import_module("minicnn.keras._added_later")  # which needs models of `keras.backend`
            super().add_loss(added_later.as_scalars(losses), **options)  # type: ignore[misc]

    @property
    def losses(self) -> list[Any]:
        """The penalties of weights, and what layers added in the last call."""
        return [*super().losses, *eager(self._losses_at_once)]  # type: ignore[misc]

    def evaluate(self, x: Any = None, *args: Any, **kwargs: Any) -> Any:
        """See `minicnn.Model.evaluate`."""
        x, args, kwargs = as_numbers((x, args, kwargs))
        with nothing_recorded():
            return super().evaluate(self._begun(x), *args, **kwargs)  # type: ignore[misc]

    def predict(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """See `minicnn.Model.predict`."""
        x = as_numbers(x)
        with nothing_recorded():
            return super().predict(self._begun(x), *args, **kwargs)  # type: ignore[misc]

    def train_on_batch(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """See `minicnn.Model.train_on_batch`."""
        return super().train_on_batch(self._begun(x), *args, **kwargs)  # type: ignore[misc]

    def test_on_batch(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """See `minicnn.Model.test_on_batch`."""
        x, args, kwargs = as_numbers((x, args, kwargs))
        with nothing_recorded():
            return super().test_on_batch(self._begun(x), *args, **kwargs)  # type: ignore[misc]

    def predict_on_batch(self, x: Any) -> Any:
        """See `minicnn.Model.predict_on_batch`."""
        if not self.runs_at_once and (outputs := called_again(self, [x])) is not None:  # by kernels: no tape records
            return self.outputs_in_form(outputs)
        x = as_numbers(x)
        with nothing_recorded():
            x = self._begun(x)
            if self.runs_at_once:
                return mapped(np.asarray, self(x, training=False))
            return mapped(np.asarray, super().predict_on_batch(x))  # type: ignore[misc]

    def _begun(self, x: Any) -> Any:
        """Data, once it is known whether `call` runs with symbolic tensors or at once."""
        if x is None or self.graph is not None or self.has_own_steps or not hasattr(self, "call"):
            return x
        x, first = first_batch(x)
        try:
            self._build_from_data(first)
        except _UNTRACED as problem:
            if self.graph is not None:
                raise
            self._tried((mapped(lambda part: part[:2], first),), {"training": False}, problem)
        return x


def _has_tensors(structure):
    return any(isinstance(part, Tensor) for part in leaves(structure))


def _as_given(x):
    """Arrays as tensors in TensorFlow's sense, floats with the precision of models."""
    if type(x) is not np.ndarray:
        return x
    return as_tensor(x, floatx() if x.dtype == np.float64 else None)
