"""The suite "accuracy": the largest errors of softgrad and its peers over families of rows.

SciPy has no cross-entropy: its loss is -log_softmax at the target and its gradient softmax - one_hot, as
its users write them. JAX's loss is written as in Optax.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.text import Text

import softgrad as sg
from benchmarks import reference, tables
from benchmarks.peers import jax_cross_entropy
from benchmarks.suites import Suite
from benchmarks.verdict import ALLOWED_ULP

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.table import Table

    from benchmarks.peers import Peers
    from benchmarks.suites import Report
    from softgrad._typing import Array

    Rows = tuple[Array, Array]  # logits and class indices
    Draw = Callable[[np.random.Generator, tuple[int, int], np.dtype[Any]], Rows]
    Library = Callable[[Array, Array], dict[str, Array]]  # the results of FUNCTIONS

FUNCTIONS = ("softmax", "log_softmax", "loss", "gradient")
_CLASSES = (10, 1000)
_ENTRIES = 20_000  # of one array: rows × classes


def cases(peers: Peers, *, shrink: int = 1) -> Iterator[AccuracyCase]:
    """Every family in every dtype that can be judged; `shrink` divides the number of rows (tests use it)."""
    libraries = _libraries(peers)
    for title, draw in FAMILIES.items():
        for dtype in dtypes():
            yield AccuracyCase(title, dtype, draw, libraries, _ENTRIES // shrink)


def dtypes() -> list[np.dtype[Any]]:
    """The dtypes that long double exceeds by ten bits or more: not float64 where the two are the same."""
    bits = np.finfo(np.longdouble).nmant
    return [dtype for dtype in map(np.dtype, ("float32", "float64")) if np.finfo(dtype).nmant + 10 <= bits]


@dataclass(frozen=True)
class AccuracyCase:
    """One family of rows in one dtype."""

    title: str
    dtype: np.dtype[Any]
    draw: Draw
    libraries: dict[str, Library]
    entries: int

    def measure(self, rounds: int, progress: Callable[[str], object]) -> dict[str, Any]:
        """Find the largest error of every library in every function, over `rounds` draws of rows."""
        rng = np.random.default_rng(0)
        errors = {function: dict.fromkeys(self.libraries, 0.0) for function in FUNCTIONS}
        for i in range(rounds):
            progress(f"draw {i + 1} of {rounds}")
            for classes in _CLASSES:
                shape = max(1, self.entries // classes), classes
                logits, target = self.draw(rng, shape, self.dtype)
                exact = exact_results(logits, target)
                for name, library in self.libraries.items():
                    for function, result in library(logits, target).items():
                        error = reference.ulp_error(result, exact[function], self.dtype.name)
                        errors[function][name] = max(errors[function][name], error)
        return {
            "title": self.title,
            "dtype": self.dtype.name,
            "largest_error_ulp": errors,
            "allowed_ulp": ALLOWED_ULP,
        }


def notes(report: Report) -> list[str]:
    """Return the notes below the table."""
    lines = [
        "Largest error in ULP of the exact result, in rows of 10 and of 1000 classes.",
        "At most 0.5: correctly rounded. 1e7 in float32, 1e15 in float64: no digit is right.",
    ]
    if not any(case["dtype"] == "float64" for case in report["cases"]):
        lines.append("float64 is left out: long double is no wider on this platform.")
    return lines


def table(report: Report) -> Table:
    """A row for each function and family, a column for each dtype and library."""
    records = report["cases"]
    libraries = list(records[0]["largest_error_ulp"]["softmax"])
    names = sorted({record["dtype"] for record in records})
    found = {(record["title"], record["dtype"]): record for record in records}
    result = tables.new_table("rows", *(f"{library}\n{dtype}" for dtype in names for library in libraries))
    for function in FUNCTIONS:
        tables.add_heading(result, function)
        for title in dict.fromkeys(record["title"] for record in records):
            cells = [_error_cell(found[title, dtype], function, library) for dtype in names for library in libraries]
            result.add_row(f"  {title}", *cells)
    return result


def _error_cell(record: dict[str, Any], function: str, library: str) -> Text:
    error = record["largest_error_ulp"][function][library]
    within = "green" if error <= record["allowed_ulp"] else "red"
    return Text(tables.ulp(error), style=within if library == "softgrad" else "")


SUITE = Suite(peers=("SciPy", "torch", "JAX"), rounds=4, cases=cases, notes=notes, table=table)


def exact_results(logits: Array, target: Array) -> dict[str, Array]:
    """The results of `FUNCTIONS` in long double."""
    return {
        "softmax": reference.softmax(logits, np.longdouble),
        "log_softmax": reference.log_softmax(logits, np.longdouble),
        "loss": reference.loss(logits, target, np.longdouble),
        "gradient": reference.gradient(logits, target, np.longdouble),
    }


def _libraries(peers: Peers) -> dict[str, Library]:
    libraries: dict[str, Library] = {"softgrad": _softgrad}
    makers = {"SciPy": _scipy, "torch": _torch, "JAX": _jax}
    libraries.update((name, makers[name](peer)) for name, peer in peers.items())
    return libraries


def _softgrad(logits: Array, target: Array) -> dict[str, Array]:
    loss, gradient = sg.cross_entropy_value_and_grad(logits, target, reduction="none")
    return {
        "softmax": sg.softmax(logits),
        "log_softmax": sg.log_softmax(logits),
        "loss": loss,
        "gradient": gradient,
    }


def _scipy(special: Any) -> Library:
    def results(logits: Array, target: Array) -> dict[str, Array]:
        rows = np.arange(len(logits))
        probs, log_probs = special.softmax(logits, axis=1), special.log_softmax(logits, axis=1)
        gradient = probs.copy()
        gradient[rows, target] -= 1
        return {"softmax": probs, "log_softmax": log_probs, "loss": -log_probs[rows, target], "gradient": gradient}

    return results


def _torch(torch: Any) -> Library:
    def results(logits: Array, target: Array) -> dict[str, Array]:
        z = torch.from_numpy(logits).requires_grad_()
        loss = torch.nn.functional.cross_entropy(z, torch.from_numpy(target), reduction="none")
        loss.sum().backward()
        with torch.no_grad():
            return {
                "softmax": torch.softmax(z, -1).numpy(),
                "log_softmax": torch.log_softmax(z, -1).numpy(),
                "loss": loss.numpy(),
                "gradient": z.grad.numpy(),
            }

    return results


def _jax(jax: Any) -> Library:
    cross_entropy = jax_cross_entropy(jax)
    softmax, log_softmax, loss = jax.jit(jax.nn.softmax), jax.jit(jax.nn.log_softmax), jax.jit(cross_entropy)
    gradient = jax.jit(jax.grad(lambda z, y: cross_entropy(z, y).sum()))

    def results(logits: Array, target: Array) -> dict[str, Array]:
        before = jax.config.jax_enable_x64
        jax.config.update("jax_enable_x64", True)  # without it float64 becomes float32
        try:
            z, y = jax.numpy.asarray(logits), jax.numpy.asarray(target)
            return {
                "softmax": np.asarray(softmax(z)),
                "log_softmax": np.asarray(log_softmax(z)),
                "loss": np.asarray(loss(z, y)),
                "gradient": np.asarray(gradient(z, y)),
            }
        finally:
            jax.config.update("jax_enable_x64", before)

    return results


def _normal(scale: float, offset: float = 0.0) -> Draw:
    def draw(rng: np.random.Generator, shape: tuple[int, int], dtype: np.dtype[Any]) -> Rows:
        logits = (scale * rng.standard_normal(shape) + offset).astype(dtype)
        return logits, rng.integers(shape[1], size=shape[0])

    return draw


def _confidently_right(rng: np.random.Generator, shape: tuple[int, int], dtype: np.dtype[Any]) -> Rows:
    """Rows in which one class has a probability of about 1 - 1e-13; that class."""
    rows, classes = shape
    sure = rng.integers(classes, size=rows)
    logits = rng.standard_normal(shape) + np.log(1e-13 / (classes - 1))
    logits[np.arange(rows), sure] = 0
    return (logits + rng.standard_normal((rows, 1))).astype(dtype), sure


def _confidently_wrong(rng: np.random.Generator, shape: tuple[int, int], dtype: np.dtype[Any]) -> Rows:
    logits, sure = _confidently_right(rng, shape, dtype)
    return logits, (sure + rng.integers(1, shape[1], size=shape[0])) % shape[1]


def _tails(rng: np.random.Generator, shape: tuple[int, int], dtype: np.dtype[Any]) -> Rows:
    """Logits spread evenly from the maximum down to where the probability is the smallest subnormal."""
    lowest = float(np.log(np.finfo(dtype).smallest_subnormal.astype(np.longdouble)))
    logits = rng.uniform(lowest, 0, shape).astype(dtype)
    return logits, rng.integers(shape[1], size=shape[0])


FAMILIES: dict[str, Draw] = {
    "normal, scale 1": _normal(1),
    "normal, scale 10": _normal(10),
    "normal, scale 40": _normal(40),
    "normal, offset 1e4": _normal(1, offset=1e4),
    "confidently right": _confidently_right,
    "confidently wrong": _confidently_wrong,
    "tails": _tails,
}
