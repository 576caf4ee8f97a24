"""Calls with `out`, and in-place calls, allocate nothing in proportion to the array."""

import subprocess
import sys

import pytest

SCRIPT = """
import resource
import numpy as np
import softgrad as sg

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

z = np.random.default_rng(0).standard_normal({shape}, dtype=np.float32)
y = np.zeros({shape}[0], dtype=np.int64)
out = np.zeros_like(z)
small = z[:1, :10].copy()
sg.cross_entropy_value_and_grad(small, y[:1], out=small)
before = peak()
sg.softmax(z, out=out)
sg.log_softmax(z, out=out)
sg.cross_entropy(z, y)
sg.cross_entropy_value_and_grad(z, y, out=out)
sg.cross_entropy_value_and_grad(z, y, out=z)
sg.softmax(out, out=out)
sg.softmax(out.T, axis=0, out=out.T)
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KiB on Linux only")
@pytest.mark.parametrize("shape", [(2_000_000, 10), (20_000, 1000), (400, 50_257), (1, 20_000_000)])
def test_nothing_proportional_is_allocated(shape):
    """The array is 80 MB; labels' checks and scratch memory stay below 4 MiB."""
    run = subprocess.run([sys.executable, "-c", SCRIPT.format(shape=shape)], capture_output=True, text=True, check=True)
    assert int(run.stdout) < 4 * 1024
