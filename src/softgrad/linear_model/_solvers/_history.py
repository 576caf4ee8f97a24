"""The iterations of a fit, recorded and reported while it runs."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from softgrad._typing import Array


class Iteration(NamedTuple):
    """The state of a fit after an iteration."""

    objective: float  # nats per unit of weight, with the penalty
    gradient_norm: float  # as in SoftmaxRegression.gradient_norm_
    passes: float  # over X so far; a sample of the rows counts as its fraction of them
    seconds: float  # since the fit began; NaN in a loaded model


class History:
    """Records iterations, and passes each to a callback; prints them to stderr if verbose."""

    def __init__(self, on_iteration: Callable[[Iteration], object] | None = None, *, verbose: bool = False) -> None:
        self.iterations: list[Iteration] = []
        self.theta: Array | None = None  # after the last iteration
        self._on_iteration = on_iteration
        self._verbose = verbose
        self._start = time.perf_counter()

    def add(self, objective: float, gradient_norm: float, passes: float, theta: Array | None = None) -> None:
        """Record an iteration that has just ended."""
        self.theta = theta
        iteration = Iteration(objective, gradient_norm, passes, time.perf_counter() - self._start)
        self.iterations.append(iteration)
        if self._verbose:
            print(
                f"iteration {len(self.iterations)}: objective {objective:.9f}, gradient norm {gradient_norm:.1e}, "
                f"{passes:g} passes, {iteration.seconds:.3f} s",
                file=sys.stderr,
            )
        if self._on_iteration is not None:
            self._on_iteration(iteration)
