"""Linear heads for tests: their tensors, and the loss with the logits in memory to compare with."""

import torch
import torch.nn.functional as F

import softgrad.torch as sgt

N, D, C = 5, 3, 4
OPTIONS = [{}, {"label_smoothing": 0.1}, {"z_loss": 0.1}, {"label_smoothing": 0.1, "z_loss": 0.1, "weight": "some"}]


def tensors(seed=0, rows=N, features=D, classes=C, dtype=torch.float64, requires_grad=True):
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=dtype).requires_grad_(requires_grad)

    return normal(rows, features), normal(classes, features), normal(classes)


def targets(kind, rows=N, classes=C, dtype=torch.float64):
    generator = torch.Generator().manual_seed(1)
    if kind == "probabilities":
        return torch.rand(rows, classes, generator=generator, dtype=dtype)
    labels = torch.randint(classes, (rows,), generator=generator)
    if kind == "some ignored":
        labels[1] = -100
    return labels


def options(given, classes=C, dtype=torch.float64):
    if "weight" not in given:
        return given
    return {**given, "weight": torch.linspace(0.5, 2, classes, dtype=dtype)}


def whole(x, W, bias, target, softcap=None, **given):
    """The same with the logits in memory, by the functions that other tests compare with the exact result."""
    logits = F.linear(x, W, bias)
    if softcap:
        logits = softcap * torch.tanh(logits / softcap)
    return sgt.cross_entropy(logits, target, **given)


def assert_same(x, W, bias, target, **given):
    size = given.pop("chunk_rows", None)
    loss = sgt.linear_cross_entropy(x, W, target, linear_bias=bias, chunk_rows=size, **given)
    expected = whole(x, W, bias, target, **given)
    close = {"rtol": 1e-10, "atol": 1e-12} if x.dtype == torch.float64 else {"rtol": 2e-5, "atol": 2e-5}
    torch.testing.assert_close(loss, expected, **close, equal_nan=True)
    upstream = torch.randn(loss.shape, generator=torch.Generator().manual_seed(2), dtype=loss.dtype)
    variables = [t for t in (x, W, bias) if t is not None and t.requires_grad]
    results = torch.autograd.grad(loss, variables, upstream)
    for result, exact in zip(results, torch.autograd.grad(expected, variables, upstream), strict=True):
        torch.testing.assert_close(result, exact, **close)
