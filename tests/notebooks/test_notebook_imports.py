"""How notebooks import: every old and new path, with ``minicnn`` in the place of ``tensorflow``."""

import importlib
import re
import warnings
from pathlib import Path

import pytest

import minicnn
from minicnn import keras
from minicnn.keras import _missing

LINES = {
    "sequential": "from minicnn.keras.models import Sequential, Model, load_model, model_from_json, clone_model",
    "layers": "from minicnn.keras.layers import Dense, Dropout, Flatten, Activation, Reshape, Input, InputLayer",
    "convolutions": "from minicnn.keras.layers import Conv2D, MaxPooling2D, AveragePooling2D, ZeroPadding2D",
    "keras 1": "from minicnn.keras.layers import Convolution2D, MaxPooling2D",
    "core": "from minicnn.keras.layers.core import Dense, Dropout, Activation, Flatten, Reshape",
    "convolutional": "from minicnn.keras.layers.convolutional import Conv2D, Convolution2D, ZeroPadding2D",
    "pooling": "from minicnn.keras.layers.pooling import MaxPooling2D, AveragePooling2D, GlobalAveragePooling2D",
    "normalization": "from minicnn.keras.layers.normalization import BatchNormalization",
    "advanced": "from minicnn.keras.layers.advanced_activations import LeakyReLU",
    "merge": "from minicnn.keras.layers.merge import concatenate, add, Concatenate, Add",
    "np_utils": "from minicnn.keras.utils import np_utils, to_categorical; np_utils.to_categorical([0, 1], 2)",
    "to_categorical": "from minicnn.keras.utils.np_utils import to_categorical",
    "vis_utils": "from minicnn.keras.utils.vis_utils import plot_model, model_to_dot",
    "sequence": "from minicnn.keras.utils import Sequence, PyDataset, plot_model, get_file, Progbar, set_random_seed",
    "optimizers": "from minicnn.keras.optimizers import SGD, Adam, RMSprop, Adagrad, Adadelta, Adamax, Nadam",
    "legacy": "from minicnn.keras.optimizers.legacy import Adam, SGD",
    "schedules": "from minicnn.keras.optimizers.schedules import ExponentialDecay, PiecewiseConstantDecay, CosineDecay",
    "callbacks": "from minicnn.keras.callbacks import EarlyStopping, ModelCheckpoint, ReduceLROnPlateau, CSVLogger, "
    "LearningRateScheduler, LambdaCallback, TensorBoard, Callback, History, TerminateOnNaN, RemoteMonitor",
    "losses": "from minicnn.keras.losses import categorical_crossentropy, mean_squared_error, BinaryCrossentropy, mse",
    "metrics": "from minicnn.keras.metrics import Mean, SparseCategoricalAccuracy, categorical_accuracy, AUC",
    "regularizers": "from minicnn.keras.regularizers import l1, l2, L2; from minicnn.keras import regularizers",
    "constraints": "from minicnn.keras.constraints import max_norm, maxnorm, MaxNorm, non_neg, unit_norm",
    "initializers": "from minicnn.keras.initializers import RandomNormal, glorot_uniform, he_normal, Constant",
    "images": "from minicnn.keras.preprocessing.image import ImageDataGenerator, load_img, img_to_array, array_to_img",
    "preprocessing": "from minicnn.keras.preprocessing import image, image_dataset_from_directory; image.load_img",
    "backend": "from minicnn.keras import backend as K; K.image_data_format(), K.clear_session(), K.epsilon()",
    "data sets": "from minicnn.keras.datasets import mnist, cifar10, cifar100, fashion_mnist; cifar100.load_data",
    "attributes": "import minicnn as tf; tf.keras.layers.Dense, tf.keras.utils.to_categorical, tf.data.AUTOTUNE, "
    "tf.keras.callbacks.Callback, tf.keras.Input, tf.keras.preprocessing.image_dataset_from_directory",
    "from keras": "from minicnn import keras; keras.backend.clear_session(), keras.layers, keras.ops, keras.Sequential",
    "experimental": "from minicnn.keras.layers.experimental.preprocessing import Rescaling, RandomFlip, RandomRotation",
    "engine": "from minicnn.keras.engine import Model, Layer; from minicnn.keras.engine.topology import Layer",
    "models": "from minicnn.keras import Input, Model, Sequential, layers, models, optimizers, metrics, datasets",
    "saving": "from minicnn.keras.saving import load_model, register_keras_serializable",
    "custom objects": "from minicnn.keras.utils import get_custom_objects, CustomObjectScope, custom_object_scope",
    "tqdm-like": "from minicnn.keras.utils.generic_utils import get_custom_objects, Progbar",
    "files of Keras 3": "from minicnn.keras.src.applications.mobilenet import MobileNet, preprocess_input; "
    "from minicnn.keras.src.optimizers.schedules import CosineDecay; from minicnn.keras.src.ops.image import resize",
    "what an editor completed": "from minicnn.keras._tf_keras.keras.preprocessing.image import ImageDataGenerator; "
    "from minicnn.keras._tf_keras.keras.layers import Dense; from minicnn.keras.api._v2.keras import models, layers",
    "activations": "from minicnn.keras.activations import relu, softmax, sigmoid, tanh",
}


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
def test_imports(line):
    exec(line, {})


STARS = {
    "layers": "Dense Input Lambda concatenate Conv2D Convolution2D MaxPool2D InputSpec Wrapper ThresholdedReLU",
    "models": "Sequential Model load_model model_from_json",
    "optimizers": "Adam SGD RMSprop schedules get",
    "callbacks": "EarlyStopping ModelCheckpoint Callback",
    "losses": "mean_squared_error categorical_crossentropy mse huber kld",
    "metrics": "categorical_accuracy top_k_categorical_accuracy mae poisson",
    "initializers": "GlorotUniform glorot_uniform he_normal constant",
    "constraints": "MaxNorm max_norm unit_norm",
    "activations": "relu serialize",
    "backend": "epsilon mean sum shape one_hot int_shape",
    "ops": "relu einsum split norm nn",
    "regularizers": "l1 l2 l1_l2",
    "utils": "to_categorical plot_model",
    "preprocessing.image": "ImageDataGenerator load_img img_to_array",
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("module", STARS)
def test_all_names_of_a_module(module):
    exec(f"from minicnn.keras.{module} import *\n{STARS[module].replace(' ', ';')}", {})


def _names_of_keras():
    """Module → its names in Keras 3.15, as `tests/list_keras_operations.py` and its like noted them down."""
    text = (Path(__file__).parent.parent / "keras_names.txt").read_text(encoding="utf-8")
    return {name: names.split() for name, names in re.findall(r"^([\w.]+):\n((?: .*\n)+)", text, re.M)}


@pytest.mark.parametrize("module", [*_names_of_keras(), "ops"])
def test_a_star_brings_what_is_there(module):
    """Nothing that a line with the name itself would bring, without a warning, is left out by one with a star."""
    found, names = importlib.import_module(f"minicnn.keras.{module}"), _names_of_keras().get(module)
    if names is None:
        text = (Path(__file__).parent.parent / "keras_operations.txt").read_text(encoding="utf-8")
        names = re.findall(r"\| (\w+)\(.*\)$", text, re.M)
        assert len(names) > 200
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        left_out = [name for name in names if hasattr(found, name) and name not in found.__all__]
    assert left_out == []


UNKNOWN = {
    "from minicnn.keras.layers import Dens": "Did you mean 'Dense'",
    "from minicnn.keras.layers.core import Dens": "Did you mean 'Dense'",
    "from minicnn.keras.backend import sigmoit": "Did you mean 'sigmoid'",
}


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("line", UNKNOWN)
def test_what_keras_does_not_have_either(line):
    with pytest.raises(ImportError, match=UNKNOWN[line]):
        exec(line, {})


MISSING = {  # what is imported → how it is used, and what is said then
    "from minicnn.keras.layers import LSTM": ("LSTM(8)", "minicnn has no LSTM: it is for convolutional networks"),
    "from minicnn.keras.layers.recurrent import GRU": ("class Own(GRU): pass", "minicnn has no GRU"),
    "from minicnn.keras import layers": ("layers.Masking()", "minicnn has no Masking"),
}


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore:minicnn has no")
@pytest.mark.parametrize("line", MISSING)
def test_what_is_not_there_is_said_when_it_is_used(line):
    use, sentence = MISSING[line]
    names = {}
    exec(line, names)
    with pytest.raises((ImportError, AttributeError), match=sentence):
        exec(use, names)


def test_an_import_of_what_is_not_there_warns():
    _missing._said.clear()
    with pytest.warns(UserWarning, match="minicnn has no LSTM: .*only imported"):
        exec("from minicnn.keras.layers import Dense, LSTM; assert not isinstance(Dense(1), LSTM)", {})


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("src.legacy.preprocessing.image", "ImageDataGenerator"),
        ("src.layers", "Dense"),
        ("src.layers.convolutional.conv2d_transpose", "Conv2DTranspose"),
        ("src.callbacks", "EarlyStopping"),
        ("src.models.sequential", "Sequential"),
        ("src.datasets.mnist", "load_data"),
        ("api.utils", "image_dataset_from_directory"),
        ("api.layers", "Conv2D"),
        ("api.preprocessing.image", "load_img"),
        ("layers.preprocessing.image_preprocessing", "Rescaling"),
        ("mixed_precision.experimental", "Policy"),
    ],
)
def test_files_of_keras(path, name):
    assert callable(getattr(importlib.import_module(f"minicnn.keras.{path}"), name))


def test_what_is_in_no_file_of_keras():
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("minicnn.keras.src.nothing")


def test_mixed_precision_of_gpus_is_float32_on_a_processor():
    with pytest.warns(UserWarning, match="computed in float32"):
        keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        assert keras.mixed_precision.global_policy().name == "mixed_float16"
        assert keras.layers.Dense(2).compute_dtype == keras.mixed_precision.global_policy().compute_dtype == "float32"
    finally:
        keras.mixed_precision.set_global_policy("float32")
    with pytest.warns(UserWarning, match="computed in float32"):
        assert keras.mixed_precision.Policy("mixed_float16").compute_dtype == "float32"
    with pytest.raises(ValueError, match="policy"):
        keras.mixed_precision.set_global_policy("int8")


def test_to_categorical_of_keras_2():
    rows = keras.utils.to_categorical([0, 2], num_classes=3, dtype="float64")
    assert rows.dtype == "float64" and rows.tolist() == [[1, 0, 0], [0, 0, 1]]


@pytest.mark.parametrize("name", ["nn", "reduce_mean", "config"])
def test_functions_of_tensorflow_are_refused_with_advice(name):
    with pytest.raises(
        AttributeError,
        match=f"no attribute '{name}': of TensorFlow it has keras and data; more is in: from minicnn.keras",
    ):
        getattr(minicnn, name)
    with pytest.raises(AttributeError, match=r"has no attribute 'Sequentail'$"):
        _ = minicnn.Sequentail
