"""``keras.utils``."""

from minicnn import utils as _core
from minicnn.keras._names import lookup

_NAMES = {
    "is_keras_tensor": "minicnn.keras.ops",
    **dict.fromkeys(("deserialize_keras_object", "serialize_keras_object"), "minicnn.keras.saving._objects"),
    "PyDataset": "minicnn.utils.Sequence",
    **dict.fromkeys(("model_to_dot", "plot_model"), "minicnn.keras.utils._drawing"),
    "pad_sequences": "minicnn.keras.preprocessing.sequence",
    "timeseries_dataset_from_array": "minicnn.keras.utils._timeseries",
    "get_file": "minicnn.keras.utils._downloads",
    "split_dataset": "minicnn.keras.utils._splitting",
    "normalize": "minicnn.keras.utils._normalizing",
    "HDF5Matrix": "minicnn.keras.utils._hdf5",
    "custom_object_scope": "minicnn.registry",
    "CustomObjectScope": "minicnn.registry.custom_object_scope",
    **dict.fromkeys(
        (
            *("Progbar", "pack_x_y_sample_weight", "unpack_x_y_sample_weight"),
            *("categorical_probas_to_classes", "probas_to_classes"),
            *(
                "convert_all_kernels_in_model",
                "convert_kernel",
                "get_custom_objects",
                "get_registered_name",
                "get_registered_object",
                "get_source_inputs",
                "image_dataset_from_directory",
                "multi_gpu_model",
                "print_summary",
                "register_keras_serializable",
            ),
            "to_categorical",
        ),
        "minicnn.keras.utils._helpers",
    ),
    **dict.fromkeys(
        ("disable_interactive_logging", "enable_interactive_logging", "is_interactive_logging_enabled"),
        "minicnn.keras.config._accepted",
    ),
    "standardize_dtype": "minicnn.keras._new_arrays",
    "load_img": "minicnn.images",
    **dict.fromkeys(("img_to_array", "array_to_img", "save_img"), "minicnn.keras.preprocessing.image"),
}

__getattr__ = lookup(__name__, ["minicnn.utils"], ["conv_utils"], names=_NAMES, old={"plot": "plot_model"})
__all__ = sorted({*_core.__all__, *_NAMES})
