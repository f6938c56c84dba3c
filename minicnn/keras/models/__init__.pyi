from typing import Any

from minicnn.models import *

def __getattr__(name: str) -> Any: ...
