"""What PyTorch's names are called here, for the error about a name that is not there; docs/pytorch.md has the rest."""

from collections.abc import Mapping

PAGE = "see docs/pytorch.md"
_ARRAYS = "data are NumPy's arrays"
_ANEW = "train_on_batch and fit compute gradients anew for each batch, and change the weights"
_DEVICE = "a model computes on a backend: mc.set_backend('cupy') for a GPU, or compile(backend=…)"
_PRECISION = "dtypes go by policies, keras.mixed_precision.set_global_policy(…)"
_IN_USE = "predict and model(x) act as in use, fit as in training, model(x, training=True) too"
_NOTHING_RECORDED = "nothing is recorded, and so nothing has to be told not to"

_IN_PACKAGE = {
    "nn": "layers are in mc.layers; models are mc.Sequential and subclasses of mc.Model",
    "optim": "optimizers are in mc.optimizers",
    **dict.fromkeys(("no_grad", "inference_mode", "enable_grad", "set_grad_enabled"), _NOTHING_RECORDED),
    **dict.fromkeys(("tensor", "Tensor", "as_tensor", "from_numpy", "FloatTensor", "LongTensor"), _ARRAYS),
    **dict.fromkeys(("device", "cuda"), _DEVICE),
    "manual_seed": "mc.utils.set_random_seed(seed)",
    "save": "model.save(path) writes a model, model.save_weights(path) its weights",
    "load": "mc.load_model(path) reads a model, model.load_weights(path) its weights",
    **dict.fromkeys(("relu", "sigmoid", "softmax", "tanh"), "functions of arrays are in mc.functional"),
}
CLASSES: Mapping[str, str] = {
    "Module": "mc.Model, with `call` in the place of `forward`",
    "Linear": "Dense",
    **{f"Conv{n}d": f"Conv{n}D" for n in (1, 2)},
    **{f"ConvTranspose{n}d": f"Conv{n}DTranspose" for n in (1, 2)},
    **{f"BatchNorm{n}d": "BatchNormalization(momentum=0.9, epsilon=1e-5)" for n in (1, 2)},
    **{f"MaxPool{n}d": f"MaxPooling{n}D" for n in (1, 2)},
    **{f"AvgPool{n}d": f"AveragePooling{n}D" for n in (1, 2)},
    **{f"AdaptiveAvgPool{n}d": f"AdaptiveAveragePooling{n}D" for n in (1, 2)},
    **{f"AdaptiveMaxPool{n}d": f"AdaptiveMaxPooling{n}D" for n in (1, 2)},
    **{f"Dropout{n}d": f"SpatialDropout{n}D" for n in (1, 2)},
    "LayerNorm": "LayerNormalization(epsilon=1e-5)",
    "GroupNorm": "GroupNormalization(groups, epsilon=1e-5)",
    "InstanceNorm2d": "GroupNormalization(groups=-1, epsilon=1e-5)",
    "RMSNorm": "RMSNormalization",
    "Upsample": "UpSampling2D",
    "ZeroPad2d": "ZeroPadding2D",
    "ModuleList": "a list in an attribute of the model",
    "CrossEntropyLoss": "SparseCategoricalCrossentropy(from_logits=True)",
    "NLLLoss": "SparseCategoricalCrossentropy, of probabilities",
    "BCELoss": "BinaryCrossentropy",
    "BCEWithLogitsLoss": "BinaryCrossentropy(from_logits=True)",
    "MSELoss": "MeanSquaredError",
    "L1Loss": "MeanAbsoluteError",
    "SmoothL1Loss": "Huber",
    "KLDivLoss": "KLDivergence",
    "lr_scheduler": "optimizers.schedules, callbacks.LearningRateScheduler or callbacks.ReduceLROnPlateau",
    "DataLoader": "mc.data.Dataset.from_tensor_slices((x, y)).shuffle(len(x)).batch(32), or the arrays themselves",
    "TensorDataset": "mc.data.Dataset.from_tensor_slices((x, y))",
}
"""Layers, losses and the like → what they are called here."""

_OF_MODELS = {
    **dict.fromkeys(("parameters", "named_parameters"), "model.weights, or model.named_weights() with their names"),
    "state_dict": "model.named_weights(), model.get_weights(), or model.save_weights(path)",
    "load_state_dict": "model.set_weights([…]) or model.load_weights(path)",
    **dict.fromkeys(("to", "cuda", "cpu"), _DEVICE),
    **dict.fromkeys(("half", "float", "double", "bfloat16"), _PRECISION),
    **dict.fromkeys(("train", "eval"), _IN_USE),
    "zero_grad": _ANEW,
    **dict.fromkeys(("children", "modules", "named_children", "named_modules"), "model.layers"),
    "requires_grad_": "model.trainable = False, or layer.trainable",
    "apply": "kernel_initializer= of a layer, or layer.set_weights([…])",
}
_OF_OPTIMIZERS = {
    **dict.fromkeys(("step", "zero_grad"), _ANEW),
    "param_groups": "optimizer.learning_rate is one for all weights",
    **dict.fromkeys(("state_dict", "load_state_dict"), "model.save(path) keeps the optimizer's state"),
}
_SHAPED = "layers do it: Flatten(), Reshape(shape), Permute(axes)"
_REDUCED = "layers do it: GlobalAveragePooling2D(), GlobalMaxPooling2D(); minicnn.keras.ops has mean, sum and max"
_NO_NUMBERS = "it has a shape, and no numbers: model.predict(x) gives those"
_OF_TENSORS = {
    **dict.fromkeys(("view", "reshape", "flatten", "permute", "transpose", "squeeze", "unsqueeze", "T"), _SHAPED),
    **dict.fromkeys(("mean", "sum", "max", "min"), _REDUCED),
    **dict.fromkeys(("detach", "numpy", "item", "cpu", "backward", "data", "grad", "tolist"), _NO_NUMBERS),
    "size": "its shape is x.shape",
    **dict.fromkeys(("to", "cuda"), _DEVICE),
}
_BY_BASE = {"Written": _OF_MODELS, "Optimizer": _OF_OPTIMIZERS, "Tensor": _OF_TENSORS}  # class of the package → names
_ATTRIBUTES = {*_OF_MODELS, *_OF_OPTIMIZERS, *_OF_TENSORS}


def package_advice(name: str) -> str:
    """What to take in the place of PyTorch's `name`, looked for in the package itself.

    Returns
    -------
    str
        Begins with "; ", or is empty.
    """
    advice = _IN_PACKAGE.get(name) or CLASSES.get(name)
    return f"; in the place of PyTorch's {name}: {advice}; {PAGE}" if advice else ""


def attribute_advice(cls: type, name: str) -> str:
    """What to write in the place of PyTorch's attribute `name` of an object.

    Parameters
    ----------
    cls : type
        The object's.
    name : str

    Returns
    -------
    str
        Begins with ": ", or is empty.
    """
    if name not in _ATTRIBUTES:  # all that parts may lack is asked for: nearly always a name of ours
        return ""
    for base in cls.__mro__:
        advice = _BY_BASE.get(base.__name__, {}).get(name)
        if advice and base.__module__.startswith("minicnn."):
            return f": {advice}; {PAGE}"
    return ""
