"""Plots of a fit and of an evaluation: convergence, confusion matrix, reliability diagram."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from softgrad.cli._formatting import row_count, shown
from softgrad.cli._report._svg import ACCENT, INK, LINE, PAGE, svg, tints
from softgrad.linear_model import ConvergenceDisplay, ReliabilityDisplay

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from softgrad._typing import Array
    from softgrad.cli._metrics import Evaluation
    from softgrad.linear_model import SoftmaxRegression

# In the confusion matrix of more classes, the numbers are too small to read.
NUMBERED = 30
# In the confusion matrix of more classes, a cell is smaller than a pixel.
PICTURED = 1000
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def convergence(model: SoftmaxRegression) -> str | None:
    """Plot the objective above its minimum and the gradient norm against passes; None if there is nothing to plot."""
    display = ConvergenceDisplay._of_history(model.history_, model.tol)
    kinds: list[Literal["objective", "gradient_norm"]] = ["objective", "gradient_norm"]
    kinds = [kind for kind in kinds if (display.values(kind) > 0).sum() > 1]
    if not kinds:
        return None

    def draw(figure: Figure) -> None:
        rows = figure.subplots(len(kinds), 1, sharex=True, squeeze=False)[:, 0]
        for axes, kind in zip(rows, kinds, strict=True):
            display.plot(axes, kind=kind, color=ACCENT)
            _label_above(axes)
            axes.set_xlabel("")
            axes.yaxis.set_major_locator(LogLocator(numticks=6))
            axes.yaxis.set_major_formatter(FuncFormatter(_power))
            axes.yaxis.set_minor_locator(NullLocator())
        rows[-1].set_xlabel("passes over the data")
        rows[-1].xaxis.set_major_locator(MaxNLocator(integer=True))

    passes, norm = display.passes, display.gradient_norm
    label = f"Convergence: gradient norm from {norm[0]:.1e} to {norm[-1]:.1e} in {passes[-1]:.0f} passes"
    return svg(draw, "convergence", label, width=5, height=2.1 * len(kinds) + 0.3)


def _label_above(axes: Axes) -> None:
    axes.set_title(axes.get_ylabel())
    axes.set_ylabel("")


def _power(value: float, _position: object) -> str:
    if value == 0:  # a tick below the least float64
        return ""
    exponent = round(np.log10(value))
    return f"10{str(exponent).translate(_SUPERSCRIPTS)}"


def confusion(found: Evaluation) -> str:
    """Plot the rows of each class by predicted class: right in blue, wrong in orange."""
    counts = found.confusion.toarray()
    share = counts / np.where(found.support > 0, found.support, 1)[:, None]
    share[np.diag_indices_from(share)] *= -1
    size = len(counts)
    names = [shown(label) for label in found.classes]
    numbered = size <= NUMBERED
    cell = max(0.3, 0.08 * max(len(row_count(count)) for count in counts.flat) + 0.1) if numbered else 7 / size

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        # Numbers must be legible on the tint.
        axes.imshow(tints(share, strongest=0.6 if numbered else 1.0), interpolation="none")
        axes.grid(visible=False)
        axes.set(xlabel="predicted", ylabel="class")
        axes.xaxis.set_label_position("top")
        axes.tick_params(length=0, labeltop=True, labelbottom=False, labelcolor=INK)
        if numbered:
            _number_cells(axes, counts)
            places = np.arange(size)
        else:
            places = np.unique(np.linspace(0, size - 1, 20).round().astype(int))
        axes.set_yticks(places, [names[i] for i in places])
        upright = numbered and max(map(len, names)) <= 3
        axes.set_xticks(places, [names[i] for i in places], rotation=0 if upright else 90)
        axes.spines[:].set(visible=not numbered, color=LINE)

    label = (
        f"Confusion matrix of {size} classes: {row_count(np.trace(counts))} of {row_count(found.weight)} rows are right"
    )
    margin = 0.55 + 0.08 * max(map(len, names))
    return svg(draw, "confusion", label, width=margin + cell * size, height=margin + cell * size)


def _number_cells(axes: Axes, counts: Array) -> None:
    for edge in np.arange(len(counts) + 1) - 0.5:
        axes.axhline(edge, color=PAGE, linewidth=1.5)
        axes.axvline(edge, color=PAGE, linewidth=1.5)
    for (i, j), count in np.ndenumerate(counts):
        if count:
            axes.text(j, i, row_count(count), ha="center", va="center", fontsize=8.5)


def reliability(found: Evaluation) -> str:
    """Plot the accuracy of each bin of confidence, and the share of the rows that it holds."""
    display = ReliabilityDisplay(**found.calibration._asdict())

    def draw(figure: Figure) -> None:
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        display.plot(above, ax_hist=below)
        above.legend(loc="lower left", bbox_to_anchor=(-0.02, 1), ncols=3, frameon=False)
        above.set_ylabel("")
        _label_above(below)
        for axis in (above.xaxis, above.yaxis, below.yaxis):
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0%}"))

    label = f"Reliability diagram: mean confidence {found.confidence:.1%}, accuracy {found.accuracy:.1%}"
    return svg(draw, "reliability", label, width=5, height=4.5)
