"""torch's own samples of its functions: values and gradients, to torch's tolerances.

Where the two disagree, the judge is torch's function in float64 on the same sample: ours must be nearer to it than
torch's, or one rounding away.
"""

import pytest
import torch
import torch.nn.functional as F
from torch.testing._internal.common_methods_invocations import op_db

import softgrad.torch as st


def softmax_of(module, name):
    f = getattr(module, name)
    return lambda x, dim, dtype=None, **_: f(x, dim, dtype=dtype)


PAIRS = {
    "softmax": (softmax_of(st, "softmax"), softmax_of(F, "softmax")),
    "log_softmax": (softmax_of(st, "log_softmax"), softmax_of(F, "log_softmax")),
    "logsumexp": (st.logsumexp, torch.logsumexp),
    "nn.functional.cross_entropy": (st.cross_entropy, F.cross_entropy),
}
INFOS = [op for op in op_db if op.name in PAIRS]
DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16]


def results(f, sample, upstream=None):
    """The value, the upstream gradient, and the gradients."""
    value = f(sample.input, *sample.args, **sample.kwargs)
    if not value.requires_grad:
        return [value], None
    if upstream is None:
        upstream = torch.randn(value.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    upstream = upstream.to(value.dtype)
    given = (sample.input, *sample.args, *sample.kwargs.values())
    wanted = [t for t in given if isinstance(t, torch.Tensor) and t.requires_grad]
    return [value, *torch.autograd.grad(value, wanted, upstream)], upstream


def widened(sample):
    def wide(t):
        return t.detach().double().requires_grad_(t.requires_grad) if t.is_floating_point() else t

    sample = sample.transform(lambda t: wide(t) if isinstance(t, torch.Tensor) else t)
    sample.kwargs = {k: torch.float64 if isinstance(v, torch.dtype) else v for k, v in sample.kwargs.items()}
    return sample


def unit(exact, dtype):
    """The unit in the last place of `dtype` at the exact values."""
    info = torch.finfo(dtype)
    return torch.exp2(exact.abs().clamp(min=info.smallest_normal).log2().floor()) * info.eps


def disagree(ours, theirs):
    try:
        torch.testing.assert_close(ours, theirs, equal_nan=True)
    except AssertionError:
        return True
    return False


def judge(ours, theirs, exact):
    assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
    finite = exact.isfinite()
    assert torch.equal(ours.isnan(), exact.isnan())
    assert torch.equal(ours[exact.isinf()].double(), exact[exact.isinf()])
    ours_off, theirs_off = ((t.double() - exact)[finite].abs() for t in (ours, theirs))
    allowed = torch.maximum(theirs_off, unit(exact[finite], ours.dtype))
    worse = ours_off > allowed
    assert not worse.any(), (ours[finite][worse], theirs[finite][worse], exact[finite][worse])


def softmax_gradient(probs, upstream, dim, dtype=None):
    """Of the probabilities as they are stored: their rounding to 16 bits is no fault of the derivative.

    They no longer sum to one, so differences are taken from the element of a largest one, v_*, as docs/design.md says.
    """
    p, v = probs.detach().double(), upstream.double()
    if not p.numel():
        return p
    v = v - v.gather(dim, p.argmax(dim, keepdim=True))
    return p * (v - (p * v).sum(dim, keepdim=True))


def test_samples_exist():
    assert {op.name for op in INFOS} == set(PAIRS)
    assert any(op.variant_test_name == "with_dtype" for op in INFOS)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("op", INFOS, ids=lambda op: op.formatted_name)
def test_samples(op, dtype):
    ours, theirs = PAIRS[op.name]
    torch.manual_seed(0)
    count = 0
    for sample in op.sample_inputs("cpu", dtype, requires_grad=True):
        if sample.input.layout is not torch.strided:
            with pytest.raises(RuntimeError, match=r"input has layout torch.sparse.*to_dense\(\)"):
                ours(sample.input, *sample.args, **sample.kwargs)
            continue
        count += 1
        got, upstream = results(ours, sample)
        expected, _ = results(theirs, sample, upstream)
        if upstream is not None:
            assert len(got) == len(expected) >= 2
        exact = results(theirs, widened(sample), upstream)[0]
        if op.name == "softmax" and upstream is not None:
            exact[1] = softmax_gradient(got[0], upstream, *sample.args, **sample.kwargs)
        for a, b, wide in zip(got, expected, exact, strict=True):
            if disagree(a, b):
                judge(a, b, wide)
    assert count >= 5


@pytest.mark.parametrize("op", INFOS, ids=lambda op: op.formatted_name)
def test_reference_samples(op):
    """Larger and stranger ones, without gradients."""
    ours, theirs = PAIRS[op.name]
    for sample in op.reference_inputs("cpu", torch.float32):
        got, expected = (f(sample.input, *sample.args, **sample.kwargs) for f in (ours, theirs))
        torch.testing.assert_close(got, expected, equal_nan=True)
