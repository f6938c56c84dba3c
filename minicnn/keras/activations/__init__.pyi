from typing import Any

from minicnn.activations import *

def __getattr__(name: str) -> Any: ...
