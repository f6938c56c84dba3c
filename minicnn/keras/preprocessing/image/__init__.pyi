from typing import Any

from minicnn.images import *

def __getattr__(name: str) -> Any: ...
