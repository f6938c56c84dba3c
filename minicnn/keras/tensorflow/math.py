"""``tf.math``: the functions of ``tf`` itself, and logarithms."""

from typing import TYPE_CHECKING, Any

from minicnn.keras.tensorflow import _functions, nn

if TYPE_CHECKING:  # for checkers, which do not see what is made at run time

    def __getattr__(name: str) -> Any: ...


globals().update({name: getattr(_functions, name) for name in _functions.__all__ if name not in ("zeros", "ones")})
globals().update(_functions.MATH)
l2_normalize, softplus = nn.l2_normalize, nn.softplus

__all__ = sorted(name for name in globals() if not name.startswith("_") and name != "nn")
