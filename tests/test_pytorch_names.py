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
        several = nn.Conv2d(4, 8, 3, groups=4)
        weights = [several.weight.numpy().reshape(4, 2, 3, 3).transpose(2, 3, 0, 1), several.bias.numpy()]
        depthwise = layers.DepthwiseConv2D(3, depth_multiplier=2)
        check_moved(several(torch.tensor(images)), depthwise, weights, images)
        norm = nn.BatchNorm2d(4)
        norm(torch.tensor(images))  # moves the averages
        state = [norm.state_dict()[name].numpy() for name in ("weight", "bias", "running_mean", "running_var")]
        check_moved(norm.eval()(torch.tensor(images)), layers.BatchNormalization(epsilon=1e-5), state, images)
        flat = nn.Linear(4 * 6 * 5, 8)
        kernel = flat.weight.numpy().reshape(8, 4, 6, 5).transpose(2, 3, 1, 0).reshape(-1, 8)
        stack = [layers.Flatten(), layers.Dense(8)]
        check_moved(flat(torch.tensor(images).flatten(1)), stack, [kernel, flat.bias.numpy()], images)


# -------------------------------------------------------------------------------------------- windows, numbers, losses


def pytorchs_windows(kind, images, kernel, size, padding):
    """Strides of 2, PyTorch's padding: (N, C, H, W), (F, C, K, K) or nothing → (N, F, H2, W2), naively, in float64."""
    fill = -np.inf if kind == "max" else 0.0
    padded = np.pad(images, ((0, 0), (0, 0), (padding, padding), (padding, padding)), constant_values=fill)
    rows, columns = ((side - size) // 2 + 1 for side in padded.shape[2:])
    y = np.empty((len(images), images.shape[1] if kernel is None else len(kernel), rows, columns))
    for i, j in np.ndindex(rows, columns):
        window = padded[:, :, 2 * i : 2 * i + size, 2 * j : 2 * j + size]  # (N, C, K, K)
        if kernel is not None:
            y[:, :, i, j] = np.einsum("nckl,fckl->nf", window, kernel)
        else:
            y[:, :, i, j] = window.max((2, 3)) if kind == "max" else window.mean((2, 3))
    return y


def pytorchs_transposed(images, kernel, padding, output_padding):
    """ConvTranspose2d with strides of 2: (N, C, H, W), (C, F, K, K) → (N, F, H2, W2), naively, in float64."""
    size, (n, _, h, w) = kernel.shape[-1], images.shape
    y = np.zeros((n, kernel.shape[1], 2 * h - 2 + size + output_padding, 2 * w - 2 + size + output_padding))
    for i, j in np.ndindex(h, w):
        y[:, :, 2 * i : 2 * i + size, 2 * j : 2 * j + size] += np.einsum("nc,cfkl->nfkl", images[:, :, i, j], kernel)
    return y[:, :, padding : y.shape[2] - padding, padding : y.shape[3] - padding]


@pytest.mark.parametrize("height, width", [(8, 8), (7, 10)])
def test_windows_with_strides_stand_where_the_page_says(rng, height, width):
    images = rng.uniform(0, 1, size=(2, 4, height, width))  # (N, C, H, W), as behind a ReLU
    kernel, turned = rng.normal(size=(6, 4, 3, 3)), {size: rng.normal(size=(4, 6, size, size)) for size in (3, 4)}
    transposed, crop = layers.Conv2DTranspose, layers.Cropping2D(((1, 0), (1, 0)))
    for ours, weights, expected in (
        ([layers.Conv2D(6, 3, strides=2)], kernel, pytorchs_windows("conv", images, kernel, 3, 1)),
        ([layers.MaxPooling2D(3, 2)], None, pytorchs_windows("max", images, None, 3, 1)),
        ([layers.AveragePooling2D(3, 2)], None, pytorchs_windows("average", images, None, 3, 1)),
        ([transposed(6, 4, strides=2, padding="same")], turned[4], pytorchs_transposed(images, turned[4], 1, 0)),
        ([transposed(6, 3, strides=2), crop], turned[3], pytorchs_transposed(images, turned[3], 1, 1)),
    ):
        ours = ours if isinstance(ours[0], transposed) else [layers.ZeroPadding2D(1), *ours]
        model = mc.Sequential([mc.Input((height, width, 4)), *ours])
        if weights is not None:
            model.set_weights([weights.transpose(2, 3, 1, 0), np.zeros(6)])
        y = model.predict(np.moveaxis(images, 1, -1))
        np.testing.assert_allclose(y, np.moveaxis(expected, 1, -1), rtol=1e-4, atol=1e-5)


def test_numbers_that_are_not_told_are_those_of_the_page(rng):
    """Formulas of torch.nn's pages, whose ε is 1e-5, and float32's own in RMSNorm."""
    x = 0.01 * rng.normal(size=(3, 6))  # so small that ε counts

    def normalized(of, axis, epsilon):
        centred = of - of.mean(axis, keepdims=True)
        return centred / np.sqrt((centred**2).mean(axis, keepdims=True) + epsilon)

    def images(of):  # (N, 6) → (N, 3, 1, 2)
        return of.reshape(3, 3, 1, 2)

    for layer, of, expected in (
        (layers.LeakyReLU(negative_slope=0.01), x, np.where(x < 0, 0.01 * x, x)),
        (layers.LayerNormalization(epsilon=1e-5), x, normalized(x, 1, 1e-5)),
        (layers.RMSNormalization(epsilon=2**-23), x, x / np.sqrt((x**2).mean(1, keepdims=True) + 2**-23)),
        (layers.GroupNormalization(groups=-1, epsilon=1e-5), images(x), normalized(images(x), (1, 2), 1e-5)),
        (layers.GroupNormalization(2, epsilon=1e-5), x, normalized(x.reshape(3, 2, 3), 2, 1e-5).reshape(3, 6)),
    ):
        model = mc.Sequential([mc.Input(of.shape[1:]), layer])
        np.testing.assert_allclose(model.predict(of), expected, rtol=1e-4, atol=1e-6, err_msg=type(layer).__name__)


def test_losses_are_those_of_the_page(rng):
    """Formulas of CrossEntropyLoss's page, in float64."""
    logits, y, w = rng.normal(size=(6, 5)), rng.integers(0, 5, 6), np.arange(1.0, 6.0)
    logs = logits - np.log(np.exp(logits).sum(1, keepdims=True))  # (N, 5)
    each = -logs[np.arange(6), y]
    sparse = losses.SparseCategoricalCrossentropy
    left_out = np.where(np.arange(6) % 3 == 1, 255, y)
    ignoring = sparse(from_logits=True, ignore_class=255)
    np.testing.assert_allclose(ignoring(left_out, logits), each[left_out != 255].mean(), rtol=1e-5)
    smooth = losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1)
    expected = (0.9 * each - 0.1 * logs.mean(1)).mean()
    np.testing.assert_allclose(smooth(mc.utils.to_categorical(y, 5), logits), expected, rtol=1e-5)
    model = mc.Sequential([mc.Input((5,)), layers.Activation("linear")])
    model.compile("sgd", sparse(from_logits=True))
    weighted = model.train_on_batch(logits, y, class_weight=dict(enumerate(w)))
    np.testing.assert_allclose(weighted, (w[y] * each).sum() / 6, rtol=1e-5)  # PyTorch: / w[y].sum()
    np.testing.assert_allclose(sparse()(y, np.exp(logs)), each.mean(), rtol=1e-5)


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
    "adam, decay": ("adam, decay", [0.1] * 6, lambda: optimizers.Adam(0.1, epsilon=1e-9), L2),
    "adamw": ("adamw", [0.1] * 6, lambda: optimizers.AdamW(0.1, weight_decay=0.1, epsilon=1e-9), None),
    "adam, its decay": ("adamw", [0.1] * 6, lambda: optimizers.Adam(0.1, weight_decay=0.1, epsilon=1e-9), None),
    "rmsprop": ("rmsprop", [0.01] * 6, lambda: optimizers.RMSprop(0.01, rho=0.99, epsilon=1e-16), None),
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
    x[:, 0] *= 1e-2  # gradients so small that a wrong ε shows
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
        "AdamW(lr, weight_decay=w, epsilon=1e-9)",
        "RMSprop(lr, rho=0.99, epsilon=1e-16)",
        "Adadelta(lr, rho=0.9, epsilon=1e-6)",
        "ExponentialDecay(lr, 1, g)",
        "CosineDecay(lr, steps)",
        "PiecewiseConstantDecay([1, 3], [lr, lr / 10, lr / 100])",
        "ReduceLROnPlateau(patience=11)",
        "`ZeroPadding2D(1)`, `Conv2D(F, 3, strides=2)`",
        "`Conv2DTranspose(F, 3, strides=2)`, `Cropping2D(((1, 0), (1, 0)))`",
        "LeakyReLU(negative_slope=0.01)",
        "RMSNormalization(epsilon=2 ** -23)",
        "CategoricalCrossentropy(from_logits=True, label_smoothing=0.1)",
        "SparseCategoricalCrossentropy(from_logits=True, ignore_class=255)",
    ):
        assert call in page
