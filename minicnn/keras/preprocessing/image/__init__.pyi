from typing import Any

from minicnn.images import *
from minicnn.images import FileIterator

DirectoryIterator = FileIterator

def __getattr__(name: str) -> Any: ...
