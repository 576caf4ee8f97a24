"""Evaluation of predictions: loss, accuracy, per-class figures and calibration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

import softgrad as sg
from softgrad._calibration import BINS, Calibration, bin_edges, bin_indices, calibration_of, ratio

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from softgrad._typing import Array

_EDGES = bin_edges()
_TOP = 5
# The number of float64 logits in memory at a time.
_BLOCK = 2**20


class Evaluation(NamedTuple):
    """Figures of N rows and K classes; losses are means over the rows, in nats.

    With row weights, means and shares are weighted, and numbers of rows, except `rows`, are sums of weights.
    """

    rows: int
    weight: float
    """Sum of the row weights; the number of rows without weights."""
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


def evaluation(logits: Array, target: Array, classes: Array, weight: Array | None = None) -> Evaluation:
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
    weight : ndarray of shape (N,), optional
        Row weights above 0.

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
    if not len(logits):
        raise ValueError("there are no rows; expected at least one to evaluate")
    return figures(sums_of(logits, target, weight), classes)


class Total(NamedTuple):
    """A sum in twice the precision of float64, so that its value does not depend on the order of the rows."""

    high: Any
    low: Any

    @classmethod
    def of(cls, values: Array) -> Total:
        """Return the sum along the last axis."""
        total = cls(values, np.zeros_like(values))
        while total.high.shape[-1] > 1:
            if total.high.shape[-1] % 2:
                total = cls(*(np.concatenate([part, np.zeros_like(part[..., :1])], axis=-1) for part in total))
            even, odd = (cls(*(part[..., first::2] for part in total)) for first in (0, 1))
            total = even + odd
        return cls(*(part.sum(axis=-1) for part in total))

    def __add__(self, other: object) -> Total:
        """Return the sum of both, after Knuth's TwoSum."""
        if not isinstance(other, Total):
            return NotImplemented
        a, b = self.high, other.high
        high = a + b
        with np.errstate(invalid="ignore"):  # infinite losses
            rest = high - a
            error = (a - (high - rest)) + (b - rest)
        return Total(high, self.low + other.low + np.where(np.isfinite(high), error, 0.0))

    @property
    def value(self) -> Any:
        """The sum, rounded."""
        return self.high + self.low


class Sums(NamedTuple):
    """Sums over rows, of which the sums over more rows can be made."""

    rows: int
    weight: float
    """As in `Evaluation`; so are the numbers of rows below."""
    loss: Total
    brier: Total
    in_top: float
    """Number of rows whose label is one of the five most probable classes."""
    bin_rows: Array
    """Number of rows in each bin of confidence."""
    bin_confidence: Total
    bin_right: Array
    confusion: csr_array
    """As in `Evaluation`."""

    def __add__(self, other: object) -> Sums:
        """Return the sums over the rows of both."""
        if not isinstance(other, Sums):
            return NotImplemented
        return Sums(*(a + b for a, b in zip(self, other, strict=True)))


def sums_of(logits: Array, target: Array, weight: Array | None = None) -> Sums:
    """Return the sums over some rows for `figures`; parameters and errors are those of `evaluation`."""
    rows, count = logits.shape
    total = _no_rows(count)
    step = max(1, _BLOCK // count)
    for start in range(0, rows, step):
        block = slice(start, start + step)
        z = np.asarray(logits[block], np.float64)
        y = np.asarray(target[block])
        if y.ndim == 2:
            y = y / y.sum(axis=1, keepdims=True, dtype=np.float64)
        total += _block_sums(z, y, None if weight is None else weight[block], start)
    return total


def figures(sums: Sums, classes: Array) -> Evaluation:
    """Return the figures of the rows, at least one, of some sums."""
    weight = sums.weight
    calibration = calibration_of(_EDGES, sums.bin_rows, sums.bin_confidence.value, sums.bin_right)
    by_class = _by_class(sums.confusion)
    support = by_class["support"]
    prior = support[support > 0] / weight
    return Evaluation(
        rows=sums.rows,
        weight=weight,
        loss=float(sums.loss.value) / weight,
        prior_loss=-float(prior @ np.log(prior)) + 0.0,  # of one class -0
        accuracy=float(sums.bin_right.sum()) / weight,
        top5_accuracy=sums.in_top / weight if len(classes) > _TOP else None,
        brier=float(sums.brier.value) / weight,
        confidence=float(sums.bin_confidence.value.sum()) / weight,
        calibration_error=calibration.error,
        calibration=calibration,
        classes=classes,
        confusion=sums.confusion,
        **by_class,
    )


def _no_rows(count: int) -> Sums:
    from scipy.sparse import csr_array  # noqa: PLC0415

    none = np.zeros(BINS, np.int64)
    zero, zeros = (Total(np.zeros(shape), np.zeros(shape)) for shape in ((), BINS))
    return Sums(0, 0, zero, zero, 0, none, zeros, none, csr_array((count, count), dtype=np.int64))


def _block_sums(z: Array, y: Array, weight: Array | None, start: int) -> Sums:
    """Return the sums over a block of rows, the first of which has the number `start`."""
    from scipy.sparse import coo_array  # noqa: PLC0415

    rows, count = z.shape
    loss, difference = sg.cross_entropy_value_and_grad(z, y, reduction="none")
    if np.isnan(loss).any():
        raise ValueError(_without_softmax(z, start, int(np.isnan(loss).argmax())))
    # The gradient is p - y, exact also where p rounds to 1.
    brier = np.einsum("nk,nk->n", difference, difference)
    confidence = sg.softmax(z, out=difference).max(axis=1)
    counts = np.ones(rows, np.int64) if weight is None else weight
    truth = y if y.ndim == 1 else y.argmax(axis=1)
    predicted = z.argmax(axis=1)
    right = truth == predicted
    bins = bin_indices(confidence, _EDGES)
    confusion = coo_array((counts, (truth, predicted)), shape=(count, count))
    confidences = counts * confidence
    return Sums(
        rows=rows,
        weight=counts.sum().item(),
        loss=Total.of(counts * loss),
        brier=Total.of(counts * brier),
        in_top=counts[_rank(z, truth) < _TOP].sum().item(),
        bin_rows=np.bincount(bins, weight, BINS),
        bin_confidence=Total(*np.transpose([Total.of(confidences[bins == place]) for place in range(BINS)])),
        bin_right=np.bincount(bins[right], None if weight is None else weight[right], BINS),
        confusion=confusion.tocsr(),
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


def _by_class(confusion: csr_array) -> dict[str, Array]:
    right = confusion.diagonal()
    support, predicted = confusion.sum(axis=1), confusion.sum(axis=0)
    return {
        "precision": ratio(right, predicted),
        "recall": ratio(right, support),
        "f1": ratio(2 * right, support + predicted),
        "support": support,
    }


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


def most_mistaken(found: Evaluation, index: int) -> tuple[int, float] | None:
    """Return the most frequent wrong prediction for the rows of a class, and its number of rows; None without one."""
    row = found.confusion[[index]]
    others = row.indices != index
    if not others.any():
        return None
    best = row.data[others].argmax()
    return int(row.indices[others][best]), row.data[others][best].item()


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
