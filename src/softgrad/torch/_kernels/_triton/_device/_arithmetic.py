"""Exponential, logarithm and sums in Triton, accurate enough for 2 ULP in the results.

Kernels are launched with enable_fp_fusion=False, so that the compiler contracts nothing; products are added by tl.fma.
No element passes through `/`, tl.exp or tl.exp2, which are off by up to 62 ULP in float32. Numbers of a row are
computed in float64 by the polynomials below, which take a fifth of the instructions of CUDA's library. tl.fma rounds
Python's numbers to float32.
"""

from __future__ import annotations

import os

import triton
import triton.language as tl
from triton.language import constexpr

LOG2E, LN2 = constexpr(1.4426950408889634), constexpr(0.6931471805599453)
# 13 bits, so that the product with a float16 or bfloat16 is exact, and the rest.
LOG2E_HI, LOG2E_LO = constexpr(1.442626953125), constexpr(1.4426950408889634 - 1.442626953125)
# 14 bits, so that the product with an integer below 2^10 is exact; the rest negated, in float32 and in float64.
LN2_HI, MINUS_LN2_LO = constexpr(0.69317626953125), constexpr(2.9088971132296138e-05)
LN2_LO = constexpr(0.6931471805599453 - 0.69317626953125)
# 1.5 * 2^23: a number added to it is rounded to an integer, which its low bits then hold.
MAGIC = constexpr(12582912.0)
# exp(r) = 1 + r + r^2 (P2 + P3 r + ...), minimax for |r| <= ln2 / 2, relative error 2^-27.
P2, P3, P4, P5, P6 = map(
    constexpr,
    (0.4999999403953552, 0.1666652113199234, 0.04166826978325844, 0.008368677459657192, 0.001382041140459478),
)
INF = constexpr(float("inf"))

if os.environ.get("TRITON_INTERPRET") == "1":  # which has no PTX

    @triton.jit
    def exp2(x):
        return tl.exp2(x)
else:

    @triton.jit
    def exp2(x):
        """2^x to 2 ULP in one instruction; tl.exp2 takes three more, for results below 2^-126."""
        return tl.inline_asm_elementwise(
            "ex2.approx.ftz.f32 $0, $1;", "=f,f", [x], dtype=tl.float32, is_pure=True, pack=1
        )


@triton.jit
def nearest_integer(x):
    """Round x / ln2 to an integer: in the low bits of an int32, and as a float32."""
    t = tl.fma(x, LOG2E, MAGIC)
    return t.to(tl.int32, bitcast=True), t - MAGIC


@triton.jit
def exp_of_remainder(r):
    """exp(r) in float64 for |r| < 0.35: Taylor's polynomial of degree 8, relative error 2^-38."""
    p = tl.full(r.shape, 1.0 / 40320, tl.float64)
    p = tl.fma(p, r, 1.0 / 5040)
    p = tl.fma(p, r, 1.0 / 720)
    p = tl.fma(p, r, 1.0 / 120)
    p = tl.fma(p, r, 1.0 / 24)
    p = tl.fma(p, r, 1.0 / 6)
    p = tl.fma(p, r, 0.5)
    p = tl.fma(p, r, 1.0)
    return tl.fma(p, r, 1.0)


@triton.jit
def exp_of_row(x):
    """exp(x) in float64 for x <= 0, relative error 2^-38; 0 below -700."""
    x = tl.maximum(x, -700.0, propagate_nan=tl.PropagateNan.ALL)
    n = (x.to(tl.float32) * LOG2E - 0.5).to(tl.int32)
    r = tl.fma(n.to(tl.float64), -LN2_LO, x - n.to(tl.float64) * LN2_HI)
    power = ((n + 1023).to(tl.int64) << 52).to(tl.float64, bitcast=True)
    return tl.where(x == -700.0, 0.0, exp_of_remainder(r) * power)


@triton.jit
def reciprocal(x):
    """1 / x in float64, relative error 2^-44: float32's quotient and one step of Newton's method."""
    y = (1.0 / x.to(tl.float32)).to(tl.float64)
    return tl.fma(y, tl.fma(-x, y, 1.0), y)


@triton.jit
def log1p(s):
    """log(1 + s) in float64 for s >= 0, relative error 2^-31.

    1 + s = 2^k (1 + f) with f from -1/4 to 1/2, and log(1 + f) = 2 artanh(f / (2 + f)).
    """
    k = ((1.0 + s).to(tl.float32).to(tl.int32, bitcast=True) - 0x3F400000) >> 23
    power = ((127 - k) << 23).to(tl.float32, bitcast=True).to(tl.float64)
    f = tl.fma(s, power, power - 1.0)
    q = f * reciprocal(2.0 + f)
    w = q * q
    p = tl.full(w.shape, 1.0 / 13, tl.float64)
    p = tl.fma(p, w, 1.0 / 11)
    p = tl.fma(p, w, 1.0 / 9)
    p = tl.fma(p, w, 1.0 / 7)
    p = tl.fma(p, w, 1.0 / 5)
    p = tl.fma(p, w, 1.0 / 3)
    p = tl.fma(p, w, 1.0)
    return tl.fma(k.to(tl.float64), LN2_LO, k.to(tl.float64) * LN2_HI + 2.0 * q * p)


@triton.jit
def two_parts(x):
    """A float64 as the sum of two float32."""
    high = x.to(tl.float32)
    return high, finite((x - high.to(tl.float64)).to(tl.float32), high)


@triton.jit
def finite(x, of):
    """The rest x of a number, 0 where that is infinite and its rest not defined."""
    return tl.where(tl.abs(of) == INF, 0.0, x)


@triton.jit
def difference(a, b):
    """The difference a - b, and what its rounding left (TwoSum, Knuth)."""
    d = a - b
    t = d - a
    return d, (a - (d - t)) - (b + t)


@triton.jit
def product(a, a_rest, b, b_rest):
    """The product (a + a_rest) (b + b_rest), and what its rounding left."""
    p = a * b
    return p, tl.fma(a_rest, b, tl.fma(a, b_rest, tl.fma(a, b, -p)))


@triton.jit
def _add(a, a_rest, b, b_rest):
    s, rounding = difference(a, -b)
    return s, rounding + (a_rest + b_rest)


@triton.jit
def sum_of_groups(x, rest):
    """Sums of the elements of groups and of what their rounding left, in float64: (rows, groups).

    The elements are added without a rounding error, so that only the sums need to be converted to float64.
    """
    high, low = tl.reduce((x, rest), 2, _add)
    return high.to(tl.float64) + finite(low, high).to(tl.float64)


@triton.jit
def larger(a, b):
    """The maximum; NaN if either is."""
    return tl.maximum(a, b, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def larger_and_where(a, i, b, j):
    """The maximum and its index; NaN if either is."""
    first = (a > b) | (a != a)
    return tl.where(first, a, b), tl.where(first, i, j)
