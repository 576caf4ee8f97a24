"""Coefficients with standard errors, tests and confidence intervals, as arrays and as a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import ndtr, ndtri

if TYPE_CHECKING:
    from softgrad._typing import Array

_LABEL_WIDTH = 80 - 59


@dataclass(frozen=True, eq=False)
class CoefficientSummary:
    """Coefficients of the log-odds of every class against the first, with standard errors; it prints as a table.

    Attributes
    ----------
    classes : ndarray of shape (K - 1,)
        The classes without the first.
    reference : object
        The first class.
    names : list of str
        The names of the P columns, with ``intercept`` as the last if there is one.
    coef, standard_error, z, p_value, lower, upper : ndarray of shape (K - 1, P), float64
        Estimates, their standard errors, z statistics, two-sided p-values, and bounds of the 95 % confidence
        intervals.
    rows : int
        Number of rows, N.
    log_likelihood : float
        Weighted sum over the rows, in nats.
    C : float
        Inverse strength of the penalty.
    """

    classes: Array
    reference: Any
    names: list[str]
    coef: Array
    standard_error: Array
    rows: int
    log_likelihood: float
    C: float

    @property
    def z(self) -> Array:
        """The z statistic, coefficient / standard error."""
        return self.coef / self.standard_error

    @property
    def p_value(self) -> Array:
        """The two-sided p-value of the hypothesis that the coefficient is 0."""
        return 2 * ndtr(-np.abs(self.z))

    @property
    def lower(self) -> Array:
        """The lower bound of the 95 % confidence interval."""
        return self.coef - ndtri(0.975) * self.standard_error

    @property
    def upper(self) -> Array:
        """The upper bound of the 95 % confidence interval."""
        return self.coef + ndtri(0.975) * self.standard_error

    def __repr__(self) -> str:
        """Return the table, 80 columns wide."""
        width = min(_LABEL_WIDTH, max(map(len, [*self.names, *map(str, self.classes)])) + 3)
        header = f"{'estimate':>10}{'std. error':>11}{'z':>8}{'P>|z|':>8}{'95 % from':>11}{'to':>11}"
        penalty = "no penalty" if np.isinf(self.C) else f"C={self.C:g}"
        lines = [
            f"Log-odds against class {self.reference!s}",
            f"{self.rows} rows, {len(self.classes) + 1} classes, {penalty}, log-likelihood {self.log_likelihood:.6g}",
        ]
        numbers = (self.coef, self.standard_error, self.z, self.p_value, self.lower, self.upper)
        for k, label in enumerate(self.classes):
            lines += ["", f"{_cut(str(label), width)}{header}"]
            for name, row in zip(self.names, zip(*(values[k] for values in numbers), strict=True), strict=True):
                estimate, error, z, p, lower, upper = row
                ratio = f"{z:.2f}" if abs(z) < 1000 else f"{z:.0e}"
                chance = "<0.001" if p < 0.001 else f"{p:.3f}"
                lines.append(
                    f"{_cut('  ' + name, width)}{estimate:>10.4g}{error:>11.4g}{ratio:>8}{chance:>8}"
                    f"{lower:>11.4g}{upper:>11.4g}"
                )
        return "\n".join(lines)


def _cut(label: str, width: int) -> str:
    return f"{label:<{width}}" if len(label) < width else f"{label[: width - 2]}… "
