"""What every layer promises, on every backend, fused and not. A new layer takes part through its `examples()`."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from oracles import BACKENDS, assert_close, every_backend, graph_of, ran_where_it_should, randomize, run, tie_free

import minicnn as mc
from minicnn import backends, layers
from minicnn.gradient_check import GradientError, gradcheck
from minicnn.layers import CLASSES, Layer

HELPERS = {"InputLayer"}  # no formulas of their own

SEE_THE_BATCH = {"ActivityRegularization", "BatchNormalization"}  # whose gradients depend on the number of samples

# The kernels that a gradient check of the layer must run; a layer that is not listed may run any.
KERNELS = {
    "Conv2D": {"conv2d", "conv2d_backward"},
    "Dense": {"dense", "dense_backward"},
    "MaxPooling2D": {"max_pool2d", "max_pool2d_backward"},
    "AveragePooling2D": {"avg_pool2d", "avg_pool2d_backward"},
}


def examples():
    """Every class of `layers`, with every one of its examples by number."""
    for name, cls in CLASSES.items():
        if name not in HELPERS and hasattr(cls, "examples"):
            for number in range(len(list(cls.examples()))):
                yield pytest.param(name, number, id=f"{name}-{number}")


def example(name, number, rng):
    """(graph of one call, layer, shapes), weights random."""
    layer, shapes = list(CLASSES[name].examples())[number]
    graph = graph_of(layer, shapes)
    randomize([layer], rng)
    return graph, layer, shapes


def has_weights(name, number):
    layer, shapes = list(CLASSES[name].examples())[number]
    layer.build_for(tuple(shapes))
    return any(w.has_gradient for w in layer.weights)


def data_for(graph, rng, count=4):
    xs = [tie_free(rng, count, *t.shape[1:]) for t in graph.inputs]
    dys = [rng.normal(size=(count, *t.shape[1:])) for t in graph.outputs]
    return xs, dys


every_example = pytest.mark.parametrize(("name", "number"), list(examples()))
fused_or_not = pytest.mark.parametrize("fuses", [False, True], ids=["unfused", "fused"])


def test_every_layer_has_examples():
    missing = [
        n for n, cls in CLASSES.items() if n not in HELPERS and not (hasattr(cls, "examples") and list(cls.examples()))
    ]
    assert not missing, f"write examples() for {missing}, see docs/adding_a_layer.md"


def test_all_layers_of_the_package_take_part():
    assert {"Conv2D", "Dense", "MaxPooling2D", "BatchNormalization", "Dropout", "Add", "Concatenate", "Flatten"} <= set(
        CLASSES
    )
    for name, cls in CLASSES.items():
        assert getattr(layers, name) is cls
        assert issubclass(cls, Layer)
        assert cls.__doc__
        assert name in layers.__all__


@every_example
def test_output_has_the_shape_that_build_promises(name, number, rng):
    graph, layer, shapes = example(name, number, rng)
    promised = tuple(layer.build_for(tuple(shapes))[0])
    assert graph.outputs[0].shape == (None, *promised)
    assert all(isinstance(n, int) for n in promised)
    for training in (False, True):
        (y,) = run(graph, data_for(graph, rng)[0], training=training).outputs
        assert y.shape == (4, *promised)
        assert y.dtype == np.float32
        assert np.isfinite(y).all()


@fused_or_not
@every_backend
@every_example
def test_gradient(name, number, backend, fuses, rng, seed):
    _, layer, shapes = example(name, number, rng)
    shapes = shapes if len(shapes) > 1 else shapes[0]
    check = gradcheck(layer, input_shape=shapes, backend=backend, fuses=fuses, seed=seed)
    assert check.error <= 1e-6
    assert all(ran_where_it_should(kernel, backend) for kernel in check.kernels), check.kernels
    ran = {kernel.rsplit(".", 1)[1] for kernel in check.kernels}
    assert ran == KERNELS.get(name, ran)


@every_backend
@every_example
def test_backends_agree(name, number, backend, rng):
    graph, _, _ = example(name, number, rng)
    xs, dys = data_for(graph, rng)
    for training in (False, True):
        expected = run(graph, xs, dys if training else None, "numpy", training)
        for fuses in (False, True):
            actual = run(graph, xs, dys if training else None, backend, training, fuses)
            assert_close(actual.outputs[0], expected.outputs[0], 1e-5, f"{backend} y")
            for a, b in zip(actual.dxs, expected.dxs, strict=True):
                assert_close(a, b, 1e-5, f"{backend} dx")
            for path, gradient in expected.grads.items():
                assert_close(actual.grads[path], gradient, 1e-5, f"{backend} {path}")
            for path, state in expected.state.items():
                assert_close(actual.state[path], state, 1e-5, f"{backend} {path}")


@every_backend
@every_example
def test_float32_agrees_with_float64(name, number, backend, rng):
    graph, _, _ = example(name, number, rng)
    xs, dys = data_for(graph, rng)
    xs, dys = [x.astype(np.float32) for x in xs], [d.astype(np.float32) for d in dys]
    single, double = (run(graph, xs, dys, backend, dtype=dtype) for dtype in ("float32", "float64"))
    assert double.outputs[0].dtype == np.float64
    assert_close(single.outputs[0], double.outputs[0], 1e-5)
    for a, b in zip(single.dxs, double.dxs, strict=True):
        assert_close(a, b, 2e-5)
    for path in double.grads:
        assert_close(single.grads[path], double.grads[path], 2e-5, path)


@fused_or_not
@every_backend
@every_example
def test_inputs_untouched_and_second_call_identical(name, number, backend, fuses, rng):
    graph, layer, _ = example(name, number, rng)
    xs, dys = data_for(graph, rng)
    xs = [x.astype(np.float32) for x in xs]
    weights = [w.numpy() for w in layer.weights]
    first = run(graph, xs, dys, backend, fuses=fuses)
    for array, x in zip(first.inputs_after, xs, strict=True):
        np.testing.assert_array_equal(array, x, "forward changed its input")
    second = run(graph, xs, dys, backend, fuses=fuses)
    np.testing.assert_array_equal(first.outputs[0], second.outputs[0])
    for a, b in zip(first.dxs, second.dxs, strict=True):
        np.testing.assert_array_equal(a, b)
    for path in first.grads:
        np.testing.assert_array_equal(first.grads[path], second.grads[path])
        assert np.isfinite(first.grads[path]).all(), f"{path} was not assigned"
    for path in first.state:
        np.testing.assert_array_equal(first.state[path], second.state[path])
    for w, before in zip(layer.weights, weights, strict=True):
        np.testing.assert_array_equal(w.numpy(), before)


@fused_or_not
@every_backend
@every_example
def test_running_a_plan_twice_is_running_it_once(name, number, backend, fuses, rng):
    """Nothing is left over in the buffers: what ran before, with other data, does not matter."""
    graph, layer, _ = example(name, number, rng)
    xs, dys = data_for(graph, rng)
    result = run(graph, [x * -0.7 for x in xs], [d * 3 for d in dys], backend, fuses=fuses)
    expected = run(graph, xs, dys, backend, fuses=fuses)
    load, to_host = result.backend.load, result.backend.to_host
    for weight in layer.weights:
        load(result.store.values[weight], weight.value)  # the first run moved the averages
    for array, x in zip(result.bound.inputs, xs, strict=True):
        load(array, x)
    result.bound.forward(3)
    np.testing.assert_array_equal(to_host(result.bound.outputs[0]), expected.outputs[0])
    for gradient, dy in zip(result.bound.head_gradients, dys, strict=True):
        load(gradient, dy)
    result.bound.backward()
    for gradient, dx in zip(result.bound.input_gradients, expected.dxs, strict=True):
        np.testing.assert_array_equal(to_host(gradient), dx)
    for weight, gradient in result.store.gradients.items():
        np.testing.assert_array_equal(to_host(gradient), expected.grads[weight.path])


@every_backend
@pytest.mark.parametrize(("name", "number"), [e for e in examples() if has_weights(*e.values)])
def test_frozen_layer(name, number, backend, rng):
    graph, layer, _ = example(name, number, rng)
    xs, dys = data_for(graph, rng)
    layer.trainable = False
    frozen = run(graph, xs, dys, backend)
    assert frozen.grads == {}
    to_host = frozen.backend.to_host
    assert all((to_host(gradient) == 0).all() for gradient in frozen.store.gradients.values())  # nothing was written
    for w in layer.weights:
        np.testing.assert_array_equal(to_host(frozen.store.values[w]), w.value)  # also moving averages rest
    mode = name != "BatchNormalization"  # frozen, it normalizes as in inference
    layer.trainable = mode
    same = run(graph, xs, dys if mode else None, backend, training=mode)
    np.testing.assert_array_equal(frozen.outputs[0], same.outputs[0])
    if mode:
        np.testing.assert_array_equal(frozen.dxs[0], same.dxs[0])
    layer.trainable = False
    shapes = [t.shape[1:] for t in graph.inputs]
    gradcheck(layer, input_shape=shapes if len(shapes) > 1 else shapes[0], backend=backend)


@fused_or_not
@every_backend
@every_example
def test_first_layer_computes_no_input_gradient(name, number, backend, fuses, rng):
    graph, _, _ = example(name, number, rng)
    xs, dys = data_for(graph, rng)
    full, lean = (run(graph, xs, dys, backend, fuses=fuses, wanted=wanted) for wanted in (True, False))
    assert lean.dxs == [None] * len(xs)
    np.testing.assert_array_equal(full.outputs[0], lean.outputs[0])
    for path in full.grads:
        np.testing.assert_array_equal(full.grads[path], lean.grads[path], path)


@every_backend
@every_example
def test_batch_one_against_batch_n(name, number, backend, rng):
    """Samples do not see each other, but in BatchNormalization's training and in random masks."""
    graph, _, _ = example(name, number, rng)
    xs, dys = data_for(graph, rng)
    whole = run(graph, xs, None, backend, training=False).outputs[0]
    for n in range(len(whole)):
        one = run(graph, [x[n : n + 1] for x in xs], None, backend, training=False).outputs[0]
        assert_close(one[0], whole[n], 1e-6)
    steps = graph.outputs[0].node.layer.lower()
    if name in SEE_THE_BATCH or any(step.only_in_training for step in steps):
        return
    whole = run(graph, xs, dys, backend)
    total = dict.fromkeys(whole.grads, 0)
    for n in range(len(xs[0])):
        one = run(graph, [x[n : n + 1] for x in xs], [d[n : n + 1] for d in dys], backend)
        for dx, part in zip(whole.dxs, one.dxs, strict=True):
            assert_close(part[0], dx[n], 2e-6)
        total = {path: total[path] + g.astype(np.float64) for path, g in one.grads.items()}
    for path in total:
        assert_close(whole.grads[path], total[path], 1e-5, path)


@fused_or_not
@every_backend
@every_example
def test_short_batch_in_a_larger_plan(name, number, backend, fuses, rng):
    graph, _, _ = example(name, number, rng)
    xs, dys = data_for(graph, rng, 3)
    alone = run(graph, xs, dys, backend, fuses=fuses)
    short = run(graph, xs, dys, backend, fuses=fuses, batch=7)
    np.testing.assert_array_equal(alone.outputs[0], short.outputs[0])
    for a, b in zip(alone.dxs, short.dxs, strict=True):
        np.testing.assert_array_equal(a, b)
    for path in alone.grads:
        np.testing.assert_array_equal(alone.grads[path], short.grads[path], path)


@every_backend
@every_example
def test_any_array_as_data(name, number, backend, rng):
    """Layouts and dtypes of the user's arrays do not matter; nor do they change."""
    graph, _, _ = example(name, number, rng)
    mc.set_backend(backend)
    model = mc.Model(graph.inputs, graph.outputs[0])
    xs = [rng.integers(0, 256, (5, *t.shape[1:])) for t in graph.inputs]
    expected = model.predict([x.astype(np.float32) for x in xs])

    def fortran(x):
        return np.asfortranarray(x.astype(np.float32))

    def strided(x):
        wide = np.full((10, *x.shape[1:-1], 2 * x.shape[-1]), np.nan, np.float32)
        wide[::2, ..., 1::2] = x
        return wide[::2, ..., 1::2]

    def reversed_(x):
        return np.ascontiguousarray(x.astype(np.float64)[::-1])[::-1]

    def read_only(x):
        x = x.astype(np.float32)
        x.flags.writeable = False
        return x

    def unaligned(x):
        raw = np.empty(x.size * 4 + 1, np.uint8)
        array = raw[1:].view(np.float32).reshape(x.shape)
        array[...] = x
        return array

    def big_endian(x):
        return x.astype(">f4")

    forms = [fortran, strided, reversed_, read_only, unaligned, big_endian]
    forms += [lambda x, t=t: x.astype(t) for t in ("uint8", "int16", "int64", "float64")]
    for form in forms:
        given = [form(x) for x in xs]
        copies = [np.array(g) for g in given]
        np.testing.assert_array_equal(model.predict(given, batch_size=2), expected, str(form))
        direct = graph.outputs[0].node.layer(given if len(given) > 1 else given[0], training=False)
        assert_close(direct, expected, 1e-6, f"direct call, {form}")
        for g, copy in zip(given, copies, strict=True):
            np.testing.assert_array_equal(g, copy)
    booleans = [x > 127 for x in xs]
    np.testing.assert_array_equal(model.predict(booleans), model.predict([b.astype(np.float32) for b in booleans]))


@every_example
def test_config_round_trip(name, number, rng):
    graph, layer, shapes = example(name, number, rng)
    config = layer.get_config()
    copy = type(layer).from_config(json.loads(json.dumps(config)))
    assert json.loads(json.dumps(copy.get_config())) == json.loads(json.dumps(config))
    assert copy.get_config()["name"] == layer.name
    other = graph_of(copy, shapes)
    assert [w.shape for w in copy.weights] == [w.shape for w in layer.weights]
    assert [type(w.regularizer) for w in copy.weights] == [type(w.regularizer) for w in layer.weights]
    copy.set_weights(layer.get_weights())
    xs, dys = data_for(graph, rng)
    a, b = run(graph, xs, dys), run(other, xs, dys)
    np.testing.assert_array_equal(a.outputs[0], b.outputs[0])
    np.testing.assert_array_equal(a.dxs[0], b.dxs[0])
    assert type(layer).__name__ in repr(layer)


@every_example
def test_common_constructor_arguments(name, number):
    layer, _ = list(CLASSES[name].examples())[number]
    config = layer.get_config() | {"name": "mine", "trainable": False, "input_shape": [5, 4, 3]}
    copy = type(layer).from_config(config)
    assert (copy.name, copy.trainable, copy.declared_input_shape) == ("mine", False, (5, 4, 3))
    assert copy.get_config() == config


@every_example
def test_layer_called_on_an_array(name, number, rng):
    graph, layer, _ = example(name, number, rng)
    xs, _ = data_for(graph, rng)
    expected = run(graph, xs, training=False).outputs[0]
    for backend in BACKENDS:
        backends.set_backend(backend)
        y = layer(xs if len(xs) > 1 else xs[0], training=False)
        assert isinstance(y, np.ndarray)
        assert y.dtype == np.float32
        assert_close(y, expected, 1e-5)


@every_example
def test_poisoned_declarations(name, number, rng):
    """What a step does not declare by `uses_input` or `uses_output` may be overwritten before its backward pass."""
    graph, _, _ = example(name, number, rng)
    xs, dys = data_for(graph, rng)
    expected = run(graph, xs, dys, fuses=False)
    result = run(graph, xs, None, fuses=False)
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
    for gradient, dx in zip(bound.input_gradients, expected.dxs, strict=True):
        np.testing.assert_array_equal(gradient, dx)
    for weight, gradient in result.store.gradients.items():
        np.testing.assert_array_equal(gradient, expected.grads[weight.path])


# ---------------------------------------------------------------------- the suite itself: broken layers must not pass


def test_the_suite_notices_broken_layers():
    class Wrong(layers.Tanh):
        def backward(self, dy, ws):
            np.multiply(dy, 1 - ws.y, out=ws.dxs[0])

    with pytest.raises(GradientError, match="relative error"):
        gradcheck(Wrong(), input_shape=(5,), backend="numpy")


@every_backend
def test_the_layer_in_the_documentation(backend, rng):
    """docs/adding_a_layer.md: its code runs, and is right."""
    text = (Path(__file__).parents[1] / "docs" / "adding_a_layer.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL)[1]
    names = {}
    exec(code, names)
    (cls,) = [v for n, v in names.items() if n in names["__all__"]]
    for layer, shapes in cls.examples():
        assert gradcheck(layer, input_shape=shapes[0], backend=backend).error <= 1e-6
        model = mc.Sequential([mc.Input(shapes[0]), layer, layers.Flatten(), layers.Dense(2)])
        model.compile("sgd", "mse", backend=backend)
        model.fit(rng.normal(size=(4, *shapes[0])), rng.normal(size=(4, 2)), verbose=0)
        assert cls.from_config(layer.get_config()).get_config() == layer.get_config()
