from typing import Any

from minicnn.callbacks import *
from minicnn.keras.callbacks._further import RemoteMonitor as RemoteMonitor
from minicnn.keras.callbacks._further import SwapEMAWeights as SwapEMAWeights
from minicnn.keras.callbacks._further import TensorBoard as TensorBoard

def __getattr__(name: str) -> Any: ...
