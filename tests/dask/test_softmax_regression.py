"""The estimator of softgrad.dask, which is that of softgrad.linear_model bit for bit."""

import dask.array as da
import numpy as np
import pytest

from softgrad import linear_model
from softgrad.dask import SoftmaxRegression

N, D, K = 5001, 7, 4


def rows_of(dtype=np.float64):
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(N, D)) * np.linspace(0.1, 5, D)).astype(dtype)
    return x, (x @ rng.normal(size=(D, K)) + rng.gumbel(size=(N, K)) * 3).argmax(axis=1)


@pytest.mark.parametrize("rows", [5001, 1000, 300, 512])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_coefficients_are_those_of_a_fit_in_memory(client, rows, dtype):
    x, y = rows_of(dtype)
    expected = linear_model.SoftmaxRegression(C=10.0, solver="lbfgs").fit(x, y)
    model = SoftmaxRegression(C=10.0, solver="lbfgs", client=client)
    model.fit(da.from_array(x, chunks=(rows, D)), da.from_array(y, chunks=rows))
    np.testing.assert_array_equal(model.coef_, expected.coef_)
    np.testing.assert_array_equal(model.intercept_, expected.intercept_)
    assert model.n_passes_ == expected.n_passes_
    assert [i[:3] for i in model.history_] == [i[:3] for i in expected.history_]
