"""Families of logits on which the accuracy contract is held."""

import numpy as np


def normal(dtype, scale, n, offset=0.0, rows=24, seed=0):
    rng = np.random.default_rng([seed, n])
    return (rng.normal(size=(rows, n)) * scale + offset).astype(dtype)


def confident(dtype, n=50, rows=64, seed=1):
    """Right answers of probability about 1 − 1e-13."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(rows, n)).astype(dtype)
    z[np.arange(rows), rng.integers(0, n, rows)] += 30
    return z


def flat(dtype, n=1000, rows=8):
    """Equal logits, and logits that differ in the last places."""
    z = np.full((rows, n), 0.7, dtype)
    z[rows // 2 :] += np.arange(n, dtype=dtype) * np.finfo(dtype).eps
    return z


def tails(dtype, n=400, rows=8, seed=2):
    """Logits spread so far below the largest that probabilities run down through the subnormals to zero."""
    rng = np.random.default_rng(seed)
    reach = 110 if np.dtype(dtype) == np.float32 else 760
    z = (-rng.random((rows, n)) * reach).astype(dtype)
    z[:, 0] = rng.normal(size=rows)
    return z


def all_families(dtype):
    offset = 2.0**20 if np.dtype(dtype) == np.float32 else 2.0**40
    for n in (2, 3, 7, 10, 16, 31, 33, 64, 100, 1000, 5000):
        for scale in (0.1, 1.0, 10.0, 40.0):
            yield f"normal, n={n}, scale={scale}", normal(dtype, scale, n)
        for far in (1e4, -1e4, offset, -offset):
            yield f"normal, n={n}, offset={far:g}", normal(dtype, 3.0, n, far)
    yield "confident", confident(dtype)
    yield "confident, few classes", confident(dtype, n=10)
    yield "flat", flat(dtype)
    yield "flat, few classes", flat(dtype, n=10)
    yield "tails", tails(dtype)
    yield "tails, few classes", tails(dtype, n=20, rows=64)
    yield "one class", normal(dtype, 1.0, 1)
