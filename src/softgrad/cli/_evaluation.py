"""How good predictions are: loss, accuracy, figures for every class, and calibration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

import softgrad as sg

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_array

    Array = NDArray[Any]

BINS = 15  # as in Guo et al.
_TOP = 5
# Of the float64 logits that are held at a time.
_BLOCK = 2**20


class Calibration(NamedTuple):
    """Rows by the confidence of their prediction: bin b holds the confidences in (edges[b], edges[b + 1]]."""

    edges: Array
    rows: Array
    confidence: Array
    """Mean of each bin; NaN where it is empty."""
    accuracy: Array
    """Of each bin; NaN where it is empty."""


class Evaluation(NamedTuple):
    """Figures of N rows and K classes; losses in nats, means over the rows."""

    rows: int
    loss: float
    prior_loss: float
    """Entropy of the labels' frequencies: the loss of the best prediction that is the same for every row."""
    accuracy: float
    top5_accuracy: float | None
    """Rows whose label is among the five most probable classes; None for at most five."""
    brier: float
    """Mean of |p - y|², y one-hot or the target's probabilities; from 0 to 2."""
    confidence: float
    """Mean probability of the predicted class; above `accuracy`, the model trusts itself too much."""
    calibration_error: float
    calibration: Calibration
    classes: Array
    precision: Array
    """Of each class; NaN for a class that is never predicted."""
    recall: Array
    """Of each class; NaN for a class without rows."""
    f1: Array
    """Of each class; NaN for a class that is neither predicted nor has rows."""
    support: Array
    """Rows of each class."""
    confusion: csr_array
    """Rows by their class (first axis) and the predicted one; sparse, because K may be a vocabulary."""


def evaluation(logits: Array, target: Array, classes: Array) -> Evaluation:
    r"""Measure predictions against what is true.

    The calibration error is that of Guo et al., over 15 bins B of equal width by the probability of the predicted
    class:

    .. math:: \mathrm{ECE} = \sum_{b=1}^{15} \frac{|B_b|}{N} \bigl|\mathrm{acc}(B_b) - \mathrm{conf}(B_b)\bigr|

    Parameters
    ----------
    logits : ndarray of shape (N, K)
        Any floating dtype; computed in float64, a block of rows at a time, so a memory map stays one.
    target : ndarray of shape (N,) or (N, K)
        Class indices from 0 to K - 1, or rows of probabilities, which are divided by their sums; then the
        class of a row is its most probable one.
    classes : ndarray of shape (K,)
        Labels of the classes.

    Returns
    -------
    Evaluation
        Of all rows. Among equal logits, the first class is the predicted one.

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
    >>> from softgrad.cli._evaluation import evaluation
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
    support = np.bincount(truth, minlength=count)
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
        support=support,
        **_by_class(truth, predicted, support),
    )


def _without_softmax(z: Array, start: int, row: int) -> str:
    bad = np.isnan(z[row]) | np.isposinf(z[row])
    where = f"logits[{start + row}, {int(bad.argmax())}] is {z[row, bad.argmax()]}"
    what = where if bad.any() else f"logits[{start + row}] holds nothing but -inf"
    return f"{what}; expected finite numbers, or -inf for a class that is impossible"


def _rank(z: Array, truth: Array) -> Array:
    """How many classes stand before the true one, most probable first and equal ones in their order."""
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


def _by_class(truth: Array, predicted: Array, support: Array) -> dict[str, Any]:
    from scipy.sparse import coo_array  # noqa: PLC0415

    count = len(support)
    guesses = np.bincount(predicted, minlength=count)
    hits = np.bincount(truth[truth == predicted], minlength=count)
    confusion = coo_array((np.ones(len(truth), np.int64), (truth, predicted)), shape=(count, count))
    return {
        "precision": _ratio(hits, guesses),
        "recall": _ratio(hits, support),
        "f1": _ratio(2 * hits, support + guesses),
        "confusion": confusion.tocsr(),
    }


def _ratio(a: Array, b: Array) -> Array:
    return np.divide(a, b, out=np.full(len(a), np.nan), where=b > 0)


def macro(values: Array) -> float | None:
    """Mean over the classes that have a figure; None where none has."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else None


def shown_classes(found: Evaluation, limit: int) -> Array:
    """Indices of the classes to show, in their order; of more than `limit`, those of the lowest F1, that first."""
    if len(found.classes) <= limit:
        return np.arange(len(found.classes))
    # Of two classes with one F1, more rows weigh more. NaN, a class that nothing is known of, comes last.
    return np.lexsort((-found.support, found.f1))[:limit]


def most_mistaken(found: Evaluation, index: int) -> tuple[int, int] | None:
    """The class that rows of this one are most often taken for, and how often; None if never."""
    row = found.confusion[[index]]
    others = row.indices != index
    if not others.any():
        return None
    best = row.data[others].argmax()
    return int(row.indices[others][best]), int(row.data[others][best])


def facts(found: Evaluation) -> dict[str, Any]:
    """The same as JSON has it: null for what is undefined or infinite."""
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
