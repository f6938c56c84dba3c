from minicnn.activations import *
