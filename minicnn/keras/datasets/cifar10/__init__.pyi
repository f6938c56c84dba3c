from minicnn.datasets.cifar10 import *
