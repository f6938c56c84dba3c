"""In which dtype a layer computes, and in which its weights are: Keras's dtype policies.

(Micikevicius and others: "Mixed precision training", 2018; with bfloat16: Kalamkar and others: "A study of BFLOAT16 for
deep learning training", 2019.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from typing import Any, Self

from minicnn.settings import floatx, set_floatx
from minicnn.user_warnings import warn_user

NAMES: tuple[str, ...] = ("float32", "float64", "mixed_bfloat16", "mixed_float16")

_REFUSED = {
    "float16": "float16 is for GPUs with units of their own for it, and weights stay float32; 'float32' is the same, "
    "more precisely, and 'mixed_bfloat16' needs as little memory",
    "bfloat16": "weights stay float32, as small updates would be rounded away; 'mixed_bfloat16' keeps the rest so",
}
_FLOAT16 = "mixed_float16"
_chosen: dict[str, DTypePolicy | None] = {"mixed": None}


class DTypePolicy:
    """In which dtype a layer computes, and in which its weights are.

    Parameters
    ----------
    name : {"float32", "float64", "mixed_bfloat16", "mixed_float16"}, optional
        Default: the global one, see `set_dtype_policy`. With "mixed_float16" a GPU multiplies numbers of float16's 11
        bits in float32's range, all else is computed in float32, on a processor everything; a warning says so.

    Attributes
    ----------
    name : str
    compute_dtype : str
        "float32", "float64" or "bfloat16": what a layer's inputs are cast to, and its output has.
    factor_dtype : str
        "float16" in "mixed_float16", else `compute_dtype`: what a GPU may round the factors of products to.
    variable_dtype : str
        "float32" or "float64".

    Raises
    ------
    ValueError
        If there is no such policy here.
    """

    def __init__(self, name: str | None = None) -> None:
        if name == _FLOAT16:
            warn_user(
                "mixed_float16: a GPU multiplies numbers of float16's 11 bits, and all else is computed in float32, on "
                "a processor everything, more precisely: no loss needs to be scaled; what halves the memory of "
                "activations is mixed_bfloat16"
            )
        name = dtype_policy().name if name is None else name
        if name not in NAMES:
            reason = f": {_REFUSED[name]}" if isinstance(name, str) and name in _REFUSED else ""
            allowed = ", ".join(map(repr, NAMES))
            raise ValueError(f"a dtype policy is one of {allowed}{reason}. Received: {name!r}")
        self.name: str = name
        self.factor_dtype: str = name.removeprefix("mixed_")
        self.compute_dtype: str = "float32" if name == _FLOAT16 else self.factor_dtype
        self.variable_dtype: str = "float64" if name == "float64" else "float32"

    @property
    def is_mixed(self) -> bool:
        """Whether it may compute in another dtype than the weights'."""
        return self.factor_dtype != self.variable_dtype

    def get_config(self) -> dict[str, str]:
        """``{"name": …}``."""
        return {"name": self.name}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """The policy that `get_config` described."""
        return cls(**config)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DTypePolicy) and self.name == other.name

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return f'<DTypePolicy "{self.name}">'


def get(policy: Any) -> DTypePolicy:
    """The policy that a user means.

    Parameters
    ----------
    policy : str, DTypePolicy, dict or None
        A name, a policy, what Keras's files hold of one; None: the global one.

    Raises
    ------
    ValueError
        If it is anything else.
    """
    if policy is None:
        return dtype_policy()
    if isinstance(policy, Mapping) and isinstance(policy.get("config"), Mapping):
        policy = policy["config"].get("name")
    return policy if isinstance(policy, DTypePolicy) else DTypePolicy(_name_of(policy))


def of_python(dtype: Any) -> Any:
    """A dtype, float32 for ``float``, which is float64 to NumPy, and float32 to TensorFlow and Keras."""
    return "float32" if isinstance(dtype, str | type) and dtype in (float, "float") else dtype


def _name_of(policy):
    """A dtype's name, of whatever may stand for it; "" for what cannot."""
    if isinstance(policy, str):  # also "float", which Keras knows no policy of
        return policy
    if policy is float:
        return of_python(policy)
    name = getattr(policy, "name", None) or getattr(policy, "__name__", None)
    return name if isinstance(name, str) else policy


def dtype_policy() -> DTypePolicy:
    """The policy of layers that are made from now on without a ``dtype=``: "float32" at first.

    Where `minicnn.utils.set_floatx` chose float64, it is "float64".
    """
    mixed = _chosen["mixed"]
    return mixed if mixed is not None and floatx() == "float32" else DTypePolicy(floatx())


def set_dtype_policy(policy: Any) -> None:
    """Choose the policy of layers that are made from now on without a ``dtype=``.

    It decides the dtype of new weights too, as `minicnn.utils.set_floatx` does.

    Parameters
    ----------
    policy : {"float32", "float64", "mixed_bfloat16", "mixed_float16"} or DTypePolicy
        See `DTypePolicy`. "mixed_bfloat16": activations and their gradients are rounded to bfloat16 and kept in it,
        weights, sums, losses and statistics stay float32, see ``docs/bfloat16.md``. A last layer with
        ``dtype="float32"`` gives probabilities that are not rounded.

    Raises
    ------
    ValueError
        If there is no such policy.
    """
    policy = get(policy)
    set_floatx(policy.variable_dtype)
    _chosen["mixed"] = policy if policy.is_mixed else None


@contextmanager
def floatx_of(dtype: Any) -> Iterator[None]:
    """Inside, the policy of new layers is the plain one of the dtype of these weights.

    Parameters
    ----------
    dtype : str, DTypePolicy or dict
        See `get`: of a mixed policy, its weights' dtype counts. Layers that have another policy say so themselves.
    """
    before = floatx(), _chosen["mixed"]
    set_dtype_policy(get(dtype).variable_dtype)
    try:
        yield
    finally:
        set_floatx(before[0])
        _chosen["mixed"] = before[1]


def as_operands(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, whose new layers are mixed only if all tensors among its arguments are bfloat16, as in Keras.

    A layer of one's own choice goes by the global policy; an operator, or a function of `keras.ops`, by its operands.
    """

    @wraps(function)
    def by_operands(*args: Any, **kwargs: Any) -> Any:
        before = _chosen["mixed"]
        if before is None:
            return function(*args, **kwargs)
        operands = [a for arg in (*args, *kwargs.values()) for a in (arg if isinstance(arg, list | tuple) else [arg])]
        dtypes = {dtype for a in operands if isinstance(dtype := getattr(a, "dtype", None), str)}
        _chosen["mixed"] = before if dtypes == {"bfloat16"} else None
        try:
            return function(*args, **kwargs)
        finally:
            _chosen["mixed"] = before

    return by_operands
