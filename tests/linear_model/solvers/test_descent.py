"""The line search, and why a descent ends."""

import numpy as np
import pytest

from softgrad.linear_model._solvers._descent import Iterate, descend, line_search

EPS = np.finfo(np.float64).eps


def recorded(value, slope):
    """A function of one variable and its derivative, and where it was evaluated."""
    seen = []

    def evaluate(theta):
        t = float(theta[0])
        seen.append(t)
        with np.errstate(all="ignore"):
            return float(value(t)), np.array([slope(t)])

    return evaluate, seen


def point_at(evaluate, t):
    return Iterate(np.array([t]), *evaluate(np.array([t])))


FUNCTIONS = {
    "a parabola": (lambda t: (t - 1) ** 2, lambda t: 2 * (t - 1)),
    "minimum far beyond 1": (lambda t: (t / 1000 - 1) ** 2, lambda t: (t / 1000 - 1) / 500),
    "minimum far before 1": (lambda t: (1000 * t - 1) ** 2, lambda t: 2000 * (1000 * t - 1)),
    "like a loss": (lambda t: np.logaddexp(0, -t) + t**2 / 200, lambda t: t / 100 - 1 / (1 + np.exp(t))),
    "as steep far beyond the minimum": (
        lambda t: np.logaddexp(0, -1e4 * t) + 352 * t,
        lambda t: 352 - 1e4 * np.exp(-np.logaddexp(0, 1e4 * t)),
    ),
    "steep then flat": (lambda t: np.sqrt(1 + (t - 3) ** 2), lambda t: (t - 3) / np.sqrt(1 + (t - 3) ** 2)),
    "several minima": (lambda t: np.cos(3 * t) + (t - 4) ** 2 / 9, lambda t: -3 * np.sin(3 * t) + (t - 4) * 2 / 9),
    "quartic": (lambda t: (t - 0.01) ** 4, lambda t: 4 * (t - 0.01) ** 3),
    "infinite beyond 0.3": (
        lambda t: -np.log(0.3 - t) - 5 * t if t < 0.3 else np.inf,
        lambda t: 1 / (0.3 - t) - 5 if t < 0.3 else np.nan,
    ),
    "not a number beyond 0.3": (
        lambda t: (t - 0.2) ** 2 if t < 0.3 else np.nan,
        lambda t: 2 * (t - 0.2) if t < 0.3 else np.nan,
    ),
    "without a slope around 1": (
        lambda t: (1 if t < 1.1 else 100) * (t - 1.1) ** 2,
        lambda t: np.nan if 0.95 < t < 1.05 else (2 if t < 1.1 else 200) * (t - 1.1),
    ),
    "infinite with a slope beyond 0.3": (
        lambda t: (t - 0.2) ** 2 if t < 0.3 else np.inf,
        lambda t: 2 * (t - 0.2) if t < 0.3 else np.inf,
    ),
}


@pytest.mark.parametrize("length", [1.0, 1e-3, 30.0])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_wolfes_conditions_hold_where_the_search_ends(name, length):
    evaluate, seen = recorded(*FUNCTIONS[name])
    start = point_at(evaluate, 0.0)
    direction = -length * np.sign(start.gradient)
    after = line_search(evaluate, start, direction, EPS)
    slope, after_slope = start.gradient @ direction, after.gradient @ direction
    step = (after.theta - start.theta) @ direction / (direction @ direction)
    assert after.value <= start.value + 1e-4 * step * slope
    assert after_slope >= 0.9 * slope
    assert after.theta[0] == seen[-1]  # whoever evaluates keeps what belongs to the last point
    assert len(seen) <= 26


def test_a_step_of_one_is_taken_if_it_will_do():
    evaluate, seen = recorded(*FUNCTIONS["a parabola"])
    after = line_search(evaluate, point_at(evaluate, 0.0), np.array([0.8]), EPS)
    assert seen == [0.0, 0.8]
    assert after.theta == 0.8


@pytest.mark.parametrize("direction", [-1.0, 0.0, np.nan])
def test_a_direction_that_does_not_lead_down_is_refused_unevaluated(direction):
    evaluate, seen = recorded(*FUNCTIONS["a parabola"])
    assert line_search(evaluate, point_at(evaluate, 0.0), np.array([direction]), EPS) is None
    assert seen == [0.0]


def test_a_search_without_end_is_given_up():
    evaluate, seen = recorded(lambda t: -t, lambda t: -1.0)
    assert line_search(evaluate, point_at(evaluate, 0.0), np.array([1.0]), EPS) is None
    assert 20 < len(seen) < 40


def test_a_search_without_decrease_is_given_up():
    evaluate, seen = recorded(abs, lambda t: -1.0)  # the slope is wrong
    assert line_search(evaluate, point_at(evaluate, 0.0), np.array([1.0]), EPS) is None
    assert 20 < len(seen) < 40


@pytest.mark.parametrize("noise", [0.0, 1e-9, -1e-9])
def test_the_slope_decides_where_rounding_hides_the_decrease(noise):
    # The decrease, 1e-12, is below what rounding adds to a value of 1 in float32.
    evaluate, _ = recorded(lambda t: 1 + (noise if t else 0.0), lambda t: 1e-12 * (t - 1))
    start = point_at(evaluate, 0.0)
    assert line_search(evaluate, start, np.array([1.0]), np.finfo(np.float32).eps).theta == 1.0
    accepted = line_search(evaluate, start, np.array([1.0]), EPS)
    assert (accepted is None) == (noise > 0)


def test_a_rise_above_the_noise_is_no_minimum_whatever_the_slope():
    evaluate, _ = recorded(lambda t: 1 + 1e-3 * (t > 0.5), lambda t: -1e-6 if t <= 0.5 else 0.0)
    after = line_search(evaluate, point_at(evaluate, 0.0), np.array([1.0]), 1e-7)
    assert after is None or after.theta <= 0.5


def valley(theta):
    """A quadratic of curvature 1 and 1.7, which steepest descent does not minimise in one step."""
    return float(theta @ ([1, 1.7] * theta)) / 2 - theta.sum(), [1, 1.7] * theta - 1


class Steepest:
    """Steepest descent, which can be reset a few times."""

    def __init__(self, resets=0, sign=-1.0):
        self.resets, self.sign, self.updates = resets, sign, []

    def direction(self, point):
        return self.sign * point.gradient

    def update(self, before, after):
        self.updates.append((before, after))

    def reset(self):
        self.resets -= 1
        return self.resets >= 0


def bowl(theta):
    """A quadratic of curvature 1 and 3, with its minimum at (1, -1)."""
    offset = theta - [1.0, -1.0]
    return float(0.5 * offset @ ([1, 3] * offset)), [1, 3] * offset


def largest(gradient):
    return np.abs(gradient).max()


def descended(method, *, tol=1e-8, max_iter=100, start=(0.0, 0.0), evaluate=bowl):
    reported = []
    result = descend(
        evaluate, method, np.array(start), norm=largest, tol=tol, max_iter=max_iter, precision=EPS,
        report=lambda iterate, norm: reported.append((iterate, norm)),
    )  # fmt: skip
    assert all(norm == largest(iterate.gradient) for iterate, norm in reported)
    return *result, [iterate for iterate, _ in reported]


def test_descent_ends_where_the_gradient_is_small():
    method = Steepest()
    point, cause, reported = descended(method)
    assert cause == "converged"
    assert largest(point.gradient) <= 1e-8 < largest(reported[-2].gradient)
    np.testing.assert_allclose(point.theta, [1, -1], atol=1e-8)
    assert [after for _, after in method.updates] == reported
    assert method.updates[0][0].theta.tolist() == [0, 0]
    assert reported[-1] is point
    assert all(np.diff([step.value for step in reported]) <= 0)


@pytest.mark.parametrize("tol", np.logspace(-1, -9, 9))
def test_no_step_follows_once_the_gradient_is_small_and_none_is_missing(tol):
    point, cause, reported = descended(Steepest(), tol=tol, evaluate=valley)
    assert cause == "converged"
    assert largest(point.gradient) <= tol
    assert all(largest(step.gradient) > tol for step in reported[:-1])


def test_descent_from_a_minimum_takes_no_step():
    point, cause, reported = descended(Steepest(), start=(1.0, -1.0))
    assert (cause, reported) == ("converged", [])
    assert largest(point.gradient) == 0


@pytest.mark.parametrize("max_iter", [0, 1, 3])
def test_descent_ends_after_so_many_steps(max_iter):
    _, cause, reported = descended(Steepest(), max_iter=max_iter, evaluate=valley)
    assert cause == "max_iter"
    assert len(reported) == max_iter


@pytest.mark.parametrize("resets", [0, 1, 3])
def test_descent_ends_once_resetting_does_not_help(resets):
    method = Steepest(resets, sign=1.0)
    point, cause, reported = descended(method)
    assert cause == "precision"
    assert method.resets == -1
    assert reported == []
    assert point.theta.tolist() == [0, 0]


def test_descent_goes_on_after_a_reset():
    class Reformed(Steepest):
        def reset(self):
            self.sign = -1.0
            return super().reset()

    _, cause, _ = descended(Reformed(1, sign=1.0))
    assert cause == "converged"


def test_descent_ends_where_rounding_leaves_nothing():
    point, cause, _ = descended(Steepest(), tol=0.0, evaluate=lambda theta: (bowl(theta)[0], bowl(theta)[1] + 1e-9))
    assert cause == "precision"
    np.testing.assert_allclose(point.theta, [1, -1], atol=1e-6)


def test_a_gradient_that_is_not_a_number_is_no_convergence():
    def nan(theta):
        return 1.0, np.full_like(theta, np.nan)

    class Steepest:
        def direction(self, point):
            return -point.gradient

        def update(self, *_): ...

        def reset(self):
            return False

    _, cause = descend(
        nan, Steepest(), np.zeros(2), norm=np.max, tol=1e-6, max_iter=9, precision=1e-16, report=lambda _: None
    )
    assert cause != "converged"
