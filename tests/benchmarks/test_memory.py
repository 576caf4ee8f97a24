"""Peaks of the memory of a new process."""

import numpy as np
import pytest

import softgrad as sg
from benchmarks import memory


def allocating(mebibytes):
    """A call that allocates so much for a moment; its inputs, and the warm-up before, do not count."""
    kept = np.ones(50 * 2**20, np.uint8)

    def run():
        return int(np.ones(mebibytes * 2**20, np.uint8)[-1]) + int(kept[-1]), sg.get_num_threads()

    return run


@pytest.mark.skipif(not memory.can_measure(), reason="/proc is Linux's")
def test_peak_is_what_the_call_allocates(threads):
    threads(3)
    peak = memory.peak_of(allocating, warm_up=(300,), arguments=(100,))
    assert 98 <= peak.bytes / 2**20 <= 110
    assert peak.result == (2, 3)
