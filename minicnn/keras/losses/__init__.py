"""``keras.losses``."""

from minicnn import losses as _core
from minicnn.keras._names import lookup, public_names

_NAMES = {
    "serialize": "minicnn.registry.to_plain",
    "get": "minicnn.losses",
    "deserialize": "minicnn.losses.get",
}
_FUNCTIONS = (
    *("binary_crossentropy", "categorical_crossentropy", "categorical_hinge", "cosine_similarity", "hinge"),
    *("kl_divergence", "mean_absolute_error", "mean_absolute_percentage_error", "mean_squared_error"),
    *("mean_squared_logarithmic_error", "poisson", "sparse_categorical_crossentropy", "squared_hinge"),
)
_OLD = {"cosine_proximity": "cosine_similarity", "kullback_leibler_divergence": "kl_divergence", "logcosh": "log_cosh"}
__getattr__ = lookup(__name__, ["minicnn.losses"], names=_NAMES, old=_OLD)
__all__ = sorted({*public_names(_core), *_FUNCTIONS})
