from typing import Any

from minicnn.callbacks import *

def __getattr__(name: str) -> Any: ...
