from minicnn.layers import *
