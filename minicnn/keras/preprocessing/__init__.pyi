from typing import Any

from minicnn.images import image_dataset_from_directory as image_dataset_from_directory
from minicnn.keras.preprocessing import image as image

def __getattr__(name: str) -> Any: ...
