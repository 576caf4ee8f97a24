"""A reliability diagram of any number of classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np

from softgrad._calibration import BINS, Calibration, bin_edges, bin_indices, calibration_of
from softgrad.linear_model._displays._axes import new_figure, style_of
from softgrad.linear_model._fit_options import checked_count
from softgrad.linear_model._problem._targets import class_indices, encode_target

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike

    from softgrad._typing import Array


class ReliabilityDisplay:
    r"""Reliability diagram: the accuracy of predictions by their confidence, for any number of classes.

    The confidence of a row is the largest of its probabilities, that of the predicted class. If predictions are
    calibrated, 80 % of those with confidence 80 % are correct, and the bars end at the diagonal. scikit-learn's
    `sklearn.calibration.CalibrationDisplay` plots the probability of one of two classes instead.

    .. math:: \mathrm{ECE} = \sum_b \frac{|B_b|}{N} \bigl|\mathrm{acc}(B_b) - \mathrm{conf}(B_b)\bigr|

    Create one with `from_estimator` or `from_predictions`. Parameters are stored as attributes.

    Parameters
    ----------
    edges : ndarray of shape (n_bins + 1,)
        Edges of the bins of confidence, from 0 to 1; bin b holds confidences in (edges[b], edges[b + 1]].
    rows : ndarray of shape (n_bins,)
        Number of rows in every bin.
    confidence, accuracy : ndarray of shape (n_bins,)
        Mean confidence and accuracy in every bin; NaN in an empty one.

    Attributes
    ----------
    calibration_error : float
        The expected calibration error, ECE.
    ax_ : matplotlib.axes.Axes
        Axes of the diagram of the last `plot`.
    ax_hist_ : matplotlib.axes.Axes or None
        Axes of the share of the rows in every bin.
    figure_ : matplotlib.figure.Figure
        Figure of these axes.
    bars_ : matplotlib.container.BarContainer
        Bars of the accuracy.

    References
    ----------
    Guo, Pleiss, Sun & Weinberger, *On Calibration of Modern Neural Networks*, ICML 2017, eq. 3.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from softgrad.linear_model import ReliabilityDisplay, SoftmaxRegression
    >>> X, y = load_iris(return_X_y=True)
    >>> display = ReliabilityDisplay.from_estimator(SoftmaxRegression(C=0.1).fit(X, y), X, y)
    >>> round(display.calibration_error, 3)
    0.198
    >>> import matplotlib.pyplot as plt
    >>> plt.close()
    """

    ax_: Axes
    ax_hist_: Axes | None
    figure_: Any
    bars_: Any

    def __init__(self, *, edges: Array, rows: Array, confidence: Array, accuracy: Array) -> None:
        self.edges = edges
        self.rows = rows
        self.confidence = confidence
        self.accuracy = accuracy

    @property
    def calibration_error(self) -> float:
        """The expected calibration error."""
        return Calibration(self.edges, self.rows, self.confidence, self.accuracy).error

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: ArrayLike,
        *,
        n_bins: int = BINS,
        ax: Axes | None = None,
        ax_hist: Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """Plot the reliability of a classifier's predictions.

        Parameters
        ----------
        estimator : estimator
            A fitted classifier with ``classes_`` and ``predict_proba``.
        X : array_like, sparse matrix or frame of shape (N, D)
            The same columns as in ``fit``; rows that were not fitted.
        y, n_bins, ax, ax_hist, **kwargs
            As for `from_predictions`.

        Returns
        -------
        ReliabilityDisplay

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        TypeError, ValueError, ModuleNotFoundError
            As `from_predictions` and ``predict_proba``.
        """
        y_prob = estimator.predict_proba(X)
        return cls.from_predictions(
            y, y_prob, labels=estimator.classes_, n_bins=n_bins, ax=ax, ax_hist=ax_hist, **kwargs
        )

    @classmethod
    def from_predictions(
        cls,
        y_true: ArrayLike,
        y_prob: ArrayLike,
        *,
        labels: ArrayLike | None = None,
        n_bins: int = BINS,
        ax: Axes | None = None,
        ax_hist: Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """Plot the reliability of predicted probabilities.

        Parameters
        ----------
        y_true : array_like of shape (N,) or (N, K)
            Labels; or class probabilities, of which the most probable class is taken.
        y_prob : array_like of shape (N, K)
            Predicted probability of every class.
        labels : array_like of shape (K,), optional
            Labels of the columns of `y_prob`; by default, the sorted labels in `y_true`.
        n_bins : int, default 15
            Number of bins, of equal width.
        ax, ax_hist, **kwargs
            As for `plot`.

        Returns
        -------
        ReliabilityDisplay

        Raises
        ------
        TypeError
            If `n_bins` is not an integer.
        ValueError
            If there are no rows, `n_bins` is below 1, shapes differ, a row of `y_prob` does not hold probabilities, or
            `y_true` has labels that are not in `labels`.
        ModuleNotFoundError
            If Matplotlib is not installed.
        """
        probabilities = _checked_probabilities(y_prob)
        bins = checked_count(n_bins, "n_bins", 1, "an integer of at least 1")
        correct = _true_columns(y_true, probabilities.shape, labels) == probabilities.argmax(axis=1)
        confidence, edges = probabilities.max(axis=1), bin_edges(bins)
        places = bin_indices(confidence, edges)
        rows, sums, hits = (
            np.bincount(places, weight, minlength=bins) for weight in (None, confidence, correct.astype(np.float64))
        )
        return cls(**calibration_of(edges, rows, sums, hits)._asdict()).plot(ax, ax_hist=ax_hist, **kwargs)

    def plot(self, ax: Axes | None = None, *, ax_hist: Axes | None = None, **kwargs: Any) -> Self:
        """Plot the accuracy of every bin of confidence beside the diagonal.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Axes of the diagram; by default, the upper ones of a new figure, whose lower ones are `ax_hist`.
        ax_hist : matplotlib.axes.Axes, optional
            Axes of the share of the rows in every bin; not drawn if only `ax` is given.
        **kwargs : dict
            Keyword arguments of `matplotlib.axes.Axes.bar`, for all bars.

        Returns
        -------
        ReliabilityDisplay
            This display, with the attributes ``ax_``, ``ax_hist_``, ``figure_`` and ``bars_``.

        Raises
        ------
        ValueError
            If `ax_hist` is given without `ax`.
        ModuleNotFoundError
            If Matplotlib is not installed.
        """
        if ax is None:
            if ax_hist is not None:
                raise ValueError("ax_hist is given without ax; expected both, or neither for a new figure")
            figure = new_figure(self, layout="constrained")
            ax, ax_hist = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        from matplotlib.patches import Patch  # noqa: PLC0415

        self.ax_, self.ax_hist_, self.figure_ = ax, ax_hist, ax.figure
        filled = self.rows > 0
        left, widths = self.edges[:-1][filled], np.diff(self.edges)[filled]
        style = style_of(Patch, {"width": widths, "align": "edge", "edgecolor": ax.get_facecolor()}, kwargs)
        self._draw_accuracy(ax, left, self.accuracy[filled], self.confidence[filled], style)
        x_label = "confidence: the probability of the predicted class"
        if ax_hist is None:
            ax.set_xlabel(x_label)
        else:
            ax_hist.bar(left, self.rows[filled] / self.rows.sum(), **{"color": "C0", **style})
            ax_hist.set(xlim=(0, 1), xlabel=x_label, ylabel="share of rows")
        return self

    def _draw_accuracy(self, ax: Axes, left: Array, accuracy: Array, confidence: Array, style: dict[str, Any]) -> None:
        self.bars_ = ax.bar(left, accuracy, **{"color": "C0", "label": "accuracy", **style})
        excess = np.maximum(confidence - accuracy, 0)
        ax.bar(left, excess, bottom=accuracy, **{"color": "C1", "label": "too confident", **style})
        lack = np.maximum(accuracy - confidence, 0)
        ax.bar(left, lack, bottom=accuracy - lack, **{"color": "C2", "label": "not confident enough", **style})
        ax.plot([0, 1], [0, 1], color=ax.yaxis.label.get_color(), linewidth=1, linestyle="--")
        ax.set(xlim=(0, 1), ylim=(0, 1), ylabel="accuracy")
        ax.legend(loc="upper left")  # where the bars of calibrated predictions leave room


def _checked_probabilities(y_prob: ArrayLike) -> Array:
    """Return y_prob as a matrix of floats; raise ValueError unless its rows are probabilities."""
    p = np.asarray(y_prob)
    if p.ndim != 2:
        raise ValueError(
            f"y_prob has shape {p.shape}; expected (N, K), a column for every class; for the probabilities p of the "
            "second of two classes write np.column_stack([1 - p, p])"
        )
    if not len(p):
        raise ValueError(f"y_prob has shape {p.shape}; expected at least one row")
    if p.dtype.kind != "f":
        p = p.astype(np.float64)
    sums = p.sum(axis=1, dtype=np.float64)
    bad = (p < 0).any(axis=1) | ~(np.abs(sums - 1) <= np.sqrt(np.finfo(p.dtype).eps))
    if bad.any():
        row = int(bad.argmax())
        raise ValueError(
            f"y_prob[{row}] has the least entry {p[row].min():g} and the sum {sums[row]:g}; expected probabilities of "
            "at least 0 with the sum 1; for logits write softgrad.softmax(logits)"
        )
    return p


def _true_columns(y_true: ArrayLike, shape: tuple[int, int], labels: ArrayLike | None) -> Array:
    """Return the column of y_prob of every true label."""
    rows, classes = shape
    if np.shape(y_true)[:1] != (rows,):
        raise ValueError(f"y_true has shape {np.shape(y_true)}, y_prob {shape}; expected a label for every row")
    y = encode_target(y_true, rows, "ReliabilityDisplay", is_part=True)
    known = y.names if labels is None else np.asarray(labels)
    if known.shape != (classes,) or len(set(known.tolist())) < classes:
        raise ValueError(
            f"the labels are {known.tolist()[:6]}, and y_prob has {classes} columns; expected a label of its own for "
            "every column; write labels=model.classes_"
        )
    columns = class_indices(y.names, known)
    if (columns < 0).any():
        unknown = y.names[columns < 0].tolist()
        raise ValueError(
            f"y_true has labels {unknown[:3]} that are not in labels={known.tolist()[:6]}; expected the same labels"
        )
    codes = y.codes if y.probabilities is None else y.probabilities.argmax(axis=1)
    return columns[codes]
