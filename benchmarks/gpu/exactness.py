"""Errors of every function in units in the last place, through `softgrad.torch`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

import softgrad.torch
from benchmarks import tables
from benchmarks.gpu import rows
from benchmarks.gpu.reference import Loss, Options, Rows, has_unique_maximum, softmax_vjp, ulp_error

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.table import Table
    from torch import Tensor

    from benchmarks.suites import Record

    Errors = Iterator[tuple[str, float, float]]  # the function, its error, the error allowed

CLASSES = 10, 1000, 1001, 4096, 50257
DTYPES = "float32", "bfloat16", "float16"
OF_ROWS = "softmax, log_softmax and logsumexp"
WITH_MEAN = "labels", "labels, all options"  # whose gradients come with the loss, too
OPTIONS = (
    *WITH_MEAN, "class weights", "ignored rows", "label smoothing", "z-loss", "probabilities",
    "probabilities, all options",
)  # fmt: skip
CLASSES_OF_SOME_OPTIONS = 1000, 4096  # to save time: their kernels differ little from those of 1001 and 50257

# As docs/accuracy.md promises: 16-bit results are those of float32 rounded once; losses are float32 under autocast.
_ALLOWED = {torch.float32: 2.0, torch.bfloat16: 0.51, torch.float16: 0.51}
_ALLOWED_LOSS = {torch.float32: 2.0, torch.bfloat16: 3.0, torch.float16: 3.0}
_UPSTREAM = 0.375  # of a reduced loss, beside 1


def works(classes: int) -> tuple[str, ...]:
    """The checks for rows of so many classes, each a job of a few kernels."""
    return (OF_ROWS, *(WITH_MEAN if classes in CLASSES_OF_SOME_OPTIONS else OPTIONS))


def check(classes: int, dtype: str, device: str, work: str) -> list[Record]:
    """The errors of softmax, log_softmax and logsumexp, or of the loss with some options and its derivatives."""
    z, y = rows.hostile(classes, getattr(torch, dtype), torch.device(device))
    errors = _of_rows(z, Rows(z)) if work == OF_ROWS else _of_loss(work, *_arguments(work, z, y))
    return [
        {
            "part": "exact", "function": function, "dtype": dtype, "classes": classes, "error_ulp": error,
            "allowed_ulp": allowed, "passed": error <= allowed,
        }
        for function, error, allowed in errors
    ]  # fmt: skip


def _of_rows(z: Tensor, exact: Rows) -> Errors:
    """softmax, log_softmax and logsumexp with their gradients."""
    allowed, v = _ALLOWED[z.dtype], rows.direction(z)
    z = z.clone().requires_grad_()
    probs = softgrad.torch.softmax(z, 1)
    yield "softmax", ulp_error(probs, exact.softmax), allowed
    product, terms = softmax_vjp(probs, v)
    unique = has_unique_maximum(probs)
    yield "softmax, vjp", ulp_error(_gradient(probs, z, v)[unique], product[unique], terms[unique]), allowed
    log_probs = softgrad.torch.log_softmax(z, 1)
    yield "log_softmax", ulp_error(log_probs, exact.log_softmax), allowed
    yield "log_softmax, vjp", ulp_error(_gradient(log_probs, z, v), *exact.log_softmax_vjp(v)), allowed
    lse = softgrad.torch.logsumexp(z, 1, keepdim=True)
    yield "logsumexp", ulp_error(lse, exact.logsumexp, exact.logsumexp_magnitude), allowed


def _arguments(name: str, z: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Options]:
    """Logits, targets and options of a loss."""
    weight = torch.linspace(0.5, 2, z.shape[1], device=z.device).to(z.dtype)
    ignored, with_nan = y.clone(), z.clone()
    ignored[1::4] = -100
    with_nan[1::8] = torch.nan  # in rows that are ignored
    all_options = Options(weight, -100, 0.1, 0.25)
    arguments = {
        "labels": (z, y, Options()),
        "class weights": (z, y, Options(weight=weight)),
        "ignored rows": (with_nan, ignored, Options()),
        "label smoothing": (z, y, Options(label_smoothing=0.1)),
        "z-loss": (z, y, Options(z_loss=0.25)),
        "labels, all options": (with_nan, ignored, all_options),
        "probabilities": (z, rows.probabilities(z), Options()),
        "probabilities, all options": (z, rows.probabilities(z), all_options),
    }
    return arguments[name]


def _of_loss(name: str, z: Tensor, target: Tensor, options: Options) -> Errors:
    """The loss of every row, its gradient and Hessian-vector product, and the gradients of reduced losses."""
    exact, allowed = Loss(Rows(z), target, options), _ALLOWED[z.dtype]
    z, v = z.clone().requires_grad_(), rows.direction(z)
    with torch.autocast(z.device.type, torch.bfloat16, enabled=z.element_size() == 2):
        losses = _loss(z.detach(), target, options, "none")
    yield f"loss, {name}", ulp_error(losses, exact.value.squeeze(1)), _ALLOWED_LOSS[z.dtype]
    losses = _loss(z, target, options, "none")
    upstream = torch.linspace(0.5, 2, len(z), device=z.device).to(losses.dtype)
    scale = upstream.double().unsqueeze(1)
    gradient = _gradient(losses, z, upstream, create_graph=True)
    yield f"gradient, {name}", ulp_error(gradient, scale * exact.gradient, scale * exact.gradient_magnitude), allowed
    product, terms = exact.product(v)
    yield f"HVP, {name}", ulp_error(_gradient(gradient, z, v), scale * product, scale * terms), allowed
    for factor in (1.0, _UPSTREAM) if name in WITH_MEAN else ():
        loss = _loss(z, target, options, "mean")
        got = _gradient(loss, z, torch.full_like(loss, factor))
        per_row = factor / exact.denominator
        error = ulp_error(got, per_row * exact.gradient, per_row * exact.gradient_magnitude)
        yield f"gradient of the mean, upstream {factor:g}, {name}", error, allowed
    if name == "labels":
        yield "HVP, torch.func", ulp_error(_func_product(z.detach(), target, v), product, terms), allowed


def _loss(z: Tensor, target: Tensor, options: Options, reduction: Any) -> Tensor:
    return softgrad.torch.cross_entropy(
        z, target, options.weight, options.ignore_index, reduction, options.label_smoothing, z_loss=options.z_loss
    )


def _func_product(z: Tensor, target: Tensor, v: Tensor) -> Tensor:
    """H v of the sum of the losses, the gradient of the gradient times v."""

    def loss(logits: Tensor) -> Tensor:
        return softgrad.torch.cross_entropy(logits, target, reduction="sum")

    _, times = torch.func.vjp(torch.func.grad(loss), z)
    (product,) = times(v)
    tensor: Tensor = product
    return tensor


def _gradient(output: Tensor, z: Tensor, upstream: Tensor, *, create_graph: bool = False) -> Tensor:
    (gradient,) = torch.autograd.grad(output, z, upstream, create_graph=create_graph, retain_graph=True)
    tensor: Tensor = gradient
    return tensor


def linear_head(dtype: str, device: torch.device) -> Record:
    """Loss and gradients of a linear head, whose products are torch's: the largest difference, of the largest entry."""
    n, features, classes = 256, 128, 1001
    generator = torch.Generator(device).manual_seed(0)
    x, W = (torch.randn(k, features, device=device, generator=generator) for k in (n, classes))
    x, W = (t.to(getattr(torch, dtype)).requires_grad_() for t in (x, W / 4))
    y = torch.randint(classes, (n,), device=device, generator=generator)
    loss = softgrad.torch.linear_cross_entropy(x, W, y)
    results = [loss.detach(), *torch.autograd.grad(loss, (x, W))]
    wide_x, wide_w = x.detach().double(), W.detach().double()
    exact = Loss(Rows(wide_x @ wide_w.T), y, Options())
    g = exact.gradient / n
    wanted = [exact.value.mean(), g @ wide_w, g.T @ wide_x]
    distances = [float((r.double() - w).abs().max() / w.abs().max()) for r, w in zip(results, wanted, strict=True)]
    allowed = 1e-4 if dtype == "float32" else 1e-2
    return {
        "part": "exact", "function": "linear head", "dtype": dtype, "classes": classes, "distance": max(distances),
        "allowed": allowed, "passed": all(distance <= allowed for distance in distances),
    }  # fmt: skip


def table(records: list[Record]) -> Table:
    """The largest error of every function over all numbers of classes."""
    errors: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        if "error_ulp" in record:
            errors.setdefault((record["function"], record["dtype"]), []).append(record)
    result = tables.new_table("largest error, ULP (allowed)", *DTYPES)
    for function in sorted({function for function, _ in errors}):
        result.add_row(function, *(_cell(errors.get((function, dtype), [])) for dtype in DTYPES))
    return result


def _cell(records: list[Record]) -> str:
    if not records:
        return ""
    error = max(record["error_ulp"] for record in records)
    return f"{tables.ulp(error)} ({records[0]['allowed_ulp']:g})"
