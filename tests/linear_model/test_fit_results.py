"""Results of a fit, convergence warnings, and the rows that a model refers to."""

import pickle

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning

from softgrad import _core
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


@pytest.fixture
def calls(monkeypatch):
    """The names of the kernels called, in order."""
    names = []

    def recorded(name):
        kernel = getattr(_core, name)
        return lambda *arguments: names.append(name) or kernel(*arguments)

    for name in ("column_sums", "linear_head_gradient"):
        monkeypatch.setattr(_core, name, recorded(name))
    return names


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_dense_rows_are_read_once_before_the_first_iteration(calls, method):
    X, y = load_iris(return_X_y=True)
    options = {"classes": [0, 1, 2]} if method == "partial_fit" else {}
    getattr(SoftmaxRegression(), method)(X, y, sample_weight=np.arange(150.0), **options)
    assert calls.count("column_sums") == 1
    assert calls[1] == "linear_head_gradient"


@pytest.mark.parametrize("method", ["summary", "standard_errors", "covariance"])
def test_inference_evaluates_the_optimum_once(calls, method):
    model = SoftmaxRegression().fit(*load_iris(return_X_y=True))
    calls.clear()
    getattr(model, method)()
    assert calls == ["column_sums", "linear_head_gradient"]


@pytest.mark.parametrize("place", [(0, 1), (60, 3)])
@pytest.mark.parametrize("value, name", [(np.nan, "NaN"), (np.inf, "inf"), (1e101, "reaches")])
def test_values_in_rows_of_weight_0_are_checked_in_the_weighted_read(value, name, place):
    X, y = load_iris(return_X_y=True)
    weight = np.ones(150)
    weight[[0, 60]] = 0
    X[place] = value
    with pytest.raises(ValueError, match=rf"X(\[{place[0]}, {place[1]}\] is)? {name}"):
        SoftmaxRegression().fit(X, y, weight)
