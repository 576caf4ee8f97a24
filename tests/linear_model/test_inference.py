"""Covariances and standard errors: against numerical Hessians, statsmodels, and simulation-free identities."""

import numpy as np
import pandas as pd
import pytest
import scipy.special
from sklearn.datasets import load_iris

from softgrad.linear_model import SoftmaxRegression
from tests.overlapping import overlapping

RNG = np.random.default_rng(0)


def information(model, X, weight, C):
    """The Hessian of the summed objective in the contrasts, from its definition: loss, and penalty at its best."""
    if model.fit_intercept:
        X = np.column_stack([X, np.ones(len(X))])
        theta = np.column_stack([model.coef_, model.intercept_])
    else:
        theta = model.coef_
    K, P = theta.shape
    D = P - model.fit_intercept
    p = scipy.special.softmax(X @ theta.T, axis=1)
    full = np.zeros((K, P, K, P))
    for n in range(len(X)):
        J = np.diag(p[n]) - np.outer(p[n], p[n])
        full += weight[n] * np.einsum("kl,i,j->kilj", J, X[n], X[n])
    penalised = np.zeros(P)
    penalised[:D] = 1 / C
    block = full[1:, :, 1:, :].reshape((K - 1) * P, -1)
    return block + np.kron(np.eye(K - 1) - 1 / K, np.diag(penalised))


@pytest.mark.parametrize("C", [0.5, np.inf])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("classes", [2, 4])
def test_covariance_is_the_inverse_of_the_hessian(C, fit_intercept, classes):
    X, y = overlapping(classes=classes)
    X = (X - X.mean(axis=0)) / X.std(axis=0) + [0.0, 2.0, -1.0]
    weight = RNG.uniform(0.5, 2.0, len(X))
    model = SoftmaxRegression(C=C, fit_intercept=fit_intercept, tol=1e-8).fit(X, y, weight)
    expected = np.linalg.inv(information(model, X, weight, C))
    np.testing.assert_allclose(model.covariance(), expected, rtol=1e-6, atol=1e-8 * expected.max())
    np.testing.assert_allclose(model.standard_errors().ravel(), np.sqrt(np.diag(expected)), rtol=1e-6)
    assert model.standard_errors().shape == (classes - 1, 3 + fit_intercept)


@pytest.mark.needs("statsmodels")
@pytest.mark.parametrize("classes", [2, 3, 5])
def test_agreement_with_statsmodels(classes):
    from statsmodels.discrete import discrete_model as discrete  # noqa: PLC0415

    X, y = overlapping(600, classes)
    X = (X - X.mean(axis=0)) / X.std(axis=0) + [0.0, 3.0, -1.0]
    peer = discrete.MNLogit(y, np.column_stack([X, np.ones(len(X))])).fit(disp=0, tol=1e-12)
    model = SoftmaxRegression(C=np.inf, tol=1e-9).fit(X, y)
    summary = model.summary()
    np.testing.assert_allclose(summary.coef, peer.params.T, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(summary.standard_error, peer.bse.T, rtol=1e-6)
    np.testing.assert_allclose(summary.z, peer.tvalues.T, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(summary.p_value, peer.pvalues.T, rtol=1e-4, atol=1e-12)
    interval = peer.conf_int().reshape(classes - 1, -1, 2)
    np.testing.assert_allclose(np.stack([summary.lower, summary.upper], -1), interval, rtol=1e-5, atol=1e-6)
    assert summary.log_likelihood == pytest.approx(peer.llf, rel=1e-12)
    np.testing.assert_allclose(model.covariance(), peer.cov_params(), rtol=1e-5, atol=1e-8)


def test_covariance_follows_the_units_of_the_columns():
    X, y = overlapping()
    units = np.array([1e4, 1e-3, 1.0])
    one = SoftmaxRegression(C=np.inf, tol=1e-9).fit(X, y).standard_errors()
    other = SoftmaxRegression(C=np.inf, tol=1e-9).fit(X * units, y).standard_errors()
    np.testing.assert_allclose(other[:, :3] * units, one[:, :3], rtol=1e-5)
    np.testing.assert_allclose(other[:, 3], one[:, 3], rtol=1e-5)


def test_rows_seen_four_times_halve_the_errors():
    X, y = overlapping()
    once = SoftmaxRegression(C=np.inf, tol=1e-9).fit(X, y).standard_errors()
    often = SoftmaxRegression(C=np.inf, tol=1e-9).fit(X, y, np.full(len(X), 4.0)).standard_errors()
    np.testing.assert_allclose(often, once / 2, rtol=1e-6)


def test_a_strong_penalty_is_a_prior():
    X, y = overlapping(rows=30)
    model = SoftmaxRegression(C=1e-6, tol=1e-8).fit(X / [1, 20, 0.05], y)
    # The difference of two entries of W, each with prior variance C.
    np.testing.assert_allclose(model.standard_errors()[:, :3], np.sqrt(2e-6), rtol=1e-3)


def test_summary_is_a_table_of_80_columns():
    X, y = load_iris(return_X_y=True)
    frame = pd.DataFrame(X, columns=["sepal length (cm)", "sepal width (cm)", "petal length (cm)", "a" * 40])
    names = np.array(["setosa", "versicolor", "virginica"])
    model = SoftmaxRegression(C=2.0).fit(frame, names[y])
    summary = model.summary()
    lines = str(summary).splitlines()
    assert repr(summary) == str(summary)
    assert max(map(len, lines)) <= 80
    assert lines[0] == "Log-odds against class setosa"
    assert lines[1].startswith("150 rows, 3 classes, C=2, log-likelihood -")
    assert [line.split()[0] for line in lines if "std. error" in line] == ["versicolor", "virginica"]
    table = np.array([line[21:].replace("<0.001", "0").split() for line in lines if line.startswith("  ")], float)
    columns = (summary.coef, summary.standard_error, summary.z, summary.p_value, summary.lower, summary.upper)
    np.testing.assert_allclose(table, np.stack([c.ravel() for c in columns], -1), rtol=1e-3, atol=6e-3)
    assert sum(line.startswith("  intercept ") for line in lines) == 2
    assert summary.reference == "setosa"
    assert summary.names[-1] == "intercept"
    np.testing.assert_allclose(summary.coef[:, :-1], model.coef_[1:] - model.coef_[0])
    bare = SoftmaxRegression(fit_intercept=False).fit(X, y).summary()
    assert bare.names == ["x0", "x1", "x2", "x3"]


@pytest.mark.parametrize(
    "spoil, named",
    [
        (lambda X: np.column_stack([X, X[:, 0]]), "'x0', 'x3'"),
        (lambda X: np.column_stack([X, np.ones(len(X))]), "'x3'"),
        (lambda X: np.column_stack([X, np.zeros(len(X))]), "'x3'"),
    ],
    ids=["repeated", "constant", "zero"],
)
def test_columns_that_the_rows_do_not_determine_are_named(spoil, named):
    X, y = overlapping()
    X = spoil((X - X.mean(axis=0)) / X.std(axis=0))
    model = SoftmaxRegression(C=np.inf).fit(X, y)
    with pytest.raises(ValueError, match=rf"the Hessian is singular: .* coefficients of {named} \("):
        model.summary()
    assert np.isfinite(SoftmaxRegression(C=1.0).fit(X, y).standard_errors()).all()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_separable_rows_have_no_errors_without_penalty():
    X, y = load_iris(return_X_y=True)
    model = SoftmaxRegression(C=np.inf).fit(X, y > 0)
    with pytest.raises(ValueError, match="the rows are separable, and without a penalty the standard errors are inf"):
        model.standard_errors()


def test_rows_changed_since_the_fit_are_noticed():
    X, y = overlapping()
    model = SoftmaxRegression().fit(X, y)
    model.summary()
    X[:20] += 100
    with pytest.raises(ValueError, match="has changed since; call fit again"):
        model.summary()
    X[:20] -= 100
    model.set_params(C=0.01)
    with pytest.raises(ValueError, match="has changed since"):
        model.covariance()


def test_temperature_plays_no_part():
    X, y = overlapping()
    model = SoftmaxRegression().fit(X, y)
    before = model.covariance()
    model.temperature_ = 3.0
    np.testing.assert_array_equal(model.covariance(), before)
