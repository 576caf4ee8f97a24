"""Descent to a minimum: directions from a method, steps from a line search, until the gradient is small."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Array = NDArray[Any]

_EVALUATIONS = 25  # in a line search
_PATIENCE = 30  # iterations without progress
_DECREASE, _CURVATURE = 1e-4, 0.9  # Wolfe's conditions, the customary values for steps of about 1


class Point(NamedTuple):
    """Where the descent stands."""

    theta: Array
    value: float
    gradient: Array


class Method(Protocol):
    """Chooses the directions."""

    def direction(self, point: Point) -> Array:
        """A direction of descent."""

    def advanced(self, before: Point, after: Point) -> None:
        """Learn from a step."""

    def forget(self) -> bool:
        """Give up what was learnt, after a direction that led nowhere; False if there is nothing to give up."""


def descend(
    evaluate: Callable[[Array], tuple[float, Array]],
    method: Method,
    start: Array,
    *,
    norm: Callable[[Array], float],
    tol: float,
    max_iter: int,
    precision: float,
    report: Callable[[Point], None],
) -> tuple[Point, str]:
    """Return the point of the smallest norm of the gradient since the value last fell, and why the descent ended.

    That is "converged", "max_iter", or "precision": no direction leads down, or for many iterations neither the
    value fell by more than rounding nor the gradient to less than before.
    """
    point = best = Point(start, *evaluate(start))
    iteration = stalled = 0
    while not norm(point.gradient) <= tol:  # a NaN is no success
        if iteration == max_iter:
            return best, "max_iter"
        after = search(evaluate, point, method.direction(point), precision)
        if after is None:
            if not method.forget():
                return best, "precision"
            continue
        method.advanced(point, after)
        point = after
        iteration += 1
        report(point)
        fell = point.value < best.value - precision * abs(best.value)
        stalled = 0 if fell or norm(point.gradient) < norm(best.gradient) else stalled + 1
        if not stalled:
            best = point
        elif stalled == _PATIENCE:
            return best, "precision"
    return point, "converged"


def search(
    evaluate: Callable[[Array], tuple[float, Array]], point: Point, direction: Array, precision: float
) -> Point | None:
    """The first point tried along the direction that satisfies Wolfe's conditions, or None.

    Where rounding hides the decrease, the slope alone decides: the approximate conditions of Hager & Zhang, SIAM
    Journal on Optimization 16, 2005, §2. The slope of an end that stays twice counts half (the Illinois rule of
    Dowell & Jarratt, BIT 11, 1971), or steps that are far too long would shrink by a tenth at a time. The point
    returned is the one evaluated last.
    """
    slope = float(np.vdot(point.gradient, direction))
    if not slope < 0:
        return None
    noise = precision * abs(point.value)
    low, low_slope, high, high_slope = 0.0, slope, np.inf, np.nan
    step, moved = 1.0, ""
    for _ in range(_EVALUATIONS):
        theta = point.theta + step * direction
        after = Point(theta, *evaluate(theta))
        after_slope = float(np.vdot(after.gradient, direction))
        decrease = after.value - point.value
        flat = decrease <= noise and after_slope <= (1 - 2 * _DECREASE) * -slope
        if decrease <= _DECREASE * step * slope or flat:
            if after_slope >= _CURVATURE * slope:
                return after
            high_slope /= 2 if moved == "low" else 1
            low, low_slope, moved = step, after_slope, "low"
        else:
            low_slope /= 2 if moved == "high" else 1
            high, high_slope, moved = step, after_slope, "high"
        step = _next_step(low, low_slope, high, high_slope)
    return None


def _next_step(low: float, low_slope: float, high: float, high_slope: float) -> float:
    """Between the brackets, where the slope would vanish if it were linear; twice as far without an upper one."""
    if high == np.inf:
        return 2 * low
    part = low_slope / (low_slope - high_slope) if high_slope > 0 else 0.5
    return low + (high - low) * (min(max(part, 0.1), 0.9) if np.isfinite(part) else 0.1)
