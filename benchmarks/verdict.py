"""Whether a variant computes the right result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from benchmarks import reference

if TYPE_CHECKING:
    from collections.abc import Sequence

    from softgrad._typing import Array

ALLOWED_ULP = 2.0  # as softgrad documents
PEER_TOLERANCE = 1e-4  # a peer documents no bound; its result only has to be that of the same function


@dataclass(frozen=True)
class Verdict:
    """The outcome of a comparison with the exact result."""

    error_ulp: float | None
    """The largest error; None where errors are not counted in units in the last place."""
    refused: str | None = None
    """Why the variant is not timed."""


class Exact(NamedTuple):
    """An exact result, in float64."""

    value: Array
    rows: Any = ...
    """The rows of the result to compare; all by default."""
    magnitude: Array | None = None
    """Errors count in the units in the last place of this; of `value` by default."""


@dataclass(frozen=True)
class Judge:
    """Compare the results of a call, one after the other, with the exact ones."""

    exact: Sequence[Exact]
    dtype: str = "float32"
    """The dtype whose units in the last place count."""
    allowed_ulp: float | None = ALLOWED_ULP
    """The bound for softgrad; None to hold it to `tolerance`, as its peers."""
    tolerance: float = PEER_TOLERANCE
    """The largest difference allowed, relative to the largest entry."""

    def __call__(self, results: Any, *, ours: bool) -> Verdict:
        """Judge one result or a tuple; None stands for a result that the variant does not compute."""
        results = results if isinstance(results, tuple) else (results,)
        pairs = [
            (_float64(result, exact.rows), exact)
            for result, exact in zip(results, self.exact, strict=True)
            if result is not None
        ]
        if self.allowed_ulp is None:
            return Verdict(None, self._too_far(pairs))
        error = max(reference.ulp_error(result, e.value, self.dtype, e.magnitude) for result, e in pairs)
        if not ours:
            return Verdict(error, self._too_far(pairs))
        within = error <= self.allowed_ulp
        return Verdict(
            error, None if within else f"{error:.3g} ULP from the exact result, allowed {self.allowed_ulp:g}"
        )

    def _too_far(self, pairs: list[tuple[Array, Exact]]) -> str | None:
        relative = [np.max(abs(result - exact.value)) / np.max(abs(exact.value)) for result, exact in pairs]
        distance = float(np.max(relative))  # NaN stays
        if distance <= self.tolerance:
            return None
        return f"{distance:.1e} of the largest entry from the exact result, allowed {self.tolerance:.0e}"


def bit_equal(results: Any, expected: Any) -> Verdict:
    """Compare the bits of the results of a call with those of one thread."""
    same = all(
        np.asarray(result).tobytes() == np.asarray(other).tobytes()
        for result, other in zip(results, expected, strict=True)
    )
    return Verdict(None, None if same else "not bit-equal to that of one thread")


def _float64(result: Any, rows: Any) -> Array:
    if hasattr(result, "detach"):  # a tensor; NumPy does not take those of bfloat16
        array: Array = result.detach()[rows].double().numpy()
        return array
    return np.asarray(result)[rows].astype(np.float64)
