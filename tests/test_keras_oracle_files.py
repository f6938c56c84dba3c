"""Files between real Keras 3 and minicnn, both ways: predictions, and how training goes on.

`pip install "keras>=3.15" tensorflow-cpu h5py` to run these; tests/test_keras_files.py needs neither.
"""

import numpy as np
import pytest
from networks import NETWORKS, lenet5_better
from real_keras import keras
from test_keras_operations_as_layers import OF_FUNCTIONS, OF_LAYERS
from test_shared_layers import KINDS, X
from test_shared_layers import trained as two_iterations

import minicnn as mc
import minicnn.keras
from minicnn import layers
from minicnn.saving.keras import compiled
from minicnn.saving.keras.layers import keras_class_name

pytestmark = [
    pytest.mark.peers,
    pytest.mark.filterwarnings("ignore:.*from_logits"),
    pytest.mark.filterwarnings("ignore:Skipping variable loading"),  # Keras's own .h5 files have that
]
pytest.importorskip("h5py")


@pytest.mark.parametrize("room", ["metrics", "optimizers"])
def test_keras_makes_what_is_written_of_every_class(room):
    """Its classes refuse arguments that they do not have."""
    made = 0
    for name in sorted(set(dir(getattr(mc, room))) & set(dir(getattr(keras, room)))):
        own = getattr(mc, room) if name in ("Optimizer", "Metric") else getattr(getattr(mc, room), name)
        try:
            part = {"class_name": name, "config": own().get_config()}
        except (AttributeError, TypeError):  # a function, a base class, or one that needs arguments
            continue
        config = compiled.optimizer_to_keras(part) if room == "optimizers" else compiled.metric_to_keras(part)
        assert type(keras.saving.deserialize_keras_object(config)).__name__ == name
        made += 1
    assert made > 10


STEPS = 10
TRAININGS = {
    "D0": (lambda k: k.optimizers.Adam(), 32),
    "D1": (lambda k: k.optimizers.Adam(), 32),
    "net_1 MNIST": (lambda k: k.optimizers.Adadelta(0.1), 16),
    "net_2 MNIST": (lambda k: k.optimizers.Adagrad(), 16),
    "D3 MLP": (lambda k: k.optimizers.RMSprop(), 100),
    "LeNet-5": (lambda k: k.optimizers.SGD(k.optimizers.schedules.CosineDecay(0.1, 20), momentum=0.9), 32),
    "LeNet-5 classic": (lambda k: k.optimizers.AdamW(clipnorm=1.0), 32),
}
"""Network → (optimizer, batch size)."""


@pytest.fixture
def rng():
    """The same data and weights in every run: in some others (seen for D1) a value that lies on the
    edge of a ReLU or of two pooled pixels falls to the two sides in the two libraries, and Adam makes much of it. The
    state that was read is the same to the bit then too.
    """
    mc.utils.set_random_seed(1)
    keras.utils.set_random_seed(1)
    return np.random.default_rng(1)


has_augmentation = pytest.mark.skipif("RandomShear" not in layers.CLASSES, reason="no augmentation layers")


def train(model, x, y, batch):
    """The losses of `STEPS` steps."""
    starts = [batch * step % (len(x) - batch + 1) for step in range(STEPS)]
    return np.array([np.ravel(model.train_on_batch(x[s : s + batch], y[s : s + batch]))[0] for s in starts])


def data_for(model, rng, count=64):
    x = rng.uniform(size=(count, *model.inputs[0].shape[1:])).astype(np.float32)
    return x, rng.integers(10, size=count)


def trained(k, case, x, y, batch):
    model = NETWORKS[case](k)
    loss = k.losses.SparseCategoricalCrossentropy(from_logits=case == "D1")
    model.compile(TRAININGS[case][0](k), loss, metrics=["accuracy"])
    train(model, x, y, batch)
    return model


@pytest.mark.parametrize("case", TRAININGS)
@pytest.mark.parametrize("direction", ["to Keras", "from Keras"])
def test_training_goes_on(case, direction, rng, tmp_path):
    batch = TRAININGS[case][1]
    x, y = data_for(NETWORKS[case](mc), rng, 4 * batch)
    ours, theirs = (mc, keras) if direction == "to Keras" else (keras, mc)
    before = trained(ours, case, x, y, batch)
    before.save(tmp_path / "model.keras")
    after = theirs.models.load_model(tmp_path / "model.keras")
    for a, b in zip(after.get_weights(), before.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_allclose(after.predict(x, verbose=0), before.predict(x, verbose=0), atol=1e-5)
    np.testing.assert_allclose(train(after, x, y, batch), train(before, x, y, batch), atol=1e-4)


OPTIMIZERS = {
    **{name: {} for name in ("Adafactor", "Adamax", "Ftrl", "Lamb", "Lion", "Muon", "Nadam")},
    "Adam": {"amsgrad": True},
    "RMSprop": {"centered": True, "momentum": 0.9},
}


@pytest.mark.parametrize("extra", [{}, {"use_ema": True}, {"gradient_accumulation_steps": 2}], ids=str)
@pytest.mark.parametrize("direction", ["to Keras", "from Keras"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_state_of_every_optimizer_goes_on(name, direction, extra, rng, tmp_path):
    """Matrices, filters and vectors: as many variables, in the same order, whoever wrote the file."""
    ours, theirs = (mc, keras) if direction == "to Keras" else (keras, mc)
    x, y = rng.uniform(size=(16, 6, 6, 2)).astype("float32"), rng.normal(size=(16, 3)).astype("float32")
    before = ours.Sequential(
        [
            ours.layers.Input((6, 6, 2)),
            *(ours.layers.BatchNormalization(), ours.layers.Conv2D(3, 3), ours.layers.Flatten(), ours.layers.Dense(3)),
        ]
    )
    before.compile(getattr(ours.optimizers, name)(0.01, **OPTIMIZERS[name], **extra), "mse")
    for _ in range(4):
        before.train_on_batch(x, y)
    before.save(tmp_path / "m.keras")
    after = theirs.models.load_model(tmp_path / "m.keras")
    for model in (before, after):
        for _ in range(4):
            model.train_on_batch(x, y)
    for a, b in zip(after.get_weights(), before.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5)


@pytest.mark.parametrize("direction", ["to Keras", "from Keras"])
@pytest.mark.parametrize("case", ["D1", "net_1 MNIST"])
def test_old_files(case, direction, rng, tmp_path):
    x, y = data_for(NETWORKS[case](mc), rng)
    ours, theirs = (mc, keras) if direction == "to Keras" else (keras, mc)
    before = trained(ours, case, x, y, 16)
    before.save(tmp_path / "model.h5")
    after = theirs.models.load_model(tmp_path / "model.h5")
    np.testing.assert_allclose(after.predict(x, verbose=0), before.predict(x, verbose=0), atol=1e-5)
    continued = train(after, x, y, 16)
    if theirs is mc:  # Keras 3 (3.15.1) does not restore the optimizer of an .h5 file
        np.testing.assert_allclose(continued, train(before, x, y, 16), atol=1e-4)


@pytest.mark.parametrize("direction", ["to Keras", "from Keras"])
@pytest.mark.parametrize("case", ["D0", "net_2 MNIST"])
def test_weights_alone(case, direction, rng, tmp_path):
    make = NETWORKS[case]
    ours, theirs = (mc, keras) if direction == "to Keras" else (keras, mc)
    before, after = make(ours), make(theirs)
    before.save_weights(tmp_path / "x.weights.h5")
    after.load_weights(tmp_path / "x.weights.h5")
    x, _ = data_for(before, rng, 8)
    np.testing.assert_allclose(after.predict(x, verbose=0), before.predict(x, verbose=0), atol=1e-5)


@has_augmentation
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("direction", ["to Keras", "from Keras"])
def test_augmentation(direction, suffix, rng, tmp_path):
    ours, theirs = (mc, keras) if direction == "to Keras" else (keras, mc)
    before = lenet5_better(ours)
    before.save(tmp_path / f"model{suffix}")
    after = theirs.models.load_model(tmp_path / f"model{suffix}")
    x, _ = data_for(before, rng, 8)
    np.testing.assert_allclose(after.predict(x, verbose=0), before.predict(x, verbose=0), atol=1e-5)
    wanted, got = ([layer.get_config() for layer in m.get_layer("aug").layers[1:]] for m in (before, after))
    for a, b in zip(wanted, got, strict=True):
        for name in set(a) & set(b) - {"data_format", "dtype"}:
            assert limits(a[name]) == limits(b[name]), name


def limits(value):
    """Keras writes some factors f as (-f, f)."""
    if isinstance(value, float):
        return [-value, value]
    return list(value) if isinstance(value, tuple) else value


def examples():
    """Each layer's contract examples, but for two: outside training, Keras 3.15.1 does not crop by RandomCrop, and of a
    model around its Equalization, which gives its input back, it says that it is a cycle.
    """
    for name, cls in sorted(layers.CLASSES.items()):
        if (
            hasattr(cls, "examples")
            and hasattr(keras.layers, keras_class_name(name))
            and name not in ("RandomCrop", "Equalization")
        ):
            for number, (layer, shapes) in enumerate(cls.examples()):
                yield pytest.param(layer, shapes, id=f"{name} {number}")


def model_around(layer, shapes):
    inputs = [mc.Input(shape) for shape in shapes]
    return mc.Model(inputs, layer(inputs if len(inputs) > 1 else inputs[0]))


@pytest.mark.parametrize("layer, shapes", list(examples()))
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_every_layer_to_keras_and_back(layer, shapes, suffix, rng, tmp_path):
    if suffix == ".h5" and isinstance(getattr(layer, "axis", getattr(layer, "noise_shape", None)), list | tuple):
        pytest.skip("Keras reads an axis that is a list as another one from .h5 files, its own too")
    if suffix == ".h5" and getattr(layer, "score_mode", None) == "dot":
        pytest.skip("Keras (3.15.1) takes the score_mode of its own .h5 files for its function dot, and stops")
    ours = model_around(layer, shapes)
    ours.set_weights([rng.uniform(0.5, 1, w.shape) for w in ours.get_weights()])
    ours.save(tmp_path / f"ours{suffix}")
    theirs = keras.models.load_model(tmp_path / f"ours{suffix}")
    xs = [rng.normal(size=(3, *shape)).astype(np.float32) for shape in shapes]
    expected = ours.predict(xs if len(xs) > 1 else xs[0])
    try:
        found = theirs.predict(xs if len(xs) > 1 else xs[0], verbose=0)
    except ValueError as error:
        if "Adaptive" in type(layer).__name__ and "Negative dimension size" in str(error):
            pytest.skip("Keras (3.15.1) tries windows of one place more than a volume has, and stops")
        raise
    np.testing.assert_allclose(found, expected, atol=1e-5)
    if type(layer).__name__.startswith(("Random", "AugMix", "RandAugment", "Solarization")):
        # Keras (3.15.1) cannot write those that it has read to .h5, nor its own
        suffix = ".keras"
    theirs.save(tmp_path / f"theirs{suffix}")
    back = mc.load_model(tmp_path / f"theirs{suffix}")
    np.testing.assert_array_equal(back.predict(xs if len(xs) > 1 else xs[0]), expected)


def shared_and_nested(k):
    """Models in models, called more than once, one of them an output; a frozen layer; two losses."""
    L = k.layers
    start = L.Input((6, 6, 3))
    functional = k.Model(start, L.BatchNormalization()(L.Conv2D(4, 1)(start)), name="functional")
    stack = k.Sequential([L.Input((6, 6, 4)), L.Conv2D(4, 3, padding="same", trainable=False)], name="stack")
    stack.add(L.BatchNormalization())
    x = L.Input((6, 6, 3))
    h = functional(x)
    h = L.Add()([stack(h), stack(stack(h))])
    inner = L.Input((4,))
    last = k.Model(inner, L.Dense(10, activation="softmax")(inner), name="last")
    pooled = L.GlobalAveragePooling2D()(h)
    return k.Model(x, [last(L.GlobalMaxPooling2D()(h)), last(pooled), L.Dense(10, activation="softmax")(pooled)])


@pytest.mark.parametrize("direction", ["to Keras", "from Keras"])
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_graphs_with_models_inside(direction, suffix, rng, tmp_path):
    x, y = rng.normal(size=(24, 6, 6, 3)).astype(np.float32), rng.integers(10, size=24)
    ours, theirs = (mc, keras) if direction == "to Keras" else (keras, mc)
    before = shared_and_nested(ours)
    losses = [ours.losses.SparseCategoricalCrossentropy() for _ in range(3)]
    before.compile(ours.optimizers.Adam(0.01), losses, loss_weights=[1.0, 0.5, 0.25])
    for _ in range(5):
        before.train_on_batch(x, [y, y, y])
    before.save(tmp_path / f"model{suffix}")
    after = theirs.models.load_model(tmp_path / f"model{suffix}")
    for a, b in zip(after.predict(x, verbose=0), before.predict(x, verbose=0), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    if suffix == ".keras" or theirs is mc:
        for _ in range(STEPS):
            a, b = after.train_on_batch(x, [y, y, y]), before.train_on_batch(x, [y, y, y])
            np.testing.assert_allclose(a[0], b[0], atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_what_models_share(kind, suffix, tmp_path):
    """Keras (3.15.1) cannot read most of these as it writes them itself."""
    ours = two_iterations(kind())
    ours.save(tmp_path / f"m{suffix}")
    theirs = keras.models.load_model(tmp_path / f"m{suffix}")
    for a, b in zip(theirs.predict(X, verbose=0), ours.predict(X), strict=True):  # outputs, or the samples of one
        np.testing.assert_allclose(a, b, atol=1e-5)
    if suffix == ".keras":  # its .h5 files know no sharing
        assert len(theirs.weights) == len(ours.weights)
        np.testing.assert_array_equal(theirs.optimizer.iterations, ours.optimizer.iterations)
        state = ours.engine.state_by_weight()
        first = state[ours.optimizer.slots[0]][ours.weights[0]]
        np.testing.assert_array_equal(theirs.optimizer.variables[2], first)


@pytest.mark.parametrize("suffix", [".weights.h5", ".h5"])  # the published files are of the second kind
@pytest.mark.parametrize(
    ("name", "module"),
    [
        *(("VGG16", "vgg16"), ("ResNet50", "resnet"), ("DenseNet121", "densenet"), ("ResNet50V2", "resnet_v2")),
        *(("MobileNet", "mobilenet"), ("MobileNetV2", "mobilenet_v2"), ("EfficientNetB0", "efficientnet")),
        *(("Xception", "xception"), ("InceptionV3", "inception_v3")),
        *(("MobileNetV3Small", "mobilenet_v3"), ("MobileNetV3Large", "mobilenet_v3")),
        *(("EfficientNetV2B0", "efficientnet_v2"), ("InceptionResNetV2", "inception_resnet_v2")),
        *(("NASNetMobile", "nasnet"), ("ConvNeXtTiny", "convnext")),
    ],
)
def test_weights_of_keras_applications(name, module, suffix, tmp_path):
    """Keras writes the weights of one of its networks; minicnn's takes them, and says the same of the same pictures."""
    import keras.applications as theirs

    import minicnn.keras.applications as ours

    rng = np.random.default_rng(3)
    pictures = rng.uniform(0, 255, (2, 75, 76, 3)).astype("float32")
    options = {"include_top": False, "input_shape": (75, 76, 3), "pooling": "avg"}
    network = getattr(theirs, name)(weights=None, **options)
    for weight in network.non_trainable_variables:
        weight.assign(rng.uniform(0.5, 1.5, weight.shape))
    for layer in network.layers:
        if type(layer).__name__ == "LayerScale":  # which begins near 0
            layer.gamma.assign(rng.uniform(0.5, 1.5, layer.gamma.shape))
    path = tmp_path / f"of{suffix}"
    (network.save if suffix == ".h5" else network.save_weights)(path)
    expected = network.predict(getattr(theirs, module).preprocess_input(pictures.copy()), verbose=0)
    loaded = getattr(ours, name)(weights=path, **options)
    pixels = getattr(ours, module).preprocess_input(pictures)
    np.testing.assert_allclose(
        loaded.predict(pixels, verbose=0), expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max()
    )


@pytest.mark.parametrize("suffix", ["keras", "h5", "json"])
@pytest.mark.parametrize("name", [*OF_LAYERS, *OF_FUNCTIONS])
def test_keras_reads_operations_and_minicnn_what_keras_writes_of_them(name, suffix, tmp_path, rng):
    function, of_numpy = (OF_LAYERS | OF_FUNCTIONS)[name]
    x, y = (rng.normal(size=(5, 4, 3)).astype(np.float32) for _ in range(2))
    a, b = mc.keras.Input((4, 3)), mc.keras.Input((4, 3))
    model, path = mc.keras.Model([a, b], function(a, b)), tmp_path / f"model.{suffix}"
    with np.errstate(all="ignore"):
        expected = of_numpy(x, y)
    if suffix == "json":
        read = keras.models.model_from_json(model.to_json())
        again = mc.keras.models.model_from_json(read.to_json())
    else:
        model.save(path)
        read = keras.models.load_model(path)
        read.save(tmp_path / "again.keras")
        again = mc.keras.models.load_model(tmp_path / "again.keras")
    for each in (read, again):
        np.testing.assert_allclose(np.asarray(each.predict([x, y], verbose=0)), expected, rtol=2e-5, atol=2e-6)


def shared_within(k):
    """A model that is a layer of another one, too, beside which it stands."""
    power, ends = k.Input((4, 3)), [k.Input((4, 3)), k.Input((4, 3))]
    inner = k.Model(power, k.ops.clip(power, -1, 1) ** 3)
    start = k.Input((4, 3))
    outer = k.Model(start, inner(start) / 2 - inner(k.ops.flip(start, axis=2)))
    return k.Model(ends, outer(ends[0]) + inner(ends[1]))


@pytest.mark.parametrize("suffix", ["keras", "h5", "json"])
def test_keras_reads_operations_in_models_that_are_shared(suffix, tmp_path, rng):
    x, y = (rng.normal(size=(5, 4, 3)).astype(np.float32) for _ in range(2))
    model, path = shared_within(mc.keras), tmp_path / f"model.{suffix}"
    if suffix == "json":
        read = keras.models.model_from_json(model.to_json())
    else:
        model.save(path)
        read = keras.models.load_model(path)
    power = np.clip(x, -1, 1) ** 3
    expected = power / 2 - power[:, :, ::-1] + np.clip(y, -1, 1) ** 3
    np.testing.assert_allclose(np.asarray(read.predict([x, y], verbose=0)), expected, rtol=2e-5, atol=2e-6)
