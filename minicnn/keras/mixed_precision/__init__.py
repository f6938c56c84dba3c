"""``keras.mixed_precision``: in which dtype layers compute. ``docs/bfloat16.md`` says what is kept how."""

from __future__ import annotations

from minicnn.dtype_policies import DTypePolicy, dtype_policy, set_dtype_policy
from minicnn.keras._loss_scale import LossScaleOptimizer
from minicnn.keras._names import Lookup, lookup

Policy = DTypePolicy
set_global_policy = set_policy = set_dtype_policy
global_policy = dtype_policy
__getattr__: Lookup = lookup(__name__)
__all__ = [
    "DTypePolicy",
    "LossScaleOptimizer",
    "Policy",
    "dtype_policy",
    "global_policy",
    "set_dtype_policy",
    "set_global_policy",
]
