"""Activation functions on arrays, under Keras's module name; a layer's ``activation=`` accepts them and their names."""

from minicnn import activation_functions
from minicnn.activation_functions import *  # noqa: F403
from minicnn.functional import leaky_relu, linear, relu, sigmoid, softmax, tanh
from minicnn.layers.activations import get

__all__ = ["get", "leaky_relu", "linear", "relu", "sigmoid", "softmax", "tanh"]
__all__ += activation_functions.__all__
