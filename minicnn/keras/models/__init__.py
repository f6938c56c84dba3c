"""``keras.models``: minicnn's models, with the methods and arguments of Keras 1, 2 and 3."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from functools import reduce
from typing import Any, NoReturn
from weakref import ref

from minicnn import models as core
from minicnn.errors import unknown_name
from minicnn.graph import Tensor
from minicnn.keras import layers, optimizers
from minicnn.keras._applied import compiled_with
from minicnn.keras._changed import Following
from minicnn.keras._composed import own_weights
from minicnn.keras._eager import eager
from minicnn.keras._generators import LOADING, FirstAgain, is_read_once, whole_steps
from minicnn.keras._given import Remembering, given
from minicnn.keras._in_order import InOrder, answering, is_asked, layers_set_in
from minicnn.keras._names import BROUGHT, lookup
from minicnn.keras._old_logs import OldLogs
from minicnn.keras._on_constants import with_weights
from minicnn.keras._operation_marks import WithOperations, listed
from minicnn.keras._own_names import OwnNames
from minicnn.keras._own_weights import declared, names_apart
from minicnn.keras._scopes import Stacking, inside
from minicnn.keras._starred import starred
from minicnn.keras._steps import Stepping
from minicnn.keras._taped import nothing_recorded
from minicnn.keras._translation import named_today, renamed, translated, without
from minicnn.keras._warning import warn_once
from minicnn.keras.layers._masks import check_in_stack
from minicnn.keras.layers._of_config import as_in_keras
from minicnn.keras.models._accuracy import ShowingAccuracy
from minicnn.keras.models._any_size import AnySize, AnySizeOfCall
from minicnn.keras.models._at_once import AtOnce
from minicnn.keras.models._branches import WithBranches
from minicnn.keras.models._building import Building, warn_of_unused_call
from minicnn.keras.models._class_weights import WeighingOutputs
from minicnn.keras.models._closures import WithClosures
from minicnn.keras.models._compiling import (
    IS_COMPILED,
    NOT_USED,
    Assignable,
    LayerList,
    MetricNames,
    compile_like,
    compiled_today,
    demanded,
    flat_callbacks,
    follow_variables,
    for_each_output,
    in_order_of_names,
    losses_today,
    metrics_today,
    numbers_of,
    with_flat_callbacks,
    without_targets,
)
from minicnn.keras.models._exporting import Exporting
from minicnn.keras.models._frozen import Freezing
from minicnn.keras.models._graphless import Graphless
from minicnn.keras.models._listed_values import ListingValues
from minicnn.keras.models._older_calls import OlderCalls
from minicnn.keras.models._older_names import lend_data
from minicnn.keras.models._outer_ends import WithOuterEnds
from minicnn.keras.models._places import file_at, warn_of_own_files, write_to
from minicnn.keras.models._whole_inputs import WholeInputs, cast_within
from minicnn.keras.optimizers._updating import begun_anew
from minicnn.keras.utils._helpers import with_registered
from minicnn.layers.open_sizes import all_fit
from minicnn.models.arguments import check_model
from minicnn.models.forms import layers_within
from minicnn.nested import leaves
from minicnn.parameters import Weight

_FIT = {"nb_epoch": "epochs", "nb_val_samples": "validation_steps"}


class _OldMethods(
    OwnNames,
    WholeInputs,
    ListingValues,
    InOrder,
    Assignable,
    ShowingAccuracy,
    WeighingOutputs,
    Freezing,
    AtOnce,
    Exporting,
    Remembering,
    Graphless,
    Stepping,
    OlderCalls,
    WithOuterEnds,
):
    """What models could do in Keras 1 and 2, and the arguments that they took."""

    keeps_columns = True
    compiled = IS_COMPILED
    jit_compile = False  # accepted by `compile`, and not needed

    @classmethod
    def from_config(cls, config: Any, *args: Any, **kwargs: Any) -> Any:
        return _with_old_methods(super().from_config(config, *args, **kwargs))

    def compile(self, optimizer: Any = "rmsprop", *args: Any, **kwargs: Any) -> None:
        if not isinstance(kwargs.get("metrics") or [], list | tuple | dict):  # one, as Keras 2 took it
            kwargs["metrics"] = [kwargs["metrics"]]
        kwargs = {n: metrics_today(v) if n in ("metrics", "weighted_metrics") else v for n, v in kwargs.items()}
        args = tuple(self._crossentropy(losses_today(loss)) for loss in args[:1]) + args[1:]
        if len(self.outputs if self.built else ()) > 1 and "metrics" in kwargs:
            kwargs["metrics"] = for_each_output(kwargs["metrics"], len(self.outputs))
        if "loss" in kwargs:
            kwargs["loss"] = self._crossentropy(losses_today(kwargs["loss"]))
        own, factors = _of_one_model(optimizers.get(demanded(optimizer)), self), kwargs.get("loss_weights")
        kwargs |= {} if factors is None else {"loss_weights": numbers_of(factors)}
        super().compile(own, *args, **without("compile", kwargs, NOT_USED))
        if factors is not None:
            follow_variables(self, factors)

    def _crossentropy(self, loss):
        """The name of the loss; of "crossentropy", the one that goes with the output, if no target need say it."""
        if not isinstance(loss, str) or loss.lower() not in ("crossentropy", "ce"):
            return loss
        if self.built and len(self.outputs) == 1 and self.output_shape[-1] == 1:
            return "binary_crossentropy"
        raise ValueError(
            "which crossentropy it is depends on the targets: write 'sparse_categorical_crossentropy' for class "
            "numbers, 'categorical_crossentropy' for one-hot rows, 'binary_crossentropy' for zeros and ones. "
            f"Received: {loss!r}"
        )

    def _outcome(self, inputs: Any, **options: Any) -> Any:
        with own_weights(self), nothing_recorded(), inside(self):
            return super()._outcome(inputs, **options)

    def add_weight(self, *args: Any, **kwargs: Any) -> Weight:
        """Declare a weight of the model's own; arguments as of a layer's."""
        with names_apart(self, self._weights):
            return declared(self, super().add_weight, args, kwargs)

    add_variable = add_weight

    @with_weights
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return eager(super().__call__(*args, **kwargs))

    def fit(self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        kwargs = whole_steps(renamed("fit", without("fit", kwargs, LOADING), _FIT))
        if isinstance(kwargs.get("class_weight"), str) and kwargs["class_weight"] == "auto":
            warn_once("fit(class_weight='auto') was no more than None in Keras 1 and 2; class_weight='balanced' is")
            kwargs["class_weight"] = None
        if isinstance(kwargs.get("validation_data"), tuple | list):
            lend_data([self, *flat_callbacks(kwargs.get("callbacks"))], list(kwargs["validation_data"]))
        if kwargs.get("validation_steps") is not None and is_read_once(kwargs.get("validation_data")):
            kwargs["validation_data"] = FirstAgain(kwargs["validation_data"])
        if len(args) > 3:
            args = (*args[:3], [MetricNames(kwargs), *flat_callbacks(args[3])], *args[4:])
        else:
            kwargs["callbacks"] = [MetricNames(kwargs), *flat_callbacks(kwargs.get("callbacks"))]
        try:
            history = super().fit(self._begun(x), y, *args, **kwargs)
        finally:
            if vars(self).pop("_lent", None) is not None:
                vars(self).pop("validation_data", None)
        history.history = OldLogs(history.history)
        return history

    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        kwargs = whole_steps(without("evaluate", with_flat_callbacks(kwargs), LOADING))
        return in_order_of_names(super().evaluate(*args, **kwargs))

    def train_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        return in_order_of_names(super().train_on_batch(*args, **kwargs))

    def test_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        return in_order_of_names(super().test_on_batch(*args, **kwargs))

    def predict(self, *args: Any, **kwargs: Any) -> Any:
        args = (without_targets(self, args[0]), *args[1:]) if args else args
        return super().predict(*args, **whole_steps(without("predict", with_flat_callbacks(kwargs), LOADING)))

    @property
    def inputs(self) -> list[Any]:
        """The input tensors, in a list as Keras has them."""
        return list(super().inputs)

    @property
    def outputs(self) -> list[Any]:
        """The output tensors, in a list as Keras has them."""
        return list(super().outputs)

    @outputs.setter
    def outputs(self, tensors: Any) -> None:
        warn_once("model.outputs = … is how Keras 1 and 2 could cut a model: today it is Model(model.inputs, outputs)")
        self.graph = self._graph_of(self.inputs, list(tensors))
        self._engine = None if self._engine is None else self._engine.renewed(keeps_state=False)
        vars(self).pop("_popped", None)

    variables = layers.VARIABLES["variables"]
    trainable_variables = layers.VARIABLES["trainable_variables"]
    non_trainable_variables = layers.VARIABLES["non_trainable_variables"]

    def summary(self, *args: Any, **kwargs: Any) -> None:
        for name in ("positions", "layer_range"):
            kwargs.pop(name, None)
        if len(args) > 1:  # Keras 2: line_length, positions, print_fn
            args, kwargs = args[:1], {**dict(zip(("print_fn",), args[2:3], strict=False)), **kwargs}
        if kwargs.get("print_fn", print) is None:
            del kwargs["print_fn"]
        with answering(self.goes_by_attributes and is_asked(sys._getframe(1))):  # else it shows operations, too
            super().summary(*args, **kwargs)

    def save(self, filepath: Any, *args: Any, save_format: str | None = None, **kwargs: Any) -> None:
        for name in ("signatures", "options", "save_traces", "zipped"):
            kwargs.pop(name, None)
        self._need_graph("save")
        warn_of_own_files(self)
        write_to(super().save, filepath, save_format, args, kwargs)

    def save_weights(self, filepath: Any, *args: Any, save_format: str | None = None, **kwargs: Any) -> None:
        for name in ("options", "max_shard_size"):  # one file holds weights of any size
            kwargs.pop(name, None)
        if self.is_graphless:
            super().save_weights(filepath)
        else:
            warn_of_own_files(self)
            write_to(super().save_weights, filepath, save_format, args, kwargs)

    def load_weights(self, filepath: Any, *args: Any, by_name: bool = False, **kwargs: Any) -> None:
        super().load_weights(file_at(filepath, "save_weights"), *args, by_name=by_name, **kwargs)


def _of_one_model(optimizer, model):
    """The optimizer, or a copy where another model was compiled with it: GANs of Keras 2 share one."""
    first = compiled_with.get(optimizer)
    if first is not None and first() not in (None, model):
        warn_once("compile: an optimizer holds the state of one model, so that the second one gets a copy of it")
        optimizer = begun_anew(optimizer, [w for m in (first(), model) if m.built for w in m.weights])
    compiled_with[optimizer] = ref(model)
    return optimizer


def _translate_model(args, kwargs):
    return args, named_today(renamed("Model", kwargs, {"input": "inputs", "output": "outputs"}))


def _translate_stack(args, kwargs):
    return args, named_today(kwargs)


class _Trainable:
    """A constructor that takes `trainable` besides, as that of every layer."""

    def __init__(self, *args: Any, trainable: bool = True, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        warn_of_unused_call(self)
        if trainable is not True:
            self.trainable = trainable


class _Functional(WithOperations, _Trainable):
    """A model that may begin behind another one's layers."""

    @property
    def layers(self) -> list[core.Layer]:
        """The layers; for a script without operations, and with an InputLayer where it begins inside another model."""
        by_user = is_asked(sys._getframe(1))
        if self.goes_by_attributes and by_user:
            return LayerList(layers_set_in(self))
        found, starts = super().layers, [t for t in self.graph.inputs if t.node.inputs]
        if starts and "_entries" not in vars(self):
            vars(self)["_entries"] = [layers.InputLayer(t.shape[1:]) for t in starts]
        all_layers = [*vars(self).get("_entries", ()), *(listed(found) if by_user else found)]
        return LayerList(all_layers[: len(all_layers) - vars(self).get("_popped", 0)], self._without_top)

    def _without_top(self):
        """The list of layers ends one layer earlier; what the model computes stays, as it did in Keras 2."""
        vars(self)["_popped"] = vars(self).get("_popped", 0) + 1

    def named_weights(self) -> dict[str, Any]:
        """Those of all layers of the graph."""
        popped = vars(self).pop("_popped", 0)
        try:
            return super().named_weights()
        finally:
            vars(self).update({"_popped": popped} if popped else {})

    @layers.setter
    def layers(self, value: Any) -> NoReturn:
        raise AttributeError(f"a model's layers are those of its graph: take another name. Received: layers={value!r}")


class _Stack(WithBranches, Stacking, AnySize, _Trainable):
    """What a `Sequential` refuses as Keras's does, and which batches one without an Input takes."""

    @property
    def layers(self) -> list[core.Layer]:
        """The layers; ``pop()`` of the list takes the top one off the model, as it did in Keras 2."""
        return LayerList(self._stack, self.pop)

    @property
    def weights(self) -> list[Weight]:
        """All weights; of a stack whose input is not known yet, those that its layers already have, as in Keras 3."""
        own = () if self.built else (weight for layer in self._stack for weight in layer.weights)
        return list(dict.fromkeys(own)) or super().weights

    @staticmethod
    def _called(layer, tensor):
        """The output of a layer called on a tensor; ValueError if its `call` needs more."""
        check_in_stack(layer, tensor)
        return core.Sequential._called(layer, tensor)

    def build(self, input_shape: Any = None) -> None:
        """Make the weights for inputs of this shape; of a model that has them, check that they are for such inputs."""
        if self.built and input_shape is not None and not all_fit([tuple(input_shape)[1:]], [self.input_shape[1:]]):
            raise ValueError(
                f"model '{self.name}' was built for inputs of shape {self.input_shape}, which a second build does not "
                f"change. Received: {tuple(input_shape)}"
            )
        super().build(input_shape)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not self.layers:
            raise ValueError(f"model '{self.name}' has no layers, so that it cannot be called: add(…) some first")
        x = args[0] if args else None
        if self.takes_any_pictures(x):
            return reduce(lambda x, layer: layer(x, *args[1:], **kwargs), self.layers, x)
        several = isinstance(x, dict) or (isinstance(x, list | tuple) and len(x) > 1)
        if several and not self.built and not any(isinstance(part, Tensor) for part in leaves(x)):
            return reduce(
                lambda x, layer: layer(x, *args[1:], **kwargs), self._stack, x
            )  # layers of one's own take them
        return super().__call__(*args, **kwargs)


_of_classes = (Building, AnySizeOfCall, Following, WithClosures, _OldMethods, _Functional, core.Model)
_as_in_keras = type("Model", _of_classes, {})
Model = translated(_as_in_keras, _translate_model, __name__, saved_as=core.Model.saved_as)
_stack_in_keras = type("Sequential", (Following, _OldMethods, _Stack, core.Sequential), {})
Sequential = translated(_stack_in_keras, _translate_stack, __name__, saved_as=core.Sequential.saved_as)
WithClosures.functional = Exporting.functional = staticmethod(Model)
Model.core_class, Sequential.core_class = core.Model, core.Sequential


def _with_old_methods(model):
    """The same model, as one of the classes of this module; what it is made of as layers of this package, too."""
    is_deferred = hasattr(model, "call") and not model.built
    parts = (model, *(() if is_deferred else layers_within(model)))
    for part in parts:
        for own in (Sequential, Model):
            if type(part) is own.core_class:
                part.__class__ = own
        as_in_keras(part)
    for part in reversed(parts):
        cast_within(part)
    return compiled_today(model)


def load_model(
    filepath: Any, custom_objects: Mapping[str, Any] | None = None, compile: bool = True, **kwargs: Any
) -> Any:
    """`minicnn.load_model`, whose result has the methods of older Kerases as well."""
    if unknown := kwargs.keys() - {"safe_mode", "options"}:  # which change nothing
        known = ["filepath", "custom_objects", "compile", "safe_mode"]
        raise TypeError(str(unknown_name("argument of load_model", min(unknown), known)))
    return _with_old_methods(core.load_model(file_at(filepath, "save"), with_registered(custom_objects), compile))


def save_model(model: Any, filepath: Any, *args: Any, **kwargs: Any) -> None:
    """``model.save(filepath)``."""
    _with_old_methods(check_model(model, "save_model")).save(filepath, *args, **kwargs)


def model_from_json(json_string: str, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """`minicnn.models.model_from_json`."""
    return _with_old_methods(core.model_from_json(json_string, with_registered(custom_objects)))


def model_from_config(config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Any:
    """A model from ``{"class_name": …, "config": …}``."""
    return model_from_json(json.dumps(config), custom_objects)


def clone_model(model: Any, *args: Any, **kwargs: Any) -> Any:
    """`minicnn.models.clone_model`; the clone of a model that is compiled is compiled as it is, as in Keras 3.15."""
    check_model(model, "clone_model")
    if not (args or kwargs or model.built) and hasattr(model, "call"):  # its graph comes with the data
        clone = type(model)(**given(model))
    else:
        clone = _with_old_methods(core.clone_model(model, *args, **kwargs))
        clone.list_like(model)
    if model.compiled is not None:
        compile_like(clone, model)
    return clone


__getattr__ = lookup(
    __name__,
    ["minicnn.models"],
    names=dict.fromkeys(("Layer", "Input", "InputLayer", "InputSpec", "merge"), "minicnn.keras.layers")
    | {"model_from_yaml": "minicnn.keras.models._exporting", "get_source_inputs": "minicnn.keras.utils"},
    old={"Functional": "Model", "Graph": "Model"},
)
__all__ = [*BROUGHT, "Input", "InputLayer", "Model", "Sequential", "clone_model", "load_model", "model_from_json"]
__all__ += ["save_model"]
__all__ += starred(__name__)
