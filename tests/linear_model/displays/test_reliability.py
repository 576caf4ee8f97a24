"""Reliability diagrams of any number of classes."""

import sys

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import CalibrationDisplay
from sklearn.exceptions import NotFittedError
from sklearn.metrics import ConfusionMatrixDisplay, confusion_matrix
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from softgrad.cli._metrics import evaluation
from softgrad.linear_model import ReliabilityDisplay, SoftmaxRegression
from tests.overlapping import overlapping

X, Y = overlapping(200)
NAMES = np.array(["low", "mid", "top"])
P = [[0.9, 0.1], [0.7, 0.3], [0.2, 0.8], [0.45, 0.55]]


@pytest.fixture(scope="module")
def model():
    return SoftmaxRegression().fit(X[:100], NAMES[Y[:100]])


def bars(ax):
    return [[(bar.get_x(), bar.get_y(), bar.get_height()) for bar in group] for group in ax.containers]


def test_the_numbers_are_those_of_the_report(model):
    display = ReliabilityDisplay.from_estimator(model, X[100:], NAMES[Y[100:]])
    found = evaluation(model._logits(X[100:]), Y[100:], NAMES)
    np.testing.assert_array_equal(display.edges, found.calibration.edges)
    np.testing.assert_array_equal(display.rows, found.calibration.rows)
    np.testing.assert_allclose(display.confidence, found.calibration.confidence, rtol=1e-14)
    np.testing.assert_array_equal(display.accuracy, found.calibration.accuracy)
    assert display.calibration_error == pytest.approx(found.calibration_error, rel=1e-12)
    assert found.calibration_error > 0.02


def test_bars_by_hand():
    display = ReliabilityDisplay.from_predictions(["a", "b", "b", "a"], P, n_bins=4)
    # Bin (0.5, 0.75] holds 0.7 and 0.55, both wrong; bin (0.75, 1] holds 0.9 and 0.8, both right.
    assert display.rows.tolist() == [0, 0, 2, 2]
    np.testing.assert_allclose(display.confidence, [np.nan, np.nan, 0.625, 0.85])
    accuracy, excess, lack = bars(display.ax_)
    np.testing.assert_allclose(accuracy, [(0.5, 0, 0), (0.75, 0, 1)])
    np.testing.assert_allclose(excess, [(0.5, 0, 0.625), (0.75, 1, 0)])
    np.testing.assert_allclose(lack, [(0.5, 0, 0), (0.75, 0.85, 0.15)])
    np.testing.assert_allclose(bars(display.ax_hist_), [[(0.5, 0, 0.5), (0.75, 0, 0.5)]])
    assert display.calibration_error == pytest.approx((0.625 + 0.15) / 2)
    assert [text.get_text() for text in display.ax_.get_legend().get_texts()] == [
        "accuracy", "too confident", "not confident enough",
    ]  # fmt: skip
    assert list(display.bars_) == list(display.ax_.containers[0])
    assert display.figure_ is plt.gcf()


def test_axes_of_the_user(model):
    _, (ax, ax_hist) = plt.subplots(1, 2)
    display = ReliabilityDisplay.from_estimator(model, X, NAMES[Y], ax=ax, alpha=0.5)
    assert (display.ax_, display.ax_hist_, display.figure_) == (ax, None, ax.figure)
    assert display.bars_[0].get_alpha() == 0.5
    assert ax.get_xlabel().startswith("confidence")
    assert display.plot(ax, ax_hist=ax_hist).ax_hist_ is ax_hist
    with pytest.raises(ValueError, match=r"^ax_hist is given without ax; expected both, or neither"):
        display.plot(ax_hist=ax_hist)


@pytest.mark.parametrize(
    "y_true, y_prob, options",
    [
        ([1, 0, 0, 1], P, {"labels": [1, 0]}),
        (np.eye(2)[[0, 1, 1, 0]], np.array(P, np.float32), {}),
        (pd.Series(["a", "b", "b", "a"]), pd.DataFrame(P), {"labels": np.array(["a", "b"])}),
        ([False, True, True, False], np.array(P, np.float16), {}),
    ],
    ids=["order of labels", "class probabilities", "series", "booleans"],
)
def test_labels_and_probabilities_of_every_kind(y_true, y_prob, options):
    display = ReliabilityDisplay.from_predictions(y_true, y_prob, n_bins=4, **options)
    np.testing.assert_array_equal(display.accuracy, [np.nan, np.nan, 0, 1])


def test_styles_have_their_short_names():
    display = ReliabilityDisplay.from_predictions([0, 1], [[0.9, 0.1], [0.2, 0.8]], ec="red", lw=3)
    assert display.bars_[0].get_edgecolor() == (1, 0, 0, 1)


def test_a_class_without_rows_and_one_hot_integers():
    display = ReliabilityDisplay.from_predictions([0, 2, 2], np.eye(3, dtype=int)[[0, 2, 1]], labels=[0, 1, 2])
    assert display.accuracy[-1] == pytest.approx(2 / 3)


@pytest.mark.filterwarnings("error")
def test_few_rows_of_many_classes():
    # scikit-learn warns about more than half as many classes as rows, from 20 rows on.
    ReliabilityDisplay.from_predictions(np.arange(30), np.full((30, 30), 1 / 30))


@pytest.mark.parametrize(
    "y_true, y_prob, options, error, message",
    [
        ([0, 1], [0.2, 0.8], {}, ValueError, r"y_prob has shape \(2,\); .* write np.column_stack\(\[1 - p, p\]\)"),
        ([], np.empty((0, 2)), {}, ValueError, r"y_prob has shape \(0, 2\); expected at least one row"),
        ([0], P, {}, ValueError, r"y_true has shape \(1,\), y_prob \(4, 2\); expected a label for every row"),
        (0, P, {}, ValueError, r"y_true has shape \(\), y_prob \(4, 2\)"),
        ([0, 0, 0, 0], P, {}, ValueError, r"the labels are \[0\], and y_prob has 2 columns; .* labels=model.classes_"),
        ([0, 1, 2, 0], P, {}, ValueError, r"the labels are \[0, 1, 2\], and y_prob has 2 columns"),
        ([0, 1, 0, 0], P, {"labels": [1, 1]}, ValueError, r"the labels are \[1, 1\], and y_prob has 2 columns"),
        ([0, 1, 0, 7], P, {"labels": [0, 1]}, ValueError, r"y_true has labels \[7\] that are not in labels=\[0, 1\]"),
        (["0", "1", "0", "1"], P, {"labels": [0, 1]}, ValueError, r"y_true has labels \['0', '1'\] that are not in"),
        ([0, 1], [[0.5, 0.5], [2.0, -1.0]], {}, ValueError, r"y_prob\[1\] has the least entry -1 and the sum 1; .*"),
        ([0, 1], [[3.0, 1.5], [2.0, 1.0]], {}, ValueError, r"y_prob\[0\] .* sum 4.5; .* softgrad.softmax\(logits\)"),
        ([0, 1], [[0.5, 0.5], [np.nan, 1.0]], {}, ValueError, r"y_prob\[1\] has the least entry nan and the sum nan"),
        ([0, 1, 1, 0], P, {"n_bins": 0}, ValueError, "n_bins=0; expected an integer of at least 1"),
        ([0, 1, 1, 0], P, {"n_bins": 2.5}, TypeError, "n_bins=2.5; expected an integer of at least 1"),
    ],
)
def test_bad_input_is_refused(y_true, y_prob, options, error, message):
    with pytest.raises(error, match=f"^{message}"):
        ReliabilityDisplay.from_predictions(y_true, y_prob, **options)
    assert plt.get_fignums() == []


def test_an_estimator_must_be_fitted_and_know_the_labels(model):
    with pytest.raises(NotFittedError):
        ReliabilityDisplay.from_estimator(SoftmaxRegression(), X, Y)
    with pytest.raises(ValueError, match=r"^y_true has labels \[0, 1, 2\] that are not in labels=\['low', 'mid'"):
        ReliabilityDisplay.from_estimator(model, X, Y)


def test_matplotlib_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    message = r'^ReliabilityDisplay\.plot needs matplotlib, .*; write pip install "softgrad\[report\]"$'
    with pytest.raises(ModuleNotFoundError, match=message):
        ReliabilityDisplay.from_predictions([0, 1, 1, 0], P)


def test_scikit_learns_own_displays_accept_the_estimators(model):
    for estimator in (model, make_pipeline(StandardScaler(), SoftmaxRegression()).fit(X, NAMES[Y])):
        display = ConfusionMatrixDisplay.from_estimator(estimator, X, NAMES[Y])
        np.testing.assert_array_equal(
            display.confusion_matrix, confusion_matrix(NAMES[Y], estimator.predict(X), labels=NAMES)
        )
        assert display.display_labels.tolist() == NAMES.tolist()
    two = SoftmaxRegression().fit(X, Y > 0)
    np.testing.assert_array_equal(CalibrationDisplay.from_estimator(two, X, Y > 0).y_prob, two.predict_proba(X)[:, 1])
