"""What SoftmaxRegression was constructed with, checked when a fit begins, as scikit-learn wants it."""

from __future__ import annotations

import operator
from typing import Any, NamedTuple

import numpy as np

from softgrad import _validation
from softgrad._loss_spec import LossSpec, Reduction
from softgrad.linear_model._solvers._minimise import SOLVERS


class Options(NamedTuple):
    """Those that the fit itself takes, each of its kind and in its range."""

    C: float
    fit_intercept: bool
    spec: LossSpec
    solver: str
    tol: float
    max_iter: int
    n_threads: int | None
    verbose: int


def checked(estimator: Any, C: object) -> Options:
    """The options of an estimator; C apart, because a path has many."""
    return Options(
        C=_strength(C),
        fit_intercept=truth(estimator.fit_intercept, "fit_intercept"),
        spec=LossSpec(reduction=Reduction.sum, label_smoothing=_smoothing(estimator.label_smoothing)),
        solver=_solver(estimator.solver),
        tol=_validation.non_negative(estimator.tol, "tol"),
        max_iter=_count(estimator.max_iter, "max_iter", 1, "a positive integer, such as the default 1000"),
        n_threads=None
        if estimator.n_threads is None
        else _count(estimator.n_threads, "n_threads", 1, "a positive integer, or None for softgrad.get_num_threads()"),
        verbose=_count(estimator.verbose, "verbose", 0, "0 for silence, or 1 for a line per iteration"),
    )


def _strength(C: object) -> float:
    number = _validation.real(C, "C")
    if not (number > 0 and np.isfinite(1 / number)):
        raise ValueError(f"C={C!r}; expected a number above 0; write C=numpy.inf for no penalty")
    return number


def _smoothing(value: object) -> float:
    number = _validation.real(value, "label_smoothing")
    if not 0 <= number < 1:
        raise ValueError(
            f"label_smoothing={value!r}; expected a number from 0 to less than 1: at 1 every label would be forgotten"
        )
    return number


def _solver(value: object) -> str:
    names = ("auto", *SOLVERS)
    if not (isinstance(value, str) and value in names):
        raise ValueError(f"solver={value!r}; expected one of {', '.join(map(repr, names))}")
    return value


def truth(value: object, name: str) -> bool:
    """True or False, of any bool type."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name}={value!r}; expected True or False")
    return bool(value)


def _count(value: object, name: str, least: int, expected: str) -> int:
    try:
        count = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{name}={value!r}; expected {expected}") from None
    if not least <= count < 2**31:
        raise ValueError(f"{name}={value!r}; expected {expected}")
    return count
