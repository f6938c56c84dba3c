"""``tf.GradientTape``: what is computed while a tape records can be gone back through.

A tape keeps no list of operations. Values that depend on what is watched are `Taped`: they know what they were computed
of, and when. A gradient is a walk from the target back through those that were made while the tape recorded. A model
that is called is one such value, whatever it is made of (`minicnn.keras._taped_calls`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn, Self

import numpy as np

from minicnn.data.elements import EagerArray
from minicnn.differentiation import Recorded, met, value_of
from minicnn.keras._taped import Taped, Watched, is_recording, leaf_of, recording, serials, watched_leaf
from minicnn.nested import leaves, packed
from minicnn.parameters import Weight
from minicnn.reverse_mode import accumulated, in_order
from minicnn.user_warnings import warn_user


class GradientTape:
    """Records what is computed inside ``with``, so that gradients of it can be asked for.

    Parameters
    ----------
    persistent : bool, default False
        Whether `gradient` may be called more than once.
    watch_accessed_variables : bool, default True
        Whether weights and variables are watched without being told, but for those made with ``trainable=False``.
    """

    def __init__(self, persistent: bool = False, watch_accessed_variables: bool = True) -> None:
        self._persistent, self._watches_all = persistent, watch_accessed_variables
        self._spans: list[list[float]] = []  # from which serial number to which it recorded
        self._seen: dict[Weight, None] = {}
        self._watched: set[int] = set()  # ids of leaves, which `_kept` keeps alive
        self._kept: list[Any] = []
        self._inside: dict[int, Taped] = {}  # leaves that calls of layers read, which do not own them
        self._left_out: dict[int, Taped] = {}  # leaves of weights of what was called when it was frozen as a whole
        self._runs: list[Any] = []
        self._is_used = False

    def __enter__(self) -> Self:
        self._resume()
        return self

    def __exit__(self, *error: object) -> None:
        if self in recording.tapes:
            self._pause()

    def _resume(self):
        if self in recording.tapes:
            raise ValueError("this tape records already. Received: a tape that is entered twice")
        self._spans.append([next(serials), float("inf")])
        recording.tapes.append(self)

    def _pause(self):
        recording.tapes.remove(self)
        self._spans[-1][1] = next(serials)

    @contextmanager
    def stop_recording(self) -> Iterator[None]:
        """Inside, this tape does not record."""
        self._pause()
        try:
            yield
        finally:
            self._resume()

    def reset(self) -> None:
        """Forget everything that was recorded, and what was to be watched."""
        self._end()
        self._seen, self._watched, self._kept, self._inside, self._left_out = {}, set(), [], {}, {}
        self._is_used, is_on = False, self in recording.tapes
        self._spans = [[next(serials), float("inf")]] if is_on else []

    def watch(self, tensor: Any) -> None:
        """Have gradients by a tensor, a variable, or a list of them, computed; whole numbers have none.

        Raises
        ------
        ValueError
            For what is no tensor: `tf.convert_to_tensor` and `tf.constant` make one.
        """
        for part in leaves(tensor):
            if getattr(part, "dtype", np.dtype(float)).kind not in "fc":
                warn_user(f"a tape watches floating-point numbers; others have no gradient. Received: {part.dtype}")
                continue
            leaf = watched_leaf(part)
            self._watched.add(id(leaf))
            self._kept.append(leaf)

    def notices(self, weight: Weight) -> bool:
        """Keep that a weight was read; whether it is watched."""
        if weight.dtype.kind != "f":
            return False
        is_watched = (self._watches_all and weight.has_gradient) or self.was_told(weight)
        if is_watched:
            self._seen[weight] = None
        return is_watched

    def was_told(self, weight: Weight) -> bool:
        """Whether a weight is watched by `watch`."""
        return bool(self._watched) and id(leaf_of(weight)) in self._watched

    def knows(self, node: Taped) -> bool:
        """Whether a node was made since the tape began, or is watched."""
        return id(node) in self._watched or (bool(self._spans) and node.serial >= self._spans[0][0])

    def read_inside(self, leaf: Taped) -> None:
        """Keep that the call of a layer has read what is not the layer's, so that no gradient goes through it."""
        self._inside[id(leaf)] = leaf

    def leave_out(self, weights: Iterable[Taped]) -> None:
        """Keep that a call of what is frozen, of arrays, is not on the tape."""
        if self._watches_all:
            self._left_out.update({id(leaf): leaf for leaf in weights})

    def watched_variables(self) -> tuple[Weight, ...]:
        """The weights and variables that were read."""
        return tuple(self._seen)

    def keep(self, run: Any) -> None:
        """Have a run kept until this tape ends."""
        run.holders += 1
        self._runs.append(run)

    def gradient(
        self, target: Any, sources: Any, output_gradients: Any = None, unconnected_gradients: Any = "none"
    ) -> Any:
        """The gradient of the sum of `target` by `sources`.

        Parameters
        ----------
        target : tensor, or list or dict of them
            Several are added.
        sources : tensor, variable, weight, or nested lists and dicts of them
        output_gradients : optional
            What each target is multiplied with, before the sum; like `target`.
        unconnected_gradients : {"none", "zero"}
            What stands for the gradient by a source on which the target does not depend: None, or zeros.

        Returns
        -------
        array like each source, in the form of `sources`

        Raises
        ------
        RuntimeError
            If it is asked a second time, and the tape is not persistent.
        NotImplementedError
            If the target is computed of a gradient of what has no gradient twice, or a source is watched state, or a
            weight of what was called on arrays when it was frozen as a whole.
        TypeError
            If the target is a plain number, which has no history, or a layer's call read a source beside its inputs.
        """
        if self._is_used and not self._persistent:
            raise RuntimeError(
                "a tape gives gradients once: GradientTape(persistent=True) gives more. Received: a second call of "
                "gradient"
            )
        self._is_used = True
        if not self._persistent and self in recording.tapes:
            self._pause()
        given = leaves(sources)
        self._check_not_inside(given)
        pairs = list(zip(leaves(target), _seeds(target, output_gradients), strict=True))
        targets = [(node, seed) for t, seed in pairs if (node := self._target(t)) is not None]
        found = self._found(targets, [self._source(x) for x in given])
        if not self._persistent:
            self._end()
        zero = getattr(unconnected_gradients, "value", unconnected_gradients) == "zero"
        return packed(sources, [_as_given(g, x, zero) for g, x in zip(found, given, strict=True)])

    def _found(self, targets, sources) -> list[Any]:
        """The gradients by the sources; where a tape records, as values on it."""
        if not is_recording():
            return self._walk(targets, sources, lambda node: self._parents(node))
        seeds = [(node, seed if isinstance(seed, Recorded) else Taped(seed)) for node, seed in targets]
        try:
            return self._walk(seeds, sources, self._parents_again)
        except NotImplementedError as error:  # which is said if somebody asks
            plain = self._walk([(t, value_of(g)) for t, g in seeds], sources, self._parents)
            last = [(target, _refuse(error)) for target, _ in targets]
            return [None if g is None else Taped(g, last) for g in plain]

    def _check_not_inside(self, sources):
        """Raise `TypeError` for a source whose way to the target may lead through a layer that does not own it."""
        for x in sources:
            leaf = leaf_of(x) if isinstance(x, Weight) else getattr(x, "leaf", None)
            if id(leaf) in self._left_out:
                raise NotImplementedError(
                    "what a frozen model or layer computes of arrays is not on a tape: tape.watch(model.weights) before"
                    f" the call has it there. Received: a gradient by '{x.path}', which had trainable=False in a call"
                )
            if id(leaf) in self._inside:
                if isinstance(x, Weight) and not x.has_gradient and hasattr(x.layer, "weights"):
                    raise NotImplementedError(
                        "calls of models and layers have no gradients by moving averages and other state: leave "
                        f"'{x.path}' out of the sources. Received: a gradient by what is no trainable weight"
                    )
                raise TypeError(
                    "the call of a layer reads what is neither its input nor its weight, so that no gradient goes "
                    "through it: make a variable an attribute of the layer (self.scale = tf.Variable(…) in a Layer of "
                    "minicnn.keras), and give a tensor to the call as another input. Received: a gradient by "
                    f"{x.path if isinstance(x, Weight) else 'a tensor'} of shape {x.shape}"
                )

    def _source(self, x) -> Taped | None:
        """Where gradients by `x` add up; None if this tape does not watch it."""
        if isinstance(x, Weight):
            return leaf_of(x) if x in self._seen else None
        x = x.leaf if isinstance(x, Watched) else x
        return x if isinstance(x, Taped) and self.knows(x) else None

    def _target(self, x) -> Recorded | None:
        """Where gradients of `x` begin; None if no tape knows it."""
        if isinstance(x, float | int | np.generic):
            raise TypeError(
                "a tape gives gradients of tensors; a plain number has no history: float(loss), loss.numpy() and "
                "loss.item() leave the tape, models of minicnn itself are not on it, as those of minicnn.keras are, "
                "and what frozen layers compute is not either, so that trainable=True comes before the `with`. "
                f"Received: target={x!r}"
            )
        if isinstance(x, Weight):
            self.notices(x)
        return x if isinstance(x, Recorded) else self._source(x)

    def _parents(self, node):
        """What a node was computed of, while this tape recorded."""
        if not isinstance(node, Taped):  # numbers that were drawn
            return ()
        return node.parents if any(first <= node.serial < end for first, end in self._spans) else ()

    def _parents_again(self, node):
        """The same, with ways back that are recorded."""
        if isinstance(node, Taped) and self._parents(node):
            node.open(self)
        return [(parent, _checked(back)) for parent, back in self._parents(node)]

    def _walk(self, targets, sources, parents_of) -> list[Any]:
        """The gradients by the sources; None where there is none."""
        order = in_order([t for t, _ in targets], parents_of)
        useful = {id(x) for x in sources if x is not None}
        parents = {}
        for node in reversed(order):  # each behind what it was computed of
            parents[id(node)] = [(p, back) for p, back in parents_of(node) if id(p) in useful]
            if parents[id(node)]:
                useful.add(id(node))
        seeds = [(t, seed) for t, seed in targets if id(t) in useful]
        grads = accumulated(seeds, order, lambda node: parents[id(node)])
        return [None if x is None else grads.get(id(x)) for x in sources]

    def _end(self):
        for run in self._runs:
            run.holders -= 1
            if not run.holders:
                run.end()
        self._runs = []

    def __del__(self) -> None:
        self._end()

    def jacobian(self, target: Any, sources: Any, **options: Any) -> Any:
        """The derivative of each number of `target` by `sources`: (…target, …source).

        Parameters
        ----------
        target : tensor
        sources : as for `gradient`
        **options
            unconnected_gradients, as for `gradient`; others change nothing.
        """
        shape = np.shape(value_of(met(target)))
        rows = np.eye(int(np.prod(shape)))
        return self._stacked(target, sources, rows.reshape(-1, *shape), 0, options)

    def batch_jacobian(self, target: Any, source: Any, **options: Any) -> Any:
        """The derivative of each number of a sample by the same sample of `source`: (N, …target, …source).

        Samples are taken as independent: what one of `target` depends on of the others' is added.

        Parameters
        ----------
        target : tensor (N, …)
        source : tensor (N, …), or nested lists and dicts of them
        **options
            As for `jacobian`.
        """
        count, *inner = np.shape(value_of(met(target)))
        rows = np.eye(int(np.prod(inner))).reshape(-1, 1, *inner)
        return self._stacked(target, source, np.repeat(rows, count, axis=1), 1, options)

    def _stacked(self, target, sources, seeds, axis, options):
        """The gradients for all seeds (K, …target), side by side along an axis."""
        value, was_persistent = value_of(met(target)), self._persistent
        self._persistent = True
        zero = {"unconnected_gradients": options.get("unconnected_gradients", "none")}
        seeds = seeds.astype(value.dtype)
        each = [leaves(self.gradient(target, sources, seed, **zero)) for seed in seeds]
        self._persistent = was_persistent
        parts, shape = zip(*each, strict=True), np.shape(value)
        made = [None if p[0] is None else _reshaped(np.stack(p, axis), shape + p[0].shape[axis:]) for p in parts]
        if not self._persistent:
            self._end()
        return packed(sources, made)


def _reshaped(x, shape):
    made = np.reshape(x, shape)
    return made.view(EagerArray) if isinstance(made, np.ndarray) else made


def _seeds(target, output_gradients) -> list[Any]:
    """What each target is multiplied with."""
    targets = leaves(target)
    if output_gradients is None:
        return [np.ones_like(value_of(met(t))) for t in targets]
    return [_spread(met(g), np.shape(value_of(met(t)))) for g, t in zip(leaves(output_gradients), targets, strict=True)]


def _spread(gradient, shape):
    return gradient if isinstance(gradient, Recorded) and gradient.shape == shape else np.broadcast_to(gradient, shape)


def _as_given(gradient, source, zero) -> Any:
    """A gradient like its source."""
    if gradient is None:
        return np.zeros(source.shape, source.dtype).view(EagerArray) if zero else None
    if not isinstance(gradient, Recorded):
        return np.array(gradient, source.dtype).reshape(source.shape).view(EagerArray)
    made = gradient.astype(source.dtype)
    return made if made.shape == source.shape else np.reshape(made, source.shape)


def _checked(back) -> Any:
    """A way back, which gives what is recorded of what is recorded."""

    def again(gradient):
        try:
            made, cause = back(gradient), None
        except TypeError as error:  # of a function that takes arrays alone
            made, cause = None, error
        if not isinstance(made, Recorded):
            what = back.__qualname__.split(".")[0].strip("_")
            raise NotImplementedError(
                f"the gradient of '{what}' has no gradient of its own (second order): write it with operators and "
                "functions of tf or keras.ops. Received: a gradient that is recorded"
            ) from cause
        return made

    return again


def _refuse(error) -> Any:
    def refused(gradient: Any) -> NoReturn:
        raise error

    return refused
