"""Gradients, Hessian-vector products and Gram matrices in one pass over X, against their definitions."""

from functools import cache

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from softgrad import _core
from softgrad._loss_spec import LossSpec
from softgrad._targets import Targets
from softgrad.linear_model._problem import _kernels
from softgrad.linear_model._problem._design_matrix import buffers
from softgrad.linear_model._problem._kernels import cholesky_solve, class_weights, split, weighted_grams
from softgrad.linear_model._problem._rows import LocalRows

# Rounding errors allowed, in eps of the dtype times the summed magnitudes of the terms. A panel adds up to 1024
# products and a chunk up to 256 rows in the dtype of X one after the other, but errors of both signs mostly cancel.
TERMS = 8
# N, D, K: one row, odd ends everywhere, no features, features beyond a panel's depth, and classes that fill one to
# four vectors of either dtype, or several panels.
SHAPES = [
    (1, 1, 2), (7, 3, 2), (40, 0, 3), (500, 17, 5), (300, 64, 10), (259, 33, 20), (333, 100, 26), (70, 9, 40),
    (65, 5, 60), (120, 30, 70), (65, 2, 130), (150, 3000, 5),
]  # fmt: skip
DTYPES = [np.float32, np.float64]
LEAF_ROWS = 512


def gradient(x, W, b, targets, spec, probs=None):
    sums = _kernels.gradient(LocalRows(x, targets, spec), W, b, probs)
    return sums[-1], *split(sums[:-1], W.shape)


def hessian_product(x, V, v, probs, mass):
    targets = Targets(len(v), np.zeros(x.shape[0], np.int64), row_weight=mass)
    return split(_kernels.hessian_product(LocalRows(x, targets), V, v, probs), V.shape)


class Problem:
    """Values that float32 holds exactly, a third of them 0 and some rows empty, and the terms of every row."""

    def __init__(self, N, D, K):
        rng = np.random.default_rng((N, D, K))
        x = rng.normal(size=(N, D)).astype(np.float32)
        x[rng.random((N, D)) < 1 / 3] = 0
        x[1::5] = 0
        self.x = x.astype(np.longdouble)
        self.W, self.b = rng.normal(size=(K, D)) / np.sqrt(max(D, 1)), rng.normal(size=K)
        self.labels = rng.integers(0, K, N)
        self.soft = rng.dirichlet(np.ones(K), N) * rng.uniform(0.2, 3, (N, 1))
        self.weight = rng.uniform(0, 2, N)
        self.weight[2::7] = 0
        self.V, self.v = rng.normal(size=(K, D)), rng.normal(size=K)

        logits = self.x @ self.W.T + self.b
        self.error = np.abs(self.x) @ np.abs(self.W.T) + np.abs(self.b) + 1  # of a logit, in eps
        shifted = logits - logits.max(axis=1, keepdims=True)
        self.log_probs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        self.probs = np.exp(self.log_probs)

    def targets(self, kind, smoothing=0.0):
        """Targets and the specification of the loss."""
        spec = LossSpec(label_smoothing=smoothing)
        K = len(self.b)
        if kind == "labels":
            return Targets(K, self.labels, None, row_weight=self.weight), spec
        return Targets(K, None, self.soft, row_weight=self.weight), spec

    def smooth(self, kind, smoothing):
        K = len(self.b)
        y = np.eye(K, dtype=np.longdouble)[self.labels] if kind == "labels" else self.soft.astype(np.longdouble)
        return (1 - smoothing) * y + np.longdouble(smoothing) / K

    def summed(self, rows):
        """Σ_n rows_n x_nᵀ and Σ_n rows_n."""
        return rows.T @ self.x, rows.sum(axis=0)

    def bounds(self, magnitude, eps):
        return [TERMS * eps * part for part in (magnitude.T @ np.abs(self.x), magnitude.sum(axis=0))]


@cache
def problem(*shape):
    return Problem(*shape)


def assert_within(result, expected, bounds):
    for got, want, bound in zip(result, expected, bounds, strict=True):
        assert got.dtype == np.float64
        assert got.shape == want.shape
        assert (np.abs(got - want) <= bound).all(), (np.abs(got - want) / np.maximum(bound, 1e-300)).max()


def check_gradient(x, p, targets, y):
    eps = np.finfo(x.dtype).eps
    kept = np.empty(p.probs.shape, x.dtype)
    loss, *sums = gradient(x, p.W, p.b, *targets, kept)
    s, mass = p.weight[:, None], y.sum(axis=1, keepdims=True)
    worst = p.error.max(axis=1, keepdims=True)
    assert_within(sums, p.summed(s * (mass * p.probs - y)), p.bounds(s * (mass * p.probs * worst + y), eps))
    expected = -np.sum(s * y * p.log_probs)
    assert abs(loss - expected) <= TERMS * eps * np.sum(s * mass * (worst - p.log_probs))
    counted = p.weight > 0  # rows of weight 0 count as absent
    assert (np.abs(kept - p.probs) <= TERMS * eps * p.probs * worst)[counted].all()
    assert np.isfinite(kept).all()
    return loss, *sums, kept


def check_product(x, p):
    eps = np.finfo(x.dtype).eps
    kept = p.probs.astype(x.dtype)
    result = hessian_product(x, p.V, p.v, kept, p.weight)
    probs = kept.astype(np.longdouble)
    u, size = p.x @ p.V.T + p.v, np.abs(p.x) @ np.abs(p.V.T) + np.abs(p.v)
    s = p.weight[:, None]
    h = s * probs * (u - np.sum(probs * u, axis=1, keepdims=True))
    magnitude = s * probs * (size + np.sum(probs * size, axis=1, keepdims=True))
    assert_within(result, p.summed(h), p.bounds(magnitude, eps))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "x".join(map(str, shape)))
def test_passes_follow_their_definitions(instruction_set, shape, dtype):
    p = problem(*shape)
    dense = np.ascontiguousarray(p.x.astype(dtype))
    for x in (dense, scipy.sparse.csr_array(dense)):
        for kind, smoothing in [("labels", 0.0), ("labels", 0.1), ("soft", 0.0), ("soft", 0.3)]:
            check_gradient(x, p, p.targets(kind, smoothing), p.smooth(kind, smoothing))
        check_product(x, p)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "x".join(map(str, shape)))
def test_class_weights_are_mass_times_p_times_1_minus_p(instruction_set, shape, dtype):
    p = problem(*shape)
    rows = np.random.default_rng(7).permutation(shape[0])[: 1 + shape[0] // 2]
    mass, probs = p.weight[rows], p.probs[rows]
    bound = TERMS * np.finfo(dtype).eps * mass[:, None] * probs * p.error[rows].max(axis=1, keepdims=True)
    for form in (np.asarray, np.asfortranarray, scipy.sparse.csr_array):
        weights = class_weights(form(p.x.astype(dtype)), rows, p.W, p.b, mass)
        assert (np.abs(weights - mass[:, None] * probs * (1 - probs)) <= bound).all()


def cholesky_factors(count, columns, dtype):
    """Upper triangles Lᵀ of well-conditioned matrices, with NaN below them."""
    a = np.random.default_rng((8, count, columns)).normal(size=(count, columns, columns))
    L = np.linalg.cholesky(a @ a.transpose(0, 2, 1) / columns + np.eye(columns))
    factors = np.full_like(L, np.nan)
    upper = np.triu_indices(columns)
    factors[:, *upper] = L.transpose(0, 2, 1)[:, *upper]
    return factors.astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "count, columns, shape", [(1, 1, (3,)), (4, 17, (2, 4)), (1, 33, (2, 5)), (3, 70, (7, 3)), (2, 5, (2,))]
)
def test_cholesky_factors_solve_their_own_vectors(instruction_set, count, columns, shape, dtype):
    factors = cholesky_factors(count, columns, dtype)
    vectors = np.random.default_rng(9).normal(size=(*shape, columns)).astype(dtype).astype(np.float64)
    L = np.nan_to_num(factors.astype(np.float64)).transpose(0, 2, 1)
    expected = np.linalg.solve(L @ L.transpose(0, 2, 1), vectors[..., None])[..., 0]
    solution = cholesky_solve(factors, vectors)
    assert solution.dtype == np.float64
    np.testing.assert_allclose(solution, expected, rtol=0, atol=100 * np.finfo(dtype).eps * np.abs(expected).max())


def mapped(x, folder):
    np.save(folder / "x.npy", x)
    return np.load(folder / "x.npy", mmap_mode="r")


def read_only(x, _):
    x = x.copy()
    x.flags.writeable = False
    return x


def strided(x, _):
    return np.repeat(np.repeat(x, 2, axis=0), 3, axis=1)[::2, ::3]


DENSE = {
    "fortran": lambda x, _: np.asfortranarray(x),
    "strided": strided,
    "reversed": lambda x, _: x[::-1, ::-1].copy()[::-1, ::-1],
    "a part of wider rows": lambda x, _: np.pad(x, ((0, 0), (2, 5)), constant_values=np.nan)[:, 2:-5],
    "read-only": read_only,
    "memory-mapped": mapped,
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", DENSE)
def test_the_layout_of_dense_rows_changes_no_bit(instruction_set, form, dtype, tmp_path):
    p = problem(333, 100, 26)
    plain = np.ascontiguousarray(p.x.astype(dtype))
    x = DENSE[form](plain, tmp_path)
    np.testing.assert_array_equal(x, plain)
    for result, expected in zip(passes(x, p), passes(plain, p), strict=True):
        np.testing.assert_array_equal(result, expected)


def passes(x, p):
    """The results of all passes."""
    kept = np.empty(p.probs.shape, x.dtype)
    N, D = x.shape
    return [
        *gradient(x, p.W, p.b, *p.targets("labels", 0.1), kept), kept, *hessian_product(x, p.V, p.v, kept, p.weight),
        weighted_grams(x, np.arange(0, N, 2), p.soft[::2, :3], np.full(D, 0.5), np.full(D, 2.0), True),
        class_weights(x, np.arange(0, N, 2), p.W, p.b, p.weight[::2].copy()),
        *([column_sums(x, p.weight, LEAF_ROWS // 8)] if isinstance(x, np.ndarray) else []),
    ]  # fmt: skip


def column_sums(x, weight, leaf_rows):
    """Σ s (x − ½) and Σ s (x − ½)² of every column."""
    sums = np.empty((2, x.shape[1]))
    largest = _core.column_sums(buffers(x)[0], x, leaf_rows, weight, np.full(x.shape[1], 0.5), sums)
    assert largest == np.abs(x).max(initial=0)
    return sums


def split_entries(x):
    """Every entry twice, as a half each; columns in falling order; and a zero entry at the end of every third row."""
    data, indices, starts = [], [], [0]
    for n, row in enumerate(x):
        columns = np.flatnonzero(row)[::-1]
        indices += [*columns.repeat(2), *[0] * (n % 3 == 0)]
        data += [*(row[columns] / 2).repeat(2), *[0.0] * (n % 3 == 0)]
        starts.append(len(data))
    return scipy.sparse.csr_array((np.array(data, x.dtype), np.array(indices), np.array(starts)), x.shape)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("index", [np.int32, np.int64])
def test_sparse_rows_may_hold_an_entry_twice_or_zeros_and_take_either_index(instruction_set, index, dtype):
    p = problem(333, 100, 26)
    dense = p.x.astype(dtype)
    sparse = split_entries(dense)
    x = scipy.sparse.csr_array((sparse.data, sparse.indices.astype(index), sparse.indptr.astype(index)), dense.shape)
    assert x.indices.dtype == x.indptr.dtype == index
    assert not x.has_canonical_format
    check_gradient(x, p, p.targets("soft"), p.smooth("soft", 0.0))
    check_product(x, p)
    check_grams(x, p, np.arange(len(dense)), intercept=True)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", [np.ascontiguousarray, np.asfortranarray, scipy.sparse.csr_array])
def test_the_number_of_threads_changes_no_bit(form, dtype, threads):
    # Enough rows for many groups, and for threads to be worth starting.
    p = Problem(5000, 40, 10)
    x = form(p.x.astype(dtype))
    factors, vectors = cholesky_factors(10, 90, dtype), np.random.default_rng(1).normal(size=(2, 10, 90))
    threads(1)
    expected = [*passes(x, p), cholesky_solve(factors, vectors)]
    for count in (2, 3, 8):
        threads(count)
        for result, one in zip([*passes(x, p), cholesky_solve(factors, vectors)], expected, strict=True):
            np.testing.assert_array_equal(result, one)


class SumsOfRows:
    """The sums that the passes over X add by a tree, over some rows alone."""

    def __init__(self, p, x, kind):
        self.p, self.x = p, x
        self.targets, self.spec = p.targets(kind, 0.1)

    def node(self, first, end):
        p, x = self.p, self.x[first:end]
        part = self.targets.part(slice(first, end))
        targets, weight = (part.labels, part.probabilities), part.row_weight
        sum_W, sum_b, product_W, product_b = (np.empty(like.shape) for like in (p.W, p.b, p.W, p.b))
        probs = np.empty((len(weight), len(p.b)), x.dtype)
        arrays = (*buffers(x), LEAF_ROWS)
        loss = _core.linear_head_gradient(self.spec, *arrays, p.W, p.b, *targets, weight, probs, sum_W, sum_b)
        _core.linear_head_hvp(*arrays, p.V, p.v, weight, probs, product_W, product_b)
        sums = [np.array(loss), sum_W, sum_b, product_W, product_b]
        return [*sums, column_sums(x, weight, LEAF_ROWS)] if isinstance(x, np.ndarray) else sums


def aligned_runs(first, end, rows):
    """Divide rows first to end into runs of 2^s leaves that begin at a multiple of 2^s leaves, as long as possible."""
    while first < end:
        size = LEAF_ROWS
        while first % (2 * size) == 0 and first + size < rows and min(first + 2 * size, rows) <= end:
            size *= 2
        yield first, min(first + size, rows)
        first += size


def add_nodes(nodes, first, end):
    """Return the node over rows first to end: one of `nodes`, or the sum of its two children."""
    if (first, end) in nodes:
        return nodes[first, end]
    half = LEAF_ROWS
    while first + 2 * half < end:
        half *= 2
    children = add_nodes(nodes, first, first + half), add_nodes(nodes, first + half, end)
    return [left + right for left, right in zip(*children, strict=True)]


@pytest.mark.parametrize("kind", ["labels", "soft"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", [np.ascontiguousarray, np.asfortranarray, scipy.sparse.csr_array])
def test_sums_over_parts_of_the_rows_are_nodes_of_one_tree(form, dtype, kind):
    p = problem(9 * LEAF_ROWS, 12, 3)
    sums = SumsOfRows(p, form(p.x.astype(dtype)), kind)

    @settings(max_examples=8, derandomize=True)
    @given(st.integers(1, 9 * LEAF_ROWS), st.sets(st.integers(1, 8)))
    def check(rows, cuts):
        ends = [*sorted(cut * LEAF_ROWS for cut in cuts if cut * LEAF_ROWS < rows), rows]
        parts = zip([0, *ends[:-1]], ends, strict=True)
        nodes = {run: sums.node(*run) for part in parts for run in aligned_runs(*part, rows)}
        for result, expected in zip(add_nodes(nodes, 0, rows), sums.node(0, rows), strict=True):
            np.testing.assert_array_equal(result, expected)

    check()


def test_sums_over_no_rows_are_zero():
    p = problem(7, 3, 2)
    for result in SumsOfRows(p, p.x.astype(np.float64), "labels").node(0, 0):
        np.testing.assert_array_equal(result, np.zeros(result.shape))


@pytest.mark.parametrize("dtype", DTYPES)
def test_gram_matrices_of_many_rows_are_sums_of_parts(instruction_set, dtype):
    p = Problem(5000, 40, 10)
    check_grams(p.x.astype(dtype), p, np.arange(5000), intercept=True)


@pytest.mark.parametrize("dtype, huge", [(np.float32, 1e30), (np.float64, 1e90)])
@pytest.mark.parametrize("form", [np.ascontiguousarray, scipy.sparse.csr_array])
def test_rows_of_no_weight_count_for_nothing_whatever_they_hold(instruction_set, form, dtype, huge):
    p = problem(333, 100, 26)
    out = p.weight == 0
    assert out.sum() > 10
    plain, strange = p.x.astype(dtype), p.x.astype(dtype)
    plain[out], strange[out] = 1, huge
    for kind in ("labels", "soft"):
        kept = np.empty(p.probs.shape, dtype)
        results = [gradient(form(x), p.W, p.b, *p.targets(kind), kept) for x in (plain, strange)]
        for result, expected in zip(*results, strict=True):
            np.testing.assert_array_equal(result, expected)
        assert np.isfinite(kept).all()
    kept = p.probs.astype(dtype)
    products = [hessian_product(form(x), p.V, p.v, kept, p.weight) for x in (plain, strange)]
    for result, expected in zip(*products, strict=True):
        np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("kind, smoothing", [("labels", 0.0), ("labels", 0.2), ("soft", 0.1)])
def test_gradient_and_product_are_the_slopes_of_value_and_gradient(kind, smoothing):
    p = problem(300, 64, 10)
    x, targets = p.x.astype(np.float64), p.targets(kind, smoothing)
    kept = np.empty(p.probs.shape)
    _, g_W, g_b = gradient(x, p.W, p.b, *targets, kept)
    mass = p.weight * p.smooth(kind, smoothing).sum(axis=1)
    h_W, h_b = hessian_product(x, p.V, p.v, kept, mass.astype(np.float64))
    step = 1e-5
    ahead, behind = (gradient(x, p.W + t * p.V, p.b + t * p.v, *targets) for t in (step, -step))
    slope = np.vdot(g_W, p.V) + np.vdot(g_b, p.v)
    assert (ahead[0] - behind[0]) / (2 * step) == pytest.approx(slope, rel=1e-7)
    # Central differences leave the third derivative times step²/6, and |u| reaches 30.
    np.testing.assert_allclose((ahead[1] - behind[1]) / (2 * step), h_W, rtol=0, atol=1e-6 * np.abs(h_W).max())
    np.testing.assert_allclose((ahead[2] - behind[2]) / (2 * step), h_b, rtol=0, atol=1e-6 * np.abs(h_b).max())


def test_probabilities_are_kept_on_request_only():
    p = problem(333, 100, 26)
    x, targets = p.x.astype(np.float64), p.targets("soft")
    kept = np.empty(p.probs.shape)
    for result, other in zip(gradient(x, p.W, p.b, *targets), gradient(x, p.W, p.b, *targets, kept), strict=True):
        np.testing.assert_array_equal(result, other)
    np.testing.assert_allclose(kept.sum(axis=1), 1, rtol=1e-14)


def check_grams(x, p, rows, *, intercept):
    """Three matrices; some weights are 0, and one of them all."""
    D = x.shape[1]
    rng = np.random.default_rng(D)
    weights = rng.uniform(-1, 1, (len(rows), 3)).clip(0)
    weights[:, 2] = 0
    mean, scale = rng.normal(size=D), rng.uniform(0.5, 2, D)
    grams = weighted_grams(x, rows, weights, mean, scale, intercept)
    standard = (p.x[rows] - mean) / scale
    size = ((np.abs(p.x[rows]) + np.abs(mean)) / scale).astype(np.float64)
    if intercept:
        standard, size = (np.column_stack([part, np.ones(len(rows))]) for part in (standard, size))
    assert grams.dtype == x.dtype
    assert grams.shape == (3, D + intercept, D + intercept)
    for gram, q in zip(grams, weights.T, strict=True):
        error = np.triu(np.abs(gram - (q[:, None] * standard).T @ standard))
        assert (error <= TERMS * np.finfo(x.dtype).eps * ((q[:, None] * size).T @ size)).all()


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1, 2), (7, 3, 2), (500, 17, 5), (300, 64, 10), (400, 130, 3)])
def test_grams_follow_their_definition(instruction_set, shape, dtype, intercept):
    p = problem(*shape)
    dense = np.ascontiguousarray(p.x.astype(dtype))
    rows = np.sort(np.random.default_rng(0).permutation(shape[0])[: max(1, shape[0] * 2 // 3)])
    for x in (dense, np.asfortranarray(dense), scipy.sparse.csr_array(dense)):
        check_grams(x, p, rows, intercept=intercept)


def test_a_gram_matrix_of_no_rows_is_zero():
    p = problem(7, 3, 2)
    grams = weighted_grams(p.x.astype(np.float64), np.arange(0), np.empty((0, 2)), np.zeros(3), np.ones(3), True)
    np.testing.assert_array_equal(grams, np.zeros((2, 4, 4)))
