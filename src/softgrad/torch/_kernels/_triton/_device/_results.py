"""The results of rows, element by element, in Triton. Numbers of a row are (high, low), two float32 for each row."""

from __future__ import annotations

import triton
import triton.language as tl
from triton.language import constexpr

from softgrad.torch._kernels._triton._device._arithmetic import difference, finite, log1p, reciprocal, two_parts
from softgrad.torch._kernels._triton._device._row_statistics import DENSE, OF_PROBABILITIES
from softgrad.torch._kernels._triton._device._targets import z_loss

# The statistics alone; s (M p - y), which includes the softmax; the log-softmax; s H v, which includes J v.
STATISTICS_ONLY, GRADIENT, LOG_SOFTMAX, PRODUCT = constexpr(0), constexpr(1), constexpr(2), constexpr(3)


@triton.jit
def of_rows(
    z, x, y, y_rest, uniform, e, e_rest, unit, statistics, scale, mass, loss_options,
    RESULT: constexpr, KIND: constexpr, Z_LOSS: constexpr, NARROW: constexpr,
):  # fmt: skip
    """The result of rows from the exponentials, whose unit is given, and the statistics; scale is s and mass M."""
    m, excess, pivot, _mass, below, dot = statistics
    if RESULT == LOG_SOFTMAX:
        return _log_softmax(z, m.to(tl.float32), two_parts(log1p(excess)))
    else:
        slope = tl.zeros_like(m)
        if Z_LOSS:
            slope = 2.0 * z_loss(loss_options) * (m + log1p(excess))
        per_total = tl.full(m.shape, 1.0, tl.float64)
        if KIND != OF_PROBABILITIES:
            per_total = reciprocal(1.0 + excess)
        factor = scale * (mass + slope) * per_total * unit
        if NARROW and KIND != OF_PROBABILITIES:
            e = _zero_below_floor(e, factor, RESULT == PRODUCT)
        shift = tl.zeros_like(m)
        if RESULT == PRODUCT and Z_LOSS:
            shift = 2.0 * z_loss(loss_options) * (dot * per_total + pivot) * scale * per_total * unit
        e, e_rest, power = _in_range(e, e_rest, tl.maximum(tl.abs(factor), tl.abs(shift)))
        factor *= power
        if RESULT == PRODUCT:
            shift = two_parts(shift * power) if Z_LOSS else None
            mean = two_parts(dot * per_total)
            if NARROW:
                return _narrow_curvature(e, x, pivot.to(tl.float32), mean, two_parts(factor), shift)
            else:
                return _curvature(e, e_rest, x, pivot.to(tl.float32), mean, two_parts(factor), shift)
        elif KIND == DENSE:
            sharp_maximum = tl.where(excess < 1.0, m, float("nan")).to(tl.float32)
            at_maximum = scale * per_total * (below + slope)
            slope_at_maximum = scale * per_total * excess
            if y is None:
                top = at_maximum - slope_at_maximum * uniform
                return _uniform_gradient(
                    e, e_rest, z, two_parts(factor), two_parts(scale * uniform), sharp_maximum, top.to(tl.float32)
                )
            else:
                return _dense_gradient(
                    e, e_rest, z, y, y_rest, two_parts(factor), two_parts(scale), sharp_maximum,
                    two_parts(at_maximum), two_parts(slope_at_maximum),
                )  # fmt: skip
        else:
            return _scaled(e, two_parts(factor), NARROW)


@triton.jit
def _in_range(e, e_rest, factor):
    """Exponentials, their rests, and the headroom that their largest factor takes over where it would be subnormal."""
    is_small = factor < 2.0**-100
    power = tl.where(is_small, 2.0**64, 1.0).to(tl.float64)
    if tl.max(is_small.to(tl.int32), 0) != 0:
        smaller = tl.where(is_small, 2.0**-64, 1.0)[:, None, None]
        pieces = ()
        rests = ()
        for i in tl.static_range(len(e)):
            pieces = pieces + (e[i] * smaller,)
            rests = rests + (e_rest[i] * smaller,)
        e = pieces
        e_rest = rests
    return e, e_rest, power


@triton.jit
def _zero_below_floor(e, factor, ALWAYS: constexpr):
    """Exponentials of narrow logits, 0 at their floor of 2^-126, which a large factor would make visible."""
    if ALWAYS or tl.max(tl.abs(factor), 0) > 2.0**-26:
        pieces = ()
        for i in tl.static_range(len(e)):
            pieces = pieces + (tl.where(e[i] < 2.0**-120, 0.0, e[i]),)
        e = pieces
    return e


@triton.jit
def _scaled(e, factor, NARROW: constexpr):
    """Multiply e by the factor, of which the first part is enough for a narrow result."""
    pieces = ()
    high = factor[0][:, None, None]
    low = factor[1][:, None, None]
    for i in tl.static_range(len(e)):
        if NARROW:
            pieces = pieces + (e[i] * high,)
        else:
            pieces = pieces + (tl.fma(e[i], high, e[i] * low),)
    return pieces


@triton.jit
def _dense_gradient(e, e_rest, z, y, y_rest, factor, scale, sharp_maximum, at_maximum, slope_at_maximum):
    """The gradient e factor - s y; at a maximum with p > 1/2 at_maximum - y slope_at_maximum, which does not cancel."""
    pieces = ()
    s = scale[0][:, None, None]
    s_low = scale[1][:, None, None]
    for i in tl.static_range(len(e)):
        product = y[i] * s
        rest = tl.fma(y[i], s_low, tl.fma(y_rest[i], s, tl.fma(y[i], s, -product)))
        g = tl.fma(e_rest[i], factor[0][:, None, None], tl.fma(e[i], factor[1][:, None, None], -rest))
        g = tl.fma(e[i], factor[0][:, None, None], g - product)
        top = tl.fma(-y[i], slope_at_maximum[0][:, None, None], at_maximum[0][:, None, None])
        top += tl.fma(-y[i], slope_at_maximum[1][:, None, None], at_maximum[1][:, None, None])
        pieces = pieces + (tl.where(z[i] == sharp_maximum[:, None, None], top, g),)
    return pieces


@triton.jit
def _uniform_gradient(e, e_rest, z, factor, scaled_y, sharp_maximum, at_maximum):
    """The same for one number y as the target of all elements."""
    pieces = ()
    y = scaled_y[0][:, None, None]
    y_rest = scaled_y[1][:, None, None]
    for i in tl.static_range(len(e)):
        g = tl.fma(e_rest[i], factor[0][:, None, None], tl.fma(e[i], factor[1][:, None, None], -y_rest))
        g = tl.fma(e[i], factor[0][:, None, None], g - y)
        pieces = pieces + (tl.where(z[i] == sharp_maximum[:, None, None], at_maximum[:, None, None], g),)
    return pieces


@triton.jit
def _log_softmax(z, m, log_sum):
    """(z - m) - log1p(s')."""
    pieces = ()
    for i in tl.static_range(len(z)):
        below, rest = difference(z[i], m[:, None, None])
        pieces = pieces + (below + ((finite(rest, below) - log_sum[1][:, None, None]) - log_sum[0][:, None, None]),)
    return pieces


@triton.jit
def _curvature(e, e_rest, v, pivot, mean, factor, shift):
    """The product e (factor ((v - v_*) - mean) + shift): with s a / (1 + s') and s b (mean + v_*) / (1 + s'), s H v."""
    pieces = ()
    high = factor[0][:, None, None]
    for i in tl.static_range(len(e)):
        u, u_rest = difference(v[i], pivot[:, None, None])
        centred, rest = difference(u, mean[0][:, None, None])
        rest = (rest + u_rest) - mean[1][:, None, None]
        p = e[i] * high
        p_rest = tl.fma(e_rest[i], high, tl.fma(e[i], factor[1][:, None, None], tl.fma(e[i], high, -p)))
        product = tl.fma(p, centred, tl.fma(p, rest, p_rest * centred))
        if shift is not None:
            shifted = e[i] * shift[0][:, None, None]
            rest = tl.fma(e[i], shift[1][:, None, None], tl.fma(e[i], shift[0][:, None, None], -shifted))
            rest = tl.fma(e_rest[i], shift[0][:, None, None], rest)
            product, sum_rest = difference(product, -shifted)
            product += sum_rest + rest
        pieces = pieces + (product,)
    return pieces


@triton.jit
def _narrow_curvature(e, v, pivot, mean, factor, shift):
    """The same in float32, for a result of 16 bits."""
    pieces = ()
    for i in tl.static_range(len(e)):
        product = (e[i] * factor[0][:, None, None]) * ((v[i] - pivot[:, None, None]) - mean[0][:, None, None])
        if shift is not None:
            product = tl.fma(e[i], shift[0][:, None, None], product)
        pieces = pieces + (product,)
    return pieces
