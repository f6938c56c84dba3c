from typing import Any

from minicnn.images import array_to_img as array_to_img
from minicnn.images import image_dataset_from_directory as image_dataset_from_directory
from minicnn.images import img_to_array as img_to_array
from minicnn.images import load_img as load_img
from minicnn.images import save_img as save_img
from minicnn.keras.preprocessing.sequence import pad_sequences as pad_sequences
from minicnn.keras.utils._downloads import get_file as get_file
from minicnn.keras.utils._drawing import model_to_dot as model_to_dot
from minicnn.keras.utils._helpers import to_categorical as to_categorical
from minicnn.keras.utils._timeseries import timeseries_dataset_from_array as timeseries_dataset_from_array
from minicnn.registry import custom_object_scope as custom_object_scope
from minicnn.utils import *
from minicnn.utils import Sequence

CustomObjectScope = custom_object_scope
PyDataset = Sequence

def __getattr__(name: str) -> Any: ...
