"""Numbers at the edges: rows of no weight, far starts, columns without spread, sums near overflow."""

import warnings

import numpy as np
import pytest
import scipy.sparse
from sklearn.base import BaseEstimator
from sklearn.datasets import load_iris

from softgrad._loss_spec import LossSpec
from softgrad._targets import Targets
from softgrad.linear_model import SoftmaxRegression
from softgrad.linear_model._problem._design_matrix import CONSTANT, location_and_scale, validated
from softgrad.linear_model._problem._objective import Objective
from softgrad.linear_model._solvers._descent import descend
from softgrad.linear_model._solvers._minimise import SOLVERS, minimise
from softgrad.linear_model._solvers._preconditioner import Plan

every_solver = pytest.mark.parametrize("solver", SOLVERS)


@pytest.mark.parametrize("form", [np.ascontiguousarray, np.asfortranarray, scipy.sparse.csr_array])
@pytest.mark.parametrize("huge", [1e10, 1e50])
def test_a_row_of_no_weight_leaves_location_and_scale_alone(form, huge):
    rng = np.random.default_rng(0)
    x, weight = rng.normal(size=(100, 3)), rng.uniform(0.5, 2, 100)
    weight[[0, 50]] = 0
    expected = location_and_scale(x, weight, centred=True)
    x[[0, 50]] = huge
    for result, other in zip(location_and_scale(form(x), weight, centred=True), expected, strict=True):
        np.testing.assert_allclose(result, other, rtol=1e-12, atol=1e-14)


def test_a_first_row_of_no_weight_changes_no_fit():
    X, y = load_iris(return_X_y=True)
    weight = np.ones(len(X))
    weight[0] = 0
    plain = SoftmaxRegression(tol=1e-8).fit(X[1:], y[1:])
    strange = X.copy()
    strange[0] = 1e10
    np.testing.assert_allclose(SoftmaxRegression(tol=1e-8).fit(strange, y, weight).coef_, plain.coef_, atol=1e-6)


def test_mass_is_the_sum_of_the_smoothed_targets():
    q = np.random.default_rng(0).dirichlet(np.ones(3), 5) * [[0.5], [1], [2], [3], [1]]
    weight = np.arange(1.0, 6.0)
    y = 0.7 * q + 0.3 / 3
    np.testing.assert_allclose(
        Targets(3, None, q, row_weight=weight).mass(LossSpec(label_smoothing=0.3)), weight * y.sum(axis=1)
    )


@every_solver
@pytest.mark.parametrize("seed", range(4))
def test_a_far_start_is_no_obstacle(solver, seed):
    X, y = load_iris(return_X_y=True)
    mean, scale = location_and_scale(X, np.ones(150), centred=True)
    objective = Objective(
        X, Targets(3, y, None, row_weight=np.ones(150)), C=1.0, fit_intercept=True, mean=mean, scale=scale
    )
    start = 30 * np.random.default_rng(seed).normal(size=objective.shape)
    assert minimise(objective, start, solver=solver, tol=1e-6, max_iter=1000).converged


@pytest.mark.parametrize("solver", ["auto", *SOLVERS])
def test_a_warm_start_may_have_learnt_other_labels(solver):
    X, y = load_iris(return_X_y=True)
    model = SoftmaxRegression(C=1e6, solver=solver, warm_start=True).fit(X, y)
    assert model.fit(X, (y + 1) % 3).converged_


@pytest.mark.parametrize("value", [0.1, 7.0, 1e5, -1e8])
def test_sparse_columns_that_do_not_vary_have_no_scale(value):
    x = scipy.sparse.csr_array(np.full((50, 1), value))
    for seed in range(5):
        weight = np.random.default_rng(seed).uniform(0.5, 2, 50)
        assert location_and_scale(x, weight, centred=True)[1][0] == CONSTANT


@pytest.mark.parametrize("offset", [1e4, -1e8])
def test_an_offset_takes_nothing_from_the_spread_of_sparse_columns(offset):
    x = np.random.default_rng(0).normal(size=(400, 3)) + offset
    weight = np.ones(400)
    _, scale = location_and_scale(scipy.sparse.csr_array(x), weight, centred=True)
    np.testing.assert_allclose(scale, location_and_scale(x, weight, centred=True)[1], rtol=1e-6)


@pytest.mark.parametrize("unit", [1e36, 4e37, 1e-38, 1e-42])
def test_float32_near_its_limits_is_fitted_or_refused_with_a_reason(unit):
    X, y = load_iris(return_X_y=True)
    X = ((X - X.mean(axis=0)) * unit).astype(np.float32)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            SoftmaxRegression().fit(X, y)
    except ValueError as error:
        assert str(error).startswith("X ")  # noqa: PT017 - it may also fit


def test_a_gradient_that_is_not_a_number_is_no_convergence():
    def nan(theta):
        return 1.0, np.full_like(theta, np.nan)

    class Steepest:
        def direction(self, point):
            return -point.gradient

        def advanced(self, *_): ...

        def forget(self):
            return False

    _, cause = descend(
        nan, Steepest(), np.zeros(2), norm=np.max, tol=1e-6, max_iter=9, precision=1e-16, report=lambda _: None
    )
    assert cause != "converged"


def test_sparse_sums_that_overflow_are_refused_without_a_warning():
    with pytest.raises(ValueError, match="X reaches"):
        validated(BaseEstimator(), scipy.sparse.csr_array(np.full((4, 1), 1.7e308)), reset=True)


def test_a_diagonal_of_zeros_stays_finite():
    X = np.random.default_rng(0).normal(size=(20, 3))
    targets = Targets(2, np.arange(20) % 2, None, row_weight=np.ones(20))
    objective = Objective(X, targets, C=np.inf, fit_intercept=True, mean=np.zeros(3), scale=np.ones(3))
    theta = np.zeros((2, 4))
    theta[0, 3] = 1e3
    v = np.ones((2, 4)) * [[1], [-1]]
    assert np.isfinite(Plan("diagonal", 20).at(objective, theta).solve(v)).all()
