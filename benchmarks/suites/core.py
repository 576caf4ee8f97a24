"""The suite "core": softmax, and loss with gradient, of float32 arrays that are already in memory.

The peers run in their best configuration: as many threads as softgrad, tensors made beforehand, results
written to `out=` where they take it, JAX compiled and waited for. torch and JAX allocate the gradient
anew in every call, as they have no way to be given it; softgrad is given `out=` only where the title says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

import softgrad as sg
from benchmarks import peers as _bench_peers
from benchmarks import reference as _bench_reference
from benchmarks.timing import Case, Goal, Variant, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from benchmarks.peers import Peers

    Array = NDArray[Any]
    Results = list[tuple[Array, Array]]  # of the variant, and exact

PEERS = ("SciPy", "torch", "JAX")
ROUNDS = 20

# softgrad is held to the bound that its documentation gives. The peers give none; theirs only has to be the
# same function: within 1e-4 of the largest entry.
TOLERANCE_ULP = 2.0
PEER_TOLERANCE = 1e-4

_CHECKED_ENTRIES = 2**19  # the rows of one check; the loss is checked over all rows
_BLOCK_ENTRIES = 2**22  # of the float64 reference of the loss: bounds its memory


def cases(peers: Peers, *, shrink: int = 1) -> Iterator[Case]:
    """The cases, each with its arrays, one at a time; `shrink` divides every shape (tests use it)."""

    def shape(rows: int, classes: int) -> tuple[int, int]:
        return max(1, rows // shrink), max(2, classes // shrink)

    faster = [Goal("torch", ratio=10, text="≥ 10×"), Goal("one copy", ratio=1 / 1.6, text="≤ 1.6×")]
    yield _loss_and_gradient(peers, shape(512, 50257), faster, out=True, copy=True)
    yield _loss_and_gradient(peers, shape(1024, 1000), [Goal("torch", ratio=4, text="≥ 4×")])
    yield _loss_and_gradient(peers, shape(65536, 10), [Goal("torch", ratio=8, text="≥ 8×")])
    yield _loss_and_gradient(peers, shape(64, 10), [Goal("torch", ratio=10, text="≥ 10×")])
    yield _softmax(peers, shape(512, 50257), [Goal("torch", ratio=1.2, text="≥ 1.2×")], out=True)
    small = [Goal("SciPy", ratio=5, text="≥ 5×"), Goal("torch", ratio=2, text="≥ 2×")]
    yield _softmax(peers, shape(64, 10), small)
    yield _loss_and_gradient(peers, shape(1, 2**24), [Goal("torch", ratio=8, text="≥ 8×")], out=True)


def _loss_and_gradient(
    peers: Peers, shape: tuple[int, int], goals: Sequence[Goal], *, out: bool = False, copy: bool = False
) -> Case:
    rng = np.random.default_rng(0)
    logits = _logits(rng, shape)
    target = rng.integers(shape[1], size=shape[0])
    result = np.empty_like(logits) if out else None
    rows = _checked_rows(shape)
    exact_loss = np.float64(_mean_loss(logits, target))
    exact_gradient = _bench_reference.gradient(logits[rows], target[rows], np.float64) / shape[0]

    def check(outputs: Callable[[], tuple[Any, Array]], judge: Callable[[Results], Verdict]) -> Callable[[], Verdict]:
        def verdict() -> Verdict:
            loss, gradient = outputs()
            return judge([(np.asarray(loss).reshape(1), exact_loss.reshape(1)), (gradient[rows], exact_gradient)])

        return verdict

    def run() -> tuple[Any, Array]:
        return sg.cross_entropy_value_and_grad(logits, target, out=result)

    variants = [Variant("softgrad", "cross_entropy_value_and_grad", run, check(run, _within_bound))]
    if "torch" in peers:
        torch = peers["torch"]
        torch_logits = torch.from_numpy(logits).requires_grad_()
        torch_target = torch.from_numpy(target)

        def run_torch() -> Any:
            torch_logits.grad = None
            loss = torch.nn.functional.cross_entropy(torch_logits, torch_target)
            loss.backward()
            return loss

        def torch_outputs() -> tuple[Any, Array]:
            return run_torch().detach().numpy(), torch_logits.grad.numpy()

        variants.append(Variant("torch", "forward + backward", run_torch, check(torch_outputs, _same_function)))
    if "JAX" in peers:
        jax = peers["JAX"]
        jax_logits, jax_target = jax.numpy.asarray(logits), jax.numpy.asarray(target, dtype="int32")
        row_wise = _bench_peers.jax_cross_entropy(jax)
        compiled = jax.jit(jax.value_and_grad(lambda z, y: row_wise(z, y).mean()))

        def run_jax() -> Any:
            return jax.block_until_ready(compiled(jax_logits, jax_target))

        def jax_outputs() -> tuple[Any, Array]:
            loss, gradient = run_jax()
            return np.asarray(loss), np.asarray(gradient)

        variants.append(Variant("JAX", "jit(value_and_grad)", run_jax, check(jax_outputs, _same_function)))
    if copy:
        variants.append(_copy(logits))
    title = f"loss + gradient, {shape[0]} × {shape[1]}{', out=' if out else ''}"
    return Case(title, "float32", shape, variants, goals)


def _softmax(peers: Peers, shape: tuple[int, int], goals: Sequence[Goal], *, out: bool = False) -> Case:
    logits = _logits(np.random.default_rng(0), shape)
    rows = _checked_rows(shape)
    exact = _bench_reference.softmax(logits[rows], np.float64)
    result = np.empty_like(logits) if out else None

    def check(outputs: Callable[[], Any], judge: Callable[[Results], Verdict]) -> Callable[[], Verdict]:
        return lambda: judge([(np.asarray(outputs())[rows], exact)])

    def run() -> Any:
        return sg.softmax(logits, out=result)

    variants = [Variant("softgrad", "softmax", run, check(run, _within_bound))]
    if "torch" in peers:
        torch = peers["torch"]
        torch_logits = torch.from_numpy(logits)
        torch_result = torch.empty_like(torch_logits) if out else None

        def run_torch() -> Any:
            return torch.softmax(torch_logits, -1, out=torch_result)

        variants.append(
            Variant("torch", f"softmax{', out=' if out else ''}", run_torch, check(run_torch, _same_function))
        )
    if "SciPy" in peers and not out:  # it has no out=
        scipy_softmax = peers["SciPy"].softmax

        def run_scipy() -> Any:
            return scipy_softmax(logits, axis=-1)

        variants.append(Variant("SciPy", "special.softmax", run_scipy, check(run_scipy, _same_function)))
    if "JAX" in peers:
        jax = peers["JAX"]
        jax_logits = jax.numpy.asarray(logits)
        compiled = jax.jit(jax.nn.softmax)

        def run_jax() -> Any:
            return jax.block_until_ready(compiled(jax_logits))

        variants.append(Variant("JAX", "jit(nn.softmax)", run_jax, check(run_jax, _same_function)))
    if out:
        variants.append(_copy(logits))
    return Case(f"softmax, {shape[0]} × {shape[1]}{', out=' if out else ''}", "float32", shape, variants, goals)


def _copy(array: Array) -> Variant:
    result = np.empty_like(array)

    def run() -> None:
        np.copyto(result, array)

    def check() -> Verdict:
        run()
        return Verdict(None, None if np.array_equal(result, array) else "the copy differs")

    return Variant("one copy", "numpy.copyto", run, check)


def _logits(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    return 3 * rng.standard_normal(shape, np.float32)


def _checked_rows(shape: tuple[int, int]) -> Array:
    """Rows from the first to the last, as many as one check takes."""
    rows, classes = shape
    count = min(rows, max(2, _CHECKED_ENTRIES // classes))
    return np.linspace(0, rows - 1, count).astype(np.intp)


def _mean_loss(logits: Array, target: Array) -> float:
    step = max(1, _BLOCK_ENTRIES // logits.shape[1])
    blocks = (slice(i, i + step) for i in range(0, len(logits), step))
    return sum(float(_bench_reference.loss(logits[b], target[b], np.float64).sum()) for b in blocks) / len(logits)


def _within_bound(results: Results) -> Verdict:
    error = max(_bench_reference.ulp_error(result, exact, np.float32) for result, exact in results)
    refused = None if error <= TOLERANCE_ULP else f"{error:.3g} ULP from the exact result, allowed {TOLERANCE_ULP:g}"
    return Verdict(error, refused)


def _same_function(results: Results) -> Verdict:
    error = max(_bench_reference.ulp_error(result, exact, np.float32) for result, exact in results)
    distance = np.max([np.max(abs(result - exact)) / np.max(abs(exact)) for result, exact in results])  # NaN stays
    if distance <= PEER_TOLERANCE:
        return Verdict(error)
    return Verdict(error, f"{distance:.1e} of the largest entry from the exact result, allowed {PEER_TOLERANCE:.0e}")
