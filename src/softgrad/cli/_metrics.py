"""Evaluation of predictions: loss, accuracy, per-class figures and calibration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

import softgrad as sg

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from softgrad._typing import Array

BINS = 15  # as in Guo et al.
_TOP = 5
# The number of float64 logits in memory at a time.
_BLOCK = 2**20


class Calibration(NamedTuple):
    """Rows binned by the confidence of their prediction: bin b holds confidences in (edges[b], edges[b + 1]]."""

    edges: Array
    rows: Array
    confidence: Array
    """Mean confidence of each bin; NaN where it is empty."""
    accuracy: Array
    """Accuracy of each bin; NaN where it is empty."""


class Evaluation(NamedTuple):
    """Figures of N rows and K classes; losses are means over the rows, in nats."""

    rows: int
    loss: float
    prior_loss: float
    """Entropy of the label frequencies: the loss of the best constant prediction."""
    accuracy: float
    top5_accuracy: float | None
    """Share of the rows whose label is one of the five most probable classes; None for at most five classes."""
    brier: float
    """Mean of |p - y|², with y one-hot or the probabilities of the target; from 0 to 2."""
    confidence: float
    """Mean probability of the predicted class; above `accuracy`, the model is too confident."""
    calibration_error: float
    calibration: Calibration
    classes: Array
    precision: Array
    """Precision of each class; NaN for a class that is never predicted."""
    recall: Array
    """Recall of each class; NaN for a class without rows."""
    f1: Array
    """F1 of each class; NaN for a class without rows that is never predicted."""
    support: Array
    """Number of rows of each class."""
    confusion: csr_array
    """Number of rows by class (first axis) and predicted class; sparse, because K may be a vocabulary."""


def evaluation(logits: Array, target: Array, classes: Array) -> Evaluation:
    r"""Evaluate predictions against the true labels.

    The calibration error is that of Guo et al., over 15 bins B of equal width by the probability of the predicted
    class:

    .. math:: \mathrm{ECE} = \sum_{b=1}^{15} \frac{|B_b|}{N} \bigl|\mathrm{acc}(B_b) - \mathrm{conf}(B_b)\bigr|

    Parameters
    ----------
    logits : ndarray of shape (N, K)
        Any floating dtype; computed in float64, a block of rows at a time, so that a memory map is not copied.
    target : ndarray of shape (N,) or (N, K)
        Class indices from 0 to K - 1, or rows of probabilities, which are divided by their sums; then the
        class of a row is its most probable one.
    classes : ndarray of shape (K,)
        Labels of the classes.

    Returns
    -------
    Evaluation
        Figures of all rows. Of equal logits, the first class is the predicted one.

    Raises
    ------
    ValueError
        If there are no rows, or a row of logits has no softmax: it holds NaN or +inf, or nothing but -inf.

    References
    ----------
    Guo, Pleiss, Sun & Weinberger, *On Calibration of Modern Neural Networks*, ICML 2017, eq. 3. Brier, *Verification
    of Forecasts Expressed in Terms of Probability*, Monthly Weather Review 78, 1950.

    Examples
    --------
    >>> import numpy as np
    >>> from softgrad.cli._metrics import evaluation
    >>> found = evaluation(np.array([[2.0, 0.0], [1.0, 0.0], [0.0, 3.0]]), np.array([0, 1, 1]), np.array(["no", "yes"]))
    >>> round(found.loss, 4), found.recall.tolist(), found.confusion.toarray().tolist()
    (0.4963, [1.0, 0.5], [[1, 0], [1, 1]])
    """
    rows, count = logits.shape
    if not rows:
        raise ValueError("there are no rows; expected at least one to evaluate")
    loss, brier = np.empty(rows), np.empty(rows)
    confidence = np.empty(rows)
    truth, predicted, rank = (np.empty(rows, np.int64) for _ in range(3))
    step = max(1, _BLOCK // count)
    for start in range(0, rows, step):
        block = slice(start, start + step)
        z = np.asarray(logits[block], np.float64)
        y = np.asarray(target[block])
        if y.ndim == 2:
            y = y / y.sum(axis=1, keepdims=True, dtype=np.float64)
        loss[block], difference = sg.cross_entropy_value_and_grad(z, y, reduction="none")
        if np.isnan(loss[block]).any():
            raise ValueError(_without_softmax(z, start, int(np.isnan(loss[block]).argmax())))
        # The gradient is p - y, exact also where p rounds to 1.
        brier[block] = np.einsum("nk,nk->n", difference, difference)
        confidence[block] = sg.softmax(z, out=difference).max(axis=1)
        truth[block] = y if y.ndim == 1 else y.argmax(axis=1)
        predicted[block] = z.argmax(axis=1)
        rank[block] = _rank(z, truth[block])
    right = truth == predicted
    calibration = _calibration(confidence, right)
    filled = calibration.rows > 0
    gaps = np.abs(calibration.accuracy - calibration.confidence)[filled]
    by_class = _by_class(truth, predicted, count)
    support = by_class["support"]
    prior = support[support > 0] / rows
    return Evaluation(
        rows=rows,
        loss=float(loss.mean()),
        prior_loss=-float(prior @ np.log(prior)) + 0.0,  # of one class -0
        accuracy=float(right.mean()),
        top5_accuracy=float((rank < _TOP).mean()) if count > _TOP else None,
        brier=float(brier.mean()),
        confidence=float(confidence.mean()),
        calibration_error=float(gaps @ (calibration.rows[filled] / rows)),
        calibration=calibration,
        classes=classes,
        **by_class,
    )


def _without_softmax(z: Array, start: int, row: int) -> str:
    bad = np.isnan(z[row]) | np.isposinf(z[row])
    where = f"logits[{start + row}, {int(bad.argmax())}] is {z[row, bad.argmax()]}"
    what = where if bad.any() else f"logits[{start + row}] holds nothing but -inf"
    return f"{what}; expected finite numbers, or -inf for a class that is impossible"


def _rank(z: Array, truth: Array) -> Array:
    """Return the rank of the true class, 0 for the most probable; equal logits rank in the order of the classes."""
    own = np.take_along_axis(z, truth[:, None], axis=1)
    before = (z > own) | ((z == own) & (np.arange(z.shape[1]) < truth[:, None]))
    return before.sum(axis=1)


def _calibration(confidence: Array, right: Array) -> Calibration:
    edges = np.arange(BINS + 1) / BINS
    place = np.searchsorted(edges[1:-1], confidence, side="left")
    count = np.bincount(place, minlength=BINS)
    sums = (np.bincount(place, weights=weights, minlength=BINS) for weights in (confidence, right))
    means = (_ratio(total, count) for total in sums)
    return Calibration(edges, count, *means)


def _by_class(truth: Array, predicted: Array, count: int) -> dict[str, Any]:
    from scipy.sparse import coo_array  # noqa: PLC0415
    from sklearn.metrics import precision_recall_fscore_support  # noqa: PLC0415

    figures = precision_recall_fscore_support(truth, predicted, labels=np.arange(count), zero_division=np.nan)
    # scikit-learn's confusion matrix is dense.
    confusion = coo_array((np.ones(len(truth), np.int64), (truth, predicted)), shape=(count, count))
    return dict(zip(("precision", "recall", "f1", "support"), figures, strict=True)) | {"confusion": confusion.tocsr()}


def _ratio(a: Array, b: Array) -> Array:
    return np.divide(a, b, out=np.full(len(a), np.nan), where=b > 0)


def macro(values: Array) -> float | None:
    """Return the mean over the classes with a figure; None if there are none."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else None


def shown_classes(found: Evaluation, limit: int) -> Array:
    """Return the classes to show, in order; of more than `limit`, those of the lowest F1, the lowest first."""
    if len(found.classes) <= limit:
        return np.arange(len(found.classes))
    # Of two classes with the same F1, the one with more rows comes first; NaN comes last.
    return np.lexsort((-found.support, found.f1))[:limit]


def most_mistaken(found: Evaluation, index: int) -> tuple[int, int] | None:
    """Return the most frequent wrong prediction for the rows of a class, and its count; None without one."""
    row = found.confusion[[index]]
    others = row.indices != index
    if not others.any():
        return None
    best = row.data[others].argmax()
    return int(row.indices[others][best]), int(row.data[others][best])


def facts(found: Evaluation) -> dict[str, Any]:
    """Convert the figures to JSON values: null where they are undefined or infinite."""
    cells = found.confusion.tocoo()
    labels = found.classes.tolist()
    return {
        "rows": found.rows,
        "loss": _json(found.loss),
        "prior_loss": found.prior_loss,
        "accuracy": found.accuracy,
        "top5_accuracy": found.top5_accuracy,
        "macro_f1": macro(found.f1),
        "brier": found.brier,
        "confidence": found.confidence,
        "calibration_error": found.calibration_error,
        "calibration": [
            {"from": low, "to": high, "rows": count, "confidence": _json(confidence), "accuracy": _json(accuracy)}
            for low, high, count, confidence, accuracy in zip(
                found.calibration.edges[:-1].tolist(),
                found.calibration.edges[1:].tolist(),
                *(part.tolist() for part in found.calibration[1:]),
                strict=True,
            )
        ],
        "classes": [
            {"class": label, "rows": rows, "precision": _json(precision), "recall": _json(recall), "f1": _json(f1)}
            for label, rows, precision, recall, f1 in zip(
                labels,
                *(part.tolist() for part in (found.support, found.precision, found.recall, found.f1)),
                strict=True,
            )
        ],
        "confusion": [
            {"class": labels[i], "predicted": labels[j], "rows": count}
            for i, j, count in zip(cells.row.tolist(), cells.col.tolist(), cells.data.tolist(), strict=True)
        ],
    }


def _json(value: float) -> float | None:
    return value if np.isfinite(value) else None
