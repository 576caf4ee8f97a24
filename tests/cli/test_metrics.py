"""Figures of predictions beside scikit-learn's, and beside plain sums."""

import json
import math

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from softgrad._calibration import BINS, bin_edges, bin_indices
from softgrad.cli import _metrics
from softgrad.cli._metrics import evaluation, facts, macro, most_mistaken, shown_classes, sums_of


def sample(rows, classes, *, seed=0, scale=3.0, dtype=np.float64):
    """Logits, and labels that follow them loosely."""
    random = np.random.default_rng(seed)
    z = (scale * random.normal(size=(rows, classes))).astype(dtype)
    return z, (z.astype(float) + 2 * random.gumbel(size=z.shape)).argmax(axis=1)


def measured(z, y):
    return evaluation(z, y, np.arange(z.shape[1]))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("rows, classes", [(1, 2), (50, 2), (300, 5), (500, 12)])
def test_scikit_learn_agrees(rows, classes, dtype):
    z, y = sample(rows, classes, dtype=dtype)
    found = measured(z, y)
    wide = z.astype(float)
    p = np.exp(wide - wide.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    labels = range(classes)
    assert found.rows == rows
    assert found.loss == pytest.approx(metrics.log_loss(y, p, labels=labels), rel=1e-12)
    assert found.accuracy == metrics.accuracy_score(y, z.argmax(axis=1))
    figures = metrics.precision_recall_fscore_support(y, z.argmax(axis=1), labels=labels, zero_division=np.nan)
    for ours, theirs in zip((found.precision, found.recall, found.f1), figures[:3], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-15)
    np.testing.assert_array_equal(found.support, figures[3])
    confusion = metrics.confusion_matrix(y, z.argmax(axis=1), labels=labels)
    np.testing.assert_array_equal(found.confusion.toarray(), confusion)
    if classes > 5:
        top = metrics.top_k_accuracy_score(y, z, k=5, labels=labels)
        assert found.top5_accuracy == pytest.approx(top, rel=1e-15)
        assert found.accuracy < found.top5_accuracy < 1
    else:
        assert found.top5_accuracy is None
    assert found.brier == pytest.approx(((p - np.eye(classes)[y]) ** 2).sum(axis=1).mean(), rel=1e-12)
    assert found.confidence == pytest.approx(p.max(axis=1).mean(), rel=1e-14)
    frequencies = np.bincount(y, minlength=classes) / rows
    assert found.prior_loss == pytest.approx(metrics.log_loss(y, np.tile(frequencies, (rows, 1)), labels=labels))


def test_calibration_is_a_plain_sum_over_the_bins():
    z, y = sample(700, 4)
    found = measured(z, y)
    rows = []
    for logits, label in zip(z, y, strict=True):
        weights = [math.exp(value - max(logits)) for value in logits]
        rows.append((1 / math.fsum(weights), int(logits.argmax()) == label))
    error = 0.0
    for b in range(BINS):
        inside = [row for row in rows if b / BINS < row[0] <= (b + 1) / BINS]
        assert found.calibration.rows[b] == len(inside)
        if inside:
            confidence, accuracy = (math.fsum(part) / len(inside) for part in zip(*inside, strict=True))
            assert found.calibration.confidence[b] == pytest.approx(confidence)
            assert found.calibration.accuracy[b] == pytest.approx(accuracy)
            error += len(inside) / len(rows) * abs(accuracy - confidence)
        else:
            assert np.isnan(found.calibration.confidence[b])
            assert np.isnan(found.calibration.accuracy[b])
    assert found.calibration_error == pytest.approx(error)
    assert error > 0.05


def test_a_confidence_on_an_edge_belongs_to_the_bin_below():
    third = 5 / BINS
    confidence = np.array([third, np.nextafter(third, 1), np.nextafter(third, 0)])
    assert bin_indices(confidence, bin_edges()).tolist() == [4, 5, 4]
    sure = measured(np.array([[800.0, 0.0]]), np.array([0]))  # confidence 1
    assert sure.calibration.rows.tolist() == [0] * 14 + [1]
    assert sure.calibration_error == 0


def test_confident_rows_keep_their_losses():
    """Where a careless loss is 0, or infinite."""
    z = np.array([[40.0, 0.0], [0.0, 750.0], [30.0, -30.0]])
    y = np.array([0, 1, 1])
    found = measured(z, y)
    with mpmath.workdps(400):
        losses = [mpmath.log(sum(mpmath.exp(v) for v in row)) - row[k] for row, k in zip(z, y, strict=True)]
        assert found.loss == pytest.approx(float(sum(losses) / 3), rel=1e-15)
    least = measured(z[:2], y[:2])
    assert least.loss == pytest.approx(math.exp(-40) / 2, rel=1e-12)
    assert least.brier == pytest.approx(math.exp(-80), rel=1e-12)


@pytest.mark.parametrize("classes", [2, 7])
def test_weights_count_rows_several_times(monkeypatch, classes):
    z, y = sample(90, classes)
    times = np.random.default_rng(1).integers(1, 4, 90)
    expected = measured(np.repeat(z, times, axis=0), np.repeat(y, times))
    monkeypatch.setattr(_metrics, "_BLOCK", 20 * classes)
    for factor in (1.0, 0.25):  # means and shares do not change
        found = evaluation(z, y, np.arange(classes), factor * times)
        assert (found.rows, found.weight) == (90, factor * expected.weight)
        for name in ("loss", "prior_loss", "accuracy", "brier", "confidence", "calibration_error", "top5_accuracy"):
            value = getattr(expected, name)
            assert getattr(found, name) == (value if value is None else pytest.approx(value, rel=1e-14))
        for name in ("precision", "recall", "f1"):
            np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-14)
        np.testing.assert_allclose(found.support, factor * expected.support)
        np.testing.assert_allclose(found.confusion.toarray(), factor * expected.confusion.toarray())
        np.testing.assert_allclose(found.calibration.accuracy, expected.calibration.accuracy)


def test_rows_in_blocks_are_the_same(monkeypatch):
    z, y = sample(100, 7)
    whole = measured(z, y)
    for block in (1, 30, 699):
        monkeypatch.setattr(_metrics, "_BLOCK", block)
        assert json.dumps(facts(measured(z, y))) == json.dumps(facts(whole))


def test_sums_over_parts_add_up_in_any_order():
    z, y = sample(1000, 7)
    z[17], y[17] = np.where(np.arange(7) == 2, -np.inf, 0), 2  # an infinite loss
    parts = [sums_of(z[rows], y[rows]) for rows in (slice(0, 13), slice(13, 13), slice(13, 700), slice(700, 1000))]
    expected = json.dumps(facts(measured(z, y)))
    for order in (parts, parts[::-1]):
        assert json.dumps(facts(_metrics.figures(sum(order[1:], order[0]), np.arange(7)))) == expected


def test_indices_are_one_hot_probabilities():
    z, y = sample(60, 6)
    one_hot = np.eye(6, dtype=np.float32)[y]
    expected, found = (facts(measured(z, target)) for target in (y, one_hot))
    for name, value in expected.items():
        assert found[name] == (pytest.approx(value, rel=1e-14) if isinstance(value, float) else value)
    assert facts(measured(z, np.float16(0.9995) * one_hot)) == facts(measured(z, one_hot))


def test_soft_targets():
    z = np.log([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]])
    y = np.array([[0.2, 0.7, 0.1], [0.0, 0.25, 0.75]])
    found = measured(z, y)
    assert found.loss == pytest.approx(-(y * z).sum() / 2)
    assert found.brier == pytest.approx(((np.exp(z) - y) ** 2).sum() / 2)
    assert found.confusion.toarray().tolist() == [[0, 0, 0], [1, 0, 0], [0, 0, 1]]


@given(
    st.integers(2, 9).flatmap(
        lambda k: st.lists(
            st.tuples(st.lists(st.integers(-20, 20), min_size=k, max_size=k), st.integers(0, k - 1)),
            min_size=1,
            max_size=30,
        )
    )
)
def test_laws(rows):
    z, y = np.array([row for row, _ in rows], float), np.array([label for _, label in rows])
    found = measured(z, y)
    assert found.confusion.sum() == found.calibration.rows.sum() == found.support.sum() == len(rows)
    assert found.accuracy == pytest.approx(found.confusion.diagonal().sum() / len(rows))
    assert abs(found.confidence - found.accuracy) <= found.calibration_error + 1e-15
    assert 0 <= found.brier <= 2
    assert found.loss >= 0
    assert found.top5_accuracy is None or found.top5_accuracy >= found.accuracy
    # Recall, weighted by the rows of its class, is the accuracy.
    there = found.support > 0
    assert found.recall[there] @ found.support[there] / len(rows) == pytest.approx(found.accuracy)
    shifted = measured(z + 1, y)
    assert shifted.loss == pytest.approx(found.loss, rel=1e-14)
    assert shifted.brier == pytest.approx(found.brier, rel=1e-14)
    assert (shifted.confusion != found.confusion).nnz == 0


def test_equal_logits_go_to_the_first_class():
    z = np.zeros((8, 8))
    found = measured(z, np.arange(8))
    assert found.accuracy == 1 / 8
    assert found.top5_accuracy == 5 / 8
    assert found.confusion.toarray()[:, 0].tolist() == [1] * 8


def test_classes_without_rows_or_predictions_have_no_figures():
    z = np.array([[9.0, 0, 0, 0], [9.0, 0, 0, 0], [0, 0, 9.0, 0]])
    found = evaluation(z, np.array([0, 1, 1]), np.array(["a", "b", "c", "d"]))
    np.testing.assert_array_equal(found.precision, [0.5, np.nan, 0, np.nan])
    np.testing.assert_array_equal(found.recall, [1, 0, np.nan, np.nan])
    np.testing.assert_array_equal(found.f1, [2 / 3, 0, 0, np.nan])
    assert macro(found.f1) == pytest.approx(2 / 9)
    assert macro(np.array([np.nan])) is None
    text = json.dumps(facts(found), allow_nan=False)
    assert json.loads(text)["classes"][3] == {"class": "d", "rows": 0, "precision": None, "recall": None, "f1": None}
    assert json.loads(text)["confusion"] == [
        {"class": "a", "predicted": "a", "rows": 1},
        {"class": "b", "predicted": "a", "rows": 1},
        {"class": "b", "predicted": "c", "rows": 1},
    ]


def test_the_worst_classes_come_first_of_too_many():
    z = np.eye(4)[[0, 0, 1, 2, 2, 2]] * 9
    found = measured(z, np.array([0, 1, 1, 2, 1, 0]))
    assert shown_classes(found, 4).tolist() == [0, 1, 2, 3]
    # F1 is 1/2, 1/2 and 1/2, of 2, 3 and 1 rows; of class 3 nothing is known.
    assert shown_classes(found, 3).tolist() == [1, 0, 2]
    assert most_mistaken(found, 1) == (0, 1)
    assert most_mistaken(found, 2) is None


def test_an_impossible_label_has_an_infinite_loss_and_no_other_harm():
    found = measured(np.array([[0.0, -np.inf], [0.0, 0.0]]), np.array([1, 1]))
    assert found.loss == np.inf
    assert (found.accuracy, found.brier, found.confidence) == (0, (2 + 0.5) / 2, 0.75)
    assert facts(found)["loss"] is None


def test_one_class():
    found = measured(np.zeros((3, 1)), np.zeros(3, int))
    assert (found.loss, found.prior_loss, found.accuracy, found.brier, found.calibration_error) == (0, 0, 1, 0, 0)
    assert math.copysign(1, found.prior_loss) == 1


def test_a_vocabulary_has_no_dense_confusion_matrix():
    z, y = sample(5, 100_000)  # whose square takes 80 GB
    found = measured(z, y)
    assert found.confusion.nnz <= 5
    assert len(facts(found)["classes"]) == 100_000


@pytest.mark.parametrize(
    "row, message",
    [
        ([0.0, np.nan, 1.0], r"logits\[3, 1\] is nan; expected finite numbers, or -inf for a class"),
        ([0.0, 0.0, np.inf], r"logits\[3, 2\] is inf"),
        ([-np.inf] * 3, r"logits\[3\] holds nothing but -inf"),
    ],
)
@pytest.mark.parametrize("block", [1, 2**20])
def test_rows_without_a_softmax_are_refused(monkeypatch, row, message, block):
    monkeypatch.setattr(_metrics, "_BLOCK", block)
    z = np.zeros((5, 3))
    z[3] = row
    with pytest.raises(ValueError, match=message):
        measured(z, np.zeros(5, int))


def test_no_rows_are_refused():
    with pytest.raises(ValueError, match="there are no rows"):
        measured(np.zeros((0, 3)), np.zeros(0, int))
