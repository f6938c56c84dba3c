from typing import Any

from minicnn.datasets import *
from minicnn.keras.datasets import boston_housing as boston_housing
from minicnn.keras.datasets import california_housing as california_housing
from minicnn.keras.datasets import imdb as imdb
from minicnn.keras.datasets import reuters as reuters

def __getattr__(name: str) -> Any: ...
