from typing import Any

from minicnn.layers import *
from minicnn.layers import Conv1D, Conv1DTranspose, Conv2D, Conv2DTranspose, SeparableConv1D, SeparableConv2D
from minicnn.layers import Input as Input
from minicnn.layers import Lambda as Lambda

Convolution1D = Conv1D
Convolution1DTranspose = Conv1DTranspose
Convolution2D = Conv2D
Convolution2DTranspose = Conv2DTranspose
SeparableConvolution1D = SeparableConv1D
SeparableConvolution2D = SeparableConv2D

def merge(inputs: Any, mode: str = "sum", concat_axis: int = -1, dot_axes: Any = -1, **kwargs: Any) -> Any: ...
