"""The directions of truncated conjugate gradients: as near to Newton's as promised, in as few products."""

import numpy as np
import pytest

from softgrad._targets import Targets
from softgrad.linear_model._problem._objective import Objective
from softgrad.linear_model._problem._rows import LocalRows
from softgrad.linear_model._solvers._descent import Iterate
from softgrad.linear_model._solvers._newton_cg import NewtonCG
from softgrad.linear_model._solvers._preconditioner import Plan


def problem():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 6)) @ np.diag(np.logspace(0, -3, 6)) @ rng.normal(size=(6, 6))
    standard = (x - x.mean(axis=0)) / x.std(axis=0)
    y = (3 * standard @ rng.normal(size=(6, 4)) + rng.gumbel(size=(400, 4))).argmax(axis=1)
    return Objective.of(LocalRows(x, Targets(4, y, None, row_weight=np.ones(400))), C=100.0, fit_intercept=True)


def at(objective, theta):
    return Iterate(theta, *objective.value_and_grad(theta, keep_probs=True))


def shift_free_solve(hessian, g, shape):
    """Newton's step whose classes sum to zero."""
    return np.linalg.lstsq(hessian, -g.ravel(), rcond=1e-13)[0].reshape(shape)


def newton_points(objective, count):
    """The first points of Newton's method with half steps, at which gradients fall by decades."""
    theta = np.zeros(objective.shape)
    for i in range(count):
        point = at(objective, theta)
        yield point
        length = 0.5 if i < 3 else 1.0
        theta = theta + length * shift_free_solve(objective.hessian(theta), point.gradient, theta.shape)


def test_the_residual_falls_with_the_gradient():
    """It is at most half of g in the norm of M⁻¹, times the fourth root of how far gᵀM⁻¹g has fallen."""
    objective = problem()
    method = NewtonCG(objective)
    first = None
    for point in newton_points(objective, 9):
        at(objective, point.theta)
        direction = method.direction(point)
        preconditioner = Plan.of(objective).at(objective, point.theta)

        def squared(v, preconditioner=preconditioner):
            return np.vdot(v, preconditioner.solve(v))

        residual = (objective.hessian(point.theta) @ direction.ravel()).reshape(direction.shape) + point.gradient
        decrement = squared(point.gradient)
        first = first or decrement
        part = np.sqrt(squared(residual) / decrement)
        assert part <= 0.5 * (decrement / first) ** 0.25 * (1 + 1e-9)
        assert np.vdot(direction, point.gradient) < 0
    assert decrement < 1e-10 * first


def test_a_direction_takes_at_most_as_many_products_as_coefficients_are_free():
    """K - 1 times D + 1, as exact conjugate gradients would, although the last residual is small."""
    objective = problem()
    method = NewtonCG(objective)
    products = []
    for point in newton_points(objective, 9):
        before = objective.passes
        method.direction(point)
        products.append(objective.passes - before)
    assert objective.shape == (4, 7)
    assert max(products) <= 3 * 7
    assert products[0] < 6


@pytest.mark.parametrize("scale", [1e-3, 1.0])
def test_near_the_optimum_the_direction_is_newtons(scale):
    objective = problem()
    *_, near = newton_points(objective, 10)
    method = NewtonCG(objective)
    method.direction(at(objective, np.zeros(objective.shape)))  # what progress is measured by
    rng = np.random.default_rng(0)
    step = 1e-4 * scale * rng.normal(size=objective.shape)
    point = at(objective, near.theta + step - step.mean(axis=0))
    newton = shift_free_solve(objective.hessian(point.theta), point.gradient, objective.shape)
    direction = method.direction(point)
    hessian = objective.hessian(point.theta)

    def energy(v):
        return v.ravel() @ hessian @ v.ravel()

    assert energy(direction - newton) < 0.05 * energy(newton)
