"""The suite "curvature": Hessian- and Jacobian-vector products, and eigenvalues without a dense matrix.

torch and JAX get H v as their users do: the gradient differentiated again (double backward; jvp of grad,
compiled). The eigenvalues' peers are given the dense matrix.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

import softgrad as sg
from benchmarks import peers as _bench_peers
from benchmarks.timing import Case, Variant, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from benchmarks.peers import Peers

    Array = NDArray[Any]

PEERS = ("SciPy", "torch", "JAX")
ROUNDS = 10

# In ULP of p_j (|v_j − v_*| + Σ p_i |v_i − v_*|), as the documentation says; of the largest eigenvalue. A peer only
# has to be the same function: within 1e-4 of the largest entry.
TOLERANCE_ULP = 4.0
PEER_TOLERANCE = 1e-4

_CHECKED_ENTRIES = 2**18


def cases(peers: Peers, *, shrink: int = 1) -> Iterator[Case]:
    """The cases, each with its arrays, one at a time; `shrink` divides every shape (tests use it)."""

    def shape(rows: int, classes: int) -> tuple[int, int]:
        return max(1, rows // shrink), max(2, classes // shrink)

    yield _hvp(peers, shape(512, 50257))
    yield _hvp(peers, shape(1024, 1000))
    yield _hvp(peers, shape(65536, 10))
    yield _jacobian(peers, shape(512, 50257))
    yield _eigenvalues(peers, max(8, 2000 // shrink))
    yield _eigenvectors(max(8, 20000 // shrink))


def _hvp(peers: Peers, shape: tuple[int, int]) -> Case:
    logits, v, target = _arrays(shape)
    out = np.empty_like(logits)
    check = _product_check(logits, v, shape[0])

    def run() -> Any:
        return sg.cross_entropy_hvp(logits, target, v, out=out)

    variants = [Variant("softgrad", "cross_entropy_hvp", run, check(run, ours=True))]
    if "torch" in peers:
        torch = peers["torch"]
        torch_logits = torch.from_numpy(logits).requires_grad_()
        torch_v, torch_target = torch.from_numpy(v), torch.from_numpy(target)

        def run_torch() -> Any:
            loss = torch.nn.functional.cross_entropy(torch_logits, torch_target)
            (gradient,) = torch.autograd.grad(loss, torch_logits, create_graph=True)
            return torch.autograd.grad(gradient, torch_logits, torch_v)[0]

        variants.append(Variant("torch", "double backward", run_torch, check(run_torch, ours=False)))
    if "JAX" in peers:
        jax = peers["JAX"]
        jax_logits, jax_v, jax_target = (jax.numpy.asarray(x) for x in (logits, v, target.astype(np.int32)))
        row_wise = _bench_peers.jax_cross_entropy(jax)
        gradient = jax.grad(lambda z: row_wise(z, jax_target).mean())
        compiled = jax.jit(lambda z, v: jax.jvp(gradient, (z,), (v,))[1])

        def run_jax() -> Any:
            return jax.block_until_ready(compiled(jax_logits, jax_v))

        variants.append(Variant("JAX", "jit(jvp(grad))", run_jax, check(run_jax, ours=False)))
    return Case(f"Hessian · v, {shape[0]} × {shape[1]}, out=", "float32", shape, variants, [])


def _jacobian(peers: Peers, shape: tuple[int, int]) -> Case:
    logits, v, _ = _arrays(shape)
    check = _product_check(logits, v, 1)
    jacobian = sg.softmax_jacobian(logits)

    def run() -> Any:
        return jacobian @ v

    variants = [Variant("softgrad", "softmax_jacobian(logits) @ v", run, check(run, ours=True))]
    if "torch" in peers:
        torch = peers["torch"]
        torch_v = torch.from_numpy(v)
        torch_logits = torch.from_numpy(logits).requires_grad_()
        probs = torch.softmax(torch_logits, -1)

        def run_torch() -> Any:
            return torch.autograd.grad(probs, torch_logits, torch_v, retain_graph=True)[0]

        variants.append(Variant("torch", "backward of softmax", run_torch, check(run_torch, ours=False)))
    return Case(f"Jacobian · v, p given, {shape[0]} × {shape[1]}", "float32", shape, variants, [])


def _eigenvalues(peers: Peers, classes: int) -> Case:
    jacobian = sg.softmax_jacobian(_scattered(classes))
    dense = jacobian.to_dense()
    exact = np.linalg.eigvalsh(dense)

    def check(outputs: Callable[[], Any]) -> Callable[[], Verdict]:
        def verdict() -> Verdict:
            error = float(np.max(abs(np.asarray(outputs()) - exact)) / np.spacing(exact[-1]))
            # The reference has this error itself.
            allowed = float(classes)
            return Verdict(error, None if error <= allowed else f"{error:.3g} ULP of the largest off")

        return verdict

    variants = [Variant("softgrad", "eigvalsh()", jacobian.eigvalsh, check(jacobian.eigvalsh))]

    def run_numpy() -> Any:
        return np.linalg.eigvalsh(dense)

    variants.append(Variant("NumPy", "linalg.eigvalsh", run_numpy, check(run_numpy)))
    if "torch" in peers:
        torch_dense = peers["torch"].from_numpy(dense)

        def run_torch() -> Any:
            return peers["torch"].linalg.eigvalsh(torch_dense)

        variants.append(Variant("torch", "linalg.eigvalsh", run_torch, check(run_torch)))
    return Case(f"eigenvalues, {classes} classes, in float64", "float64", (classes,), variants, [])


def _eigenvectors(classes: int) -> Case:
    jacobian = sg.softmax_jacobian(_scattered(classes))
    v = np.random.default_rng(1).normal(size=classes)
    exact = jacobian @ v

    def run() -> Any:
        values, vectors = jacobian.eigh()
        return vectors @ (values * (vectors.T @ v))

    def check() -> Verdict:
        error = float(np.max(abs(run() - exact)) / np.spacing(np.max(abs(exact))))
        return Verdict(error, None if error <= classes else f"{error:.3g} ULP of the largest off")

    variants = [Variant("softgrad", "eigh(), then Q Λ Qᵀ v", run, check)]
    return Case(f"eigenvectors, {classes} classes, in float64", "float64", (classes,), variants, [])


def _arrays(shape: tuple[int, int]) -> tuple[Array, Array, Array]:
    rng = np.random.default_rng(0)
    logits = 3 * rng.standard_normal(shape, np.float32)
    return logits, rng.standard_normal(shape, np.float32), rng.integers(shape[1], size=shape[0])


def _scattered(classes: int) -> Array:
    return 3 * np.random.default_rng(0).standard_normal(classes)


def _product_check(logits: Array, v: Array, denominator: int) -> Callable[..., Callable[[], Verdict]]:
    """Compares some rows of a product with p∘(v − pᵀv)/denominator in float64."""
    count = min(len(logits), max(2, _CHECKED_ENTRIES // logits.shape[1]))
    rows = np.linspace(0, len(logits) - 1, count).astype(np.intp)
    z, u = logits[rows].astype(np.float64), v[rows].astype(np.float64)
    p = np.exp(z - z.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    away = u - np.take_along_axis(u, z.argmax(axis=1)[:, None], 1)
    exact = p * (away - (p * away).sum(axis=1, keepdims=True)) / denominator
    magnitude = p * (abs(away) + (p * abs(away)).sum(axis=1, keepdims=True)) / denominator

    def check(outputs: Callable[[], Any], *, ours: bool) -> Callable[[], Verdict]:
        def verdict() -> Verdict:
            off = abs(np.asarray(outputs())[rows] - exact)
            error = float(np.max(off / np.spacing(magnitude.astype(np.float32))))
            if ours:
                return Verdict(error, None if error <= TOLERANCE_ULP else f"{error:.3g} ULP off")
            distance = float(np.max(off) / np.max(abs(exact)))
            return Verdict(error, None if distance <= PEER_TOLERANCE else f"{distance:.1e} of the largest entry off")

        return verdict

    return check
