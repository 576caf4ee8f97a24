r"""Approximate inverses of the Hessian.

The Hessian of the mean cross-entropy is :math:`\frac1S \sum_n m_n (\operatorname{Diag}(p_n) - p_n p_n^\top)
\otimes \tilde x_n \tilde x_n^\top`. Its diagonal blocks are Gram matrices, one for each class k, with row weights
m p_k (1 − p_k). Near the optimum most rows are classified with confidence and have small weights, which Böhning's
bound ½ (I − 11ᵀ/K) ⊗ X̃ᵀX̃/S ignores.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

import numpy as np
from scipy.linalg import get_lapack_funcs

from softgrad import get_num_threads
from softgrad.linear_model._problem._kernels import cholesky_solve, class_weights, weighted_grams

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from softgrad._typing import Array
    from softgrad.linear_model._problem._objective import Objective

_CHUNK_ELEMENTS = 1 << 19  # of X, copied at a time
SERIAL_BELOW = 1 << 20  # elements of all factors; starting threads costs as much as computing these
_BLOCK_VECTORS = 64  # solved at once: the number decides the last bits
# Weight of the identity added to a sample's Gram matrix, for columns that vary in few of its rows.
_SHRINKAGE = 0.01
_RIDGE = 1e-9
# Measured, in products of a pass: the cost of a product in a Gram matrix, and of an iteration outside its pass.
_PRODUCT_COST, _OVERHEAD = 2.0, float(1 << 24)
# Elements of a sample, at most, unless it has few rows: more would add no accuracy that the directions need.
_SAMPLE_ELEMENTS = 1 << 23


class Preconditioner(Protocol):
    """Solves with an approximation of the Hessian."""

    def solve(self, vectors: Array) -> Array:
        """Return solutions of the shape of `vectors`, (..., K, D + 1); over the classes, each sums to zero."""


class Plan(NamedTuple):
    """The approximation that suits a problem, and the number of rows it is computed from."""

    kind: Literal["class blocks", "one block", "diagonal"]
    rows: int

    @classmethod
    def of(cls, objective: Objective) -> Plan:
        """Choose blocks if they take at most a quarter of X's size or 2²⁴ numbers, one per class if those fit."""
        classes, columns = objective.shape
        rows = objective.rows.shape[0]
        limit = max(objective.rows.elements // 4, 1 << 24)
        if columns**2 > limit:
            return cls("diagonal", min(_most_rows(objective), max(4096, rows // 8)))
        sample = min(_most_rows(objective), max(8 * columns, 64 * rows // columns))
        return cls("class blocks" if classes * columns**2 <= limit else "one block", sample)

    def cost(self, objective: Objective) -> float:
        """Return the cost of the approximation in units of an iteration with one pass over X."""
        classes, columns = objective.shape
        blocks = {"class blocks": classes, "one block": 1, "diagonal": 1}[self.kind]
        width = 8 if self.kind == "diagonal" else columns / 2
        lanes = 64 // objective.rows.dtype.itemsize
        kept = 1.0 if self.rows == objective.rows.shape[0] else 1 / 3
        products = self.rows * kept * columns * width * blocks
        return _PRODUCT_COST * products / (2.0 * objective.rows.elements * max(classes, lanes) + _OVERHEAD)

    def larger(self, objective: Objective) -> Plan:
        """Return the plan with twice as many rows, up to the largest sample."""
        return self._replace(rows=max(self.rows, min(_most_rows(objective), 2 * self.rows)))

    def bound(self, objective: Objective) -> Preconditioner:
        """Return Böhning's bound, or its diagonal, which depends on no probabilities: see `bounded_step`."""
        sample = Sample(objective, self.rows)
        classes, weight = objective.shape[0], 0.5 * sample.mass
        if self.kind == "diagonal":
            return Diagonal(sample, np.broadcast_to(weight[:, None], (len(weight), classes)))
        return OneBlock(sample, classes * weight, np.full(classes, weight.sum()))

    def bounded_step(self, objective: Objective, bound: Preconditioner, gradient: Array) -> Array:
        """Return the step from a gradient by Böhning's bound, as `bound` approximates it.

        The diagonal alone is no bound: with columns that vary together its step is too long by up to their number. It
        is cut to the length at which the bound itself is least.
        """
        step = -bound.solve(gradient)
        if self.kind != "diagonal":
            return step
        curvature = float(np.vdot(objective.penalties * step, step))
        V, v = objective.coefficients(step)
        sample = Sample(objective, self.rows)
        for part, x in sample.chunks():
            logits = np.asarray(x @ V.T) + v
            logits -= logits.mean(axis=1, keepdims=True)
            curvature += 0.5 * float(sample.mass[part] @ (logits**2).sum(axis=1))
        objective.passes += len(sample.rows) / objective.rows.shape[0]
        return step * min(1.0, -float(np.vdot(gradient, step)) / curvature)

    def at(self, objective: Objective, theta: Array) -> Preconditioner:
        """Return the approximation of the Hessian at a point."""
        sample = Sample(objective, self.rows)
        weights = sample.class_weights(theta)
        if self.kind == "one block":
            return OneBlock(sample, weights.sum(axis=1), weights.sum(axis=0))
        return (ClassBlocks if self.kind == "class blocks" else Diagonal)(sample, weights)


def _most_rows(objective: Objective) -> int:
    """Return the size of the largest sample."""
    rows, columns = objective.rows.shape
    return min(rows, max(4096, 8 * columns, _SAMPLE_ELEMENTS * rows // max(objective.rows.elements, 1)))


class Sample:
    """Rows of positive weight, drawn at random but always the same."""

    def __init__(self, objective: Objective, count: int) -> None:
        self.objective = objective
        self.x, self.rows, mass, self.is_all = objective.rows.sample(count)
        self.mass = mass / (mass.sum() or 1.0) * (objective.rows.totals.mass / objective.total)

    def chunks(self) -> Iterator[tuple[slice, Any]]:
        """Yield slices of the sample with their rows of X."""
        rows = self.objective.rows
        step = min(1 << 16, max(64, _CHUNK_ELEMENTS * rows.shape[0] // (rows.elements + 1)))
        for start in range(0, len(self.rows), step):
            part = slice(start, min(len(self.rows), start + step))
            x = self.x[part if self.is_all else self.rows[part]]
            # BLAS may add in another order for another layout.
            yield part, np.ascontiguousarray(x) if isinstance(x, np.ndarray) else x

    def class_weights(self, theta: Array) -> Array:
        """Return the weights m p (1 − p) of every row, one column per class."""
        objective = self.objective
        objective.passes += len(self.rows) / objective.rows.shape[0]
        return class_weights(self.x, self.rows, *objective.coefficients(theta), self.mass)

    def grams(self, weights: Array) -> Array:
        """Return the upper triangles of Σ_n q_nk x̃_n x̃_nᵀ for every column q_k of the weights."""
        objective = self.objective
        grams = weighted_grams(self.x, self.rows, weights, objective.mean, objective.scale, objective.fit_intercept)
        if not self.is_all:
            np.einsum("kdd->kd", grams)[:] += _SHRINKAGE * weights.sum(axis=0)[:, None].astype(grams.dtype)
        return grams


class ClassBlocks:
    """A Cholesky factor of every class's weighted Gram matrix."""

    def __init__(self, sample: Sample, weights: Array) -> None:
        self._factors = sample.grams(weights if sample.is_all else _thinned(weights))
        _for_each(
            lambda k: _factorise(self._factors[k], sample.objective.penalties[k]), len(weights.T), self._factors.size
        )

    def solve(self, vectors: Array) -> Array:
        return _centred(cholesky_solve(self._factors, _centred(vectors)))


class OneBlock:
    """One Gram matrix for all classes, of row weights summed over the classes, scaled by the weight of each class."""

    def __init__(self, sample: Sample, row_weights: Array, class_weight: Array) -> None:
        total = float(row_weights.sum()) or 1.0
        self._class_weight = np.maximum(class_weight, _RIDGE * total)[:, None]
        (self._factor,) = sample.grams((row_weights / total)[:, None])
        _factorise(self._factor, sample.objective.penalties[0] / self._class_weight.mean())

    def solve(self, vectors: Array) -> Array:
        g = (_centred(vectors) / self._class_weight).astype(self._factor.dtype)
        return _centred(_solve(self._factor, g).astype(np.float64))


class Diagonal:
    """The diagonal of the Hessian."""

    def __init__(self, sample: Sample, weights: Array) -> None:
        objective = sample.objective
        linear = square = np.zeros((objective.shape[0], objective.rows.shape[1]))
        for part, x in sample.chunks():
            linear = linear + weights[part].T @ x
            square = square + weights[part].T @ (x * x if isinstance(x, np.ndarray) else x.multiply(x))
        mass = weights.sum(axis=0)[:, None]
        moments = (square - 2 * linear * objective.mean + mass * objective.mean**2) / objective.scale**2
        diagonal = np.maximum(np.hstack([moments, mass] if objective.fit_intercept else [moments]), 0)
        diagonal += objective.penalties
        self._diagonal = np.maximum(diagonal, _RIDGE * (diagonal.max() or 1.0))

    def solve(self, vectors: Array) -> Array:
        return _centred(_centred(vectors) / self._diagonal)


def _centred(vectors: Array) -> Array:
    """Subtract the mean over the classes: a common shift changes no probability, and the optimum has none."""
    return vectors - vectors.mean(axis=-2, keepdims=True)


def _thinned(weights: Array) -> Array:
    """Keep a random third of every column at most, favouring large entries, scaled to leave its expected sum."""
    threshold = 3 * weights.mean(axis=0)
    kept = np.random.default_rng(0).random(weights.shape) * threshold < weights
    return np.where(kept, np.maximum(weights, threshold), 0)


@cache
def _lapack(name: str, dtype: str) -> Any:
    (routine,) = get_lapack_funcs((name,), dtype=dtype)
    return routine


def _factorise(gram: Array, penalty: Array) -> None:
    """Replace gram by the Cholesky factor of gram + Diag(penalty), with a ridge if that is singular."""
    largest = float(gram.diagonal().max()) or 1.0
    ridge = max(_RIDGE, 8 * float(np.finfo(gram.dtype).eps)) * largest
    factorise = _lapack("potrf", gram.dtype.char)
    while True:
        matrix = gram.copy()
        matrix.flat[:: len(matrix) + 1] += (penalty + ridge).astype(gram.dtype)
        # LAPACK's columns are NumPy's rows: the upper triangle is its lower one.
        factor, failure = factorise(matrix.T, lower=True, overwrite_a=True)
        if not failure:
            gram[:] = factor.T
            return
        ridge *= 100


def _solve(factor: Array, vectors: Array) -> Array:
    """Solve with one factor, for blocks of vectors: LAPACK is faster than `cholesky_solve` for more than a few."""
    solve = _lapack("potrs", factor.dtype.char)
    rows = vectors.reshape(-1, vectors.shape[-1])
    solution = np.empty_like(rows)

    def solve_block(i: int) -> None:
        block = slice(i * _BLOCK_VECTORS, (i + 1) * _BLOCK_VECTORS)
        solution[block] = solve(factor.T, rows[block].T, lower=True)[0].T

    blocks = -(-len(rows) // _BLOCK_VECTORS)
    _for_each(solve_block, blocks, blocks * factor.size)
    return solution.reshape(vectors.shape)


def _for_each(task: Callable[[int], None], count: int, elements: int) -> None:
    """Run task(0) to task(count − 1), on several threads if the factors are large."""
    if count == 1 or elements < SERIAL_BELOW:
        for k in range(count):
            task(k)
        return
    with ThreadPoolExecutor(get_num_threads()) as pool:
        list(pool.map(task, range(count)))
