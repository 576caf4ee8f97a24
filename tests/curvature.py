"""Exact curvature matrices and products: long double for products, mpmath for linear algebra.

Nothing here uses the closed forms under test: matrices are written out from their definitions, inverses and
determinants come from LU decompositions, eigenvalues from a dense solver, all at 120 digits.
"""

import mpmath
import numpy as np

DIGITS = 120


def long_double(value):
    mantissa, exponent = mpmath.frexp(value)
    high = float(mantissa)
    return np.ldexp(np.longdouble(high) + np.longdouble(float(mantissa - high)), exponent)


def from_mpmath(matrix):
    return np.array([[long_double(matrix[i, j]) for j in range(matrix.cols)] for i in range(matrix.rows)])


class Exact:
    """Of one row of logits: p, lse, and H = (M + 2ζ·lse)·(Diag(p) − p pᵀ) + 2ζ·p pᵀ, all divided by a number."""

    def __init__(self, z, mass=1, z_loss=0, denominator=1, digits=DIGITS):
        self.digits = digits
        with mpmath.workdps(digits):
            z = [mpmath.mpf(float(v)) for v in z]
            e = [mpmath.exp(v) for v in z]
            self.p = [v / mpmath.fsum(e) for v in e]
            n = len(z)
            lse = mpmath.log(mpmath.fsum(e))
            zeta = mpmath.mpf(float(z_loss))
            self.a = (mpmath.mpf(float(mass)) + 2 * zeta * lse) / mpmath.mpf(float(denominator))
            self.b = 2 * zeta / mpmath.mpf(float(denominator))
            self.H = mpmath.matrix(n, n)
            for i in range(n):
                for j in range(n):
                    jacobian = self.p[i] * ((i == j) - self.p[j])
                    self.H[i, j] = self.a * jacobian + self.b * self.p[i] * self.p[j]

    @property
    def support(self):
        return [i for i, v in enumerate(self.p) if v > 0]

    def dense(self):
        return from_mpmath(self.H)

    def eigenvalues(self):
        with mpmath.workdps(self.digits):
            values = mpmath.eigsy(self.H, eigvals_only=True)
            return np.sort(np.array([long_double(v) for v in values]))

    def pinv(self):
        """On the support: the inverse, of H + 11ᵀ/n where the constants are H's null space."""
        with mpmath.workdps(DIGITS):
            support, n = self.support, len(self.p)
            result = mpmath.matrix(n, n)
            if self.a == 0 and self.b == 0:
                return from_mpmath(result)
            constants = mpmath.ones(len(support)) / len(support) * (1 if self.b == 0 else 0)
            inner = mpmath.matrix([[self.H[i, j] for j in support] for i in support])
            inverse = (inner + constants) ** -1 - constants
            for i, row in enumerate(support):
                for j, column in enumerate(support):
                    result[row, column] = inverse[i, j]
            return from_mpmath(result)

    def damped(self, damping):
        return self.H + mpmath.mpf(float(damping)) * mpmath.eye(len(self.p))

    def solve(self, b, damping):
        with mpmath.workdps(DIGITS):
            x = mpmath.lu_solve(self.damped(damping), mpmath.matrix([mpmath.mpf(float(v)) for v in b]))
            return from_mpmath(x)[:, 0]

    def logdet(self, damping):
        with mpmath.workdps(DIGITS):
            return long_double(mpmath.log(mpmath.det(self.damped(damping))))


class Products:
    """H v of the rows of a matrix of logits in long double, and the magnitude of its terms."""

    def __init__(self, z, v, mass=1, z_loss=0, denominator=1):
        z, v = (np.asarray(x, np.longdouble) for x in (z, v))
        top = z.argmax(axis=1)[:, None]
        e = np.exp(z - np.take_along_axis(z, top, 1))
        others = e.copy()
        np.put_along_axis(others, top, 0, 1)
        rest = others.sum(axis=1, keepdims=True)
        p = e / (1 + rest)
        lse = np.take_along_axis(z, top, 1) + np.log1p(rest)
        pivot = np.take_along_axis(v, top, 1)
        away = v - pivot
        mean = (p * away).sum(axis=1, keepdims=True)
        mass = np.broadcast_to(np.asarray(mass, np.longdouble), (len(z),))[:, None]
        a = (mass + 2 * np.longdouble(z_loss) * lse) / denominator
        b = 2 * np.longdouble(z_loss) / denominator
        self.p, self.pivot, self.away, self.mean = p, pivot, away, mean
        self.product = p * (a * (away - mean) + b * (pivot + mean))
        spread = np.abs(away) + (p * np.abs(away)).sum(axis=1, keepdims=True)
        self.scale = p * (np.abs(a) * spread + b * np.abs(pivot + mean))
