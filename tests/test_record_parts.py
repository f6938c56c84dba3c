"""What fast trainings are made of: rates by group, Lookahead, Muon on kernels, whitening, Dirac, mixed and erased
images, other data in each epoch, several views: against float64 formulas, on every backend, saved and resumed."""

import itertools

import numpy as np
import pytest
from oracles import BACKENDS, every_backend

import minicnn as mc
from minicnn import initializers, layers, optimizers
from minicnn.data import CutMix, Dataset, MixUp, alternating_flip, by_epoch
from minicnn.errors import DataError, ShapeError
from minicnn.optimizers import schedules

X = np.random.default_rng(1).normal(size=(24, 6, 6, 2))
Y = np.random.default_rng(2).integers(0, 3, 24)


def network():
    mc.utils.clear_session()
    mc.utils.set_random_seed(4)
    return mc.Sequential(
        [mc.Input((6, 6, 2)), layers.Conv2D(4, 3, activation="tanh"), layers.Flatten(), layers.Dense(3)]
    )


def trained(optimizer, backend, epochs=2, model=None):
    """A model after a few iterations."""
    model = network() if model is None else model
    model.compile(optimizer, mc.losses.SparseCategoricalCrossentropy(from_logits=True), backend=backend)
    model.fit(X, Y, batch_size=8, epochs=epochs, shuffle=False, verbose=0)
    return model


def by_hand(rule, steps=6):
    """Path → weights, where `rule(path, w, g, state, t)` moves each; gradients from the NumPy backend in float64."""
    mc.utils.set_floatx("float64")
    try:
        model = network()
        model.compile("sgd", mc.losses.SparseCategoricalCrossentropy(from_logits=True), backend="numpy")
        state = {path: {} for path in model.named_weights()}
        for t in range(1, steps + 1):
            part = slice((t - 1) % 3 * 8, (t - 1) % 3 * 8 + 8)
            gradients = model.gradients(X[part], Y[part])
            for path, weight in model.named_weights().items():
                weight.assign(rule(path, weight.numpy(), gradients[path], state[path], t))
        return {path: w.numpy() for path, w in model.named_weights().items()}
    finally:
        mc.utils.set_floatx("float32")


def assert_weights(model, expected, rtol=2e-4, atol=2e-6):
    for path, weight in model.named_weights().items():
        np.testing.assert_allclose(weight.numpy(), expected[path], rtol=rtol, atol=atol, err_msg=path)


# ---------------------------------------------------------------------------------------- learning rates by group


def nesterov(path, w, g, s, t):
    """Nesterov's momentum with decoupled decay; biases move 4 times as fast, the dense kernel from update 3 on."""
    rate = 0.05 * (4 if path.endswith("bias") else (t > 3) if path == "dense/kernel" else 1)
    w = w - rate * 0.1 * w
    s["m"] = 0.9 * s.get("m", 0.0) - rate * g
    return w + 0.9 * s["m"] - rate * g


def grouped(**options):
    multipliers = {"bias": 4, "dense": schedules.PiecewiseConstantDecay([2], [0.0, 1.0])}
    options |= {"weight_decay": 0.1, "learning_rate_multipliers": multipliers}
    return optimizers.SGD(0.05, 0.9, nesterov=True, **options)


@every_backend
def test_nesterov_with_decay_and_a_rate_for_each_group(backend):
    assert_weights(trained(grouped(), backend), by_hand(nesterov))


def test_a_multiplier_of_zero_leaves_weights_to_the_bit():
    before = network().named_weights()["conv2d/kernel"].numpy()
    model = trained(optimizers.AdamW(0.1, 0.3, learning_rate_multipliers={"conv2d/kernel": 0}), "numba")
    assert np.array_equal(model.named_weights()["conv2d/kernel"].numpy(), before)
    assert not np.array_equal(model.named_weights()["conv2d/bias"].numpy(), np.zeros(4))


@pytest.mark.parametrize("backend", BACKENDS)
def test_multipliers_of_one_change_nothing(backend):
    """To the bit on processors; a GPU computes the rate of a rule without multipliers inside its graphs, in float32."""
    plain, rated = (
        trained(optimizers.Adam(0.01, weight_decay=0.1, **o), backend)
        for o in ({}, {"learning_rate_multipliers": {".": 1.0}})
    )
    for path, w in plain.named_weights().items():
        assert np.array_equal(w.numpy(), rated.named_weights()[path].numpy()), path


def test_muon_and_its_like_have_groups_too():
    for make in (optimizers.Lamb, optimizers.Muon):
        before = network().named_weights()["dense/kernel"].numpy()
        model = trained(make(0.01, learning_rate_multipliers={"dense/kernel": 0.0}), "numpy")
        assert np.array_equal(model.named_weights()["dense/kernel"].numpy(), before)


@pytest.mark.parametrize(
    ("multipliers", "error"), [([2.0], TypeError), ({"(": 1.0}, ValueError), ({"bias": -1}, ValueError)]
)
def test_wrong_multipliers(multipliers, error):
    with pytest.raises(error, match="Received"):
        optimizers.SGD(0.1, learning_rate_multipliers=multipliers)


def test_one_cycle_whose_rise_is_a_single_step():
    cycle = schedules.OneCycle(0.5, 5, pct_start=0.2)
    assert [cycle(0), cycle(4)] == pytest.approx([0.5, 0.5 / 25 / 1e4])


# ------------------------------------------------------------------------------------------------------ Lookahead


def looking_ahead(path, w, g, s, t):
    slow = s.setdefault("slow", w)
    w = nesterov(path, w, g, s, t)
    if t % 3 == 0:
        w = s["slow"] = slow + 0.3 * (w - slow)
    return w


@every_backend
def test_lookahead(backend):
    model = trained(optimizers.Lookahead(grouped(), sync_period=3, slow_step_size=0.3), backend)
    assert_weights(model, by_hand(looking_ahead))


def test_lookahead_has_the_inner_learning_rate():
    optimizer = optimizers.Lookahead(optimizers.Adam(schedules.ExponentialDecay(0.1, 2, 0.5)))
    optimizer.iterations = 2
    assert optimizer.current_learning_rate == pytest.approx(0.05)
    optimizer.learning_rate = 0.3
    assert optimizer.optimizer.learning_rate == 0.3


@pytest.mark.parametrize("options", [{"sync_period": 0}, {"slow_step_size": 1.5}])
def test_wrong_arguments_of_lookahead(options):
    with pytest.raises(ValueError, match="Received"):
        optimizers.Lookahead("adam", **options)
    with pytest.raises(ValueError, match="use_ema"):
        optimizers.Lookahead(optimizers.SGD(use_ema=True))


# ---------------------------------------------------------------------------------------------- Muon on kernels


def muon(path, w, g, s, t):
    """Kernels as matrices of taps · channels by filters; biases by Adam."""
    if path.endswith("bias"):
        s["m"] = 0.9 * s.get("m", 0.0) + 0.1 * g
        s["v"] = 0.999 * s.get("v", 0.0) + 0.001 * g * g
        return w - 0.02 * np.sqrt(1 - 0.999**t) / (1 - 0.9**t) * s["m"] / (np.sqrt(s["v"]) + 1e-7)
    s["m"] = 0.95 * s.get("m", 0.0) + g
    x = (g + 0.95 * s["m"]).reshape(-1, w.shape[-1])
    x = x / np.linalg.norm(x)
    for _ in range(5):
        gram = x.T @ x
        x = 3.4445 * x + x @ (-4.775 * gram + 2.0315 * gram @ gram)
    return w - 0.02 * 0.2 * np.sqrt(max(x.shape)) * x.reshape(w.shape)


@every_backend
def test_muon_on_kernels(backend):
    optimizer = optimizers.Muon(0.02, adam_weight_decay=0, weight_decay=0, flatten_kernels=True)
    assert_weights(trained(optimizer, backend), by_hand(muon), rtol=2e-3, atol=2e-5)


# ----------------------------------------------------------------------------------------- saved and resumed

OPTIMIZERS = [
    grouped,
    lambda: optimizers.Lookahead(grouped(), 3, schedules.ExponentialDecay(0.9, 2, 0.5)),
    lambda: optimizers.Muon(0.02, use_ema=True, gradient_accumulation_steps=2),
    lambda: optimizers.Adafactor(0.02, use_ema=True, gradient_accumulation_steps=2),
    lambda: optimizers.Adafactor(0.02),
]


def flattening():
    return optimizers.Muon(0.02, flatten_kernels=True, use_ema=True)


def test_muon_on_kernels_in_a_file_of_keras(tmp_path):
    """Keras has no such Muon: the file is one of its own, whose kernels have Adam's mean square, beginning anew."""
    model = trained(flattening(), "numba", 2)
    with pytest.warns(UserWarning, match="flatten_kernels, which is left out"):
        model.save(tmp_path / "model.keras")
    again = mc.load_model(tmp_path / "model.keras")
    assert not again.optimizer.flatten_kernels
    assert again.optimizer.iterations == 6
    state, before = again.engine.state_by_weight(), model.engine.state_by_weight()
    for mine, other in zip(again.trainable_weights, model.trainable_weights, strict=True):
        np.testing.assert_array_equal(state["momentum"][mine], before["momentum"][other])
    again.fit(X, Y, batch_size=8, epochs=1, shuffle=False, verbose=0)


@pytest.mark.parametrize(
    ("make", "suffix"), [(flattening, ".safetensors"), *itertools.product(OPTIMIZERS, [".safetensors", ".keras"])]
)
def test_a_saved_training_goes_on_to_the_bit(make, suffix, tmp_path):
    half = trained(make(), "numba", 2)
    half.save(tmp_path / f"model{suffix}")
    again = mc.load_model(tmp_path / f"model{suffix}")
    assert again.optimizer.get_config() == half.optimizer.get_config()
    again.fit(X, Y, batch_size=8, epochs=1, shuffle=False, verbose=0)
    reference = trained(make(), "numba", 2)
    reference.fit(X, Y, batch_size=8, epochs=1, shuffle=False, verbose=0)
    for path, w in reference.named_weights().items():
        assert np.array_equal(w.numpy(), again.named_weights()[path].numpy()), path
    assert again.optimizer.iterations == 9


# ----------------------------------------------------------------------------------------- Dirac and whitening


def test_dirac_passes_images_on():
    conv = layers.Conv2D(5, 3, padding="same", use_bias=False, kernel_initializer="dirac")
    y = conv(X.astype("float32"))
    np.testing.assert_array_equal(y[..., :2], X.astype("float32"))
    assert not y[..., 2:].any()
    few = initializers.Dirac(0.5)((3, 2, 4, 3))
    assert few[1, 1].tolist() == [[0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5], [0, 0, 0]]
    assert np.count_nonzero(few) == 3


def test_dirac_with_other_filters():
    kernel = initializers.Dirac(rest=initializers.Constant(7.0))((3, 3, 2, 5))
    assert (kernel[..., 2:] == 7).all()
    assert kernel[..., :2].sum() == 2
    again = initializers.get({"class_name": "Dirac", "config": initializers.Dirac(rest="ones").get_config()})
    assert (again((1, 1, 2, 3))[..., 2] == 1).all()
    with pytest.raises(ValueError, match=r"kernels of convolutions.*\(4, 4\)"):
        initializers.Dirac()((4, 4))


def test_whitened_patches_do_not_correlate():
    images = X @ np.array([[2.0, 0.3], [1.0, -0.7]])  # correlated channels
    kernel = mc.utils.whitening_kernel(images, (2, 3), 1e-9)
    assert kernel.shape == (2, 3, 2, 24)
    outputs = [
        [np.sum(image[i : i + 2, j : j + 3, :, None] * kernel, (0, 1, 2)) for i in range(5) for j in range(4)]
        for image in images
    ]
    first = np.reshape(outputs, (-1, 24))[:, :12]
    np.testing.assert_allclose(first.T @ first / len(first), np.eye(12), atol=1e-4)
    np.testing.assert_array_equal(kernel[..., 12:], -kernel[..., :12])
    with pytest.raises(ShapeError, match="Received: shape"):
        mc.utils.whitening_kernel(images[0])


# --------------------------------------------------------------------------------------- images that are changed


@every_backend
def test_a_move_by_whole_pixels_is_a_random_crop(backend):
    """A translation by ±2.5 pixels, rounded, is a crop of the image padded with its reflection, each place alike."""
    mc.set_backend(backend)
    try:
        move = layers.RandomTranslation(2.5 / 8, 2.5 / 8, interpolation="nearest", seed=3)
        images = np.random.default_rng(5).normal(size=(4000, 8, 8, 1)).astype("float32")
        moved = np.asarray(move(images))
    finally:
        mc.set_backend(None)
    padded = np.pad(images, [(0, 0), (2, 2), (2, 2), (0, 0)], mode="symmetric")
    crops = {(i, j): padded[:, i : i + 8, j : j + 8] for i in range(5) for j in range(5)}
    counts = [sum(np.array_equal(a, b) for a, b in zip(moved, crop, strict=True)) for crop in crops.values()]
    assert sum(counts) == 4000
    assert min(counts) > 100
    assert max(counts) < 220


def rectangle(image):
    """(top, left, height, width) of the pixels that are 9, all of them together."""
    rows, columns = np.nonzero((image == 9).all(-1))
    if not len(rows):
        return None
    top, left = rows.min(), columns.min()
    height, width = rows.max() - top + 1, columns.max() - left + 1
    assert len(rows) == height * width
    return top, left, height, width


@every_backend
def test_erased_rectangles(backend):
    images = np.random.default_rng(6).random((500, 16, 20, 2)).astype("float32")
    mc.set_backend(backend)
    try:
        erase = layers.RandomErasing((0.5, 0.5), scale=(0.25, 0.36), fill_value=9, value_range=(0, 9), seed=1)
        erased = np.asarray(erase(images))
        same = np.asarray(erase(images, training=False))
    finally:
        mc.set_backend(None)
    assert np.array_equal(same, images)
    found = [rectangle(image) for image in erased]
    hit = [r for r in found if r is not None]
    assert 200 < len(hit) < 300
    assert {h for _, _, h, _ in hit} <= {7, 8, 9, 10}  # the root of the scale, of 16 rows, and of 20 columns
    assert {w for _, _, _, w in hit} <= {9, 10, 11, 12, 13}
    assert len({t for t, *_ in hit}) >= 8
    keeps = (erased != 9).all(-1)
    np.testing.assert_array_equal(erased[keeps], images[keeps])


def test_erased_with_noise():
    images = np.zeros((50, 8, 8, 1), "float32")
    noise = np.asarray(layers.RandomErasing((1, 1), (0.5, 0.5), value_range=(-2, 1), seed=4)(images))
    inside = noise[noise != 0]
    assert -2 <= inside.min() < -1
    assert inside.max() == 1
    with pytest.raises(ValueError, match="one for each of the 1 channels"):
        layers.RandomErasing(fill_value=[1, 2])(images)


LABELS = np.eye(3, dtype="float32")[Y]
COLOURS = np.broadcast_to(np.arange(24, dtype="float32")[:, None, None, None], (24, 10, 12, 2))


def test_mixup():
    images, labels = MixUp(0.4, seed=2)(COLOURS, LABELS)
    assert images.shape == COLOURS.shape
    np.testing.assert_allclose(labels.sum(1), 1, rtol=1e-6)
    value, pairs = images[:, 0, 0, 0], 0
    assert (images == value[:, None, None, None]).all()  # one share for all of an image
    for n in range(24):  # value = w · n + (1 − w) · other, and so are the labels: some `other` explains both
        others = [m for m in range(24) if m == n or 0 <= (value[n] - m) / (n - m) <= 1]
        shares = [1.0 if m == n else (value[n] - m) / (n - m) for m in others]
        expected = [w * LABELS[n] + (1 - w) * LABELS[m] for w, m in zip(shares, others, strict=True)]
        assert min(np.abs(labels[n] - e).max() for e in expected) < 1e-4
        pairs += abs(value[n] - n) > 1e-3
    assert pairs > 12


@pytest.mark.parametrize("make", [lambda: MixUp(0.4, seed=2), lambda: CutMix(seed=2)], ids=["mixup", "cutmix"])
def test_whole_numbers_are_mixed_as_floats_are(make):
    """Shares of bytes would be 0 or 1."""
    found = make()(COLOURS.astype(np.uint8), LABELS.astype(int))
    for actual, expected in zip(found, make()(COLOURS.astype(np.float32), LABELS.astype(np.float32)), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-6)


def test_cutmix():
    images, labels = CutMix(seed=2)(COLOURS, LABELS)
    cut = 0
    for n, (image, label) in enumerate(zip(images, labels, strict=True)):
        (other, *_), rest = set(np.unique(image)) - {n} or {n}, image == n
        assert set(np.unique(image)) <= {n, other}
        share = rest[..., 0].mean()
        rows, columns = np.nonzero(~rest[..., 0])
        if len(rows):
            assert len(rows) == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
            cut += 1
        exact = share * LABELS[n] + (1 - share) * LABELS[int(other)]
        assert np.abs(label - exact).max() < 0.2  # sides are not whole pixels, areas in the labels are exact
    assert cut > 12


@pytest.mark.parametrize("make", [MixUp, CutMix])
def test_mixing_batches(make):
    first, second = make(seed=5), make(seed=5)
    as_dict = first({"images": COLOURS, "labels": LABELS, "more": 1})
    for a, b in zip(second(COLOURS, LABELS), (as_dict["images"], as_dict["labels"]), strict=True):
        np.testing.assert_array_equal(a, b)
    assert as_dict["more"] == 1
    assert not np.array_equal(first(COLOURS, LABELS)[0], as_dict["images"])  # each call draws anew
    assert np.array_equal(first(COLOURS, LABELS, training=False)[0], COLOURS)
    batch = next(iter(Dataset.from_tensor_slices((COLOURS, LABELS)).batch(8).map(make(seed=1))))
    assert [a.shape for a in batch] == [(8, 10, 12, 2), (8, 3)]
    with pytest.raises(DataError, match="one-hot"):
        first(COLOURS, Y)


def test_alternating_flips():
    images = np.random.default_rng(7).random((40, 4, 5, 1))
    before = images.copy()
    first, second, third = (alternating_flip(images, epoch) for epoch in range(3))
    mirrored = images[:, :, ::-1]
    is_first = [np.array_equal(a, b) for a, b in zip(first, mirrored, strict=True)]
    is_second = [np.array_equal(a, b) for a, b in zip(second, mirrored, strict=True)]
    assert is_second == [not a for a in is_first]
    assert 10 < sum(is_first) < 30
    assert np.array_equal(first, third)
    assert np.array_equal(images, before)


# ------------------------------------------------------------------------------------ other data in each epoch


def curriculum(seen=None):
    """Images of 4, 5 and 6 pixels in batches of 4, 8 and 12."""

    def epoch_data(epoch):
        if seen is not None:
            seen.append(epoch)
        size = min(4 + epoch, 6)
        data = Dataset.from_tensor_slices((X[:, :size, :size].astype("float32"), Y))
        return data.shuffle(24, seed=epoch).batch(4 * min(epoch + 1, 3))

    return by_epoch(epoch_data)


def open_network(optimizer="adam"):
    mc.utils.clear_session()
    mc.utils.set_random_seed(4)
    pool = layers.GlobalAveragePooling2D()
    model = mc.Sequential([mc.Input((None, None, 2)), layers.Conv2D(4, 3), pool, layers.Dense(3)])
    model.compile(optimizer, mc.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def test_sizes_and_batches_grow_in_one_fit():
    model, seen, shapes = open_network(), [], []

    class Watch(mc.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            shapes.append(model.optimizer.iterations)

    model.fit(curriculum(seen), epochs=3, verbose=0, callbacks=Watch())
    assert seen[-3:] == [0, 1, 2]
    assert shapes == [6, 9, 11]
    again = open_network()
    for epoch in range(3):  # by hand, batch by batch
        for x, y in curriculum().of_epoch(epoch):
            again.train_on_batch(x, y)
    for a, b in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_initial_epoch_and_resuming_know_the_epoch(tmp_path):
    seen = []
    open_network().fit(curriculum(seen), epochs=3, initial_epoch=2, verbose=0)
    assert seen[-1] == 2
    whole = open_network()
    whole.fit(curriculum(), epochs=3, verbose=0)

    class Stop(mc.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if self.model.optimizer.iterations == 8:  # in the middle of the second epoch
                raise KeyboardInterrupt

    folder = tmp_path / "backup"
    with pytest.raises(KeyboardInterrupt):
        killed = mc.callbacks.BackupAndRestore(folder, save_freq=2)
        open_network().fit(curriculum(), epochs=3, verbose=0, callbacks=[killed, Stop()])
    resumed = open_network()
    resumed.fit(curriculum(), epochs=3, verbose=0, callbacks=mc.callbacks.BackupAndRestore(folder))
    assert resumed.optimizer.iterations == 11
    for a, b in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_by_epoch_wants_data_sets():
    with pytest.raises(TypeError, match="takes a function"):
        by_epoch(curriculum())
    with pytest.raises(TypeError, match="returns a Dataset"):
        open_network().fit(by_epoch(lambda epoch: [1, 2]), epochs=1, verbose=0)


# -------------------------------------------------------------------------------------------- several views


def test_predicted_views():
    model, x = network(), X.astype("float32")
    model.compile("sgd", "mse")

    def outputs(images):
        return model.predict(np.ascontiguousarray(images), verbose=0).astype("float64")

    padded = np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)], mode="reflect")
    views = [x, padded[:, :-2, :-2], padded[:, 2:, 2:]]
    views += [view[:, :, ::-1] for view in views]
    everything = np.mean([outputs(view) for view in views], axis=0)
    np.testing.assert_allclose(mc.utils.predict_views(model, x, shift=1), everything, rtol=1e-5, atol=1e-6)
    plain = outputs(x)
    flipped = (plain + outputs(x[:, :, ::-1])) / 2
    np.testing.assert_allclose(mc.utils.predict_views(model, x), flipped, rtol=1e-5, atol=1e-6)
    some = mc.utils.predict_views(model, x, fraction=0.25)
    top = np.sort(plain, axis=1)
    unsure = np.argsort(top[:, -1] - top[:, -2])[:6]
    sure = np.setdiff1d(np.arange(24), unsure)
    np.testing.assert_allclose(some[unsure], flipped[unsure], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(some[sure], model.predict(x, verbose=0)[sure])
    with pytest.raises(ValueError, match="fraction"):
        mc.utils.predict_views(model, x, fraction=2)


def test_batch_normalization_without_scale_and_with_its_own_momentum():
    norm = layers.BatchNormalization(scale=False, momentum=0.6, epsilon=1e-12)
    model = mc.Sequential([mc.Input((6, 6, 2)), norm, layers.Flatten(), layers.Dense(3)])
    model.compile("sgd", mc.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.train_on_batch(X, Y)
    assert [w.name for w in norm.weights] == ["beta", "moving_mean", "moving_variance"]
    np.testing.assert_allclose(norm.moving_mean.numpy(), 0.4 * X.mean((0, 1, 2)), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(norm.moving_variance.numpy(), 0.6 + 0.4 * X.var((0, 1, 2)), rtol=1e-4)
