"""All contracts of a layer, one after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from minicnn import backends as all_backends
from minicnn.errors import BackendError, ContractError
from minicnn.layers.base import Layer
from minicnn.layers.shapes import sample_shape
from minicnn.models.arguments import check_layer as checked_layer
from minicnn.registry import custom_object_scope
from minicnn.step import Shape
from minicnn.testing.contracts import ONCE, PER_BACKEND, PER_PLAN, has_the_promised_shape
from minicnn.testing.running import Case


def check_layer(
    layer: Layer,
    input_shape: Shape | list[Shape],
    *,
    backends: Sequence[str] | None = None,
    independent: bool | None = None,
    custom_objects: Mapping[str, type] | None = None,
    seed: int = 0,
) -> None:
    """Check that a layer does what every layer promises.

    Shapes, finite outputs, and gradients (by finite differences in float64, with and without a trainable layer before
    it, frozen, in short batches and in used memory); that inputs stay as they are, whatever their layout and dtype;
    that samples do not see each other; that backends agree, and float32 with float64; that `get_config` tells all, and
    a saved model comes back.

    Parameters
    ----------
    layer : Layer
        An instance that is in no model yet; it has no weights afterwards either.
    input_shape : tuple of int, or list of tuples
        Shape of one sample, without the batch axis; a list for a layer of several inputs. Odd sizes find more.
    backends : sequence of str, optional
        Default: "numpy" and, where it can be used, "numba".
    independent : bool, optional
        Whether the output for a sample depends on that sample alone, in training too. Default: yes, unless the layer
        has weights without gradients or is `only_in_training`.
    custom_objects : dict, optional
        Class name → class, of what the layer's configuration mentions, such as an initializer of your own.
    seed : int, default 0
        Of the random data and weights.

    Raises
    ------
    ContractError
        What is not as promised, and what to write.
    GradientError
        If a gradient differs from the finite difference.
    """
    if checked_layer(layer, "check_layer").built:
        raise ContractError(
            f"check_layer takes a layer that was not used yet. Received: '{layer.name}', which is built"
        )
    shapes = [sample_shape(shape) for shape in (input_shape if isinstance(input_shape, list) else [input_shape])]
    names = _usable() if backends is None else list(backends)
    try:
        with custom_object_scope({type(layer).__name__: type(layer), **(custom_objects or {})}):
            has_the_promised_shape(Case(layer, shapes, seed, independent))
            for name in names:
                for contract in PER_PLAN:  # first: others need a layer that repeats itself
                    contract(Case(layer, shapes, seed, independent), name, None)
                for contract in PER_BACKEND:
                    contract(Case(layer, shapes, seed, independent), name)
            for contract in ONCE:
                contract(Case(layer, shapes, seed, independent))
    finally:
        layer.forget_build()


def _usable() -> list[str]:
    """The backends of the processor that can be used."""
    try:
        all_backends.get("numba")
    except BackendError:
        return ["numpy"]
    return ["numpy", "numba"]
