"""In which dtype a layer computes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Self

from minicnn.backends import current
from minicnn.bfloat16 import rounded
from minicnn.dtype_policies import DTypePolicy, dtype_policy, floatx_of, get
from minicnn.layers.contract import watched_step
from minicnn.layers.one_off import run_steps
from minicnn.parameters import Weight
from minicnn.settings import floatx
from minicnn.step import Arrays, Changes, Step, Workspace


class WithPolicy:
    """Mixin of `Layer`: its dtype policy, and what follows from it."""

    _policy: DTypePolicy | None = None
    input_count: int | None

    run_steps: Callable[..., Any] = staticmethod(run_steps)

    def run_alone(self, arrays: list[Any], dtype: Any, training: bool, count: int) -> Any:
        """What the layer's steps make of arrays without a plan; see `run_steps`."""
        return self.run_steps(by_policy(self, self.lower()), arrays, dtype, training, count)  # type: ignore[attr-defined]

    @property
    def dtype_policy(self) -> DTypePolicy:
        """In which dtype the layer computes, and in which its weights are; a name may be assigned."""
        return self._policy or DTypePolicy(floatx())

    @dtype_policy.setter
    def dtype_policy(self, policy: str | DTypePolicy | Mapping[str, Any] | None) -> None:
        policy = get(policy)
        if policy.variable_dtype != floatx():
            raise ValueError(
                f"a model has one dtype of weights, {floatx()!r} now: leave dtype= out, or call utils.set_floatx("
                f"{policy.variable_dtype!r}) before the model is made, for all of it. Received: dtype={policy.name!r}"
            )
        if self.input_count == 0:  # data enters as it is
            policy = DTypePolicy(policy.variable_dtype)
        Changes.replaced += self._policy not in (None, policy)
        vars(self)["_policy"] = policy

    def keep_policy(self, policy: Any) -> None:
        """Have the policy that a config says of a model, if it says one: it is what its layers say that counts."""
        if policy is not None:
            vars(self)["_policy"] = get(policy)

    @property
    def compute_dtype(self) -> str:
        """In which the layer computes: "float32", "float64" or "bfloat16". Its inputs are cast to it."""
        return self.dtype_policy.compute_dtype

    @property
    def variable_dtype(self) -> str:
        """That of its weights: "float32" or "float64"."""
        return self.dtype_policy.variable_dtype

    @property
    def dtype(self) -> str:
        """`variable_dtype`, as in Keras."""
        return self.variable_dtype

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """A new layer from what `get_config` returned: where that says no ``dtype``, not of a mixed policy."""
        if not isinstance(config, Mapping):
            raise TypeError(f"{cls.__name__}.from_config takes a dict, as get_config gives it. Received: {config!r}")
        with floatx_of(config.get("dtype") or floatx()):
            return super().from_config(config)  # type: ignore[misc]

    def policy_config(self) -> dict[str, str]:
        """What a config says of the policy: nothing where it is that of all layers when nothing was said."""
        is_said = self.dtype_policy.is_mixed or self.dtype_policy != dtype_policy()
        return {"dtype": self.dtype_policy.name} if is_said and self._policy is not None else {}


def is_factor(name: str) -> bool:
    """Whether a weight of that name is a factor of products, which are computed in bfloat16: a kernel.

    Others, such as biases and what normalizations have, are used as they are, in float32.
    """
    return name.endswith("kernel")


def by_policy(layer: WithPolicy, steps: list[Step]) -> list[Step]:
    """A layer's steps as they run alone, without a plan."""
    is_rounded = layer.compute_dtype == "bfloat16" and not current().on_device
    return [InBfloat16(step) for step in steps] if is_rounded else steps


class InBfloat16(Step):
    """A step whose inputs, kernels and output are rounded to bfloat16, in float32 arrays.

    Parameters
    ----------
    step : Step
    """

    def __init__(self, step: Step) -> None:
        self.step: Step = watched_step(step)
        self.is_view: bool = step.is_view
        self.build, self.buffers, self.bind = step.build, step.buffers, step.bind  # type: ignore[method-assign]

    @property
    def weights(self) -> list[Weight]:
        return self.step.weights

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        like, params = current().asarray, ws.params
        ws.xs = tuple(like(rounded(x)) for x in xs)
        ws.params = {name: like(rounded(k)) if is_factor(name) else k for name, k in params.items()}
        self.step.forward(ws.xs, ws)
        ws.y[...] = rounded(ws.y)
