import itertools

import ml_dtypes
import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import softgrad as sg
from softgrad import _core
from softgrad._loss_spec import DEFAULT, per_row
from tests import families, oracle
from tests.curvature import long_double

DTYPES = [np.float32, np.float64]


def labels_of(z, rows, kind, seed=3):
    """Random labels, the most probable ones, or the least probable ones."""
    if kind == "right":
        return z.argmax(axis=1)
    if kind == "wrong":
        return z.argmin(axis=1)
    return np.random.default_rng(seed).integers(0, z.shape[1], rows)


@pytest.mark.parametrize("kind", ["random", "right", "wrong"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_accuracy_of_loss_and_gradient(instruction_set, dtype, kind):
    for family, z in families.all_families(dtype):
        y = labels_of(z, len(z), kind)
        exact = oracle.Rows(z)
        loss, gradient = sg.cross_entropy_value_and_grad(z, y, reduction="none")
        assert oracle.error(loss, exact.loss(y)) <= 2, family
        assert oracle.error(gradient, exact.gradient(y)) <= 2, family


@pytest.mark.parametrize("dtype", DTYPES)
def test_confident_rows_lose_nothing(instruction_set, dtype):
    loss, gradient = sg.cross_entropy_value_and_grad(np.array([[0, 30, 0]], dtype), [1])
    exact = 2 * np.exp(np.longdouble(-30))
    assert oracle.error(np.atleast_1d(loss), [np.log1p(exact)]) <= 2
    assert oracle.error(gradient[0, 1:2], [-exact / (1 + exact)]) <= 2


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_accuracy_of_reduced_loss_and_gradient(instruction_set, dtype, reduction):
    for n in (10, 300):
        z = families.normal(dtype, 5.0, n, rows=1001)
        y = labels_of(z, len(z), "random")
        w = np.random.default_rng(0).random(n).astype(dtype)
        exact = oracle.Rows(z)
        wide = w.astype(np.longdouble)[y]
        divisor = wide.sum() if reduction == "mean" else 1
        loss, gradient = sg.cross_entropy_value_and_grad(z, y, weight=w, reduction=reduction)
        assert oracle.error(np.atleast_1d(loss), [(wide * exact.loss(y)).sum() / divisor]) <= 2
        assert oracle.error(gradient, wide[:, None] * exact.gradient(y) / divisor) <= 2


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("scale", [1e-15, 1e-6, 1e4, 1e15])
def test_accuracy_under_extreme_weights(instruction_set, dtype, scale):
    for n in (10, 100, 70_000):
        z = families.tails(dtype, n=n, rows=3)
        y = z.argmax(axis=1)
        w = np.full(n, scale)
        gradient = sg.cross_entropy_grad(z, y, weight=w, reduction="sum")
        assert oracle.error(gradient, np.longdouble(scale) * oracle.Rows(z).gradient(y)) <= 2


def test_weights_on_losses_that_would_be_subnormal_without_them(instruction_set):
    for d in (600, 700, 720, 740):
        z = np.array([[0.0, -d], [1.0, 1.0 - d]])
        for w in (1e-3, 10.0, 1e3, 1e15):
            loss, gradient = sg.cross_entropy_value_and_grad(z, [0, 0], weight=[w, w], reduction="none")
            exact = oracle.Rows(z)
            assert oracle.error(loss, np.longdouble(w) * exact.loss(np.zeros(2, int))) <= 2
            assert oracle.error(gradient, np.longdouble(w) * exact.gradient(np.zeros(2, int))) <= 2


def soft_target(dtype, shape, seed=9):
    """Probabilities whose rows do not sum to one, with zeros among them."""
    rng = np.random.default_rng(seed)
    q = rng.random(shape)
    q[rng.random(shape) < 0.3] = 0
    return q.astype(dtype)


def dense_errors(z, y, loss, gradient):
    exact = oracle.Rows(z)
    larger = np.maximum(exact.softmax * y.sum(axis=1, keepdims=True), y)
    return (
        oracle.error(loss, exact.dense_loss(y)),
        oracle.error(gradient, exact.dense_gradient(y), larger),
        oracle.error(gradient, exact.dense_gradient(y)),
    )


@pytest.mark.parametrize("target_dtype", DTYPES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_accuracy_with_class_probabilities(instruction_set, dtype, target_dtype):
    for n in (2, 3, 10, 33, 300):
        for z in (families.normal(dtype, 3.0, n), families.confident(dtype, n), families.flat(dtype, n)):
            q = soft_target(target_dtype, z.shape)
            loss, gradient = sg.cross_entropy_value_and_grad(z, q, reduction="none")
            of_loss, of_larger_term, of_gradient = dense_errors(z, q.astype(np.longdouble), loss, gradient)
            assert of_loss <= 2
            assert of_larger_term <= 2
            if dtype == np.float32:  # computed in double: exact in spite of the cancellation
                assert of_gradient <= 2


@pytest.mark.parametrize("dtype", DTYPES)
def test_one_hot_probabilities_are_as_exact_as_indices(instruction_set, dtype):
    for n in (2, 10, 100):
        z = families.confident(dtype, n)
        y = z.argmax(axis=1)
        exact = oracle.Rows(z)
        loss, gradient = sg.cross_entropy_value_and_grad(z, np.eye(n, dtype=dtype)[y], reduction="none")
        assert oracle.error(loss, exact.loss(y)) <= 2
        assert oracle.error(gradient, exact.gradient(y)) <= 2


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("smoothing", [0.1, 1.0])
@pytest.mark.parametrize("weighted", [False, True])
def test_accuracy_with_label_smoothing(instruction_set, dtype, smoothing, weighted):
    for n in (2, 10, 100):
        z = families.normal(dtype, 3.0, n)
        y = labels_of(z, len(z), "random")
        w = np.random.default_rng(0).random(n) if weighted else None
        eps = np.longdouble(smoothing)
        smooth = ((1 - eps) * np.eye(n, dtype=np.longdouble)[y] + eps / n) * (1 if w is None else w)
        loss, gradient = sg.cross_entropy_value_and_grad(z, y, label_smoothing=smoothing, weight=w, reduction="none")
        of_loss, of_larger_term, _ = dense_errors(z, smooth, loss, gradient)
        assert of_loss <= 2
        assert of_larger_term <= 2


@pytest.mark.parametrize("probabilities", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
def test_accuracy_with_z_loss(instruction_set, dtype, probabilities):
    zeta = 0.25
    for n in (3, 40, 300):
        z = families.normal(dtype, 3.0, n)
        y = labels_of(z, len(z), "random")
        q = np.eye(n, dtype=dtype)[y] if probabilities else y
        exact = oracle.Rows(z)
        lse = exact.logsumexp[:, None]
        loss, gradient = sg.cross_entropy_value_and_grad(z, q, z_loss=zeta, reduction="none")
        assert oracle.error(loss, exact.loss(y) + zeta * lse[:, 0] ** 2) <= 2
        pull = 2 * zeta * lse * exact.softmax
        larger = np.maximum(np.abs(pull), np.abs(exact.gradient(y)))
        assert oracle.error(gradient, exact.gradient(y) + pull, larger) <= 2


OPTIONS = [
    {},
    {"weight": True},
    {"ignore_index": 1},
    {"label_smoothing": 0.1},
    {"weight": True, "label_smoothing": 0.2, "ignore_index": 2, "z_loss": 0.1},
]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: "+".join(o) or "plain")
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("shape, axis", [((50, 7), -1), ((40, 70), 1), ((5, 70, 6), 1), ((6, 90), 0), ((2, 70_000), 1)])
def test_gradient_is_the_derivative_and_fused_equals_separate(options, reduction, shape, axis):
    rng = np.random.default_rng(1)
    z = rng.normal(size=shape)
    classes = shape[axis]
    options = dict(options)
    if "weight" in options:
        options["weight"] = rng.random(classes)
    indices = rng.integers(0, classes, np.delete(shape, axis % len(shape)))
    targets = [indices]
    if "ignore_index" not in options:
        targets.append(rng.random(shape))
    for y in targets:
        arguments = dict(axis=axis, reduction=reduction, **options)
        loss, gradient = sg.cross_entropy_value_and_grad(z, y, **arguments)
        np.testing.assert_array_equal(sg.cross_entropy(z, y, **arguments), loss)
        np.testing.assert_array_equal(sg.cross_entropy_grad(z, y, **arguments), gradient)
        direction = rng.normal(size=shape)
        h = 1e-4
        numeric = np.subtract(*(sg.cross_entropy(z + s * h * direction, y, **arguments) for s in (1, -1))) / (2 * h)
        analytic = (gradient * direction).sum(axis=axis) if reduction == "none" else (gradient * direction).sum()
        np.testing.assert_allclose(analytic, numeric, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("n", [7, 100, 70_000])
def test_half_precision(instruction_set, dtype, n):
    z = families.normal(np.float32, 2.0, n, rows=5).astype(dtype)
    wide = z.astype(np.float32)
    y = labels_of(wide, 5, "random")
    for target in (y, np.eye(n, dtype=np.float32)[y] if n < 1000 else y, np.eye(n)[y].astype(dtype) if n < 1000 else y):
        loss, gradient = sg.cross_entropy_value_and_grad(z, target)
        expected_loss, expected_gradient = sg.cross_entropy_value_and_grad(wide, target)
        assert loss.dtype == np.float32
        assert gradient.dtype == dtype
        np.testing.assert_allclose(loss, expected_loss, rtol=1e-7)
        np.testing.assert_array_equal(gradient, expected_gradient.astype(dtype))


@pytest.mark.parametrize("shape", [(50, 7), (40, 100), (3, 70_000)])
@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32, np.float64])
@pytest.mark.parametrize("dense", [False, True])
def test_out_and_in_place_are_the_same(instruction_set, dtype, shape, dense):
    z = families.normal(np.float32, 3.0, shape[1], rows=shape[0]).astype(dtype)
    y = labels_of(z.astype(np.float32), shape[0], "random")
    target = soft_target(np.float32, shape) if dense else y
    expected = sg.cross_entropy_grad(z, target)
    out = np.full_like(z, 7)
    _loss, same = sg.cross_entropy_value_and_grad(z, target, out=out)
    assert same is out
    np.testing.assert_array_equal(out, expected)
    strided = np.full((shape[0], 2 * shape[1]), 7, dtype)[:, ::2]
    sg.cross_entropy_grad(z, target, out=strided)
    np.testing.assert_array_equal(strided, expected)
    assert sg.cross_entropy_grad(z, target, out=z) is z
    np.testing.assert_array_equal(z, expected)


def test_streamed_gradients_are_written_whole(instruction_set):
    z = families.normal(np.float32, 3.0, 9001, rows=1000)  # beyond the last-level cache, rows unaligned
    y = np.arange(1000) * 7
    y[::5] = -1
    out = np.full_like(z, np.nan)
    sg.cross_entropy_grad(z, y, ignore_index=-1, reduction="sum", out=out)
    for part in (slice(0, 500), slice(500, 1000)):
        expected = sg.cross_entropy_grad(z[part], y[part], ignore_index=-1, reduction="sum")
        np.testing.assert_array_equal(out[part], expected)


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("layout", ["F", "reversed", "strided", "read-only", "byte-swapped"])
def test_layouts(layout, dense):
    z = families.normal(np.float64, 3.0, 30, rows=40)
    y = soft_target(np.float64, z.shape) if dense else labels_of(z, 40, "random")
    expected_loss, expected = sg.cross_entropy_value_and_grad(z, y)
    change = {
        "F": np.asfortranarray,
        "reversed": lambda a: a[::-1].copy()[::-1],
        "strided": lambda a: np.repeat(a, 2, axis=0)[::2],
        "read-only": lambda a: np.frombuffer(a.tobytes(), a.dtype).reshape(a.shape),
        "byte-swapped": lambda a: a.astype(a.dtype.newbyteorder()),
    }[layout]
    loss, gradient = sg.cross_entropy_value_and_grad(change(z), change(y))
    np.testing.assert_allclose(loss, expected_loss, rtol=1e-15)
    np.testing.assert_allclose(gradient, expected, rtol=1e-14, atol=1e-18)


@pytest.mark.parametrize("n", [3, 40, 70_000])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("dense", [False, True])
class TestSpecialValues:
    def problem(self, dtype, n, dense):
        z = families.normal(dtype, 2.0, n, rows=20)
        y = np.arange(20) % n
        if not dense:
            return z, y, y
        q = np.zeros((20, n))
        q[np.arange(20), y] = 1
        return z, y, q

    def test_nan_stays_in_its_row(self, instruction_set, dtype, n, dense):
        z, _, target = self.problem(dtype, n, dense)
        clean_loss, clean = sg.cross_entropy_value_and_grad(z, target, reduction="none")
        z[4, n - 1] = np.nan
        loss, gradient = sg.cross_entropy_value_and_grad(z, target, reduction="none")
        assert np.isnan(loss[4])
        assert np.isnan(gradient[4]).all()
        np.testing.assert_array_equal(np.delete(loss, 4), np.delete(clean_loss, 4))
        np.testing.assert_array_equal(np.delete(gradient, 4, 0), np.delete(clean, 4, 0))
        assert np.isnan(sg.cross_entropy(z, target))

    def test_a_masked_class_that_is_no_target(self, instruction_set, dtype, n, dense):
        z, y, target = self.problem(dtype, n, dense)
        z[4, (y[4] + 1) % n] = -np.inf
        loss, gradient = sg.cross_entropy_value_and_grad(z, target, reduction="none")
        assert np.isfinite(loss).all()
        assert np.isfinite(gradient).all()
        assert gradient[4, (y[4] + 1) % n] == 0

    def test_a_masked_target(self, instruction_set, dtype, n, dense):
        z, y, target = self.problem(dtype, n, dense)
        z[4, y[4]] = -np.inf
        loss, gradient = sg.cross_entropy_value_and_grad(z, target, reduction="none")
        assert loss[4] == np.inf
        assert np.isfinite(gradient).all()
        assert gradient[4, y[4]] == -1
        assert sg.cross_entropy(z, target) == np.inf
        assert sg.cross_entropy(z, target, reduction="sum") == np.inf

    def test_everything_masked(self, instruction_set, dtype, n, dense):
        z, _, target = self.problem(dtype, n, dense)
        z[4] = -np.inf
        loss, gradient = sg.cross_entropy_value_and_grad(z, target, reduction="none")
        assert np.isnan(loss[4])
        assert np.isnan(gradient[4]).all()

    def test_positive_infinity(self, instruction_set, dtype, n, dense):
        z, _, target = self.problem(dtype, n, dense)
        z[4, 0] = np.inf
        loss, gradient = sg.cross_entropy_value_and_grad(z, target, reduction="none")
        assert np.isnan(loss[4])
        assert np.isnan(gradient[4]).all()


@pytest.mark.parametrize("n", [3, 40, 70_000])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_ignored_rows_may_hold_anything(instruction_set, n, smoothing):
    z = families.normal(np.float32, 2.0, n, rows=20)
    y = np.arange(20) % n
    kept = np.delete(np.arange(20), [4, 5, 19])
    options = dict(ignore_index=-100, label_smoothing=smoothing)
    expected_loss, expected = sg.cross_entropy_value_and_grad(z[kept], y[kept], label_smoothing=smoothing)
    z[4], z[5, 0], z[19] = np.nan, np.inf, -np.inf
    y[[4, 5, 19]] = -100
    loss, gradient = sg.cross_entropy_value_and_grad(z, y, **options)
    np.testing.assert_allclose(loss, expected_loss, rtol=2e-7)
    np.testing.assert_array_equal(gradient[[4, 5, 19]], np.zeros((3, n)))
    np.testing.assert_array_equal(gradient[kept], expected)
    rows = sg.cross_entropy(z, y, reduction="none", **options)
    np.testing.assert_array_equal(rows[[4, 5, 19]], 0)


@pytest.mark.parametrize("axis", [0, 1])
def test_ignored_rows_along_either_axis(instruction_set, axis):
    z = families.normal(np.float64, 2.0, 20, rows=20)
    y = np.arange(20)
    y[::3] = -1
    gradient = sg.cross_entropy_grad(z, y, axis=axis, ignore_index=-1)
    assert (np.moveaxis(gradient, axis, 1)[::3] == 0).all()
    assert (np.moveaxis(gradient, axis, 1)[1::3] != 0).all()


def test_nothing_to_average():
    assert np.isnan(sg.cross_entropy(np.ones((0, 3)), np.ones(0, int)))
    assert sg.cross_entropy(np.ones((0, 3)), np.ones(0, int), reduction="sum") == 0
    assert sg.cross_entropy(np.ones((0, 3)), np.ones(0, int), reduction="none").shape == (0,)
    assert np.isnan(sg.cross_entropy(np.ones((0, 3)), np.ones((0, 3))))
    assert sg.cross_entropy_grad(np.ones((0, 3)), np.ones(0, int)).shape == (0, 3)
    loss, gradient = sg.cross_entropy_value_and_grad(np.ones((2, 3)), [-1, -1], ignore_index=-1)
    assert np.isnan(loss)
    assert (gradient == 0).all()


def test_one_class_and_single_rows():
    loss, gradient = sg.cross_entropy_value_and_grad(np.array([[3.0], [-7.0]]), [0, 0])
    assert loss == 0
    assert (gradient == 0).all()
    assert sg.cross_entropy([1.0, 2.0, 3.0], 2) == pytest.approx(0.4076059644443804)
    assert sg.cross_entropy([1.0, 2.0], np.float32([0.5, 0.5])).shape == ()


@pytest.mark.parametrize("dense", [False, True])
def test_infinite_losses_are_infinite(instruction_set, dense):
    """Not NaN, where the second part of a double-double would make them so."""
    for dtype in DTYPES:
        far = np.finfo(dtype).max * 0.9
        for z, options in [
            ([-np.inf, 0.0], {"z_loss": 0.1}),
            ([-far, far], {}),
            ([-far / 4, far / 4], {"weight": [1e15] * 2}),
            ([-1.0, far], {"z_loss": 0.1}),
        ]:
            logits = np.array([z], dtype)
            target = np.eye(2)[:1] if dense else [0]
            loss = sg.cross_entropy(logits, target, reduction="sum", **options)
            assert loss == np.inf
            rows = sg.cross_entropy(logits, target, reduction="none", **options)
            assert rows[0] == loss


def test_probability_zero_of_a_hopeless_class_adds_nothing(instruction_set):
    z = np.array([[1.7e308, -1.7e308]])
    assert sg.cross_entropy(z, [[1.0, 0.0]]) == 0
    assert sg.cross_entropy(z, [[0.0, 1.0]]) == np.inf


@pytest.mark.parametrize("dtype", DTYPES)
def test_equal_weights_cancel_from_the_mean(instruction_set, dtype):
    z = np.array([[1.5, -80.25 if dtype == np.float32 else -690.75], [2.0, -3.0]], dtype)
    for y in ([0, 0], [0, 1]):
        plain_loss, plain = sg.cross_entropy_value_and_grad(z[: len(set(y))], y[: len(set(y))])
        for w in (1e-15, 1e-7, 1e15):
            loss, gradient = sg.cross_entropy_value_and_grad(z[: len(set(y))], y[: len(set(y))], weight=[w, w])
            np.testing.assert_allclose(loss, plain_loss, rtol=4 * np.finfo(dtype).eps)
            np.testing.assert_allclose(gradient, plain, rtol=4 * np.finfo(dtype).eps)


def test_zero_weight_and_zero_probability_add_nothing():
    z = np.array([[0.0, -np.inf, 1.0]])
    assert sg.cross_entropy(z, [1], weight=[1, 0, 1], reduction="sum") == 0
    assert np.isfinite(sg.cross_entropy(z, [[0.5, 0.0, 0.5]]))
    assert sg.cross_entropy(z, [[0.0, 0.0, 0.0]]) == 0


@pytest.mark.parametrize("index_dtype", [np.int8, np.uint8, np.int32, np.uint32, np.int64, np.uint64, ">i4"])
def test_every_integer_dtype_labels_classes(index_dtype):
    z = families.normal(np.float64, 1.0, 5)
    y = np.arange(24) % 5
    np.testing.assert_array_equal(sg.cross_entropy(z, y.astype(index_dtype)), sg.cross_entropy(z, y))


@given(st.integers(1, 6), st.integers(2, 50), st.integers(0, 2**32))
@settings(max_examples=60)
def test_gradients_of_a_row_sum_to_zero(rows, classes, seed):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(rows, classes)) * 5
    for target in (rng.integers(0, classes, rows), rng.random((rows, classes))):
        gradient = sg.cross_entropy_grad(z, target, reduction="sum")
        np.testing.assert_allclose(gradient.sum(axis=1), 0, atol=1e-14 * classes)


@given(st.integers(2, 50), st.integers(0, 2**32))
@settings(max_examples=60)
def test_integer_labels_are_one_hot_probabilities(classes, seed):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(4, classes)) * 5
    y = rng.integers(0, classes, 4)
    for a, b in itertools.pairwise(
        [sg.cross_entropy_value_and_grad(z, t, reduction="none") for t in (y, np.eye(classes)[y])]
    ):
        np.testing.assert_allclose(a[0], b[0], rtol=1e-15)
        np.testing.assert_allclose(a[1], b[1], rtol=1e-13, atol=1e-17)


def test_row_scale_multiplies_the_gradient(instruction_set):
    """The kernel's factor per row, for the upstream gradients of an automatic differentiation."""
    rng = np.random.default_rng(0)
    scale = rng.normal(size=30) * 100
    for n in (5, 60, 70_000):
        z = rng.normal(size=(30, n))[: 30 if n < 1000 else 2]
        for target in (rng.integers(0, n, len(z)), rng.random(z.shape)):
            dense = target.ndim == 2
            gradient, loss = np.empty_like(z), np.empty(len(z))
            _core.cross_entropy(
                per_row(DEFAULT),
                _core.DType.float64,
                z,
                1,
                labels=None if dense else target,
                probabilities=target if dense else None,
                row_scale=scale[: len(z)].copy(),
                loss=loss,
                gradient=gradient,
            )
            expected_loss, expected = sg.cross_entropy_value_and_grad(z, target, reduction="none")
            np.testing.assert_array_equal(loss, expected_loss)
            np.testing.assert_allclose(gradient, scale[: len(z), None] * expected, rtol=1e-14, atol=1e-16)


@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize("factor", [1e15, 1e5, 1e-4, 1e-15])
@pytest.mark.parametrize("weight", [1e15, 1e-15])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_extreme_weights_beside_extreme_z_losses(dtype, weight, factor, reduction, instruction_set):
    rng = np.random.default_rng(0)
    z, y = (rng.normal(size=(12, 5)) * 50).astype(dtype), rng.integers(0, 5, 12)
    loss, g = sg.cross_entropy_value_and_grad(z, y, weight=[weight] * 5, z_loss=factor, reduction=reduction)
    w, zeta, denominator = mpmath.mpf(weight), mpmath.mpf(factor), mpmath.mpf(weight) * 12 if reduction == "mean" else 1
    total, gradient, larger = mpmath.mpf(0), np.empty(z.shape, np.longdouble), np.empty(z.shape, np.longdouble)
    with mpmath.workdps(60):
        for n, row in enumerate(z):
            e = [mpmath.exp(mpmath.mpf(float(x))) for x in row]
            lse = mpmath.log(sum(e))
            total += w * (lse - mpmath.mpf(float(row[y[n]]))) + zeta * lse**2
            for k in range(5):
                p = e[k] / sum(e)
                of_loss, of_z_loss = w * p - w * (k == y[n]), 2 * zeta * lse * p
                gradient[n, k] = long_double((of_loss + of_z_loss) / denominator)
                larger[n, k] = long_double(max(abs(of_loss), abs(of_z_loss)) / denominator)
        assert oracle.error(loss, long_double(total / denominator)) <= 2
        assert oracle.error(g, gradient, larger) <= 2


def test_sums_beyond_the_largest_number():
    z = np.array([[1.5e308, 0.0], [1.5e308, 0.0]])
    assert sg.cross_entropy(z, [1, 1], reduction="none").tolist() == [1.5e308, 1.5e308]
    assert sg.cross_entropy(z, [1, 1]) == np.inf
    loss, gradient = sg.cross_entropy_value_and_grad([[1e308, 0.0]], [0], z_loss=1.0)
    assert loss == np.inf
    assert np.isnan(gradient).all()


def test_z_loss_where_lse_nearly_vanishes():
    """In float32 lse has an error of up to 2^-24, from exponentials in float32."""
    z = np.log(np.full((1, 4), 0.25, np.float32)) + np.array([1e-3, -1e-3, 2e-4, -2e-4], np.float32)
    for step in range(30):
        x = z + np.float32(step * 2.0**-23)
        gradient = sg.cross_entropy_grad(x, [0], z_loss=1e15)
        with mpmath.workdps(60):
            e = [mpmath.exp(mpmath.mpf(float(v))) for v in x[0]]
            lse = mpmath.log(sum(e))
            exact = [v / sum(e) * (1 + 2e15 * lse) - (k == 0) for k, v in enumerate(e)]
        assert all(abs(g - float(v)) <= 2e15 * 2.0**-24 for g, v in zip(gradient[0], exact, strict=True))
