from typing import Any

from minicnn.images import *
from minicnn.images.iterators import BatchIterator
from minicnn.keras.preprocessing.image._iterators import DataFrameIterator as DataFrameIterator
from minicnn.keras.preprocessing.image._iterators import DirectoryIterator as DirectoryIterator

Iterator = BatchIterator

def __getattr__(name: str) -> Any: ...
