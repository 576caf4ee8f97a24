"""The suite "core": softmax, and loss with gradient, of float32 arrays that are already in memory.

The peers run in their best configuration: as many threads as softgrad, tensors made beforehand, results
written to `out=` where they take it, JAX compiled and waited for. torch and JAX allocate a new gradient
in every call, as they offer no other way; softgrad gets `out=` only where the title says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

import softgrad as sg
from benchmarks import inputs, reference, tables
from benchmarks.peers import jax_cross_entropy
from benchmarks.suites import Suite
from benchmarks.timing import Goal, TimedCase, Variant, at_most, faster
from benchmarks.verdict import Exact, Judge, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from benchmarks.peers import Peers
    from benchmarks.suites import Report
    from softgrad._typing import Array

    Call = Callable[[], Any]


def cases(peers: Peers, *, shrink: int = 1) -> Iterator[TimedCase]:
    """The cases, each with its arrays, one at a time; `shrink` divides every shape (tests use it)."""

    def shape(rows: int, classes: int) -> tuple[int, int]:
        return max(1, rows // shrink), max(2, classes // shrink)

    large = [faster(10), at_most(1.6, "one copy")]
    yield _loss_and_gradient(peers, shape(512, 50257), large, out=True, copy=True)
    yield _loss_and_gradient(peers, shape(1024, 1000), [faster(4)])
    yield _loss_and_gradient(peers, shape(65536, 10), [faster(8)])
    yield _loss_and_gradient(peers, shape(64, 10), [faster(10)])
    yield _softmax(peers, shape(512, 50257), [faster(1.2)], out=True)
    yield _softmax(peers, shape(64, 10), [faster(5, "SciPy"), faster(2)])
    yield _loss_and_gradient(peers, shape(1, 2**24), [faster(8)], out=True)


def notes(report: Report) -> list[str]:
    """The conditions of the measurement, for this suite and "curvature"."""
    threads = tables.counted(report["threads"], "thread")
    return [
        f"float32 unless stated; {threads} for softgrad, torch and JAX; SciPy and the copy use one.",
        f"{tables.counted(report['rounds'], 'round')} in which the variants take turns; results checked against "
        "float64.",
        *tables.load_warning(report),
    ]


SUITE = Suite(
    peers=("SciPy", "torch", "JAX"),
    rounds=20,
    cases=cases,
    notes=notes,
    table=lambda report: tables.speed_table(report["cases"]),
)


def _loss_and_gradient(
    peers: Peers, shape: tuple[int, int], goals: Sequence[Goal], *, out: bool = False, copy: bool = False
) -> TimedCase:
    logits, target = inputs.labelled_logits(shape)
    result = np.empty_like(logits) if out else None
    rows = reference.sampled_rows(*shape)
    gradient = reference.gradient(logits[rows], target[rows], np.float64) / shape[0]
    judge = Judge([Exact(reference.mean_loss(logits, target)), Exact(gradient, rows)])

    def run() -> Any:
        return sg.cross_entropy_value_and_grad(logits, target, out=result)

    variants = [Variant("softgrad", "cross_entropy_value_and_grad", run)]
    if "torch" in peers:
        variants.append(Variant("torch", "forward + backward", _torch_gradient(peers["torch"], logits, target)))
    if "JAX" in peers:
        variants.append(Variant("JAX", "jit(value_and_grad)", _jax_gradient(peers["JAX"], logits, target)))
    if copy:
        variants.append(_copy(logits))
    return TimedCase(_title("loss + gradient", shape, out), "float32", shape, judge, variants, goals)


def _torch_gradient(torch: Any, logits: Array, target: Array) -> Call:
    z, y = torch.from_numpy(logits).requires_grad_(), torch.from_numpy(target)

    def run() -> Any:
        z.grad = None
        loss = torch.nn.functional.cross_entropy(z, y)
        loss.backward()
        return loss, z.grad

    return run


def _jax_gradient(jax: Any, logits: Array, target: Array) -> Call:
    z, y = jax.numpy.asarray(logits), jax.numpy.asarray(target, dtype="int32")
    row_wise = jax_cross_entropy(jax)
    compiled = jax.jit(jax.value_and_grad(lambda z, y: row_wise(z, y).mean()))
    return lambda: jax.block_until_ready(compiled(z, y))


def _softmax(peers: Peers, shape: tuple[int, int], goals: Sequence[Goal], *, out: bool = False) -> TimedCase:
    logits = inputs.logits(shape)
    result = np.empty_like(logits) if out else None
    rows = reference.sampled_rows(*shape)
    judge = Judge([Exact(reference.softmax(logits[rows], np.float64), rows)])
    variants = [Variant("softgrad", "softmax", lambda: sg.softmax(logits, out=result))]
    if "torch" in peers:
        what = f"softmax{', out=' if out else ''}"
        variants.append(Variant("torch", what, _torch_softmax(peers["torch"], logits, out=out)))
    if "SciPy" in peers and not out:  # it has no out=
        scipy_softmax = peers["SciPy"].softmax
        variants.append(Variant("SciPy", "special.softmax", lambda: scipy_softmax(logits, axis=-1)))
    if "JAX" in peers:
        variants.append(Variant("JAX", "jit(nn.softmax)", _jax_softmax(peers["JAX"], logits)))
    if out:
        variants.append(_copy(logits))
    return TimedCase(_title("softmax", shape, out), "float32", shape, judge, variants, goals)


def _torch_softmax(torch: Any, logits: Array, *, out: bool) -> Call:
    z = torch.from_numpy(logits)
    result = torch.empty_like(z) if out else None
    return lambda: torch.softmax(z, -1, out=result)


def _jax_softmax(jax: Any, logits: Array) -> Call:
    z = jax.numpy.asarray(logits)
    compiled = jax.jit(jax.nn.softmax)
    return lambda: jax.block_until_ready(compiled(z))


def _copy(array: Array) -> Variant:
    result = np.empty_like(array)

    def judge(_: None) -> Verdict:
        return Verdict(None, None if np.array_equal(result, array) else "different from the logits")

    return Variant("one copy", "numpy.copyto", lambda: np.copyto(result, array), judge)


def _title(work: str, shape: tuple[int, int], out: bool) -> str:
    return f"{work}, {tables.shape(shape)}{', out=' if out else ''}"
