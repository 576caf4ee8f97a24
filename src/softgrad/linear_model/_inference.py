"""Covariance and standard errors of the coefficients, from the exact Hessian."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from softgrad.linear_model._coefficient_summary import CoefficientSummary
from softgrad.linear_model._fit_results import FitResults
from softgrad.linear_model._problem._separation import is_separable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from softgrad._typing import Array
    from softgrad.linear_model._problem._objective import Objective

# An eigenvalue of a matrix of unit diagonal is 0 up to rounding if it is smaller, relative to the largest.
_SINGULAR = 1e-12


class Inference(FitResults):
    """Base of the estimator: `covariance`, `standard_errors` and `summary`."""

    def covariance(self) -> NDArray[np.float64]:
        """Return the covariance of the contrasts (W_k − W_0, b_k − b_0), k = 1 … K − 1.

        It is the inverse of the exact Hessian of the summed objective S · ``objective_``. Only contrasts are
        determined: adding one vector to all rows of W changes no probability.

        Returns
        -------
        ndarray of shape ((K − 1) P, (K − 1) P), float64
            Ordered by class, then by column with the intercept last; P = D + 1, or D without an intercept.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the model is not fitted.
        ValueError
            If the rows of the fit are not available (after `partial_fit`, in a copy or a loaded model) or have changed
            since, the rows are separable and there is no penalty, or the Hessian is singular.

        Notes
        -----
        With C=inf and labels this is the covariance of the maximum-likelihood estimate, with ``sample_weight`` as the
        frequency of each row. With a finite C it is the covariance of the Laplace approximation to the posterior; the
        penalty is a Gaussian prior with variance C for every entry of W. The temperature does not affect it.
        """
        return self._covariance(*self._objective_at_optimum())

    def standard_errors(self) -> NDArray[np.float64]:
        """Return the standard errors of the contrasts, shape (K − 1, P).

        They are the square roots of the diagonal of `covariance`, whose errors it raises.
        """
        return np.sqrt(np.diag(self.covariance())).reshape(len(self.classes_) - 1, -1)

    def summary(self) -> CoefficientSummary:
        """Return the contrasts with standard errors, z, p-values and 95 % intervals.

        The result prints as a table, notebooks show it as one, and its ``to_frame`` converts it to a data frame.

        The contrasts ``coef_[k] - coef_[0]`` and ``intercept_[k] - intercept_[0]`` are the coefficients of the log-odds
        of class k against the first class. Raises the errors of `covariance`.

        Examples
        --------
        >>> from softgrad.linear_model import SoftmaxRegression
        >>> X, y = [[0.0], [1.0], [2.0], [3.0], [4.0], [5.0]], ["no", "no", "yes", "no", "yes", "yes"]
        >>> print(SoftmaxRegression(C=float("inf")).fit(X, y).summary())
        Log-odds against class no
        6 rows, 2 classes, no penalty, log-likelihood -2.47799
        <BLANKLINE>
        yes           estimate std. error       z   P>|z|  95 % from         to
          x0             1.214     0.9126    1.33   0.183    -0.5746      3.003
          intercept     -3.035      2.546   -1.19   0.233     -8.025      1.954
        """
        objective, theta = self._objective_at_optimum()
        table = np.column_stack([self.coef_, self.intercept_]) if self.fit_intercept else self.coef_
        return CoefficientSummary(
            classes=self.classes_[1:],
            reference=self.classes_[0],
            names=self._column_names(),
            coef=table[1:] - table[0],
            standard_error=np.sqrt(np.diag(self._covariance(objective, theta))).reshape(table[1:].shape),
            rows=objective.rows.shape[0],
            log_likelihood=-self.loss_ * objective.total,
            C=float(self.C),
        )

    def _covariance(self, objective: Objective, theta: Array) -> Array:
        if np.isinf(self.C) and is_separable(objective, theta):
            raise ValueError(
                "the rows are separable, and without a penalty the standard errors are infinite; fit with a finite C, "
                "or drop a column that determines the label"
            )
        return _contrast_covariance(objective, theta, self._column_names())

    def _column_names(self) -> list[str]:
        names = getattr(self, "feature_names_in_", [f"x{i}" for i in range(self.coef_.shape[1])])
        return [*map(str, names), *(["intercept"] if self.fit_intercept else [])]


def _contrast_covariance(objective: Objective, theta: Array, names: list[str]) -> Array:
    r"""Return the covariance of (W_k − W_0, b_k − b_0), k = 1 … K − 1, in the units of X.

    As functions of the contrasts β, with β_0 = 0 and the optimal common vector, the summed loss has the Hessian's
    block without the first class, and the penalty is proportional to Σ_k ‖β_k‖² − ‖Σ_k β_k‖²/K.
    """
    K, columns = theta.shape
    D = len(objective.scale)
    information = objective.hessian(theta)[columns:, columns:] * objective.total
    common = np.zeros(columns)
    common[:D] = objective.penalty * objective.total / K
    information -= np.kron(np.ones((K - 1, K - 1)), np.diag(common))
    variance = _inverse(information, names)
    units = np.eye(columns)
    units[:D, :D] /= objective.scale[:, None]
    if objective.fit_intercept:
        units[D, :D] = -objective.mean / objective.scale
    blocks = variance.reshape(K - 1, columns, K - 1, columns)
    return np.einsum("ia,kalb,jb->kilj", units, blocks, units, optimize=True).reshape(variance.shape)


def _inverse(information: Array, names: list[str]) -> Array:
    diagonal = np.diag(information).copy()
    flat = diagonal <= 0
    unit = 1 / np.sqrt(np.where(flat, 1.0, diagonal))
    scaled = information * unit[:, None] * unit
    eigenvalues, eigenvectors = np.linalg.eigh(scaled)
    if flat.any() or eigenvalues[0] < _SINGULAR * eigenvalues[-1]:
        # Constant columns if there are any; else the columns of the eigenvector without curvature.
        entries = flat.astype(float) if flat.any() else np.abs(eigenvectors[:, 0])
        column_entries = entries.reshape(-1, len(names)).max(axis=0)
        involved = (column_entries > 0.1 * column_entries.max()).tolist()
        listed = [name for name, is_involved in zip(names, involved, strict=True) if is_involved]
        shown = ", ".join(map(repr, listed[:6])) + (f" and {len(listed) - 6} more" if len(listed) > 6 else "")
        raise ValueError(
            f"the Hessian is singular: the rows do not determine the coefficients of {shown} (constant, repeated or "
            "linearly dependent columns); drop such columns, or fit with a finite C"
        )
    inverse = cho_solve(cho_factor(scaled, lower=True), np.eye(len(scaled)))
    return inverse * unit[:, None] * unit
