"""Models and weights of other programs: what they are, and what their owner does next."""

from pathlib import Path

from minicnn.errors import FileFormatError
from minicnn.saving.formats import formats
from minicnn.saving.kinds import ARCHIVE, HDF5, PICKLES, SAFETENSORS, beginning, foreign_archive, kind_of

AS_KERAS = "save the model there with model.save('model.keras'), or as ONNX for mc.import_onnx"
AS_ONNX = "python -m tf2onnx.convert {} --output model.onnx makes a file for mc.import_onnx"
AS_ARRAYS = "model.set_weights takes arrays, in the order and the shapes of model.get_weights()"

PYTORCH = (
    "a PyTorch file",
    "export it there with torch.onnx.export, for mc.import_onnx, or bring its weights (docs/pytorch.md)",
)
CHECKPOINT = (
    "a checkpoint of TensorFlow",
    "load_weights of the same model in Keras 2 (pip install tf_keras) reads it, and model.save_weights('model.h5') "
    "there writes what is read here",
)
SAVED_MODEL = (
    "where Keras wrote it, tf_keras.models.load_model of Keras 2 (pip install tf_keras) reads it, and "
    "model.save('model.h5') there writes what is read here; or "
)
TENSORFLOW_JS = (
    "a model of TensorFlow.js",
    "tensorflowjs_converter --input_format=tfjs_layers_model --output_format=keras model.json model.h5 makes a file "
    "that is read here of one that was a Keras model",
)
SHARDS = (
    "an index of weights in several files (max_shard_size)",
    "load_weights there reads them, and save_weights('model.weights.h5') writes one file that is read here",
)
FROZEN = (
    "TensorFlow's graph, with its weights where it is a frozen one",
    f"of a SavedModel, {AS_ONNX.format('--saved-model FOLDER')}; of a frozen graph, "
    "python -m tf2onnx.convert --graphdef graph.pb --inputs NAME:0 --outputs NAME:0 --output model.onnx does",
)
ELSEWHERE = "take the model that it was made of, as ONNX for mc.import_onnx or as a file of Keras"
UNPACKED = (
    "an unpacked .keras archive",
    "put the files in it, without a folder around them, into a zip archive, model.keras",
)
PACKED = "an archive", "unpack it, and load what is in it"
UNFINISHED = "a download that has not ended", "wait until it has, or download it again"
TEXT = ("the text of a model's structure", "mc.models.model_from_json(text) makes the model, with new weights")

KERAS_MEMBERS = (b"metadata.json", b"config.json", b"model.weights.h5")  # of a .keras archive, in whatever order

FOREIGN = {
    ".7z": PACKED,
    ".caffemodel": ("a Caffe model", ELSEWHERE),
    ".crdownload": UNFINISHED,
    ".engine": ("a TensorRT engine", ELSEWHERE),
    ".gz": PACKED,
    ".joblib": ("a pickle of Python objects", AS_KERAS),
    ".json": TEXT,
    ".mlmodel": ("a Core ML model", AS_KERAS),
    ".mlpackage": ("a Core ML model", AS_KERAS),
    ".npy": ("a NumPy array", f"read it with numpy.load; {AS_ARRAYS}"),
    ".npz": ("a NumPy archive", f"read it with numpy.load; {AS_ARRAYS}"),
    ".ort": ("a model of ONNX Runtime", ELSEWHERE),
    ".part": UNFINISHED,
    ".pb": FROZEN,
    ".pkl": ("a pickle of Python objects", AS_KERAS),
    ".pt": PYTORCH,
    ".pt2": PYTORCH,
    ".pth": PYTORCH,
    ".rar": PACKED,
    ".tflite": ("a TensorFlow Lite model", f"{AS_KERAS}: {AS_ONNX.format('--tflite model.tflite')}"),
    ".tgz": PACKED,
    ".weights": ("Darknet's weights", ELSEWHERE),
    ".yaml": (TEXT[0], "keras.models.model_from_yaml(text), of minicnn.keras, makes the model, with new weights"),
}
FOREIGN[".yml"], FOREIGN[".pickle"] = FOREIGN[".yaml"], FOREIGN[".pkl"]


def check_not_foreign(path: Path) -> None:
    """Raise `FileFormatError` if a path is that of another program's model, which is not read."""
    found = _of_folder(path) if path.is_dir() else _of_file(path)
    if found is not None:
        kind, then = found
        raise FileFormatError(f"{path}: expected a file of minicnn or Keras; {then}. Received: {kind}")


def _of_folder(path):
    """What a folder is and what to do, or None."""
    if (path / "saved_model.pb").exists():
        then = SAVED_MODEL + AS_ONNX.format(f"--saved-model {path}")
        return "a folder with TensorFlow's SavedModel", then
    if (path / "model.json").exists():
        return _of_json(path / "model.json")
    if (path / "model.weights.h5").exists():
        return UNPACKED
    return CHECKPOINT if (path / "checkpoint").exists() or any(path.glob("*.index")) else None


def _of_file(path):
    """What a file, or what has the beginning of several files' names, is and what to do, or None."""
    suffix, name = path.suffix.lower(), path.name.lower()
    if path.is_file() and _is_read(path):
        return None
    is_beginning = not path.exists() and path.with_name(f"{path.name}.index").exists()
    if is_beginning or suffix in (".index", ".meta") or suffix.startswith(".data-0") or name == "checkpoint":
        return CHECKPOINT
    if name in ("saved_model.pb", "keras_metadata.pb"):
        return "a file of TensorFlow's SavedModel", SAVED_MODEL + AS_ONNX.format("--saved-model FOLDER")
    if suffix == ".bin" and (path.parent / "model.json").exists():
        return _of_json(path.parent / "model.json")
    if name.endswith(".weights.json"):
        return SHARDS
    if suffix == ".json" and path.is_file():
        return _of_json(path)
    if suffix in FOREIGN or not path.is_file() or any(name.endswith(known) for known in formats()):
        return FOREIGN.get(suffix)
    start = beginning(path)  # of a file whose name says nothing, such as PyTorch's .bin and .ckpt
    return PYTORCH if start.startswith(PICKLES) or "PyTorch" in (foreign_archive(start) or "") else None


def _is_read(path):
    """Whether a file is one of Keras or minicnn under another name: Keras 2 wrote HDF5 and archives under any."""
    kind = kind_of(path)
    first = beginning(path)[30:]  # the name of an archive's first member
    return kind in (HDF5, SAFETENSORS) or (kind == ARCHIVE and first.startswith(KERAS_MEMBERS))


def _of_json(path):
    start = beginning(path)
    return TENSORFLOW_JS if b"-model" in start or b"modelTopology" in start or b"weightsManifest" in start else TEXT
