from minicnn.datasets.mnist import *
