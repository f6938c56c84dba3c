"""``model.export``: a model as a file for other programs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from operator import is_
from typing import Any, NoReturn

from minicnn.graph import Tensor
from minicnn.keras._configs import of_model
from minicnn.keras._in_order import is_asked
from minicnn.keras._missing import NotInMinicnn
from minicnn.keras._parts_in_files import InFiles
from minicnn.keras._warning import warn_once
from minicnn.keras.models._older_names import OlderNames
from minicnn.keras.optimizers._updating import own_rule
from minicnn.layers.added_loss import source_of
from minicnn.models.config import written_config
from minicnn.own_parts import is_of_package
from minicnn.saving.files import write_json
from minicnn.saving.keras.config import model_to_keras
from minicnn.user_warnings import warn_user


class Exporting(OlderNames, InFiles):
    """Methods of the models of Keras 2 and 3."""

    functional: Callable[[list[Tensor], list[Tensor]], Any]  # inputs and outputs → a model
    saved_as: str

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Write the model, with an optimizer of one's own, without added losses that files cannot hold."""
        with own_rule(self.optimizer if self.compiled is not None else None):  # type: ignore[attr-defined]
            bare = _without_code(self)
            super(Exporting, bare).save(*args, **kwargs)  # type: ignore[misc]

    def get_config(self) -> Any:
        """The model's layers and calls with Keras's values, as ``"activation": "relu"``; `from_config` reads them.

        A class with a `call` and a get_config of its own, which adds the constructor's arguments, gets what any model
        has besides: such a config is for ``cls(**config)``.
        """
        is_written = hasattr(self, "call") and not is_of_package(type(self).get_config)
        if is_written and is_asked(sys._getframe(1)):
            return {"name": self.name, "trainable": self.trainable}  # type: ignore[attr-defined]
        return of_model(self.saved_as, super().get_config())  # type: ignore[misc]

    def to_json(self, **kwargs: Any) -> str:
        """The model's structure as JSON, as Keras 3 writes it; see `model_from_json`.

        Parameters
        ----------
        **kwargs
            For `json.dumps`, e.g. ``indent=2``.
        """
        # Keras reads a file's models with the layers that they share, but the text of a model without.
        config = model_to_keras(written_config(self), keeps_sharing=False)  # type: ignore[arg-type]
        return write_json(config, **kwargs)

    def to_yaml(self, **kwargs: Any) -> str:
        """The text of `to_json`, which is YAML as well, as Keras 1 and 2 wrote it."""
        warn_once("to_yaml was dropped by Keras: the text of to_json, which YAML's readers take, is in its place")
        return self.to_json()  # type: ignore[attr-defined]

    def export(self, filepath: Any, format: str = "tf_saved_model", verbose: Any = None, **kwargs: Any) -> None:
        """Write the model for other programs.

        Parameters
        ----------
        filepath : str or path
        format : {"tf_saved_model", "onnx", …}
            "onnx" is the one that there is: what `minicnn.export_onnx` writes.
        verbose, **kwargs : optional
            Not used.

        Raises
        ------
        NotInMinicnn
            For another format.
        """
        if format != "onnx":
            raise NotInMinicnn(
                f"minicnn writes no {format}: model.export(path, format='onnx') writes a file for other programs, "
                "and model.save(path) one for Keras",
                name="export",
            )
        from minicnn.onnx import export_onnx

        export_onnx(self, filepath)  # type: ignore[arg-type]

    def quantize(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refused.

        Raises
        ------
        NotInMinicnn
            Always.
        """
        raise NotInMinicnn(
            "minicnn computes with no whole numbers of 8 bits: keras.mixed_precision has mixed_bfloat16, and "
            "onnxruntime.quantization quantizes what model.export(path, format='onnx') writes",
            name="quantize",
        )


def _without_code(model):
    """The model itself, or without losses added to it that are code, if then a file can hold it."""
    sources = [source_of(tensor) for tensor in model.outputs]
    if all(map(is_, sources, model.outputs)) or not any(layer.holds_code for layer in model.graph.layers):
        return model
    bare = model.functional(model.inputs, sources)
    if any(layer.holds_code for layer in bare.graph.layers):
        return model
    bare.name = model.name
    warn_user(
        f"the losses that were added to model '{model.name}' are code, which no file holds: the file has the model "
        "without them, not compiled"
    )
    return bare


def model_from_yaml(yaml_string: str, custom_objects: Any = None) -> Any:
    """A model from what `to_yaml` gives; of other YAML, which needs a reader of its own, JSON has to be made first.

    Raises
    ------
    ValueError
        If the text is no JSON.
    """
    if not yaml_string.lstrip().startswith("{"):
        raise ValueError(
            "model_from_yaml reads what to_yaml of minicnn.keras writes, which is JSON: "
            f"json.dumps(yaml.safe_load(text)) makes it of other YAML. Received: {yaml_string[:40]!r}"
        )
    return import_module("minicnn.keras.models").model_from_json(yaml_string, custom_objects)
