"""Right and wrong results."""

import ml_dtypes
import numpy as np
import pytest

from benchmarks.verdict import Exact, Judge, Verdict, bit_equal

EXACT = np.array([1.0, 2.5, 1e-30])


@pytest.mark.parametrize("dtype, eps, allowed", [("float32", 2.0**-23, 2), ("bfloat16", 2.0**-7, 0.51)])
def test_errors_count_units_of_the_results_dtype(dtype, eps, allowed):
    kind = np.dtype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)
    exact = EXACT.astype(kind).astype(np.float64)
    off = (exact + eps * np.array([3.0, 0, 0])).astype(kind)
    judge = Judge([Exact(exact), Exact(exact)], dtype, allowed, tolerance=0.1)
    assert judge((exact, exact), ours=True) == Verdict(0.0)
    assert judge((exact, off), ours=True) == Verdict(3.0, f"3 ULP from the exact result, allowed {allowed:g}")
    assert judge((exact, off), ours=False) == Verdict(3.0)


def test_peer_is_held_to_a_part_of_the_largest_entry():
    judge = Judge([Exact(EXACT)])
    assert judge(EXACT + [0, 0, 2e-4], ours=False).refused is None
    refused = judge(EXACT + [0, 0, 3e-4], ours=False).refused
    assert refused == "1.2e-04 of the largest entry from the exact result, allowed 1e-04"


@pytest.mark.parametrize("ours", [True, False])
@pytest.mark.parametrize("allowed_ulp", [2.0, None])
def test_nan_is_refused(ours, allowed_ulp):
    judge = Judge([Exact(EXACT)], allowed_ulp=allowed_ulp)
    assert judge(EXACT, ours=ours).refused is None
    assert judge(np.array([1.0, np.nan, 1e-30]), ours=ours).refused


def test_softgrad_is_held_to_the_tolerance_where_it_has_no_bound():
    judge = Judge([Exact(EXACT)], allowed_ulp=None)
    assert judge(EXACT + 1e-5, ours=True) == Verdict(None)
    assert judge(EXACT + 1e-3, ours=True).refused


def test_rows_are_compared_and_missing_results_are_not():
    judge = Judge([Exact(np.array(7.0)), Exact(EXACT[1:], rows=np.array([1, 2]))])
    assert judge((None, np.array([9.0, 2.5, 1e-30])), ours=True) == Verdict(0.0)
    assert judge((7.5, np.array([9.0, 2.5, 1e-30])), ours=True).refused
    assert judge((None, np.array([1.0, 9.0, 1e-30])), ours=True).refused


def test_errors_count_units_of_a_given_magnitude():
    judge = Judge([Exact(EXACT, magnitude=np.full(3, 1024.0))])
    assert judge(EXACT + np.spacing(np.float32(1024)), ours=True).error_ulp == pytest.approx(1)


def test_bits_are_compared():
    expected = np.array([0.0, np.nan]), 1.5
    assert bit_equal((np.array([0.0, np.nan]), np.float64(1.5)), expected) == Verdict(None)
    for other in (np.array([-0.0, np.nan]), 1.5), (expected[0], np.nextafter(1.5, 2)), (expected[0], 1):
        assert bit_equal(other, expected).refused == "not bit-equal to that of one thread"
