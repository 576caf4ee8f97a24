"""JAX with and without float64."""

from contextlib import contextmanager

import jax
import numpy as np
import pytest

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])


@contextmanager
def x64(dtype=np.float64):
    """Enable float64 if that is the dtype, otherwise disable it."""
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", np.dtype(dtype) == np.float64)
    try:
        yield
    finally:
        jax.config.update("jax_enable_x64", before)
