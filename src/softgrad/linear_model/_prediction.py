"""Predictions of a fitted linear softmax model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from softgrad import log_softmax, softmax
from softgrad.linear_model._problem._design_matrix import validate_rows
from softgrad.linear_model._problem._targets import check_sample_weight, class_indices, encode_target, targets_for

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from softgrad._typing import Array

# float32 rows are converted in blocks of this many numbers, to avoid a float64 copy of X.
_BLOCK_ELEMENTS = 1 << 20


class LinearSoftmax(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no type hints
    """Base of the estimators with ``coef_``, ``intercept_``, ``classes_`` and ``temperature_``."""

    coef_: Array
    intercept_: Array
    classes_: Array
    temperature_: float

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """Return the logits (W x + b)/T, shape (N, K), or for two classes their difference, shape (N,).

        As in scikit-learn, the difference is positive for the second class. T is ``temperature_``.

        Parameters
        ----------
        X : array_like, sparse matrix or frame of shape (N, D)
            The same columns as in `fit`.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If `fit` has not been called.
        ValueError
            If X has other columns than in `fit`, or contains NaN or infinity.
        """
        logits = self._scaled_logits(X)
        return logits[:, 1] - logits[:, 0] if len(self.classes_) == 2 else logits

    def predict(self, X: Any) -> Array:
        """Return the most probable class of every row, shape (N,). Raises as `decision_function`."""
        logits = self._logits(X)  # before classes_: raises NotFittedError
        return self.classes_[logits.argmax(axis=1)]

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Return the probability of every class, shape (N, K), in the order of ``classes_``.

        Raises as `decision_function`.
        """
        return softmax(self._scaled_logits(X))

    def predict_log_proba(self, X: Any) -> NDArray[np.float64]:
        """Return the logarithms of `predict_proba`, in nats; accurate also for probabilities near 0 and 1.

        Raises as `decision_function`.
        """
        return log_softmax(self._scaled_logits(X))

    def score(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> float:
        """Return the weighted accuracy.

        A label that is not a class of the model counts as an error. For class probabilities, return the fraction of
        their sum that belongs to the predicted classes.

        Parameters
        ----------
        X : array_like, sparse matrix or frame of shape (N, D)
            The same columns as in `fit`.
        y : array_like of shape (N,) or (N, K)
            Labels or class probabilities.
        sample_weight : array_like of shape (N,), optional
            Weights of at least 0; by default 1.

        Raises
        ------
        ValueError
            If y or sample_weight does not match X; and as `decision_function`.
        """
        predicted = self._logits(X).argmax(axis=1)
        correct, total = self._correct_weight(predicted, y, check_sample_weight(sample_weight, len(predicted)))
        return correct / total

    def _correct_weight(self, predicted: Array, y: Any, weight: Array) -> tuple[float, float]:
        """Return the weight of the rows whose class was predicted, and of all rows."""
        encoded = encode_target(y, len(predicted), type(self).__name__)
        if encoded.probabilities is None:
            correct = class_indices(encoded.names, self.classes_)[encoded.codes] == predicted
            return float(weight @ correct), float(weight.sum())
        probabilities = targets_for(encoded, weight, self.classes_).probabilities
        correct = weight @ probabilities[np.arange(len(predicted)), predicted]
        return float(correct), float(encoded.masses(weight).sum())

    def _scaled_logits(self, X: Any) -> Array:
        logits = self._logits(X)
        return logits if self.temperature_ == 1 else logits / self.temperature_

    def _logits(self, X: Any) -> Array:
        check_is_fitted(self)
        return self._logits_of(validate_rows(self, X, reset=False))

    def _logits_of(self, x: Any) -> Array:
        """Return the logits of validated rows."""
        W = self.coef_.T
        if x.dtype == np.float64:
            return np.asarray(x @ W) + self.intercept_
        logits = np.empty((x.shape[0], len(self.classes_)))
        rows = max(1, _BLOCK_ELEMENTS // max(x.shape[1], 1))
        for start in range(0, x.shape[0], rows):
            logits[start : start + rows] = x[start : start + rows].astype(np.float64) @ W
        return logits + self.intercept_

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
