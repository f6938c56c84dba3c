"""What every layer promises, one function a promise; each raises `ContractError`, or `GradientError`.

`ONCE` take a `Case`; `PER_BACKEND` a backend's name too; `PER_PLAN` also whether steps are fused.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from minicnn import models
from minicnn.gradient_check import GradientCheck, GradientError, gradcheck
from minicnn.layers.base import Layer
from minicnn.registry import constructor_parameters
from minicnn.testing.running import TINY, Case, graph_of, run, sizes_of_parts

TOLERANCE = 1e-6  # of gradients, in float64


# ------------------------------------------------------------------------------------------------------------ once


def keeps_its_arguments(case: Case) -> None:
    """`get_config` has every argument of the constructor, in JSON's types, and makes an equal layer."""
    cls, config = type(case.layer), case.layer.get_config()
    parameters = constructor_parameters(cls)
    known = {p.name for p in constructor_parameters(Layer)} | config.keys()
    for name in (p.name for p in parameters if p.kind is not p.VAR_KEYWORD):
        promise = f"get_config must have '{name}', for files: store it in __init__ as self.{name}, under its own name"
        case.demand(name in known, promise, f"get_config with {sorted(config)}")
    case.demand(
        any(p.kind is p.VAR_KEYWORD for p in parameters),
        "__init__ must take **kwargs and pass them to super().__init__(**kwargs): name, trainable, input_shape",
        f"{cls.__name__}({', '.join(p.name for p in parameters)})",
    )
    try:
        plain = json.loads(json.dumps(config))
    except TypeError as error:
        case.demand(False, "get_config must return what JSON can write: numbers, strings, lists and dicts", f"{error}")
    copy = cls.from_config(plain)
    case.demand(
        json.loads(json.dumps(copy.get_config())) == plain,
        "from_config(get_config()) must make a layer with the same arguments",
        f"{copy.get_config()} instead of {config}",
    )
    asked = config | {"name": "mine", "trainable": False, "input_shape": [5, 4, 3]}
    told = cls.from_config(asked)
    got = (told.name, told.trainable, told.declared_input_shape)
    case.demand(got == ("mine", False, (5, 4, 3)), "__init__ must pass **kwargs to super().__init__", f"{got}")
    case.demand(told.get_config() == asked, "get_config must begin with super().get_config()", f"{told.get_config()}")
    case.demand(type(case.layer).__name__ in repr(case.layer), "repr must name the class", repr(case.layer))


def computes_the_same_from_its_config(case: Case) -> None:
    """A layer from the config, with the same weights, has the same outputs and gradients."""
    copy = type(case.layer).from_config(json.loads(json.dumps(case.layer.get_config())))
    other = graph_of(copy, case.shapes)
    shapes = [[w.shape for w in layer.weights] for layer in (case.layer, copy)]
    kinds = [[type(w.regularizer) for w in layer.weights] for layer in (case.layer, copy)]
    promise = "from_config(get_config()) must compute the same, so __init__ stores all its arguments under their names"
    case.demand(shapes[0] == shapes[1], promise, f"weights of shapes {shapes[1]} instead of {shapes[0]}")
    case.demand(kinds[0] == kinds[1], promise, f"regularizers {kinds[1]} instead of {kinds[0]}")
    copy.set_weights(case.layer.get_weights())
    xs, dys = case.data()
    a, b = run(case.graph, xs, dys), run(other, xs, dys)
    case.equal(b.outputs[0], a.outputs[0], promise)
    case.equal(b.dxs[0], a.dxs[0], promise)


def comes_back_from_a_file(case: Case) -> None:
    """A saved model predicts the same when it is loaded."""
    model = models.Model(case.graph.inputs, case.graph.outputs[0])
    xs = [x.astype(np.float32) for x in case.data()[0]]
    expected = model.predict(xs)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.safetensors")
        model.save(path)
        loaded = models.load_model(path, custom_objects={type(case.layer).__name__: type(case.layer)})
    case.equal(loaded.predict(xs), expected, "a model with this layer must predict the same after save and load_model")


def has_the_promised_shape(case: Case) -> None:
    """The output has the shape that `build` returns, whether it trains or not, and is finite."""
    promised = tuple(case.layer.build_for(tuple(case.shapes))[0])
    before = [w.shape for w in case.layer.weights]
    case.demand(
        case.graph.outputs[0].shape == (None, *promised) and [w.shape for w in case.layer.weights] == before,
        "build, called twice, must return the same shape and the same weights",
        f"{promised} and {case.graph.outputs[0].shape}",
    )
    for training in (False, True):
        xs, _ = case.data()
        (y,) = run(case.graph, xs, training=training).outputs
        case.demand(y.shape == (4, *promised), "the output must have the shape that build returns", f"{y.shape}")
        case.demand(y.dtype == np.float32, "the output must have the model's dtype, float32", f"{y.dtype}")
        if case.layer.only_in_training and not training:
            case.equal(y, xs[0].astype(np.float32), "where ws.training is False, forward must copy its input")
        case.demand(bool(np.isfinite(y).all()), "the output of numbers in (-1, 1) must be finite", "NaN or Inf in ws.y")


def declares_what_it_reads(case: Case) -> None:
    """What a step does not declare by `uses_input` or `uses_output` may be overwritten before its backward pass."""
    xs, dys = case.data()
    expected = run(case.graph, xs, dys, fuses=False)
    result = run(case.graph, xs, None, fuses=False)
    bound = result.bound
    for gradient, dy in zip(bound.head_gradients, dys, strict=True):
        gradient[...] = dy
    steps = [place.step for place in result.plan.places]
    if len(steps) != 1 or steps[0].is_view:
        return
    ws = bound.forward_steps[0].ws
    ws.xs = ws.xs if steps[0].uses_input else tuple(np.full_like(x, np.nan) for x in ws.xs)
    ws.y = ws.y if steps[0].uses_output else np.full_like(ws.y, np.nan)
    bound.backward()
    promise = "backward must read ws.xs only with uses_input = True, and ws.y only with uses_output = True"
    for gradient, dx in zip(bound.input_gradients, expected.dxs, strict=True):
        case.equal(gradient, dx, promise)
    for weight, gradient in result.store.gradients.items():
        case.equal(gradient, expected.grads[weight.path], promise)


# ----------------------------------------------------------------------------------------------------- per backend


def agrees_with_numpy(case: Case, backend: str) -> None:
    """A backend computes what the reference computes, fused or not."""
    xs, dys = case.data()
    for training in (False, True):
        gradients = dys if training else None
        expected = run(case.graph, xs, gradients, "numpy", training)
        sizes = sizes_of_parts(case.graph, xs, gradients, expected.grads)
        for fuses in (False, True):
            actual = run(case.graph, xs, gradients, backend, training, fuses)
            promise = f"backend {backend} must agree with numpy"
            case.close(actual.outputs[0], expected.outputs[0], 1e-5, f"{promise} on y")
            for a, b in zip(actual.dxs, expected.dxs, strict=True):
                case.close(a, b, 1e-5, f"{promise} on dx")
            for path, gradient in expected.grads.items():
                on = f"{promise} on the gradient of {path}"
                case.close(actual.grads[path], gradient, 1e-5, on, sizes.get(path, TINY))
            for path in expected.state:
                case.close(actual.state[path], expected.state[path], 1e-5, f"{promise} on {path}")


def agrees_with_float64(case: Case, backend: str) -> None:
    """Rounding is the only difference between float32 and float64, and float64 is used where it is asked for."""
    xs, dys = case.data()
    xs, dys = [x.astype(np.float32) for x in xs], [d.astype(np.float32) for d in dys]
    single, double = (run(case.graph, xs, dys, backend, dtype=dtype) for dtype in ("float32", "float64"))
    case.demand(double.outputs[0].dtype == np.float64, "float64 must stay float64", f"{double.outputs[0].dtype}")
    case.close(single.outputs[0], double.outputs[0], 1e-5, "float32 must agree with float64 on y")
    for a, b in zip(single.dxs, double.dxs, strict=True):
        case.close(a, b, 2e-5, "float32 must agree with float64 on dx")
    sizes = sizes_of_parts(case.graph, xs, dys, double.grads)
    for path, gradient in double.grads.items():
        on = f"float32 must agree with float64 on {path}"
        case.close(single.grads[path], gradient, 2e-5, on, sizes.get(path, TINY))


def can_be_frozen(case: Case, backend: str) -> None:
    """With ``trainable=False`` nothing is written to the gradients, the state rests, and dx stays right."""
    if not any(w.has_gradient for w in case.layer.weights):
        return
    xs, dys = case.data()
    layer = case.layer
    layer.trainable = False
    try:
        frozen = run(case.graph, xs, dys, backend)
        to_host = frozen.backend.to_host
        written = [w.name for w, g in frozen.store.gradients.items() if (to_host(g) != 0).any()]
        case.demand(not written, "a frozen weight's gradient is None in ws.grads and not written", f"{written}")
        for w in layer.weights:
            promise = f"forward must leave '{w.name}' alone where self.trainable is False"
            case.equal(to_host(frozen.store.values[w]), w.value, promise)
        layer.trainable = not case.has_state  # with state, frozen layers compute as in inference
        same = run(case.graph, xs, None if case.has_state else dys, backend, training=not case.has_state)
        case.equal(frozen.outputs[0], same.outputs[0], "a frozen layer must compute the same output")
        if not case.has_state:
            case.equal(frozen.dxs[0], same.dxs[0], "a frozen layer must compute the same dx")
        layer.trainable = False
        gradcheck(layer, input_shape=case.one_or_list, backend=backend)
    finally:
        layer.trainable = True


def treats_samples_alone(case: Case, backend: str) -> None:
    """Samples do not see each other: in inference never, in training where the layer says so."""
    xs, dys = case.data()
    promise = "the output for a sample must depend on that sample alone"
    whole = run(case.graph, xs, None, backend, training=False).outputs[0]
    for n in range(len(whole)):
        one = run(case.graph, [x[n : n + 1] for x in xs], None, backend, training=False).outputs[0]
        case.close(one[0], whole[n], 1e-6, f"{promise} in inference")
    if not case.independent:
        return
    promise += " (independent=False where it need not in training)"
    whole = run(case.graph, xs, dys, backend)
    total = dict.fromkeys(whole.grads, 0)
    for n in range(len(xs[0])):
        one = run(case.graph, [x[n : n + 1] for x in xs], [d[n : n + 1] for d in dys], backend)
        for dx, part in zip(whole.dxs, one.dxs, strict=True):
            case.close(part[0], dx[n], 2e-6, promise)
        total = {path: total[path] + g.astype(np.float64) for path, g in one.grads.items()}
    sizes = sizes_of_parts(case.graph, xs, dys, whole.grads)
    for path, gradient in total.items():
        promise = f"the gradient of {path} must be the sum over all samples"
        case.close(whole.grads[path], gradient, 1e-5, promise, sizes.get(path, TINY))


def takes_any_array(case: Case, backend: str) -> None:
    """Layouts and dtypes of the user's arrays do not matter; nor do they change."""
    model = models.Model(case.graph.inputs, case.graph.outputs[0])
    model.compile("sgd", "mse", backend=backend)
    xs = [case.rng.integers(0, 256, (5, *t.shape[1:])) for t in case.graph.inputs]
    plain = [x.astype(np.float32) for x in xs]
    expected, called = _predict(model, plain), _call(case.layer, plain)
    for name, form in FORMS.items():
        given = [form(x) for x in xs]
        copies = [np.array(g) for g in given]
        case.equal(_predict(model, given), expected, f"{name} arrays must give what others give")
        case.equal(_call(case.layer, given), called, f"{name} arrays must give the same in a direct call")
        for g, copy in zip(given, copies, strict=True):
            case.equal(g, copy, f"{name} arrays of the user must not change")
    booleans = [x > 127 for x in xs]
    as_float = _predict(model, [b.astype(np.float32) for b in booleans])
    case.equal(_predict(model, booleans), as_float, "bool arrays must give what 0 and 1 give")


def _call(layer, xs):
    """In a direct call, on the backend that is current."""
    with np.errstate(all="ignore"):
        return layer(xs if len(xs) > 1 else xs[0], training=False)


def _predict(model, xs):
    """In batches; pixels up to 255 may overflow in a formula, which is no matter here."""
    with np.errstate(all="ignore"):
        return model.predict(xs, batch_size=2)


def can_be_called_on_arrays(case: Case, backend: str) -> None:
    """A direct call gives what a model gives, as a NumPy array."""
    xs, _ = case.data()
    model = models.Model(case.graph.inputs, case.graph.outputs[0])
    model.compile("sgd", "mse", backend=backend)
    y = case.layer(xs if len(xs) > 1 else xs[0], training=False)
    case.demand(isinstance(y, np.ndarray) and y.dtype == np.float32, "a call gives a float32 array", f"{type(y)}")
    case.close(y, model.predict(xs), 1e-5, "a call on arrays must give what predict gives")


# -------------------------------------------------------------------------------------------------------- per plan


def has_right_gradients(case: Case, backend: str, fuses: bool | None) -> GradientCheck:
    """The gradients are those of the finite difference."""
    shapes = case.one_or_list
    try:
        return gradcheck(
            case.layer, input_shape=shapes, backend=backend, fuses=fuses, tolerance=TOLERANCE, seed=case.seed
        )
    except GradientError as error:
        raise GradientError(f"{case.who}: {error}{_suspicion(case, backend)}") from None


def _suspicion(case, backend):
    """Why a gradient may be wrong: weights that have no effect, or float32 in between."""
    xs, _ = case.data()
    expected = run(case.graph, xs, None, backend, dtype="float64").outputs[0]
    for weight in case.layer.weights:
        before = weight.numpy()
        moved = run(case.graph, xs, None, backend, dtype="float64", memory=_moving(weight)).outputs[0]
        weight.assign(before)
        if np.array_equal(moved, expected):
            return f"; forward does not use ws.params['{weight.name}'] (self.{weight.name} is not what a plan trains)"
    if np.array_equal(expected, expected.astype(np.float32)):
        return "; forward computes in float32 where the model has float64: use the dtype of xs[0]"
    return ""


def _moving(weight):
    """Adds 1 to a weight in the store of the plan, not in the layer."""

    def move(plan):
        plan.store.values[weight] += 1

    return move


def repeats_itself(case: Case, backend: str, fuses: bool | None) -> None:
    """Inputs stay as they are, all gradients are assigned, and a second plan computes the same."""
    xs, dys = case.data()
    xs = [x.astype(np.float32) for x in xs]
    weights = [w.numpy() for w in case.layer.weights]
    first = run(case.graph, xs, dys, backend, fuses=fuses)
    for array, x in zip(first.inputs_after, xs, strict=True):
        case.equal(array, x, "forward must not change its inputs")
    second = run(case.graph, xs, dys, backend, fuses=fuses)
    promise = "the same plan must compute the same twice; random numbers come from ws.seed, ws.stream and ws.iteration"
    case.equal(second.outputs[0], first.outputs[0], promise)
    for a, b in zip(first.dxs, second.dxs, strict=True):
        case.equal(a, b, promise)
    for path in first.grads:
        case.equal(first.grads[path], second.grads[path], promise)
        finite = bool(np.isfinite(first.grads[path]).all())
        case.demand(finite, f"backward must assign every element of the gradient of {path}", "NaN or Inf")
    for path in first.state:
        case.equal(first.state[path], second.state[path], promise)
    for w, before in zip(case.layer.weights, weights, strict=True):
        case.equal(w.numpy(), before, f"forward must read ws.params, not change self.{w.name}")


def leaves_nothing_over(case: Case, backend: str, fuses: bool | None) -> None:
    """What ran before in the same memory, with other data, does not matter."""
    xs, dys = case.data()
    result = run(case.graph, [x * -0.7 for x in xs], [d * 3 for d in dys], backend, fuses=fuses)
    expected = run(case.graph, xs, dys, backend, fuses=fuses)
    load, to_host = result.backend.load, result.backend.to_host
    for weight in case.layer.weights:
        load(result.store.values[weight], weight.value)  # the first run moved the averages
    for array, x in zip(result.bound.inputs, xs, strict=True):
        load(array, x)
    promise = "nothing of an earlier batch may remain: assign ws.y, ws.dxs, ws.grads and ws.buffers, do not add to them"
    result.bound.forward(3)
    case.equal(to_host(result.bound.outputs[0]), expected.outputs[0], promise)
    for gradient, dy in zip(result.bound.head_gradients, dys, strict=True):
        load(gradient, dy)
    result.bound.backward()
    for gradient, dx in zip(result.bound.input_gradients, expected.dxs, strict=True):
        case.equal(to_host(gradient), dx, promise)
    for weight, gradient in result.store.gradients.items():
        case.equal(to_host(gradient), expected.grads[weight.path], promise)


def skips_what_nobody_wants(case: Case, backend: str, fuses: bool | None) -> None:
    """As a model's first layer it computes no gradient of its input."""
    xs, dys = case.data()
    full, lean = (run(case.graph, xs, dys, backend, fuses=fuses, wanted=wanted) for wanted in (True, False))
    promise = "where ws.dxs[0] is None, as in a model's first layer, the rest must stay the same"
    case.demand(lean.dxs == [None] * len(xs), promise, f"{lean.dxs}")
    case.equal(full.outputs[0], lean.outputs[0], promise)
    for path in full.grads:
        case.equal(full.grads[path], lean.grads[path], promise)


def takes_short_batches(case: Case, backend: str, fuses: bool | None) -> None:
    """The last batch of an epoch may be shorter: it runs in a part of the same memory."""
    xs, dys = case.data(3)
    alone = run(case.graph, xs, dys, backend, fuses=fuses)
    short = run(case.graph, xs, dys, backend, fuses=fuses, batch=7)
    promise = "a batch must give the same in a plan for larger ones: take the number of samples from xs[0]"
    case.equal(alone.outputs[0], short.outputs[0], promise)
    for a, b in zip(alone.dxs, short.dxs, strict=True):
        case.equal(a, b, promise)
    for path in alone.grads:
        case.equal(alone.grads[path], short.grads[path], promise)


# ---------------------------------------------------------------------------------------------------------- arrays


def _strided(x):
    wide = np.full((2 * len(x), *x.shape[1:-1], 2 * x.shape[-1]), np.nan, np.float32)
    wide[::2, ..., 1::2] = x
    return wide[::2, ..., 1::2]


def _read_only(x):
    x = x.astype(np.float32)
    x.flags.writeable = False
    return x


def _unaligned(x):
    array = np.empty(x.size * 4 + 1, np.uint8)[1:].view(np.float32).reshape(x.shape)
    array[...] = x
    return array


def _as(dtype):
    return lambda x: x.astype(dtype)


FORMS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "Fortran": lambda x: np.asfortranarray(x.astype(np.float32)),
    "strided": _strided,
    "reversed": lambda x: np.ascontiguousarray(x.astype(np.float64)[::-1])[::-1],
    "read-only": _read_only,
    "unaligned": _unaligned,
    "big-endian": _as(">f4"),
    **{dtype: _as(dtype) for dtype in ("uint8", "int16", "int64", "float64")},
}
"""Ways to hold the same small integers."""

ONCE: tuple[Callable[[Case], object], ...] = (
    keeps_its_arguments,
    has_the_promised_shape,
    declares_what_it_reads,
    computes_the_same_from_its_config,
    comes_back_from_a_file,
)
PER_BACKEND: tuple[Callable[[Case, str], object], ...] = (
    treats_samples_alone,
    agrees_with_numpy,
    agrees_with_float64,
    can_be_frozen,
    takes_any_array,
    can_be_called_on_arrays,
)
PER_PLAN: tuple[Callable[[Case, str, bool | None], object], ...] = (
    repeats_itself,
    has_right_gradients,
    leaves_nothing_over,
    skips_what_nobody_wants,
    takes_short_batches,
)
