from typing import Any

from minicnn.images import image_dataset_from_directory as image_dataset_from_directory
from minicnn.keras.preprocessing import image as image
from minicnn.keras.preprocessing import sequence as sequence
from minicnn.keras.preprocessing import text as text
from minicnn.keras.utils._timeseries import timeseries_dataset_from_array as timeseries_dataset_from_array

def __getattr__(name: str) -> Any: ...
