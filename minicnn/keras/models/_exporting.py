"""``model.export``: a model as a file for other programs."""

from __future__ import annotations

from typing import Any

from minicnn.keras._missing import NotInMinicnn


class Exporting:
    """A method of Keras 3's models."""

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
