"""What is meant by a name that is there, but not where it was looked for: another library's, or one of another kind."""

from collections.abc import Mapping
from types import MappingProxyType

from minicnn.pytorch_names import CLASSES, PAGE, attribute_advice

_METRIC = "is a metric: compile(optimizer, loss, metrics=[{name!r}]), beside a loss such as '{loss}'"
_LOSS = "is a loss: compile(optimizer='adam', loss={name!r})"
_OPTIMIZER = "is an optimizer: compile(optimizer={name!r}, loss='sparse_categorical_crossentropy')"
_LOSSES = ("mse", "mae", "mean_squared_error", "binary_crossentropy", "categorical_crossentropy")
_OF_OTHER_KIND: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "loss": {
            **dict.fromkeys(("accuracy", "acc", "auc", "precision", "recall"), _METRIC),
            **dict.fromkeys(("adam", "sgd", "rmsprop", "adamw"), _OPTIMIZER),
        },
        "optimizer": dict.fromkeys((*_LOSSES, "sparse_categorical_crossentropy"), _LOSS),
        "metric": dict.fromkeys(("f1", "f1_score"), "is metrics.F1Score(), of one column per class or a sigmoid"),
    }
)  # kind → name in lower case → what it is
_FUNCTIONS = {
    "cross_entropy": "CrossEntropyLoss",
    "nll_loss": "NLLLoss",
    "binary_cross_entropy": "BCELoss",
    "binary_cross_entropy_with_logits": "BCEWithLogitsLoss",
    "mse_loss": "MSELoss",
    "l1_loss": "L1Loss",
}  # of torch.nn.functional → the class that does the same
_OF_NUMBERS = {
    "regularizer": "regularizers.L2({})",
    "initializer": "initializers.Constant({})",
    "optimizer": "optimizers.SGD(learning_rate={})",
}  # kind → what takes a number
_LOW_RANK = (
    "low-rank adapters (LoRA) are not there: trainable = False freezes layers, and a smaller one is trained beside"
)
_QUANTIZED = (
    "weights stay floats here: policies of bfloat16 (docs/bfloat16.md) halve them, and ONNX's tools quantize a file"
)
_OF_KERAS = {
    **dict.fromkeys(("enable_lora", "lora_enabled", "lora_rank"), _LOW_RANK),
    **dict.fromkeys(("quantize", "quantized_build", "quantization_mode"), _QUANTIZED),
    "call": "model(x, training=…) calls a model that has no `call` of its own",
    "add_loss": "kernel_regularizer= and activity_regularizer= are penalties of layers; others are added by models and "
    "classes of one's own in minicnn.keras",
}
_IN_KERAS = "models, layers and optimizers of minicnn.keras have it (from minicnn import keras); see docs/keras.md"
_OF_KERAS_ROOM = {
    *("apply_gradients", "minimize", "trainable_variables", "non_trainable_variables", "variables"),  # beside a tape
    *("train_step", "test_step", "predict_step", "compute_loss", "add_metric"),
    *("fit_generator", "evaluate_generator", "predict_generator", "predict_classes"),
}
_ESTIMATORS = "minicnn.sklearn.CNNClassifier is an estimator; see docs/sklearn.md"
_OF_ESTIMATORS = {
    "score": "model.evaluate(x, y) gives the loss and the metrics",
    "predict_proba": "model.predict(x) gives probabilities where the last layer is a softmax or a sigmoid",
    "partial_fit": "model.train_on_batch(x, y), or fit again, which goes on with the weights that are there",
}


def other_meaning(kind: str, name: object) -> str:
    """What `name` is that is none of its kind.

    Parameters
    ----------
    kind : str
        What the name should have named, e.g. 'optimizer'.
    name : object
        What the user wrote.

    Returns
    -------
    str
        A sentence that begins with " ", or nothing.
    """
    if name in CLASSES and "of model" not in kind:
        return f" If PyTorch's is meant, {name} is {CLASSES[name]} here; {PAGE}."
    other = _OF_OTHER_KIND.get(kind, {}).get(str(name).lower())
    return f" {name!r} {other.format(name=name, loss='sparse_categorical_crossentropy')}." if other else ""


def thing_advice(kind: str, thing: object) -> str:
    """What to take in the place of a thing that is none of its kind: a part of PyTorch, a class, a number.

    Parameters
    ----------
    kind : str
        What is wanted, e.g. 'loss'.
    thing : object

    Returns
    -------
    str
        Begins with "; ", or is empty.
    """
    cls = thing if isinstance(thing, type) else type(thing)
    named = thing if hasattr(thing, "__qualname__") else cls  # a class or a function, or an object of one
    if any(_is_of_torch(part) for part in (named, *cls.__mro__)):
        name = str(getattr(named, "__name__", ""))
        here = CLASSES.get(_FUNCTIONS.get(name, name))
        return f"; PyTorch's {name} is {here} here, {PAGE}" if here else f"; parts of PyTorch are not taken, {PAGE}"
    if kind == "layer" and isinstance(thing, type):
        return f"; a class is called first: {thing.__name__}(…)"
    if kind == "activation" and isinstance(thing, int):
        return "; a layer is given how many outputs it has, and sees the number of its inputs: Dense(10)"
    if kind in _OF_NUMBERS and isinstance(thing, int | float):
        return f"; a number is given to one: {_OF_NUMBERS[kind].format(thing)}"
    return ""


def _is_of_torch(part):
    return str(getattr(part, "__module__", "")).partition(".")[0] == "torch"


def explain_missing(thing: object, name: str) -> object:
    """A ``__getattr__``: the usual error, or that of a property, with what another library's name is here."""
    cls = type(thing)
    if not hasattr(cls, name) and (advice := _advice(cls, name)):
        raise AttributeError(f"{cls.__name__!r} object has no attribute {name!r}{advice}")
    return object.__getattribute__(thing, name)


def _advice(cls, name):
    of_keras = f": {_OF_KERAS[name]}" if name in _OF_KERAS else ""
    return attribute_advice(cls, name) or _estimator_advice(cls, name) or of_keras or _room_advice(cls, name)


def _room_advice(cls, name):
    if name not in _OF_KERAS_ROOM:
        return ""
    is_there = any(base.__module__.startswith("minicnn.keras") for base in cls.__mro__)
    has_parts = any(base.__name__ in ("Layer", "Optimizer", "Written") for base in cls.__mro__)
    return f": {_IN_KERAS}" if has_parts and not is_there else ""


def _estimator_advice(cls, name):
    if name not in _OF_ESTIMATORS:
        return ""
    is_model = any(base.__name__ == "Written" and base.__module__.startswith("minicnn.") for base in cls.__mro__)
    return f": {_OF_ESTIMATORS[name]}, and {_ESTIMATORS}" if is_model else ""
