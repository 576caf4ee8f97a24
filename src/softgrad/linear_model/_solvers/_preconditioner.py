r"""Approximate inverses of the Hessian, for steps of about the right length in every direction.

The Hessian of the mean cross-entropy is :math:`\frac1S \sum_n m_n (\operatorname{Diag}(p_n) - p_n p_n^\top)
\otimes \tilde x_n \tilde x_n^\top`. Its blocks on the diagonal are Gram matrices, one for each class k, whose rows
are weighted by m p_k (1 − p_k): near the optimum, where most rows are classified with confidence, they are what
differs from Böhning's bound ½ (I − 11ᵀ/K) ⊗ X̃ᵀX̃/S, which knows no weights.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from scipy.linalg import get_lapack_funcs

from softgrad import get_num_threads, softmax
from softgrad.linear_model._problem import _kernels as _passes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from softgrad.linear_model._problem._objective import Objective

    Array = NDArray[Any]

_CHUNK_ELEMENTS = 1 << 19  # of X, copied at a time
_SERIAL_BELOW = 1 << 20  # elements of all factors; starting threads costs as much as solving with these
# A sample's Gram matrix is drawn towards the identity by this part, for columns that vary in few of its rows.
_SHRINKAGE = 0.01
_RIDGE = 1e-9
# Of a product in a Gram matrix, in products of a pass, and of an iteration beside its pass; measured.
_PRODUCT_COST, _OVERHEAD = 2.0, float(1 << 24)


class Preconditioner(Protocol):
    """Solves with an approximation of the Hessian."""

    def solve(self, vectors: Array) -> Array:
        """Of the shape (..., K, D + 1), as `vectors`; the classes of each sum to zero."""


class Plan(NamedTuple):
    """Which approximation suits the problem, and from how many rows it is made."""

    kind: str  # "class blocks", "one block" or "diagonal"
    rows: int

    @classmethod
    def of(cls, objective: Objective) -> Plan:
        """Blocks while they take at most a quarter of X's memory, or 2²⁴ numbers; one for each class if that fits."""
        classes, columns = objective.shape
        rows = objective.x.shape[0]
        limit = max(objective.elements // 4, 1 << 24)
        if columns**2 > limit:
            return cls("diagonal", min(rows, max(4096, rows // 8)))
        enough = min(rows, max(8 * columns, 64 * rows // columns))
        return cls("class blocks" if classes * columns**2 <= limit else "one block", enough)

    def cost(self, objective: Objective) -> float:
        """In iterations, each a pass over X and what surrounds it."""
        classes, columns = objective.shape
        blocks = {"class blocks": classes, "one block": 1, "diagonal": 1}[self.kind]
        width = 8 if self.kind == "diagonal" else columns / 2
        lanes = 64 // objective.x.dtype.itemsize
        products = self.rows * self._kept(objective) * columns * width * blocks
        return _PRODUCT_COST * products / (2.0 * objective.elements * max(classes, lanes) + _OVERHEAD)

    def _kept(self, objective: Objective) -> float:
        return 1.0 if self.rows == objective.x.shape[0] else 1 / 3

    def larger(self, objective: Objective) -> Plan:
        """The same from twice as many rows."""
        return self._replace(rows=min(objective.x.shape[0], 2 * self.rows))

    def at_start(self, objective: Objective) -> Preconditioner:
        """Where nothing is known of the probabilities: Böhning's bound, whose steps never overshoot."""
        sample = Sample(objective, self.rows)
        weights = np.repeat(0.5 * sample.mass[:, None], objective.shape[0], axis=1)
        return (Diagonal if self.kind == "diagonal" else OneBlock)(sample, weights)

    def bounded_step(self, objective: Objective, bound: Preconditioner, gradient: Array) -> Array:
        """The step that Böhning's bound, as `at_start` made it, takes from a gradient.

        The diagonal alone is no bound: columns that vary together make its step too long by up to their number. Its
        length is then where the bound itself is least along it.
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
        objective.passes += len(sample.rows) / objective.x.shape[0]
        return step * min(1.0, -float(np.vdot(gradient, step)) / curvature)

    def at(self, objective: Objective, theta: Array) -> Preconditioner:
        """The approximation of the Hessian at a point."""
        sample = Sample(objective, self.rows)
        kinds: dict[str, Callable[[Sample, Array], Preconditioner]]
        kinds = {"class blocks": ClassBlocks, "one block": OneBlock, "diagonal": Diagonal}
        return kinds[self.kind](sample, sample.class_weights(theta))


class Sample:
    """Rows of some weight drawn without replacement, always the same ones."""

    def __init__(self, objective: Objective, rows: int) -> None:
        self.objective = objective
        every = np.flatnonzero(objective.mass)
        chosen = np.random.default_rng(0).permutation(len(every))[:rows]
        self.rows = every if rows >= len(every) else every[np.sort(chosen)]
        mass = objective.mass[self.rows]
        self.mass = mass / (mass.sum() or 1.0) * (objective.mass.sum() / objective.total)

    @property
    def is_all(self) -> bool:
        """Whether no row is left out."""
        return len(self.rows) == self.objective.x.shape[0]

    def chunks(self) -> Iterator[tuple[slice, Any]]:
        """Parts of the sample, and these rows of X."""
        x = self.objective.x
        step = min(1 << 16, max(64, _CHUNK_ELEMENTS * x.shape[0] // (self.objective.elements + 1)))
        for start in range(0, len(self.rows), step):
            part = slice(start, min(len(self.rows), start + step))
            yield part, x[part if self.is_all else self.rows[part]]

    def class_weights(self, theta: Array) -> Array:
        """The weights m p (1 − p) of every row, one column for each class."""
        W, b = (part.astype(self.objective.x.dtype) for part in self.objective.coefficients(theta))
        p = np.concatenate([softmax(np.asarray(x @ W.T) + b) for _, x in self.chunks()]).astype(np.float64)
        self.objective.passes += len(self.rows) / self.objective.x.shape[0]
        return self.mass[:, None] * p * (1 - p)

    def grams(self, weights: Array) -> Array:
        """Σ_n q_nk x̃_n x̃_nᵀ for every column q_k of the weights: the upper triangles."""
        objective = self.objective
        grams = _passes.weighted_grams(
            objective.x, self.rows, weights, objective.mean, objective.scale, objective.fit_intercept
        )
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
        g = _centred(vectors).astype(self._factors.dtype)
        solution = np.empty_like(g)

        def solve_class(k: int) -> None:
            solution[..., k, :] = _solve(self._factors[k], g[..., k, :])

        _for_each(solve_class, len(self._factors), self._factors.size)
        return _centred(solution.astype(np.float64))


class OneBlock:
    """One Gram matrix, its rows weighted by the sum over the classes, which share it by their parts of the weight."""

    def __init__(self, sample: Sample, weights: Array) -> None:
        of_rows = weights.sum(axis=1, keepdims=True)
        total = float(of_rows.sum()) or 1.0
        self._class_weight = np.maximum(weights.sum(axis=0), _RIDGE * total)[:, None]
        (self._factor,) = sample.grams(of_rows / total)
        _factorise(self._factor, sample.objective.penalties[0] / self._class_weight.mean())

    def solve(self, vectors: Array) -> Array:
        g = (_centred(vectors) / self._class_weight).astype(self._factor.dtype)
        return _centred(_solve(self._factor, g).astype(np.float64))


class Diagonal:
    """The diagonal of the Hessian."""

    def __init__(self, sample: Sample, weights: Array) -> None:
        objective = sample.objective
        linear = square = np.zeros((objective.shape[0], objective.x.shape[1]))
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
    """Less the mean of the classes: a shift of all classes changes no probability, and the optimum has none."""
    return vectors - vectors.mean(axis=-2, keepdims=True)


def _thinned(weights: Array) -> Array:
    """Every column with at most a third of its entries left, as many times larger as they were likely to go."""
    threshold = 3 * weights.mean(axis=0)
    kept = np.random.default_rng(0).random(weights.shape) * threshold < weights
    return np.where(kept, np.maximum(weights, threshold), 0)


def _factorise(gram: Array, penalty: Array) -> None:
    """Cholesky factor of gram + Diag(penalty), in its place; a ridge is added where that is singular."""
    largest = float(gram.diagonal().max()) or 1.0
    ridge = max(_RIDGE, 8 * float(np.finfo(gram.dtype).eps)) * largest
    (factorise,) = get_lapack_funcs(("potrf",), (gram,))
    while True:
        matrix = gram.copy()
        matrix[np.diag_indices(len(matrix))] += (penalty + ridge).astype(gram.dtype)
        # LAPACK's columns are NumPy's rows: the upper triangle is its lower one.
        factor, failure = factorise(matrix.T, lower=True, overwrite_a=True)
        if not failure:
            gram[:] = factor.T
            return
        ridge *= 100


def _solve(factor: Array, vectors: Array) -> Array:
    (solve,) = get_lapack_funcs(("potrs",), (factor,))
    solution, _ = solve(factor.T, vectors.reshape(-1, vectors.shape[-1]).T, lower=True)
    return solution.T.reshape(vectors.shape)


def _for_each(task: Callable[[int], None], count: int, elements: int) -> None:
    """Run task(0) to task(count − 1), on several threads if they have much to do."""
    if elements < _SERIAL_BELOW:
        for k in range(count):
            task(k)
        return
    with ThreadPoolExecutor(get_num_threads()) as pool:
        list(pool.map(task, range(count)))
