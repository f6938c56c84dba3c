"""Models that have no graph, as a subclass that trains others or that runs at once: their weights, and a table."""

from __future__ import annotations

import os
import sys
from typing import Any

import numpy as np

from minicnn import saving
from minicnn.console import say
from minicnn.graph import Tensor
from minicnn.keras._own_names import is_of_library
from minicnn.keras._parts_in_files import attributes_for_files
from minicnn.keras.tensorflow._checkpoints import Checkpoint
from minicnn.layers import CenterCrop, Lambda, Rescaling, Resizing
from minicnn.layers.augmentation import ImageLayer
from minicnn.layers.given import images_as_batch
from minicnn.losses.no_loss import NoLoss
from minicnn.metrics import get as metric_of
from minicnn.models.subclassing import layers_in
from minicnn.nested import leaves
from minicnn.saving.files import named_in_errors
from minicnn.training.added_metrics import measured_in
from minicnn.training.weighting import label_of

_PICTURES = (ImageLayer, Rescaling, Resizing, CenterCrop)


def _name_of(metric):
    return metric if isinstance(metric, str) else metric_of(metric).name


def _is_of_keras(filepath):
    """Whether there is a file of this very name, and `save_weights` has written none beside it since."""
    path, own = os.fspath(filepath), f"{os.fspath(filepath)}.npz"
    return os.path.isfile(path) and not (os.path.isfile(own) and os.path.getmtime(own) >= os.path.getmtime(path))


class Graphless:
    """Mixin of Keras's models, for a subclass that is made without inputs and outputs, and has no graph yet."""

    def _start_written(self, name: str | None) -> None:
        if not hasattr(self, "call") and type(self).__module__.partition(".")[0] != "minicnn":
            self.has_own_steps: bool = True  # its methods call what is in its attributes
        super()._start_written(name)  # type: ignore[misc]

    @property
    def is_graphless(self) -> bool:
        """Whether there are weights, but no graph that says where they stand."""
        return self.has_own_steps and vars(self).get("graph") is None

    @property
    def knows_its_weights(self) -> bool:
        """Whether all weights are there, as a stack with some layers that have theirs does not know yet."""
        return self.built or self.is_graphless  # type: ignore[attr-defined]

    def takes_what_waits(self) -> bool:
        """Set the weights that a checkpoint has for a model which had none yet; whether there were such."""
        if "waiting_weights" not in vars(self):  # before weights are listed, since each call of a model asks
            return False
        if not (self.weights and self.knows_its_weights):  # type: ignore[attr-defined]
            return False
        self.set_weights(vars(self)["waiting_weights"])  # type: ignore[attr-defined]
        vars(self).pop("waiting_weights")
        return True

    def _trace(self, inputs: Any) -> None:
        super()._trace(inputs)  # type: ignore[misc]
        self.takes_what_waits()

    def _start(self, *args: Any, **kwargs: Any) -> None:
        super()._start(*args, **kwargs)  # type: ignore[misc]
        self.takes_what_waits()

    def takes_any_pictures(self, x: Any) -> bool:
        """Whether it is one picture without a batch, a list of pictures, or pictures of another size than those before.

        Layers that change pictures one by one take them all the same, each by itself, and so do functions behind those
        that take nothing but pictures.
        """
        layers = self.layers  # type: ignore[attr-defined]
        if isinstance(x, Tensor | dict) or not all(isinstance(layer, (*_PICTURES, Lambda)) for layer in layers):
            return False
        if any(isinstance(layer, Lambda) for layer in layers) and isinstance(layers[0], Lambda | Rescaling):
            return False
        if isinstance(x, list | tuple):
            return isinstance(images_as_batch(x), np.ndarray)
        built = tuple(self.input_shape[1:]) if self.built else None  # type: ignore[attr-defined]
        return np.ndim(x) == 3 or (np.ndim(x) == 4 and built not in (None, np.shape(x)[1:]))

    def need_build(self) -> None:
        """NotBuiltError for a model of which not all weights may be there yet."""
        if not (self.is_graphless and self.weights):  # type: ignore[attr-defined]
            super()._need_weights()  # type: ignore[misc]

    def _need_weights(self) -> None:
        if not self.weights:  # type: ignore[attr-defined]  # those that layers have before, as in Keras, may be set
            self.need_build()

    @property
    def metrics_names(self) -> list[str]:
        """'loss', and the names of the metrics, in the order of what `evaluate` returns."""
        told = self._need_compiled()  # type: ignore[attr-defined]
        if self.is_graphless:
            return ["loss", *map(_name_of, leaves([*told.metrics, *told.weighted_metrics]))]
        outputs = self.log_names()  # type: ignore[attr-defined]
        with_loss = [path for (path, _), own in zip(outputs, told.losses, strict=True) if not isinstance(own, NoLoss)]
        names = [f"{path}_loss" for path in with_loss] if len(with_loss) > 1 else []
        for wanted, is_weighted in ((told.metrics, False), (told.weighted_metrics, True)):
            for (_, own), metrics in zip(outputs, wanted, strict=True):
                for name in map(_name_of, metrics):
                    prefix = f"{own}_" if len(outputs) > 1 else ""
                    names.append(label_of(prefix, name, is_weighted, names))
        return ["loss", *names, *measured_in(self.graph)]  # type: ignore[attr-defined]

    def summary(self, *args: Any, **kwargs: Any) -> None:
        """Print the layers; without a graph, those in attributes, with their number of weights."""
        if not self.is_graphless:
            super().summary(*args, **kwargs)  # type: ignore[misc]
            return
        print_fn = kwargs.get("print_fn") or say
        print_fn(f'Model: "{self.name}" ({type(self).__name__}), without a graph')  # type: ignore[attr-defined]
        for layer in dict.fromkeys(layers_in(list(vars(self).values()))):
            print_fn(f"{layer.name:<32} {type(layer).__name__:<24} {sum(w.numpy().size for w in layer.weights):>12,}")
        print_fn(f"Total params: {sum(w.numpy().size for w in self.weights):,}")  # type: ignore[attr-defined]

    @property
    def built(self) -> bool:
        """Whether the shapes are known, so that weights exist; a user is told so of a model without a graph, too."""
        is_told = not is_of_library(sys._getframe(1)) and self.is_graphless and bool(self.weights)  # type: ignore[attr-defined]
        return is_told or super().built  # type: ignore[misc]

    @built.setter
    def built(self, value: bool) -> None:
        """Nothing: Keras is told ``self.built = True`` of a model without a call; here what is there says it."""

    def save_weights(self, filepath: Any, *args: Any, **kwargs: Any) -> None:
        """Write the weights; without a graph, into a file of this name and ``.npz``, which `load_weights` reads."""
        if self.is_graphless:
            Checkpoint(root=self).write(filepath)
        else:
            super().save_weights(filepath, *args, **kwargs)  # type: ignore[misc]

    def _read_file(self, filepath):
        weights = {f"{number} {weight.path}": weight for number, weight in enumerate(self.weights)}
        parts = attributes_for_files(self, {weight: name for name, weight in weights.items()})
        config = {"class_name": "Functional", "config": {"name": self.name, "layers": []}, "parts": parts}
        with saving.open_file(filepath) as file, named_in_errors(filepath):
            arrays = file.weights({name: weight.shape for name, weight in weights.items()}, config)
        for name, weight in weights.items():
            weight.assign(arrays[name])

    def load_weights(self, filepath: Any, *args: Any, **kwargs: Any) -> Any:
        """Read weights; see `save_weights`. Of a model without a graph, also a file that Keras wrote of its class."""
        if self.is_graphless:
            self._read_file(filepath) if _is_of_keras(filepath) else Checkpoint(root=self).read(filepath)
            return None
        return super().load_weights(filepath, *args, **kwargs)  # type: ignore[misc]
