"""The directions of L-BFGS: those of the BFGS matrix, which is built here as a matrix."""

from itertools import pairwise

import numpy as np
import pytest
from sklearn.datasets import load_iris

from softgrad._targets import Targets
from softgrad.linear_model._problem._objective import Objective
from softgrad.linear_model._problem._rows import LocalRows
from softgrad.linear_model._solvers._descent import Iterate
from softgrad.linear_model._solvers._lbfgs import LBFGS
from softgrad.linear_model._solvers._preconditioner import Plan


def iris():
    x, y = load_iris(return_X_y=True)
    return Objective.of(LocalRows(x, Targets(3, y, None, row_weight=np.ones(len(x)))), C=1.0, fit_intercept=True)


def walk(objective, steps, seed=0):
    """Points at random steps from one another; the classes of each sum to zero."""
    rng = np.random.default_rng(seed)
    theta = np.zeros(objective.shape)
    for _ in range(steps + 1):
        yield Iterate(theta, *objective.value_and_grad(theta))
        step = 0.2 * rng.normal(size=objective.shape)
        theta = theta + step - step.mean(axis=0)


def bfgs_matrix(points, initial):
    """Nocedal & Wright, equation 6.17, from γ M⁻¹ with γ = sᵀy / yᵀM⁻¹y of the last pair."""
    pairs = [
        ((after.theta - before.theta).ravel(), (after.gradient - before.gradient).ravel())
        for before, after in pairwise(points)
    ]
    if not pairs:
        return initial
    s, y = pairs[-1]
    inverse = initial * (s @ y) / (y @ initial @ y)
    for s, y in pairs:
        left = np.eye(len(s)) - np.outer(s, y) / (s @ y)
        inverse = left @ inverse @ left.T + np.outer(s, s) / (s @ y)
    return inverse


def initial_inverse(objective):
    preconditioner = Plan.of(objective).bound(objective)
    units = np.eye(np.prod(objective.shape)).reshape(-1, *objective.shape)
    return preconditioner.solve(units).reshape(len(units), len(units))


@pytest.mark.parametrize("steps", [0, 1, 2, 3])
def test_directions_are_those_of_the_bfgs_matrix(steps):
    objective = iris()
    method = LBFGS(objective)
    points = list(walk(objective, steps))
    for before, after in pairwise(points):
        method.update(before, after)
    expected = -bfgs_matrix(points, initial_inverse(objective)) @ points[-1].gradient.ravel()
    np.testing.assert_allclose(method.direction(points[-1]).ravel(), expected, rtol=1e-8, atol=1e-10)


def test_the_last_change_of_the_gradient_gives_the_last_step_also_after_renewals():
    """The secant equation H y = s, whatever is remembered and preconditions."""
    objective = iris()
    method = LBFGS(objective)
    *_, last = points = list(walk(objective, 30))
    for before, after in pairwise(points):
        method.direction(before)
        method.update(before, after)
        change = Iterate(after.theta, after.value, after.gradient - before.gradient)
        np.testing.assert_allclose(method.direction(change), before.theta - after.theta, rtol=1e-6, atol=1e-8)
    assert np.vdot(method.direction(last), last.gradient) < 0


def test_a_reset_discards_all_pairs():
    objective = iris()
    method, fresh = LBFGS(objective), LBFGS(objective)
    before, after = walk(objective, 1)
    assert not method.reset()
    method.update(before, after)
    assert (method.direction(after) != fresh.direction(after)).any()
    assert method.reset()
    np.testing.assert_array_equal(method.direction(after), fresh.direction(after))
    assert not method.reset()


def test_a_step_along_which_the_gradient_falls_makes_no_pair():
    objective = iris()
    method, fresh = LBFGS(objective), LBFGS(objective)
    before, after = walk(objective, 1)
    method.update(before, after._replace(gradient=2 * before.gradient - after.gradient))  # curvature below 0
    np.testing.assert_array_equal(method.direction(after), fresh.direction(after))
