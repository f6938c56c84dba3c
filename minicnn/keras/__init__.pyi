"""The alias that `minicnn/_keras_alias.py` makes, for type checkers and editors alone: Python never reads these files.

Every module is a folder, because checkers take a folder for something that can be imported.
"""

from minicnn import *
