from minicnn.models import *
