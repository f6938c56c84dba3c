"""Arguments of layers that older Kerases took, and that are no other name of one of today's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from importlib import import_module
from typing import Any

from minicnn import layers as core
from minicnn.checks import check_choice
from minicnn.graph import Node, Tensor
from minicnn.keras._calls import METHODS
from minicnn.keras._translation import without
from minicnn.keras._warning import warn_once
from minicnn.user_warnings import warn_user

OF_KERAS_2 = ("RandomHeight", "RandomWidth", "ThresholdedReLU", "K", "np", "warnings", "activations", "constraints")
OF_KERAS_2 += ("initializers", "regularizers", "conv_utils")
"""Names of Keras 2's `keras.layers`, into which its files brought what they had imported."""

_OF_TF_NORMALIZATION = dict.fromkeys(
    ("fused", "renorm", "renorm_clipping", "renorm_momentum", "virtual_batch_size", "adjustment"), ""
)


def whole(count: Any) -> Any:
    """A number of units, which scripts for Keras 2 get by dividing, 256 / 2, or write as text."""
    if isinstance(count, str) and count.isdecimal():
        warn_once(f"{count!r} for a number of units is how an older Keras could be told: today it is {count}")
        return int(count)
    return int(count) if isinstance(count, float) and count.is_integer() else count


def kernels_apart(name: str, kwargs: dict[str, Any]) -> dict[str, Any]:
    """Arguments of a separable or depthwise convolution, whose kernels have initializers and the like of their own.

    Keras 1's `init` was that of each of its kernels. Keras 2 took the `kernel_initializer`, `kernel_regularizer` and
    `kernel_constraint` of other convolutions, and made nothing of them.

    Parameters
    ----------
    name : str
        The layer's class.
    kwargs : dict
    """
    kwargs = dict(kwargs)
    own = ("depthwise", "pointwise") if name.startswith("Separable") else ("depthwise",)
    if "init" in kwargs:
        warn_once(f"{name}(init=…) is of Keras 1: today it is {' and '.join(f'{each}_initializer=' for each in own)}")
        kwargs = dict.fromkeys((f"{each}_initializer" for each in own), kwargs.pop("init")) | kwargs
    for part in ("initializer", "regularizer", "constraint"):
        if kwargs.pop(f"kernel_{part}", None) is not None:
            warn_user(
                f"{name}(kernel_{part}=…) changes nothing, as in Keras 2, and today's Keras refuses it: its kernels "
                f"have {' and '.join(f'{each}_{part}=' for each in own)}"
            )
    return kwargs


def kernel_of_volumes(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Arguments of a Conv3D whose kernel may be given as in Keras 1, which took the sizes one by one.

    As Convolution3D(64, 3, 3, 3) and Convolution3D(64, kernel_dim1=3, kernel_dim2=3, kernel_dim3=3).

    Parameters
    ----------
    args : tuple
    kwargs : dict
    """
    kwargs, names = dict(kwargs), ("kernel_dim1", "kernel_dim2", "kernel_dim3")
    if len(args) == 4 and all(isinstance(a, int) for a in args):  # today the fourth is `padding`, a string
        warn_once(f"Conv3D{args} is of Keras 1: today it is Conv3D({args[0]}, {args[1:]})")
        return args[:1], {**kwargs, "kernel_size": args[1:]}
    if all(name in kwargs for name in names):
        warn_once("Conv3D(kernel_dim1=…, kernel_dim2=…, kernel_dim3=…) is of Keras 1: today it is kernel_size=")
        kwargs["kernel_size"] = tuple(kwargs.pop(name) for name in names)
    return args, kwargs


def by_the_whole_batch(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Arguments of a BatchNormalization without those of tf.keras 2 that ask for nothing else than today's.

    Raises
    ------
    ValueError
        If one of them asks for another normalization.
    """
    asked = {part: kwargs[part] for part in ("renorm", "virtual_batch_size", "adjustment") if kwargs.get(part)}
    if asked:
        raise ValueError(
            "BatchNormalization normalizes by the whole batch, as in Keras 3; leave out what tf.keras 2 had beside: "
            f"BatchNormalization(). Received: {', '.join(f'{part}={value!r}' for part, value in asked.items())}"
        )
    return without("BatchNormalization", kwargs, _OF_TF_NORMALIZATION)


def check_rank(layer: Any, rank: Any, own: int) -> None:
    """Raise ValueError for a number of axes that is not the layer's own.

    Parameters
    ----------
    layer : Layer
    rank : int
        What its constructor was given.
    own : int
    """
    if rank != own:
        raise ValueError(
            f"{type(layer).__name__} begins with Conv{own}D: rank={own}; a convolution of another rank begins with a "
            f"class of that, {' or '.join(f'Conv{n}D' for n in (1, 2, 3) if n != own)}. Received: rank={rank!r}"
        )


def told_its_rank(core_class: Any) -> Any:
    """A convolution's class whose constructor takes the `rank`, too: ``super(Conv2D, self).__init__(rank=2, …)``.

    That is what Keras 2's own layers, from which users have copied, called their base with.
    """

    @wraps(core_class.__init__)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        if "rank" in kwargs:
            check_rank(self, kwargs.pop("rank"), int(core_class.__name__[4]))
        core_class.__init__(self, *args, **kwargs)

    own = {"__init__": __init__, "__module__": core_class.__module__, "__doc__": core_class.__doc__}
    return type(core_class)(core_class.__name__, (core_class,), own)


def with_mode(core_class: Any, call: Callable[..., Any]) -> dict[str, Callable[..., Any]]:
    """Constructors, `call_symbolically` and `__call__` of a BatchNormalization with the `mode` of Keras 1.

    Mode 1 normalized each sample, which `LayerNormalization` does. Mode 2 went by the batch in training and afterwards.

    Parameters
    ----------
    core_class : type
    call : callable
        What `__call__` is otherwise.
    """

    def __new__(cls: type, *args: Any, mode: int = 0, **kwargs: Any) -> Any:
        if check_choice("mode", mode, (0, 1, 2)) != 1:
            return core_class.__new__(cls)
        warn_once("BatchNormalization(mode=1) is of Keras 1: today it is LayerNormalization()")
        kwargs.pop("momentum", None)  # of averages, which it has not
        return import_module("minicnn.keras.layers").LayerNormalization(*args, **kwargs)  # which is made afterwards

    @wraps(core_class.__init__)
    def __init__(self: core.Layer, *args: Any, mode: int = 0, **kwargs: Any) -> None:
        core_class.__init__(self, *args, **kwargs)
        if mode == 2:
            warn_once(
                "BatchNormalization(mode=2) is of Keras 1: today it is BatchNormalization()(x, training=True), "
                "which the file of a Sequential does not hold"
            )
            vars(self)["goes_by_batch"] = True

    def call_symbolically(self: core.Layer, tensors: Sequence[Tensor], training: bool | None = None) -> Node:
        training = True if "goes_by_batch" in vars(self) else training
        return METHODS["call_symbolically"](self, tensors, training)

    @wraps(call)
    def __call__(self: core.Layer, *args: Any, **kwargs: Any) -> Any:  # of arrays, too
        own = {"training": True} if "goes_by_batch" in vars(self) else {}
        return call(self, *args, **kwargs | own)

    own = {"call_symbolically": call_symbolically, "__call__": __call__}
    return {"__new__": __new__, "__init__": __init__, **own}
