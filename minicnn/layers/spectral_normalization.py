"""Layers whose kernel is kept at a spectral norm of 1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from minicnn.checks import check_positive_int
from minicnn.hints import LayerOptions
from minicnn.initializers import TruncatedNormal
from minicnn.layers.activity import with_penalty
from minicnn.layers.base import Examples, Layer, get
from minicnn.layers.conv import Conv2D
from minicnn.layers.dense import Dense
from minicnn.own_parts import is_of_package
from minicnn.parameters import Weight
from minicnn.step import Arrays, Buffer, Shape, Shapes, Step, Workspace

if TYPE_CHECKING:
    from minicnn.onnx.writer import GraphWriter, Value

__all__ = ["SpectralNormalization"]

EPSILON = 1e-7  # of the norm that vectors are divided by, as Keras's `normalize` has it


class SpectralNormalization(Layer):
    """A layer whose kernel is divided by an estimate of its largest singular value, before each pass in training.

    With the kernel as a matrix W (…, F) and a vector u (1, F), which is kept: v ← u·Wᵀ / ‖u·Wᵀ‖, u ← v·W / ‖v·W‖, as
    often as `power_iterations` says, then kernel ← kernel / (v·W·uᵀ). The quotient takes the kernel's place: no
    gradient goes through the division, and an optimizer changes what was divided, as in Keras 3. A kernel of zeros
    stays. (Miyato, Kataoka, Koyama, Yoshida: "Spectral Normalization for Generative Adversarial Networks", 2018,
    algorithm 1.)

    Parameters
    ----------
    layer : Layer
        With one weight that is called kernel, as Dense and convolutions have; or its configuration.
    power_iterations : int, default 1

    Raises
    ------
    TypeError
        If `layer` is no layer of one input, or a model.
    ValueError
        When it is built, if the layer has no kernel, or computes in bfloat16.

    Notes
    -----
    Inputs and outputs are those of `layer`. Weights: kernel, vector_u (1, F), and what else the layer has. A layer that
    is frozen has its kernel divided all the same, where it acts as in training, as in Keras.
    """

    def __init__(
        self, layer: Layer | Mapping[str, Any], power_iterations: int = 1, **kwargs: Unpack[LayerOptions]
    ) -> None:
        if not isinstance(layer, Layer | Mapping):
            raise TypeError(f"SpectralNormalization wraps a layer: give it one. Received: layer={layer!r}")
        self.layer: Layer = get(layer)
        super().__init__(**kwargs)
        is_single = self.layer.input_count == 1 or not is_of_package(type(self.layer))  # a user's says it when called
        if not is_single or hasattr(self.layer, "structure"):
            raise TypeError(f"SpectralNormalization wraps a layer of one input, and no model. Received: {self.layer!r}")
        self.power_iterations: int = check_positive_int("power_iterations", power_iterations)
        self.holds_code: bool = self.layer.holds_code

    @property
    def trainable(self) -> bool:
        """Whether optimizers may change the weights; setting it sets that of `layer`."""
        return vars(self)["_is_trainable"] and self.layer.trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        if "_is_trainable" in vars(self) or not value:
            self.layer.trainable = value
        vars(self)["_is_trainable"] = value

    def build(self, input_shapes: Shapes) -> Shape:
        (shape,) = self.layer.build_for(input_shapes)
        if self.layer.graph is not None:
            raise ValueError(
                "SpectralNormalization wraps a layer that computes with its kernel itself, and not one that is made of "
                "layers: wrap those that have the kernels, in its __init__. "
                f"Received: '{self.layer.name}' ({type(self.layer).__name__})"
            )
        kernel = next((w for w in self.layer.weights if w.name == "kernel"), None)
        if kernel is None:
            raise ValueError(
                "SpectralNormalization wraps a layer with a kernel, as Dense and convolutions have. "
                f"Received: '{self.layer.name}' ({type(self.layer).__name__})"
            )
        if "bfloat16" in (self.compute_dtype, self.layer.compute_dtype):
            raise ValueError(
                "SpectralNormalization changes its kernel in float32: give it, and its layer, dtype='float32'. "
                "Received: mixed_bfloat16"
            )
        self._weights.setdefault("kernel", kernel)
        self.add_weight("vector_u", (1, kernel.shape[-1]), TruncatedNormal(stddev=0.02), has_gradient=False)
        self._weights |= {w.name: w for w in self.layer.weights}
        for weight in self.layer.weights:
            weight.layer = self  # whose name files know it by
            setattr(self, weight.name, weight)
        return shape

    @property
    def weights(self) -> list[Weight]:
        """The kernel, vector_u, and the layer's others, in Keras's order."""
        return list(self._weights.values())

    def forget_build(self) -> None:
        super().forget_build()
        self.layer.forget_build()

    def lower(self) -> list[Step]:
        return [
            Normalizing(self, step) if any(w is self.kernel for w in step.weights) else step
            for step in with_penalty(self.layer)
        ]

    @classmethod
    def examples(cls) -> Examples:
        yield cls(Dense(3, activation="relu")), [(5,)]
        yield cls(Conv2D(3, 2, use_bias=False), power_iterations=2), [(5, 4, 2)]


class Normalizing(Step):
    """The step of a layer with a kernel, which is divided before the step runs.

    Parameters
    ----------
    layer : SpectralNormalization
    step : Step

    Attributes
    ----------
    before : array or None
        The kernel as it was before the last pass, if that was one of training.
    """

    def __init__(self, layer: SpectralNormalization, step: Step) -> None:
        self.layer: SpectralNormalization = layer
        self.step: Step = step
        self.before: np.ndarray | None = None
        self.uses_input: bool = step.uses_input
        self.uses_output: bool = step.uses_output
        self.draws_anew: bool = step.draws_anew

    @property
    def has_penalty(self) -> bool:  # type: ignore[override]
        """Whether the step adds to the loss."""
        return self.step.has_penalty

    def penalty(self, ws: Workspace) -> float | np.ndarray:
        return self.step.penalty(ws)

    @property
    def weights(self) -> list[Weight]:
        return [*self.step.weights, self.layer.vector_u]

    def build(self, input_shapes: Shapes) -> Shape:
        return self.step.build(input_shapes)

    def buffers(self, input_shapes: Shapes, output_shape: Shape, training: bool) -> dict[str, Buffer]:
        return self.step.buffers(input_shapes, output_shape, training)

    def bind(self, ws: Workspace) -> None:
        self.step.bind(ws)

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        self.before = ws.params[self.layer.kernel.name].copy() if ws.training else None
        if ws.training:
            self._divide(ws.params[self.layer.kernel.name], ws.params["vector_u"])
        self.step.forward(xs, ws)

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        self.step.backward(dy, ws)

    def _divide(self, kernel, kept):
        """Bring the kernel to a spectral norm of about 1; both arrays are changed."""
        matrix, u = kernel.reshape(-1, kept.shape[-1]), kept  # (…, F), (1, F)
        for _ in range(self.layer.power_iterations):
            v = _normalized(u @ matrix.T)  # (1, …)
            u = _normalized(v @ matrix)  # (1, F)
        is_zero = ~matrix.any()
        kept[...] = np.where(is_zero, kept, u)
        kernel /= np.where(is_zero, np.ones_like(kept[:, :1]), v @ matrix @ u.T)

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        return self.step.to_onnx(xs, graph)


def _normalized(x):
    """x / ‖x‖; of a vector of zeros, zeros."""
    return x * (1 / np.maximum(np.sqrt(np.square(x).sum()), EPSILON))
