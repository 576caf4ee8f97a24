"""How much of a fit on one thread the threads of other machines could not share."""

from __future__ import annotations

import time
import warnings
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from sklearn.exceptions import ConvergenceWarning

from softgrad import _core
from softgrad.linear_model import SoftmaxRegression, _fit_results, _softmax_regression
from softgrad.linear_model._problem import _kernels, _objective
from softgrad.linear_model._solvers import _preconditioner
from softgrad.linear_model._solvers._lbfgs import LBFGS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.suites import Record
    from benchmarks.suites.regression.data_sets import DataSet

THREADS = 16, 64  # for which Amdahl's law is evaluated
# Seconds. Shorter calls are not shared: see serial_below in native/layout/tuning.h.
_SHORTEST = 1e-4

# Serial pieces, and the functions whose time they take, without that of other pieces that those call.
_SERIAL: dict[str, list[tuple[Any, str]]] = {
    "checks of X and y": [
        (_softmax_regression, "convert_rows"),
        (_softmax_regression, "used_columns"),
        (_fit_results, "check_sample_weight"),
        (_fit_results, "encode_target"),
        (_fit_results, "fit_targets"),
    ],
    "moments": [(_objective, "location_and_scale")],
    "conversions of the gradient": [(_objective.Objective, "value_and_grad"), (_objective.Objective, "norm")],
    "initial Hessians": [(_preconditioner.Plan, "bound"), (_preconditioner.Plan, "at")],
    "directions": [(LBFGS, "direction"), (LBFGS, "update")],
}

# Pieces that the threads share, and the arguments of the same call for the first row alone, whose time is serial.
_SHARED: dict[str, tuple[Any, str, Callable[..., tuple[Any, ...]] | None]] = {
    "passes": (
        _kernels,
        "gradient",
        lambda rows, *rest: (rows.part(slice(1)), *rest),
    ),
    "moments": (_core, "column_sums", lambda dtype, x, leaf, weight, *out: (dtype, x[:1], leaf, weight[:1], *out)),
    "class weights": (_preconditioner, "class_weights", lambda x, rows, W, b, mass: (x, rows[:1], W, b, mass[:1])),
    "Gram matrices": (
        _preconditioner,
        "weighted_grams",
        lambda x, rows, weights, *rest: (x, rows[:1], weights[:1], *rest),
    ),
    "solutions": (_core, "cholesky_solve", None),
}


class Clock:
    """The seconds of pieces, serial and shared, each without the pieces inside it."""

    def __init__(self) -> None:
        self.serial: dict[str, float] = {}
        self.shared: dict[str, float] = {}
        self._inside: list[float] = [0.0]  # seconds of the pieces inside every piece that is running

    @property
    def total(self) -> float:
        """The seconds of all pieces."""
        return sum(self.serial.values()) + sum(self.shared.values())

    @contextmanager
    def excluded(self) -> Iterator[None]:
        """Leave out the time of the block."""
        begin = time.perf_counter()
        yield
        self._inside[-1] += time.perf_counter() - begin

    @contextmanager
    def piece(self, name: str, *, serial: float | None = None) -> Iterator[None]:
        """Count the time of the block as that of a piece: all as serial, or so many seconds of it."""
        self._inside.append(0.0)
        begin = time.perf_counter()
        try:
            yield
        finally:
            elapsed = time.perf_counter() - begin
            own = elapsed - self._inside.pop()
            self._inside[-1] += elapsed
            alone = own if serial is None or own < _SHORTEST else min(own, serial)
            self.serial[name] = self.serial.get(name, 0.0) + alone
            self.shared[name] = self.shared.get(name, 0.0) + own - alone


@dataclass(frozen=True)
class SerialShareCase:
    """The pieces of a fit on one thread, and the speed-up that Amdahl's law allows.

    A call of the compiled module counts as shared, less its time for a single row, if it is long enough to be shared;
    so do factors of several large blocks, and solutions of many vectors, by LAPACK. Everything else is serial.
    """

    data: DataSet

    @property
    def title(self) -> str:
        """The name of the work."""
        return f"serial share, {self.data.name}"

    def measure(self, rounds: int, progress: Callable[[str], object]) -> Record:
        """Fit in every round, and report the fastest fit."""
        fits = []
        for i in range(rounds):
            progress(f"round {i + 1} of {rounds}")
            fits.append(_pieces_of_a_fit(self.data))
        clock = min(fits, key=lambda clock: clock.total)
        serial = sum(clock.serial.values()) / clock.total
        return {
            "title": self.title,
            "data": self.data.name,
            "shape": list(self.data.shape),
            "dtype": self.data.x.dtype.name,
            "fit_s": clock.total,
            "pieces": [
                {"name": name, "serial_s": clock.serial[name], "shared_s": clock.shared[name]} for name in clock.serial
            ],
            "serial_share": serial,
            "speed_up": {str(n): 1 / (serial + (1 - serial) / n) for n in THREADS},
        }


def _pieces_of_a_fit(data: DataSet) -> Clock:
    clock = Clock()
    replacements = [
        (owner, name, _serial(clock, piece, getattr(owner, name)))
        for piece, functions in _SERIAL.items()
        for owner, name in functions
    ]
    replacements += [
        (owner, name, _shared(clock, piece, getattr(owner, name), first_row))
        for piece, (owner, name, first_row) in _SHARED.items()
    ]
    replacements += [(_preconditioner, "_for_each", _tasks(clock, _preconditioner._for_each))]
    with ExitStack() as patches, warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for replacement in replacements:
            patches.enter_context(patch.object(*replacement))
        with clock.piece("line search and the rest"):
            SoftmaxRegression(n_threads=1).fit(data.x, data.y)
    return clock


def _serial(clock: Clock, piece: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def run(*args: Any, **options: Any) -> Any:
        with clock.piece(piece):
            return function(*args, **options)

    return run


def _shared(
    clock: Clock, piece: str, function: Callable[..., Any], first_row: Callable[..., tuple[Any, ...]] | None
) -> Callable[..., Any]:
    fixed = 0.0 if first_row is None else None

    def run(*args: Any) -> Any:
        nonlocal fixed
        if fixed is None:
            assert first_row is not None
            with clock.excluded():
                fixed = min(_seconds(function, first_row(*args)) for _ in range(3))
        with clock.piece(piece, serial=fixed):
            return function(*args)

    return run


def _tasks(clock: Clock, function: Callable[..., Any]) -> Callable[..., Any]:
    def run(task: Callable[[int], None], count: int, elements: int) -> None:
        several = count > 1 and elements >= _preconditioner.SERIAL_BELOW
        with clock.piece("LAPACK", serial=0.0 if several else None):
            function(task, count, elements)

    return run


def _seconds(function: Callable[..., Any], args: tuple[Any, ...]) -> float:
    begin = time.perf_counter()
    function(*args)
    return time.perf_counter() - begin
