"""What the exact results are: long double (mpmath where that is not enough), and how far off another one is.

The formulas are not those of the kernels: exponentials are taken of long-double differences, sums run
over sorted terms, and the softmax of the largest logit comes from the others.
"""

import mpmath
import numpy as np

# Largest error in units in the last place (ULP), by dtype: the accuracy contract of docs/design.md.
# Half precision: computed in float32, rounded once, so half a unit and what float32 leaves.
BOUND = {np.dtype(np.float32): 2.0, np.dtype(np.float64): 2.0, np.dtype(np.float16): 0.51}


def ulp(exact, dtype):
    """The unit in the last place of `dtype` at the exact values."""
    info = np.finfo(dtype)
    _, exponent = np.frexp(np.abs(np.asarray(exact, np.longdouble)))
    lowest = info.minexp + 1  # the exponent frexp gives the smallest normal number
    return np.ldexp(np.longdouble(1), np.maximum(exponent, lowest) - info.nmant - 1)


def error(got, exact, scale=None):
    """Largest |got − exact| in ULP of `exact`, or of `scale` where that is larger; special values must agree."""
    got, exact = np.asarray(got), np.asarray(exact, np.longdouble)
    assert got.shape == exact.shape
    finite = np.isfinite(exact)
    np.testing.assert_array_equal(got[~finite].astype(np.longdouble), exact[~finite])
    unit = (exact if scale is None else np.maximum(np.abs(exact), np.broadcast_to(scale, exact.shape)))[finite]
    off = np.abs(got[finite].astype(np.longdouble) - exact[finite]) / ulp(unit, got.dtype)
    return float(off.max(initial=0))


class Rows:
    """Exact softmax, log_softmax, logsumexp of the rows of a matrix."""

    def __init__(self, z):
        z = np.asarray(z, np.longdouble)
        self.z = z
        self.argmax = z.argmax(axis=1)[:, None]
        self.max = np.take_along_axis(z, self.argmax, 1)
        self.difference = z - self.max
        others = np.exp(self.difference)
        np.put_along_axis(others, self.argmax, 0, 1)
        self.others = np.sort(others, axis=1).sum(axis=1, keepdims=True)
        exponentials = np.exp(self.difference)
        self.softmax = exponentials / (1 + self.others)
        self.log_softmax = self.difference - np.log1p(self.others)
        self.logsumexp = (self.max + np.log1p(self.others))[:, 0]
        # 1 − p, without cancellation at the largest logit.
        self.complement = (1 - exponentials + self.others) / (1 + self.others)
        np.put_along_axis(self.complement, self.argmax, self.others / (1 + self.others), 1)

    def loss(self, y):
        return -np.take_along_axis(self.log_softmax, y[:, None], 1)[:, 0]

    def gradient(self, y):
        g = self.softmax.copy()
        np.put_along_axis(g, y[:, None], -np.take_along_axis(self.complement, y[:, None], 1), 1)
        return g

    def dense_loss(self, y):
        y = np.asarray(y, np.longdouble)
        terms = np.where(y == 0, 0, y * -np.where(y == 0, 0, self.log_softmax))
        return np.sort(terms, axis=1).sum(axis=1)

    def dense_gradient(self, y):
        """p_k·Σ_{j≠k} y_j − y_k·(1 − p_k), equal to p_k·Σ y − y_k."""
        y = np.asarray(y, np.longdouble)
        others = np.stack([np.delete(y, k, axis=1).sum(axis=1) for k in range(y.shape[1])], axis=1)
        return self.softmax * others - y * self.complement


def mpmath_rows(z, digits=60):
    """Softmax and log_softmax of one row, to many digits, as long double."""
    with mpmath.workdps(digits):
        exponentials = [mpmath.e ** mpmath.mpf(float(v)) for v in z]
        total = mpmath.fsum(exponentials)
        p = [e / total for e in exponentials]
        return np.array([_long(v) for v in p]), np.array([_long(mpmath.log(v)) for v in p])


def _long(value):
    mantissa, exponent = mpmath.frexp(value)
    high = float(mantissa)
    return np.ldexp(np.longdouble(high) + np.longdouble(float(mantissa - high)), exponent)
