"""Hessian-vector products: against long double, the operator, finite differences of the gradient, and jax."""

import subprocess
import sys
import tracemalloc

import ml_dtypes
import numpy as np
import pytest

import softgrad as sg
from softgrad import _core, _linear_cross_entropy
from softgrad._core import DType
from softgrad._loss_spec import DEFAULT, LossSpec, Reduction

from .curvature import Exact, Products, from_mpmath
from .oracle import error

# ULP of the magnitude of a product's terms: the exponentials, the dot and the result's rounding.
PRODUCT = {np.dtype(np.float32): 2.0, np.dtype(np.float64): 3.0}
DTYPES = (np.float32, np.float64)
SHAPES = ((5, 7), (33, 16), (3, 1000), (70, 100), (2, 70_000), (1, 200_000))


def problem(shape, dtype, scale=5.0):
    rng = np.random.default_rng([7, *shape])
    return (rng.normal(size=shape) * scale).astype(dtype), rng.normal(size=shape).astype(dtype), rng


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("z_loss", [0.0, 0.3])
@pytest.mark.parametrize("shape", SHAPES)
def test_against_long_double(shape, z_loss, dtype, instruction_set):
    z, v, rng = problem(shape, dtype)
    labels = rng.integers(0, shape[1], shape[0])
    exact = Products(z, v, z_loss=z_loss, denominator=shape[0])
    for logits in (z, np.asfortranarray(z)):
        got = sg.cross_entropy_hvp(logits, labels, v, z_loss=z_loss)
        assert got.dtype == dtype
        assert error(got, exact.product, exact.scale) <= PRODUCT[got.dtype]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("row", [[40, 0, 0, 1], [0, -20, -60, -100], [3, 3, 3, 3], [0, -np.inf, 1, -np.inf], [2]])
def test_far_reaching_rows(row, dtype, instruction_set):
    """Tails and confident rows, to the last digits of each entry."""
    z = np.array(row, dtype)
    v = np.array([1, -3, 0.5, 2], dtype)[: len(row)]
    H = Exact(z).dense()
    got = sg.cross_entropy_hvp(z, 0, v)
    p = np.array([float(x) for x in Exact(z).p], np.longdouble)
    scale = p * (np.abs(v - v[z.argmax()]) + p @ np.abs(v - v[z.argmax()]).astype(np.longdouble))
    assert error(got, H @ v.astype(np.longdouble), scale) <= PRODUCT[got.dtype]


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_long_confident_row(dtype, instruction_set):
    """The largest logit in one of the last blocks: its entry is what the others leave, some 1e-14."""
    z = np.zeros((1, 200_000), dtype)
    z[0, 150_000] = 45
    v = np.random.default_rng(0).normal(size=z.shape).astype(dtype)
    exact = Products(z, v)
    assert error(sg.cross_entropy_hvp(z, [0], v), exact.product, exact.scale) <= PRODUCT[np.dtype(dtype)]


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_half_precision_is_rounded_once(dtype, instruction_set):
    z, v, rng = problem((40, 33), np.float32, scale=2.0)
    z, v = z.astype(dtype), v.astype(dtype)
    labels = rng.integers(0, 33, 40)
    got = sg.cross_entropy_hvp(z, labels, v, reduction="sum")
    wide = sg.cross_entropy_hvp(z.astype(np.float32), labels, v.astype(np.float32), reduction="sum")
    assert got.dtype == dtype
    np.testing.assert_array_equal(got, wide.astype(dtype))


OPTIONS = {
    "labels": dict(),
    "weight": dict(weight=[0.5, 2.0, 0.0, 1.0, 3.0]),
    "ignore": dict(ignore_index=2),
    "smoothing": dict(label_smoothing=0.2),
    "z-loss": dict(z_loss=0.25),
    "all": dict(weight=[0.5, 2.0, 0.7, 1.0, 3.0], ignore_index=2, label_smoothing=0.2, z_loss=0.25),
    "probs": dict(probs=True),
    "probs, all": dict(probs=True, weight=[0.5, 2.0, 0.0, 1.0, 3.0], label_smoothing=0.2, z_loss=0.25),
}


def options_case(name):
    rng = np.random.default_rng(3)
    options = dict(OPTIONS[name])
    z, v = rng.normal(size=(6, 5)) * 2, rng.normal(size=(6, 5))
    target = rng.random((6, 5)) * 1.5 if options.pop("probs", False) else np.array([0, 1, 2, 3, 4, 2])
    return z, target, v, options


def jax_loss(jax, z, target, *, weight=None, ignore_index=None, label_smoothing=0.0, z_loss=0.0, reduction="mean"):
    """The loss from its definition, by jax's own functions."""
    jnp = jax.numpy
    classes = z.shape[1]
    weight = jnp.ones(classes) if weight is None else jnp.asarray(weight)
    counts = jnp.ones(len(z))
    q, denominator = target, len(z)
    if target.ndim == 1:
        counts = (target != ignore_index) * 1.0 if ignore_index is not None else counts
        q = jnp.eye(classes)[target]
        denominator = (counts * weight[target]).sum()
    y = weight * ((1 - label_smoothing) * q + label_smoothing / classes)
    losses = -(y * jax.nn.log_softmax(z)).sum(axis=1) + z_loss * jax.nn.logsumexp(z, axis=1) ** 2
    total = (counts * losses).sum()
    return total / denominator if reduction == "mean" else total


@pytest.mark.needs("jax")
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("name", OPTIONS)
def test_hessian_is_the_one_of_jax(name, reduction):
    import jax  # noqa: PLC0415

    z, target, v, options = options_case(name)
    with jax.enable_x64(True):
        full = np.array(jax.hessian(lambda z: jax_loss(jax, z, target, reduction=reduction, **options))(z))
    rows = np.arange(6)
    H = sg.cross_entropy_hessian(z, target, reduction=reduction, **options)
    np.testing.assert_allclose(H.to_dense(), full[rows, :, rows], atol=1e-14)
    full[rows, :, rows] = 0
    assert np.abs(full).max() < 1e-17
    np.testing.assert_allclose(sg.cross_entropy_hvp(z, target, v, reduction=reduction, **options), H @ v, atol=1e-15)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("name", OPTIONS)
def test_operator_and_fused_product_agree_along_any_axis(name, axis):
    rng = np.random.default_rng(4)
    options = dict(OPTIONS[name])
    shape = [4, 3, 6]
    shape[axis] = 5
    z, v = rng.normal(size=shape) * 2, rng.normal(size=shape)
    rows = tuple(n for i, n in enumerate(shape) if i != axis)
    target = rng.random(shape) if options.pop("probs", False) else rng.integers(0, 5, rows)
    for reduction in ("mean", "sum", "none"):
        H = sg.cross_entropy_hessian(z, target, axis=axis, reduction=reduction, **options)
        got = sg.cross_entropy_hvp(z, target, v, axis=axis, reduction=reduction, **options)
        np.testing.assert_allclose(got, H @ v, atol=1e-14)
        assert H.shape == (*rows, 5, 5)
        if "ignore_index" in options:
            ignored = np.moveaxis(got, axis, -1)[target == 2]
            assert ignored.size
            assert not ignored.any()


def test_reductions():
    z, target, v, _ = options_case("labels")
    weight = [0.5, 2.0, 0.7, 1.0, 3.0]
    summed = sg.cross_entropy_hvp(z, target, v, weight=weight, reduction="sum")
    np.testing.assert_array_equal(summed, sg.cross_entropy_hvp(z, target, v, weight=weight, reduction="none"))
    mean = sg.cross_entropy_hvp(z, target, v, weight=weight)
    np.testing.assert_allclose(mean, summed / np.array(weight)[target].sum(), rtol=1e-15)


def test_the_derivative_of_the_gradient():
    """A central difference of gradients, its error about 1e-10."""
    z, target, v, options = options_case("probs, all")
    step = 1e-5
    forward, backward = (sg.cross_entropy_grad(z + s * step * v, target, **options) for s in (1, -1))
    np.testing.assert_allclose(
        sg.cross_entropy_hvp(z, target, v, **options), (forward - backward) / (2 * step), atol=1e-9
    )


def test_in_place_and_threads(threads):
    for shape in ((300, 1000), (1, 200_000), (70_000, 10)):
        z, v, rng = problem(shape, np.float32)
        labels = rng.integers(0, shape[1], shape[0])
        results = []
        for n in (1, 2, 3, 8):
            threads(n)
            results.append(sg.cross_entropy_hvp(z, labels, v))
        for other in results[1:]:
            np.testing.assert_array_equal(results[0], other)
        assert sg.cross_entropy_hvp(z, labels, v, out=v) is v
        np.testing.assert_array_equal(v, results[0])


def test_special_values_stay_in_their_rows(instruction_set):
    z = np.array(
        [[0.0, 1.0, 2.0], [np.nan, 1.0, 2.0], [np.inf, 1.0, 2.0], [-np.inf] * 3, [-np.inf, 1.0, 1.0], [9.0] * 3]
    )
    v = np.ones_like(z) * [1.0, 2.0, 4.0]
    labels = np.array([0, 0, 0, 0, 1, 0])
    got = sg.cross_entropy_hvp(z, labels, v, reduction="sum")
    assert np.isnan(got[1:4]).all()
    np.testing.assert_array_equal(got[4], [0, -0.5, 0.5])
    assert np.isfinite(got[[0, 4, 5]]).all()
    labels[1:4] = -1
    ignored = sg.cross_entropy_hvp(z, labels, v, reduction="sum", ignore_index=-1)
    assert not ignored[1:4].any()
    np.testing.assert_array_equal(ignored[[0, 4, 5]], got[[0, 4, 5]])


def test_no_rows():
    assert sg.cross_entropy_hvp(np.zeros((0, 3)), np.zeros(0, int), np.zeros((0, 3))).shape == (0, 3)
    V = np.ones((3, 2))
    got = sg.linear_cross_entropy_hvp(np.zeros((0, 2)), V, np.zeros(0, int), V, reduction="sum")
    np.testing.assert_array_equal(got, np.zeros((3, 2)))


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KiB on Linux only")
def test_nothing_proportional_is_allocated():
    script = """
import resource
import numpy as np
import softgrad as sg
z = np.random.default_rng(0).standard_normal((400, 50_257), dtype=np.float32)
v, out, y = np.ones_like(z), np.zeros_like(z), np.zeros(400, int)
sg.cross_entropy_hvp(z[:1, :10].copy(), y[:1], v[:1, :10].copy())
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
sg.cross_entropy_hvp(z, y, v, out=out)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert int(run.stdout) < 4 * 1024


def linear_case(dtype, with_bias):
    rng = np.random.default_rng(5)
    x, W, V = (rng.normal(size=s).astype(dtype) for s in ((9, 4), (5, 4), (5, 5 if with_bias else 4)))
    bias = rng.normal(size=5).astype(dtype) if with_bias else None
    return x, W, V, bias, np.array([0, 1, 2, 3, 4, 2, 1, 0, 3])


@pytest.mark.parametrize("chunk_bytes", [1, 200, 32 << 20])
@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
def test_linear_head(dtype, with_bias, chunk_bytes, monkeypatch):
    """H V = Σ_n (H_n V x_n) x_nᵀ from mpmath's dense H_n; a bias is a feature that is always one."""
    monkeypatch.setattr(_linear_cross_entropy, "_CHUNK_BYTES", chunk_bytes)
    x, W, V, bias, labels = linear_case(dtype, with_bias)
    options = dict(weight=[0.5, 2.0, 0.7, 1.0, 3.0], ignore_index=2, z_loss=0.1)
    wide = x.astype(np.float64)
    features = np.concatenate([wide, np.ones((9, 1))], axis=1) if with_bias else wide
    logits = wide @ W.T.astype(np.float64) + (0 if bias is None else bias)
    denominator = np.array(options["weight"])[labels[labels != 2]].sum()
    expected = np.zeros(V.shape)
    for n, y in enumerate(labels):
        if y != 2:
            H = from_mpmath(Exact(logits[n], options["weight"][y], 0.1, denominator).H).astype(np.float64)
            expected += np.outer(H @ (V.astype(np.float64) @ features[n]), features[n])
    got = sg.linear_cross_entropy_hvp(x, W, labels, V, bias=bias, **options)
    assert got.dtype == dtype
    np.testing.assert_allclose(got, expected, atol=20 * np.finfo(dtype).eps * np.abs(expected).max())
    # A bias without a direction of its own changes the logits alone.
    if with_bias:
        still = V.copy()
        still[:, -1] = 0
        narrow = sg.linear_cross_entropy_hvp(x, W, labels, still[:, :-1], bias=bias, **options)
        whole = sg.linear_cross_entropy_hvp(x, W, labels, still, bias=bias, **options)
        np.testing.assert_allclose(narrow, whole[:, :-1], atol=20 * np.finfo(dtype).eps)


def test_linear_head_stores_no_logits():
    """2048 × 50 000 logits would take 400 MB; the result takes 6, two chunks 64."""
    rng = np.random.default_rng(0)
    x, W = rng.normal(size=(2048, 32)).astype(np.float32), rng.normal(size=(50_000, 32)).astype(np.float32)
    V, labels = rng.normal(size=W.shape).astype(np.float32), rng.integers(0, 50_000, 2048)
    tracemalloc.start()
    sg.linear_cross_entropy_hvp(x, W, labels, V)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 90 << 20


# At the level of the compiled module, for automatic differentiation in other frameworks.


def jacobian_product(p, v):
    """Exact p ∘ (v - pᵀv) in long double from the given p, and the magnitude of its terms."""
    p, v = p.astype(np.longdouble), v.astype(np.longdouble)
    difference = v - np.take_along_axis(v, p.argmax(axis=1)[:, None], 1)
    dot = (p * difference).sum(axis=1, keepdims=True)
    return p * (difference - dot), p * (abs(difference) + (p * abs(difference)).sum(axis=1, keepdims=True))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_softmax_vjp_from_its_result(shape, dtype, instruction_set):
    z, v, _ = problem(shape, dtype)
    z[0, 0] += 60  # a confident row
    p = sg.softmax(z)
    exact, scale = jacobian_product(p, v)
    code = DType.float32 if dtype == np.float32 else DType.float64
    for probs in (p, np.asfortranarray(p)):
        out = np.empty_like(probs)
        _core.softmax_vjp(code, probs, 1, v, out)
        assert error(out, exact, scale) <= PRODUCT[np.dtype(dtype)]


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("shape", [(40, 33), (3, 1000), (1, 150_000)])
def test_softmax_vjp_in_half_precision_is_rounded_once(shape, dtype, instruction_set):
    z, v, _ = problem(shape, np.float32)
    p, v = sg.softmax(z).astype(dtype), v.astype(dtype)
    out, wide = np.empty_like(p), np.empty(shape, np.float32)
    bits = (array.view(np.uint16) for array in (p, v, out))
    probs, direction, result = bits
    code = DType.bfloat16 if dtype == ml_dtypes.bfloat16 else DType.float16
    _core.softmax_vjp(code, probs, 1, direction, result)
    _core.softmax_vjp(DType.float32, p.astype(np.float32), 1, v.astype(np.float32), wide)
    np.testing.assert_array_equal(out, wide.astype(dtype))


@pytest.mark.parametrize("z_loss", [0.0, 0.3])
@pytest.mark.parametrize("classes", [5, 60, 70_000])
def test_row_scale_multiplies_the_product(classes, z_loss, instruction_set):
    z, v, rng = problem((30 if classes < 1000 else 2, classes), np.float64)
    scale = rng.normal(size=len(z)) * 100
    scale[1] = 0
    out = np.empty_like(z)
    _core.hvp(LossSpec(z_loss=z_loss, reduction=Reduction.none), DType.float64, z, 1, v, out, row_scale=scale)
    expected = sg.cross_entropy_hvp(z, np.zeros(len(z), int), v, z_loss=z_loss, reduction="none")
    np.testing.assert_allclose(out, scale[:, None] * expected, rtol=1e-13, atol=1e-17)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32])
@pytest.mark.parametrize("order", ["C", "F"])
def test_targets_of_every_dtype(order, dtype, instruction_set):
    rng = np.random.default_rng(2)
    z, q = rng.normal(size=(6, 40)), np.asarray(rng.normal(size=(6, 40)).astype(dtype), order=order)  # of any sign
    bits = q if dtype == np.float32 else q.view(np.uint16)
    code = DType[np.dtype(dtype).name]
    gradient, expected = np.empty_like(z), np.empty_like(z)
    _core.cross_entropy(DEFAULT, DType.float64, z, 1, probabilities=bits, probabilities_dtype=code, gradient=gradient)
    _core.cross_entropy(DEFAULT, DType.float64, z, 1, probabilities=q.astype(np.float64), gradient=expected)
    np.testing.assert_array_equal(gradient, expected)


class Tensor:
    """What the kernels ask of a torch.Tensor, which has no buffer."""

    def __init__(self, array, address=None):
        self.array, self.address = array, array.ctypes.data if address is None else address

    def data_ptr(self):
        return self.address

    def element_size(self):
        return self.array.itemsize

    def size(self):
        return self.array.shape

    def stride(self):
        return tuple(s // self.array.itemsize for s in self.array.strides)


def test_tensors_are_read_and_written_by_their_address():
    z = np.arange(24.0).reshape(2, 3, 4)[:, ::2].transpose(2, 0, 1)
    out = np.empty(z.shape)
    _core.softmax(_core.SoftmaxKind.softmax, DType.float64, Tensor(z), 0, Tensor(out))
    np.testing.assert_array_equal(out, sg.softmax(z, axis=0))
    with pytest.raises(TypeError):
        _core.softmax(_core.SoftmaxKind.softmax, DType.float64, Tensor(z, "address"), 0, Tensor(out))
    with pytest.raises(AttributeError, match="data_ptr"):
        _core.softmax(_core.SoftmaxKind.softmax, DType.float64, [1.0], 0, Tensor(out))


@pytest.mark.parametrize(
    ("dtype", "v", "tails"),
    [(np.float32, 1e30, [-100, -130, -150, -169]), (np.float64, 1e250, [-700, -740, -752])],
)
def test_tails_that_a_large_vector_brings_back(dtype, v, tails, instruction_set):
    for tail in tails:
        z, direction = np.array([[0, tail, -1]], dtype), np.array([[0, v, 0]], dtype)
        exact = Products(z, direction)
        product = sg.cross_entropy_hvp(z, [0], direction)
        assert product[0, 1] != 0
        assert error(product, exact.product, exact.scale) <= 3


@pytest.mark.parametrize(("dtype", "v", "tail"), [(np.float32, 1e30, -175), (np.float64, 1e250, -780)])
def test_probabilities_too_small_for_any_headroom_count_as_0(dtype, v, tail):
    assert not sg.cross_entropy_hvp(np.array([0, tail, -1], dtype), 0, np.array([0, v, 0], dtype)).any()
