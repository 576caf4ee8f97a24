"""The interpreter, as tests/torch/triton/interpreter.py changes it, rounds as a GPU does."""

import numpy as np
import torch
import triton
import triton.language as tl


@triton.jit
def copied(X, Y, N: tl.constexpr):
    i = tl.arange(0, N)
    tl.store(Y + i, tl.load(X + i).to(Y.dtype.element_ty))


@triton.jit
def fused(X, Y, Z, RESULT, N: tl.constexpr):
    i = tl.arange(0, N)
    tl.store(RESULT + i, tl.fma(tl.load(X + i), tl.load(Y + i), tl.load(Z + i)))


@triton.jit
def larger(X, Y, RESULT):
    tl.store(RESULT, tl.maximum(tl.load(X), tl.load(Y)))


def test_bfloat16_is_rounded_to_nearest():
    generator = torch.Generator().manual_seed(0)
    x = torch.cat([torch.randn(1020, generator=generator), torch.tensor([torch.nan, torch.inf, 3.4e38, 1.01171875])])
    y = torch.empty(1024, dtype=torch.bfloat16)
    copied[(1,)](x, y, N=1024)
    torch.testing.assert_close(y, x.bfloat16(), rtol=0, atol=0, equal_nan=True)


def test_subnormal_bfloat16():
    x, y = torch.full((1024,), 1.38e-39, dtype=torch.bfloat16), torch.empty(1024)
    copied[(1,)](x, y, N=1024)
    assert torch.equal(y, x.float())


def test_fma_rounds_once():
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(2, 4096, generator=generator)
    z = -(x * y) * (1 + 2.0**-22 * torch.randn(4096, generator=generator))  # what the product's rounding decides
    z[::2] = torch.randn(2048, generator=generator) * 2.0 ** torch.randint(-60, 60, (2048,), generator=generator)
    result = torch.empty(4096)
    fused[(1,)](x, y, z, result, N=4096)
    exact = x.numpy().astype(np.longdouble) * y.numpy() + z.numpy()
    half = np.spacing(result.abs().numpy()).astype(np.longdouble) / 2
    assert (abs(result.numpy() - exact) <= half).all()


def test_a_maximum_ignores_nan():
    nan, one, result = torch.tensor([torch.nan]), torch.ones(1), torch.empty(2)
    larger[(1,)](nan, one, result)
    larger[(1,)](one, nan, result[1:])
    assert result.tolist() == [1, 1]


@triton.jit
def _of_larger(a, b, c, d):
    return tl.where(a > c, a, c), tl.where(a > c, b, d)


@triton.jit
def reduced(X, Y, RESULT, OTHER, N: tl.constexpr, M: tl.constexpr):
    at = tl.arange(0, N)[:, None] * M + tl.arange(0, M)[None, :]
    largest, other = tl.reduce((tl.load(X + at), tl.load(Y + at)), 1, _of_larger)
    i = tl.arange(0, N)
    tl.store(RESULT + i, largest)
    tl.store(OTHER + i, other)


def test_reductions_by_a_function():
    x, y = torch.randn(2, 4, 8, generator=torch.Generator().manual_seed(1))
    largest, other = torch.empty(2, 4)
    reduced[(1,)](x, y, largest, other, N=4, M=8)
    assert torch.equal(largest, x.amax(1))
    assert torch.equal(other, y.gather(1, x.argmax(1, keepdim=True))[:, 0])
