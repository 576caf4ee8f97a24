"""The objective, its gradient and its Hessian in the variables of the solvers."""

import numpy as np
import pytest
import scipy.sparse
import scipy.special

import softgrad as sg
from softgrad._loss_spec import LossSpec
from softgrad._targets import Targets
from softgrad.linear_model._problem._objective import Objective
from softgrad.linear_model._problem._rows import LocalRows

N, D, K = 120, 6, 4


def problem(kind="labels", smoothing=0.0):
    spec = LossSpec(label_smoothing=smoothing)
    rng = np.random.default_rng(5)
    x = rng.normal(size=(N, D)) * [1, 100, 0.1, 1, 3, 1] + [0, 500, -2, 0, 1, 0]
    x[:, 3] = rng.random(N) < 0.2
    weight = rng.uniform(0, 2, N)
    weight[::9] = 0
    if kind == "labels":
        return x, Targets(K, rng.integers(0, K, N), None, row_weight=weight), spec
    mass = rng.uniform(0.5, 2, (N, 1)) if kind == "soft, scaled" else 1.0
    return x, Targets(K, None, rng.dirichlet(np.ones(K), N) * mass, row_weight=weight), spec


def objective_of(x, targets, spec, *, C=2.0, fit_intercept=True):
    return Objective.of(LocalRows(x, targets, spec), C=C, fit_intercept=fit_intercept)


def users_objective(x, targets, spec, W, b, C):
    """As the user states it, in W and b, over the summed weight."""
    q = np.eye(K)[targets.labels] if targets.labels is not None else targets.probabilities
    y = (1 - spec.label_smoothing) * q + spec.label_smoothing / K
    loss = -np.sum(y * scipy.special.log_softmax(x @ W.T + b, axis=1), axis=1)
    return (targets.row_weight @ loss + np.sum(W**2) / (2 * C)) / targets.row_weight.sum()


def points(objective, count=3):
    rng = np.random.default_rng(1)
    return [0.7 * rng.normal(size=objective.shape) for _ in range(count)]


KINDS = [("labels", 0.0), ("labels", 0.2), ("soft", 0.0), ("soft", 0.2), ("soft, scaled", 0.0)]
every_kind = pytest.mark.parametrize("kind, smoothing", KINDS)
with_and_without_intercept = pytest.mark.parametrize("fit_intercept", [True, False])


@with_and_without_intercept
def test_variables_and_coefficients_undo_each_other(fit_intercept):
    objective = objective_of(*problem(), fit_intercept=fit_intercept)
    assert objective.shape == (K, D + fit_intercept)
    for theta in points(objective):
        W, b = objective.coefficients(theta)
        assert (W.shape, b.shape) == ((K, D), (K,))
        np.testing.assert_allclose(objective.variables(W, b), theta, rtol=1e-12, atol=1e-12)
        assert fit_intercept or not b.any()


@every_kind
@with_and_without_intercept
@pytest.mark.parametrize("C", [2.0, np.inf])
def test_the_value_is_the_users_objective(kind, smoothing, fit_intercept, C):
    x, targets, spec = problem(kind, smoothing)
    objective = objective_of(x, targets, spec, C=C, fit_intercept=fit_intercept)
    for theta in points(objective):
        value, _ = objective.value_and_grad(theta)
        W, b = objective.coefficients(theta)
        assert value == pytest.approx(users_objective(x, targets, spec, W, b, C), rel=1e-12)
        assert objective.loss == pytest.approx(users_objective(x, targets, spec, W, b, np.inf), rel=1e-12)


@every_kind
@with_and_without_intercept
def test_the_gradient_is_the_slope_of_the_value(kind, smoothing, fit_intercept):
    objective = objective_of(*problem(kind, smoothing), fit_intercept=fit_intercept)
    for theta in points(objective):
        _, gradient = objective.value_and_grad(theta)
        assert gradient.shape == theta.shape
        for k, d in np.ndindex(theta.shape):
            unit = np.zeros_like(theta)
            unit[k, d] = step = 1e-5
            ahead, behind = (objective.value_and_grad(theta + t)[0] for t in (unit, -unit))
            assert (ahead - behind) / (2 * step) == pytest.approx(gradient[k, d], rel=1e-8, abs=1e-9)


@every_kind
@with_and_without_intercept
def test_the_hessian_is_the_slope_of_the_gradient(kind, smoothing, fit_intercept):
    objective = objective_of(*problem(kind, smoothing), fit_intercept=fit_intercept)
    theta = points(objective)[0]
    hessian = objective.hessian(theta)
    np.testing.assert_allclose(hessian, hessian.T, rtol=0, atol=1e-15)
    step = 1e-5
    for column, unit in zip(hessian.T, np.eye(theta.size), strict=True):
        direction = step * unit.reshape(theta.shape)
        ahead, behind = (objective.value_and_grad(theta + t)[1] for t in (direction, -direction))
        np.testing.assert_allclose((ahead - behind).ravel() / (2 * step), column, rtol=1e-8, atol=1e-8)


@every_kind
@with_and_without_intercept
@pytest.mark.parametrize("form", [np.asarray, scipy.sparse.csr_array])
def test_a_product_is_the_hessian_times_the_direction(kind, smoothing, fit_intercept, form):
    x, targets, spec = problem(kind, smoothing)
    objective = objective_of(form(x), targets, spec, fit_intercept=fit_intercept)
    theta, direction, _ = points(objective)
    objective.value_and_grad(theta, keep_probs=True)
    expected = (objective.hessian(theta) @ direction.ravel()).reshape(theta.shape)
    np.testing.assert_allclose(objective.hessian_product(direction), expected, rtol=1e-9, atol=1e-12)


def test_products_and_gradients_are_those_of_the_linear_head():
    x, targets, spec = problem()
    objective = objective_of(x, targets, spec, C=np.inf, fit_intercept=False)
    theta, direction, _ = points(objective)
    W, V = theta / objective.scale, direction / objective.scale
    _, gradient = objective.value_and_grad(theta, keep_probs=True)
    # The head has no weights of rows, but a row of probabilities may sum to any.
    weighted = targets.row_weight[:, None] * np.eye(K)[targets.labels]
    _, expected = sg.linear_cross_entropy_value_and_grad(x, W, weighted, reduction="sum")
    product = sg.linear_cross_entropy_hvp(x, W, weighted, V, reduction="sum")
    unit = objective.scale * targets.row_weight.sum()
    np.testing.assert_allclose(gradient, expected.W / unit, rtol=1e-11, atol=1e-14)
    np.testing.assert_allclose(objective.hessian_product(direction), product / unit, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("fit_intercept, shift", [(True, 1000.0), (False, 0.0)])
def test_units_and_offsets_of_the_columns_leave_everything_as_it_is(fit_intercept, shift):
    x, targets, spec = problem()
    units = np.array([1e6, 1e-6, 1.0, 3.0, 1.0, 1e3])
    plain = objective_of(x, targets, spec, C=np.inf, fit_intercept=fit_intercept)
    moved = objective_of((x + shift) * units, targets, spec, C=np.inf, fit_intercept=fit_intercept)
    for theta in points(plain):
        (value, gradient), (other, same) = plain.value_and_grad(theta), moved.value_and_grad(theta)
        assert other == pytest.approx(value, rel=1e-9)
        np.testing.assert_allclose(same, gradient, rtol=0, atol=1e-8)
        np.testing.assert_allclose(moved.hessian(theta), plain.hessian(theta), rtol=0, atol=1e-8)


@with_and_without_intercept
def test_standardised_rows_give_the_logits_of_theta(fit_intercept):
    x, targets, spec = problem()
    for form in (np.asarray, scipy.sparse.csr_array):
        objective = objective_of(form(x), targets, spec, fit_intercept=fit_intercept)
        rows = objective.standardise(form(x)[:30])
        theta = points(objective)[0]
        W, b = objective.coefficients(theta)
        np.testing.assert_allclose(rows @ theta.T, x[:30] @ W.T + b, atol=1e-10)
        if fit_intercept:
            np.testing.assert_array_equal(rows[:, -1], 1)


def test_passes_are_counted():
    objective = objective_of(*problem())
    theta, direction, _ = points(objective)
    objective.value_and_grad(theta, keep_probs=True)
    assert objective.passes == 1
    objective.hessian_product(direction)
    assert objective.passes == 2
    objective.hessian(theta)
    assert objective.passes == 3


def test_columns_that_do_not_vary_have_no_gradient():
    x, targets, spec = problem()
    x[:, 2] = 7.0
    for C in (1.0, np.inf):
        objective = objective_of(x, targets, spec, C=C)
        theta = points(objective)[0]
        _, gradient = objective.value_and_grad(theta, keep_probs=True)
        assert np.abs(gradient[:, 2]).max() < 1e-90
        assert np.abs(objective.hessian_product(theta)[:, 2]).max() < 1e-90
        assert np.isfinite(objective.hessian(theta)).all()


def test_float32_rows_are_summed_in_double():
    x, targets, spec = problem()
    x = np.float32(x - x.mean(axis=0))
    narrow, wide = objective_of(x, targets, spec), objective_of(x.astype(np.float64), targets, spec)
    assert 5e-8 < narrow.precision < 1e-6
    assert 1e-16 < wide.precision < 1e-13
    for theta in points(narrow):
        (value, gradient), (other, same) = narrow.value_and_grad(theta), wide.value_and_grad(theta)
        assert value == pytest.approx(other, rel=1e-6)
        np.testing.assert_allclose(gradient, same, rtol=0, atol=1e-6)
        np.testing.assert_allclose(narrow.hessian(theta), wide.hessian(theta), rtol=0, atol=1e-6)


def test_mass_is_the_sum_of_the_smoothed_targets():
    q = np.random.default_rng(0).dirichlet(np.ones(3), 5) * [[0.5], [1], [2], [3], [1]]
    weight = np.arange(1.0, 6.0)
    y = 0.7 * q + 0.3 / 3
    np.testing.assert_allclose(
        Targets(3, None, q, row_weight=weight).mass(LossSpec(label_smoothing=0.3)), weight * y.sum(axis=1)
    )
