"""exp(z − m) and log(1 + s) alone: every float32 in range, and samples of float64."""

import numpy as np
import pytest

from softgrad import _core
from tests import oracle

FLOAT32, FLOAT64 = _core.DType.float32, _core.DType.float64
MAX_ERROR = 0.68  # ULP, as native/math/exp.h says
CHUNK = 1 << 22


def exp_difference(z, m):
    """The kernel's exp(z − m) as long double, without the power of two that it carries."""
    out = np.empty_like(z)
    single = z.dtype == np.float32
    _core.exp_difference(FLOAT32 if single else FLOAT64, z, m, out)
    return out, np.ldexp(out.astype(np.longdouble), -64 if single else -512)


def floats_between(low, high):
    """Every float32 in [low, high], both of one sign, in chunks."""
    first, last = sorted(int(np.float32(v).view(np.uint32)) for v in (low, high))
    for start in range(first, last + 1, CHUNK):
        yield np.arange(start, min(last + 1, start + CHUNK), dtype=np.uint32).view(np.float32)


@pytest.mark.slow
def test_exp_of_every_float32(instruction_set):
    worst = 0.0
    for z in floats_between(-0.0, -104.0):
        out = np.empty_like(z)
        _core.exp_difference(FLOAT32, z, 0.0, out)
        exact = np.ldexp(np.exp(z.astype(np.float64)), 64)
        unit = np.spacing(exact.astype(np.float32)).astype(np.float64)
        worst = max(worst, float((np.abs(out - exact) / unit).max()))
    assert worst <= MAX_ERROR


@pytest.mark.slow
def test_log1p_of_every_float32():
    """Against NumPy's log1p in double, which is itself good to one unit; the set in use only, as all are alike."""
    worst = 0.0
    for s in floats_between(0.0, 2.0**31):
        wide = s.astype(np.float64)
        out = np.empty_like(wide)
        _core.log1p(wide, out)
        exact = np.log1p(wide)
        worst = max(worst, float((np.abs(out - exact) / np.spacing(exact)).max()))
    assert worst <= 1.52


@pytest.mark.parametrize("dtype, offsets", [(np.float32, [0, 3.7, -77.7, 511.9, 512.1, -1e4, 2.0**20]),
                                            (np.float64, [0, 3.7, -700.1, 4095.9, 4096.1, -1e6, 2.0**40])])  # fmt: skip
def test_exp_of_differences(instruction_set, dtype, offsets):
    """The difference is never rounded: logits far from zero lose nothing."""
    rng = np.random.default_rng(0)
    reach = 104 if dtype == np.float32 else 745
    for offset in offsets:
        m = dtype(offset)
        z = (m - (rng.random(200_000) * reach).astype(dtype)).astype(dtype)
        z = z[z <= m]
        out, got = exp_difference(z, float(m))
        exact = np.exp(z.astype(np.longdouble) - np.longdouble(m))
        unit = oracle.ulp(np.ldexp(exact, 64 if dtype == np.float32 else 512), dtype)
        error = np.abs(out.astype(np.longdouble) - np.ldexp(exact, 64 if dtype == np.float32 else 512)) / unit
        assert float(error.max()) <= MAX_ERROR
        assert (got[z == m] == 1).all()


@pytest.mark.parametrize("code, dtype", [(FLOAT32, np.float32), (FLOAT64, np.float64)])
def test_exp_of_special_values(instruction_set, code, dtype):
    z = np.array([0, -np.inf, np.nan, -np.finfo(dtype).max], dtype)
    out = np.empty_like(z)
    _core.exp_difference(code, z, 0.0, out)
    assert out[0] == 2.0 ** (64 if code == FLOAT32 else 512)
    assert out[1] == out[3] == 0
    assert np.isnan(out[2])


def test_log1p_to_half_a_unit(instruction_set):
    rng = np.random.default_rng(0)
    s = np.concatenate([[0, 5e-324, 1e-300, 1, 2**31], 10.0 ** rng.uniform(-320, 9, 200_000), rng.random(100_000) * 4])
    out = np.empty_like(s)
    _core.log1p(s, out)
    normal = s >= 2 * np.finfo(np.float64).tiny  # below, halving s rounds it
    exact = np.log1p(s.astype(np.longdouble))
    assert oracle.error(out[normal], exact[normal]) <= 0.53
    assert oracle.error(out[~normal], exact[~normal]) <= 1
