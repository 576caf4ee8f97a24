"""Statistics of blocks of classes merge into those of the rows; loss, softmax and their derivatives accept them."""

import numpy as np
import pytest

import softgrad as sg
from softgrad import _core
from softgrad._loss_spec import DEFAULT, LossSpec, Reduction
from tests import families, oracle

EACH = LossSpec(reduction=Reduction.none)
DTYPES = [np.float32, np.float64]
FIELDS = _core.statistics_fields


def blocks_of(classes, sizes):
    """Slices that cover the classes, of sizes taken in turn."""
    start, turn = 0, 0
    while start < classes:
        stop = min(classes, start + sizes[turn % len(sizes)])
        yield slice(start, stop)
        start, turn = stop, turn + 1


def merged(z, sizes, spec=EACH, **targets):
    """Row statistics by way of blocks of the classes."""
    parts = []
    for block in blocks_of(z.shape[1], sizes):
        out = np.empty((len(z), FIELDS))
        given = {
            name: np.ascontiguousarray(v[:, block]) if name == "probabilities" else v for name, v in targets.items()
        }
        _core.row_statistics(
            spec,
            dtype(z),
            np.ascontiguousarray(z[:, block]),
            1,
            out,
            first_class=block.start,
            classes=z.shape[1],
            **given,
        )
        parts.append(out)
    result = np.empty((len(z), FIELDS))
    _core.merge_statistics(np.stack(parts), result)
    return result


def dtype(z):
    return _core.DType.float32 if z.dtype == np.float32 else _core.DType.float64


def by_blocks(z, statistics, sizes, spec=EACH, **targets):
    """Loss and gradient of every row from its statistics, and softmax, a block of classes at a time."""
    losses = np.empty(len(z), np.float64 if z.dtype == np.float64 else np.float32)
    gradient, probs = np.empty_like(z), np.empty_like(z)
    for block in blocks_of(z.shape[1], sizes):
        part = np.ascontiguousarray(z[:, block])
        _core.softmax(_core.SoftmaxKind.softmax, dtype(z), part, 1, probs[:, block], statistics)
        given = {
            name: np.ascontiguousarray(v[:, block]) if name == "probabilities" else v for name, v in targets.items()
        }
        _core.cross_entropy(
            spec, dtype(z), part, 1, loss=losses, gradient=gradient[:, block], statistics=statistics,
            first_class=block.start, classes=z.shape[1], **given,
        )  # fmt: skip
    return losses, gradient, probs


SIZES = [(1,), (7, 2), (33, 1)]


@pytest.mark.parametrize("real", DTYPES)
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_blocks_of_classes_are_exact(instruction_set, real, sizes):
    rng = np.random.default_rng(5)
    for name, z in families.all_families(real):
        if z.shape[1] > 400:
            continue
        y = rng.integers(0, z.shape[1], len(z))
        exact = oracle.Rows(z)
        losses, gradient, probs = by_blocks(z, merged(z, sizes, labels=y), sizes, labels=y)
        assert oracle.error(losses, exact.loss(y)) <= 2, name
        assert oracle.error(probs, exact.softmax) <= 2, name
        assert oracle.error(gradient, exact.gradient(y)) <= 2, name


@pytest.mark.parametrize("real", DTYPES)
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_blocks_of_class_probabilities_are_exact(instruction_set, real, sizes):
    rng = np.random.default_rng(6)
    for name, z in families.all_families(real):
        if z.shape[1] > 100:
            continue
        q = (rng.random(z.shape) * (rng.random(z.shape) < 0.7)).astype(real)
        exact = oracle.Rows(z)
        losses, gradient, _ = by_blocks(
            z, merged(z, sizes, probabilities=q, **codes(q)), sizes, probabilities=q, **codes(q)
        )
        assert oracle.error(losses, exact.dense_loss(q)) <= 2, name
        larger = np.maximum(exact.softmax * q.sum(axis=1, keepdims=True, dtype=np.longdouble), q)
        assert oracle.error(gradient, exact.dense_gradient(q), larger) <= 2, name


def codes(q):
    return {"probabilities_dtype": dtype(q)}


@pytest.mark.parametrize("real", DTYPES)
@pytest.mark.parametrize(
    "options",
    [{}, {"z_loss": 0.01}, {"label_smoothing": 0.1}, {"label_smoothing": 0.2, "z_loss": 1e-3}, {"ignore_index": 3}],
    ids=str,
)
@pytest.mark.parametrize("weighted", [False, True])
def test_options_are_those_of_the_whole_rows(instruction_set, real, options, weighted):
    rng = np.random.default_rng(7)
    z = families.normal(real, 3.0, 40)
    y = rng.integers(0, 40, len(z))
    y[::5] = 3
    weight = rng.uniform(0.5, 2.0, 40) if weighted else None
    spec = LossSpec(reduction=Reduction.none, **options)
    given = {"labels": y, "class_weight": weight}
    losses, gradient, _ = by_blocks(z, merged(z, (9, 14), spec, **given), (9, 14), spec, **given)
    expected = sg.cross_entropy_value_and_grad(z, y, weight=weight, reduction="none", **options)
    eps = np.finfo(real).eps
    np.testing.assert_allclose(losses, expected[0], rtol=4 * eps)
    np.testing.assert_allclose(gradient, expected[1], rtol=4 * eps, atol=4 * eps)


def test_merging_in_steps_is_merging_at_once(instruction_set):
    z = np.random.default_rng(8).normal(size=(30, 90)) * 20
    parts = np.stack([merged(np.ascontiguousarray(z[:, b]), (90,)) for b in blocks_of(90, (10,))])
    at_once, left, right, both = (np.empty((30, FIELDS)) for _ in range(4))
    _core.merge_statistics(parts, at_once)
    _core.merge_statistics(parts[:4].copy(), left)
    _core.merge_statistics(parts[4:].copy(), right)
    _core.merge_statistics(np.stack([right, left]), both)
    leading = [0, 1, 3]  # what the sums leave to their second parts depends on the order
    np.testing.assert_allclose(both[:, leading], at_once[:, leading], rtol=1e-15)


@pytest.mark.parametrize("real", DTYPES)
def test_special_values(instruction_set, real):
    inf, nan = np.inf, np.nan
    z = np.array(
        [
            [1.0, -inf, 2.0, 0.0, -inf, -inf],  # a block of only -inf
            [-inf] * 6,
            [inf, 0.0, 0.0, 0.0, 0.0, 0.0],
            [0.0, 0.0, 0.0, 0.0, nan, 0.0],
            [-inf, -inf, nan, -inf, -inf, 1.0],
            [inf, 0.0, 0.0, 0.0, nan, 0.0],
            [5.0, 5.0, 5.0, 5.0, 5.0, 5.0],  # ties across blocks
            [0.0, -inf, 3.0, 1.0, 2.0, 9.0],
        ],
        real,
    )
    y = np.array([2, 0, 0, 0, 0, 0, 4, 1])
    expected = sg.cross_entropy_value_and_grad(z, y, reduction="none")
    losses, gradient, probs = by_blocks(z, merged(z, (2,), labels=y), (2,), labels=y)
    tolerance = 4 * np.finfo(real).eps
    np.testing.assert_allclose(losses, expected[0], rtol=tolerance)
    np.testing.assert_allclose(gradient, expected[1], rtol=tolerance)
    np.testing.assert_allclose(probs, sg.softmax(z), rtol=tolerance)
    q = np.eye(6, dtype=real)[y]
    dense = by_blocks(z, merged(z, (2,), probabilities=q, **codes(q)), (2,), probabilities=q, **codes(q))
    np.testing.assert_allclose(dense[0], sg.cross_entropy(z, q, reduction="none"), rtol=tolerance)
    np.testing.assert_allclose(dense[1], sg.cross_entropy_grad(z, q, reduction="none"), rtol=tolerance)


@pytest.mark.parametrize("real", DTYPES)
@pytest.mark.parametrize("classes", [5, 200, 70_000])
def test_whole_rows_take_their_statistics_as_given(instruction_set, real, classes):
    rng = np.random.default_rng(9)
    z = (rng.normal(size=(5, classes)) * 4).astype(real)
    v = rng.normal(size=z.shape).astype(real)
    y = rng.integers(0, classes, len(z))
    statistics = np.empty((len(z), FIELDS))
    _core.row_statistics(DEFAULT, dtype(z), z, 1, statistics, labels=y)
    losses, gradient, probs = by_blocks(z, statistics, (classes,), labels=y)
    expected = sg.cross_entropy_value_and_grad(z, y, reduction="none")
    np.testing.assert_array_equal(losses, expected[0])
    np.testing.assert_array_equal(gradient, expected[1])
    np.testing.assert_array_equal(probs, sg.softmax(z))
    product = np.empty_like(z)
    _core.hvp(EACH, dtype(z), z, 1, v, product, labels=y, statistics=statistics)
    np.testing.assert_array_equal(product, sg.cross_entropy_hvp(z, y, v, reduction="none"))


def test_tails_below_the_subnormals_keep_their_digits_under_a_weight(instruction_set):
    z = np.array([[0.0, -715.0], [0.0, -740.0]])
    for weight in (1.0, 1e15):
        w = np.array([weight, 1.0])
        given = {"labels": np.array([0, 0]), "class_weight": w}
        losses, *_ = by_blocks(z, merged(z, (1,), **given), (1,), **given)
        exact = np.longdouble(weight) * np.exp(z[:, 1].astype(np.longdouble))
        assert oracle.error(losses, exact) <= 2
