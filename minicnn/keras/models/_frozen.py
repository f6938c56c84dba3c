"""What is trained is what was trainable when `compile` was called, as Keras's guide to transfer learning says.

A GAN of Keras 1 and 2 counts on it: its discriminator is compiled, then frozen for the model that trains the generator,
as a whole or layer by layer, maybe without its batch normalizations, and `train_on_batch` of the discriminator trains
it all the same.
"""

from __future__ import annotations

from typing import Any

from minicnn.keras._taped import as_numbers, training_of
from minicnn.keras._warning import warn_once
from minicnn.layers import BatchNormalization
from minicnn.models.forms import InForm, layers_within
from minicnn.user_warnings import warn_user


class Freezing:
    """Mixin of Keras's models."""

    _flags_at_compile: dict[Any, bool] | None = None

    def compile(self, *args: Any, **kwargs: Any) -> None:
        super().compile(*args, **kwargs)  # type: ignore[misc]
        is_known = self.graph is not None or hasattr(self, "_stack")  # type: ignore[attr-defined]
        layers = [layer for layer in layers_within(self) if not isinstance(layer, InForm)] if is_known else []
        self._flags_at_compile = {layer: layer.trainable for layer in layers}

    def fit(self, *args: Any, **kwargs: Any) -> Any:
        return self._as_compiled(super().fit, args, kwargs)  # type: ignore[misc]

    def train_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        return self._as_compiled(super().train_on_batch, args, kwargs)  # type: ignore[misc]

    def _as_compiled(self, method, args, kwargs):
        """Call `method` while the layers are as trainable as `compile` saw them."""
        flags = self._flags_to_set()
        for layer, flag in flags.items():
            layer.trainable = flag
        try:
            args, kwargs = as_numbers(list(args)), as_numbers(kwargs)
            with training_of(self):
                return method(*args, **kwargs)
        finally:
            for layer, flag in flags.items():
                if layer.trainable is flag:
                    layer.trainable = not flag

    def _flags_to_set(self):
        """Layers frozen at `compile` stay so; where all but normalizations are frozen by now, all are trained."""
        flags = {layer: flag for layer, flag in (self._flags_at_compile or {}).items() if layer.trainable is not flag}
        changed = [layer for layer in flags if any(w.has_gradient for w in layer.weights)]
        thawed = [layer for layer in changed if layer.trainable]
        if thawed:
            self._say_what_stays(thawed[0])
        again_frozen = {w for layer in thawed for w in layer.weights}  # the other half of a GAN
        if not changed or any(w.trainable and w not in again_frozen for w in self._weights_to_freeze(changed)):
            return {layer: flag for layer, flag in flags.items() if not flag}
        warn_once(
            "a model that was frozen after compile is trained all the same, as in Keras 1 and 2, where compile says "
            "what is trained: today its trainable is set to True, and it is compiled, before it is trained"
        )
        return flags

    def _weights_to_freeze(self, changed):
        """All; but for batch normalizations, which pix2pix leaves trainable, where other layers have been frozen."""
        of_any = all(isinstance(layer, BatchNormalization) for layer in changed)
        left = [] if of_any else [part for part in layers_within(self) if isinstance(part, BatchNormalization)]
        kept = {w for layer in left for w in layer.weights}
        return [w for w in self.weights if w not in kept]  # type: ignore[attr-defined]

    def _say_what_stays(self, layer):
        warn_user(
            f"layer '{layer.name}' was frozen when model '{self.name}' was compiled, and is not trained by it, as "  # type: ignore[attr-defined]
            "in Keras: call compile again after a change of trainable"
        )
