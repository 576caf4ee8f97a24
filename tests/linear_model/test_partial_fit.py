import pickle

import numpy as np
import pytest
import scipy.sparse
from sklearn.datasets import load_digits, load_iris
from sklearn.model_selection import train_test_split

from softgrad import cross_entropy
from softgrad._targets import Targets
from softgrad.linear_model import SoftmaxRegression, _partial_fit
from softgrad.linear_model._problem._objective import Objective
from softgrad.linear_model._problem._rows import LocalRows
from tests.overlapping import overlapping as rows_of_three_scales


def overlapping(rows=300):
    X, y = rows_of_three_scales(rows)
    return X / [1.0, 20.0, 0.05], y


def fitted_in_batches(model, X, y, batches, **options):
    for rows in np.array_split(np.arange(len(y)), batches):
        model.partial_fit(X[rows], y[rows], **options)
    return model


def held_out_loss(model, X, y):
    return float(-model.predict_log_proba(X)[np.arange(len(y)), y].mean())


@pytest.mark.parametrize("columns", [64, 120], ids=["whole curvature", "diagonal"])
def test_batches_of_digits_come_near_the_fit_to_all_rows(columns):
    X, y = load_digits(return_X_y=True)
    if columns > 64:  # products of pixels, so that there are more than 1000 coefficients
        X = np.column_stack([X, X[:, 10:38] * X[:, 11:39] / 16, X[:, 20:48] * X[:, 28:56] / 16])
    x_train, x_test, y_train, y_test = train_test_split(X / 16, y, test_size=0.3, random_state=0)
    full = SoftmaxRegression().fit(x_train, y_train)
    batched = fitted_in_batches(SoftmaxRegression(), x_train, y_train, 20, classes=range(10))
    first = SoftmaxRegression().partial_fit(x_train[:62], y_train[:62], classes=range(10))
    best, reached, start = (held_out_loss(model, x_test, y_test) for model in (full, batched, first))
    assert reached < best + 0.1 * (start - best)
    assert batched.score(x_test, y_test) > full.score(x_test, y_test) - 0.015


@pytest.mark.parametrize("C", [1.0, np.inf])
def test_many_rows_in_few_batches_give_the_coefficients_of_the_fit(C):
    X, y = overlapping(6000)
    full = SoftmaxRegression(C=C).fit(X, y)
    batched = fitted_in_batches(SoftmaxRegression(C=C), X, y, 6, classes=[0, 1, 2])
    errors = full.standard_errors()[:, :3]
    contrast = (batched.coef_ - batched.coef_[0] - full.coef_ + full.coef_[0])[1:]
    assert np.abs(contrast / errors).max() < 0.25  # in standard errors of the fit itself


@pytest.mark.parametrize("fit_intercept", [True, False])
def test_one_batch_is_a_fit(fit_intercept):
    X, y = overlapping()
    options = {"fit_intercept": fit_intercept, "tol": 1e-6}
    batched = SoftmaxRegression(**options).partial_fit(X, y, classes=[0, 1, 2])
    full = SoftmaxRegression(**options).fit(X, y)
    # They differ only by the weak prior on b.
    np.testing.assert_allclose(batched.predict_proba(X), full.predict_proba(X), atol=1e-4)


def test_after_a_fit_its_rows_are_the_first_batch():
    X, y = overlapping(4000)
    full = SoftmaxRegression().fit(X, y)
    model = SoftmaxRegression().fit(X[:2000], y[:2000])
    half = held_out_loss(model, X[2000:], y[2000:])
    model.partial_fit(X[2000:], y[2000:])
    assert abs(held_out_loss(model, X, y) - full.loss_) < 1e-5 < half
    np.testing.assert_allclose(model.predict_proba(X), full.predict_proba(X), atol=0.01)
    with pytest.raises(ValueError, match="rows of the fit are not available"):
        pickle.loads(pickle.dumps(SoftmaxRegression().fit(X, y))).partial_fit(X, y)


def test_after_a_fit_that_left_coefficients_open():
    X, y = overlapping()
    X = np.column_stack([X, np.zeros(len(X))])  # no curvature, and no penalty that would give it one
    model = SoftmaxRegression(C=np.inf).fit(X[:200], y[:200]).partial_fit(X[200:], y[200:])
    assert model.converged_
    assert np.isfinite(model.coef_).all()


def test_the_objective_is_per_unit_of_all_weight_so_far():
    X, y = overlapping(900)
    model = fitted_in_batches(SoftmaxRegression(), X, y, 9, classes=[0, 1, 2])
    assert model.loss_ / 9 < model.objective_ < model.loss_ / 8


@pytest.mark.parametrize("form", [np.asarray, scipy.sparse.csr_array], ids=["dense", "sparse"])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_the_diagonal_is_that_of_the_hessian(form, fit_intercept):
    X, y = rows_of_three_scales()
    weight = np.random.default_rng(0).uniform(0, 2, len(y))
    mean, scale = X.mean(axis=0) + 0.5, X.std(axis=0)
    rows = LocalRows(form(X), Targets(3, y, None, row_weight=weight))
    objective = Objective(rows, C=np.inf, fit_intercept=fit_intercept, mean=mean, scale=scale)
    theta = np.random.default_rng(1).normal(size=objective.shape)
    if not fit_intercept:
        theta[:, 1:] /= 20  # those columns are far from 0
    expected = objective.total * np.diag(objective.hessian(theta)).reshape(theta.shape)
    np.testing.assert_allclose(_partial_fit._diagonal(objective, theta), expected, rtol=1e-8)


def test_partial_fit_continues_after_a_pickle():
    X, y = load_iris(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))
    X, y = X[order], y[order]
    straight = fitted_in_batches(SoftmaxRegression(), X, y, 5, classes=[0, 1, 2])
    model = SoftmaxRegression()
    for rows in np.array_split(np.arange(len(y)), 5):
        model = pickle.loads(pickle.dumps(model.partial_fit(X[rows], y[rows], classes=[0, 1, 2])))
    np.testing.assert_array_equal(model.coef_, straight.coef_)


@pytest.mark.parametrize("C", [1.0, np.inf])
def test_batches_without_some_classes_stay_finite(C):
    X, y = load_iris(return_X_y=True)
    model = fitted_in_batches(SoftmaxRegression(C=C), X, y, 3, classes=[0, 1, 2])  # the rows are sorted by class
    assert np.isfinite(model.coef_).all()
    assert np.abs(model.coef_).max() < 1e3
    order = np.random.default_rng(0).permutation(len(y))
    assert fitted_in_batches(SoftmaxRegression(C=C), X[order], y[order], 30, classes=[0, 1, 2]).score(X, y) > 0.9


def test_weights_classes_and_probabilities():
    X, y = overlapping()
    weight = np.random.default_rng(0).integers(0, 3, len(y))
    options = {"classes": [0, 1, 2]}
    weighted = SoftmaxRegression(tol=1e-6).partial_fit(X, y, sample_weight=weight, **options)
    repeated = SoftmaxRegression(tol=1e-6).partial_fit(np.repeat(X, weight, axis=0), np.repeat(y, weight), **options)
    soft = SoftmaxRegression(tol=1e-6).partial_fit(X, np.eye(3)[y], sample_weight=weight)
    np.testing.assert_allclose(weighted.predict_proba(X), repeated.predict_proba(X), atol=1e-5)
    np.testing.assert_allclose(soft.predict_proba(X), weighted.predict_proba(X), atol=1e-5)
    named = SoftmaxRegression(class_weight={"a": 2.0}).partial_fit(X, np.array(["c", "b", "a"])[y], classes=list("cab"))
    assert named.classes_.tolist() == ["a", "b", "c"]
    factor = np.where(y == 2, 2.0, 1.0)
    assert named.loss_ == pytest.approx(
        factor @ cross_entropy(named._logits(X), 2 - y, reduction="none") / factor.sum(), rel=1e-9
    )


@pytest.mark.parametrize(
    "options, arguments, message",
    [
        ({}, {}, r"classes is missing at the first call of partial_fit; .* write classes=\[0, 1, 2\]"),
        ({}, {"classes": [0, 1]}, r"y\[\d+\] is 2, which is not a class of this model; expected one of \[0, 1\]"),
        ({}, {"classes": [0]}, r"classes=\[0\] names 1 class; expected at least two"),
        ({"class_weight": "balanced"}, {"classes": [0, 1, 2]}, "class_weight='balanced' needs all rows at once"),
        ({"C": 0}, {"classes": [0, 1, 2]}, "C=0; expected a number above 0"),
    ],
)
def test_bad_first_calls_are_refused(options, arguments, message):
    X, y = overlapping()
    with pytest.raises(ValueError, match=message):
        SoftmaxRegression(**options).partial_fit(X, y, **arguments)


def test_later_batches_are_held_to_the_first():
    X, y = overlapping()
    model = SoftmaxRegression().partial_fit(X, y, classes=[0, 1, 2])
    before = model.coef_.copy()
    with pytest.raises(ValueError, match=r"classes=\[0, 1\]; expected \[0, 1, 2\], as in the first call"):
        model.partial_fit(X, y, classes=[0, 1])
    with pytest.raises(ValueError, match="X has 2 features, but SoftmaxRegression is expecting 3"):
        model.partial_fit(X[:, :2], y)
    with pytest.raises(ValueError, match="y has 2 columns; expected 3"):
        model.partial_fit(X, np.full((len(y), 2), 0.5))
    np.testing.assert_array_equal(model.coef_, before)
    with pytest.raises(ValueError, match="rows of the fit are not available"):
        model.summary()
