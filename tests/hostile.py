"""Damage valid files in thousands of ways, and see that readers refuse them or read something valid.

    python tests/hostile.py --count 20000

Each file of each format in `FORMATS` has to end in the documented error class, or load something that works; without a
crash, within 5 s of processor time and 500 MB of memory, without opening any other file or network connection, and
without importing or running anything. Files are opened in batches by worker processes with limits, so that a crash or a
hang is noticed and belongs to one file. Files that broke a rule are kept (``--keep``), and named by format, number and
the run's seed, with which they can be made again.
"""

import argparse
import contextlib
import gzip
import http.server
import io
import json
import os
import random
import re
import resource
import select
import shutil
import signal
import struct
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import traceback
import warnings
import zipfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

import minicnn as mc
from minicnn import layers
from minicnn.errors import DataError, FileFormatError, NonFiniteError

SECONDS = 5  # of processor time, for one file
PATIENCE = 60  # seconds on the clock without an answer, on a machine that others use too
MEMORY = 500_000_000  # bytes more than before
BATCH = 250  # files that one worker opens at most
OF_PYTHON = re.compile(
    "has no attribute|unhashable|not subscriptable|index out of range|not supported between|is not iter"
)
PROBE = 1_000_000  # numbers in all outputs of a model that is tried on data


# -------------------------------------------------------------------------------------------------------- mutators
# Each takes (content, rng) and returns content; `rng` is a `random.Random`.

WORDS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 2**62, 2**63 - 1, 2**63, 2**64 - 1)


def flip_bits(data, rng):
    """One to eight flipped bits."""
    data = bytearray(data)
    for _ in range(rng.randint(1, 8)):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


def truncate(data, rng):
    """The beginning alone: an interrupted download or a full disk."""
    return data[: rng.choice((0, 1, 7, 8, 9, rng.randrange(len(data)), len(data) - 1))]


def extend(data, rng):
    """More bytes at the end, or the file twice."""
    return data + rng.choice((b"\0", rng.randbytes(rng.randint(1, 5000)), data))


def overwrite(data, rng):
    """A block of zeros, of ones or of noise."""
    start, size = rng.randrange(len(data)), rng.randint(1, 64)
    block = rng.choice((bytes(size), b"\xff" * size, rng.randbytes(size)))
    return data[:start] + block + data[start + size :]


def move_block(data, rng):
    """A block copied to another place, put in or written over."""
    start, size, target = rng.randrange(len(data)), rng.randint(1, 200), rng.randrange(len(data))
    block = data[start : start + size]
    return data[:target] + block + data[target + rng.choice((0, len(block))) :]


def cut_block(data, rng):
    """A block left out."""
    start = rng.randrange(len(data))
    return data[:start] + data[start + rng.randint(1, 200) :]


def big_number(data, rng):
    """A number, in either byte order, that is about to overflow something."""
    size, order = rng.choice((1, 2, 4, 8)), rng.choice(("little", "big"))
    start = rng.randrange(min(len(data), rng.choice((64, 1024, len(data)))))
    word = (rng.choice(WORDS) % 2 ** (8 * size)).to_bytes(size, order)
    return data[:start] + word + data[start + size :]


BYTES = (flip_bits, flip_bits, truncate, extend, overwrite, move_block, cut_block, big_number)


def mutate_bytes(data, rng):
    """One of `BYTES`."""
    return rng.choice(BYTES)(data, rng) if data else rng.randbytes(16)


NASTY = (
    None,
    True,
    -1,
    0,
    1,
    3,
    2**31,
    2**62,
    2**64,
    10**30,
    -(10**18),
    0.5,
    1e308,
    float("inf"),
    float("nan"),
    "",
    "relu",
    "x" * 5000,
    "../../etc/passwd",
    "/dev/zero",
    "{}.__class__",
    "os.system",
    [],
    {},
    [0] * 1000,
    [2**40, 2**40],
    [-1, 3],
    [[]],
    {"class_name": "Lambda", "config": {"function": "4wEAAAAAAAAA"}},
    {"class_name": "os.system", "config": {"command": "touch hostile"}},
    {"class_name": "function", "module": "os", "config": "system", "registered_name": "system"},
    {"class_name": "Dense", "config": {"units": 10**12}},
    {"class_name": "__keras_tensor__", "config": {"keras_history": ["x", 10**9, -1]}},
    {"__array__": "/training/none"},
)


def mutate_json(value, rng):
    """The same data with one edit, somewhere; strings that are JSON themselves are edited inside."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        with contextlib.suppress(ValueError):
            return json.dumps(mutate_json(json.loads(value), rng))
    if isinstance(value, dict | list) and value and rng.random() < 0.9:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        key, edit = rng.choice(keys), rng.random()
        value = value.copy()
        if edit < 0.8:
            value[key] = mutate_json(value[key], rng)
        elif edit < 0.87:
            del value[key]
        elif edit < 0.94:
            value[key] = value[rng.choice(keys)]
        elif isinstance(value, list):
            value[key:key] = [value[rng.choice(keys)]] * rng.choice((1, 2, 300))
        else:
            value[rng.choice((str(key) + "x", "shared_object_id", "training", "class_name"))] = value[key]
        return value
    if isinstance(value, int | float) and rng.random() < 0.3:
        return rng.choice((-value, value + 1, value * 1000, value * 10**9, value / 2, str(value)))
    return rng.choice(NASTY)


def mutate_json_text(text, rng):
    """`mutate_json`, or an edit that JSON's own rules do not allow."""
    kind = rng.random()
    if kind < 0.85:
        return json.dumps(mutate_json(json.loads(text), rng)).encode()
    if kind < 0.9:
        return b'{"a":' * 200_000
    if kind < 0.93:
        return text[:-1] + b', "class_name": "Sequential", "class_name": "os"}'
    return mutate_bytes(text, rng)


def mutate_safetensors(data, rng):
    """The header edited, its length right again."""
    length = int.from_bytes(data[:8], "little")
    header = mutate_json_text(data[8 : 8 + length].rstrip(), rng)
    if rng.random() < 0.1:
        header = header.ljust(length)
    return len(header).to_bytes(8, "little") + header + data[8 + length :]


def mutate_zip(data, rng):
    """A member edited, renamed, repeated, left out or added."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    number, kind = rng.randrange(len(members)), rng.random()
    name, content = members[number]
    if kind < 0.6:
        if name.endswith(".json"):
            content = mutate_json_text(content, rng)
        else:
            content = mutate_hdf5(content, rng) if rng.random() < 0.5 else mutate_bytes(content, rng)
        members[number] = name, content
    elif kind < 0.7:
        del members[number]
    elif kind < 0.8:
        members[number] = rng.choice(("../" + name, "/" + name, name.upper(), "x" * 300, name + "/x")), content
    elif kind < 0.9:
        members.append(rng.choice(((name, content), ("../../hostile", b"x"), ("__init__.py", b"open('hostile', 'w')"))))
    else:
        members[number] = name, rng.choice((b" ", b"\0", b"[")) * 100_000_000
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        for name, content in members:
            large = (zipfile.ZIP_DEFLATED, 1) if len(content) > 10**7 else ()  # level 1 takes a third of the time
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # names that occur twice
                archive.writestr(zipfile.ZipInfo(name), content, *large)
    return target.getvalue()


def mutate_npz(data, rng):
    """As `mutate_zip`, a header of an array edited, or the numbers of another array behind it."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    number = rng.randrange(len(members))
    name, content = members[number]
    end = content.find(b"\n") + 1
    if rng.random() < 0.4 or not name.endswith(".npy"):
        return mutate_zip(data, rng) if rng.random() < 0.5 else mutate_bytes(data, rng)
    described = content[10:end]
    old, new = rng.choice(
        (
            (b"(", rng.choice((b"(-1, ", b"(99999999999, ", b"(0, ", b"(2**60, ", b"((", b"(" * 3000, b"(1e9, "))),
            (b"'<", rng.choice((b"'>", b"'|O", b"'V", b"'<M", b"'<U9999999", b"'"))),
            (b"False", rng.choice((b"True", b"None", b"0", b"__import__('os').system('touch hostile')"))),
            (b"shape", rng.choice((b"form", b"descr", b"x" * 60_000))),
        )
    )
    described = described.replace(old, new, 1)
    length = rng.choice((len(described), len(described), 0, 65_535))
    members[number] = name, content[:8] + length.to_bytes(2, "little") + described + content[end:]
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content)
    return target.getvalue()


def mutate_hdf5(data, rng):
    """A link, a data set or an attribute replaced by something that HDF5 allows and no model needs."""
    import h5py

    target = io.BytesIO(data)
    with h5py.File(target, "r+") as file:
        names = []
        file.visit(names.append)
        name = rng.choice(names)
        place, _, last = name.rpartition("/")
        group, item = file[place or "/"], file[name]
        edits = [lambda: _replace_link(h5py, group, last, item, rng), lambda: _new_attribute(item, rng)]
        if isinstance(item, h5py.Dataset):
            edits = [*edits, lambda: _new_dataset(h5py, group, last, item, rng)] * 2
        texts = [(holder, key) for holder in (file, item) for key in holder.attrs if "config" in key]
        if texts:
            edits += [lambda: _edit_config(*rng.choice(texts), rng)] * 4
        with contextlib.suppress(Exception):  # what h5py itself does not write
            rng.choice(edits)()
    return target.getvalue()


def _replace_link(h5py, group, name, item, rng):
    del group[name]
    group[name] = rng.choice(
        (
            h5py.ExternalLink(CANARY, "/x"),
            h5py.SoftLink("/" + name),
            h5py.SoftLink("/"),
            h5py.SoftLink(group.name),
            group,
            item,
            np.dtype("f8"),
        )
    )


def _new_dataset(h5py, group, name, item, rng):
    shape, dtype = item.shape, item.dtype
    huge = (2**40, *shape) if rng.random() < 0.5 else (*shape[:-1], 10**9)
    del group[name]
    kind = rng.randrange(8)
    if kind == 0:
        group.create_dataset(name, huge, dtype, chunks=True, fillvalue=1)
    elif kind == 1:
        group.create_dataset(name, shape, dtype, external=[(CANARY, 0, h5py.h5f.UNLIMITED)])
    elif kind == 2:
        layout = h5py.VirtualLayout(shape, dtype)
        layout[...] = h5py.VirtualSource(CANARY, "x", shape)
        group.create_virtual_dataset(name, layout)
    elif kind == 3:
        group.create_dataset(
            name, (20_000_000,), dtype, data=np.zeros(20_000_000, dtype), chunks=True, compression="gzip"
        )
    elif kind == 4:
        group.create_dataset(name, shape, h5py.string_dtype())
    elif kind == 5:
        group.create_dataset(name, shape, h5py.vlen_dtype(np.dtype("f4")))
    elif kind == 6:
        group.create_dataset(name, shape, rng.choice(("f2", "f8", "i1", "c8", ">f4", "S9")))
    else:
        group.create_dataset(name, tuple(reversed(shape)) or (1,), dtype, data=np.nan)


def _new_attribute(item, rng):
    key = rng.choice([*item.attrs, "name", "layer_names", "weight_names"])
    item.attrs[key] = rng.choice((b"../x", "x" * 10_000, np.arange(3000), [b"a"] * 300, 1.5, np.zeros((0, 3))))


def _edit_config(holder, key, rng):
    text = holder.attrs[key]
    text = text.encode() if isinstance(text, str) else bytes(text)
    holder.attrs[key] = mutate_json_text(text, rng)


def mutate_onnx(data, rng):
    """A field of the file replaced, repeated, removed or added; everything else is as ONNX has it."""
    import onnx

    model = onnx.ModelProto.FromString(data)
    graph = model.graph
    node, tensor = rng.choice(graph.node), rng.choice(graph.initializer)
    names = [n for node in graph.node for n in (*node.input, *node.output)] + ["", "nothing"]
    edit = rng.randrange(12)
    if edit < 5:
        _edit_message(model, rng, names)
    elif edit == 5:
        node.op_type = rng.choice(
            [n.op_type for n in graph.node] + ["If", "Loop", "ConstantOfShape", "Expand", "Concat"]
        )
    elif edit == 6:
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=rng.choice((CANARY, "../" * 9 + CANARY[1:], "/dev/zero")))
    elif edit == 7:
        tensor.dims[:] = rng.choice(([2**31, 2**31], [2**62], [2**40, 0], [-1], [], [1] * 1000, [*tensor.dims, 2**20]))
    elif edit == 8:
        values = rng.choice(([-1, 2**40], [0] * 50, [2**31] * 4, [-1, -1], [-(2**63)] * 2, [1] * 10**6, []))
        new = graph.node.add(op_type="Constant", output=["hostile"])
        new.attribute.append(onnx.helper.make_attribute("value_ints", values, attr_type=onnx.AttributeProto.INTS))
        graph.node.insert(0, new)
        name = rng.choice(("Reshape", "Pad", "Unsqueeze", "Squeeze", "Expand", "Slice", "Gather", "Concat", "Tile"))
        node.op_type, node.input[1:] = name, ["hostile"]
    elif edit == 9:  # doubles in size with every node
        for number in range(40):
            name = f"doubled{number}"
            new = onnx.helper.make_node(
                "Concat", [node.output[0] if number == 0 else f"doubled{number - 1}"] * 2, [name], axis=1
            )
            graph.node.append(new)
        graph.output[0].name = name
    elif edit == 10:
        nodes = list(graph.node)
        rng.shuffle(nodes)
        del graph.node[:]
        graph.node.extend(nodes)
    else:
        dim = rng.choice(graph.input).type.tensor_type.shape.dim
        rng.choice(dim).dim_value = rng.choice((0, -1, 2**20, 2**31, 2**62))
    return model.SerializeToString()


def _edit_message(message, rng, names):
    """One edit somewhere in a protobuf message."""
    fields = [(field, value) for field, value in message.ListFields() if field.name != "raw_data"]
    field, value = rng.choice(fields)
    if field.is_repeated:
        number = rng.randrange(len(value))
        kind = rng.random()
        if kind < 0.1:
            del value[number]
        elif kind < 0.2:
            value.extend([value[number]] * rng.choice((1, 5, 1000)))
        elif field.message_type is not None:
            _edit_message(value[number], rng, names)
        else:
            value[number] = _other_scalar(value[number], rng, names)
    elif field.message_type is not None and rng.random() < 0.9:
        _edit_message(value, rng, names)
    elif field.message_type is not None or rng.random() < 0.1:
        message.ClearField(field.name)
    else:
        setattr(message, field.name, _other_scalar(value, rng, names))


def _other_scalar(value, rng, names):
    """A value of the same type."""
    if isinstance(value, str):
        return rng.choice([*names, *(v for v in NASTY if isinstance(v, str))])
    if isinstance(value, bytes):
        return rng.choice((b"", b"\xff" * 9, b"SAME_LOWER", rng.randbytes(20)))
    if isinstance(value, float):
        return rng.choice((0.0, -1.0, 1e30, float("nan"), float("inf"), value * 2))
    return rng.choice((0, 1, -1, 2, 3, 7, 11, 2**31 - 1, value + 1, -value))


def mutate_gzip(data, rng):
    """The content edited, compressed again; or a bomb."""
    if rng.random() < 0.05:
        return gzip.compress(bytes(300_000_000), 1)
    return gzip.compress(mutate_bytes(gzip.decompress(data), rng), 1)


def mutate_tar(data, rng):
    """A header of the archive edited, its checksum right again."""
    data = bytearray(gzip.decompress(data))
    starts = [i for i in range(0, len(data), 512) if data[i + 257 : i + 262] == b"ustar"]
    start = rng.choice(starts)
    field, size = rng.choice(((0, 100), (100, 8), (124, 12), (156, 1), (157, 100), (257, 8)))
    data[start + field : start + field + size] = rng.choice(
        (rng.randbytes(size), b"7" * size, b"../../hostile".ljust(size, b"\0")[:size], bytes(size), b"2" * size)
    )
    data[start + 148 : start + 156] = b" " * 8
    data[start + 148 : start + 156] = b"%06o\0 " % sum(data[start : start + 512])
    return gzip.compress(bytes(data), 1)


# --------------------------------------------------------------------------------------------------------- formats

CANARY = os.path.join(tempfile.gettempdir(), "minicnn_hostile_canary.h5")  # whoever opens it follows a file's orders


@dataclass
class Format:
    """One kind of file.

    Attributes
    ----------
    suffix : str
    make : callable
        make(folder) writes valid files there and returns their paths.
    open : callable
        open(path) reads a file; raises if what it gives does not work.
    error : type or tuple of them
        The documented class of the errors for bad files.
    mutators : tuple of callable
        Those that know the format; `mutate_bytes` is used besides, for a third of the files.
    needs : tuple of str
        Modules without which the format cannot be tried.
    opens_more : bool
        Whether opening means more than reading that one file (a download does).
    """

    suffix: str
    make: object
    open: object
    error: object = FileFormatError
    mutators: tuple = ()
    needs: tuple = ()
    opens_more: bool = field(default=False)

    def is_available(self):
        """Whether everything it needs is installed."""
        try:
            for name in self.needs:
                __import__(name)
        except ImportError:
            return False
        return True

    def mutate(self, data, rng):
        """A damaged version of a file; sometimes damaged twice."""
        for _ in range(rng.choice((1, 1, 1, 2))):
            informed = self.mutators and rng.random() < 0.67
            try:
                data = rng.choice(self.mutators)(data, rng) if informed else mutate_bytes(data, rng)
            except Exception:  # too damaged for a second edit that knows the format
                data = mutate_bytes(data, rng)
        return data


def small_models():
    """Models, trained for a step: a stack, and a graph with all that configs can say."""
    stack = mc.Sequential(
        [
            mc.Input((6, 6, 2)),
            layers.Conv2D(3, 3, activation="relu", kernel_regularizer="l2"),
            layers.BatchNormalization(),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(4, activation="softmax"),
        ],
        name="stack",
    )
    stack.compile("adam", "sparse_categorical_crossentropy", ["accuracy"], backend="numpy")
    stack.fit(np.ones((4, 6, 6, 2)), np.arange(4), verbose=0)
    image = mc.Input((5, 5, 1), name="image")
    shared = layers.Dense(3, name="shared")
    x = layers.Flatten()(layers.ZeroPadding2D(1)(image))
    x = layers.Add()([shared(x), shared(layers.LeakyReLU()(x))])
    x = mc.Sequential([layers.Dense(3, activation="tanh")], name="inner")(x)
    graph = mc.Model(image, [layers.Reshape((3, 1))(x), layers.Dense(2, name="two")(x)], name="graph")
    schedule = mc.optimizers.schedules.CosineDecay(0.1, 10)
    graph.compile(mc.optimizers.SGD(schedule, momentum=0.9), ["mse", "mse"], backend="numpy")
    graph.fit(np.ones((4, 5, 5, 1)), [np.ones((4, 3, 1)), np.ones((4, 2))], verbose=0)
    return {"stack": stack, "graph": graph}


def make_models(suffix):
    """A function that writes the small models."""

    def make(folder):
        for name, model in small_models().items():
            model.save(folder / f"{name}{suffix}")
        return sorted(folder.iterdir())

    return make


def make_texts(folder):
    """The structures of the small models as text."""
    for name, model in small_models().items():
        (folder / f"{name}.json").write_text(model.to_json())
    return sorted(folder.iterdir())


def open_text(path):
    """`model_from_json`."""
    model = mc.models.model_from_json(Path(path).read_bytes())
    if model.built:
        try_model(model)


def make_checkpoint(folder):
    """Write a checkpoint in the middle of an epoch."""
    model = small_models()["stack"]
    backup = mc.callbacks.BackupAndRestore(folder, save_freq=2)
    stop = mc.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: batch == 2 and 1 / 0)
    with contextlib.suppress(ZeroDivisionError):
        model.fit(np.ones((8, 6, 6, 2)), np.arange(8) % 4, 2, verbose=0, callbacks=[backup, stop])
    return [backup.path]


def make_weights(suffix):
    """A function that writes the weights of the small models."""

    def make(folder):
        for name, model in small_models().items():
            model.save_weights(folder / f"{name}{suffix}")
        return sorted(folder.iterdir())

    return make


def try_model(model):
    """Use a model that was read: its weights are finite, it runs unless it is large, and it can be described."""
    assert model.built or not model.weights
    assert all(np.isfinite(w).all() for w in model.get_weights())
    mc.models.model_from_json(model.to_json())
    sizes = [np.prod(t.shape[1:], dtype=object) for node in model.graph.nodes for t in node.outputs]
    if sum(sizes) < PROBE:
        outputs = model([np.zeros((1, *t.shape[1:]), "float32") for t in model.inputs])
        for array, tensor in zip(outputs if isinstance(outputs, list) else [outputs], model.outputs, strict=True):
            assert array.shape[1:] == tensor.shape[1:]


def open_model(path):
    """`load_model`."""
    model = mc.load_model(path)
    if model.built:
        try_model(model)


_cache = {}


def open_weights(path):
    """`load_weights` into the small models: one of them has to be as before, or both."""
    models = _cache.setdefault("models", small_models())
    errors = []
    for model in models.values():
        before = model.get_weights()
        try:
            model.load_weights(path)
        except FileFormatError as error:
            errors.append(error)
            after = model.get_weights()
            assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True)), "half loaded"
        else:
            assert all(np.isfinite(w).all() for w in model.get_weights())
    if len(errors) == len(models):
        raise errors[0]


def open_checkpoint(path):
    """Go on from a checkpoint."""
    model = small_models()["stack"]
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(path, Path(folder) / "checkpoint.safetensors")
        callbacks = [mc.callbacks.BackupAndRestore(folder, delete_checkpoint=False)]
        model.fit(np.ones((8, 6, 6, 2)), np.arange(8) % 4, 2, verbose=0, callbacks=callbacks)


def open_onnx(path):
    """`import_onnx`."""
    try_model(mc.import_onnx(path))


def make_onnx(folder):
    """Export the small models; files of PyTorch besides."""
    for name, model in small_models().items():
        mc.export_onnx(model, folder / f"{name}.onnx")
    for path in (Path(__file__).parent / "golden").glob("pytorch_*.onnx"):
        shutil.copy(path, folder)
    return sorted(folder.iterdir())


def make_numbers(folder):
    """Write ``tf.train.Checkpoint``'s file of the small models."""
    from minicnn.keras.tensorflow import train

    train.Checkpoint(**small_models()).write(folder / "numbers")
    return sorted(folder.iterdir())


def open_numbers(path):
    """Restore it: all as before, or all of the file's."""
    from minicnn.keras.tensorflow import train

    models = _cache.setdefault("models", small_models())
    before = {name: model.get_weights() for name, model in models.items()}
    try:
        train.Checkpoint(**models).restore(str(path).removesuffix(".npz"))
    except ValueError:
        for name, model in models.items():
            after = model.get_weights()  # bytes: an edited file may have left NaN, which is unequal to itself
            same = [a.tobytes() == b.tobytes() for a, b in zip(before[name], after, strict=True)]
            assert all(same), "half restored"
        raise


def make_elements(folder):
    """Write a data set as ``Dataset.save`` does."""
    images = {"x": np.ones((4, 3, 3), "float32"), "name": np.array(list("abcd"))}
    mc.data.Dataset.from_tensor_slices((images, [1, 2, 3, 4])).save(folder)
    return sorted(folder.iterdir())


def open_elements(path):
    """``Dataset.load``, and one pass."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(path, Path(folder) / "elements.zip")
        for element in mc.data.Dataset.load(folder):
            assert element is not None


def make_mnist(folder):
    """Keras's file of MNIST, small."""
    images, labels = np.ones((5, 28, 28), np.uint8), np.arange(5, dtype=np.uint8)
    np.savez_compressed(folder / "mnist.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    return sorted(folder.iterdir())


def open_mnist(path):
    """`keras.datasets.mnist.load_data` of the file."""
    from minicnn.keras.datasets import mnist

    for part in mnist.load_data(path):
        assert all(array.dtype.kind in "biufcSU" for array in part)


def make_idx(folder):
    """Images, plain and compressed."""
    content = struct.pack(">4B3I", 0, 0, 8, 3, 5, 28, 28) + bytes(range(256)) * 15 + bytes(80)
    (folder / "images").write_bytes(content)
    (folder / "images.gz").write_bytes(gzip.compress(content))
    return sorted(folder.iterdir())


def open_idx(path):
    """Read images as `mnist.load_data` does."""
    from minicnn.datasets._idx import read_idx

    images = read_idx(path, (28, 28), 60_000)
    assert images.shape[1:] == (28, 28)


def make_cifar(folder):
    """The archive with small batches."""
    from minicnn.datasets import cifar10

    cifar10.RECORDS = 3
    with tarfile.open(folder / cifar10.ARCHIVE.name, "w:gz") as archive:
        for name in (*cifar10.BATCHES, cifar10.TEST_BATCH):
            content = (b"\3" + bytes(range(256)) * 12) * cifar10.RECORDS
            info = tarfile.TarInfo(f"{cifar10.BATCH_FOLDER}/{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return sorted(folder.iterdir())


def open_cifar(path):
    """`cifar10.load_data` on the archive alone."""
    from minicnn.datasets import cifar10

    cifar10.RECORDS = 3
    batches = cifar10._read_archive(Path(path))
    images, labels = cifar10._to_images(batches, cifar10.BATCHES, Path(path))
    assert images.shape == (15, 32, 32, 3)
    assert labels.max() < 10


def open_download(path):
    """Download the file from a server that announces the length of the whole one, and breaks off."""
    import hashlib

    from minicnn.datasets import _files

    whole = make_idx_bytes()
    content = Path(path).read_bytes()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(len(whole)))
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(content)

        def log_message(self, *args):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server, tempfile.TemporaryDirectory() as folder:
        threading.Thread(target=server.handle_request, daemon=True).start()
        mirror = f"http://127.0.0.1:{server.server_port}/"
        file = _files.RemoteFile("x.gz", len(whole), hashlib.sha256(whole).hexdigest(), (mirror,))
        try:
            got = _files.download(file, Path(folder)).read_bytes()
        except DataError:
            assert not (Path(folder) / "x.gz").exists(), "a bad download was kept"
            raise
        assert got == whole


def make_idx_bytes():
    """What a download should give."""
    return bytes(range(256)) * 20


def make_download(folder):
    """The file to be served."""
    (folder / "x.gz").write_bytes(make_idx_bytes())
    return [folder / "x.gz"]


FORMATS = {
    "safetensors": Format(".safetensors", make_models(".safetensors"), open_model, mutators=(mutate_safetensors,)),
    "safetensors weights": Format(
        ".safetensors", make_weights(".safetensors"), open_weights, mutators=(mutate_safetensors,)
    ),
    "checkpoint": Format(  # absurd weights or momenta are found by the training itself
        ".safetensors",
        make_checkpoint,
        open_checkpoint,
        (FileFormatError, NonFiniteError),
        (mutate_safetensors,),
        opens_more=True,
    ),
    "keras": Format(".keras", make_models(".keras"), open_model, mutators=(mutate_zip,), needs=("h5py",)),
    "h5": Format(".h5", make_models(".h5"), open_model, mutators=(mutate_hdf5,), needs=("h5py",)),
    "weights.h5": Format(
        ".weights.h5", make_weights(".weights.h5"), open_weights, mutators=(mutate_hdf5,), needs=("h5py",)
    ),
    "json": Format(".json", make_texts, open_text, mutators=(mutate_json_text,)),
    "onnx": Format(".onnx", make_onnx, open_onnx, mutators=(mutate_onnx,), needs=("onnx",)),
    "checkpoint of numbers": Format(
        ".npz", make_numbers, open_numbers, ValueError, (mutate_npz,)
    ),  # another network's is a ValueError, too
    "data set": Format(".zip", make_elements, open_elements, mutators=(mutate_npz,), opens_more=True),
    "mnist.npz": Format(".npz", make_mnist, open_mnist, mutators=(mutate_npz,)),
    "idx": Format("", make_idx, open_idx, DataError, (mutate_gzip,)),
    "cifar-10": Format(".tar.gz", make_cifar, open_cifar, DataError, (mutate_tar, mutate_gzip)),
    "download": Format(".gz", make_download, open_download, DataError, (truncate,), opens_more=True),
}


def misbehave(path):
    """Break the rule that the file names."""
    word = Path(path).read_bytes()
    if word == b"hang":
        while True:
            pass
    if word == b"crash":
        os.abort()
    if word == b"memory":
        np.ones(MEMORY // 8 + 10**7)
    if word == b"wrapped memory":
        try:
            np.ones(MEMORY)
        except MemoryError as error:
            raise FileFormatError("too large") from error
    if word == b"look":
        open(CANARY, "wb").close()
    if word == b"run":
        os.system("true")
    if word == b"raise":
        raise KeyError(word)
    if word == b"refuse":
        raise FileFormatError("refused")


MISBEHAVIOUR = ("hang", "crash", "memory", "wrapped memory", "look", "run", "raise")


def make_misbehaviour(folder):
    """A file that does no harm."""
    (folder / "none").write_bytes(b"none")
    return [folder / "none"]


TRIAL = Format("", make_misbehaviour, misbehave)  # of this harness


# ---------------------------------------------------------------------------------------------------------- worker


class Watch:
    """Notes, through Python's audit events, what a reader does beside reading the one file."""

    FORBIDDEN = ("os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "os.fork", "socket.", "ctypes.dlopen")
    CHANGES = ("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "shutil.")
    CODE = (".py", ".pyc", ".so", ".pyi")

    def __init__(self):
        self.path, self.seen = None, []
        sys.addaudithook(self)

    def __call__(self, event, args):
        if self.path is None:
            return
        if event == "open" and isinstance(args[0], str | bytes | os.PathLike):
            opened, mode = os.fsdecode(args[0]), args[1] or ""
            if opened != self.path and not (opened.endswith(self.CODE) and "w" not in mode):
                self.seen.append(f"open {opened}")
            elif opened == self.path and mode.strip("rb"):
                self.seen.append(f"open {opened} for writing")
        elif event.startswith(self.FORBIDDEN) or event.startswith(self.CHANGES):
            self.seen.append(f"{event} {args!r:.200}")


def work(name, seconds):
    """Open the files whose paths come on stdin, each in so much of processor time; a line of JSON for each."""
    chosen, watch = FORMATS.get(name, TRIAL), Watch()
    with tempfile.TemporaryDirectory() as folder:  # all that is imported late is imported now
        for path in chosen.make(Path(folder)):
            chosen.open(path)
    peak = _peak()
    limit = _virtual() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        path = line.rstrip("\n")
        signal.setitimer(signal.ITIMER_PROF, seconds)  # its signal ends the process
        watch.path, watch.seen = (None if chosen.opens_more else path), []
        result = _outcome(chosen, path)
        watch.path = None
        signal.setitimer(signal.ITIMER_PROF, 0)
        Path(CANARY).unlink(missing_ok=True)
        grown = _peak() - peak
        if grown > MEMORY:
            result["broken"] = f"memory grew by {grown / 1e6:.0f} MB"
        if watch.seen:
            result["broken"] = "; ".join(watch.seen[:5])
        print(json.dumps(result), flush=True)


def _outcome(chosen, path):
    try:
        chosen.open(path)
    except chosen.error as error:
        if any(isinstance(e, MemoryError) for e in _chain(error)):
            return {"broken": f"memory: {error}"}
        if OF_PYTHON.search(str(error)):
            return {"broken": f"no sentence of the library: {error}"}
        return {"outcome": "refused", "message": str(error)}
    except BaseException:
        return {"broken": traceback.format_exc()}
    return {"outcome": "read"}


def _chain(error):
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _peak():
    """The most memory that the process ever had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _virtual():
    """The address space that the process has, in bytes."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * resource.getpagesize()


# ---------------------------------------------------------------------------------------------------------- master


class Worker:
    """A process that runs `work`."""

    def __init__(self, name, seconds=SECONDS):
        self.seconds = seconds
        environment = os.environ | {"MINICNN_BACKEND": "numpy"}
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--work", name, str(seconds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
        )
        if not self._answer():
            raise RuntimeError(f"the worker for '{name}' does not start")
        self.opened = 0

    def _answer(self):
        """The next line as a dict; None if there is none."""
        ready, _, _ = select.select([self.process.stdout], [], [], PATIENCE)
        line = self.process.stdout.readline() if ready else b""
        return json.loads(line) if line else None

    def open(self, path):
        """What became of a file."""
        self.process.stdin.write(f"{path}\n".encode())
        self.process.stdin.flush()
        self.opened += 1
        answer = self._answer()
        if answer is None:
            self.close()
            code = self.process.returncode
            known = {-signal.SIGPROF: f"more than {self.seconds} s", -signal.SIGKILL: "no answer"}
            return {"broken": known.get(code, f"crash: {code}")}
        return answer

    def close(self):
        """End the process."""
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        try:
            self.process.wait(1 if self.process.poll() is None else 0)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


def try_format(name, count, seed, keep=None, seconds=None):
    """Open `count` damaged files of a format.

    Parameters
    ----------
    name : str
        Of `FORMATS`.
    count, seed : int
    keep : Path, optional
        Where files that broke a rule go.
    seconds : float, optional
        Stop after so long.

    Returns
    -------
    (Counter of outcomes, list of what was broken)
    """
    chosen, outcomes, broken, worker = FORMATS[name], Counter(), [], None
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "valid").mkdir()
        valid = [path.read_bytes() for path in chosen.make(Path(folder) / "valid")]
        try:
            for number in range(count):
                if seconds is not None and time.monotonic() - begin > seconds:
                    break
                rng = random.Random(f"{seed} {name} {number}")
                path = Path(folder) / f"file{chosen.suffix}"
                path.write_bytes(chosen.mutate(rng.choice(valid), rng))
                if worker is None or worker.opened >= BATCH or worker.process.poll() is not None:
                    if worker is not None:
                        worker.close()
                    worker = Worker(name)
                result = worker.open(path)
                outcomes[result.get("outcome", "broken") if "broken" not in result else "broken"] += 1
                if "broken" in result:
                    broken.append(f"{name} {number} (seed {seed}): {result['broken']}")
                    if keep is not None:
                        keep.mkdir(parents=True, exist_ok=True)
                        shutil.copy(path, keep / f"{name.replace(' ', '_')}_{seed}_{number}{chosen.suffix}")
        finally:
            if worker is not None:
                worker.close()
    return outcomes, broken


def main():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--count", type=int, default=20_000, metavar="N", help="files of all formats together (default: 20,000)")
    add("--formats", nargs="+", choices=FORMATS, default=list(FORMATS), metavar="FORMAT", help=", ".join(FORMATS))
    add("--seed", type=int, metavar="N", help="default: drawn and printed")
    add("--keep", type=Path, metavar="DIR", help="keep files that broke a rule there")
    add("--work", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work is not None:
        work(options.work[0], float(options.work[1]))
        return 0
    seed = random.randrange(2**32) if options.seed is None else options.seed
    print(f"seed: {seed}")
    names = [name for name in options.formats if FORMATS[name].is_available()]
    print(f"left out: {', '.join(set(options.formats) - set(names)) or 'nothing'}")
    total, broken = Counter(), []
    for name in names:
        outcomes, more = try_format(name, -(-options.count // len(names)), seed, options.keep)
        print(f"{name}: {dict(outcomes)}", flush=True)
        for line in more[:5]:
            print(f"  {line}")
        total, broken = total + outcomes, broken + more
    print(f"{sum(total.values())} files: {total['read']} read, {total['refused']} refused, {len(broken)} broken")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
