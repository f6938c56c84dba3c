"""What all optimizers share: learning rate, clipping, weight decay, and the walk over a model's flat vectors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from minicnn.checks import check_number
from minicnn.hints import Config
from minicnn.optimizers import schedules
from minicnn.optimizers.extras import Extras
from minicnn.own_parts import unwritten
from minicnn.parameters import ALIGNMENT
from minicnn.registry import ANY, Configurable, Register, Registry, is_config

if TYPE_CHECKING:
    import weakref
    from types import SimpleNamespace

    from numpy.typing import DTypeLike

    from minicnn.models.model import Model

# What Keras no longer takes either → what to write instead.
OLD_ARGUMENTS = {
    "lr": "Keras 1 and 2 used that name, write `learning_rate`",
    "decay": "it no longer exists, pass learning_rate=schedules.InverseTimeDecay(rate, 1, decay)",
}


class Optimizer(Extras, Configurable):
    """Base class of all optimizers.

    A subclass states its rule as data, in `kernel`, `slots`, `rate` and `numbers`; one whose rule is not an op of the
    backends names its state vectors in `slots` and writes `formula`.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule
    weight_decay : float, optional
        In every iteration, weights are first reduced by ``learning_rate * weight_decay`` of themselves (Loshchilov and
        Hutter: "Decoupled weight decay regularization", 2019).
    clipnorm : float, optional
        Scale the gradient of each weight array down to at most this Euclidean norm.
    clipvalue : float, optional
        Limit each element of the gradient to [-clipvalue, clipvalue].
    global_clipnorm : float, optional
        Scale all gradients together down to at most this norm (Pascanu et al.: "On the difficulty of training recurrent
        neural networks", 2013).
    **options
        `name`, `use_ema`, `ema_momentum`, `ema_overwrite_frequency`, `loss_scale_factor`,
        `gradient_accumulation_steps` and `learning_rate_multipliers`: see `minicnn.optimizers.extras.Extras`.

    Attributes
    ----------
    learning_rate, lr : float or LearningRateSchedule
        May be changed between iterations; `lr` is Keras 2's name for it.
    iterations : int
        Number of iterations (updates of the weights) done.
    owner : weak reference to a model, or None
        The model whose state the optimizer has, once training started.
    kernel : str or None
        Name of the op that is the rule: ``op(theta, grad, *state vectors, rate, *numbers)``.
    slots : tuple of str
        Names of the state vectors.
    keras_slots : tuple of str
        Their names in the files of tf.keras before 2.11.

    Raises
    ------
    ValueError
        If a number is outside its range, an argument of Keras has a value that is not supported, or more than one of
        the three clips is given.
    TypeError
        For an unknown argument.
    """

    kernel: str | None = None
    slots: tuple[str, ...] | property = ()
    keras_slots: tuple[str, ...] = ()
    keras_only: Mapping[str, object] = MappingProxyType({"jit_compile": ANY})

    def __init__(
        self,
        learning_rate: schedules.LearningRate,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        **options: object,
    ) -> None:
        for name in options.keys() & OLD_ARGUMENTS.keys():
            raise TypeError(
                f"{type(self).__name__} has no argument `{name}`: {OLD_ARGUMENTS[name]}. "
                f"Received: {name}={options[name]!r}"
            )
        self.check_options(self.take_extras(options))
        self.learning_rate = learning_rate
        self.weight_decay: float | None = _none_or_number("weight_decay", weight_decay, minimum=0)
        self.clipnorm: float | None = _none_or_number("clipnorm", clipnorm, above=0)
        self.clipvalue: float | None = _none_or_number("clipvalue", clipvalue, above=0)
        self.global_clipnorm: float | None = _none_or_number("global_clipnorm", global_clipnorm, above=0)
        if sum(clip is not None for clip in (clipnorm, clipvalue, global_clipnorm)) > 1:
            raise ValueError(
                "give only one of `clipnorm`, `clipvalue` and `global_clipnorm`. "
                f"Received: {clipnorm=}, {clipvalue=}, {global_clipnorm=}"
            )
        self.iterations: int = 0
        self.owner: weakref.ref[Model] | None = None
        self._segments = None  # the list that _stretches was made from
        self._scratch = self._scratch_kind = None

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"owner": None, "_segments": None, "_scratch": None, "_scratch_kind": None}

    # ------------------------------------------------------------------------------------------ the learning rate

    @property
    def learning_rate(self) -> schedules.LearningRate:
        """The number, or the schedule, that was given."""
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, value: schedules.LearningRate | Config) -> None:
        if is_config(value):
            value = schedules.get(value)
        if not isinstance(value, schedules.LearningRateSchedule):
            value = check_number("learning_rate", value)
        self._learning_rate = value

    @property
    def lr(self) -> schedules.LearningRate:
        """The same as `learning_rate`."""
        return self.learning_rate

    @lr.setter
    def lr(self, value: schedules.LearningRate | Config) -> None:
        self.learning_rate = value

    @property
    def current_learning_rate(self) -> float:
        """The learning rate of the next iteration."""
        return self.factor(self._learning_rate)

    # ------------------------------------------------------------------------------------------ the rule, as data

    def rate(self, learning_rate: float, iteration: int) -> float:
        """What the op multiplies with in an iteration, counted from 0: the learning rate, maybe with corrections."""
        return learning_rate

    def numbers(self) -> tuple[float, ...]:
        """The op's further arguments."""
        return ()

    def first_value(self, slot: str) -> float:
        """What a state vector starts from."""
        return 0.0

    @property
    def is_data(self) -> bool:
        """Whether `kernel`, `slots`, `rate` and `numbers` are the whole rule: nobody has written another `apply`."""
        rule = getattr(type(self).apply, "__wrapped__", type(self).apply)
        return self.kernel is not None and rule is Optimizer.apply and not self.has_extras

    # ----------------------------------------------------------------------------------------------- an iteration

    def create_state(
        self, size: int, dtype: DTypeLike, zeros: Callable[[tuple[int, ...], DTypeLike], np.ndarray]
    ) -> dict[str, np.ndarray]:
        """The optimizer's state for a model, before the first iteration.

        Parameters
        ----------
        size : int
            Length of theta.
        dtype : str or numpy dtype
        zeros : callable
            The backend's: ``zeros(shape, dtype)`` returns an array of zeros.

        Returns
        -------
        dict
            Name from `all_slots` → vector (size,).
        """
        state = {name: zeros((size,), dtype) for name in self.all_slots}
        for name, vector in state.items():
            if first := self.initial(name):
                vector += first
        return state

    def update(
        self,
        theta: np.ndarray,
        grad: np.ndarray,
        state: dict[str, np.ndarray],
        segments: Sequence[slice],
        ops: SimpleNamespace,
        learning_rate: float | np.ndarray | None = None,
        rate: object = None,
    ) -> None:
        """One iteration: clip the gradient, decay the weights, apply the rule; in this order, which is Keras's.

        Parameters
        ----------
        theta : vector
            All weights; updated in place.
        grad : vector like `theta`
            Their gradients; clipping changes it.
        state : dict
            What `create_state` returned; updated in place.
        segments : list of slice
            The part of theta of each trainable weight, in increasing order. Nothing else changes, but for the padding
            of fewer than `ALIGNMENT` elements between neighbours, which holds zeros in theta and grad. Pass the same
            list in every iteration: what follows from it is computed once.
        ops : namespace
            A backend's ops, e.g. ``minicnn.backends.reference.ops``.
        learning_rate : 0-d array, optional
            On a GPU: where the learning rate lies. Default: `current_learning_rate`.
        rate : object, optional
            On a GPU: where what `rate` returns lies, for a rule that `is_data`. Default: it is computed here.
        """
        if segments is not self._segments:
            self._segments, self._stretches = segments, merge_segments(segments)
            self._rated = self.rated(segments, merge_segments)
            self._decaying = self.rated(self.decaying(segments), merge_segments)
        if self.gradient_accumulation_steps is None or self.accumulate(grad, state):
            learning_rate = self.current_learning_rate if learning_rate is None else learning_rate
            self._move(theta, grad, state, ops, learning_rate, rate)
        if self.use_ema:
            self.average(theta, state, self._stretches)
        self.iterations += 1

    def _move(self, theta, grad, state, ops, learning_rate, rate):
        """Clip, decay, and apply the rule."""
        self._clip(grad)
        if self.weight_decay:
            self._decay(theta, learning_rate * self.weight_decay)
        vectors = [state[name] for name in self.slots]
        for stretch, multiplier in self._rated:
            arrays = theta[stretch], grad[stretch], [v[stretch] for v in vectors]
            if rate is None:
                self.apply(ops, *arrays, learning_rate * self.factor(multiplier))
            else:
                self._launch(ops, *arrays, rate)

    def apply(
        self,
        ops: SimpleNamespace,
        theta: np.ndarray,
        grad: np.ndarray,
        slots: Sequence[np.ndarray],
        learning_rate: float,
    ) -> None:
        """The rule, for one stretch of the vectors.

        Parameters
        ----------
        ops : namespace
        theta, grad : vectors
        slots : list of vectors
            The state's, in the order of `self.slots`.
        learning_rate : float
        """
        rate = self.rate(learning_rate, self.updates)
        if self.kernel is None:
            self.formula(theta, grad, slots, rate)
        else:
            self._launch(ops, theta, grad, slots, rate)

    def formula(self, theta: np.ndarray, grad: np.ndarray, slots: Sequence[np.ndarray], rate: float) -> None:
        """A rule that is no op: move theta, and the state vectors `slots`, in place. `rate` is what `rate` returned."""
        raise unwritten(self, "apply")

    def _launch(self, ops, theta, grad, slots, rate):
        """Call the op; one whose rule has no state takes None for it."""
        getattr(ops, self.kernel)(theta, grad, *(slots or (None,)), rate, *self.numbers())

    def _decay(self, theta, factor):
        """theta -= factor * theta, on the trainable weights."""
        for stretch, multiplier in self._decaying:
            scratch = self._scratch_like(theta)[stretch]
            # Not theta *= 1 - factor: in float32, rounding 1 - factor would be off by up to 1 % of a factor of 4e-6.
            np.multiply(theta[stretch], factor * self.factor(multiplier), out=scratch)
            theta[stretch] -= scratch

    # -------------------------------------------------------------------------------------------------- clipping

    def _clip(self, grad):
        """Clip the gradient in place, in the way that was asked for."""
        if self.clipvalue is not None:
            for stretch in self._stretches:
                np.clip(grad[stretch], -self.clipvalue, self.clipvalue, out=grad[stretch])
        elif self.clipnorm is not None:
            for segment in self._segments:
                _shrink(grad[segment], self._squared_norm(grad, segment), self.clipnorm)
        elif self.global_clipnorm is not None:
            total = sum(self._squared_norm(grad, stretch) for stretch in self._stretches)
            for stretch in self._stretches:
                _shrink(grad[stretch], total, self.global_clipnorm)

    def _squared_norm(self, grad, part):
        """The sum of squares of one part of the gradient.

        Not a BLAS dot product, whose last bits depend on the number of threads.
        """
        scratch = self._scratch_like(grad)[part]
        np.multiply(grad[part], grad[part], out=scratch)
        return scratch.sum()

    def _scratch_like(self, vector):
        """A vector to compute in, kept from one iteration to the next."""
        kind = type(vector), vector.dtype, vector.shape, getattr(vector, "device", None)
        if kind != self._scratch_kind:  # otherwise it stays where it is: graphs on a GPU hold its address
            self._scratch, self._scratch_kind = np.empty_like(vector), kind
        return self._scratch

    # ---------------------------------------------------------------------------------------------------- config

    def get_config(self) -> dict[str, object]:
        """The constructor's arguments, with which `from_config` makes an equal optimizer (without its state)."""
        common = ("weight_decay", "clipnorm", "clipvalue", "global_clipnorm")
        return super().get_config() | {name: getattr(self, name) for name in common} | self.extras_config()


def merge_segments(segments: Sequence[slice]) -> list[slice]:
    """Join neighbouring slices into stretches, so that fewer calls of ops do.

    Only across gaps smaller than `ALIGNMENT`: these are padding, while the gap that a frozen weight leaves, however
    small it is, is at least `ALIGNMENT` wide.
    """
    stretches = []
    for segment in segments:
        if stretches and segment.start - stretches[-1].stop < ALIGNMENT:
            stretches[-1] = slice(stretches[-1].start, segment.stop)
        else:
            stretches.append(segment)
    return stretches


def _shrink(grad, squared_norm, limit):
    """Scale `grad` in place so that a norm of √squared_norm becomes at most `limit`."""
    grad *= limit / np.maximum(np.sqrt(squared_norm), limit)


def _none_or_number(name, value, **limits):
    """`value` as a float inside the limits, or None."""
    return None if value is None else check_number(name, value, **limits)


_registry = Registry("optimizer", Optimizer)
register: Register = _registry.register


def get(identifier: str | Optimizer | type[Optimizer] | Mapping[str, object]) -> Optimizer:
    """An optimizer from a name such as 'adam', an instance, a class or a config.

    Parameters
    ----------
    identifier : str, Optimizer, class, dict
        A name, an object, its class, or a configuration.

    Raises
    ------
    ValueError, TypeError
        For an unknown name, for anything else.
    """
    return _registry.get(identifier)
