"""Samples of rows by random keys."""

import numpy as np
import pytest

from softgrad.linear_model._problem._sampling import draw, sampling_keys


def test_keys_are_the_published_sequence():
    """SplitMix64 with seed 0: the first results of its authors' program."""
    expected = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    assert sampling_keys(np.arange(3)).tolist() == expected


def test_samples_are_ordered_distinct_and_nested():
    rows = np.flatnonzero(np.arange(5000) % 3)
    small, large = (rows[draw(rows, count)] for count in (100, 1000))
    assert len(small) == 100
    assert (np.diff(large) > 0).all()
    assert set(small) < set(large)
    np.testing.assert_array_equal(draw(rows, 10_000), np.arange(len(rows)))


def test_parts_of_the_rows_agree_on_the_sample():
    keys = sampling_keys(np.arange(1000))
    whole = draw(np.arange(1000), 50)
    bound = np.sort(keys)[50]
    parts = [
        start + np.flatnonzero(sampling_keys(np.arange(start, start + 250)) < bound) for start in range(0, 1000, 250)
    ]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_every_part_of_the_rows_has_its_share():
    drawn = draw(np.arange(100_000), 10_000)
    shares = np.bincount(drawn // 10_000)
    assert shares == pytest.approx(np.full(10, 1000), abs=6 * 30)  # six standard deviations
