"""``keras.mixed_precision``: in which dtype layers compute. ``docs/bfloat16.md`` says what is kept how."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minicnn import dtype_policies
from minicnn.dtype_policies import DTypePolicy, dtype_policy
from minicnn.keras._names import lookup
from minicnn.keras._warning import warn_once

_FLOAT16 = "mixed_float16"


class Policy(DTypePolicy):
    """A `DTypePolicy`; "mixed_float16" of notebooks that were written for a GPU becomes "float32", which is said once.

    Parameters
    ----------
    name : str, optional
        See `DTypePolicy`.
    """

    def __init__(self, name: str | None = None) -> None:
        if name == _FLOAT16:
            warn_once(
                "mixed_float16: minicnn computes in float32, as it does without this line; what halves the memory of "
                "activations here is mixed_bfloat16"
            )
        super().__init__("float32" if name == _FLOAT16 else name)


def set_dtype_policy(policy: str | DTypePolicy | Mapping[str, Any]) -> None:
    """See `minicnn.dtype_policies.set_dtype_policy`; "mixed_float16" as for `Policy`.

    Parameters
    ----------
    policy : str or DTypePolicy
    """
    dtype_policies.set_dtype_policy(Policy(policy) if policy == _FLOAT16 else policy)


def LossScaleOptimizer(inner_optimizer: Any, *args: Any, **kwargs: Any) -> Any:
    """The optimizer itself: a loss is scaled for float16 alone, which minicnn does not compute in."""
    warn_once("LossScaleOptimizer: the loss is not scaled, as minicnn computes in float32 or bfloat16; leave it out")
    return inner_optimizer


set_global_policy = set_policy = set_dtype_policy
global_policy = dtype_policy
__getattr__ = lookup(__name__)
__all__ = [
    "DTypePolicy",
    "LossScaleOptimizer",
    "Policy",
    "dtype_policy",
    "global_policy",
    "set_dtype_policy",
    "set_global_policy",
]
