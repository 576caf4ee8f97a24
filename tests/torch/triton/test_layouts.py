"""Tensors of any strides, alignment, shape and axis of the classes: the results of contiguous rows, bit for bit."""

import pytest
import torch

from softgrad._loss_spec import LossSpec, Reduction
from softgrad.torch._kernels import without
from tests.torch.triton import exact

PER_ROW = LossSpec(reduction=Reduction.none, ignore_index=1)
ROUNDINGS = {
    exact.F32: 4.0,
    exact.F16: 1.0,
    exact.BF16: 1.0,
}  # ULP between results that may differ in the order of sums


def normal(*shape, dtype=torch.float32):
    return (3 * torch.randn(shape, generator=torch.Generator().manual_seed(len(shape)))).to(dtype)


LAYOUTS = {
    "odd start": lambda d: (normal(3 * 700 + 1, dtype=d)[1:].view(3, 700), 1),
    "odd rows": lambda d: (normal(3, 1003, dtype=d), 1),
    "sliced columns": lambda d: (normal(3, 1051, dtype=d)[:, 3:-1], 1),
    "every other row": lambda d: (normal(6, 515, dtype=d)[::2], 1),
    "every other column": lambda d: (normal(3, 1030, dtype=d)[:, ::2], 1),
    "few, sliced": lambda d: (normal(70, 16, dtype=d)[:, 2:12], 1),
    "few, expanded": lambda d: (normal(1, 10, dtype=d).expand(40, 10), 1),
    "transposed": lambda d: (normal(200, 6, dtype=d).T, 1),
    "many classes apart": lambda d: (normal(1100, 3, dtype=d).T, 1),
    "expanded rows": lambda d: (normal(1, 257, dtype=d).expand(5, 257), 1),
    # Probabilities, since with equal ones that do not sum to 1 softmax_vjp depends on which of them is the pivot.
    "expanded classes": lambda d: (torch.full((5, 1), 2.0**-8, dtype=d).expand(5, 256), 1),
    "overlapping": lambda d: (normal(300, dtype=d).as_strided((5, 257), (1, 1)), 1),
    "classes first": lambda d: (normal(129, 5, dtype=d), 0),
    "images": lambda d: (normal(2, 37, 3, 5, dtype=d), 1),
    "channels last": lambda d: (normal(2, 37, 3, 5, dtype=d).to(memory_format=torch.channels_last), 1),
    "batches of rows": lambda d: (normal(2, 3, 65, dtype=d), 2),
    "permuted": lambda d: (normal(4, 2, 5, 33, dtype=d).permute(1, 3, 0, 2), 1),
    "one vector": lambda d: (normal(77, dtype=d), 0),
    "one class": lambda d: (normal(9, 1, dtype=d), 1),
    "many rows": lambda d: (normal(300, 5, dtype=d), 1),
    "many odd rows": lambda d: (normal(70, 37, dtype=d), 1),
    "many odd rows, sliced": lambda d: (normal(70, 45, dtype=d)[:, 3:40], 1),
    "batches of odd rows": lambda d: (normal(3, 2, 50, 37, dtype=d)[:, :, 1:], 3),
    "scattered odd rows": lambda d: (normal(30, 2, 2, 22, dtype=d).transpose(0, 2)[..., 1:], 3),
}


def results(kernels, z, dim, y, q, v, upstream):
    """The result of every function, with the classes along the last dimension, by its name."""
    classes, rows = z.shape[dim], without(z.shape, dim)
    labels, probs = (kernels.targets(t, None, dim, classes, z.dtype) for t in (y, q))
    gradient, losses = torch.empty_like(z), torch.empty(rows)
    like_rows = {
        "lse": kernels.logsumexp(z, dim),
        "loss": kernels.cross_entropy(z, labels, PER_ROW, gradient=gradient),
        "dense loss": kernels.cross_entropy(z, probs, PER_ROW),
    }
    like_logits = {
        "softmax": kernels.softmax(z, dim),
        "log_softmax": kernels.log_softmax(z, dim),
        "softmax_vjp": kernels.softmax_vjp(z, v, dim),
        "log_softmax_vjp": kernels.log_softmax_vjp(z, v, dim),
        "gradient for one": gradient,
        "gradient": kernels.cross_entropy_grad(z, upstream, labels, PER_ROW),
        "dense gradient": kernels.cross_entropy_grad(z, upstream, probs, PER_ROW),
        "product": kernels.cross_entropy_hvp(z, upstream, v, labels, PER_ROW),
    }
    overwritten = z.clone()  # which is dense
    kernels.write_cross_entropy_grad(overwritten, upstream, labels, PER_ROW, losses)
    like_logits["in place"], like_rows["losses"] = overwritten, losses
    assert all(result.shape == z.shape for result in like_logits.values())
    assert all(result.shape == rows for result in like_rows.values())
    return like_rows | {name: result.movedim(dim, -1).contiguous() for name, result in like_logits.items()}


def assert_same(results, others, dtype):
    for name, result in results.items():
        eps = torch.finfo(result.dtype).eps * ROUNDINGS[result.dtype]
        scale = float(others[name].float().abs().nan_to_num().max()) if result.numel() else 0
        torch.testing.assert_close(
            result, others[name], rtol=eps, atol=scale * 2e-8, equal_nan=True, msg=lambda m, name=name: f"{name}: {m}"
        )


@pytest.mark.parametrize(
    "name, dtype",
    [
        *((name, exact.F32) for name in LAYOUTS),
        *((name, exact.BF16) for name in ("odd start", "sliced columns", "images", "many odd rows")),
    ],
    ids=str,
)
def test_layouts(triton_kernels, name, dtype):
    z, dim = LAYOUTS[name](dtype)
    classes, rows = z.shape[dim], without(z.shape, dim)
    generator = torch.Generator().manual_seed(7)
    y = torch.randint(classes, rows, generator=generator)
    q = torch.rand(z.shape, generator=generator).to(dtype).transpose(0, -1).contiguous().transpose(0, -1)
    v = torch.randn((*z.shape, 2), generator=generator).to(dtype)[..., 1]
    upstream = torch.randn((*rows, 2), generator=generator)[..., 0]
    got = results(triton_kernels, z, dim, y, q, v, upstream)
    plain = [t.movedim(dim, -1).contiguous() for t in (z, q, v)]
    wanted = results(triton_kernels, plain[0], z.ndim - 1, y.contiguous(), plain[1], plain[2], upstream.contiguous())
    assert_same(got, wanted, dtype)


@pytest.mark.parametrize("dtype", exact.DTYPES, ids=str)
@pytest.mark.parametrize("shape, dim", [((0, 5), 1), ((3, 0, 4), 2), ((4, 7, 0), 1), ((0, 50257), 1)])
def test_no_rows(triton_kernels, shape, dim, dtype):
    z = torch.empty(shape, dtype=dtype)
    y = torch.empty(without(shape, dim), dtype=torch.int64)
    assert all(not result.numel() for result in results(triton_kernels, z, dim, y, z, z, torch.empty(y.shape)).values())
    for reduction in (Reduction.mean, Reduction.sum):
        targets = triton_kernels.targets(y, None, dim, shape[dim], dtype)
        total = triton_kernels.cross_entropy(z, targets, LossSpec(reduction=reduction))
        assert total.isnan() if reduction is Reduction.mean else total == 0


def test_no_classes(triton_kernels):
    z = torch.empty(3, 0)
    assert triton_kernels.softmax(z, 1).shape == triton_kernels.log_softmax(z, 1).shape == (3, 0)
    assert triton_kernels.softmax_vjp(z, z, 1).shape == triton_kernels.log_softmax_vjp(z, z, 1).shape == (3, 0)
    assert triton_kernels.logsumexp(z, 1).tolist() == [-torch.inf] * 3


def test_labels_of_other_strides(triton_kernels):
    z, y = normal(40, 10), torch.arange(40)[:, None].expand(40, 2)[:, 1] % 10
    losses = [
        triton_kernels.cross_entropy(z, triton_kernels.targets(t, None, 1, 10, z.dtype), PER_ROW)
        for t in (y, y.contiguous())
    ]
    assert torch.equal(*losses)


def test_rows_in_place_leave_their_neighbours(triton_kernels):
    """A slice of a matrix, whose other columns must not change."""
    for classes in (9, 130, 3001):
        whole = normal(5, classes + 7)
        before, part = whole.clone(), whole[:, 3 : 3 + classes]
        targets = triton_kernels.targets(torch.zeros(5, dtype=torch.int64), None, 1, classes, whole.dtype)
        expected = triton_kernels.cross_entropy_grad(part, torch.ones(5), targets, PER_ROW)
        triton_kernels.write_cross_entropy_grad(part, torch.ones(5), targets, PER_ROW)
        torch.testing.assert_close(part, expected, rtol=1e-6, atol=1e-9)
        assert torch.equal(whole[:, :3], before[:, :3])
        assert torch.equal(whole[:, 3 + classes :], before[:, 3 + classes :])
