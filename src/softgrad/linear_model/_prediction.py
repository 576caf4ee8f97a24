"""What a fitted linear softmax model says of rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from softgrad import log_softmax, softmax
from softgrad.linear_model._problem._design_matrix import validated
from softgrad.linear_model._problem._targets import among, labels_of, positions, row_weights

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[Any]

# Rows of float32 are converted this many numbers at a time, so that predicting never doubles X.
_CONVERTED = 1 << 20


class LinearSoftmax(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no type hints
    """Base of the estimators with ``coef_``, ``intercept_``, ``classes_`` and ``temperature_``."""

    coef_: Array
    intercept_: Array
    classes_: Array
    temperature_: float

    def decision_function(self, X: Any) -> Array:
        """Return the logits (W x + b)/T, shape (N, K); for two classes the second's less the first's, shape (N,).

        That is scikit-learn's convention: for two classes, positive means the second. T is ``temperature_``.

        Parameters
        ----------
        X : array_like, sparse matrix or frame of shape (N, D)
            Columns as in `fit`.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If `fit` has not been called.
        ValueError
            If X has other columns than in `fit`, or holds NaN or infinity.
        """
        logits = self._tempered(X)
        return logits[:, 1] - logits[:, 0] if len(self.classes_) == 2 else logits

    def predict(self, X: Any) -> Array:
        """Return the most probable class of every row, shape (N,). Raises as `decision_function`."""
        logits = self._logits(X)  # first: it says so if the model is not fitted
        return self.classes_[logits.argmax(axis=1)]

    def predict_proba(self, X: Any) -> Array:
        """Return the probability of every class, shape (N, K), in the order of ``classes_``.

        Raises as `decision_function`.
        """
        return softmax(self._tempered(X))

    def predict_log_proba(self, X: Any) -> Array:
        """Return the logarithms of `predict_proba`, in nats, accurate also where those are 0 or 1.

        Raises as `decision_function`.
        """
        return log_softmax(self._tempered(X))

    def score(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> float:
        """Return the part of the rows, by weight, whose predicted class is the label's.

        A label that is no class of the model counts as predicted wrongly. For a matrix of class probabilities it is
        their part that falls on the predicted classes.

        Parameters
        ----------
        X : array_like, sparse matrix or frame of shape (N, D)
            Columns as in `fit`.
        y : array_like of shape (N,) or (N, K)
            Labels or class probabilities.
        sample_weight : array_like of shape (N,), optional
            At least 0.

        Raises
        ------
        ValueError
            If y or sample_weight does not fit to X; and as `decision_function`.
        """
        best = self._logits(X).argmax(axis=1)
        labels = labels_of(y, len(best), type(self).__name__)
        weight = row_weights(sample_weight, len(best))
        if labels.probabilities is None:
            right = positions(labels.names, self.classes_)[labels.codes] == best
            return float(weight @ right / weight.sum())
        given = among(labels, weight, self.classes_).probabilities
        return float(weight @ given[np.arange(len(best)), best] / labels.masses(weight).sum())

    def _tempered(self, X: Any) -> Array:
        logits = self._logits(X)
        return logits if self.temperature_ == 1 else logits / self.temperature_

    def _logits(self, X: Any) -> Array:
        check_is_fitted(self)
        return self._logits_of(validated(self, X, reset=False))

    def _logits_of(self, x: Any) -> Array:
        """The logits of rows that are validated already."""
        W = self.coef_.T
        if x.dtype == np.float64:
            return np.asarray(x @ W) + self.intercept_
        logits = np.empty((x.shape[0], len(self.classes_)))
        rows = max(1, _CONVERTED // max(x.shape[1], 1))
        for start in range(0, x.shape[0], rows):
            logits[start : start + rows] = x[start : start + rows].astype(np.float64) @ W
        return logits + self.intercept_

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
