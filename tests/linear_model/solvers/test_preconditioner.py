"""Approximate inverses of the Hessian."""

import tracemalloc

import numpy as np
import pytest
import scipy.sparse
import scipy.special

from softgrad._targets import Targets
from softgrad.linear_model._problem._objective import Objective
from softgrad.linear_model._problem._rows import LocalRows
from softgrad.linear_model._solvers import _preconditioner
from softgrad.linear_model._solvers._preconditioner import Plan, Sample

N, D, K = 200, 5, 4


def rows_of(kind=np.asarray, dtype=np.float64):
    rng = np.random.default_rng(2)
    x = (rng.normal(size=(N, D)) * [1, 20, 0.1, 1, 3] * (rng.random((N, D)) < 0.7)).astype(dtype)
    return kind(x)


def objective_of(x, *, C=2.0, fit_intercept=True, classes=K, weight=None):
    rng = np.random.default_rng(3)
    weight = rng.uniform(0, 2, x.shape[0]) if weight is None else weight
    targets = Targets(classes, rng.integers(0, classes, x.shape[0]), None, row_weight=weight)
    return Objective.of(LocalRows(x, targets), C=C, fit_intercept=fit_intercept)


def theta_of(objective):
    return np.random.default_rng(4).normal(size=objective.shape)


def vectors_of(objective, *count):
    """Classes that sum to zero, as those of every gradient do."""
    v = np.random.default_rng(5).normal(size=(*count, *objective.shape))
    return v - v.mean(axis=-2, keepdims=True)


def plans(objective):
    return [Plan(kind, objective.rows.x.shape[0]) for kind in ("class blocks", "one block", "diagonal")]


def class_hessians(objective, theta):
    """The blocks of the dense Hessian that belong to one class each, the penalty included."""
    columns = objective.shape[1]
    hessian = objective.hessian(theta)
    return [hessian[k : k + columns, k : k + columns] for k in range(0, len(hessian), columns)]


def centred(v):
    return v - v.mean(axis=0)


every_form = pytest.mark.parametrize("form", [np.asarray, np.asfortranarray, scipy.sparse.csr_array])
with_and_without_intercept = pytest.mark.parametrize("fit_intercept", [True, False])


@every_form
@with_and_without_intercept
@pytest.mark.parametrize("C", [2.0, np.inf])
def test_class_blocks_of_all_rows_are_those_of_the_hessian(form, fit_intercept, C):
    objective = objective_of(rows_of(form), C=C, fit_intercept=fit_intercept)
    theta, v = theta_of(objective), vectors_of(objective)
    solution = Plan("class blocks", N).at(objective, theta).solve(v)
    expected = [np.linalg.solve(block, g) for block, g in zip(class_hessians(objective, theta), v, strict=True)]
    np.testing.assert_allclose(solution, centred(np.array(expected)), rtol=1e-6, atol=1e-7 * np.abs(expected).max())


@every_form
@with_and_without_intercept
def test_the_diagonal_of_all_rows_is_that_of_the_hessian(form, fit_intercept):
    objective = objective_of(rows_of(form), fit_intercept=fit_intercept)
    theta, v = theta_of(objective), vectors_of(objective)
    diagonal = objective.hessian(theta).diagonal().reshape(objective.shape)
    solution = Plan("diagonal", N).at(objective, theta).solve(v)
    np.testing.assert_allclose(solution, centred(v / diagonal), rtol=1e-9)


@every_form
@with_and_without_intercept
def test_one_block_is_the_mean_of_the_class_blocks_shared_out_by_weight(form, fit_intercept):
    objective = objective_of(rows_of(form), C=np.inf, fit_intercept=fit_intercept)
    theta, v = theta_of(objective), vectors_of(objective)
    blocks = class_hessians(objective, theta)
    W, b = objective.coefficients(theta)
    p = scipy.special.softmax(rows_of() @ W.T + b, axis=1)
    shares = (objective.rows.targets.row_weight @ (p * (1 - p)) / objective.total)[:, None]
    solution = Plan("one block", N).at(objective, theta).solve(v)
    expected = np.linalg.solve(sum(blocks) / shares.sum(), (v / shares).T).T
    np.testing.assert_allclose(solution, centred(expected), rtol=1e-6, atol=1e-7 * np.abs(expected).max())


def test_blocks_of_vectors_are_solved_as_all_at_once_whatever_the_threads(monkeypatch, threads):
    monkeypatch.setattr(_preconditioner, "SERIAL_BELOW", 0)
    objective = objective_of(rows_of(), classes=70)
    vectors, bound = vectors_of(objective, 2), Plan("one block", N).bound(objective)
    threads(1)
    in_blocks = bound.solve(vectors)
    threads(3)
    np.testing.assert_array_equal(bound.solve(vectors), in_blocks)
    monkeypatch.setattr(_preconditioner, "_BLOCK_VECTORS", 1000)
    np.testing.assert_allclose(bound.solve(vectors), in_blocks, rtol=0, atol=1e-12 * np.abs(in_blocks).max())


@pytest.mark.parametrize("kind", ["one block", "diagonal"])
def test_the_start_is_boehnings_bound(kind):
    objective = objective_of(rows_of(), C=np.inf)
    v = vectors_of(objective)
    solution = Plan(kind, N).bound(objective).solve(v)
    x = objective.standardise(objective.rows.x)
    bound = 0.5 * (objective.rows.targets.row_weight[:, None] * x).T @ x / objective.total
    if kind == "diagonal":
        bound = np.diag(bound.diagonal())
    np.testing.assert_allclose(solution, centred(np.linalg.solve(bound, v.T).T), rtol=1e-6)
    # No Hessian is larger: I - 11ᵀ/K is the identity on vectors whose classes sum to zero.
    if kind == "one block":
        for theta in (np.zeros(objective.shape), theta_of(objective)):
            hessian = objective.hessian(theta)
            assert all(u.ravel() @ hessian @ u.ravel() <= np.vdot(u, u @ bound) for u in vectors_of(objective, 50))


@pytest.mark.parametrize("form", [np.asarray, scipy.sparse.csr_array])
@pytest.mark.parametrize("C", [1.0, np.inf])
def test_a_step_by_the_diagonal_ends_where_the_bound_is_least_along_it(form, C):
    # Columns that are all but one: the diagonal alone would go five times too far.
    rng = np.random.default_rng(6)
    x = rng.normal(size=(N, 1)) + 0.01 * rng.normal(size=(N, D))
    objective = objective_of(form(x), C=C)
    gradient = objective.value_and_grad(np.zeros(objective.shape))[1]
    plan = Plan("diagonal", N)
    step = plan.bounded_step(objective, plan.bound(objective), gradient)
    standard = objective.standardise(objective.rows.x)
    bound = 0.5 * (objective.rows.targets.row_weight[:, None] * standard).T @ standard / objective.total
    curvature = np.vdot(step, step @ bound + objective.penalties * step)
    assert np.vdot(gradient, step) == pytest.approx(-curvature)
    assert curvature < 0.3 * np.vdot(gradient, plan.bound(objective).solve(gradient))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("C", [0.1, np.inf])
def test_every_approximation_is_symmetric_and_positive(dtype, C):
    objective = objective_of(rows_of(dtype=dtype), C=C)
    theta = theta_of(objective)
    size = theta.size
    for plan in plans(objective):
        for preconditioner in (plan.bound(objective), plan.at(objective, theta)):
            units = np.eye(size).reshape(size, *objective.shape)
            units = units - units.mean(axis=1, keepdims=True)
            inverse = preconditioner.solve(units).reshape(size, size)
            np.testing.assert_allclose(
                inverse, inverse.T, rtol=0, atol=50 * objective.precision * np.abs(inverse).max()
            )
            # Zero along the shifts of all classes, one for each column, and above it elsewhere.
            eigenvalues = np.linalg.eigvalsh((inverse + inverse.T) / 2)
            shifts, others = np.split(eigenvalues, [objective.shape[1]])
            assert np.abs(shifts).max() < 1e-5 * others.min()
            assert others.min() > 0


@pytest.mark.parametrize("kind", ["class blocks", "one block", "diagonal"])
def test_several_vectors_are_solved_as_one_each(kind):
    objective = objective_of(rows_of())
    preconditioner = Plan(kind, N).at(objective, theta_of(objective))
    v = vectors_of(objective, 2, 3)
    together = preconditioner.solve(v)
    assert together.shape == v.shape
    for i in np.ndindex(2, 3):
        np.testing.assert_allclose(together[i], preconditioner.solve(v[i]), rtol=1e-10, atol=1e-12)


def repeated(x):
    return np.hstack([x, x, np.zeros((len(x), 1)), np.full((len(x), 1), 3.0)])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("C", [1.0, np.inf])
def test_singular_matrices_get_a_ridge_and_stay_finite(dtype, C):
    few = repeated(rows_of()).astype(dtype)[:4]  # fewer rows than columns as well
    for x in (repeated(rows_of()).astype(dtype), few):
        objective = objective_of(x, C=C, weight=np.ones(len(x)))
        for plan in plans(objective):
            for at in (plan.bound(objective), plan.at(objective, theta_of(objective))):
                v = vectors_of(objective)
                solution = at.solve(v)
                assert np.isfinite(solution).all()
                assert np.vdot(v, solution) > 0


@pytest.mark.parametrize("logit", [0.0, 1e3])
def test_classes_that_no_row_is_near_and_rows_of_no_weight_leave_it_finite(logit):
    objective = objective_of(rows_of(), C=np.inf, weight=np.eye(1, N)[0] if logit == 0 else np.ones(N))
    theta = np.zeros(objective.shape)
    theta[0, -1] = logit  # every row is certain of class 0
    for plan in plans(objective)[:2]:
        solution = plan.at(objective, theta).solve(vectors_of(objective))
        assert np.isfinite(solution).all()


@pytest.mark.parametrize("kind", ["class blocks", "one block", "diagonal"])
def test_a_sample_approximates_all_rows(kind):
    rng = np.random.default_rng(6)
    objective = objective_of(rng.normal(size=(20000, 8)))
    theta, v = theta_of(objective), vectors_of(objective)
    part, whole = (Plan(kind, rows).at(objective, theta).solve(v) for rows in (5000, 20000))
    # A class block leaves out rows of the least weight; what is left is within a factor of two.
    assert 0.5 < np.vdot(part, whole) / np.vdot(whole, whole) < 2
    cosine = np.vdot(part, whole) / np.sqrt(np.vdot(part, part) * np.vdot(whole, whole))
    assert cosine > 0.97


def test_a_sample_is_drawn_without_repetition_and_always_the_same():
    objective = objective_of(rows_of())
    sample = Sample(objective, 50)
    assert len(set(sample.rows.tolist())) == 50
    assert not sample.is_all
    np.testing.assert_array_equal(sample.rows, Sample(objective, 50).rows)
    assert sample.mass.sum() == pytest.approx(1)
    assert Sample(objective, N).is_all
    assert Sample(objective, 2 * N).is_all
    for size in (50, N):
        sample = Sample(objective, size)
        parts = list(sample.chunks())
        np.testing.assert_array_equal(np.concatenate([rows for _, rows in parts]), objective.rows.x[sample.rows])
        assert [part.start for part, _ in parts][1:] == [part.stop for part, _ in parts][:-1]


def test_rows_of_a_sample_are_counted_as_a_part_of_a_pass():
    objective = objective_of(rows_of())
    Plan("class blocks", N // 4).at(objective, theta_of(objective))
    assert objective.passes == 0.25


def shaped(rows, columns, classes, density=None):
    """An objective whose rows are all zero: only its shape matters."""
    x = np.broadcast_to(np.float32(0), (rows, columns)) if density is None else scipy.sparse.csr_array(
        scipy.sparse.random(rows, columns, density, rng=np.random.default_rng(0))
    )  # fmt: skip
    targets = Targets(classes, np.zeros(rows, np.int64), row_weight=np.ones(rows))
    return Objective(LocalRows(x, targets), C=1.0, fit_intercept=True, mean=np.zeros(columns), scale=np.ones(columns))


@pytest.mark.parametrize(
    "rows, columns, classes, kind",
    [
        (150, 4, 3, "class blocks"),
        (60_000, 784, 10, "class blocks"),
        (60_000, 784, 100, "one block"),
        (1000, 2047, 4, "class blocks"),  # 4 · 2048² = 2²⁴
        (1000, 2047, 5, "one block"),
        (1000, 4095, 2, "one block"),
        (1000, 4096, 2, "diagonal"),
        (100_000, 5000, 2, "class blocks"),
        (100_000, 11_000, 3, "one block"),
        (100_000, 30_000, 2, "diagonal"),
    ],
)
def test_the_plan_keeps_blocks_within_their_limit(rows, columns, classes, kind):
    objective = shaped(rows, columns, classes)
    plan = Plan.of(objective)
    assert plan.kind == kind
    assert 1 <= plan.rows <= rows
    blocks = {"class blocks": classes, "one block": 1, "diagonal": 0}[kind]
    assert blocks * (columns + 1) ** 2 <= max(rows * columns / 4, 2**24)


@pytest.mark.parametrize(
    "rows, columns, most",
    [(10_000, 784, 10_000), (60_000, 784, 2**23 // 784), (1_000_000, 100, 2**23 // 100), (10_000, 4000, 8 * 4001)],
)
def test_a_larger_plan_takes_twice_the_rows_up_to_the_largest_sample(rows, columns, most):
    objective = shaped(rows, columns, 10)
    most = min(most, rows)
    plan = Plan.of(objective)
    costs = []
    while plan.rows < most:
        larger = plan.larger(objective)
        assert larger == (plan.kind, min(most, 2 * plan.rows))
        costs.append(plan.cost(objective))
        plan = larger
    assert plan.rows == most
    assert plan.larger(objective) == plan
    assert all(np.diff(costs) > 0)


def test_the_cost_follows_the_products_that_are_made():
    objective = shaped(600_000, 784, 10)
    whole = Plan("class blocks", 600_000)
    assert whole._replace(kind="one block").cost(objective) == pytest.approx(whole.cost(objective) / 10)
    assert whole._replace(kind="diagonal").cost(objective) < 1
    sample = whole._replace(rows=200_000)
    assert sample.cost(objective) < whole.cost(objective) / 3  # of a sample, negligible rows are left out
    assert sample._replace(rows=100_000).cost(objective) == pytest.approx(sample.cost(objective) / 2)


def test_wide_sparse_rows_are_never_made_dense():
    """2000 x 50000, of which 0.1 % are set: dense, 400 MB in float32; the coefficients take 1.2 MB."""
    x = scipy.sparse.csr_array(scipy.sparse.random(2000, 50_000, 0.001, rng=np.random.default_rng(0), dtype=np.float32))
    objective = objective_of(x, classes=3)
    theta, v = theta_of(objective), vectors_of(objective)
    tracemalloc.start()
    plan = Plan.of(objective)
    assert plan.kind == "diagonal"
    objective.value_and_grad(theta, keep_probs=True)
    objective.hessian_product(v)
    plan.bound(objective).solve(v)
    plan.at(objective, theta).solve(v)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 40 * theta.nbytes


def test_a_diagonal_of_zeros_stays_finite():
    X = np.random.default_rng(0).normal(size=(20, 3))
    targets = Targets(2, np.arange(20) % 2, None, row_weight=np.ones(20))
    objective = Objective(LocalRows(X, targets), C=np.inf, fit_intercept=True, mean=np.zeros(3), scale=np.ones(3))
    theta = np.zeros((2, 4))
    theta[0, 3] = 1e3
    v = np.ones((2, 4)) * [[1], [-1]]
    assert np.isfinite(Plan("diagonal", 20).at(objective, theta).solve(v)).all()
