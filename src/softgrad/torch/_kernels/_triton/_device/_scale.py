"""Multiplication in place by a number on the device, in Triton."""

from __future__ import annotations

import triton
import triton.language as tl
from triton.language import constexpr


@triton.jit
def scale(X, FACTOR, n, BLOCK: constexpr):
    """Multiply the n elements of X by the factor; nothing is read or written if that is 1."""
    factor = tl.load(FACTOR).to(tl.float32)
    if factor == 1.0:
        return
    start = tl.program_id(0).to(tl.int64) * BLOCK
    while start < n:
        at = start + tl.arange(0, BLOCK)
        x = tl.load(X + at, mask=at < n)
        tl.store(X + at, (x.to(tl.float32) * factor).to(x.dtype), mask=at < n)
        start += tl.num_programs(0).to(tl.int64) * BLOCK
