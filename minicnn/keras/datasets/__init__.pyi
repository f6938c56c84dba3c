from typing import Any

from minicnn.datasets import *

def __getattr__(name: str) -> Any: ...
