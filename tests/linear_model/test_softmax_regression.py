import importlib
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.optimize
import scipy.sparse
import scipy.special
import threadpoolctl
from sklearn.datasets import load_iris, load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

import softgrad.linear_model
from softgrad.linear_model import SoftmaxRegression
from softgrad.linear_model._solvers._minimise import SOLVERS


def iris(classes=3):
    X, y = load_iris(return_X_y=True)
    return X[y < classes], y[y < classes]


def versicolor_and_virginica():
    X, y = iris()  # these two overlap: there is an optimum without a penalty
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


def test_float32_gives_the_coefficients_of_its_values_in_float64():
    X, y = iris()
    narrow = X.astype(np.float32)
    model, wide = SoftmaxRegression().fit(narrow, y), SoftmaxRegression(tol=1e-8).fit(narrow.astype(np.float64), y)
    assert model.converged_
    assert model.coef_.dtype == model.intercept_.dtype == np.float64
    # Logits in float32 move the gradient by 1e-7; the penalty's curvature 1/(C N) turns that into 1e-5.
    np.testing.assert_allclose(model.coef_, wide.coef_, atol=3e-4)
    np.testing.assert_allclose(model.predict_proba(narrow), model.predict_proba(narrow.astype(np.float64)), rtol=1e-13)


def test_a_common_offset_of_a_column_changes_the_intercept_alone():
    X, y = iris()
    offset = np.array([1e4, -1e4, 0.0, 1e5])
    # Rows that lie 1e5 from 0 carry rounding of 1e-11, and gradients of 1e-8: no tol below can be relied on.
    model, moved = SoftmaxRegression(tol=1e-8).fit(X, y), SoftmaxRegression(tol=1e-7).fit(X + offset, y)
    np.testing.assert_allclose(moved.coef_, model.coef_, atol=1e-5)
    np.testing.assert_allclose(moved.predict_proba(X + offset), model.predict_proba(X), atol=1e-5)


@pytest.mark.parametrize(
    "change, error, message",
    [
        (lambda X, y: (X, np.ones_like(y)), ValueError, "y holds one class only, 1; expected labels of at least two"),
        (lambda X, y: (X, np.array(["a"] * len(y))), ValueError, "one class only, 'a'"),
        (lambda X, y: (X, X[:, 0]), ValueError, "continuous"),
        (lambda X, y: (X, y[:-1]), ValueError, "inconsistent numbers of samples"),
        (lambda X, y: (X[0], y), ValueError, "1D array"),
        (lambda X, y: (X[:0], y[:0]), ValueError, "0 sample"),
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


def test_blas_keeps_its_threads_after_the_fit():
    def threads():
        return [(pool["filepath"], pool["num_threads"]) for pool in threadpoolctl.threadpool_info()]

    during = []
    X, y = iris()
    before = threads()
    SoftmaxRegression().fit(X, y, on_iteration=lambda *_: during.append(threadpoolctl.threadpool_info()))
    assert {pool["num_threads"] for pool in during[0] if pool["user_api"] == "blas"} <= {1}
    assert threads() == before


def test_threads_are_limited_while_the_fit_runs():
    during = []
    before = softgrad.get_num_threads()
    SoftmaxRegression(n_threads=1).fit(*iris(), on_iteration=lambda _: during.append(softgrad.get_num_threads()))
    assert set(during) == {1}
    assert softgrad.get_num_threads() == before
    with pytest.raises(ZeroDivisionError):
        SoftmaxRegression(n_threads=1).fit(*iris(), on_iteration=lambda _: 1 / 0)
    assert softgrad.get_num_threads() == before


@pytest.mark.parametrize("C", [1.0, np.inf])
def test_without_intercept(C):
    X, y = versicolor_and_virginica()
    model = SoftmaxRegression(C=C, fit_intercept=False, tol=1e-8).fit(X, y)
    _, gradient = summed_objective(np.column_stack([model.coef_, np.zeros(2)]).ravel(), X, y, C)
    assert np.abs(gradient.reshape(2, -1)[:, :-1]).max() < 1e-4
    np.testing.assert_array_equal(model.intercept_, 0.0)
    np.testing.assert_array_equal(model.predict(X), model.classes_[(X @ model.coef_.T).argmax(axis=1)])


@pytest.mark.parametrize("convert", [np.asarray, scipy.sparse.csr_array])
@pytest.mark.parametrize("solver", ["lbfgs", "newton-cg", "newton"])
def test_rows_of_weight_0_may_have_logits_beyond_float32(solver, convert):
    rng = np.random.default_rng(0)
    X, y = (1e-20 * rng.normal(size=(1000, 3))).astype(np.float32), rng.integers(0, 3, 1000)
    weight = np.arange(1000) % 7 > 0
    expected = SoftmaxRegression(solver=solver, C=1e42).fit(X[weight], y[weight])
    X[~weight] = 1e25
    model = SoftmaxRegression(solver=solver, C=1e42).fit(convert(X), y, sample_weight=weight)
    assert model.converged_
    np.testing.assert_allclose(model.coef_, expected.coef_, atol=1e-4 * abs(expected.coef_).max())


def test_weights_of_few_digits_are_refused():
    X, y = iris()
    with pytest.raises(ValueError, match=r"the largest sample_weight is 1e-320, a subnormal number .* multiply"):
        SoftmaxRegression().fit(X, y, sample_weight=np.full(len(y), 1e-320))


@pytest.mark.parametrize("convert", [np.asarray, scipy.sparse.csr_array])
def test_weights_may_be_as_large_or_small_as_their_sum_allows(convert):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(50, 2)), rng.integers(0, 2, 50)
    expected = SoftmaxRegression(C=np.inf).fit(X, y).predict_proba(X)
    for weight, scale in [(1e300, 1e5), (1e200, 1e60), (1e-200, 1e-80)]:
        model = SoftmaxRegression(C=np.inf).fit(convert(scale * X), y, np.full(50, weight))
        assert model.converged_
        np.testing.assert_allclose(model.predict_proba(scale * X), expected, atol=1e-6)


@pytest.mark.parametrize("class_weight, weight", [(None, 1e307), ({0: 1e300, 1: 1.0, 2: 1.0}, 1e100)])
def test_weights_beyond_the_largest_sum_are_refused(class_weight, weight):
    X, y = iris()
    for weights in (np.full(len(y), weight), np.where(y == 0, weight, 1.0)):
        with pytest.raises(ValueError, match="add up to more than the largest float64; multiply all weights"):
            SoftmaxRegression(class_weight=class_weight).fit(X, y, weights)


@pytest.mark.parametrize("solver", ["lbfgs", "newton-cg", "newton"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", ["one row", "light rows", "probabilities", "smoothed"])
def test_probabilities_of_a_rare_class_sum_to_what_it_weighs(kind, dtype, solver):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(5_000, 4)).astype(dtype), rng.integers(0, 2, 5_000)
    y[: 1 if kind == "one row" else 40] = 2
    weight = np.where(y == 2, 1e-2, 2.0) if kind == "light rows" else np.ones(len(X))
    smoothing = 1e-4 if kind == "smoothed" else 0.0
    target = (1 - smoothing) * np.eye(3)[y] + smoothing / 3
    if kind == "probabilities":
        target = rng.dirichlet([1, 1, 1e-4], len(X)) + [0, 0, 1e-7]
    model = SoftmaxRegression(solver=solver, label_smoothing=smoothing)
    model.fit(X, target if kind == "probabilities" else y, sample_weight=weight)
    assert model.converged_
    mass = target.sum(axis=1, keepdims=True) * weight[:, None]
    fitted = (mass * model.predict_proba(X).astype(np.float64)).sum(axis=0)
    np.testing.assert_allclose(fitted, weight @ target, rtol=3e-5 if dtype == np.float64 else 6e-5)


def test_label_smoothing_is_that_of_the_loss():
    X, y = iris()
    model = SoftmaxRegression(C=np.inf, label_smoothing=0.2, tol=1e-8).fit(X, y)  # finite, though separable
    assert model.converged_
    smooth = np.where(y[:, None] == np.arange(3), 0.8, 0.0) + 0.2 / 3
    g = model.predict_proba(X) - smooth
    assert np.abs(np.column_stack([g.T @ X, g.sum(axis=0)])).max() < 1e-4
    assert model.loss_ == pytest.approx(-np.sum(smooth * model.predict_log_proba(X)) / len(X), rel=1e-12)


@pytest.mark.parametrize("solver", ["lbfgs", "newton-cg", "newton"])
def test_every_solver_finds_the_same(solver):
    X, y = load_wine(return_X_y=True)
    model, other = SoftmaxRegression(solver=solver, tol=1e-8).fit(X, y), SoftmaxRegression(tol=1e-8).fit(X, y)
    assert model.solver_ == solver
    assert other.solver_ in ("lbfgs", "newton-cg", "newton")
    np.testing.assert_allclose(model.predict_proba(X), other.predict_proba(X), atol=1e-6)


def test_warm_start_begins_where_the_last_fit_ended():
    X, y = iris()
    model = SoftmaxRegression(warm_start=True, tol=1e-8).fit(X, y)
    coef, first = model.coef_.copy(), model.n_iter_
    model.fit(X, y)
    assert model.n_iter_ <= 1 < first
    np.testing.assert_allclose(model.coef_, coef, atol=1e-6)
    model.C = 1.1
    assert model.fit(X, y).n_iter_ < SoftmaxRegression(C=1.1, tol=1e-8).fit(X, y).n_iter_
    for other in [(X[:, :3], y), (X, np.array(["a", "b", "c"])[y])]:
        with pytest.raises(ValueError, match="warm_start=True: the model was fitted to 4 columns and the classes"):
            model.fit(*other)


@pytest.mark.parametrize(
    "convert",
    [
        np.asfortranarray,
        scipy.sparse.csr_array,
        scipy.sparse.csr_matrix,
        scipy.sparse.coo_array,
        lambda X: pd.DataFrame(X, columns=list("abcd")),
        lambda X: X.tolist(),
    ],
    ids=["fortran", "csr_array", "csr_matrix", "coo", "pandas", "list"],
)
def test_every_form_of_x_gives_the_same_model(convert):
    X, y = iris()
    model, plain = SoftmaxRegression(tol=1e-9).fit(convert(X), y), SoftmaxRegression(tol=1e-9).fit(X, y)
    np.testing.assert_allclose(model.coef_, plain.coef_, atol=1e-6)
    np.testing.assert_allclose(model.predict_proba(convert(X)), plain.predict_proba(X), atol=1e-6)


def test_a_memory_map_is_fitted_and_predicted(tmp_path):
    X, y = iris()
    np.save(tmp_path / "X.npy", X.astype(np.float32))
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    model = SoftmaxRegression().fit(mapped, y)
    np.testing.assert_array_equal(model.coef_, SoftmaxRegression().fit(X.astype(np.float32), y).coef_)
    np.testing.assert_array_equal(model.predict_proba(mapped), model.predict_proba(X.astype(np.float32)))


@pytest.mark.parametrize("frame", ["pandas", pytest.param("polars", marks=pytest.mark.needs("polars"))])
def test_columns_are_known_by_name(frame):
    frame = importlib.import_module(frame).DataFrame
    X, y = iris()
    table = frame({name: X[:, i] for i, name in enumerate("abcd")})
    model = SoftmaxRegression().fit(table, y)
    assert model.feature_names_in_.tolist() == list("abcd")
    np.testing.assert_array_equal(model.predict(table), SoftmaxRegression().fit(X, y).predict(X))
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(frame({name: X[:, i] for i, name in enumerate("abce")}))


def degenerate(X):
    constant, zero = np.full((len(X), 1), 7.0), np.zeros((len(X), 1))
    return np.hstack([X, constant, zero, X[:, :1]])


@pytest.mark.parametrize("solver", ["lbfgs", "newton-cg", "newton"])
@pytest.mark.parametrize("C", [1.0, np.inf])
def test_constant_zero_and_repeated_columns(C, solver):
    X, y = versicolor_and_virginica()
    model = SoftmaxRegression(C=C, tol=1e-9, solver=solver).fit(degenerate(X), y)
    assert model.converged_
    np.testing.assert_allclose(model.coef_[:, 4:6], 0.0, atol=1e-12)
    if np.isinf(C):
        plain = SoftmaxRegression(C=C, tol=1e-9).fit(X, y)
        np.testing.assert_allclose(model.predict_proba(degenerate(X)), plain.predict_proba(X), atol=1e-4)
    else:
        np.testing.assert_allclose(model.coef_[:, 6], model.coef_[:, 0], atol=1e-5)


def test_units_of_the_columns_do_not_change_what_converged_means():
    X, y = versicolor_and_virginica()
    units = np.array([1e6, 1e-6, 1.0, 1e3])
    plain = SoftmaxRegression(C=np.inf, tol=1e-8).fit(X, y)
    scaled = SoftmaxRegression(C=np.inf, tol=1e-8).fit(X * units, y)
    assert scaled.converged_
    np.testing.assert_allclose(scaled.coef_ * units, plain.coef_, rtol=1e-4)
    assert scaled.n_iter_ == pytest.approx(plain.n_iter_, abs=3)


def test_a_first_row_of_no_weight_changes_no_fit():
    X, y = iris()
    weight = np.ones(len(X))
    weight[0] = 0
    plain = SoftmaxRegression(tol=1e-8).fit(X[1:], y[1:])
    strange = X.copy()
    strange[0] = 1e10
    np.testing.assert_allclose(SoftmaxRegression(tol=1e-8).fit(strange, y, weight).coef_, plain.coef_, atol=1e-6)


@pytest.mark.parametrize("solver", ["auto", *SOLVERS])
def test_a_warm_start_may_come_from_other_labels(solver):
    X, y = iris()
    model = SoftmaxRegression(C=1e6, solver=solver, warm_start=True).fit(X, y)
    assert model.fit(X, (y + 1) % 3).converged_


@pytest.mark.parametrize("unit", [1e36, 4e37, 1e-38, 1e-42])
def test_float32_near_its_limits_is_fitted_or_refused_with_a_reason(unit):
    X, y = iris()
    X = ((X - X.mean(axis=0)) * unit).astype(np.float32)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            SoftmaxRegression().fit(X, y)
    except ValueError as error:
        assert str(error).startswith("X ")  # noqa: PT017 - it may also fit
