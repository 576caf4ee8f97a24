"""Exponentials of a row of logits, exp(z - m), in Triton, scaled so that they stay in the range of normal numbers.

z - m is never formed, because its rounding error would be that of the exponential. Instead, with x = z - shift and
x = n ln2 + r,

    e = 2^HEADROOM exp(r) 2^(n - n_m),    exp(z - m) = e unit,    unit = 2^-HEADROOM exp(-r_m),

where n_m and r_m belong to the maximum. The unit is computed once for a row, in float64. The shift is 0, or m if
|m| > 512; where the exponential is not 0, m and z are then within a factor of two, and z - m is exact (Sterbenz).

The error is at most 0.68 ULP. For 16-bit logits the exponential is the hardware's, with an error of about 1.6 ULP of
float32 for results that are rounded to 16 bits.
"""

from __future__ import annotations

import triton
import triton.language as tl
from triton.language import constexpr

from softgrad.torch._kernels._triton._device._arithmetic import (
    INF,
    LN2,
    LN2_HI,
    LN2_LO,
    LOG2E,
    LOG2E_HI,
    LOG2E_LO,
    MAGIC,
    MINUS_LN2_LO,
    P2,
    P3,
    P4,
    P5,
    P6,
    exp2,
    exp_of_remainder,
    exp_of_row,
    nearest_integer,
)
from softgrad.torch._kernels._triton._device._row_statistics import DIRECTION, OF_PROBABILITIES

# Exponentials carry 2^64 so that those far below the maximum are not subnormal, or 2^32 if they are to be multiplied
# by another tensor.
HEADROOM, PRODUCT_HEADROOM = constexpr(64), constexpr(32)


@triton.jit
def reference_point(m, NARROW: constexpr, HEADROOM: constexpr):
    """Describe the maxima of rows for `exponentials`: the shift, the floor of x and the bits of 2^(HEADROOM - n_m).

    The fourth result is the unit. For narrow logits the bits are those of MAGIC + HEADROOM - n_m.
    """
    shift = tl.where(tl.abs(m) > 512.0, m, 0.0)
    top = m - shift
    t, n = nearest_integer(top)
    minus_r = tl.fma(n.to(tl.float64), LN2_LO, tl.fma(n, LN2_HI, -top).to(tl.float64))
    if NARROW:
        floor = (n - (HEADROOM + 125)) * LN2
        magic = (MAGIC + HEADROOM) - n
        bits = magic.to(tl.int32, bitcast=True)
    else:
        floor = (n - (HEADROOM + 127)) * LN2
        bits = ((HEADROOM + 127) << 23) - (t << 23)
    return shift, floor, bits, exp_of_remainder(minus_r) * (2.0**-HEADROOM)


@triton.jit
def exponentials(z, shift, floor, bits, NARROW: constexpr):
    """Return 2^HEADROOM exp(z - m) exp(r_m) for (rows, groups, elements): 0 below the floor, NaN for NaN.

    The second result is what the last rounding left, with which the error is 0.2 ULP. It costs nothing if not used.
    """
    x = z - shift[:, None, None]
    x = tl.maximum(x, floor[:, None, None], propagate_nan=tl.PropagateNan.ALL)
    if NARROW:  # below the floor 2^-126, which rounds to 0 in 16 bits
        magic = bits[:, None, None].to(tl.float32, bitcast=True)
        t = tl.fma(x, LOG2E, magic)
        p = exp2(tl.fma(x, LOG2E_LO, tl.fma(x, LOG2E_HI, magic - t)))
        e = (p.to(tl.int32, bitcast=True) + (t.to(tl.int32, bitcast=True) << 23)).to(tl.float32, bitcast=True)
        e_rest = tl.zeros_like(e)
    else:
        t, n = nearest_integer(x)
        high = tl.fma(n, -LN2_HI, x)  # exact; r = high - n LN2_LO
        r = tl.fma(n, MINUS_LN2_LO, high)
        q = tl.fma(tl.fma(tl.fma(tl.fma(r, P6, P5), r, P4), r, P3), r, P2)
        rest = tl.fma(r * r, q, n * MINUS_LN2_LO)
        one = 1.0 + high
        rest += high - (one - 1.0)
        p = one + rest
        power = ((t << 23) + bits[:, None, None]).to(tl.float32, bitcast=True)
        e = p * power
        e_rest = (rest - (p - one)) * power
    return e, e_rest


@triton.jit
def exponentials_of_rows(z, m, NARROW: constexpr, KIND: constexpr):
    """The exponentials of all pieces of rows with maximum m, their rests, their unit and the reference point.

    Probabilities have taken the place of exponentials already.
    """
    pieces = ()
    rests = ()
    if KIND == OF_PROBABILITIES:
        for i in tl.static_range(len(z)):
            rests = rests + (tl.zeros_like(z[i]),)
        return z, rests, tl.full(m.shape, 1.0, tl.float64), (m, m, m)
    else:
        HEADROOM_HERE: constexpr = PRODUCT_HEADROOM if KIND == DIRECTION else HEADROOM
        shift, floor, bits, unit = reference_point(tl.where(m == -INF, 0.0, m), NARROW, HEADROOM_HERE)
        for i in tl.static_range(len(z)):
            e, e_rest = exponentials(z[i], shift, floor, bits, NARROW)
            pieces = pieces + (e,)
            rests = rests + (e_rest,)
        return pieces, rests, unit, (shift, floor, bits)


@triton.jit
def decay(m_of_tile, m, KIND: constexpr):
    """exp(m_t - m), with which the exponentials of a tile become those of its row; 1 for probabilities."""
    if KIND == OF_PROBABILITIES:
        return tl.full(m.shape, 1.0, tl.float64)
    else:
        return exp_of_row(tl.where(m_of_tile == m, 0.0, m_of_tile - m))
