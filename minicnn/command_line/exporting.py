"""``minicnn export MODEL --html --onnx …``: a model in other formats."""

from __future__ import annotations

import argparse
from pathlib import Path

from minicnn.command_line.model_files import open_model
from minicnn.command_line.problems import Problem, tell
from minicnn.models import Model

SUFFIXES = {"html": ".html", "onnx": ".onnx", "keras": ".keras", "h5": ".h5", "safetensors": ".safetensors"}


def export(options: argparse.Namespace) -> int:
    """Write each format that is asked for, beside the model where no name is given."""
    wanted = {name: getattr(options, name) for name in SUFFIXES if getattr(options, name) is not None}
    if not wanted:
        raise Problem("say what to write: " + ", ".join(f"--{name}" for name in SUFFIXES))
    paths = {name: _target(name, given, options.model) for name, given in wanted.items()}
    model = open_model(options.model)
    for name, path in paths.items():
        _write(name, model, path)
        tell(f"{name}: {path}")
    return 0


def _target(name, given, source) -> Path:
    suffix = SUFFIXES[name]
    path = source.with_suffix(suffix) if given == Path() else given
    if path.suffix.lower() != suffix:
        raise Problem(f"the name of what --{name} writes ends in {suffix}; received '{path}'")
    if path.exists() and source.exists() and path.samefile(source):  # however the two are spelt
        raise Problem(f"'{path}' is the model itself: give another name, --{name} NAME{suffix}")
    return path


def _write(name: str, model: Model, path: Path) -> None:
    if name == "html":
        from minicnn.page import export_html

        export_html(model, path)
    elif name == "onnx":
        from minicnn.onnx import export_onnx

        export_onnx(model, path)
    else:
        model.save(path)
