"""Labels of any kind, class probabilities, and weights of rows and classes."""

import importlib
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.special
from sklearn.datasets import load_iris
from sklearn.exceptions import DataConversionWarning
from sklearn.utils.multiclass import check_classification_targets

from softgrad.linear_model import SoftmaxRegression
from softgrad.linear_model._problem._targets import encode_target

X, y = load_iris(return_X_y=True)
RNG = np.random.default_rng(0)
SOFT = RNG.dirichlet([1.0, 1.0, 1.0], size=len(X))


def fitted(target, weight=None, **options):
    return SoftmaxRegression(**{"tol": 1e-8, **options}).fit(X, target, weight)


def assert_same(model, other, atol=1e-6):
    np.testing.assert_allclose(model.coef_, other.coef_, atol=atol)
    np.testing.assert_allclose(model.intercept_, other.intercept_, atol=10 * atol)


def gradient(model, target, weight, C):
    """The gradient of the summed objective at the coefficients, from its definition."""
    logits = X @ model.coef_.T + model.intercept_
    mass = target.sum(axis=1, keepdims=True)
    g = weight[:, None] * (mass * scipy.special.softmax(logits, axis=1) - target)
    return np.column_stack([g.T @ X + model.coef_ / C, g.sum(axis=0)])


def test_one_hot_probabilities_are_labels():
    assert_same(fitted(np.eye(3)[y]), fitted(y), atol=1e-7)


@pytest.mark.parametrize("C", [0.1, 10.0, np.inf])
@pytest.mark.parametrize("scale", [1.0, 2.5], ids=["normalised", "scaled"])
def test_probabilities_minimise_their_own_cross_entropy(C, scale):
    target = SOFT * scale * RNG.uniform(0.5, 1.5, (len(X), 1)) if scale != 1 else SOFT
    weight = RNG.uniform(0.0, 2.0, len(X))
    model = fitted(target, weight, C=C)
    assert model.converged_
    assert model.classes_.tolist() == [0, 1, 2]
    assert np.abs(gradient(model, target, weight, C)).max() < 1e-4
    loss = -np.sum(weight[:, None] * target * model.predict_log_proba(X)) / weight.sum()
    assert model.loss_ == pytest.approx(loss, rel=1e-12)


def test_a_row_of_probabilities_is_as_many_weighted_labels():
    rows, labels = np.repeat(X, 3, axis=0), np.tile([0, 1, 2], len(X))
    assert_same(fitted(SOFT), SoftmaxRegression(tol=1e-8).fit(rows, labels, SOFT.ravel()))


def test_the_sum_of_a_row_acts_as_its_weight():
    weight = RNG.uniform(0.5, 2.0, len(X))
    assert_same(fitted(SOFT * weight[:, None]), fitted(SOFT, weight))


@pytest.mark.parametrize("frame", ["pandas", pytest.param("polars", marks=pytest.mark.needs("polars"))])
def test_the_columns_of_a_frame_of_probabilities_are_the_classes(frame):
    package = importlib.import_module(frame)
    table = package.DataFrame({"b": SOFT[:, 0], "c": SOFT[:, 1], "a": SOFT[:, 2]})
    model, plain = fitted(table), fitted(SOFT)
    assert model.classes_.tolist() == ["a", "b", "c"]
    np.testing.assert_allclose(model.coef_, plain.coef_[[2, 0, 1]], atol=1e-6)
    assert set(model.predict(X)) <= {"a", "b", "c"}
    assert model.score(X, table) == pytest.approx(plain.score(X, SOFT))


@pytest.mark.parametrize(
    "labels",
    [
        y.astype(bool),
        y.astype(np.int8) - 1,
        y.astype(float),
        np.array(["x", "y", "z"], object)[y],
        pd.Series(["x", "y", "z"])[y].astype("category"),
        pd.Series(y, dtype="Int64"),
        y.tolist(),
        pytest.param("polars", id="polars", marks=pytest.mark.needs("polars")),
    ],
    ids=lambda value: type(value).__name__ + str(getattr(value, "dtype", "")),
)
def test_labels_of_any_kind(labels):
    if isinstance(labels, str):
        labels = importlib.import_module("polars").Series(["x", "y", "z"]).gather(y)
    names, codes = np.unique(np.asarray(labels), return_inverse=True)
    model = fitted(labels)
    assert model.classes_.tolist() == names.tolist()
    np.testing.assert_array_equal(model.coef_, fitted(codes).coef_)
    np.testing.assert_array_equal(model.predict(X), names[fitted(codes).predict(X)])


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int64, np.uint64, ">i4", bool, np.float32, "U2"])
def test_labels_are_encoded_as_by_sorting(dtype):
    labels = np.append([-5, 89], np.random.default_rng(0).integers(-5, 90, 300)).astype(dtype)
    for array in (labels, labels[:20]):  # the second holds fewer labels than the range of the integers
        names, codes = np.unique(array, return_inverse=True)
        encoded = encode_target(array, len(array), "SoftmaxRegression")
        np.testing.assert_array_equal(encoded.names, names)
        np.testing.assert_array_equal(encoded.codes, codes)
        assert (encoded.names.dtype, encoded.codes.dtype) == (names.dtype, codes.dtype)


@pytest.mark.parametrize("dtype", [int, float, str])
@pytest.mark.parametrize("classes", [20, 21, 40])
def test_many_classes_give_the_warning_of_scikit_learn(classes, dtype):
    labels = (np.arange(40) % classes).astype(dtype)
    with warnings.catch_warnings(record=True) as expected:
        warnings.simplefilter("always")
        check_classification_targets(labels)
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("always")
        encode_target(labels, len(labels), "SoftmaxRegression")
    assert [str(warning.message) for warning in given] == [str(warning.message) for warning in expected]


def test_a_column_of_labels_is_taken_with_a_warning():
    with pytest.warns(DataConversionWarning, match=r"column-vector y .* y has shape \(150, 1\); write y.ravel"):
        model = fitted(y[:, None])
    np.testing.assert_array_equal(model.coef_, fitted(y).coef_)


@pytest.mark.parametrize("target", [y, SOFT], ids=["labels", "probabilities"])
def test_weights_count_as_repetitions(target):
    weight = np.random.default_rng(1).integers(0, 4, len(X))
    repeated = SoftmaxRegression(tol=1e-8).fit(np.repeat(X, weight, axis=0), np.repeat(target, weight, axis=0))
    weighted = fitted(target, weight)
    assert_same(weighted, repeated)
    assert weighted.objective_ == pytest.approx(repeated.objective_, rel=1e-9)


def test_the_unit_of_the_weights_is_the_unit_of_c():
    assert_same(fitted(y, np.full(len(X), 3.0)), fitted(y, C=3.0))


def test_rows_without_weight_are_absent():
    weight = (y != 1).astype(float)
    model, dropped = fitted(y, weight), SoftmaxRegression(tol=1e-8).fit(X[y != 1], y[y != 1])
    assert model.classes_.tolist() == [0, 2]
    assert_same(model, dropped)
    assert fitted(y, class_weight={1: 0.0}).classes_.tolist() == [0, 2]


def test_class_weights_multiply_the_rows():
    factors = {0: 0.5, 1: 2.0}
    weight = RNG.uniform(0.5, 1.5, len(X))
    by_hand = np.array([0.5, 2.0, 1.0])[y] * weight
    assert_same(fitted(y, weight, class_weight=factors), fitted(y, by_hand))
    assert_same(fitted(np.eye(3)[y], weight, class_weight=factors), fitted(y, by_hand))
    names = np.array(["a", "b", "c"])
    assert_same(fitted(names[y], weight, class_weight={"a": 0.5, "b": 2.0}), fitted(y, by_hand))


def test_balanced_classes_weigh_the_same():
    rows = np.r_[0:50, 50:70, 100:105]
    counts = np.array([50, 20, 5])
    weight = (len(rows) / (3 * counts))[y[rows]]
    for target in (y[rows], np.eye(3)[y[rows]]):
        model = SoftmaxRegression(class_weight="balanced", tol=1e-8).fit(X[rows], target)
        assert_same(model, SoftmaxRegression(tol=1e-8).fit(X[rows], y[rows], weight))
    # Weights count as repetitions here too.
    twice = np.where(y[rows] == 2, 2, 1)
    model = SoftmaxRegression(class_weight="balanced", tol=1e-8).fit(X[rows], y[rows], twice)
    again = np.repeat(rows, twice)
    assert_same(model, SoftmaxRegression(class_weight="balanced", tol=1e-8).fit(X[again], y[again]))


def changed(array, place, value):
    array = np.array(array, float)
    array[place] = value
    return array


@pytest.mark.parametrize(
    "target, message",
    [
        (None, "requires y to be passed, but the target y is None"),
        (np.zeros(150, int), "y holds one class only, 0; expected labels of at least two"),
        (np.full(150, "a"), "one class only, 'a'"),
        (y[:-1], "inconsistent numbers of samples: X has 150 rows, y 149; expected one label"),
        (X[:, 0], "continuous"),
        (changed(y, 7, np.nan), "y contains NaN"),
        (changed(y, 7, np.inf), "y contains infinity"),
        (np.array([*y[:-1], None], object), "y holds labels of types NoneType, int64; expected one kind"),
        (np.array([*y[:-1], "a"], object), "y holds labels of types int64, str; .* write y.astype"),
        (
            np.eye(3, dtype=int)[y],
            r"y has shape \(150, 3\) and dtype int64; .* y.argmax\(axis=1\) .* y.astype\(float\)",
        ),
        (SOFT[:, :, None], r"y has shape \(150, 3, 1\); expected \(N,\)"),
        (SOFT[:9], "X has 150 rows, y 9"),
        (changed(SOFT, (4, 1), -0.1), r"y\[4, 1\] is -0\.1; expected class probabilities of at least 0"),
        (changed(SOFT, (4, 1), np.nan), "y contains NaN"),
        (changed(SOFT, (4, 1), np.inf), "y contains infinity"),
        (changed(SOFT, 4, 0.0), r"y\[4\] holds only zeros; .* positive sum"),
        (
            changed(SOFT, (slice(None), 2), 0.0),
            "column 2 of y is 0 in every row .* drop the column, or .*label_smoothing",
        ),
        (pd.DataFrame(SOFT, columns=["a", "b", "a"]), r"columns of y are named \['a', 'b', 'a'\]; .* once"),
    ],
)
def test_bad_targets_are_refused(target, message):
    with pytest.raises(ValueError, match=message):
        fitted(target)


def test_smoothing_gives_a_class_without_probability_an_optimum():
    target = SOFT.copy()
    target[:, 2] = 0
    model = fitted(target, label_smoothing=0.1)
    assert model.converged_
    assert 0 < model.predict_proba(X)[:, 2].mean() < 0.1


@pytest.mark.parametrize(
    "weight, error, message",
    [
        (
            changed(np.ones(150), 3, -1.0),
            ValueError,
            r"sample_weight\[3\] is -1\.0; expected finite numbers of at least 0",
        ),
        (changed(np.ones(150), 3, np.nan), ValueError, r"sample_weight\[3\] is nan"),
        (changed(np.ones(150), 3, np.inf), ValueError, r"sample_weight\[3\] is inf"),
        (np.zeros(150), ValueError, "every sample_weight is zero"),
        ((y == 1).astype(float), ValueError, "one class only, 1; .* in rows of positive weight"),
        (np.ones(149), ValueError, r"sample_weight has shape \(149,\); expected \(150,\)"),
        (np.ones((150, 1)), ValueError, r"shape \(150, 1\)"),
        (2.0, ValueError, r"shape \(\)"),
        (np.full(150, "1"), TypeError, "sample_weight has dtype <U1; expected real numbers"),
    ],
)
def test_bad_weights_are_refused(weight, error, message):
    with pytest.raises(error, match=message):
        fitted(y, weight)
