"""What older Kerases were told by `compile`, what callbacks were told of it; and layers that are taken off."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial, wraps
from inspect import signature
from types import FunctionType
from typing import Any, Self, SupportsIndex

import numpy as np

from minicnn.callbacks import Callback
from minicnn.keras import losses, metrics, optimizers
from minicnn.keras._in_order import is_asked
from minicnn.keras._stateful_metrics import with_state
from minicnn.keras._warning import warn_once
from minicnn.keras.tensorflow.metrics import counting
from minicnn.losses.function_loss import FunctionLoss
from minicnn.nested import leaves, mapped
from minicnn.optimizers import Optimizer
from minicnn.own_parts import check_takes
from minicnn.step import Changes
from minicnn.training.outputs import per_output
from minicnn.user_warnings import warn_user

_NO_EFFECT = ""
NOT_USED: dict[str, str] = {
    "run_eagerly": _NO_EFFECT,
    "jit_compile": _NO_EFFECT,
    "steps_per_execution": _NO_EFFECT,
    "experimental_steps_per_execution": _NO_EFFECT,
    "auto_scale_loss": _NO_EFFECT,
    "class_mode": _NO_EFFECT,
    "theano_mode": _NO_EFFECT,
    "distribute": _NO_EFFECT,
    "target_tensors": "it was dropped by Keras 2.4, and is not used",
    "sample_weight_mode": "it was dropped by Keras 2.4: weights have the shape that they need",
}
_OLD_LOSSES = {
    "cosine_proximity": "cosine_similarity",
    "kullback_leibler_divergence": "kl_divergence",
    "logcosh": "log_cosh",
    "cosine": "cosine_similarity",
}


def today(value: Any) -> Any:
    """Names of losses and metrics in arguments of `compile` as they are called today."""
    if isinstance(value, str) and value in _OLD_LOSSES:
        warn_once(f"compile({value!r}) is a name of an older Keras: today it is {_OLD_LOSSES[value]!r}")
        return _OLD_LOSSES[value]
    if isinstance(value, list | tuple):
        return [today(part) for part in value]
    return {name: today(part) for name, part in value.items()} if type(value) is dict else value


def metrics_today(value: Any) -> Any:
    """As `today`; functions of one's own that call ``K.max`` know class numbers, and TensorFlow 1's metrics count."""
    value = today(value)
    if isinstance(value, list):
        return [metrics_today(part) for part in value]
    if type(value) is dict:
        return {name: metrics_today(part) for name, part in value.items()}
    if isinstance(value, FunctionType):
        return counting(_of_classes(value) if "max" in value.__code__.co_names else value)
    return with_state(value)


def _get_compiled(model):
    told = vars(model)["compiled"]
    return told is not None if is_asked(sys._getframe(1)) else told


def _set_compiled(model, told):
    vars(model)["compiled"] = told


IS_COMPILED = property(_get_compiled, _set_compiled, doc="Whether `compile` was called; of the library what was told.")


def compiled_today(model: Any) -> Any:
    """The model that a file made, with an optimizer of Keras's names, and its metrics as `metrics_today` gives them."""
    if (told := model.compiled) is None:
        return model
    optimizers.translate(model.optimizer)
    own = [loss.fn if type(loss) is FunctionLoss else loss for loss in told.losses]
    if own != list(told.losses):
        vars(model)["_given_loss"] = own[0] if len(own) == 1 else own  # functions, as compile was given them
    measured, weighted = ([metrics_today(list(m)) for m in kind] for kind in (told.metrics, told.weighted_metrics))
    if measured != [list(m) for m in told.metrics] or weighted != [list(m) for m in told.weighted_metrics]:
        model.compiled = replace(told, metrics=measured, weighted_metrics=weighted)
    return model


def _of_classes(metric):
    """The metric with targets that are marked: Keras 2 gave class numbers as (N, 1), where today's are (N,)."""

    @wraps(metric)
    def marked(y_true: Any, y_pred: Any) -> Any:
        if y_true.ndim < np.ndim(y_pred):
            y_true.are_classes = True
        return metric(y_true, y_pred)

    return marked


def losses_today(value: Any) -> Any:
    """As `today`; and functions of `keras.metrics` are those of `keras.losses`, which Keras 2 had under both names."""
    value = today(value)
    if isinstance(value, list):
        return [losses_today(part) for part in value]
    if type(value) is dict:
        return {name: losses_today(part) for name, part in value.items()}
    name = getattr(value, "__name__", "")
    is_metric = callable(value) and not isinstance(value, type) and getattr(metrics, name, None) is value
    return getattr(losses, name, value) if is_metric else _refused_in_use(value)


def _refused_in_use(loss):
    """The loss; of a function that takes other arguments, one that says so once it is asked for a loss.

    Parts of a GAN are compiled with the functions that tapes train them by, ``loss=generator_loss``, and never fitted;
    ``model.loss(fake)`` calls them.
    """
    if not isinstance(loss, FunctionType):
        return loss
    try:
        signature(loss, follow_wrapped=False).bind("y_true", "y_pred")
    except TypeError:

        @wraps(loss)
        def of_its_own(*args: Any, **options: Any) -> Any:
            if len(args) == 2 and not options:
                check_takes(loss, "a loss function", "y_true", "y_pred")
            return loss(*args, **options)

        return of_its_own
    return loss


def without_targets(model: Any, x: Any) -> Any:
    """The samples of a batch (x, y) that `predict` is given for a model of one input, as Keras takes it; else `x`.

    Parameters
    ----------
    model : Model
    x : anything that `predict` takes
    """
    is_pair = type(x) is tuple and len(x) == 2 and all(isinstance(part, np.ndarray) for part in x)
    if not is_pair or not model.built or len(model.inputs) != 1 or len(x[0]) != len(x[1]):
        return x
    warn_user(
        "predict takes samples alone: the targets of the batch (x, y) that it was given are left out. Write "
        "model.predict(x)"
    )
    return x[0]


def for_each_output(metrics: Any, count: int) -> Any:
    """Metrics as one list for each output, where one flat list was for all of them, as Keras 2 took it.

    Parameters
    ----------
    metrics : anything that `compile` takes
    count : int
        How many outputs there are.
    """
    is_flat = isinstance(metrics, list | tuple) and all(isinstance(m, str) or hasattr(m, "__name__") for m in metrics)
    if not is_flat or len(metrics) in (0, count):
        return metrics
    warn_once(f"compile(metrics={metrics}): as in Keras 2, for each of {count} outputs: today it is a list for each")
    return [list(metrics) for _ in range(count)]


def demanded(optimizer: Any) -> Any:
    """The optimizer that `compile` was given; TypeError for None, which would train nothing."""
    if optimizer is None:
        raise TypeError(
            "compile needs an optimizer, to evaluate too: leave it out, or write optimizer='adam'. Received: "
            "optimizer=None"
        )
    return optimizer


def numbers_of(loss_weights: Any) -> Any:
    """`loss_weights` with the numbers that variables hold now."""
    return mapped(lambda weight: float(weight) if hasattr(weight, "follow") else weight, loss_weights)


def follow_variables(model: Any, loss_weights: Any) -> None:
    """Have the factors of a compiled model's losses change with the variables that they were given as.

    Parameters
    ----------
    model : Model
    loss_weights : as `compile` takes them
        Numbers, or ``K.variable(…)``, which ``K.set_value`` changes while the model is trained.
    """
    compiled = model.compiled
    for index, weight in enumerate(per_output("loss_weights", loss_weights, model, 1.0)):
        if hasattr(weight, "follow"):
            weight.follow(partial(_take_over, compiled.loss_weights, index))


def _take_over(factors, index, value):
    factors[index] = float(value)
    Changes.count, Changes.replaced = Changes.count + 1, Changes.replaced + 1  # a GPU's graphs have it in them


class LayerList(list):
    """A model's layers, whose ``pop()`` is one of the model's, as in Keras 2.

    Parameters
    ----------
    layers : iterable
    take_off : callable, optional
        What takes the top layer off the model; default: nothing, for a list that was made of one.
    """

    def __init__(self, layers: Iterable[Any], take_off: Callable[[], Any] = lambda: None) -> None:
        super().__init__(layers)
        self._take_off = take_off

    def pop(self, index: int = -1) -> Any:  # type: ignore[override]
        """Take a layer off the list, the top one off the model's list, too."""
        layer = super().pop(index)
        if index == -1:
            warn_once("model.layers.pop() is how Keras 2 took layers off: today it is Model(model.inputs, tensor)")
            self._take_off()
        return layer

    def append(self, layer: Any) -> None:
        """As of any list, with a warning; so are `insert`, `extend`, `remove`, `clear`, assignments and deletions."""
        _advise_on_list()
        super().append(layer)

    def insert(self, index: SupportsIndex, layer: Any) -> None:
        """See `append`."""
        _advise_on_list()
        super().insert(index, layer)

    def extend(self, layers: Iterable[Any]) -> None:
        """See `append`."""
        _advise_on_list()
        super().extend(layers)

    def remove(self, layer: Any) -> None:
        """See `append`."""
        _advise_on_list()
        super().remove(layer)

    def clear(self) -> None:
        """See `append`."""
        _advise_on_list()
        super().clear()

    def __iadd__(self, layers: Iterable[Any]) -> Self:  # type: ignore[misc, override]
        _advise_on_list()
        return super().__iadd__(layers)

    def __setitem__(self, index: Any, layer: Any) -> None:
        _advise_on_list()
        super().__setitem__(index, layer)

    def __delitem__(self, index: Any) -> None:
        _advise_on_list()
        super().__delitem__(index)

    def __reduce__(self) -> tuple[type, tuple[list[Any]]]:
        """Copied and pickled as a list."""
        return list, (list(self),)


def _advise_on_list():
    """Say that the list is no part of the model."""
    warn_user(
        "model.layers is a list of its own, as in Keras 3: what is changed in it changes no model. model.add(layer) "
        "and model.pop() change a Sequential; Model(model.inputs, layer(model.layers[-2].output)) is another model"
    )


def flat_callbacks(callbacks: Any) -> list[Any]:
    """What was given as ``callbacks=``, with what lists in lists hold, as in Keras."""
    return [] if callbacks is None else leaves(callbacks)


def with_flat_callbacks(kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments with `flat_callbacks`, if they have any."""
    return kwargs | {"callbacks": flat_callbacks(kwargs["callbacks"])} if "callbacks" in kwargs else kwargs


def in_order_of_names(logs: Any) -> Any:
    """A dict in the order that Keras 3 gives logs: that of the alphabet, "val_loss" before "zeta_loss"."""
    return dict(sorted(logs.items())) if isinstance(logs, dict) else logs


class MetricNames(Callback):
    """Tells the callbacks behind it what the logs will hold, as ``self.params["metrics"]``, as Keras 2 did.

    Keras 1's ``params["nb_sample"]`` and ``params["nb_epoch"]`` are there, too. The logs of an epoch come to callbacks,
    and so into histories, in the order that Keras has; those of the end are what was measured.

    Parameters
    ----------
    options : dict
        Of `fit`: whether there is data to validate with.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._measured: tuple[Any, dict[str, Any]] = None, {}
        self._is_validated = options.get("validation_data") is not None or bool(options.get("validation_split"))

    def on_train_begin(self, logs: Any = None) -> None:
        """Add the names, and what Keras 1 called the numbers."""
        names = list(self.model.metrics_names) if self.model.compiled is not None else ["loss"]
        validated = [f"val_{name}" for name in names] if self._is_validated else []
        self.params |= {"metrics": names + validated, "do_validation": self._is_validated}
        self.params |= {"nb_sample": self.params["samples"], "nb_epoch": self.params["epochs"]}

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Bring the logs into order."""
        self._measured = logs, in_order_of_names(logs)
        logs.clear()
        logs.update(self._measured[1])

    def on_train_end(self, logs: Any = None) -> None:
        """Leave what callbacks have written into the last epoch's logs, as the learning rate, to that epoch."""
        of, measured = self._measured
        if logs is of:  # else the epoch had no end, as data was refused
            logs.clear()
            logs.update(measured)


class Assignable:
    """Mixin of Keras's models, whose `optimizer` and `loss` can be assigned to, in a class of one's own or outside."""

    def compile(self, optimizer: Any = "rmsprop", loss: Any = None, *args: Any, **kwargs: Any) -> None:
        if loss is not None:
            vars(self).pop("_own_loss", None)
        super().compile(optimizer, loss, *args, **kwargs)  # type: ignore[misc]
        vars(self)["_given_loss"] = loss

    @property
    def _trained(self) -> Any:
        """The model that `compile` has told how to train."""
        return self

    @property
    def optimizer(self) -> Any:
        """The optimizer that `compile` was given, or what was assigned: before `compile`, it may be anything.

        Raises
        ------
        TypeError
            If anything but an optimizer is assigned after `compile`.
        """
        if self._trained is not self:
            return self._trained.optimizer
        if self.compiled is None and "_own_optimizer" in vars(self):  # type: ignore[attr-defined]
            return vars(self)["_own_optimizer"]
        return super().optimizer  # type: ignore[misc]

    @optimizer.setter
    def optimizer(self, value: Any) -> None:
        trained = self._trained
        if trained.compiled is None:
            vars(self)["_own_optimizer"] = value
        elif isinstance(value, Optimizer):
            trained.take_optimizer(value)
        else:
            raise TypeError(
                "a model that was compiled trains with an optimizer, which model.optimizer = keras.optimizers.Adam() "
                "replaces: by a name compile takes one, and model.save(path, include_optimizer=False) writes a file "
                f"without it. Received: {value!r}"
            )

    def take_optimizer(self, optimizer: Optimizer) -> None:
        """Train with another optimizer from now on, which has no state yet.

        Parameters
        ----------
        optimizer : Optimizer
        """
        self.compiled.optimizer = optimizer  # type: ignore[attr-defined]
        self._told = None if self._told is None else (optimizer, *self._told[1:])
        if self._engine is not None:
            self._engine = self._engine.renewed(keeps_state=False)

    @property
    def loss(self) -> Any:
        """What `compile` was given, or what was assigned, which changes no training, as in Keras; None without any."""
        if "_own_loss" in vars(self) or self.compiled is None:  # type: ignore[attr-defined]
            return vars(self).get("_own_loss")
        # a function of Keras's gives the losses of samples, where the class that trains by it gives their mean
        given = vars(self).get("_given_loss")
        return super().loss if given is None else given  # type: ignore[misc]

    @loss.setter
    def loss(self, value: Any) -> None:
        vars(self)["_own_loss"] = value


def compile_like(clone: Any, model: Any) -> None:
    """Compile a clone as the model is, with an optimizer of its own that has not begun."""
    if model._told is not None:
        _, loss, metrics, loss_weights, weighted, backend = copy.deepcopy(model._told)
    else:
        told = copy.deepcopy(model.compiled)
        single = len(told.losses) == 1
        loss, metrics, weighted = (v[0] if single else v for v in (told.losses, told.metrics, told.weighted_metrics))
        loss_weights, backend = told.loss_weights, told.backend_name
    optimizer = copy.deepcopy(model.optimizer)
    optimizer.iterations = 0
    clone.compile(optimizer, loss, metrics, loss_weights=loss_weights, weighted_metrics=weighted, backend=backend)
