"""The parameters of the estimators, validated when a fit begins, as scikit-learn's conventions require."""

from __future__ import annotations

import operator
from typing import Any, Literal, NamedTuple

import numpy as np

from softgrad import _validation
from softgrad._loss_spec import LossSpec, Reduction
from softgrad.linear_model._solvers._minimise import SOLVERS, SolverName


class FitOptions(NamedTuple):
    """The validated parameters of a fit."""

    C: float
    fit_intercept: bool
    spec: LossSpec
    solver: Literal[SolverName, "auto"]
    tol: float
    max_iter: int
    n_threads: int | None
    verbose: int


def checked(estimator: Any, C: object) -> FitOptions:
    """Validate the parameters of an estimator, with one value of C."""
    n_threads = estimator.n_threads
    if n_threads is not None:
        n_threads = checked_count(
            n_threads, "n_threads", 1, "a positive integer, or None for softgrad.get_num_threads()"
        )
    return FitOptions(
        C=_strength(C),
        fit_intercept=truth(estimator.fit_intercept, "fit_intercept"),
        spec=LossSpec(reduction=Reduction.sum, label_smoothing=_smoothing(estimator.label_smoothing)),
        solver=_solver(estimator.solver),
        tol=_validation.non_negative(estimator.tol, "tol"),
        max_iter=checked_count(estimator.max_iter, "max_iter", 1, "a positive integer, such as the default 1000"),
        n_threads=n_threads,
        verbose=checked_count(estimator.verbose, "verbose", 0, "0 for no output, or 1 for a line per iteration"),
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
            f"label_smoothing={value!r}; expected a number from 0 to less than 1: at 1 the targets would not depend on "
            "the labels"
        )
    return number


def _solver(value: object) -> Literal[SolverName, "auto"]:
    names: tuple[Literal[SolverName, "auto"], ...] = ("auto", *SOLVERS)
    for name in names:
        if isinstance(value, str) and value == name:
            return name
    raise ValueError(f"solver={value!r}; expected one of {', '.join(map(repr, names))}")


def truth(value: object, name: str) -> bool:
    """Return True or False, given any bool type."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name}={value!r}; expected True or False")
    return bool(value)


def checked_count(value: object, name: str, smallest: int, expected: str) -> int:
    try:
        count = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{name}={value!r}; expected {expected}") from None
    if not smallest <= count < 2**31:
        raise ValueError(f"{name}={value!r}; expected {expected}")
    return count
