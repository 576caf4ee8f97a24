"""What each row needs only once, in Triton: a thread has a row, after its tiles have stored their statistics."""

from __future__ import annotations

import triton
import triton.language as tl
from triton.language import constexpr

from softgrad.torch._kernels._triton._device import _elements, _row_statistics
from softgrad.torch._kernels._triton._device._arithmetic import INF, exp_of_row, log1p, reciprocal
from softgrad.torch._kernels._triton._device._row_statistics import DENSE
from softgrad.torch._kernels._triton._device._targets import (
    label_share,
    labels_of,
    number_of_rows,
    uniform_share,
    weight_of_labels,
    with_label,
    z_loss,
)


@triton.jit
def finish(
    STATISTICS, LABELS, WEIGHT, SCALE, LOSSES, GRADIENT, MERGED, LSE, UPSTREAM,
    n, classes, first_class, all_classes, ignored_label, loss_options, scale_stride, sizes, strides, tiles,
    ROWS: constexpr, TILES: constexpr, STRIDED: constexpr, KIND: constexpr, Z_LOSS: constexpr, WITH_LABEL: constexpr,
):  # fmt: skip
    """Merge the statistics of tiles; store the merged ones, log-sum-exps, losses, the gradient at the label.

    Nothing is done if UPSTREAM is given and holds 1. WITH_LABEL: the statistics include the label's part
    of a target that is not one-hot.
    """
    if UPSTREAM is not None:
        if tl.load(UPSTREAM) == 1.0:
            return
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    in_rows = row < n
    statistics = _row_statistics.merged(STATISTICS, row, tiles, in_rows, TILES, KIND)
    kept = in_rows
    is_class = in_rows
    if LABELS is not None:
        label, is_class, kept = labels_of(LABELS, row, in_rows, all_classes, ignored_label)
        weight = weight_of_labels(WEIGHT, label)
        here = label - first_class
        is_here = is_class & (here >= 0) & (here < classes)
        if KIND == DENSE and not WITH_LABEL:
            statistics = with_label(statistics, is_here, weight, loss_options)
    if MERGED is not None:
        _row_statistics.store(MERGED, row, statistics, in_rows, DENSE)
    log_sum = tl.where(tl.abs(statistics[0]) == INF, float("nan"), log1p(statistics[1]))
    lse = tl.where(tl.abs(statistics[0]) == INF, statistics[0], statistics[0] + log_sum)
    if LSE is not None:
        tl.store(LSE + row, lse.to(tl.float32).to(LSE.dtype.element_ty), mask=in_rows)
    if LOSSES is not None:
        if KIND == DENSE:
            loss = statistics[3] * log_sum + statistics[5]
        else:
            distance = log_sum + (statistics[0] - statistics[2])
            loss = tl.where((weight == 0.0) & (distance == INF), 0.0, weight * distance)
        if Z_LOSS:
            loss += z_loss(loss_options) * (lse * lse)
        loss = tl.where(is_class, loss, tl.where(kept, float("nan"), 0.0))
        tl.store(LOSSES + row, loss.to(tl.float32), mask=in_rows)
    if GRADIENT is not None:
        scale = number_of_rows(SCALE, row * scale_stride, in_rows)
        slope = tl.zeros([ROWS], tl.float64)
        if Z_LOSS:
            slope = 2.0 * z_loss(loss_options) * lse
        g = scale * _gradient_at_label(statistics, weight, slope, loss_options, KIND)
        at = GRADIENT + _elements.start_of_rows(row, sizes, strides) + _elements.along_classes(here, strides, STRIDED)
        tl.store(at, g.to(tl.float32).to(GRADIENT.dtype.element_ty), mask=is_here)


@triton.jit
def _gradient_at_label(statistics, weight, slope, loss_options, KIND: constexpr):
    """(M + slope) p - y, without cancellation."""
    m, excess, z_label, mass, below, _dot = statistics
    per_total = reciprocal(1.0 + excess)
    at_maximum = z_label == m
    e = exp_of_row(tl.where(at_maximum, 0.0, z_label - m))
    if KIND == DENSE:
        y = weight * (label_share(loss_options) + uniform_share(loss_options))
        top = (below - y * excess + slope) * per_total
        return tl.where(at_maximum & (excess < 1.0), top, (mass + slope) * e * per_total - y)
    else:
        others = tl.where(at_maximum, excess, 1.0 + excess - e)
        return (slope * e - weight * others) * per_total
