import numpy as _numpy

from minicnn.keras import backend as _backend
from minicnn.keras.layers._input_spec import InputSpec as InputSpec
from minicnn.keras.layers._merging import Merge as Merge
from minicnn.keras.layers._merging import merge as merge
from minicnn.keras.layers._of_config import deserialize as deserialize
from minicnn.keras.layers._of_keras_1 import Highway as Highway
from minicnn.keras.layers._of_keras_1 import MaxoutDense as MaxoutDense
from minicnn.keras.layers._of_keras_2 import RandomHeight as RandomHeight
from minicnn.keras.layers._of_keras_2 import RandomWidth as RandomWidth
from minicnn.keras.layers._of_keras_2 import ThresholdedReLU as ThresholdedReLU
from minicnn.keras.layers._wrapper import Wrapper as Wrapper
from minicnn.keras.saving._objects import serialize_keras_object as _serialize
from minicnn.layers import *
from minicnn.layers import Conv1D as Conv1D
from minicnn.layers import Conv1DTranspose as Conv1DTranspose
from minicnn.layers import Conv2D as Conv2D
from minicnn.layers import Conv2DTranspose as Conv2DTranspose
from minicnn.layers import Conv3D as Conv3D
from minicnn.layers import Conv3DTranspose as Conv3DTranspose
from minicnn.layers import Input as Input
from minicnn.layers import Lambda as Lambda
from minicnn.layers import SeparableConv1D as SeparableConv1D
from minicnn.layers import SeparableConv2D as SeparableConv2D

K = _backend
np = _numpy
Convolution1D = Conv1D
Convolution1DTranspose = Conv1DTranspose
Convolution2D = Conv2D
Convolution2DTranspose = Conv2DTranspose
Convolution3D = Conv3D
Convolution3DTranspose = Conv3DTranspose
SeparableConvolution1D = SeparableConv1D
SeparableConvolution2D = SeparableConv2D
serialize = _serialize
