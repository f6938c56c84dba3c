"""Keras's own files (.keras): a zip of metadata.json, config.json and model.weights.h5."""

import io
import json
import zipfile
import zlib
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from minicnn.errors import FileFormatError
from minicnn.hints import Config, Shape
from minicnn.numpy_archive import opened_member
from minicnn.saving import hdf5, keras_weights, kinds
from minicnn.saving.files import MAX_JSON, read_json
from minicnn.saving.formats import Format
from minicnn.saving.keras.absent import warn_of_absent
from minicnn.saving.keras.attributes import find_in_groups, goes_by_attributes, name_in, write_parts
from minicnn.saving.keras.compiled import compile_from_keras, compile_to_keras, optimizer_name
from minicnn.saving.keras.config import model_from_keras, model_to_keras, output_names
from minicnn.saving.keras.older import modernized
from minicnn.saving.keras.structure import is_model, parts_of, paths, structure_of
from minicnn.saving.keras_hdf5 import KERAS_VERSION
from minicnn.saving.older_names import MARKED, told_apart
from minicnn.saving.snapshot import Reader as BaseReader
from minicnn.saving.snapshot import Snapshot, Stored, training_text
from minicnn.user_warnings import warn_user

METADATA, CONFIG, WEIGHTS = "metadata.json", "config.json", "model.weights.h5"
MAX_MEMBERS = 1000
MAX_EXPANSION = 20  # how many times its size in the archive the weights may have; Keras does not compress at all


def write(path: Path, snapshot: Snapshot) -> None:
    """Write a model to a new file."""
    config = model_to_keras(snapshot.config)
    warn_of_absent(config)
    if snapshot.compile is not None:
        own = None if config["module"] else snapshot.training.get("compile_config")  # of a class that Keras asks, too
        config["compile_config"] = compile_to_keras(snapshot.compile) if own is None else own
    description = json.dumps(config)
    if len(description) > MAX_JSON:
        raise ValueError(f"a model's description may have {MAX_JSON} bytes. Received: {len(description)}")
    metadata = {"keras_version": KERAS_VERSION, "date_saved": datetime.now().strftime("%Y-%m-%d@%H:%M:%S"), MARKED: 1}
    if snapshot.training:
        metadata["minicnn_training"] = json.loads(training_text(snapshot.training))
    weights = io.BytesIO()
    with hdf5.new_file(weights, ".keras") as file:
        if (parts := parts_of(snapshot.config, by_class=False)) is not None:
            write_parts(file, parts, snapshot.weights)
        else:
            keras_weights.write_layers(file, snapshot.config, snapshot.weights)
            file.create_group("vars").attrs["name"] = structure_of(snapshot.config)["name"]
        if snapshot.compile is not None:
            keras_weights.write_optimizer(file, snapshot)
    with zipfile.ZipFile(path, "x") as archive:
        archive.writestr(METADATA, json.dumps(metadata))
        archive.writestr(CONFIG, description)
        archive.writestr(WEIGHTS, weights.getbuffer())


class Reader(BaseReader):
    """A .keras file of Keras 3 or of tf.keras 2.12 to 2.15."""

    def __init__(self, path: Path) -> None:
        try:
            with zipfile.ZipFile(io.BytesIO(hdf5.file_content(path))) as archive:
                members = _members(archive)
                described = read_json(_read(archive, members[CONFIG], MAX_JSON))
                metadata = read_json(_read(archive, members[METADATA], MAX_JSON)) if METADATA in members else {}
                info = members[WEIGHTS]
                data = _read(archive, info, min(hdf5.MAX_FILE, MAX_EXPANSION * info.compress_size + 4096))
        except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError) as error:
            raise FileFormatError(
                f"expected a zip archive that is whole and not encrypted: {str(error)[:200]}; copy or download it again"
            ) from None
        if "minicnn_training" in metadata and MARKED not in metadata:
            described = told_apart(described)
        self.config: Config | None = model_from_keras(modernized(described, metadata.get("keras_version")))
        self.compile_config: Any = described.get("compile_config")
        if not is_model(self.config) and isinstance(described.get("build_config"), dict):
            self.input_shapes: Any = described["build_config"].get("input_shape")
        self._is_own = "minicnn_training" in metadata
        if isinstance(metadata.get("minicnn_training"), dict):
            self.training: dict[str, Any] = metadata["minicnn_training"]
        self.root: hdf5.Group = hdf5.with_slashes(hdf5.read(data))
        self.numbers: int = hdf5.count_numbers(self.root)

    @cached_property
    def compile(self) -> dict[str, Any] | None:
        """As in `Snapshot`; read when it is wanted, since a model can do without."""
        return compile_from_keras(self.compile_config, output_names(self.config, self.compile_config))

    def find(self, expected: dict[str, Shape], config: Config, by_name: bool = False) -> dict[str, Stored]:
        if set(paths(config)) == set(paths(self.config)):  # tf.keras numbers the groups in the file's own order
            config = self.config | {key: config[key] for key in ("parts",) if key in config}
        return find_in_groups(self.root, expected, config, by_name, self._goes_by_class(config))

    def _goes_by_class(self, config):
        """Whether users' models in a model go by attributes, as in Keras's files, not by the graph, as in minicnn's."""
        if "parts" not in config or not is_model(self.config):
            return True
        return not self._is_own and config["parts"]["by_class"]["form"] == "graph"

    def optimizer(self, slots: tuple[str, ...], expected: dict[str, Shape], config: Config) -> dict[str, Any] | None:
        if self.compile is None:  # which one it was is not in the file
            return None
        node = parts_of(config, self._goes_by_class(config))
        node = node if node is not None and goes_by_attributes(self.root, node) else None
        if node is not None and node["has_other_order"] and name_in(self.root) is None:
            warn_user(
                "the optimizer begins anew: tf.keras lists layers in dicts, and weights of a model's own, in another "
                "order than Keras 3, by which its state would go to other weights"
            )
            return None
        name = optimizer_name(self.compile_config)
        return keras_weights.read_optimizer(self.root, slots, expected, config, self.compile, node, name)


def _members(archive) -> dict:
    """Name → entry of an archive's members, of which none is ever unpacked to a path."""
    infos = archive.infolist()
    if len(infos) > MAX_MEMBERS:
        raise FileFormatError(f"the archive may have {MAX_MEMBERS} members. Received: {len(infos)}")
    members = {info.filename: info for info in infos}
    if len(members) != len(infos):
        raise FileFormatError("the archive has two members of one name")
    missing = [name for name in (CONFIG, WEIGHTS) if name not in members]
    if missing:
        inside = any(
            name.lower().endswith((".h5", ".hdf5", ".keras", ".onnx", ".pb", ".safetensors")) for name in members
        )
        hint = "; unpack it, and load what is in it" if inside else ""
        raise FileFormatError(f"the archive needs {CONFIG} and {WEIGHTS}{hint}. Received: {sorted(members)[:5]}")
    return members


def _read(archive, info, limit) -> bytes:
    """A member's content, of at most `limit` bytes whatever the archive says."""
    with opened_member(archive, info, limit) as member:
        data = member.read(limit + 1)
    if len(data) > limit:
        raise FileFormatError(f"'{info.filename}' is larger than the archive says")
    return data


FORMAT: Format = Format((".keras",), write, Reader, check_writable=hdf5.check_writable, kind=kinds.ARCHIVE)
