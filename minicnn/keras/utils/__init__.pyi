from minicnn.utils import *
