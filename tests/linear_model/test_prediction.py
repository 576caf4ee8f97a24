"""Predictions and scores."""

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError

from softgrad.linear_model import SoftmaxRegression


def iris(classes=3):
    X, y = load_iris(return_X_y=True)
    return X[y < classes], y[y < classes]


def test_two_class_decision_is_the_difference_of_the_logits():
    X, y = iris(2)
    model = SoftmaxRegression().fit(X, y)
    probs = model.predict_proba(X)
    np.testing.assert_allclose(model.decision_function(X), np.log(probs[:, 1] / probs[:, 0]), rtol=1e-9)


@pytest.mark.parametrize("method", ["predict", "predict_proba", "predict_log_proba", "decision_function"])
def test_prediction_needs_a_fit_and_as_many_features(method):
    X, y = iris()
    with pytest.raises(NotFittedError, match="not fitted yet"):
        getattr(SoftmaxRegression(), method)(X)
    with pytest.raises(ValueError, match="X has 3 features, but SoftmaxRegression is expecting 4"):
        getattr(SoftmaxRegression().fit(X, y), method)(X[:, :3])


def test_score_counts_unknown_labels_as_wrong():
    X, y = iris()
    model = SoftmaxRegression().fit(X, y)
    right = model.score(X, y)
    strange = y.copy()
    strange[:30] = 9
    assert model.score(X, strange) == pytest.approx(np.mean(model.predict(X) == strange))
    assert model.score(X, strange) < right
    assert model.score(X, np.eye(3)[y]) == pytest.approx(right)
    weight = np.arange(len(y), dtype=float)
    assert model.score(X, y, weight) == pytest.approx(weight @ (model.predict(X) == y) / weight.sum())
