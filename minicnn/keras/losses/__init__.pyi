from minicnn.losses import *
from minicnn.losses import __getattr__ as __getattr__

class Reduction:
    AUTO: str
    SUM_OVER_BATCH_SIZE: str
    NONE: str
    SUM: str
