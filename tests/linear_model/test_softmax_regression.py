import warnings

import numpy as np
import pytest
import scipy.optimize
import scipy.sparse
import scipy.special
import threadpoolctl
from sklearn.base import clone
from sklearn.datasets import load_iris, load_wine
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import estimator_checks_generator

import softgrad.linear_model
from softgrad.linear_model import SoftmaxRegression


def iris(classes=3):
    X, y = load_iris(return_X_y=True)
    return X[y < classes], y[y < classes]


def versicolor_and_virginica():
    X, y = load_iris(return_X_y=True)  # these two overlap: there is an optimum without a penalty
    return X[y > 0], y[y > 0]


def summed_objective(parameters, X, y, C):
    """The objective as in scikit-learn's guide, summed over rows, and its gradient."""
    classes = np.unique(y)
    table = parameters.reshape(len(classes), -1)
    W, b = table[:, :-1], table[:, -1]
    logits = X @ W.T + b
    one_hot = y[:, None] == classes
    value = np.sum(scipy.special.logsumexp(logits, axis=1) - logits[one_hot]) + np.sum(W * W) / (2 * C)
    g = scipy.special.softmax(logits, axis=1) - one_hot
    return value, np.column_stack([g.T @ X + W / C, g.sum(axis=0)]).ravel()


def parameters(model):
    return np.column_stack([model.coef_, model.intercept_]).ravel()


@pytest.mark.parametrize("C", [0.01, 1.0, 100.0])
@pytest.mark.parametrize("load", [iris, lambda: load_wine(return_X_y=True)], ids=["iris", "wine"])
def test_three_classes_agree_with_logistic_regression(load, C):
    X, y = load()
    X = StandardScaler().fit_transform(X)
    peer = LogisticRegression(C=C, solver="newton-cg", tol=1e-10, max_iter=1000).fit(X, y)
    model = SoftmaxRegression(C=C, tol=1e-9).fit(X, y)
    assert model.converged_
    # The Hessian's least eigenvalue is 1/(C N), so a gradient of 1e-9 leaves an error of at most 1e-9 C N.
    np.testing.assert_allclose(model.coef_, peer.coef_, rtol=0, atol=2e-9 * max(C, 1) * len(X))
    np.testing.assert_allclose(model.predict_proba(X), peer.predict_proba(X), atol=1e-6)
    ours, theirs = summed_objective(parameters(model), X, y, C)[0], summed_objective(parameters(peer), X, y, C)[0]
    assert ours <= theirs + 1e-10
    assert model.objective_ * len(X) == pytest.approx(ours, rel=1e-12)


@pytest.mark.parametrize("C", [0.1, 1.0, 10.0])
def test_two_classes_have_a_row_of_coefficients_each(C):
    X, y = versicolor_and_virginica()
    model = SoftmaxRegression(C=C, tol=1e-9).fit(X, y)
    start = np.zeros(2 * (X.shape[1] + 1))
    optimum = scipy.optimize.minimize(
        summed_objective, start, (X, y, C), jac=True, method="BFGS", options={"gtol": 1e-6, "maxiter": 2000}
    )
    assert model.coef_.shape == (2, X.shape[1])
    assert model.objective_ * len(X) == pytest.approx(optimum.fun, rel=1e-10)
    np.testing.assert_allclose(parameters(model), optimum.x, atol=1e-3)
    np.testing.assert_allclose(model.coef_[0], -model.coef_[1], atol=1e-10)
    peer = LogisticRegression(C=2 * C, solver="newton-cg", tol=1e-10, max_iter=1000).fit(X, y)
    np.testing.assert_allclose(model.coef_[1] - model.coef_[0], peer.coef_[0], atol=1e-5)


@pytest.mark.parametrize("C", [0.5, np.inf])
def test_gradient_is_zero_at_the_optimum(C):
    X, y = versicolor_and_virginica()
    model = SoftmaxRegression(C=C, tol=1e-9).fit(X, y)
    _, gradient = summed_objective(parameters(model), X, y, C)
    mean = np.abs(X.mean(axis=0)).max()
    assert np.abs(gradient).max() / len(X) <= 1e-9 * (1 + mean)
    assert model.gradient_norm_ <= 1e-9


def test_results_agree_with_the_coefficients():
    X, y = iris()
    model = SoftmaxRegression(C=2.0).fit(X, y)
    logits = X @ model.coef_.T + model.intercept_
    log_probs = scipy.special.log_softmax(logits, axis=1)
    assert model.loss_ == pytest.approx(-log_probs[np.arange(len(y)), y].mean(), rel=1e-12)
    assert model.objective_ == pytest.approx(model.loss_ + np.sum(model.coef_**2) / (2 * 2.0 * len(y)), rel=1e-12)
    np.testing.assert_allclose(model.decision_function(X), logits, rtol=1e-14)
    np.testing.assert_allclose(model.predict_log_proba(X), log_probs, rtol=1e-12)
    np.testing.assert_allclose(model.predict_proba(X), np.exp(log_probs), rtol=1e-12)
    np.testing.assert_array_equal(model.predict(X), logits.argmax(axis=1))
    assert model.score(X, y) == np.mean(logits.argmax(axis=1) == y)
    assert model.n_features_in_ == 4
    assert 1 <= model.n_iter_ <= 1000


def test_two_class_decision_is_the_difference_of_the_logits():
    X, y = iris(2)
    model = SoftmaxRegression().fit(X, y)
    probs = model.predict_proba(X)
    np.testing.assert_allclose(model.decision_function(X), np.log(probs[:, 1] / probs[:, 0]), rtol=1e-9)


@pytest.mark.parametrize(
    "names", [np.array(["c", "a", "b"]), np.array(["c", "a", "b"], object), np.array([7, -1, 300]), [2.0, 1.0, 0.0]]
)
def test_any_labels_give_the_same_model(names):
    X, y = iris()
    names = np.asarray(names)
    model, plain = SoftmaxRegression().fit(X, names[y]), SoftmaxRegression().fit(X, np.argsort(np.argsort(names))[y])
    np.testing.assert_array_equal(model.classes_, np.sort(names))
    np.testing.assert_array_equal(model.coef_, plain.coef_)
    np.testing.assert_array_equal(model.predict(X), np.sort(names)[plain.predict(X)])


def test_float32_is_fitted_in_float64():
    X, y = iris()
    narrow = X.astype(np.float32)
    model = SoftmaxRegression().fit(narrow, y)
    assert model.coef_.dtype == np.float64
    np.testing.assert_array_equal(model.coef_, SoftmaxRegression().fit(narrow.astype(np.float64), y).coef_)


def test_a_common_offset_of_a_column_changes_the_intercept_alone():
    X, y = iris()
    offset = np.array([1e4, -1e4, 0.0, 1e5])
    model, moved = SoftmaxRegression(tol=1e-8).fit(X, y), SoftmaxRegression(tol=1e-8).fit(X + offset, y)
    np.testing.assert_allclose(moved.coef_, model.coef_, atol=1e-5)
    np.testing.assert_allclose(moved.predict_proba(X + offset), model.predict_proba(X), atol=1e-5)


def test_on_iteration_follows_the_fit():
    X, y = iris()
    seen = []
    model = SoftmaxRegression().fit(X, y, on_iteration=lambda *state: seen.append(state))
    iterations, objectives, norms = zip(*seen, strict=True)
    assert iterations == tuple(range(1, model.n_iter_ + 1))
    assert all(np.diff(objectives) <= 0)
    assert objectives[-1] == pytest.approx(model.objective_, rel=1e-14)
    assert norms[-1] == pytest.approx(model.gradient_norm_, rel=1e-12)
    assert min(norms[:-1]) > model.tol >= norms[-1]


@pytest.mark.parametrize(
    "options, message",
    [({"max_iter": 3}, "max_iter=3 reached .* raise max_iter"), ({"tol": 0.0}, "no further decrease .* raise tol")],
)
def test_stopping_early_warns_and_is_recorded(options, message):
    X, y = iris()
    with pytest.warns(ConvergenceWarning, match=message):
        model = SoftmaxRegression(**options).fit(X, y)
    assert not model.converged_
    assert model.gradient_norm_ > model.tol
    assert model.predict(X).shape == y.shape


@pytest.mark.parametrize(
    "options, error, message",
    [
        ({"C": 0}, ValueError, r"C=0; expected a number above 0; write C=numpy\.inf"),
        ({"C": -1.0}, ValueError, r"C=-1\.0"),
        ({"C": np.nan}, ValueError, "C=nan"),
        ({"C": 1e-310}, ValueError, "C=1e-310"),
        ({"C": "strong"}, TypeError, "C='strong'"),
        ({"tol": -1.0}, ValueError, r"tol=-1\.0; expected a finite number of at least 0"),
        ({"tol": np.nan}, ValueError, "tol=nan"),
        ({"max_iter": 0}, ValueError, "max_iter=0; expected a positive integer"),
        ({"max_iter": 10.5}, TypeError, r"max_iter=10\.5; expected a positive integer"),
    ],
)
def test_bad_options_are_refused(options, error, message):
    with pytest.raises(error, match=message):
        SoftmaxRegression(**options).fit(*iris())


@pytest.mark.parametrize(
    "change, error, message",
    [
        (lambda X, y: (X, np.ones_like(y)), ValueError, "y holds one class only, 1; expected labels of at least two"),
        (lambda X, y: (X, np.array(["a"] * len(y))), ValueError, "one class only, 'a'"),
        (lambda X, y: (X, X[:, 0]), ValueError, "continuous"),
        (lambda X, y: (X, y[:-1]), ValueError, "inconsistent numbers of samples"),
        (lambda X, y: (X[0], y), ValueError, "1D array"),
        (lambda X, y: (X[:0], y[:0]), ValueError, "0 sample"),
        (lambda X, y: (scipy.sparse.csr_array(X), y), TypeError, "[Ss]parse"),
        (lambda X, y: (X * 1e307, y), ValueError, r"X reaches 7\.9e\+307; expected at most 1e\+100"),
    ],
)
def test_bad_data_is_refused(change, error, message):
    with pytest.raises(error, match=message):
        SoftmaxRegression().fit(*change(*iris()))


@pytest.mark.parametrize("value, name", [(np.nan, "NaN"), (np.inf, "inf"), (-np.inf, "-inf")])
def test_values_that_are_not_finite_are_refused_by_place(value, name):
    X, y = iris()
    model = SoftmaxRegression().fit(X, y)
    X[5, 2] = X[7, 0] = value
    message = rf"X\[5, 2\] is {name}; expected finite numbers; drop such rows"
    with pytest.raises(ValueError, match=message):
        SoftmaxRegression().fit(X, y)
    with pytest.raises(ValueError, match=message):
        model.predict(X)


@pytest.mark.parametrize("method", ["predict", "predict_proba", "predict_log_proba", "decision_function"])
def test_prediction_needs_a_fit_and_as_many_features(method):
    X, y = iris()
    with pytest.raises(NotFittedError, match="not fitted yet"):
        getattr(SoftmaxRegression(), method)(X)
    with pytest.raises(ValueError, match="X has 3 features, but SoftmaxRegression is expecting 4"):
        getattr(SoftmaxRegression().fit(X, y), method)(X[:, :3])


def test_blas_keeps_its_threads_after_the_fit():
    def threads():
        return [(pool["filepath"], pool["num_threads"]) for pool in threadpoolctl.threadpool_info()]

    during = []
    X, y = iris()
    before = threads()
    SoftmaxRegression().fit(X, y, on_iteration=lambda *_: during.append(threadpoolctl.threadpool_info()))
    assert {pool["num_threads"] for pool in during[0] if pool["user_api"] == "blas"} <= {1}
    assert threads() == before


def test_clone_keeps_the_options():
    assert clone(SoftmaxRegression(C=3.0, tol=1e-3, max_iter=7)).get_params() == {"C": 3.0, "tol": 1e-3, "max_iter": 7}


@pytest.mark.parametrize(
    "estimator, check",
    list(estimator_checks_generator(SoftmaxRegression())),
    ids=lambda value: getattr(getattr(value, "func", value), "__name__", ""),
)
def test_scikit_learn_estimator_check(estimator, check):
    with warnings.catch_warnings():
        # Some checks fit with max_iter small, or labels with which scikit-learn itself would warn.
        warnings.simplefilter("ignore")
        check(estimator)


def test_all_names_what_the_package_exports():
    assert sorted(softgrad.linear_model.__all__) == softgrad.linear_model.__all__
    for name in softgrad.linear_model.__all__:
        assert getattr(softgrad.linear_model, name).__doc__
