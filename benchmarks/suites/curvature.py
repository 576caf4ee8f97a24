"""The suite "curvature": Hessian- and Jacobian-vector products, and eigenvalues without a dense matrix.

torch and JAX get H v as their users do: the gradient differentiated again (double backward; jvp of grad,
compiled). The eigenvalues' peers get the dense matrix.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

import softgrad as sg
from benchmarks import reference, tables
from benchmarks.peers import jax_cross_entropy
from benchmarks.suites import Suite
from benchmarks.suites.core import notes
from benchmarks.timing import TimedCase, Variant
from benchmarks.verdict import Exact, Judge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.peers import Peers
    from softgrad._typing import Array

    Call = Callable[[], Any]

# In ULP of p_j (|v_j − v_*| + Σ p_i |v_i − v_*|), as softgrad documents.
_PRODUCT_ULP = 4.0


def cases(peers: Peers, *, shrink: int = 1) -> Iterator[TimedCase]:
    """The cases, each with its arrays, one at a time; `shrink` divides every shape (tests use it)."""

    def shape(rows: int, classes: int) -> tuple[int, int]:
        return max(1, rows // shrink), max(2, classes // shrink)

    yield _hvp(peers, shape(512, 50257))
    yield _hvp(peers, shape(1024, 1000))
    yield _hvp(peers, shape(65536, 10))
    yield _jacobian(peers, shape(512, 50257))
    yield _eigenvalues(peers, max(8, 2000 // shrink))
    yield _eigenvectors(max(8, 20000 // shrink))


SUITE = Suite(
    peers=("SciPy", "torch", "JAX"),
    rounds=10,
    cases=cases,
    notes=notes,
    table=lambda report: tables.speed_table(report["cases"]),
)


def _hvp(peers: Peers, shape: tuple[int, int]) -> TimedCase:
    logits, v, target = _arrays(shape)
    out = np.empty_like(logits)
    variants = [
        Variant("softgrad", "cross_entropy_hvp", lambda: sg.cross_entropy_hvp(logits, target, v, out=out)),
    ]
    if "torch" in peers:
        variants.append(Variant("torch", "double backward", _torch_hvp(peers["torch"], logits, v, target)))
    if "JAX" in peers:
        variants.append(Variant("JAX", "jit(jvp(grad))", _jax_hvp(peers["JAX"], logits, v, target)))
    judge = _product_judge(logits, v, denominator=shape[0])
    return TimedCase(f"Hessian · v, {tables.shape(shape)}, out=", "float32", shape, judge, variants)


def _torch_hvp(torch: Any, logits: Array, v: Array, target: Array) -> Call:
    z = torch.from_numpy(logits).requires_grad_()
    direction, y = torch.from_numpy(v), torch.from_numpy(target)

    def run() -> Any:
        loss = torch.nn.functional.cross_entropy(z, y)
        (gradient,) = torch.autograd.grad(loss, z, create_graph=True)
        return torch.autograd.grad(gradient, z, direction)[0]

    return run


def _jax_hvp(jax: Any, logits: Array, v: Array, target: Array) -> Call:
    z, direction, y = (jax.numpy.asarray(x) for x in (logits, v, target.astype(np.int32)))
    row_wise = jax_cross_entropy(jax)
    gradient = jax.grad(lambda z: row_wise(z, y).mean())
    compiled = jax.jit(lambda z, v: jax.jvp(gradient, (z,), (v,))[1])
    return lambda: jax.block_until_ready(compiled(z, direction))


def _jacobian(peers: Peers, shape: tuple[int, int]) -> TimedCase:
    logits, v, _ = _arrays(shape)
    jacobian = sg.softmax_jacobian(logits)
    variants = [Variant("softgrad", "softmax_jacobian(logits) @ v", lambda: jacobian @ v)]
    if "torch" in peers:
        torch = peers["torch"]
        z, direction = torch.from_numpy(logits).requires_grad_(), torch.from_numpy(v)
        probs = torch.softmax(z, -1)
        variants.append(
            Variant(
                "torch",
                "backward of softmax",
                lambda: torch.autograd.grad(probs, z, direction, retain_graph=True)[0],
            )
        )
    title = f"Jacobian · v, p given, {tables.shape(shape)}"
    return TimedCase(title, "float32", shape, _product_judge(logits, v, denominator=1), variants)


def _eigenvalues(peers: Peers, classes: int) -> TimedCase:
    jacobian = sg.softmax_jacobian(_scattered(classes))
    dense = jacobian.to_dense()
    variants = [
        Variant("softgrad", "eigvalsh()", jacobian.eigvalsh),
        Variant("NumPy", "linalg.eigvalsh", lambda: np.linalg.eigvalsh(dense)),
    ]
    if "torch" in peers:
        eigvalsh, tensor = peers["torch"].linalg.eigvalsh, peers["torch"].from_numpy(dense)
        variants.append(Variant("torch", "linalg.eigvalsh", lambda: eigvalsh(tensor)))
    judge = _judge_of_largest(np.linalg.eigvalsh(dense))
    return TimedCase(f"eigenvalues, {classes} classes, in float64", "float64", (classes,), judge, variants)


def _eigenvectors(classes: int) -> TimedCase:
    jacobian = sg.softmax_jacobian(_scattered(classes))
    v = np.random.default_rng(1).normal(size=classes)

    def run() -> Any:
        values, vectors = jacobian.eigh()
        return vectors @ (values * (vectors.T @ v))

    variants = [Variant("softgrad", "eigh(), then Q Λ Qᵀ v", run)]
    judge = _judge_of_largest(jacobian @ v)
    return TimedCase(f"eigenvectors, {classes} classes, in float64", "float64", (classes,), judge, variants)


def _arrays(shape: tuple[int, int]) -> tuple[Array, Array, Array]:
    rng = np.random.default_rng(0)
    logits = 3 * rng.standard_normal(shape, np.float32)
    return logits, rng.standard_normal(shape, np.float32), rng.integers(shape[1], size=shape[0])


def _scattered(classes: int) -> Array:
    return 3 * np.random.default_rng(0).standard_normal(classes)


def _product_judge(logits: Array, v: Array, denominator: int) -> Judge:
    rows = reference.sampled_rows(*logits.shape)
    product, magnitude = reference.hessian_product(logits[rows], v[rows])
    return Judge([Exact(product / denominator, rows, magnitude / denominator)], allowed_ulp=_PRODUCT_ULP)


def _judge_of_largest(exact: Array) -> Judge:
    """Errors in ULP of the largest entry; as many as there are entries are allowed, for LAPACK errs as much."""
    largest = np.full_like(exact, np.max(abs(exact)))
    return Judge([Exact(exact, magnitude=largest)], "float64", allowed_ulp=len(exact))
