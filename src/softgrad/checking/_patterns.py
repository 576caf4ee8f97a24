"""What can be said of an answer that no known mistake explains."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from softgrad.checking._diagnosis import Observation
    from softgrad.checking._probes import Probe

    Array = NDArray[np.float64]
    Mask = NDArray[np.bool_]


def patterns(right: Callable[[Probe], Array], observations: list[Observation]) -> tuple[str, ...]:
    """What narrows the mistake down, of answers that are all there and finite."""
    arrays = [o.array for o in observations if o.array is not None and np.isfinite(o.array).all()]
    if len(arrays) < len(observations):
        return ()
    expected = [right(o.probe) for o in observations]
    allowed = [o.tolerance * o.size for o in observations]
    factor = _common_factor(arrays, expected)
    if factor is not None and _all_close(arrays, [factor * right for right in expected], allowed):
        return (f"every answer is {factor:.6g} times the right one",)
    offset = float((arrays[0] - expected[0]).flat[0])
    if _all_close(arrays, [right + offset for right in expected], allowed):
        return (f"every entry is off by the same {offset:.6g}",)
    wrong = [np.abs(array - right) > limit for array, right, limit in zip(arrays, expected, allowed, strict=True)]
    return (*_where_in_matrices(wrong), *_where_in_rows(wrong))


def _all_close(arrays: list[Array], wanted: list[Array], allowed: list[float]) -> bool:
    return all(
        bool((np.abs(array - right) <= limit * (1 + np.abs(right))).all())
        for array, right, limit in zip(arrays, wanted, allowed, strict=True)
    )


def _common_factor(arrays: list[Array], expected: list[Array]) -> float | None:
    right = np.concatenate([array.ravel() for array in expected])
    got = np.concatenate([array.ravel() for array in arrays])
    largest = int(np.abs(right).argmax())
    return float(got[largest] / right[largest]) if right[largest] else None


def _where_in_matrices(wrong: list[Mask]) -> tuple[str, ...]:
    if wrong[0].ndim != 3:
        return ()
    diagonal = any(bool(np.einsum("bii->bi", mask).any()) for mask in wrong)
    beside = any(bool((mask & ~np.eye(mask.shape[1], dtype=bool)).any()) for mask in wrong)
    if diagonal and not beside:
        return ("only entries on the diagonal are wrong",)
    if beside and not diagonal:
        return ("the diagonal is right; entries off it are wrong",)
    return ()


def _where_in_rows(wrong: list[Mask]) -> tuple[str, ...]:
    if wrong[0].ndim == 0:
        return ()
    several = [np.asarray(mask.reshape(len(mask), -1).any(axis=1)) for mask in wrong if len(mask) > 1]
    if not any(rows[0] for rows in several):
        return ("the first row of every batch is right",)
    if not any(rows[1:].any() for rows in several):
        return ("only the first row of every batch is wrong",)
    right_batches = sum(not rows.any() for rows in several)
    return (f"{right_batches} of {len(several)} batches come out right",) if right_batches else ()
