"""Arrays of any library: their namespace in the array API, and sums that keep their digits."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from softgrad import _core, _validation


def namespace(array: Any) -> Any:
    """Return the array API namespace of an array's library."""
    if isinstance(array, np.ndarray):
        return np
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(array, torch.Tensor):
        # Imported directly, because torch.compile warns about the caches in array_namespace.
        from array_api_compat import torch as xp  # noqa: PLC0415

        return xp
    from array_api_compat import array_namespace  # noqa: PLC0415  # NumPy needs none

    return array_namespace(array)


def accumulator(array: Any) -> Any:
    """Return the dtype for sums: float64 if the array's device, and JAX's configuration, supports it."""
    if is_jax(array):
        import jax  # noqa: PLC0415, which has made the array

        return np.float64 if jax.config.jax_enable_x64 else np.float32
    return array.dtype if str(array.device).startswith("mps") else namespace(array).float64


def is_jax(array: Any) -> bool:
    """Return whether an array is JAX's, or traced by it."""
    jax = sys.modules.get("jax")
    return jax is not None and isinstance(array, jax.Array)


def device_of(array: Any) -> Any:
    """Return the device on which to make arrays to combine with this one; None for JAX, which chooses it."""
    return None if is_jax(array) else array.device


def row_sums(array: Any, factors: Any, axis: int) -> Any:
    """Return sums along an axis, of the elements times the factors along that axis if given.

    The sums are in float64 if the device supports it; for NumPy arrays they are compensated, without a copy.
    """
    if isinstance(array, np.ndarray):
        sums = np.empty(array.shape[:axis] + array.shape[axis + 1 :])
        _core.sum_probabilities(array, _validation.kernel_dtype(array.dtype), axis, factors, sums)
        return sums
    xp = namespace(array)
    products = array if factors is None else array * along(factors, array.ndim, axis)
    return xp.sum(products, axis=axis, dtype=accumulator(array))


def along(vector: Any, ndim: int, axis: int) -> Any:
    """Return a vector as an array with `ndim` axes that varies along one of them."""
    return namespace(vector).reshape(vector, (1,) * axis + (-1,) + (1,) * (ndim - axis - 1))


def widened(array: Any) -> Any:
    """Convert an array of a 16-bit type to float32."""
    xp = namespace(array)
    return xp.astype(array, xp.float32) if array.dtype.itemsize < 4 else array
