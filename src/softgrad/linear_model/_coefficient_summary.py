"""Coefficients with standard errors, tests and confidence intervals, as arrays and as a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import ndtr, ndtri

from softgrad import _pages

if TYPE_CHECKING:
    import pandas as pd

    from softgrad._typing import Array

_LABEL_WIDTH = 80 - 59
_HEADER = ["estimate", "std. error", "z", "P>|z|", "95 % from", "to"]


@dataclass(frozen=True, eq=False)
class CoefficientSummary:
    """Coefficients of the log-odds of every class against the first, with standard errors.

    ``print`` shows a table. Notebooks show it as HTML if Jinja2 is installed (``pip install jinja2``), and as text
    otherwise.

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

    def to_frame(self) -> pd.DataFrame:
        """Return a pandas data frame with a row for every class and column.

        Returns
        -------
        pandas.DataFrame
            Columns ``coef``, ``standard_error``, ``z``, ``p_value``, ``lower`` and ``upper``, float64. The index has
            the levels ``class``, in the order of `classes`, and ``column``, in the order of `names`.

        Raises
        ------
        ModuleNotFoundError
            If pandas is not installed.

        Examples
        --------
        >>> from softgrad.linear_model import SoftmaxRegression
        >>> X, y = [[0.0], [1.0], [2.0], [3.0], [4.0], [5.0]], ["no", "no", "yes", "no", "yes", "yes"]
        >>> frame = SoftmaxRegression(C=float("inf")).fit(X, y).summary().to_frame()
        >>> frame.loc["yes", "p_value"].round(3).to_dict()
        {'x0': 0.183, 'intercept': 0.233}
        """
        try:
            import pandas as pd  # noqa: PLC0415
        except ModuleNotFoundError as error:
            if error.name != "pandas":
                raise
            raise ModuleNotFoundError(
                "to_frame needs pandas, which is not installed; write pip install pandas", name="pandas"
            ) from None
        index = pd.MultiIndex.from_product([self.classes.tolist(), self.names], names=["class", "column"])
        statistics = ("coef", "standard_error", "z", "p_value", "lower", "upper")
        return pd.DataFrame({name: getattr(self, name).ravel() for name in statistics}, index=index)

    def __repr__(self) -> str:
        """Return the table as text, 80 columns wide."""
        width = min(_LABEL_WIDTH, max(map(len, [*self.names, *map(str, self.classes)])) + 3)
        lines = [self._title(), self._facts()]
        for k, label in enumerate(self.classes):
            lines += ["", f"{_cut(str(label), width)}{_aligned(_HEADER)}"]
            lines += [f"{_cut('  ' + name, width)}{_aligned(cells)}" for name, cells in self._rows(k)]
        return "\n".join(lines)

    def _repr_html_(self) -> str | None:
        """Return the table as HTML for a notebook; None without Jinja2, for which a notebook shows the text."""
        try:
            return _pages.render(
                "coefficients.html",
                title=self._title(),
                facts=self._facts(),
                header=_HEADER,
                classes=[(str(label), self._rows(k)) for k, label in enumerate(self.classes)],
            )
        except ModuleNotFoundError as error:
            if error.name != "jinja2":
                raise
            return None

    def _title(self) -> str:
        return f"Log-odds against class {_printable(str(self.reference))}"

    def _facts(self) -> str:
        penalty = "no penalty" if np.isinf(self.C) else f"C={self.C:g}"
        return f"{self.rows} rows, {len(self.classes) + 1} classes, {penalty}, log-likelihood {self.log_likelihood:.6g}"

    def _rows(self, k: int) -> list[tuple[str, list[str]]]:
        """Return the name of every column, and its numbers for class k + 1, in the order of the header."""
        numbers = (self.coef, self.standard_error, self.z, self.p_value, self.lower, self.upper)
        rows = zip(*(values[k] for values in numbers), strict=True)
        return [(name, _formatted(*row)) for name, row in zip(self.names, rows, strict=True)]


def _formatted(estimate: float, error: float, z: float, p: float, lower: float, upper: float) -> list[str]:
    ratio = f"{z:.2f}" if abs(z) < 1000 else f"{z:.0e}"
    chance = "<0.001" if p < 0.001 else f"{p:.3f}"
    return [f"{estimate:.4g}", f"{error:.4g}", ratio, chance, f"{lower:.4g}", f"{upper:.4g}"]


def _aligned(cells: list[str]) -> str:
    return "".join(f"{cell:>{width}}" for cell, width in zip(cells, (10, 11, 8, 8, 11, 11), strict=True))


def _cut(label: str, width: int) -> str:
    label = _printable(label)
    return f"{label:<{width}}" if len(label) < width else f"{label[: width - 2]}… "


def _printable(label: str) -> str:
    """Replace newlines and the like, which would break a row of the table in two."""
    return "".join(character if character.isprintable() else "\ufffd" for character in label)
