"""The results of the derivations beside the functions that softgrad ships, in float64."""

from __future__ import annotations

from itertools import product as every
from typing import TYPE_CHECKING, Any, NamedTuple

import mpmath
import numpy as np
import sympy as sp

import softgrad as sg
from softgrad.derivation._point import FEATURES, Point, entry, evaluate, size
from softgrad.derivation._symbols import D, free_indices, n

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from softgrad.derivation._derivation import Derivation, Result

    Array = NDArray[np.float64]

TOLERANCE = 1e-13


class KernelCheck(NamedTuple):
    """The largest relative error of the shipped function's entries, and whether that is rounding alone."""

    function: str
    error: float

    @property
    def passed(self) -> bool:
        return self.error <= TOLERANCE

    def __str__(self) -> str:
        if self.passed:
            return f"the results agree with softgrad.{self.function} to {self.error:.1g}"
        return f"FAILS: the results differ from softgrad.{self.function} by {self.error:.1g}"


class _Values(NamedTuple):
    z: Array
    y: Array
    x: Array
    W: Array
    b: Array


def check(derivation: Derivation, point: Point) -> KernelCheck:
    """Compare the results at a point with the shipped function's."""
    function, shipped = _SHIPPED[derivation.name]
    errors = []
    for position, result in enumerate(derivation.results):
        at = point if result.condition is None else _one_hot(point)
        array = np.asarray(shipped(_values(at))[position])
        errors.append(_largest_error(array, _exact(result, at)))
    return KernelCheck(function, max(errors))


def _one_hot(point: Point) -> Point:
    zero, one = mpmath.mpf(0), mpmath.mpf(1)
    return point.with_values({("y", (c,)): one if c == 2 else zero for c in range(1, point.n + 1)})


def _values(point: Point) -> _Values:
    def array(name: str) -> Array:
        keys = sorted(key for key in point.values if key[0] == name)
        shape = tuple(max(key[1][axis] for key in keys) for axis in range(len(keys[0][1]))) if keys else (0,)
        return np.array([float(point.values[key]) for key in keys]).reshape(shape)

    return _Values(*map(array, _Values._fields))


def _exact(result: Result, point: Point) -> list[Any]:
    """All entries of a result, row by row."""
    right = result.right
    if isinstance(right, sp.MatrixExpr):
        rows, columns = (range(1, {n: point.n, D: FEATURES, sp.S.One: 1}[length] + 1) for length in right.shape)
        return [entry(right, point, row, column) for row, column in every(rows, columns)]
    indices = sorted(free_indices(right), key=str)
    values = every(*(range(1, size(index, point) + 1) for index in indices))
    return [evaluate(right, point, dict(zip(indices, combination, strict=True))) for combination in values]


def _largest_error(array: Array, exact: list[Any]) -> float:
    if array.size != len(exact):
        return np.inf
    return max(
        0.0 if computed == true else float(abs((mpmath.mpf(computed) - true) / (true or mpmath.mpf(5e-324))))
        for computed, true in zip(array.ravel().tolist(), exact, strict=True)
    )


def _head(at: _Values) -> list[Any]:
    gradient = sg.linear_cross_entropy_value_and_grad(
        at.x[np.newaxis], at.W, at.y[np.newaxis], bias=at.b, reduction="sum"
    )[1]
    return [gradient.W, gradient.x, gradient.bias]


# The function's name, and its arrays, one for each result.
_SHIPPED: dict[str, tuple[str, Callable[[_Values], list[Any]]]] = {
    "softmax": ("softmax_jacobian", lambda at: [sg.softmax_jacobian(at.z).to_dense()] * 2),
    "log-softmax": ("log_softmax_jacobian", lambda at: [sg.log_softmax_jacobian(at.z).to_dense()] * 2),
    "logsumexp": ("softmax", lambda at: [sg.softmax(at.z)] * 2),
    "cross-entropy": ("cross_entropy_grad", lambda at: [sg.cross_entropy_grad(at.z, at.y, reduction="sum")] * 3),
    "cross-entropy-hessian": (
        "cross_entropy_hessian",
        lambda at: [sg.cross_entropy_hessian(at.z, at.y, reduction="sum").to_dense()] * 2,
    ),
    "linear-head": ("linear_cross_entropy_value_and_grad", _head),
}
