"""Models whose `call` depends on numbers, so that symbolic tensors give no graph: it runs on arrays, each time anew.

Such a model has no plan: its layers compute one by one, and tapes go back through them. It trains in `fit` by the
step that is written for models with steps of their own.
"""

from __future__ import annotations

from inspect import signature
from typing import Any

import numpy as np

from minicnn.errors import ContractError
from minicnn.graph import Tensor
from minicnn.keras._eager import eager
from minicnn.keras._missing import NotInMinicnn
from minicnn.keras.tensorflow._functions import as_tensor
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
    _is_running: bool = False  # `call`, on arrays

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        has_options = hasattr(self, "call") and (len(args) > 2 or bool(kwargs.keys() - {"training", "inputs"}))
        if has_options and _has_tensors([list(args), kwargs]):
            return self.call(*args, **kwargs)  # whose layers become those of the model around
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
        return made

    def _run(self, args, kwargs) -> Any:
        """`call` on arrays."""
        args, kwargs = mapped(_as_given, list(args)), {name: mapped(_as_given, part) for name, part in kwargs.items()}
        names = signature(self.call).parameters
        if "training" not in names and not any(p.kind is p.VAR_KEYWORD for p in names.values()):
            kwargs.pop("training", None)
        self._losses_at_once, self._is_running = (), True
        try:
            return eager(self.call(*args, **kwargs))
        finally:
            self._is_running = False

    def add_loss(self, losses: Any, **options: Any) -> None:
        """Make what the model computes a part of its loss; see `minicnn.Model.add_loss`."""
        if self._is_running:
            self._losses_at_once += tuple(losses) if isinstance(losses, list | tuple) else (losses,)
        else:
            super().add_loss(losses, **options)  # type: ignore[misc]

    @property
    def losses(self) -> list[Any]:
        """The penalties of weights, and what layers added in the last call."""
        return [*super().losses, *self._losses_at_once]  # type: ignore[misc]

    def _begun(self, x: Any) -> Any:
        """Data, once it is known whether `call` runs with symbolic tensors or at once."""
        if self.graph is not None or self.has_own_steps or not hasattr(self, "call"):
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
