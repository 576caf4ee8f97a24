"""Temperature scaling: one factor for the logits that calibrates the probabilities."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from softgrad import cross_entropy_hvp, cross_entropy_value_and_grad
from softgrad.linear_model._prediction import LinearSoftmax
from softgrad.linear_model._problem._targets import (
    check_sample_weight,
    encode_target,
    labels_or_probabilities,
    targets_for,
)

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from softgrad._targets import Targets
    from softgrad._typing import Array

# Beyond this range, probabilities are 0 and 1, or uniform, in all relevant digits.
_SMALLEST, _LARGEST = 1e-3, 1e3


class TemperatureScaling(LinearSoftmax):
    """Base of the estimator: `temperature_scale`."""

    def temperature_scale(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> Self:
        r"""Calibrate the probabilities by a temperature that minimises the cross-entropy of the given rows.

        .. math:: T = \arg\min_{T > 0} \sum_n s_n \operatorname{CE}((W x_n + b)/T,\; y_n)

        `decision_function`, `predict_proba` and `predict_log_proba` then divide the logits by T; `predict` and
        `score` do not change. `fit` and `partial_fit` reset T to 1.

        Parameters
        ----------
        X, y, sample_weight
            As for `fit`: rows that the model was not fitted to. Class weights and label smoothing do not apply.

        Returns
        -------
        SoftmaxRegression
            The fitted estimator, with ``temperature_``.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the model is not fitted.
        TypeError, ValueError
            As `fit`; also if y contains a label that is not a class of the model.

        Warns
        -----
        sklearn.exceptions.ConvergenceWarning
            If the loss has no minimum between 1e-3 and 1e3, for example because every row is classified correctly; T
            is then the end of that range.

        References
        ----------
        Guo, Pleiss, Sun & Weinberger, "On calibration of modern neural networks", ICML 2017, §4.2.

        Examples
        --------
        >>> from softgrad.linear_model import SoftmaxRegression
        >>> model = SoftmaxRegression(C=1e6).fit([[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1])
        >>> round(float(model.predict_proba([[1.2]])[0, 0]), 3)
        0.999
        >>> model = model.temperature_scale([[0.0], [1.2], [1.4], [1.4], [1.8], [3.0]], [0, 1, 0, 1, 1, 1])
        >>> round(float(model.predict_proba([[1.2]])[0, 0]), 3)
        0.659
        """
        logits = self._logits(X)
        weight = check_sample_weight(sample_weight, len(logits))
        targets = targets_for(encode_target(y, len(logits), type(self).__name__), weight, self.classes_)
        self.temperature_ = _best_temperature(logits, targets)
        return self


def _best_temperature(logits: Array, targets: Targets) -> float:
    r"""Return the T from 1e-3 to 1e3 that minimises Σ s_n CE(z_n / T, y_n).

    The sum is convex in β = 1/T, with derivatives Σ s_n zᵀ∇CE(βz) and Σ s_n zᵀ∇²CE(βz) z. Newton's method in β is
    safeguarded by bisection.
    """
    target = labels_or_probabilities(targets)

    def derivatives(beta: float) -> tuple[float, float]:
        _, gradient = cross_entropy_value_and_grad(beta * logits, target, reduction="none")
        curvature = cross_entropy_hvp(beta * logits, target, logits, reduction="none")
        return float(targets.row_weight @ (gradient * logits).sum(axis=1)), float(
            targets.row_weight @ (curvature * logits).sum(axis=1)
        )

    low, high = 1 / _LARGEST, 1 / _SMALLEST
    if derivatives(high)[0] <= 0:
        _warn(_SMALLEST, "decreases as the probabilities approach 0 and 1: nearly every row is classified correctly")
        return _SMALLEST
    if derivatives(low)[0] >= 0:
        _warn(_LARGEST, "decreases as the probabilities become uniform: the logits do not predict these labels")
        return _LARGEST
    beta = 1.0
    while True:
        slope, curvature = derivatives(beta)
        low, high = (beta, high) if slope < 0 else (low, beta)
        newton = beta - slope / curvature if curvature > 0 else np.inf
        after = newton if low < newton < high else np.sqrt(low * high)
        if abs(after - beta) <= 1e-12 * beta or slope == 0:
            return 1 / after
        beta = after


def _warn(bound: float, reason: str) -> None:
    warnings.warn(
        f"temperature_ is set to {bound:g}, the end of its range: the loss of these rows {reason}; use more rows, and "
        "rows that the model was not fitted to",
        ConvergenceWarning,
        stacklevel=4,
    )
