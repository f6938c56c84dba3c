"""The policy "mixed_bfloat16" on a GPU: products on tensor cores round their factors to bfloat16; nothing else does."""

import numpy as np
import pytest
import test_gpu_tensor_cores as any_kernel
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import assert_close
from test_gpu_tensor_cores import CASES, NOTHING_TWICE, Case, changed, h100

import minicnn as mc
from minicnn import backends
from minicnn.bfloat16 import rounded

pytestmark = pytest.mark.gpu
backend, nothing_twice, standin = any_kernel.backend, any_kernel.nothing_twice, any_kernel.standin
CLOSE = 1e-5  # of the largest value: products of bfloat16 are exact in float32, sums are cut where they are added


class MixedCase(Case):
    """Its factors rounded, computed in float64; and by a kernel from factors as they are."""

    def expected(self, kind, dtype=np.float64):
        x, kernel, dy = self.x, self.kernel, self.dy
        bias_gradient = dy.sum((0, 1, 2), dtype=np.float64)
        self.x, self.kernel, self.dy = rounded(x), rounded(kernel), rounded(dy)
        try:
            found = super().expected(kind, dtype)
        finally:
            self.x, self.kernel, self.dy = x, kernel, dy
        return (found[0], bias_gradient.astype(dtype)) if kind == "kernel gradient" else found

    def computed(self, kind, choice, backend):
        from minicnn.backends.cupy.tensor_cores import BFLOAT16, in_products

        found = []
        in_products(lambda: found.extend(super(MixedCase, self).computed(kind, choice, backend)), BFLOAT16)()
        return found


class MixedHopperCase(MixedCase):
    file = "hopper_convolution"


def possible(file):
    """The class of cases of a file's kernels; skips where the GPU cannot run them."""
    backends.get("cupy")
    import cupy

    from minicnn.backends.cupy import tensor_cores

    if not tensor_cores.device().capability:
        pytest.skip("a GPU on which the kernels of products.cu serve")
    if file == "hopper" and cupy.__version__ != "stand-in" and cupy.cuda.Device().compute_capability != "90":
        pytest.skip("a GPU without wgmma")
    return MixedHopperCase if file == "hopper" else MixedCase


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("file", ["any", "hopper"])
def test_against_rounded_factors_in_float64(file, case, backend, nothing_twice, rng):
    """Both gradients too; the bias's is that of what was not rounded; the same bits twice."""
    convolution = possible(file)(rng, *case)
    for kind, choices in convolution.choices(h100()).items():
        expected = convolution.expected(kind)
        for choice in choices if file == "any" or kind != "kernel gradient" else ():
            found, again = (convolution.computed(kind, choice, backend) for _ in range(2))
            for first, second, right in zip(found, again, expected, strict=True):
                assert_close(first, right, CLOSE, f"{kind} {choice.size}")
                np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("case", CASES[:2], ids=str)
@pytest.mark.parametrize("file", ["any", "hopper"])
def test_what_is_left_to_normalizations(file, case, backend, nothing_twice, rng):
    """Moments of the results as they are, and sums of the gradient by rounded factors."""
    from minicnn.backends.cupy.tensor_cores import BFLOAT16, in_products

    convolution = possible(file)(rng, *case)
    convolution.bias += 100
    for choice in convolution.choices(h100())["forward"]:
        in_products(any_kernel.check_moments, BFLOAT16)(convolution, choice, backend)
    before = any_kernel.Before(possible(file)(rng, *case), True, True, True, rng)
    in_products(before.check, BFLOAT16)(before.convolution.choices(h100())["input gradient"], backend, CLOSE)


@settings(max_examples=6)
@given(data=st.data(), seed=st.integers(0, 2**31))
@pytest.mark.parametrize("file", ["any", "hopper"])
def test_odd_shapes(file, data, seed):
    draw = lambda low, high: data.draw(st.integers(low, high))  # noqa: E731
    size = draw(1, 5), draw(1, 5)
    image, filters = (draw(size[0] + 1, 12), draw(size[1] + 1, 12)), 4 * draw(4, 20)
    pooled, padding = data.draw(st.booleans()), data.draw(st.sampled_from(["same", "valid"]))
    numbers = draw(1, 3), *image, 4 * draw(4, 18), filters, size, padding
    case = possible(file)(np.random.default_rng(seed), *numbers, pooled=pooled, relu=data.draw(st.booleans()))
    for choice in data.draw(st.permutations(case.choices(h100())["forward"]))[:1]:
        found = case.computed("forward", choice, backends.get("cupy"))[0]
        assert_close(found, case.expected("forward")[0], CLOSE, choice.size)


@pytest.mark.parametrize("file", ["any", "hopper"])
@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_what_is_not_finite_stays_so(bad, file, rng):
    case = possible(file)(rng, 2, 7, 7, 16, 16, (3, 3), "same")
    case.x[1, 3, 3, 5] = bad
    for choice in case.choices(h100())["forward"]:
        found = case.computed("forward", choice, backends.get("cupy"))[0]
        np.testing.assert_array_equal(np.isfinite(found), np.isfinite(Case.expected(case, "forward")[0]))


MISTAKES = {
    "any": [
        ("pair_of_bfloat16(a[0], a[2])", "pair_of_bfloat16(a[2], a[0])"),
        ("b[1] = pair_of_bfloat16(next[0], next[1])", "b[1] = b[0]"),
        ("load(k + 1, next_a, next_b)", "load(k, next_a, next_b)"),
    ],
    "hopper": [
        ("term % 4 * 2 + term / 4 % 2", "term % 8"),
        ("load_matrices(at + 32, next", "load_matrices(at, next"),
        ("if (!IN_THREE) add_half(sums, first, ", "if (PRODUCTS == 1) add_half(sums, first, "),
    ],
}


@pytest.mark.parametrize("file", ["any", "hopper"])
def test_mistakes_are_noticed(file, monkeypatch, rng, backend, standin):
    from minicnn.backends.cupy.sources import source

    case = possible(file)(rng, 1, 6, 6, 36, 20, (3, 3), "same")
    choice = case.choices(h100())["forward"][-1]
    texts = [source(name) for name in ("tensor_convolution", "hopper_convolution", "prepared_weights")]
    for mistake in MISTAKES[file]:
        assert any(mistake[0] in text for text in texts), mistake
        with changed(monkeypatch, mistake, NOTHING_TWICE):
            found = case.computed("forward", choice, backend)[0]
        assert not np.allclose(found, case.expected("forward")[0], rtol=1e-3, atol=1e-3), mistake


def trained(policy, backend, x, y):
    """Losses and weights of a few steps of a model whose middle is on tensor cores."""
    mc.utils.set_random_seed(1)
    L, mixed = mc.layers, {"dtype": policy}
    model = mc.Sequential(
        [
            L.Input((8, 8, 16)),
            *(L.Conv2D(16, 3, use_bias=False, **mixed), L.BatchNormalization(**mixed), L.ReLU(**mixed)),
            *(L.Conv2D(32, 3, **mixed), L.GlobalAveragePooling2D(**mixed), L.Dense(3, "softmax", dtype="float32")),
        ]
    )
    model.compile(mc.optimizers.SGD(0.05), "sparse_categorical_crossentropy", backend=backend)
    losses = model.fit(x, y, batch_size=16, epochs=2, shuffle=False, verbose=0).history["loss"]
    assert all(w.dtype == np.float32 for w in model.get_weights())
    return np.asarray(losses)


def test_a_mixed_model_rounds_factors_and_trains_as_on_a_processor(rng):
    possible("any")
    x, y = any_kernel.normal(rng, 32, 8, 8, 16), rng.integers(0, 3, 32)
    mixed, plain = trained("mixed_bfloat16", "cupy", x, y), trained("float32", "cupy", x, y)
    assert (mixed != plain).all()
    np.testing.assert_allclose(mixed, plain, rtol=1e-2)
    np.testing.assert_allclose(mixed, trained("mixed_bfloat16", "numpy", x, y), rtol=1e-2)


@pytest.mark.filterwarnings("ignore:mixed_float16")
def test_mixed_float16_multiplies_numbers_of_11_bits(monkeypatch, rng):
    """By one product of TF32, whatever the precision of others is; what is not a product is float32's."""
    possible("any")
    from minicnn.backends.cupy import tensor_cores

    counts, products = [], tensor_cores.products
    monkeypatch.setattr(tensor_cores, "products", lambda: (counts.append(products()), counts[-1])[1])
    x, y = any_kernel.normal(rng, 32, 8, 8, 16), rng.integers(0, 3, 32)
    mixed = trained("mixed_float16", "cupy", x, y)
    assert set(counts) == {1, 3}  # 3: of the last layer
    counts.clear()
    plain = trained("float32", "cupy", x, y)
    assert set(counts) == {3}
    assert (mixed != plain).all()
    np.testing.assert_allclose(mixed, plain, rtol=1e-3)


def test_after_a_mixed_layer_others_are_float32_again(rng):
    possible("any")
    from minicnn.backends.cupy import tensor_cores

    def fails():
        assert tensor_cores.products() == tensor_cores.BFLOAT16
        raise ValueError("of an op")

    with pytest.raises(ValueError, match="of an op"):
        tensor_cores.in_products(fails, tensor_cores.BFLOAT16)()
    assert tensor_cores.products() == 3
