"""Every solver finds the optimum, from any start and on any number of threads."""

from functools import cache
from itertools import pairwise

import numpy as np
import pytest
import scipy.optimize
import scipy.sparse
import scipy.special
from sklearn.datasets import load_iris, load_wine

from softgrad._loss_spec import DEFAULT, LossSpec
from softgrad._targets import Targets
from softgrad.linear_model._problem._objective import Objective
from softgrad.linear_model._problem._rows import LocalRows
from softgrad.linear_model._solvers._history import History
from softgrad.linear_model._solvers._minimise import SOLVERS, minimise

every_solver = pytest.mark.parametrize("solver", SOLVERS)


def labelled(x, y, weight=None, smoothing=0.0):
    weight = np.ones(len(y)) if weight is None else weight
    targets = Targets(y.max() + 1, y.astype(np.int64), None, row_weight=weight)
    return x, targets, LossSpec(label_smoothing=smoothing)


def iris():
    return labelled(*load_iris(return_X_y=True))


def ill_conditioned():
    """Singular values over three decades, and columns of different units."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 6)) @ np.diag(np.logspace(0, -3, 6)) @ rng.normal(size=(6, 6)) * np.logspace(-3, 3, 6)
    standard = (x - x.mean(axis=0)) / x.std(axis=0)
    return labelled(x, (standard @ rng.normal(size=(6, 4)) + rng.gumbel(size=(400, 4))).argmax(axis=1))


def weighted():
    rng = np.random.default_rng(1)
    x, targets, _ = iris()
    weight = rng.uniform(0, 3, len(x))
    weight[rng.random(len(x)) < 0.2] = 0
    return labelled(x, targets.labels, weight, 0.1)


def soft():
    rng = np.random.default_rng(2)
    x, _ = load_iris(return_X_y=True)
    target = rng.dirichlet(np.full(3, 0.3), len(x)) * rng.uniform(0.5, 2, (len(x), 1))
    return x, Targets(3, None, target, row_weight=rng.uniform(0.5, 1, len(x))), DEFAULT


def sparse():
    rng = np.random.default_rng(3)
    x = scipy.sparse.random(300, 12, 0.3, rng=rng).toarray()
    logits = 3 * x @ rng.normal(size=(12, 3)) + rng.gumbel(size=(300, 3))
    x, targets, spec = labelled(x, logits.argmax(axis=1))
    return scipy.sparse.csr_array(x), targets, spec


def degenerate():
    """A column twice, one that is 0 and one that does not vary."""
    x, targets, spec = iris()
    return np.hstack([x, x[:, :1], np.zeros((len(x), 1)), np.full((len(x), 1), 7.0)]), targets, spec


PROBLEMS = {
    "iris": iris,
    "wine": lambda: labelled(*load_wine(return_X_y=True)),
    "ill-conditioned": ill_conditioned,
    "weighted": weighted,
    "soft": soft,
    "sparse": sparse,
    "degenerate": degenerate,
}


def objective_of(x, targets, spec=DEFAULT, *, C=1.0, fit_intercept=True):
    return Objective.of(LocalRows(x, targets, spec), C=C, fit_intercept=fit_intercept)


def fitted(objective, solver="lbfgs", *, start=None, tol=1e-9, max_iter=1000, **options):
    start = np.zeros(objective.shape) if start is None else start
    return minimise(objective, start, solver=solver, tol=tol, max_iter=max_iter, **options)


@cache
def optimum(name, C, fit_intercept):
    """Logits and value at the optimum, found in columns centred and scaled by SciPy's trust-region Newton method."""
    x, targets, spec = PROBLEMS[name]()
    dense = np.asarray(x.toarray() if scipy.sparse.issparse(x) else x, np.float64)
    K, total = targets.classes, targets.row_weight.sum()
    q = targets.probabilities if targets.labels is None else np.eye(K)[targets.labels]
    y = ((1 - spec.label_smoothing) * q + spec.label_smoothing / K) * targets.row_weight[:, None] / total
    centre = dense.mean(axis=0) if fit_intercept else 0.0
    scale = np.sqrt(np.mean((dense - centre) ** 2, axis=0))
    scale[scale < 1e-9] = 1.0
    rows = (dense - centre) / scale
    penalty = np.tile(1 / (C * total * scale**2), (K, 1))
    if fit_intercept:
        rows = np.column_stack([rows, np.ones(len(rows))])
        penalty = np.column_stack([penalty, np.zeros(K)])
    mass = y.sum(axis=1)

    def probs(theta):
        return scipy.special.softmax(rows @ theta.reshape(K, -1).T, axis=1)

    def value(theta):
        logits = rows @ theta.reshape(K, -1).T
        return -np.sum(y * scipy.special.log_softmax(logits, axis=1)) + 0.5 * penalty.ravel() @ theta**2

    def gradient(theta):
        return ((mass[:, None] * probs(theta) - y).T @ rows).ravel() + penalty.ravel() * theta

    def hessian(theta):
        p = probs(theta)
        jacobian = p[:, :, None] * (np.eye(K) - p[:, None, :])
        blocks = np.einsum("n,nkl,nd,ne->kdle", mass, jacobian, rows, rows, optimize=True)
        return blocks.reshape(len(theta), len(theta)) + np.diag(penalty.ravel())

    start = np.zeros(penalty.size)
    found = scipy.optimize.minimize(
        value, start, jac=gradient, hess=hessian, method="trust-exact", options={"gtol": 1e-11}
    ).x
    for _ in range(3):  # the trust region shrinks where values no longer tell points apart
        found = found - np.linalg.pinv(hessian(found), rcond=1e-12) @ gradient(found)
    assert np.abs(gradient(found)).max() < 1e-13
    return rows @ found.reshape(K, -1).T, value(found)


def logits_of(objective, theta):
    """The logits without their mean over the classes, which is not determined without an intercept."""
    W, b = objective.coefficients(theta)
    logits = objective.rows.x @ W.T + b
    return logits - logits.mean(axis=1, keepdims=True)


def assert_optimal(objective, solution, expected, *, atol=1e-5):
    logits, value = expected
    assert solution.converged
    assert solution.objective == pytest.approx(value, rel=atol**2 + 1e-12)
    np.testing.assert_allclose(
        scipy.special.softmax(logits_of(objective, solution.theta), axis=1),
        scipy.special.softmax(logits, axis=1), atol=atol,
    )  # fmt: skip


@every_solver
@pytest.mark.parametrize("C, fit_intercept", [(1.0, True), (100.0, True), (1.0, False)])
@pytest.mark.parametrize("name", PROBLEMS)
def test_every_solver_finds_the_optimum(name, C, fit_intercept, solver):
    objective = objective_of(*PROBLEMS[name](), C=C, fit_intercept=fit_intercept)
    solution = fitted(objective, solver)
    assert_optimal(objective, solution, optimum(name, C, fit_intercept))
    # What is reported is what the coefficients give.
    value, gradient = objective.value_and_grad(solution.theta)
    assert solution.objective == pytest.approx(value, rel=1e-14)
    assert solution.loss == pytest.approx(objective.loss, rel=1e-14)
    assert solution.gradient_norm == pytest.approx(np.abs(gradient).max(), abs=1e-15)
    assert solution.gradient_norm <= 1e-9
    assert solution.solver == solver


@every_solver
@pytest.mark.parametrize("name", ["ill-conditioned", "soft", "weighted"])
def test_every_solver_finds_the_optimum_without_penalty(name, solver):
    objective = objective_of(*PROBLEMS[name](), C=np.inf)
    assert_optimal(objective, fitted(objective, solver), optimum(name, np.inf, True), atol=1e-4)


@every_solver
@pytest.mark.parametrize("form", [np.ascontiguousarray, np.asfortranarray, scipy.sparse.csr_array])
@pytest.mark.parametrize("name", ["iris", "wine", "soft"])
def test_float32_is_fitted_to_its_precision(name, form, solver):
    x, targets, spec = PROBLEMS[name]()
    objective = objective_of(form(x.astype(np.float32)), targets, spec)
    # Logits of float32 are good to 1e-6, and the gradient's mean to less.
    assert_optimal(objective, fitted(objective, solver, tol=1e-5), optimum(name, 1.0, True), atol=3e-3)


@every_solver
@pytest.mark.parametrize("dtype, tol", [(np.float32, 1e-5), (np.float64, 1e-8)])
@pytest.mark.parametrize("form", [np.ascontiguousarray, scipy.sparse.csr_array])
def test_the_number_of_threads_changes_no_bit(form, dtype, tol, solver, threads):
    rng = np.random.default_rng(8)
    x = rng.normal(size=(3000, 20)) * (rng.random((3000, 20)) < 0.5)
    y = (x @ rng.normal(size=(20, 5)) + rng.gumbel(size=(3000, 5))).argmax(axis=1)

    def solve(count):
        threads(count)
        return fitted(objective_of(*labelled(form(x.astype(dtype)), y)), solver, tol=tol)

    one = solve(1)
    assert one.converged
    for count in (2, 3, 8):
        other = solve(count)
        np.testing.assert_array_equal(other.theta, one.theta)
        assert [step[:3] for step in other.history] == [step[:3] for step in one.history]


@every_solver
def test_a_start_at_the_optimum_takes_no_iteration(solver):
    objective = objective_of(*iris())
    solution = fitted(objective, solver)
    again = fitted(objective, solver, start=objective.variables(*objective.coefficients(solution.theta)), tol=1e-8)
    assert again.history == []
    assert again.converged


@every_solver
@pytest.mark.parametrize("C", [1.0, np.inf])
def test_a_shift_of_all_classes_is_taken_off_the_start(C, solver):
    objective = objective_of(*weighted(), C=C)
    rng = np.random.default_rng(0)
    start = rng.normal(size=objective.shape) + rng.normal(size=objective.shape[1])
    solution = fitted(objective, solver, start=start)
    assert_optimal(objective, solution, optimum("weighted", C, True), atol=1e-4)
    np.testing.assert_allclose(solution.theta.sum(axis=0), 0, atol=1e-9)


@every_solver
def test_a_start_of_confident_mistakes_is_no_obstacle(solver):
    objective = objective_of(*iris())
    start = 3 * np.random.default_rng(0).normal(size=objective.shape)
    assert_optimal(objective, fitted(objective, solver, start=start), optimum("iris", 1.0, True))


@every_solver
def test_columns_that_say_nothing_get_no_weight(solver):
    objective = objective_of(*degenerate())
    W, _ = objective.coefficients(fitted(objective, solver).theta)
    np.testing.assert_allclose(W[:, 4], W[:, 0], atol=1e-6)
    np.testing.assert_allclose(W[:, 5:], 0, atol=1e-90)


@every_solver
def test_iterations_are_counted_and_reported(solver):
    seen = []
    objective = objective_of(*iris())
    solution = fitted(objective, solver, max_iter=3, history=History(seen.append))
    assert (solution.converged, solution.cause) == (False, "max_iter")
    assert seen == solution.history
    assert len(seen) == 3
    assert seen[-1].objective == solution.objective
    assert seen[-1].gradient_norm == solution.gradient_norm > 1e-9
    assert all(np.diff([step.objective for step in seen]) < 0)
    assert 0 < seen[0].passes < seen[1].passes < seen[2].passes == objective.passes


@every_solver
def test_where_rounding_leaves_nothing_to_gain_the_cause_is_precision(solver):
    objective = objective_of(*iris())
    solution = fitted(objective, solver, tol=0.0)
    assert (solution.converged, solution.cause) == (False, "precision")
    assert solution.gradient_norm < 1e-10


@pytest.mark.parametrize("rows, solver", [(64, "newton"), (65, "lbfgs")])
def test_auto_takes_newtons_method_while_the_hessian_is_cheap(rows, solver):
    """4 (63 + 1) coefficients: 256² products a row, 2²² in 64 rows."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(rows, 63)), np.arange(rows) % 4
    assert fitted(objective_of(*labelled(x, y)), "auto").solver == solver


def test_newtons_method_converges_quadratically():
    """The digits of the gradient double, near the optimum: norm ≤ 100 · (norm before)²."""
    history = fitted(objective_of(*iris(), C=0.1), "newton", tol=1e-13).history
    norms = [step.gradient_norm for step in history]
    assert len(norms) < 10
    near = [(a, b) for a, b in pairwise(norms) if 1e-7 < a < 1e-2]
    assert near
    assert all(b <= 100 * a**2 for a, b in near)


def test_many_columns_are_preconditioned_from_a_sample():
    """6000 x 100: blocks from a part of the rows, renewed on the way."""
    rng = np.random.default_rng(9)
    x = rng.normal(size=(6000, 100)) @ np.diag(np.logspace(0, -2, 100)) @ rng.normal(size=(100, 100))
    y = (x[:, :50] @ rng.normal(size=(50, 5)) + rng.gumbel(size=(6000, 5))).argmax(axis=1)
    objectives = [objective_of(*labelled(x, y)) for _ in range(2)]
    solutions = [fitted(o, solver, tol=1e-8) for o, solver in zip(objectives, ("lbfgs", "newton-cg"), strict=True)]
    assert all(solution.converged for solution in solutions)
    assert len(solutions[0].history) < 60
    assert objectives[0].passes % 1 != 0  # a part of the rows counts as that part
    assert solutions[0].objective == pytest.approx(solutions[1].objective, rel=1e-12)


@pytest.mark.parametrize("solver", ["lbfgs", "newton-cg"])
def test_more_columns_than_a_block_takes(solver):
    """Sparse and wide: preconditioned by a diagonal."""
    rng = np.random.default_rng(10)
    x = scipy.sparse.csr_array(scipy.sparse.random(400, 5000, 0.01, rng=rng))
    y = rng.integers(0, 3, 400)
    objective = objective_of(*labelled(x, y), C=10.0)
    solution = fitted(objective, solver, tol=1e-7)
    assert solution.converged
    W, b = objective.coefficients(solution.theta)
    g = scipy.special.softmax(x @ W.T + b, axis=1) - np.eye(3)[y]
    np.testing.assert_allclose(x.T @ g + W.T / 10, 0, atol=1e-5)
    np.testing.assert_allclose(g.sum(axis=0), 0, atol=1e-4)


@pytest.mark.parametrize("solver", ["lbfgs", "newton-cg"])
def test_few_rows_of_many_columns(solver):
    """The diagonal alone would step a thousand times too far."""
    x = np.random.default_rng(11).integers(0, 9, (4, 10000)).astype(np.float64)
    solution = fitted(objective_of(*labelled(x, np.arange(4) % 2)), solver, tol=1e-7)
    assert solution.converged
    assert len(solution.history) < 40


@every_solver
@pytest.mark.parametrize("seed", range(4))
def test_a_far_start_is_no_obstacle(solver, seed):
    objective = objective_of(*iris())
    start = 30 * np.random.default_rng(seed).normal(size=objective.shape)
    assert minimise(objective, start, solver=solver, tol=1e-6, max_iter=1000).converged
