"""The kernel of rows: one read of the logits, and of a second tensor if there is one, and one write, in Triton.

A program holds ROWS rows of up to GROUPS x V logits in registers, or one of the tiles of a longer row. The sum s'
leaves out the group that holds the maximum, which is read again, so that no element needs to be compared with it.
"""

from __future__ import annotations

import triton
import triton.language as tl
from triton.language import constexpr

from softgrad.torch._kernels._triton._device import _elements, _results, _row_statistics, _sums
from softgrad.torch._kernels._triton._device._arithmetic import INF
from softgrad.torch._kernels._triton._device._exponentials import decay, exponentials_of_rows
from softgrad.torch._kernels._triton._device._results import STATISTICS_ONLY
from softgrad.torch._kernels._triton._device._row_statistics import DENSE, OF_PROBABILITIES, ONE_HOT
from softgrad.torch._kernels._triton._device._targets import (
    dense_targets,
    labels_of,
    number_of_rows,
    uniform_share,
    weight_of_labels,
    with_label,
)


@triton.jit
def rows(
    Z, X, OUT, LABELS, WEIGHT, SCALE, MASS, STATISTICS, COUNT, UPSTREAM,
    n, classes, first_class, all_classes, ignored_label, loss_options, scale_stride,
    sizes, z_strides, x_strides, out_strides, tiles, groups, programs,
    ROWS: constexpr, GROUPS: constexpr, V: constexpr, TILES: constexpr, EDGES: constexpr, FULL: constexpr,
    STRIDED: constexpr, SCATTERED: constexpr, RESULT: constexpr, KIND: constexpr, SMOOTHED: constexpr,
    Z_LOSS: constexpr, GIVEN: constexpr, WITH_LABEL: constexpr,
):  # fmt: skip
    """Compute the statistics of rows, or take those GIVEN, and the result; OUT may be Z or X.

    Nothing is done if UPSTREAM is given and holds 1. With COUNT, (n + 1) int32 zeros, the programs that share a row
    wait for each other. They take their tiles in the order in which they start, so that none waits for a program that
    cannot start, as long as `tiles` of them fit on the device at once. EDGES: rows begin or end between multiples of V;
    up to 2 V - 2 elements go to the first tile. FULL: classes = GROUPS V, and no mask is needed.
    """
    if UPSTREAM is not None:
        if tl.load(UPSTREAM) == 1.0:
            return
    NARROW: constexpr = Z.dtype.element_ty != tl.float32
    NOTHING: constexpr = 0.0 if KIND == OF_PROBABILITIES else -float("inf")
    turn = tl.program_id(0)
    if COUNT is not None:
        turn = tl.atomic_add(COUNT + n, 1)
    while turn < programs:
        block = turn // tiles
        part = turn % tiles
        rows_here = _elements.rows_of(block, sizes, n, ROWS, SCATTERED)
        row = rows_here[2]
        in_rows = rows_here[3]
        z_starts = _elements.starts_of(rows_here, sizes, z_strides, ROWS, V, STRIDED, EDGES, SCATTERED)
        # The first tile has the edges and reads the logit of the label, before that may be overwritten.
        of_first_tile = tl.where(part == 0, classes, 0)
        kept = in_rows
        z_label = tl.full([ROWS], -INF, tl.float32)
        if LABELS is not None:
            label, is_class, kept = labels_of(LABELS, row, in_rows, all_classes, ignored_label)
            here = label - first_class
            label_in_block = is_class & (here >= 0) & (here < classes)
            at_label = _elements.at_class(Z, z_starts, here, z_strides, ROWS, STRIDED)
            z_label = tl.load(at_label, mask=label_in_block & (here < of_first_tile), other=-INF).to(tl.float32)

        tile, there, numbers, count = _elements.tile_of(
            z_starts, part, of_first_tile, in_rows, classes, groups, first_class, ROWS, GROUPS, V, TILES, EDGES
        )
        z = _elements.load(_elements.at(Z, z_starts, tile, z_strides, STRIDED), there, kept, NOTHING, FULL)
        x = None
        x_starts = z_starts
        if X is not None:
            x_starts = _elements.starts_of(rows_here, sizes, x_strides, ROWS, V, STRIDED, EDGES, SCATTERED)
            x = _elements.load(_elements.at(X, x_starts, tile, x_strides, STRIDED), there, kept, 0.0, FULL)
        y = None  # or uniform
        y_rest = None
        uniform = uniform_share(loss_options)
        if KIND == DENSE and (X is not None or WEIGHT is not None):
            y, y_rest = dense_targets(x, WEIGHT, numbers, there, loss_options, SMOOTHED)

        if GIVEN:
            statistics = _row_statistics.given(STATISTICS, row, in_rows)
            if ROWS == 1:
                statistics = _row_statistics.of_one_row(statistics)
            m = tl.where(kept, statistics[0], 0.0).to(tl.float32)
            e, e_rest, unit, _reference = exponentials_of_rows(z, m, NARROW, KIND)
        else:
            m, top_group = _sums.maximum(z)
            e, e_rest, unit, reference = exponentials_of_rows(z, m, NARROW, KIND)
            top, top_there = _elements.group_of_tile(tile, top_group, in_rows, V)
            z_top_at = _elements.at(Z, z_starts, top, z_strides, STRIDED)
            z_top = _elements.load(z_top_at, top_there, kept, NOTHING, False)
            x_top = None
            if KIND != ONE_HOT and X is not None:
                x_top_at = _elements.at(X, x_starts, top, x_strides, STRIDED)
                x_top = _elements.load(x_top_at, top_there, kept, 0.0, False)
            statistics = _sums.statistics_of_tile(
                z, x, y, y_rest, uniform, e, e_rest, z_top, x_top, top_group, m, z_label, unit, reference, there, count,
                NARROW, KIND,
            )  # fmt: skip
            if STATISTICS is not None:
                _row_statistics.store(STATISTICS, row * tiles + part, statistics, in_rows, KIND)
            if COUNT is not None:
                _row_statistics.wait(COUNT + block, tiles)
                merged = _row_statistics.merged(STATISTICS, row, tiles, in_rows, TILES, KIND)
                statistics = _row_statistics.of_one_row(merged)
                unit *= decay(m.to(tl.float64), statistics[0], KIND)

        if RESULT != STATISTICS_ONLY:
            statistics = _row_statistics.of_kept_rows(statistics, kept, KIND)
            scale = number_of_rows(SCALE, row * scale_stride, in_rows)
            mass = number_of_rows(MASS, row, in_rows)
            if LABELS is not None:
                scale = tl.where(is_class, scale, tl.where(kept, float("nan"), 0.0))
                if KIND == ONE_HOT:
                    mass = weight_of_labels(WEIGHT, label)
                elif KIND == DENSE and not WITH_LABEL:
                    statistics = with_label(statistics, label_in_block, weight_of_labels(WEIGHT, label), loss_options)
            if KIND == DENSE:
                mass = statistics[3]
            result = _results.of_rows(
                z, x, y, y_rest, uniform, e, e_rest, unit, statistics, scale, mass, loss_options,
                RESULT, KIND, Z_LOSS, NARROW,
            )  # fmt: skip
            out_starts = _elements.starts_of(rows_here, sizes, out_strides, ROWS, V, STRIDED, EDGES, SCATTERED)
            _elements.store(_elements.at(OUT, out_starts, tile, out_strides, STRIDED), result, there, FULL)
        if COUNT is not None and UPSTREAM is not None:
            # With a fixed number of turns, a program could wait for a tile that it is to compute itself.
            turn = tl.atomic_add(COUNT + n, 1)
        else:
            turn += tl.num_programs(0)
