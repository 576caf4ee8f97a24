"""Statistics of rows that are divided into tiles, in Triton: stored by every tile, and merged.

A tile has six float64, the fields of `softgrad._closed_forms.Statistics`: its maximum m_t, its s'_t, the logit of the
label or -inf, and for a target that is not one-hot Σ y, Σ y over the elements below m_t and Σ y (m_t - z). For a
direction v the third is the pivot v_t, v at the maximum, and the last Σ exp(z - m_t) (v - v_t). Of probabilities, which
have no exponentials, the second is Σ p and the last Σ p (v - v_t).
"""

from __future__ import annotations

import triton
import triton.language as tl
from triton.language import constexpr

from softgrad.torch._kernels._triton._device._arithmetic import INF, exp_of_row, larger

FIELDS = constexpr(6)
# The fields that are used.
ONE_HOT, DENSE, DIRECTION, OF_PROBABILITIES = constexpr(0), constexpr(1), constexpr(2), constexpr(3)


@triton.jit
def store(STATISTICS, at, statistics, there, KIND: constexpr):
    """Store the statistics of one tile of each row, at these tiles."""
    m, excess, third, mass, below, dot = statistics
    fields = STATISTICS + at * FIELDS
    tl.store(fields, m, mask=there)
    tl.store(fields + 1, tl.where(m == -INF, -1.0, excess), mask=there)
    tl.store(fields + 2, third, mask=there)
    if KIND == DENSE:
        tl.store(fields + 3, mass, mask=there)
        tl.store(fields + 4, below, mask=there)
    if KIND != ONE_HOT:
        tl.store(fields + 5, dot, mask=there)


@triton.jit
def given(STATISTICS, row, in_rows):
    """Load the statistics of whole rows."""
    fields = STATISTICS + row * FIELDS
    statistics = ()
    for i in tl.static_range(FIELDS):
        statistics = statistics + (tl.load(fields + i, mask=in_rows, other=0.0),)
    return statistics


@triton.jit
def wait(COUNT, tiles):
    """Wait until all tiles of a row are stored."""
    tl.debug_barrier()  # orders the stores of this program before the atomic operation
    seen = tl.atomic_add(COUNT, 1, sem="acq_rel") + 1
    while seen < tiles:
        seen = tl.atomic_add(COUNT, 0, sem="acquire")


@triton.jit
def merged(STATISTICS, row, tiles, in_rows, TILES: constexpr, KIND: constexpr):
    """Merge the statistics of the tiles of rows, in their order; nothing cancels."""
    t = tl.arange(0, TILES)[None, :]
    there = (t < tiles) & in_rows[:, None]
    fields = STATISTICS + (row[:, None] * tiles + t) * FIELDS
    m_t = tl.load(fields, mask=there, other=-INF, cache_modifier=".cg")
    excess_t = tl.load(fields + 1, mask=there, other=-1.0, cache_modifier=".cg")
    third_t = tl.load(fields + 2, mask=there, other=-INF, cache_modifier=".cg")
    m = tl.reduce(m_t, 1, larger)
    is_top = m_t == m[:, None]
    is_first = t == tl.min(tl.where(is_top, t, TILES), 1)[:, None]
    is_empty = excess_t == -1.0
    gap = tl.where(is_top, 0.0, m_t - m[:, None])
    if KIND == OF_PROBABILITIES:
        decay = tl.where(is_empty, 0.0, 1.0)
        total_t = tl.where(is_empty, 0.0, excess_t)
        excess = tl.sum(total_t, 1)
    else:
        decay = exp_of_row(gap)
        total_t = tl.where(is_empty, 0.0, (1.0 + excess_t) * decay)
        excess = tl.sum(tl.where(is_first, excess_t, total_t), 1)
    mass = tl.zeros_like(m)
    below = mass
    dot = mass
    if KIND == ONE_HOT or KIND == DENSE:
        third = tl.max(third_t, 1)
    else:
        third = tl.sum(tl.where(is_first, third_t, 0.0), 1)
        dot_t = tl.load(fields + 5, mask=there, other=0.0, cache_modifier=".cg")
        shifted = dot_t * decay + tl.where(is_empty, 0.0, total_t * (third_t - third[:, None]))
        dot = tl.sum(tl.where(is_first, dot_t, shifted), 1)
    if KIND == DENSE:
        mass_t = tl.load(fields + 3, mask=there, other=0.0, cache_modifier=".cg")
        below_t = tl.load(fields + 4, mask=there, other=0.0, cache_modifier=".cg")
        dot_t = tl.load(fields + 5, mask=there, other=0.0, cache_modifier=".cg")
        mass = tl.sum(mass_t, 1)
        below = tl.sum(tl.where(is_top, below_t, mass_t), 1)
        dot = tl.sum(dot_t - tl.where(is_top | (mass_t == 0.0), 0.0, mass_t * gap), 1)
    return m, excess, third, mass, below, dot


@triton.jit
def of_kept_rows(statistics, kept, KIND: constexpr):
    """Statistics of rows for their results: zeros where the row was not read, s' NaN if the maximum is not finite."""
    m, excess, third, mass, below, dot = statistics
    if KIND != OF_PROBABILITIES:
        excess = tl.where(tl.abs(m) < INF, excess, float("nan"))
    third = tl.where(kept, third, 0.0)
    return tl.where(kept, m, 0.0), tl.where(kept, excess, 0.0), third, mass, below, tl.where(kept, dot, 0.0)


@triton.jit
def of_one_row(statistics):
    """The statistics of a row as scalars, which have no layout: otherwise all elements would be converted to theirs."""
    scalars = ()
    for i in tl.static_range(len(statistics)):
        scalars = scalars + (tl.full([1], tl.sum(statistics[i], 0), tl.float64),)
    return scalars
