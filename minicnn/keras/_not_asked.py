"""Parts of Keras's layers that subclasses may write there, and that nothing asks for here."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from minicnn.user_warnings import warn_user

_MERGING = ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate", "Dot")
_SCORING = ("Attention", "AdditiveAttention")
_OF_PICTURES = ("Resizing", "CenterCrop", "Solarization", "Equalization", "AutoContrast", "CutMix", "MixUp")
_OF_PICTURES += ("RandAugment", "AugMix", "Random")  # and all that begin so
_ASKED_BY_KERAS = {
    "_moments": ("BatchNormalization",),
    **dict.fromkeys(("_apply_normalization", "_reshape_into_groups"), ("GroupNormalization",)),
    "_get_noise_shape": ("SpatialDropout",),
    "_get_concrete_noise_shape": ("AlphaDropout",),
    "_resize_images": ("UpSampling2D",),
    **dict.fromkeys(("_merge_function", "_apply_merge_op_and_or_mask"), _MERGING),
    **dict.fromkeys(("_calculate_scores", "_apply_scores", "_calculate_score_mask"), _SCORING),
    **dict.fromkeys(("transform_images", "get_random_transformation", "_transform_images"), _OF_PICTURES),
    "_flip_inputs": ("RandomFlip",),
    "_compute_affine_matrix": ("RandomRotation",),
    **dict.fromkeys(("_get_zoom_matrix", "_zoom_inputs"), ("RandomZoom",)),
    **dict.fromkeys(("_get_translation_matrix", "_translate_inputs"), ("RandomTranslation",)),
    "_adjust_contrast": ("RandomContrast",),
    "_get_shear_matrix": ("RandomShear",),
    **dict.fromkeys(("_compute_crop_bounds", "_generate_batch_mask", "_get_fill_value"), ("RandomErasing",)),
}
"""Method → the layers, or how their names begin, whose `call` asks for it in Keras 3.15."""
_OF_CALLBACKS = {
    "EarlyStopping": {"_is_improvement", "_set_monitor_op"},
    "ModelCheckpoint": {"_should_save_model", "_save_model", "_get_file_path", "_should_save_on_batch"},
    "ReduceLROnPlateau": {"in_cooldown"},
}
"""Callback → what it asks itself for in Keras 3.15."""


def warn_of_parts(name: str, kind: str, written: Collection[str], namespace: Mapping[str, Any]) -> None:
    """Warn of a class of a user's that writes such parts, if its own `call` is not all that it computes.

    Parameters
    ----------
    name, kind : str
        Of the class, and of the library's.
    written : collection of str
        What it, and mixins before the library's layer, write.
    namespace : mapping
        Of the class.
    """
    code = getattr(namespace.get("call"), "__code__", None)
    if code is not None and "super" not in code.co_names:
        return
    asked = [part for part, kinds in _ASKED_BY_KERAS.items() if part in written and kind.startswith(kinds)]
    _warn(name, kind, asked, "write what it computes in a call of its own")


def warn_of_callback(cls: type) -> None:
    """Warn of a callback of a user's that writes a part of Keras's own, which it decides by.

    Parameters
    ----------
    cls : type
        A subclass of one of the library's.
    """
    kinds = {base.__name__ for base in cls.__mro__[1:]} & _OF_CALLBACKS.keys()
    for kind in kinds:
        _warn(cls.__name__, kind, _OF_CALLBACKS[kind] & vars(cls).keys(), "decide in its on_epoch_end")


def _warn(name, kind, parts, instead):
    if parts:
        warn_user(
            f"class {name}({kind}) writes {', '.join(sorted(parts))}, which Keras's {kind} goes by, and minicnn's does "
            f"not ask for: {instead}"
        )
