"""The package `onnx`, which knows the file format."""

from types import ModuleType


def import_package() -> ModuleType:
    """The module `onnx`.

    Raises
    ------
    ImportError
        Saying how to install it.
    """
    try:
        import onnx
    except ImportError as error:
        raise ImportError(f"ONNX files need the package onnx: pip install minicnn[onnx] ({error})") from error
    return onnx
