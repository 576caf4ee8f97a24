"""Rows that several programs share, in tiles of few elements."""

import numpy as np
import pytest
import torch

from softgrad._loss_spec import LossSpec, Reduction
from softgrad.torch._kernels._triton import _run
from tests import oracle
from tests.torch.triton import exact

SPECS = [LossSpec(reduction=Reduction.none), LossSpec(reduction=Reduction.none, label_smoothing=0.1, z_loss=0.2)]


def in_two_rounds(launch):
    """Launch kernels whose programs wait for each other twice: the interpreter runs one program after another.

    All tiles count as stored, so that none is waited for; in the second round they are.
    """

    def launch_twice(kernel, grid, tensor, **arguments):
        if (count := arguments.get("COUNT")) is None:
            launch(kernel, grid, tensor, **arguments)
            return
        storage = arguments["OUT"].untyped_storage()
        before = storage.clone()
        for _ in range(2):
            storage.copy_(before)
            count[:-1], count[-1] = arguments["tiles"], 0  # the last numbers the programs
            launch(kernel, grid, tensor, **arguments)

    return launch_twice


@pytest.fixture(params=["waiting", "two passes"])
def small_tiles(request, tiles_of_32, monkeypatch):
    """Tiles whose statistics are merged by programs that wait, or by a kernel between two passes."""
    if request.param == "waiting":
        monkeypatch.setattr(_run, "CAN_WAIT", True)
        monkeypatch.setattr(_run, "launch", in_two_rounds(_run.launch))


@pytest.mark.parametrize("classes, dtype", [(150, exact.F32), (131, exact.BF16), (96, exact.F16)], ids=str)
@pytest.mark.usefixtures("small_tiles")
def test_every_result(triton_kernels, classes, dtype):
    bounds, z = exact.BOUNDS[dtype], exact.hostile(classes, dtype, rows=2)
    labels, one = exact.labels_of(z), torch.ones(len(z))
    rows, wide = oracle.Rows(exact.array(z)), exact.array(z)
    assert exact.error(triton_kernels.softmax(z, 1), rows.softmax) <= bounds["like logits"]
    assert exact.error(triton_kernels.log_softmax(z, 1), rows.log_softmax) <= bounds["like logits"]
    larger = np.maximum(abs(rows.logsumexp), abs(rows.max[:, 0]))
    assert exact.error(triton_kernels.logsumexp(z, 1), rows.logsumexp, larger) <= bounds["logsumexp"]
    v = torch.randn(z.shape, generator=torch.Generator().manual_seed(classes)).to(dtype)
    for spec in SPECS:
        wanted, gradient = exact.Loss(z, labels, None, spec), torch.empty_like(z)
        targets = triton_kernels.targets(labels, None, 1, classes, dtype)
        losses = triton_kernels.cross_entropy(z, targets, spec, gradient=gradient)
        assert exact.error(losses, wanted.losses, wanted.magnitude) <= bounds["loss"]
        of_gradient = bounds["gradient" if wanted.terms is None else "dense gradient"]
        assert exact.error(gradient, wanted.gradient, wanted.terms) <= of_gradient
        product, terms = wanted.product(v)
        got = triton_kernels.cross_entropy_hvp(z, one, v, targets, spec)
        assert exact.error(got, product, terms) <= bounds["product"]
    wide = exact.array(v)
    total, p = wide.sum(1, keepdims=True), rows.softmax
    larger = np.maximum(abs(wide), p * abs(wide).sum(1, keepdims=True))
    assert exact.error(triton_kernels.log_softmax_vjp(z, v, 1), wide - p * total, larger) <= bounds["product"]
    probs = torch.softmax(exact.hostile(classes, dtype)[[0, 8]].double(), 1).to(dtype)  # one largest each
    p = exact.array(probs)
    away = wide - np.take_along_axis(wide, p.argmax(1)[:, None], 1)
    mean, size = ((p * x).sum(1, keepdims=True) for x in (away, abs(away)))
    got = triton_kernels.softmax_vjp(probs, v, 1)
    assert exact.error(got, p * (away - mean), p * (abs(away) + size)) <= bounds["product"]
    triton_kernels.write_cross_entropy_grad(z, one, targets, spec, losses)
    assert exact.error(z, wanted.gradient, wanted.terms) <= bounds["dense gradient"]


@pytest.mark.usefixtures("small_tiles")
def test_special_rows(triton_kernels):
    """NaN and infinities in one tile reach the others of their row."""
    z = torch.zeros(4, 100)
    z[0, 70], z[1, 3], z[2], z[3, 40:] = torch.nan, torch.inf, -torch.inf, -torch.inf
    targets = triton_kernels.targets(torch.tensor([0, 99, 5, 60]), None, 1, 100, z.dtype)
    gradient = torch.empty_like(z)
    losses = triton_kernels.cross_entropy(z, targets, SPECS[0], gradient=gradient)
    assert losses.isnan().tolist() == [True, True, True, False]
    assert losses[3] == torch.inf
    assert gradient.isnan().all(1).tolist() == gradient.isnan().any(1).tolist() == [True, True, True, False]
    assert (gradient[3, 40:60] == 0).all()
    assert gradient[3, 60] == -1
