"""Sums over the elements of rows, in float64, in Triton: those of s', of the targets and of a direction."""

from __future__ import annotations

import triton
import triton.language as tl
from triton.language import constexpr

from softgrad.torch._kernels._triton._device._arithmetic import (
    difference,
    finite,
    larger,
    larger_and_where,
    product,
    sum_of_groups,
)
from softgrad.torch._kernels._triton._device._exponentials import exponentials
from softgrad.torch._kernels._triton._device._row_statistics import DENSE, OF_PROBABILITIES, ONE_HOT


@triton.jit
def maximum(z):
    """The maximum of every row, and the first piece's group that holds it, or holds the largest of that piece."""
    of_groups = tl.reduce(z[0], 2, larger)
    group = tl.broadcast_to(tl.arange(0, of_groups.shape[1])[None, :], of_groups.shape)
    m, top_group = tl.reduce((of_groups, group), 1, larger_and_where)
    for i in tl.static_range(1, len(z)):
        m = larger(m, tl.reduce(tl.reduce(z[i], 2, larger), 1, larger))
    return m, top_group


@triton.jit
def _sum_below(z, e, m):
    """Sum the exponentials of elements below the maximum, and count those at the maximum."""
    at_maximum = z == m[:, None, None]
    rest = tl.sum(tl.sum(tl.where(at_maximum, 0.0, e), 2).to(tl.float64), 1)
    return rest, tl.sum(tl.sum(at_maximum.to(tl.int32), 2), 1)


@triton.jit
def excess_of(z, e, z_top, e_top, top_group, m, unit):
    """s': the top group and the edges element by element, all other groups whole."""
    is_top = tl.arange(0, e[0].shape[1])[None, :] == top_group[:, None]
    rest, count = _sum_below(z_top, e_top, m)
    rest += tl.sum(tl.where(is_top, 0.0, tl.sum(e[0], 2)).to(tl.float64), 1)
    for i in tl.static_range(1, len(z)):
        rest_of_edges, count_of_edges = _sum_below(z[i], e[i], m)
        rest += rest_of_edges
        count += count_of_edges
    return tl.fma(rest, unit, (count - 1).to(tl.float64))


@triton.jit
def total(p):
    """Σ p."""
    sums = tl.sum(sum_of_groups(p[0], tl.zeros_like(p[0])), 1)
    for i in tl.static_range(1, len(p)):
        sums += tl.sum(sum_of_groups(p[i], tl.zeros_like(p[i])), 1)
    return sums


@triton.jit
def target_sums(z, y, y_rest, m):
    """Σ y, Σ y over the elements below the maximum, and Σ y (m - z)."""
    mass = tl.zeros(m.shape, tl.float64)
    below = mass
    dot = mass
    for i in tl.static_range(len(z)):
        at_maximum = z[i] == m[:, None, None]
        mass += tl.sum(sum_of_groups(y[i], y_rest[i]), 1)
        below += tl.sum(sum_of_groups(tl.where(at_maximum, 0.0, y[i]), tl.where(at_maximum, 0.0, y_rest[i])), 1)
        d, d_rest = difference(tl.where(at_maximum, 0.0, m[:, None, None]), tl.where(at_maximum, 0.0, z[i]))
        p, p_rest = product(y[i], y_rest[i], d, finite(d_rest, d))
        p = tl.where(y[i] == 0.0, 0.0, p)  # even if z is -inf
        p_rest = tl.where(y[i] == 0.0, 0.0, finite(p_rest, p))
        dot += tl.sum(sum_of_groups(p, p_rest), 1)
    return mass, below, dot


@triton.jit
def uniform_sums(z, there, m, count, y):
    """The same sums for one number y as the target of all elements, of which there are `count`."""
    distance = tl.zeros(m.shape, tl.float64)
    for i in tl.static_range(len(z)):
        d = tl.where(there[i], m[:, None, None] - z[i], 0.0)
        distance += tl.sum(tl.sum(tl.where(z[i] == m[:, None, None], 0.0, d), 2).to(tl.float64), 1)
    mass = tl.zeros(m.shape, tl.float64) + y * count.to(tl.float64)
    return mass, mass - y, y * distance


@triton.jit
def _at_maximum(z, v, m):
    """The element of v at the first maximum in groups of one, and whether it is in them."""
    SIZE: constexpr = z.shape[1]
    index = tl.arange(0, SIZE)[None, :, None]
    first = tl.min(tl.min(tl.where(z == m[:, None, None], index, SIZE), 2), 1)
    at_first = index == first[:, None, None]
    return tl.sum(tl.sum(tl.where(at_first, v, 0.0), 2), 1), first < SIZE


@triton.jit
def pivot_of(z, v, z_top, v_top, m):
    """v_*: the element of v at a maximum."""
    pivot, is_found = _at_maximum(z_top, v_top, m)
    for i in tl.static_range(1, len(z)):
        of_edges, _is_found = _at_maximum(z[i], v[i], m)
        pivot = tl.where(is_found, pivot, of_edges)
    return pivot


@triton.jit
def direction_sum(e, e_rest, v, pivot, NARROW: constexpr):
    """Σ e (v - v_*); of narrow elements in float32, which is exact enough for a result of 16 bits."""
    dot = tl.zeros(pivot.shape, tl.float64)
    for i in tl.static_range(len(e)):
        if NARROW:
            dot += tl.sum(tl.sum(e[i] * (v[i] - pivot[:, None, None]), 2).to(tl.float64), 1)
        else:
            u, u_rest = difference(v[i], pivot[:, None, None])
            p, p_rest = product(e[i], e_rest[i], u, u_rest)
            dot += tl.sum(sum_of_groups(p, p_rest), 1)
    return dot


@triton.jit
def statistics_of_tile(
    z, x, y, y_rest, uniform, e, e_rest, z_top, x_top, top_group, m, z_label, unit, reference, there, count,
    NARROW: constexpr, KIND: constexpr,
):  # fmt: skip
    """The statistics of a tile, as `_row_statistics` stores them; z_top and x_top are the group of the maximum."""
    nothing = tl.zeros(m.shape, tl.float64)
    if KIND == OF_PROBABILITIES:
        excess = total(e)
    else:
        shift, floor, bits = reference
        e_top, _rest = exponentials(z_top[0], shift, floor, bits, NARROW)
        excess = excess_of(z, e, z_top[0], e_top, top_group, m, unit)
    m_wide = m.to(tl.float64)
    if KIND == ONE_HOT:
        return m_wide, excess, z_label.to(tl.float64), nothing, nothing, nothing
    elif KIND == DENSE:
        if y is None:
            mass, below, dot = uniform_sums(z, there, m, count, uniform)
        else:
            mass, below, dot = target_sums(z, y, y_rest, m)
        return m_wide, excess, z_label.to(tl.float64), mass, below, dot
    else:
        pivot = pivot_of(z, x, z_top[0], x_top[0], m)
        dot = direction_sum(e, e_rest, x, pivot, NARROW) * unit
        return m_wide, excess, pivot.to(tl.float64), nothing, nothing, dot
