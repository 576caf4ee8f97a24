"""Rows of probabilities: sums and complements that do not lose digits. Arrays are (R, C) or (R, C, K), float64."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]


def total(x: Array) -> Array:
    """Sum over axis 1 as if in twice the precision: by halves, with what Knuth's TwoSum says was rounded away."""
    rounded_away = np.zeros(x.shape[:1] + x.shape[2:])
    with np.errstate(invalid="ignore", over="ignore"):
        while x.shape[1] > 1:
            half = x.shape[1] // 2
            a, b, odd = x[:, :half], x[:, half : 2 * half], x[:, 2 * half :]
            s = a + b
            t = s - a
            rounded_away += ((a - (s - t)) + (b - t)).sum(axis=1)
            x = np.concatenate([s, odd], axis=1) if odd.size else s
        return x.sum(axis=1) + rounded_away


def complement(p: Array) -> Array:
    """1 − p of every class: the sum of the others where p is the largest, and the difference may cancel."""
    top = p.argmax(axis=1)[:, None]
    others = p.copy()
    np.put_along_axis(others, top, 0, axis=1)
    result: Array = 1 - p
    np.put_along_axis(result, top, total(others)[:, None] + 0 * np.take_along_axis(p, top, 1), axis=1)
    return result


def centred(p: Array, v: Array) -> tuple[Array, Array]:
    """V − pᵀv, and pᵀv, of columns v: by way of differences from v at the largest p, which loses no digits."""
    top = p.argmax(axis=1)[:, None, None]
    pivot = np.take_along_axis(v, top, axis=1)
    difference = v - pivot
    mean = total(p[:, :, None] * difference)[:, None]
    return difference - mean, pivot + mean
