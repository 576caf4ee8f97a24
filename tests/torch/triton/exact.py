"""Exact results of rows of logits, with every option of the loss, and errors in units in the last place (ULP)."""

import numpy as np
import torch

from tests import oracle

F32, BF16, F16 = torch.float32, torch.bfloat16, torch.float16
DTYPES = [F32, BF16, F16]

# Largest errors in ULP of the dtype of the result: docs/accuracy.md. Of the larger of two terms that cancel for
# "dense" gradients (probabilities, smoothing, z-loss) and log_softmax_vjp; of the sum of the terms' magnitudes for the
# other products. Losses are float32 for every dtype.
BOUNDS = {
    F32: dict.fromkeys(("like logits", "logsumexp", "loss", "gradient", "dense gradient", "product"), 2.0),
    # Computed in float32 and rounded once. The loss: its exponentials are ex2.approx's, which 2 ULP do not hold.
    F16: {"loss": 3.0} | dict.fromkeys(("like logits", "logsumexp", "gradient", "dense gradient", "product"), 0.51),
}
BOUNDS[BF16] = BOUNDS[F16]


def array(tensor):
    """The values, in long double."""
    return tensor.detach().double().numpy().astype(np.longdouble)


def ulp(exact, dtype):
    """The unit in the last place of `dtype` at the exact values."""
    info = torch.finfo(dtype)
    _, lowest = np.frexp(info.smallest_normal)
    _, exponent = np.frexp(np.abs(exact))
    return np.ldexp(np.longdouble(info.eps), np.maximum(exponent, lowest) - 1)


def error(got, exact, scale=None):
    """Largest |got − exact| in ULP of `exact`, or of `scale` where that is larger; special values must agree."""
    dtype, got, exact = got.dtype, array(got), np.asarray(exact, np.longdouble)
    assert got.shape == exact.shape
    finite = np.isfinite(exact)
    np.testing.assert_array_equal(got[~finite], exact[~finite])
    unit = exact if scale is None else np.maximum(abs(exact), np.broadcast_to(scale, exact.shape))
    if dtype == BF16:  # whose exponentials end at 2^-126, where those of the other types go on
        least = abs(unit) < 2.0**-125
        assert (abs(got[least & finite]) <= 2.0**-125).all()
        finite &= ~least
    off = abs(got - exact)[finite] / ulp(unit[finite], dtype)
    assert not np.isnan(off).any()
    return float(off.max(initial=0))


def hostile(classes, dtype=F32, seed=0, rows=None):
    """Rows of logits that are hard to compute with, as a tensor (rows, classes); a few of them for each length."""
    rng = np.random.default_rng([classes, seed])
    half = classes // 2
    families = [
        rng.normal(size=classes) * 3,
        np.r_[rng.uniform(20, 34), rng.normal(size=classes - 1)],  # a confident row
        np.r_[rng.normal(size=classes - half) * 4, np.full(half, -np.inf)],  # masked
        1e4 + rng.normal(size=classes) * 5,  # far from 0
        np.r_[0.3, rng.uniform(-140, -80, size=classes - 1)],  # tails down through the subnormal numbers
        np.round(rng.normal(size=classes)),  # ties
        np.r_[0.0, -rng.random() * 1e-3, rng.uniform(-30, -20, size=max(classes - 2, 0))][:classes],  # a runner-up
        np.r_[rng.normal(size=classes - 1), rng.uniform(20, 34)],  # confident at the end
        rng.uniform(-100, 0, size=classes),
        -300 + rng.uniform(-40, 40, size=classes),
        400 + rng.uniform(-60, 60, size=classes),
        np.sort(rng.uniform(-60, 30, size=classes)),  # rising
        np.full(classes, 0.7) + np.arange(classes) * 2.0**-24,  # equal but for the last places
    ]
    chosen = np.roll(np.arange(len(families)), -classes)[:rows]
    return torch.from_numpy(np.stack(families)[chosen if rows else ...]).to(F32).to(dtype)


def labels_of(z):
    """Labels at the maximum of every other row, and anywhere in the others."""
    rng = np.random.default_rng(z.shape[1])
    anywhere = torch.from_numpy(rng.integers(z.shape[1], size=len(z)))
    return torch.where(torch.arange(len(z)) % 2 == 1, z.float().argmax(1), anywhere)


class Loss:
    """The loss of every row, its gradient and Hessian-vector products, and the magnitudes of their terms."""

    def __init__(self, z, target, weight=None, spec=None):
        smoothing, zeta, ignored = (
            (0.0, 0.0, None) if spec is None else (spec.label_smoothing, spec.z_loss, spec.ignore_index)
        )
        rows, classes = oracle.Rows(array(z)), z.shape[1]
        w = np.ones(classes, np.longdouble) if weight is None else array(weight)
        self.kept = np.ones(len(z), bool)
        if target.is_floating_point():
            q = array(target)
        else:
            labels = target.numpy()
            self.kept = np.full(len(z), True) if ignored is None else labels != ignored
            labels = np.where(self.kept, labels, 0)
            q = np.zeros(rows.z.shape, np.longdouble)
            np.put_along_axis(q, labels[:, None], 1, 1)
        smoothing = np.longdouble(smoothing)
        y = w * ((1 - smoothing) * q + smoothing / classes)
        self.weight_of_labels = (w * q).sum(1) * self.kept
        mass = self.mass = y.sum(axis=1, keepdims=True)
        below = -np.where(y == 0, 0, rows.difference)
        lse, p = rows.logsumexp[:, None], rows.softmax
        log_sum = np.log1p(rows.others)
        self.a, self.b = mass + 2 * zeta * lse, np.longdouble(2 * zeta)
        self.losses = self.of_rows(mass * log_sum + (y * below).sum(1, keepdims=True) + zeta * lse**2)[:, 0]
        magnitude = abs(mass) * log_sum + (abs(y) * below).sum(1, keepdims=True) + zeta * lse**2
        self.magnitude = self.of_rows(magnitude)[:, 0]
        others = mass - y
        if not target.is_floating_point() and not smoothing:
            np.put_along_axis(others, labels[:, None], 0, 1)
        self.gradient = self.of_rows(p * others - y * rows.complement + 2 * zeta * lse * p)
        one_hot = not (target.is_floating_point() or smoothing or zeta)
        self.terms = None if one_hot else self.of_rows(np.maximum(abs(self.a) * p, abs(y)))
        self.rows = rows

    def of_rows(self, result):
        return np.where(self.kept[:, None], result, 0)

    def product(self, v):
        """H v, and the magnitude of its terms."""
        p, v = self.rows.softmax, array(v)
        away = v - np.take_along_axis(v, self.rows.argmax, 1)
        mean, size = (np.sort(p * x, axis=1).sum(axis=1, keepdims=True) for x in (away, abs(away)))
        top = v - away
        result = p * (self.a * (away - mean) + self.b * (mean + top))
        terms = p * (abs(self.a) * (abs(away) + size) + self.b * (size + abs(top)))
        return self.of_rows(result), self.of_rows(terms)
