from minicnn.datasets import *
