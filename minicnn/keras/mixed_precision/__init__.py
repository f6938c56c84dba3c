"""``keras.mixed_precision``: in which dtype layers compute. ``docs/bfloat16.md`` says what is kept how."""

from __future__ import annotations

from typing import Any

from minicnn.dtype_policies import DTypePolicy, dtype_policy, set_dtype_policy
from minicnn.keras._names import lookup
from minicnn.keras._warning import warn_once


def LossScaleOptimizer(inner_optimizer: Any, *args: Any, **kwargs: Any) -> Any:
    """The optimizer itself: a loss is scaled for float16 alone, which minicnn does not compute in."""
    warn_once("LossScaleOptimizer: the loss is not scaled, as minicnn computes in float32 or bfloat16; leave it out")
    return inner_optimizer


Policy = DTypePolicy
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
