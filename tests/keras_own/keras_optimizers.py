"""Variables, and optimizers that are driven by hand: Keras's tests call `apply_gradients`, minicnn's models do not."""

import os
import types
import unittest

import numpy as np

from minicnn import keras
from minicnn.backends import get as get_backend
from minicnn.parameters import ALIGNMENT

BACKEND = get_backend(os.environ.get("MINICNN_BACKEND", "numpy"))


class Variable(np.lib.mixins.NDArrayOperatorsMixin):
    """An array that can be assigned to."""

    def __init__(self, initializer=None, shape=None, dtype=None, trainable=True, name=None, **_):
        value = initializer(shape, dtype or "float32") if callable(initializer) else initializer
        value = np.asarray(plain(value))
        if dtype is None and value.dtype.kind == "f":
            dtype = "float32"
        self.value = np.array(value, {"int": "int32"}.get(dtype, dtype))
        self.name = self.path = name or "variable"
        self.constraint, self.trainable, self.overwrite_with_gradient = None, trainable, False

    shape = property(lambda self: self.value.shape)
    dtype = property(lambda self: self.value.dtype.name)
    ndim = property(lambda self: self.value.ndim)
    size = property(lambda self: self.value.size)
    has_gradient = True
    __hash__ = object.__hash__  # which the operators of the mixin take away

    def __array__(self, dtype=None, copy=None):
        return self.value.astype(dtype or self.value.dtype)

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        return getattr(ufunc, method)(*map(plain, inputs), **kwargs)

    def numpy(self):
        return self.value.copy()

    def assign(self, value):
        self.value[...] = np.asarray(plain(value))

    def assign_add(self, value):
        self.assign(self.value + plain(value))

    def __getitem__(self, index):
        return self.value[index]

    def __len__(self):
        return len(self.value)

    def __float__(self):
        return float(self.value)


def plain(x):
    """The array of a variable; anything else as it is."""
    if isinstance(x, Variable):
        return x.value
    if isinstance(x, list | tuple) and any(isinstance(part, Variable) for part in x):
        return [plain(part) for part in x]
    return x


class Segments(list):
    """Where each variable lies in the flat vector, as a model's parameter store says it."""


class Driven:
    """Mixin of an optimizer: moves variables that lie in no model."""

    _variables = None

    def build(self, variables):
        self._variables, self._slices, end = list(variables), Segments(), 0
        for variable in self._variables:
            self._slices.append(slice(end, end + variable.value.size))
            end = -(-self._slices[-1].stop // ALIGNMENT) * ALIGNMENT
        self._slices.weights = self._variables
        dtype = self._variables[0].dtype
        self._theta, self._grad = BACKEND.zeros((end,), dtype), BACKEND.zeros((end,), dtype)
        self._state = self.create_state(end, dtype, BACKEND.zeros)
        self.owner = lambda: self
        self.finalize_variable_values = self._finalized  # the class's is for variables of minicnn

    def apply_gradients(self, pairs):
        pairs = list(pairs)
        self.apply([grad for grad, _ in pairs], [variable for _, variable in pairs])

    def apply(self, *args):
        """Keras's `apply(grads, variables)`; with more arguments, the rule that is the optimizer's own."""
        if len(args) > 2:
            return super().apply(*args)
        grads, variables = args if len(args) == 2 else (*args, self._variables)
        if any(grad is None for grad in grads) or any(v.overwrite_with_gradient for v in variables):
            raise unittest.SkipTest("absent: gradients that are None, or values: a model has one for every weight")
        if self._variables is None:
            self.build(variables)
        for variable, grad, place in zip(self._variables, grads, self._slices, strict=True):
            self._theta[place] = BACKEND.asarray(variable.value.reshape(-1))
            self._grad[place] = BACKEND.asarray(np.asarray(plain(grad), variable.dtype).reshape(-1))
        if self.loss_scale_factor:
            self._grad /= self.loss_scale_factor
        self.update(self._theta, self._grad, self._state, self._slices, BACKEND.ops)
        self._hand_back()
        return None

    def _hand_back(self):
        for variable, place in zip(self._variables, self._slices, strict=True):
            variable.assign(BACKEND.to_host(self._theta)[place].reshape(variable.shape))
            if variable.constraint is not None:
                variable.assign(variable.constraint(variable.value))

    def __getattr__(self, name):  # no names of the class, whose steps nobody would ask
        if name == "_clip_gradients":
            return self._clipped
        raise AttributeError(name)

    def _finalized(self, variables):
        self.take_averages(self._theta, self._state, self._slices)
        self._hand_back()

    def scale_loss(self, loss):
        return loss * (self.loss_scale_factor or 1)

    def _of_slot(self, slot):
        """A state vector, variable by variable."""
        if self._variables is None:  # a model's: its state lies there
            engine = self.owner().engine
            state, places = engine.optimizer_state, engine.store.trainable_segments()
            return [
                Variable(BACKEND.to_host(state[slot])[place].reshape(weight.shape))
                for weight, place in zip(self.owner().trainable_weights, places, strict=True)
            ]
        vector = BACKEND.to_host(self._state[slot])
        places = zip(self._slices, self._variables, strict=True)
        return [Variable(vector[place].reshape(variable.shape)) for place, variable in places]

    _model_variables_moving_average = property(lambda self: self._of_slot("average"))
    _accumulated_gradients = property(lambda self: self._of_slot("gradient_accumulator"))
    _momentums = property(lambda self: self._of_slot("momentum"))
    _iterations = property(lambda self: self.iterations)

    @property
    def engine(self):
        """What a model's engine says of the state."""
        store = types.SimpleNamespace(trainable_segments=lambda: self._slices)
        model = types.SimpleNamespace(weights=self._variables)
        return types.SimpleNamespace(backend=BACKEND, optimizer_state=self._state, store=store, model=model)

    def _clipped(self, grads):
        self.build([Variable(np.asarray(grad, "float32")) for grad in grads])
        for grad, place in zip(grads, self._slices, strict=True):
            self._grad[place] = np.asarray(grad, "float32").reshape(-1)
        self._segments = self._stretches = self._slices
        self._clip(self._grad)
        return [self._grad[place].reshape(np.shape(grad)) for grad, place in zip(grads, self._slices, strict=True)]


def driven(cls):
    """The optimizer's class, which can be driven by hand."""
    made = type(cls.__name__, (Driven, cls), {"__module__": "keras.optimizers", "translate": vars(cls)["translate"]})
    made.by_gradients = False  # they are handed over here
    return keras.saving.register_keras_serializable("driven")(made)  # files would not find it by the library's name


class optimizer_names:
    """The names of `keras.optimizers`."""

    def __init__(self):
        self.classes = {}

    def __getattr__(self, name):
        value = getattr(keras.optimizers, name)
        if not isinstance(value, type) or not issubclass(value, keras.optimizers.Optimizer) or name == "Optimizer":
            return value
        if name not in self.classes:
            self.classes[name] = driven(value)
        return self.classes[name]

    def get(self, identifier):
        inner = keras.optimizers.get(identifier)
        return None if inner is None else getattr(self, type(inner).__name__).from_config(inner.get_config())
