"""The gradient by a model's inputs: what it looks at, and what would change its mind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from minicnn.checks import check_positive_int, is_real
from minicnn.errors import ShapeError, unknown_name
from minicnn.keywords import suggests_keywords
from minicnn.models.compilable import CompilableNetwork
from minicnn.nested import is_plain, packed
from minicnn.plan.inside import by_inputs, gradient_plan, look_inside, pull_back
from minicnn.threads import compute_threads
from minicnn.training.formed import FormedIntake

if TYPE_CHECKING:
    from minicnn.training.arrays import Arrays


class Differentiable(CompilableNetwork):
    """A network whose gradients by its inputs can be asked for; base of the models.

    Parameters
    ----------
    inputs, outputs, name :
        As for `Network`.
    """

    @suggests_keywords
    def input_gradients(
        self,
        x: Any,
        target: ArrayLike | None = None,
        *,
        y: Arrays | None = None,
        sample_weight: Arrays | None = None,
        output: str | int | None = None,
        before_activation: bool = False,
        batch_size: int | None = None,
    ) -> Any:
        """How much each input value changes an output, or the loss: a gradient of each sample's shape.

        The model acts as in use (no dropout, no augmentation, moving averages), on its backend, and does not change. It
        need not be compiled, unless `y` is given.

        Parameters
        ----------
        x : array (N, …), or list or dict of arrays
            As for `predict`.
        target : int, array (N,) of int, or array of the output's shape, optional
            Which number of the output: a class for all samples, one for each of them, or a weight for every number,
            whose weighted sum it is then. Of an output (N, H, W, C) a class means the sum over all places. Default: of
            an output (N, C), the class that the model predicts; of (N, 1) or (N,), its only number.
        y : array, list or dict of arrays, optional
            Targets: then it is the gradient of the loss, with its penalties, of the batch of all samples, as
            `train_on_batch` has it.
        sample_weight : array (N,), optional
            Together with `y`.
        output : str or int, optional
            Which output of several: its name, or its number from 0 on.
        before_activation : bool, default False
            Whether the output is taken before a final softmax or sigmoid: the score of a class instead of its
            probability, whose gradient vanishes where the model is sure (Simonyan, Vedaldi, Zisserman: "Deep Inside
            Convolutional Networks", 2014).
        batch_size : int, default 32
            How many samples are computed at once; all of them with `y`.

        Returns
        -------
        array (N, …) of the model's dtype, or for several inputs a list or dict of them

        Raises
        ------
        ShapeError, ValueError, TypeError
            If `x` does not fit the model, the class or the output does not exist, or arguments exclude each other.
        NotCompiledError
            If there is `y`, but no loss.
        """
        if y is None and sample_weight is not None:
            raise ValueError("sample_weight counts in the loss: give y too, or a target of weights. Received: no y")
        if y is not None:
            _check_alone(target, output, before_activation)
            gradients = self._loss_gradients(x, y, sample_weight)
        else:
            x = self._build_from_data(x)
            arrays = FormedIntake.of(self).inputs_only(x).inputs
            inside = look_inside(self._built_graph(), [array.shape[1:] for array in arrays])
            weigh = weights_of(self, target, output, len(arrays[0]))
            size = check_positive_int("batch_size", 32 if batch_size is None else batch_size)
            gradients = pull_back(inside.graph, self.engine.backend, arrays, weigh, before_activation, size)
        is_one = len(gradients) == 1 and is_plain(self.input_structure)
        return gradients[0] if is_one else packed(self.input_structure, gradients)

    def _loss_gradients(self, x, y, sample_weight):
        """The gradients of the loss of one batch by the inputs."""
        self._need_compiled()
        batch = FormedIntake.of(self).batch(self._build_from_data(x), y, sample_weight)
        inside = look_inside(self._built_graph(), [array.shape[1:] for array in batch.inputs])
        engine = self.engine
        plan = gradient_plan(inside.graph, engine.backend, batch.count, self.logits_of(inside.graph, True))
        with compute_threads(engine.backend), engine.at_hand(batch) as batch:
            bound = plan.bind(batch.count)
            targets, weight = batch.load(engine.backend, bound.inputs)
            bound.forward()
            engine.losses(bound, targets, weight)
            bound.backward()
            return by_inputs(bound)


def _check_alone(target, output, before_activation):
    """What has no meaning for a loss is refused."""
    given = {"target": target is not None, "output": output is not None, "before_activation": before_activation}
    if any(given.values()):
        names = [name for name, is_given in given.items() if is_given]
        raise ValueError(
            "input_gradients is of the loss, with y, or of an output, with target, output or before_activation: leave "
            f"one of them out. Received: y and {', '.join(names)}"
        )


def weights_of(model: CompilableNetwork, target: ArrayLike | None, output: str | int | None, samples: int):
    """What `pull_back` wants to know of a number: `target` and `output` as for `input_gradients`.

    Parameters
    ----------
    model : CompilableNetwork
    target, output :
        See `Differentiable.input_gradients`.
    samples : int
        How many there are.

    Returns
    -------
    callable
        See `minicnn.plan.inside.Weigh`.
    """
    number = _output_number(model, output)
    shape = model.outputs[number].shape[1:]
    checked = None if target is None else _checked_target(target, samples, shape)
    if target is None and len(shape) > 1:
        raise ValueError(
            f"the output has the shape {(None, *shape)}, and so no one predicted class: say which with target=, a "
            "class number, or an array of the output's shape with a weight for each number. Received: target=None"
        )

    def weigh(heads, part):
        """One-hot rows, or the weights that were given, for one output; None for all others."""
        head = heads[number]  # (N, …, C)
        if checked is None and not shape:
            return [np.ones_like(head) if i == number else None for i in range(len(heads))]
        if checked is None:
            chosen = head.argmax(axis=-1)  # (N,)
        elif checked.ndim > 1 or not shape:
            return [checked[part] if i == number else None for i in range(len(heads))]
        else:
            chosen = checked[part]
        rows = np.zeros_like(head)
        rows[np.arange(len(head)), ..., chosen] = 1
        return [rows if i == number else None for i in range(len(heads))]

    return weigh


def _output_number(model, output) -> int:
    """The position of the output that was named."""
    names = model.output_names
    if output is None:
        if len(names) > 1:
            raise ValueError(
                f"model '{model.name}' has {len(names)} outputs: say which with output=, a name of {names} or its "
                "number. Received: output=None"
            )
        return 0
    if isinstance(output, str):
        if output not in names:
            raise unknown_name(f"output of model '{model.name}'", output, names)
        return names.index(output)
    if isinstance(output, bool) or not isinstance(output, int | np.integer) or not 0 <= output < len(names):
        raise ValueError(
            f"output is a name of {names}, or its number, 0 … {len(names) - 1}. Received: output={output!r}"
        )
    return int(output)


def _checked_target(target, samples, shape):
    """Class numbers (N,) of int64, or weights (N, *shape)."""
    array = np.asarray(target)
    if not is_real(array):
        raise TypeError(
            f"target is a class number, (N,) of them, or weights of the output's shape. Received: dtype {array.dtype}"
        )
    if array.shape == (samples, *shape):
        return array
    if array.ndim == 0 or array.shape == (samples, 1):
        array = np.broadcast_to(array.reshape(-1), (samples,))
    if array.shape != (samples,) or not shape:
        raise ShapeError(
            f"target is one class number, an array ({samples},) of them, or weights of the shape {(samples, *shape)} "
            f"of the output. Received: shape {array.shape}"
        )
    if not (array.dtype.kind in "iu" or (np.isfinite(array).all() and (array == np.floor(array)).all())):
        raise ValueError(f"target holds class numbers, integers from 0 on. Received: dtype {array.dtype}, {target!r}")
    array = array.astype(np.int64)
    if shape[-1] is not None and array.size and not (array.min() >= 0 and array.max() < shape[-1]):
        raise ValueError(
            f"the output has {shape[-1]} classes, 0 … {shape[-1] - 1}. Received: target with "
            f"{array.min() if array.min() < 0 else array.max()}"
        )
    return array
