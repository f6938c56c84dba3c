"""``keras.wrappers``: nothing yet."""

from minicnn.keras._names import lookup

__getattr__ = lookup(__name__)
__all__: list[str] = []
