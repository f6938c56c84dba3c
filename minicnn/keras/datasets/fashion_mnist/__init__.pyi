from minicnn.datasets.fashion_mnist import *
