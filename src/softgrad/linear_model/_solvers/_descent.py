"""Descent to a minimum: directions from a solver, steps from a line search, until the gradient is small."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from softgrad._typing import Array

_EVALUATIONS = 25  # in a line search
_PATIENCE = 30  # iterations without progress
_DECREASE, _CURVATURE = 1e-4, 0.9  # Wolfe's conditions, with the usual constants for steps of about 1

Cause = Literal["converged", "max_iter", "precision"]


class Iterate(NamedTuple):
    """A point of the descent, with value and gradient."""

    theta: Array
    value: float
    gradient: Array


class Solver(Protocol):
    """A rule for the directions."""

    def direction(self, iterate: Iterate) -> Array:
        """Return a descent direction."""

    def update(self, before: Iterate, after: Iterate) -> None:
        """Update the approximations after a step."""

    def reset(self) -> bool:
        """Discard the approximations after a failed line search; return False if there are none."""


def descend(
    evaluate: Callable[[Array], tuple[float, Array]],
    solver: Solver,
    start: Array,
    *,
    norm: Callable[[Array], float],
    tol: float,
    max_iter: int,
    precision: float,
    report: Callable[[Iterate, float], None],  # an iterate and its gradient norm
) -> tuple[Iterate, Cause]:
    """Descend from `start`; return the best iterate and why the descent ended.

    The best iterate has the smallest gradient norm since the value last decreased by more than rounding. The cause
    "precision" means that no direction decreases the value, or that neither value nor gradient norm improved for
    many iterations.
    """
    iterate = best = Iterate(start, *evaluate(start))
    gradient_norm = best_norm = norm(iterate.gradient)
    iteration = stalled = 0
    while not gradient_norm <= tol:  # a NaN has not converged
        if iteration == max_iter:
            return best, "max_iter"
        after = line_search(evaluate, iterate, solver.direction(iterate), precision)
        if after is None:
            if not solver.reset():
                return best, "precision"
            continue
        solver.update(iterate, after)
        iterate = after
        gradient_norm = norm(iterate.gradient)
        iteration += 1
        report(iterate, gradient_norm)
        decreased = iterate.value < best.value - precision * abs(best.value)
        stalled = 0 if decreased or gradient_norm < best_norm else stalled + 1
        if not stalled:
            best, best_norm = iterate, gradient_norm
        elif stalled == _PATIENCE:
            return best, "precision"
    return iterate, "converged"


def line_search(
    evaluate: Callable[[Array], tuple[float, Array]], iterate: Iterate, direction: Array, precision: float
) -> Iterate | None:
    """Return the first trial point along the direction that satisfies Wolfe's conditions, or None.

    Where rounding hides the decrease, the slope alone decides: the approximate conditions of Hager & Zhang, SIAM
    Journal on Optimization 16, 2005, §2. The slope of an end that stays twice counts half (the Illinois rule of
    Dowell & Jarratt, BIT 11, 1971), or steps that are far too long would shrink by a tenth at a time. The point
    returned is the one evaluated last.
    """
    slope = float(np.vdot(iterate.gradient, direction))
    if not slope < 0:
        return None
    noise = precision * abs(iterate.value)
    low, low_slope, high, high_slope = 0.0, slope, np.inf, np.nan
    step, moved = 1.0, ""
    for _ in range(_EVALUATIONS):
        theta = iterate.theta + step * direction
        after = Iterate(theta, *evaluate(theta))
        after_slope = float(np.vdot(after.gradient, direction))
        change = after.value - iterate.value
        flat = change <= noise and after_slope <= (1 - 2 * _DECREASE) * -slope
        if change <= _DECREASE * step * slope or flat:
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
    """Return the zero of the linearly interpolated slope, or twice the step while there is no upper bound."""
    if high == np.inf:
        return 2 * low
    part = low_slope / (low_slope - high_slope) if high_slope > 0 else 0.5
    return low + (high - low) * (min(max(part, 0.1), 0.9) if np.isfinite(part) else 0.1)
