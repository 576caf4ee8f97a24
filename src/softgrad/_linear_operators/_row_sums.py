"""Rows of probabilities: sums and complements that do not lose digits. Arrays are (R, C) or (R, C, K), float64."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from softgrad import _core

if TYPE_CHECKING:
    from softgrad._typing import Array


def total(x: Array) -> Array:
    """Sum over axis 1 as if in twice the precision, rounded once."""
    sums = np.zeros(x.shape[:1] + x.shape[2:])
    if x.size:
        _core.sum_rows(x, 1, sums)
    return sums


def complement(p: Array) -> Array:
    """1 − p of every class: the sum of the others where p is the largest, and the difference may cancel."""
    top = p.argmax(axis=1)[:, None]
    others = p.copy()
    np.put_along_axis(others, top, 0, axis=1)
    result = 1 - p
    np.put_along_axis(result, top, total(others)[:, None] + 0 * np.take_along_axis(p, top, 1), axis=1)
    return result


def centred(p: Array, v: Array) -> tuple[Array, Array]:
    """V − pᵀv, and pᵀv, of columns v: by way of differences from v at the largest p, which loses no digits."""
    top = p.argmax(axis=1)[:, None, None]
    pivot = np.take_along_axis(v, top, axis=1)
    difference = v - pivot
    mean = total(p[:, :, None] * difference)[:, None]
    return difference - mean, pivot + mean
