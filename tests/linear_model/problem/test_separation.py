"""Separable rows, which have no finite optimum without a penalty."""

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning

from softgrad.linear_model import SoftmaxRegression


def separable():
    X, y = load_iris(return_X_y=True)
    return X, np.minimum(y, 1)


def quasi_separable():
    """One value of the second column belongs to one class only; elsewhere the classes overlap."""
    x = np.array([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 1.0, 2.0, 3.0])
    flag = np.array([0, 0, 0, 0, 0, 0, 1, 1, 1])
    return np.column_stack([x, flag]), np.array([0, 1, 0, 1, 0, 1, 1, 1, 1])


@pytest.mark.parametrize("load", [separable, quasi_separable])
@pytest.mark.parametrize("tol", [1e-3, 1e-6])
def test_separable_rows_without_penalty_are_named_and_bounded(load, tol):
    X, y = load()
    with pytest.warns(ConvergenceWarning, match=r"the rows are separable: .* no finite optimum; .* write a finite C"):
        model = SoftmaxRegression(C=np.inf, tol=tol).fit(X, y)
    assert not model.converged_
    assert np.isfinite(model.coef_).all()
    assert np.abs(model.coef_).max() < 1e4
    assert model.score(X, y) >= 7 / 9
    assert SoftmaxRegression(C=100.0, tol=tol).fit(X, y).converged_


def test_complete_separation_is_seen_among_many_coefficients():
    X = np.random.default_rng(0).normal(size=(40, 600))  # more columns than rows: any labels are separable
    with pytest.warns(ConvergenceWarning, match="the rows are separable"):
        assert not SoftmaxRegression(C=np.inf).fit(X, np.arange(40) % 2).converged_


def test_rows_that_overlap_are_not_called_separable():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 3))
    y = (X[:, 0] + rng.logistic(size=80) > 0).astype(int)
    for tol in (1e-2, 1e-6):
        assert SoftmaxRegression(C=np.inf, tol=tol).fit(X, y).converged_
    soft = np.column_stack([0.9 - 0.8 * (X[:, 0] > 0), 0.1 + 0.8 * (X[:, 0] > 0)])
    assert SoftmaxRegression(C=np.inf).fit(X, soft).converged_
