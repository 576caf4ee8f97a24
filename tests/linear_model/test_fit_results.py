"""Results of a fit, convergence warnings, and the rows that a model refers to."""

import pickle

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning

from softgrad.linear_model import SoftmaxRegression


@pytest.mark.parametrize(
    "options, message",
    [
        ({"max_iter": 3}, "max_iter=3 reached .* raise max_iter"),
        ({"tol": 0.0}, "prevents a further decrease .* raise tol"),
    ],
)
def test_stopping_early_warns_and_is_recorded(options, message):
    X, y = load_iris(return_X_y=True)
    with pytest.warns(ConvergenceWarning, match=message):
        model = SoftmaxRegression(**options).fit(X, y)
    assert not model.converged_
    assert model.gradient_norm_ > model.tol
    assert model.predict(X).shape == y.shape


def test_a_copy_predicts_the_same_and_leaves_the_rows_behind():
    X, y = load_iris(return_X_y=True)
    model = SoftmaxRegression().fit(X, y)
    copied = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copied.predict_proba(X), model.predict_proba(X))
    assert not any(value is X or getattr(value, "shape", ()) == X.shape for value in vars(copied).values())
    assert len(pickle.dumps(model)) < X.nbytes + 8000 + 200 * model.n_iter_
    with pytest.raises(ValueError, match="rows of the fit are not available"):
        copied.summary()
