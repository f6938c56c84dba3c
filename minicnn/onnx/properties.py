"""What a model says about pictures, among an ONNX file's own properties (metadata_props), as JSON by name."""

from __future__ import annotations

import json
from collections.abc import Mapping

from minicnn.errors import FileFormatError
from minicnn.models import Model
from minicnn.models.pictures import describe_pictures, put_pictures
from minicnn.saving.files import MAX_JSON

PRODUCER = "minicnn"  # what a file that was written here says of its origin
PROPERTIES = ("class_names", "preprocessing")


def properties_of(model: Model) -> dict[str, str]:
    """Name → JSON, for a file."""
    return {name: json.dumps(value) for name, value in describe_pictures(model).items()}


def put_properties(model: Model, properties: Mapping[str, str]) -> None:
    """Give a model what `properties_of` wrote; properties of other programs, in other forms, are left alone."""
    for name in PROPERTIES:
        text = properties.get(name)
        if text is None or len(text) > MAX_JSON:
            continue
        try:
            put_pictures(model, describe_pictures(model) | {name: json.loads(text)})
        except (FileFormatError, ValueError, RecursionError):
            continue
