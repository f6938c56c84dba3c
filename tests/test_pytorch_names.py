"""What users of PyTorch look for: errors say what it is called here, and docs/pytorch.md moves weights right."""

import copy
import pickle
import re
from pathlib import Path

import numpy as np
import pytest

import minicnn as mc
from minicnn import callbacks, layers, losses, optimizers, pytorch_names
from minicnn.errors import NotBuiltError


class Net(mc.Model):
    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(3)

    def call(self, x):
        return self.dense(x)


def built(make=Net):
    model = make()
    model.build((None, 4))
    model.compile("adam", "mse")
    return model


@pytest.mark.parametrize("name", [*pytorch_names._IN_PACKAGE, *pytorch_names.CLASSES])
def test_names_of_the_package(name):
    with pytest.raises(AttributeError, match=r"in the place of PyTorch's .*; see docs/pytorch\.md"):
        getattr(mc, name)


@pytest.mark.parametrize("name", sorted(pytorch_names.CLASSES))
def test_names_of_classes(name):
    for module in (layers, losses, optimizers, mc.metrics):
        with pytest.raises(AttributeError, match=f"If PyTorch's is meant, {name} is .* here; see docs/pytorch.md"):
            getattr(module, name)
    if name not in ("Conv1d", "Conv2d"):  # as texts, they are Conv1D and Conv2D
        with pytest.raises(ValueError, match=f"If PyTorch's is meant, {name} is"):
            layers.get(name)


def test_what_is_named_instead_is_there():
    classes = {**vars(layers), **vars(losses), **vars(callbacks)}
    for advice in pytorch_names.CLASSES.values():
        for name in re.findall(r"\b[A-Z]\w+(?=$|\(|,)", advice.replace("mc.", "")):
            assert name in classes or hasattr(mc, name), advice


@pytest.mark.parametrize(
    "make", [Net, lambda: mc.Sequential([mc.Input((4,)), layers.Dense(3)])], ids=["own", "library"]
)
@pytest.mark.parametrize("name", sorted(pytorch_names._OF_MODELS))
def test_names_of_models(make, name):
    model = built(make)
    with pytest.raises(AttributeError, match=f"no attribute '{name}': .*; see docs/pytorch.md"):
        getattr(model, name)
    assert not hasattr(model, name)


@pytest.mark.parametrize("name", sorted(pytorch_names._OF_OPTIMIZERS))
def test_names_of_optimizers(name):
    with pytest.raises(AttributeError, match=f"no attribute '{name}': .*; see docs/pytorch.md"):
        getattr(optimizers.Adam(), name)


@pytest.mark.parametrize("name", sorted(pytorch_names._OF_TENSORS))
def test_names_of_symbolic_tensors(name):
    with pytest.raises(AttributeError, match=f"no attribute '{name}': .*; see docs/pytorch.md"):
        getattr(layers.Dense(3)(mc.Input((4,))), name)


def test_other_errors_are_what_they_were():
    model = Net()
    with pytest.raises(NotBuiltError, match="has no weights yet"):
        model.count_params()
    with pytest.raises(AttributeError, match=r"^'Net' object has no attribute 'wieghts'$"):
        _ = model.wieghts
    with pytest.raises(AttributeError, match=r"no attribute 'foo'$"):
        _ = optimizers.Adam().foo
    with pytest.raises(AttributeError, match=r"no attribute 'foo'$"):
        _ = mc.Input((4,)).foo
    with pytest.raises(TypeError, match="in the place of forward"):
        type("Forward", (mc.Model,), {"forward": lambda self, x: x})()


def test_models_are_copied_and_pickled_as_before(rng):
    model, x = mc.Sequential([mc.Input((4,)), layers.Dense(3)]), rng.normal(size=(2, 4))
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(twin.predict(x), model.predict(x))
    assert pickle.loads(pickle.dumps(optimizers.Adam(0.5))).learning_rate == 0.5


# ---------------------------------------------------------------------------------------------------------- weights


def check_moved(theirs, layer, weights, images):
    """A layer with weights of PyTorch's computes what that does; images are (N, C, H, W)."""
    channels_last = np.moveaxis(images, 1, -1)
    model = mc.Sequential([mc.Input(channels_last.shape[1:]), *([layer] if isinstance(layer, layers.Layer) else layer)])
    model.layers[-1].set_weights(weights)
    expected = np.moveaxis(theirs.numpy(), 1, -1)
    np.testing.assert_allclose(model.predict(channels_last), expected, rtol=1e-4, atol=1e-5)


def test_weights_move_as_the_page_says(rng):
    torch = pytest.importorskip("torch")
    nn = torch.nn
    images = rng.normal(size=(3, 4, 6, 5)).astype(np.float32)  # (N, C, H, W)
    with torch.no_grad():
        for theirs, layer, axes in (
            (nn.Conv2d(4, 7, (3, 2)), layers.Conv2D(7, (3, 2)), (2, 3, 1, 0)),
            (nn.Conv2d(4, 4, (3, 2), groups=4), layers.DepthwiseConv2D((3, 2)), (2, 3, 0, 1)),
            (nn.ConvTranspose2d(4, 7, (3, 2), stride=2), layers.Conv2DTranspose(7, (3, 2), strides=2), (2, 3, 1, 0)),
        ):
            weights = [theirs.weight.numpy().transpose(axes), theirs.bias.numpy()]
            check_moved(theirs(torch.tensor(images)), layer, weights, images)
        norm = nn.BatchNorm2d(4)
        norm(torch.tensor(images))  # moves the averages
        state = [norm.state_dict()[name].numpy() for name in ("weight", "bias", "running_mean", "running_var")]
        check_moved(norm.eval()(torch.tensor(images)), layers.BatchNormalization(epsilon=1e-5), state, images)
        flat = nn.Linear(4 * 6 * 5, 8)
        kernel = flat.weight.numpy().reshape(8, 4, 6, 5).transpose(2, 3, 1, 0).reshape(-1, 8)
        stack = [layers.Flatten(), layers.Dense(8)]
        check_moved(flat(torch.tensor(images).flatten(1)), stack, [kernel, flat.bias.numpy()], images)


# ------------------------------------------------------------------------------------------------------- optimizers


def pytorchs_weights(rule, gradient, theta, rates):
    """`theta` after a step for each rate, by a rule of PyTorch's documentation, in float64.

    Sources: the algorithms on the pages of torch.optim (2.13); their numbers for this problem are the same to 1e-12.
    """
    m = v = np.zeros_like(theta)
    for t, rate in enumerate(rates, 1):
        g = gradient(theta)
        if rule in ("sgd, decay", "adam, decay"):
            g = g + 0.1 * theta
        if rule == "adamw":
            theta = theta - rate * 0.1 * theta
        if rule.startswith("adam"):
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
            theta = theta - rate * m / (1 - 0.9**t) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        elif rule == "rmsprop":
            v = 0.99 * v + 0.01 * g**2
            theta = theta - rate * g / (np.sqrt(v) + 1e-8)
        elif rule == "adadelta":
            v = 0.9 * v + 0.1 * g**2
            step = np.sqrt(m + 1e-6) / np.sqrt(v + 1e-6) * g
            m, theta = 0.9 * m + 0.1 * step**2, theta - rate * step
        else:
            m = 0.9 * m + g if rule == "sgd, decay" else g
            theta = theta - rate * m
    return theta


SCHEDULES, L2 = optimizers.schedules, mc.regularizers.L2(0.05)
ALIKE = {
    "sgd, decay": ("sgd, decay", [0.1] * 6, lambda: optimizers.SGD(0.1, momentum=0.9), L2),
    "adam, decay": ("adam, decay", [0.1] * 6, lambda: optimizers.Adam(0.1), L2),
    "adamw": ("adamw", [0.1] * 6, lambda: optimizers.AdamW(0.1, weight_decay=0.1), None),
    "adam, its decay": ("adamw", [0.1] * 6, lambda: optimizers.Adam(0.1, weight_decay=0.1), None),
    "rmsprop": ("rmsprop", [0.01] * 6, lambda: optimizers.RMSprop(0.01, rho=0.99, epsilon=1e-8), None),
    "adadelta": ("adadelta", [1.0] * 6, lambda: optimizers.Adadelta(1.0, rho=0.9, epsilon=1e-6), None),
    "ExponentialLR": (
        "sgd",
        [0.1 * 0.9**t for t in range(6)],
        lambda: optimizers.SGD(SCHEDULES.ExponentialDecay(0.1, 1, 0.9)),
        None,
    ),
    "CosineAnnealingLR": (
        "sgd",
        [0.05 * (1 + np.cos(np.pi * t / 6)) for t in range(6)],
        lambda: optimizers.SGD(SCHEDULES.CosineDecay(0.1, 6)),
        None,
    ),
    "MultiStepLR": (
        "sgd",
        [0.1, 0.1, 0.01, 0.01, 0.001, 0.001],
        lambda: optimizers.SGD(SCHEDULES.PiecewiseConstantDecay([1, 3], [0.1, 0.01, 0.001])),
        None,
    ),
}


@pytest.mark.parametrize("name", ALIKE)
def test_optimizers_that_the_page_names_move_weights_as_pytorchs_do(name):
    rule, rates, make, regularizer = ALIKE[name]
    rng = np.random.default_rng(0)  # one seed: near a gradient of 0, Adam's ε counts, which is not PyTorch's
    x, y, theta = rng.normal(size=(32, 5)), rng.normal(size=(32, 2)), rng.normal(size=(5, 2))
    model = mc.Sequential([mc.Input((5,)), layers.Dense(2, use_bias=False, kernel_regularizer=regularizer)])
    model.set_weights([theta])
    model.compile(make(), "mse")
    for _ in rates:
        model.train_on_batch(x, y)
    expected = pytorchs_weights(rule, lambda w: x.T @ (x @ w - y) / 32, theta, rates)  # of the mean over (32, 2)
    np.testing.assert_allclose(model.get_weights()[0], expected, rtol=1e-4, atol=1e-5)


def test_a_plateau_is_as_long_as_the_page_says():
    """PyTorch 2.13's ReduceLROnPlateau, with losses that stay, has the lower rate from epoch 12 on."""
    model = mc.Sequential([mc.Input((1,)), layers.Dense(1)])
    model.compile(optimizers.SGD(1.0), "mse")
    x, waits = np.zeros((2, 1)), mc.callbacks.ReduceLROnPlateau(patience=11)
    rates = model.fit(x, x, epochs=14, validation_data=(x, x), callbacks=[waits], verbose=0).history["learning_rate"]
    np.testing.assert_allclose(rates, [1.0] * 12 + [0.1] * 2, rtol=1e-6)


def test_the_page_says_all_that_is_compared():
    page = (Path(__file__).parents[1] / "docs" / "pytorch.md").read_text(encoding="utf-8")
    for call in (
        "L2(w / 2)",
        "AdamW(lr, weight_decay=w)",
        "RMSprop(lr, rho=0.99, epsilon=1e-8)",
        "Adadelta(lr, rho=0.9, epsilon=1e-6)",
        "ExponentialDecay(lr, 1, g)",
        "CosineDecay(lr, steps)",
        "PiecewiseConstantDecay([1, 3], [lr, lr / 10, lr / 100])",
        "ReduceLROnPlateau(patience=11)",
    ):
        assert call in page
