from minicnn.datasets.cifar100 import *
