"""Layers, losses, metrics, optimizers and callbacks of users: the pages about them, and what is said of mistakes."""

import re
from pathlib import Path

import numpy as np
import pytest
from oracles import BACKENDS, every_backend

import minicnn as mc
from minicnn import layers, losses, metrics, optimizers
from minicnn.errors import ContractError, ShapeError
from minicnn.gradient_check import GradientError, gradcheck
from minicnn.layers import Layer

DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture(autouse=True)
def _forget_registered():
    """The pages register their classes; other tests shall not see them."""
    kinds = layers.base._registry, losses.base.registry, metrics.base.registry, optimizers.optimizer._registry
    before = [(dict(kind._classes), list(kind._names)) for kind in kinds]
    yield
    for kind, (classes, names) in zip(kinds, before, strict=True):
        kind._classes, kind._names[:] = classes, names


def code_of(page):
    return re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL)


# ------------------------------------------------------------------------------------------------------ the pages


@every_backend
def test_the_layer_without_weights(backend, rng):
    names = {}
    exec(code_of("adding_a_layer.md")[0], names)
    cls = names["CELU"]
    for layer, shapes in cls.examples():
        assert gradcheck(layer, input_shape=shapes[0], backend=backend).error <= 1e-6
        model = mc.Sequential([mc.Input(shapes[0]), layer, layers.Flatten(), layers.Dense(2)])
        model.compile("sgd", "mse", backend=backend)
        model.fit(rng.normal(size=(4, *shapes[0])), rng.normal(size=(4, 2)), verbose=0)
    x = np.linspace(-3, 3, 13)
    expected = np.maximum(x, 0) + np.minimum(0, 0.5 * (np.exp(x / 0.5) - 1))  # (Barron, 2017)
    np.testing.assert_allclose(cls(alpha=0.5)(x), expected, rtol=1e-5, atol=1e-6)
    if backend == "numpy":
        mc.testing.check_layer(cls(alpha=0.5), (5,), backends=["numpy"])


def test_the_layer_with_a_weight(rng):
    names = {}
    exec(code_of("adding_a_layer.md")[1], names)  # checks the layer itself
    x = rng.normal(size=(64, 3))
    model = mc.Sequential([mc.Input((3,)), names["Scale"](first=0.5)])
    model.compile(optimizers.SGD(0.3), "mse", backend="numpy")
    model.fit(x, x * [1.0, -2.0, 0.0], epochs=60, verbose=0)
    np.testing.assert_allclose(model.get_weights()[0], [1, -2, 0], atol=0.02)


def test_the_page_on_own_parts(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    mc.set_backend("numpy")
    names = {}
    exec("".join(code_of("own_parts.md")), names)
    largest, stopped, loaded = capsys.readouterr().out.splitlines()
    assert loaded == "Lion 0.99"
    assert stopped.split()[0] == "1"
    assert len(largest.split(",")) == 2
    a, b, c = (names["Huber"](0.5)(np.zeros((1, 1)), np.full((1, 1), d)) for d in (0.2, 0.5, -2))
    np.testing.assert_allclose([a, b, c], [0.02, 0.125, 0.5 * (2 - 0.25)])  # the formula (Huber, 1964)
    cosine = names["CosineDistance"]()
    assert cosine([[1.0, 0.0], [0.0, 2.0]], [[3.0, 0.0], [1.0, 0.0]]) == pytest.approx(0.5)


# ------------------------------------------------------------------------------------------------ mistakes in layers


class Doubling(Layer):
    """2 · x; tests break one method at a time."""

    def build(self, input_shapes):
        return input_shapes[0]

    def forward(self, xs, ws):
        np.multiply(xs[0], 2, out=ws.y)

    def backward(self, dy, ws):
        np.multiply(dy, 2, out=ws.dxs[0])


def broken(**methods):
    """`Doubling` with other methods; None takes one away."""
    taken = [name for name, method in methods.items() if method is None]
    given = {name: method for name, method in methods.items() if method is not None}
    kept = {n: m for n, m in vars(Doubling).items() if n in ("build", "forward", "backward") and n not in taken}
    return type("Broken", (Layer,), kept | given)()


def returns(self, xs, ws):
    return xs[0] * 2


def replaces(self, xs, ws):
    ws.y = xs[0] * 2


def changes_input(self, xs, ws):
    xs[0][...] *= 2
    ws.y[...] = xs[0]


def narrower(self, xs, ws):
    ws.y[...] = xs[0][:, :3]


def half_forward(self, xs, ws):
    ws.y[:, ::2] = 2 * xs[0][:, ::2]


def two_weights(self, shapes):
    self.add_weight("w", shape=(6,))
    self.add_weight("w", shape=(6,))
    return shapes[0]


def one_weight(self, shapes):
    self.add_weight("gamma", shape=(6,))
    return shapes[0]


def nothing(self, xs, ws):
    pass


def assigns_entry(self, dy, ws):
    ws.dxs[0] = dy * 2


def half(self, dy, ws):
    ws.dxs[0][:, :3] = 2 * dy[:, :3]


def changes_dy(self, dy, ws):
    dy *= 2
    ws.dxs[0][...] = dy


def reads_output(self, dy, ws):
    np.multiply(dy, 2 + 0 * ws.y, out=ws.dxs[0])


MISTAKES = {
    "returned": ({"forward": returns}, r"forward of layer '\w+' \(Broken\) must write its result into ws\.y.*returned"),
    "replaced": ({"forward": replaces}, r"must write its result into ws\.y.*replaced"),
    "unwritten": ({"forward": nothing}, r"must write its result into ws\.y.*nothing was written"),
    "half written": ({"forward": half_forward}, r"every element of ws\.y.*some were not written"),
    "one name twice": ({"build": two_weights}, "declares two weights of one name"),
    "input changed": ({"forward": changes_input}, "reads xs and never changes it"),
    "wrong shape": ({"forward": narrower}, r"could not broadcast.*ws\.y is \(N, \*what build returned\)"),
    "unknown weight": (
        {"build": one_weight, "forward": lambda self, xs, ws: ws.params["gama"]},
        r"there is no 'gama'\. Received: xs \[.*ws\.params \{'gamma': \(6,\)\}",
    ),
    "unknown buffer": (
        {"backward": lambda self, dy, ws: ws.buffers["m"]},
        r"backward of .*there is no 'm'",
    ),
    "unknown input": (
        {"forward": lambda self, xs, ws: xs[1]},
        r"forward of .*tuple index out of range\. Received: xs \[",
    ),
    "entry assigned": ({"backward": assigns_entry}, r"write `if ws\.dxs\[0\] is not None: ws\.dxs\[0\]\[\.\.\.\] = …`"),
    "gradient unwritten": ({"backward": nothing}, r"every element of ws\.dxs\[0\].*nothing was written"),
    "gradient half written": ({"backward": half}, r"every element of ws\.dxs\[0\].*some elements"),
    "gradient returned": (
        {"backward": lambda self, dy, ws: dy * 2},
        r"must write its result into ws\.dxs\[0\].*returned",
    ),
    "dy changed": ({"backward": changes_dy}, "reads dy and never changes it"),
    "undeclared": ({"backward": reads_output}, "`uses_output = True`"),
    "no backward": ({"backward": None}, r"has no backward: write backward\(dy, ws\)"),
    "only call": ({"forward": None, "call": lambda self, x: x}, r"needs forward\(xs, ws\).*call is Keras's"),
    "no build": ({"build": None}, "needs build.*`return input_shapes"),
    "build gives None": ({"build": lambda self, shapes: None}, "returns the shape of the output.*Received: None"),
    "build gives shapes": ({"build": lambda self, shapes: shapes}, r"for example `return input_shapes\[0\]`"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_a_layer_is_named(mistake, rng):
    """In gradcheck, which passed some of these with an error of 0, and in fit, which trained on what was in memory."""
    methods, message = MISTAKES[mistake]
    with pytest.raises(ContractError, match=message):
        gradcheck(broken(**methods), input_shape=(6,), backend="numpy")
    with pytest.raises(ContractError, match=message):
        model = mc.Sequential([mc.Input((6,)), layers.Dense(6), broken(**methods)])
        model.compile("sgd", "mse", backend="numpy")
        model.fit(rng.normal(size=(8, 6)), rng.normal(size=(8, 6)), verbose=0)


def test_a_layer_that_was_checked_runs_as_it_is(rng):
    """Only the first pass of a plan is checked: after it, nothing stands between the plan and the layer."""
    model = mc.Sequential([mc.Input((6,)), layers.Dense(6), Doubling()])
    model.compile("sgd", "mse", backend="numpy")
    model.fit(rng.normal(size=(8, 6)), rng.normal(size=(8, 6)), verbose=0)
    batch = model._intake().inputs_only(np.zeros((8, 6)))
    step = model.engine.bound(batch, True).forward_steps[-1].place.step
    assert step.forward == model.layers[-1].forward
    assert step.backward == model.layers[-1].backward


def test_a_gradient_of_a_weight_that_is_replaced_is_named():
    class Scale(Doubling):
        def build(self, input_shapes):
            self.add_weight("gamma", input_shapes[0], "ones", trainable=True)
            return input_shapes[0]

        def backward(self, dy, ws):
            np.multiply(dy, 2, out=ws.dxs[0])
            ws.grads["gamma"] = 0 * dy.sum(axis=0)

    with pytest.raises(ContractError, match=r"ws\.grads\['gamma'\]\[\.\.\.\] = …"):
        gradcheck(Scale(), input_shape=(6,), backend="numpy")


def test_a_layer_without_its_constructor_is_named():
    layer = type("Broken", (Doubling,), {"__init__": lambda self: setattr(self, "alpha", 1)})()
    for use in (lambda: mc.Sequential([mc.Input((6,)), layer]), lambda: layer(mc.Input((6,)))):
        with pytest.raises(AttributeError, match=r"Broken was not set up.*super\(\).__init__\(\*\*kwargs\)"):
            use()
    used_twice = Doubling()
    for _ in range(2):
        used_twice(mc.Input((6,)))
    with pytest.raises(AttributeError, match="was called 2 times"):  # the error of a property stays
        _ = used_twice.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shape": (6,)}, r"a weight has a name.*write add_weight\('kernel', shape=\(3, 4\)"),
        ({"name": "w"}, "and a shape"),
        ({"name": (3, 4), "shape": "zeros"}, "a weight has a name"),  # Keras 3's order
        ({"name": "weights", "shape": (6,)}, "every layer has a weights already"),
        ({"name": "forward", "shape": (6,)}, "every layer has a forward already"),
        ({"name": "w", "shape": ((6,), 3)}, r"begin it with `\(shape,\) = input_shapes`"),
        ({"name": "w", "shape": (6,), "trainable": False}, "has_gradient=False"),
        ({"name": "w", "shape": (6,), "dtype": "float64"}, "float32 now"),
    ],
)
def test_arguments_of_a_weight(arguments, message):
    with pytest.raises(ContractError, match=message):
        Doubling().add_weight(**arguments)
    assert Doubling().add_weight(name="w", shape=[2, 3], trainable=True, dtype="float32").shape == (2, 3)


# -------------------------------------------------------------------------------- what the package's rules are not for


class Softmax(Doubling):
    """Called as a layer of the package is: no softmax for that."""


class SteepReLU(layers.ReLU):
    def forward(self, xs, ws):
        np.maximum(3 * xs[0], 0, out=ws.y)

    def backward(self, dy, ws):
        np.multiply(dy, 3 * (ws.xs[0] > 0), out=ws.dxs[0])


@pytest.mark.parametrize("backend", BACKENDS)
def test_rules_for_the_packages_layers_leave_others_alone(backend, rng):
    """Losses look behind a softmax, and fusion merges what is a ReLU: a user's class is neither, whatever its name."""
    x, logits = rng.normal(size=(5, 4)), rng.uniform(0.1, 0.4, (5, 4))
    model = mc.Sequential([mc.Input((4,)), Softmax()])
    model.compile("sgd", "sparse_categorical_crossentropy", backend=backend)
    expected = -np.log(2 * logits[:, 0] / (2 * logits).sum(axis=1)).mean()  # of probabilities, which Keras normalizes
    assert model.evaluate(logits, np.zeros(5, int), verbose=0) == pytest.approx(expected, rel=1e-5)
    dense = layers.Dense(3)
    model = mc.Sequential([mc.Input((4,)), dense, SteepReLU()])
    model.compile("sgd", "mse", backend=backend)
    kernel, bias = dense.get_weights()
    np.testing.assert_allclose(model.predict(x), np.maximum(3 * (x @ kernel + bias), 0), rtol=1e-4, atol=1e-6)


# ----------------------------------------------------------------------------------------------------- as activations


class Swoosh(Layer):
    uses_output = False

    def build(self, input_shapes):
        return input_shapes[0]

    def forward(self, xs, ws):
        np.divide(xs[0], 1 + np.exp(-xs[0]), out=ws.y)

    def backward(self, dy, ws):
        s = 1 / (1 + np.exp(-ws.xs[0]))
        np.multiply(dy, s + ws.xs[0] * s * (1 - s), out=ws.dxs[0])


class Narrow(Swoosh):
    def build(self, input_shapes):
        return (input_shapes[0][0] // 2,)


class Weighted(Swoosh):
    def build(self, input_shapes):
        self.add_weight("a", input_shapes[0], "zeros")
        return input_shapes[0]


@pytest.mark.parametrize("form", ["instance", "class", "name", "layer"])
def test_an_own_layer_as_activation(form, rng, tmp_path):
    layers.register(Swoosh)
    given = {"instance": Swoosh(), "class": Swoosh, "name": "swoosh", "layer": layers.Activation(Swoosh())}[form]
    dense = layers.Dense(4, activation=given)
    model = mc.Sequential([mc.Input((6,)), dense])
    model.compile("sgd", "mse", backend="numpy")
    x = rng.normal(size=(5, 6))
    kernel, bias = dense.get_weights()
    z = x @ kernel + bias
    np.testing.assert_allclose(model.predict(x), z / (1 + np.exp(-z)), rtol=1e-5, atol=1e-6)
    assert gradcheck(model, backend="numpy").error < 1e-7
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(mc.load_model(tmp_path / "model.keras").predict(x), model.predict(x))


@pytest.mark.parametrize("take", [lambda a: layers.Dense(4, activation=a), layers.Activation])
def test_what_cannot_be_an_activation(take):
    with pytest.raises(TypeError, match="a function is not enough: write a subclass of Layer"):
        take(lambda x: x)
    with pytest.raises(ShapeError, match=r"must keep the shape .* call Narrow as a layer of its own"):
        take(Narrow())(mc.Input((4,)))
    with pytest.raises(ContractError, match=r"has weights.* call Weighted as a layer of its own"):
        take(Weighted())(mc.Input((4,)))


# -------------------------------------------------------------------------------------------------------- check_layer


class Noisy(Doubling):
    def forward(self, xs, ws):
        np.add(xs[0], np.random.default_rng().normal(size=xs[0].shape), out=ws.y)


class Forgetful(Doubling):
    def __init__(self, factor=2.0, **kwargs):
        super().__init__(**kwargs)
        self._factor = factor


class Stiff(Doubling):
    def __init__(self):
        super().__init__()


class Centred(Doubling):
    """Samples see each other; the gradient is right."""

    def forward(self, xs, ws):
        ws.y[...] = xs[0] - xs[0].mean(axis=0)

    def backward(self, dy, ws):
        ws.dxs[0][...] = dy - dy.mean(axis=0)


class Single(Doubling):
    def forward(self, xs, ws):
        ws.y[...] = 2 * xs[0].astype(np.float32)


class Wrong(Doubling):
    def backward(self, dy, ws):
        np.multiply(dy, 2.001, out=ws.dxs[0])


class Stuck(Doubling):
    """Reads the layer's weight, not the plan's."""

    def build(self, input_shapes):
        self.add_weight("gamma", input_shapes[0], "ones")
        return input_shapes[0]

    def forward(self, xs, ws):
        np.multiply(xs[0], self.gamma, out=ws.y)

    def backward(self, dy, ws):
        if ws.grads["gamma"] is not None:
            ws.grads["gamma"][...] = (dy * ws.xs[0]).sum(axis=0)
        if ws.dxs[0] is not None:
            np.multiply(dy, self.gamma, out=ws.dxs[0])


class Unguarded(Stuck):
    def forward(self, xs, ws):
        np.multiply(xs[0], ws.params["gamma"], out=ws.y)

    def backward(self, dy, ws):
        ws.grads["gamma"][...] = (dy * ws.xs[0]).sum(axis=0)
        np.multiply(dy, ws.params["gamma"], out=ws.dxs[0])


@pytest.mark.parametrize(
    ("cls", "error", "message"),
    [
        (Noisy, ContractError, "random numbers come from ws.seed"),
        (Forgetful, ContractError, "store it in __init__ as self.factor"),
        (Stiff, ContractError, r"__init__ must take \*\*kwargs"),
        (Centred, ContractError, "must depend on that sample alone"),
        (Single, GradientError, "forward computes in float32"),
        (Wrong, GradientError, "relative error"),
        (Stuck, GradientError, r"forward does not use ws.params\['gamma'\]"),
        (Unguarded, ContractError, "what nobody wants is None"),
    ],
)
def test_check_layer_finds(cls, error, message):
    layer = cls()
    with pytest.raises(error, match=message):
        mc.testing.check_layer(layer, (5,), backends=["numpy"])
    assert not layer.built


def test_check_layer_passes_a_right_layer():
    mc.testing.check_layer(Doubling(), (5, 3), backends=["numpy"])
    mc.testing.check_layer(layers.Add(), [(3,), (3,)], backends=["numpy"])
    layer = Doubling()
    layer(mc.Input((3,)))
    with pytest.raises(ContractError, match="a layer that was not used yet"):
        mc.testing.check_layer(layer, (3,))


# --------------------------------------------------------------------------------------------- mistakes in other parts


class Silent(losses.ElementwiseLoss):
    def elements(self, prediction, target, gradient, from_logits):
        return np.abs(prediction - target)


class Unreduced(losses.Loss):
    def compute(self, prediction, target, weight, gradient, ops, from_logits=None):
        if gradient is not None:
            gradient[...] = 1
        return np.abs(prediction - target)


class Uncomputed(losses.Loss):
    pass


class Averaged(metrics.Metric):
    def measure(self, target, prediction):
        return np.abs(target - prediction).mean()


class Unmeasured(metrics.Metric):
    pass


class Rebinding(optimizers.Optimizer):
    def apply(self, ops, theta, grad, slots, learning_rate):
        theta = theta - learning_rate * grad


class WithoutBase(optimizers.Optimizer):
    def __init__(self):
        pass


class WithoutRule(optimizers.Optimizer):
    pass


@pytest.mark.parametrize(
    ("compiled", "message"),
    [
        ({"loss": Silent()}, "elements of Silent must write the derivative"),
        ({"loss": Unreduced()}, "compute of Unreduced must return the loss of the batch, one number"),
        ({"loss": Uncomputed()}, "Uncomputed has no compute: write compute"),
        ({"metrics": [Averaged()]}, "measure of Averaged must return two numbers"),
        ({"metrics": [Unmeasured()]}, "Unmeasured has no measure: write measure"),
        ({"optimizer": Rebinding(0.1)}, "apply of Rebinding must change theta in place"),
        ({"optimizer": WithoutBase()}, r"WithoutBase was not set up.*super\(\).__init__\(learning_rate"),
        ({"optimizer": WithoutRule(0.1)}, "WithoutRule has no apply: write apply"),
    ],
)
def test_a_mistake_in_another_part_is_named(compiled, message, rng):
    """A loss that wrote no gradient trained on what was in memory; an optimizer that rebound theta trained nothing."""
    model = mc.Sequential([mc.Input((6,)), layers.Dense(2)])
    with pytest.raises((ContractError, AttributeError), match=message):
        model.compile(**({"optimizer": "sgd", "loss": "mse", "backend": "numpy"} | compiled))
        model.fit(rng.normal(size=(8, 6)), rng.normal(size=(8, 2)), verbose=0)


@pytest.mark.parametrize(
    "base", [losses.MeanSquaredError, losses.CategoricalCrossentropy, optimizers.Optimizer, optimizers.Adam]
)
def test_a_method_of_keras_that_would_not_run_is_named(base):
    """A subclass of Keras's MeanSquaredError with a call of its own would train with the base's loss."""
    name, other = ("call", "elements") if issubclass(base, losses.Loss) else ("update_step", "apply")
    with pytest.raises(ContractError, match=f"{name} of Own is Keras's and not used here.*write {other}"):
        type("Own", (base,), {name: lambda self, *arguments: None})
    both = type("Own", (base,), {name: lambda self, *arguments: None, other: lambda self, *arguments: None})
    assert issubclass(both, base)


def test_a_dense_layer_with_a_call_is_named():
    layer = type("Own", (layers.Dense,), {"call": lambda self, x: 2 * x})(3)
    with pytest.raises(ContractError, match=r"needs forward\(xs, ws\).*Received: a class with call"):
        layer(mc.Input((4,)))


def test_an_argument_that_files_would_lose_is_named(tmp_path):
    """Loading it gave a layer with the default instead."""

    class Shrunk(losses.ElementwiseLoss):
        def __init__(self, by=1.0, **options):
            super().__init__(**options)
            self._by = by

        def elements(self, prediction, target, gradient, from_logits):
            raise NotImplementedError

    model = mc.Sequential([mc.Input((6,)), Forgetful(factor=3.0, name="mine")])
    with pytest.warns(UserWarning, match="get_config of Forgetful lacks the argument 'factor'"):
        model.save(tmp_path / "model.safetensors")
    model = mc.Sequential([mc.Input((6,)), layers.Dense(1)])
    model.compile("sgd", Shrunk(2.0))
    with pytest.warns(UserWarning, match="get_config of Shrunk lacks the argument 'by'"):
        model.save(tmp_path / "model.safetensors")


def test_a_metric_without_a_name_is_called_after_its_class():
    assert Averaged().name == "averaged"


def _without_kwargs(base):
    class Own(base):
        def __init__(self, a):
            super().__init__()
            self.a = a

        def get_config(self):
            return {**super().get_config(), "a": self.a, "name": "own"}

    return Own


@pytest.mark.parametrize("base", [mc.layers.Layer, mc.losses.Loss, mc.metrics.Metric, mc.optimizers.SGD])
def test_a_config_that_the_constructor_does_not_take_says_how_to_mend_it(base):
    own = _without_kwargs(base)
    with pytest.raises(ValueError, match=r"def __init__\(self, a, \*\*kwargs\) with super\(\).__init__\(\*\*kwargs\)"):
        own.from_config(own(3).get_config())


def test_so_does_a_clone_and_a_file(tmp_path):
    class Own(mc.keras.layers.Layer):
        def __init__(self, a):
            super().__init__()
            self.inner = mc.keras.layers.Dense(a)

        def call(self, x):
            return self.inner(x)

    model = mc.keras.Sequential([mc.keras.Input((3,)), Own(2)])
    model.save(tmp_path / "model.keras")
    for again in (
        lambda: mc.keras.models.clone_model(model),
        lambda: mc.keras.models.load_model(tmp_path / "model.keras", custom_objects={"Own": Own}),
    ):
        with pytest.raises(ValueError, match=r"Own cannot be made of its config.*\*\*kwargs"):
            again()
