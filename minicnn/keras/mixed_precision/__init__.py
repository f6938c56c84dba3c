"""``keras.mixed_precision``: minicnn computes in float32, and float16 would only save memory that it does not use."""

from __future__ import annotations

from typing import Any

from minicnn.keras._names import lookup
from minicnn.keras._warning import warn_once
from minicnn.settings import floatx, set_floatx


class Policy:
    """The dtype of layers.

    Parameters
    ----------
    name : {"float32", "float64", "mixed_float16", "mixed_bfloat16"}
        The mixed ones are those of float32.
    """

    def __init__(self, name: str) -> None:
        if name not in ("float32", "float64", "mixed_float16", "mixed_bfloat16"):
            raise ValueError(f"a policy is float32, float64, mixed_float16 or mixed_bfloat16. Received: {name!r}")
        self.name: str = name
        self.variable_dtype: str = "float64" if name == "float64" else "float32"
        self.compute_dtype: str = self.variable_dtype


def set_global_policy(policy: Any) -> None:
    """Layers made from now on have the policy's dtype; a mixed one's is float32, which a warning says."""
    policy = policy if isinstance(policy, Policy) else Policy(policy)
    if policy.name.startswith("mixed"):
        warn_once(f"{policy.name}: minicnn computes in float32, as it does without this line")
    set_floatx(policy.compute_dtype)


def global_policy() -> Policy:
    """The policy that is set."""
    return Policy(floatx())


DTypePolicy = Policy
set_policy = set_global_policy
__getattr__ = lookup(__name__)
__all__ = ["DTypePolicy", "Policy", "global_policy", "set_global_policy"]
