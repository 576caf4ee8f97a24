"""Sparse rows with columns that hold nothing: the same fit as without them, at the cost of their zeros."""

import tracemalloc

import numpy as np
import pytest
import scipy.sparse

from softgrad.linear_model import SoftmaxRegression

RNG = np.random.default_rng(0)
X = RNG.standard_normal((60, 5)) * (RNG.random((60, 5)) < 0.7)
Y = np.arange(60) % 3
USED = np.array([3, 70, 71, 400, 999])


def wide(rows, columns=1000, used=USED):
    found = scipy.sparse.lil_matrix((len(rows), columns))
    found[:, used] = rows
    return found.tocsr()


@pytest.mark.parametrize("options", [{}, {"fit_intercept": False}, {"solver": "lbfgs"}, {"solver": "newton-cg"}])
def test_the_model_is_that_of_the_columns_that_hold_something(options):
    expected = SoftmaxRegression(tol=1e-9, **options).fit(scipy.sparse.csr_matrix(X), Y)
    model = SoftmaxRegression(tol=1e-9, **options).fit(wide(X), Y)
    np.testing.assert_allclose(model.coef_[:, USED], expected.coef_, atol=1e-8)
    np.testing.assert_allclose(model.intercept_, expected.intercept_, atol=1e-8)
    assert not np.delete(model.coef_, USED, axis=1).any()
    assert (model.coef_.shape, model.n_features_in_) == ((3, 1000), 1000)
    np.testing.assert_allclose(model.predict_proba(wide(X)), expected.predict_proba(X), atol=1e-8)


def test_a_warm_start_goes_on_from_the_columns_used_now():
    model = SoftmaxRegression(warm_start=True, tol=1e-9).fit(wide(X, used=USED - 1), Y)
    before = model.n_iter_
    model.fit(wide(X), Y)
    cold = SoftmaxRegression(tol=1e-9).fit(wide(X), Y)
    np.testing.assert_allclose(model.coef_, cold.coef_, atol=1e-7)
    assert model.fit(wide(X), Y).n_iter_ < before
    with pytest.raises(ValueError, match=r"fitted to 1000 columns .* these rows have 2000 columns"):
        model.fit(wide(X, 2000), Y)


def test_rows_that_hold_nothing_have_the_intercept_alone():
    model = SoftmaxRegression(tol=1e-9).fit(scipy.sparse.csr_matrix((60, 9)), np.arange(60) % 4 // 3)
    assert not model.coef_.any()
    np.testing.assert_allclose(model.predict_proba(np.zeros((1, 9))), [[0.75, 0.25]], atol=1e-8)


def test_unused_columns_cost_their_coefficients():
    rows, columns = wide(X, 2 * 10**5), 2 * 10**5
    SoftmaxRegression().fit(rows, Y)
    tracemalloc.start()
    SoftmaxRegression().fit(rows, Y)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3 * (3 * columns * 8)
