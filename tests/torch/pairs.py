"""Functions written once for softgrad.torch and for torch.nn.functional, to be called with either module."""

import torch
import torch.nn.functional as F

import softgrad.torch as st

BOTH = (st, F)
ROWS, CLASSES = 4, 5


def tensors(dtype=torch.float64, seed=0):
    """Logits, labels with an ignored one, class probabilities, class weights."""
    g = torch.Generator().manual_seed(seed)
    logits = torch.randn(ROWS, CLASSES, dtype=torch.float64, generator=g)
    labels = torch.tensor([3, -100, 0, 4])
    probs = torch.rand(ROWS, CLASSES, dtype=torch.float64, generator=g)
    weight = 0.5 + torch.rand(CLASSES, dtype=torch.float64, generator=g)
    return logits.to(dtype), labels, probs.to(dtype), weight.to(dtype)


def logsumexp(module, x, dim, keepdim=False):
    return (torch if module is F else module).logsumexp(x, dim, keepdim)


def cross_entropy(module, x, target, weight=None, *, z_loss=0.0, **options):
    """The loss; torch's with the z-loss added."""
    if module is st:
        return st.cross_entropy(x, target, weight, z_loss=z_loss, **options)
    loss = F.cross_entropy(x, target, weight, **options)
    if not z_loss:
        return loss
    dim = min(1, x.ndim - 1)
    extra = z_loss * torch.logsumexp(x, dim) ** 2
    reduction = options.get("reduction", "mean")
    count = extra.numel()
    if not target.is_floating_point():
        kept = target != options.get("ignore_index", -100)
        extra = torch.where(kept, extra, 0)
        count = kept.sum() if weight is None else torch.where(kept, weight[target.where(kept, 0)], 0).sum()
    if reduction == "none":
        return loss + extra
    return loss + extra.sum() / (count if reduction == "mean" else 1)


def scalars(dtype=torch.float64):
    """Scalar functions f(module, logits) by name, smooth enough for any order of derivative."""
    _, labels, probs, weight = tensors(dtype)
    return {
        "softmax": lambda m, x: m.softmax(x, 1).pow(2).sum(),
        "log_softmax": lambda m, x: m.log_softmax(x, 0).pow(2).sum(),
        "logsumexp": lambda m, x: logsumexp(m, x, 1).sin().sum(),
        "logsumexp of all": lambda m, x: logsumexp(m, x, (0, 1)),
        "labels": lambda m, x: cross_entropy(m, x, labels),
        "labels, none": lambda m, x: cross_entropy(m, x, labels, reduction="none").sin().sum(),
        "labels, weight": lambda m, x: cross_entropy(m, x, labels, weight),
        "labels, smoothing": lambda m, x: cross_entropy(m, x, labels, reduction="sum", label_smoothing=0.1),
        "labels, z-loss": lambda m, x: cross_entropy(m, x, labels, weight, z_loss=0.3),
        "probs": lambda m, x: cross_entropy(m, x, probs),
        "probs, weight": lambda m, x: cross_entropy(m, x, probs, weight, reduction="sum", label_smoothing=0.1),
        "probs, none": lambda m, x: cross_entropy(m, x, probs, reduction="none", z_loss=0.1).sin().sum(),
    }
