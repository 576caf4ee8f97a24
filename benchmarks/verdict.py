"""Is a result right? Tensors beside float64."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from benchmarks import reference as _bench_reference
from benchmarks.timing import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    Array = NDArray[Any]

# What softgrad's documentation promises: of bfloat16, float32's result rounded once.
_ALLOWED_ULP = {torch.float32: 2.0, torch.bfloat16: 0.51}
# A peer promises nothing; it only has to be the same function, within this part of the largest entry.
PEER_TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 1e-2}
_ULP_IN_FLOAT32 = {torch.float32: 1, torch.bfloat16: 2**16}  # the exponents have the same range

_CHECKED_ENTRIES = 2**19  # the rows of one check; the loss is checked over all rows
_BLOCK_ENTRIES = 2**22


def in_ulp(results: Sequence[tuple[torch.Tensor, Array]], *, ours: bool) -> Verdict:
    """The verdict on results and what they ought to be, with the largest error in units in the last place."""
    dtype = results[0][0].dtype
    pairs = [(_array(result), exact) for result, exact in results]
    error = max(_bench_reference.ulp_error(result, exact, np.float32) for result, exact in pairs)
    error /= _ULP_IN_FLOAT32[dtype]
    if not ours:
        return Verdict(error, relative(results).refused)
    allowed = _ALLOWED_ULP[dtype]
    return Verdict(error, None if error <= allowed else f"{error:.3g} ULP from the exact result, allowed {allowed:g}")


def relative(results: Sequence[tuple[torch.Tensor, Array]]) -> Verdict:
    """The verdict on results that pass through a matrix product or a second derivative: to the largest entry."""
    allowed = PEER_TOLERANCE[results[0][0].dtype]
    distance = float(np.max([np.max(abs(_array(r) - exact)) / np.max(abs(exact)) for r, exact in results]))
    if distance <= allowed:
        return Verdict(None)
    return Verdict(None, f"{distance:.1e} of the largest entry from the exact result, allowed {allowed:.0e}")


def _array(result: torch.Tensor) -> Array:
    array: Array = result.detach().double().numpy()
    return array


def checked(count: int, entries: int) -> Array:
    """Places from the first of `count` to the last, as many as one check takes with so many entries each."""
    return np.linspace(0, count - 1, min(count, max(2, _CHECKED_ENTRIES // entries))).astype(np.intp)


def blocks(rows: int, entries: int) -> Iterator[slice]:
    """All rows, in blocks whose float64 reference takes little memory."""
    step = max(1, _BLOCK_ENTRIES // entries)
    return (slice(i, i + step) for i in range(0, rows, step))


def mean_loss(logits: Array, target: Array) -> Array:
    """The exact mean loss, an array without axes."""
    total = sum(
        float(_bench_reference.loss(logits[rows], target[rows], np.float64).sum()) for rows in blocks(*logits.shape)
    )
    return np.array(total / len(logits))
