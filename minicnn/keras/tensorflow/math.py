"""``tf.math``: the functions of ``tf`` itself, and logarithms."""

from minicnn.keras.tensorflow import _functions, nn

globals().update({name: getattr(_functions, name) for name in _functions.__all__ if name not in ("zeros", "ones")})
globals().update(_functions.MATH)
l2_normalize, softplus = nn.l2_normalize, nn.softplus

__all__ = sorted(name for name in globals() if not name.startswith("_") and name != "nn")
