"""How well the data determine the coefficients: covariance and standard errors from the exact Hessian."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from softgrad.linear_model._coefficient_summary import Summary
from softgrad.linear_model._problem._separation import separates

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from softgrad.linear_model._problem._objective import Objective

    Array = NDArray[Any]

# Below, relative to a matrix of unit diagonal, an eigenvalue is what rounding leaves of zero.
_SINGULAR = 1e-12


class Inference(ABC):
    """What a fitted model says of its own coefficients."""

    C: float
    fit_intercept: bool
    coef_: Array
    intercept_: Array
    classes_: Array
    loss_: float

    @abstractmethod
    def _optimum(self) -> tuple[Objective, Array]:
        """The objective of the fit, and the point where it is least."""

    def covariance_(self) -> Array:
        """Return the covariance of the contrasts (W_k − W_0, b_k − b_0), k = 1 … K − 1.

        It is the inverse of the exact Hessian of the summed objective S · ``objective_``. Only contrasts are
        determined: adding one vector to all rows of W changes no probability.

        Returns
        -------
        ndarray of shape ((K − 1) P, (K − 1) P), float64
            Class by class, in each the D columns and then the intercept, P = D + 1 (or D without one).

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the model is not fitted.
        ValueError
            If the rows of the fit are not at hand (after `partial_fit`, a copy or a file) or have changed since, the
            rows are separable and there is no penalty, or the Hessian is singular.

        Notes
        -----
        With C=inf and labels it is the classical covariance of maximum likelihood, and ``sample_weight`` counts how
        often a row was seen. With a finite C it is that of the Gaussian (Laplace) approximation to the posterior
        under the prior that the penalty is, with variance C for every entry of W. The temperature plays no part.
        """
        objective, theta = self._optimum()
        if np.isinf(self.C) and separates(objective, theta):
            raise ValueError(
                "the rows are separable, and without a penalty the standard errors are infinite; fit with a finite C, "
                "or drop a column that gives the label away"
            )
        return covariance(objective, theta, self._column_names())

    def standard_errors_(self) -> Array:
        """Return the standard errors of the contrasts, shape (K − 1, P): the roots of `covariance_`'s diagonal.

        Raises as `covariance_`.
        """
        return np.sqrt(np.diag(self.covariance_())).reshape(len(self.classes_) - 1, -1)

    def summary(self) -> Summary:
        """Return the contrasts with standard errors, z, p-values and 95 % intervals; printed, a table.

        The log-odds of every class against the first are ``coef_[k] - coef_[0]``, and likewise the intercepts.
        Raises as `covariance_`.

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
        objective, _ = self._optimum()
        errors = self.standard_errors_()
        table = np.column_stack([self.coef_, self.intercept_]) if self.fit_intercept else self.coef_
        return Summary(
            classes=self.classes_[1:],
            reference=self.classes_[0],
            names=self._column_names(),
            coef=table[1:] - table[0],
            standard_error=errors,
            rows=objective.x.shape[0],
            log_likelihood=-self.loss_ * objective.total,
            C=float(self.C),
        )

    def _column_names(self) -> list[str]:
        names = getattr(self, "feature_names_in_", [f"x{i}" for i in range(self.coef_.shape[1])])
        return [*map(str, names), *(["intercept"] if self.fit_intercept else [])]


def covariance(objective: Objective, theta: Array, names: list[str]) -> Array:
    r"""The covariance of (W_k − W_0, b_k − b_0), k = 1 … K − 1, in the user's units, class by class.

    Adding one vector to all rows of Θ changes no probability, so only contrasts are determined. As functions of the
    contrasts β, with β_0 = 0 and the common vector at its best, the summed loss has the Hessian's block without the
    first class, and the penalty Σ_k ‖β_k‖² − ‖Σ_k β_k‖²/K.
    """
    K, columns = theta.shape
    D = len(objective.scale)
    information = objective.hessian(theta)[columns:, columns:] * objective.total
    shared = np.zeros(columns)
    shared[:D] = objective.penalty * objective.total / K
    information -= np.kron(np.ones((K - 1, K - 1)), np.diag(shared))
    variance = _inverse(information, names)
    to_user = np.eye(columns)
    to_user[:D, :D] /= objective.scale[:, None]
    if objective.fit_intercept:
        to_user[D, :D] = -objective.mean / objective.scale
    blocks = variance.reshape(K - 1, columns, K - 1, columns)
    return np.einsum("ia,kalb,jb->kilj", to_user, blocks, to_user, optimize=True).reshape(variance.shape)


def _inverse(information: Array, names: list[str]) -> Array:
    diagonal = np.diag(information).copy()
    flat = diagonal <= 0
    unit = 1 / np.sqrt(np.where(flat, 1.0, diagonal))
    scaled = information * unit[:, None] * unit
    eigenvalues, eigenvectors = np.linalg.eigh(scaled)
    if flat.any() or eigenvalues[0] < _SINGULAR * eigenvalues[-1]:
        # Constant columns first; else those that the vector without curvature is made of.
        share = flat.astype(float) if flat.any() else np.abs(eigenvectors[:, 0])
        of_columns = share.reshape(-1, len(names)).max(axis=0)
        involved = (of_columns > 0.1 * of_columns.max()).tolist()
        listed = [name for name, one in zip(names, involved, strict=True) if one]
        shown = ", ".join(map(repr, listed[:6])) + (f" and {len(listed) - 6} more" if len(listed) > 6 else "")
        raise ValueError(
            f"the Hessian is singular: the rows do not determine the coefficients of {shown} (constant, repeated or "
            "linearly dependent columns); drop such columns, or fit with a finite C"
        )
    inverse = cho_solve(cho_factor(scaled, lower=True), np.eye(len(scaled)))
    return inverse * unit[:, None] * unit
