from minicnn.callbacks import *
