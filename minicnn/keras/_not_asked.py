"""Parts of Keras's layers that subclasses may write there, and that nothing asks for here."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from inspect import unwrap
from itertools import filterfalse
from typing import Any

from minicnn.callbacks import Callback
from minicnn.own_parts import is_of_package
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
    "_apply_merge_op_and_or_mask": _MERGING,
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


def warn_of_parts(name: str, bases: Sequence[type], written: Collection[str], namespace: Mapping[str, Any]) -> None:
    """Warn of a class of a user's that writes such parts, if no `call` of a user's is all that it computes.

    Parameters
    ----------
    name : str
        Of the class.
    bases : sequence of type
        Of the class: layers of the library, users' classes of such, and mixins.
    written : collection of str
        What it, and mixins before the library's layer, write.
    namespace : mapping
        Of the class.
    """
    classes = [cls for base in bases for cls in base.__mro__]
    kind = next((cls.__name__ for cls in classes if {"core_class", "translate"} <= vars(cls).keys()), "")
    asked = [part for part, kinds in _ASKED_BY_KERAS.items() if part in written and kind.startswith(kinds)]
    if asked and not _begins_anew("call", [namespace, *map(vars, filterfalse(is_of_package, classes))]):
        _warn(name, kind, asked, "write what it computes in a call of its own")


def warn_of_callback(cls: type) -> None:
    """Warn of a callback of a user's that writes a part of Keras's own, which it decides by.

    Parameters
    ----------
    cls : type
        A subclass of one of the library's.
    """
    own = [each for each in cls.__mro__ if not is_of_package(each)]
    written = {name for each in own if each is cls or not issubclass(each, Callback) for name in vars(each)}
    for kind in {base.__name__ for base in cls.__mro__ if is_of_package(base)} & _OF_CALLBACKS.keys():
        if (asked := _OF_CALLBACKS[kind] & written) and not _begins_anew("on_epoch_end", map(vars, own)):
            _warn(cls.__name__, kind, asked, "decide in its on_epoch_end")


def _begins_anew(name, namespaces):
    """Whether one of what users have written as this method does not go on to the library's."""
    codes = [getattr(unwrap(each[name]), "__code__", None) for each in namespaces if name in each]
    return any(code is not None and not {"super", name} & {*code.co_names} for code in codes)


def _warn(name, kind, parts, instead):
    warn_user(
        f"class {name}({kind}) writes {', '.join(sorted(parts))}, which Keras's {kind} goes by, and minicnn's does "
        f"not ask for: {instead}"
    )
