"""The scratch memory kept between calls, and huge pages."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

import softgrad.torch as sgt
from softgrad import _core
from softgrad.torch._kernels import _memory
from tests.torch.linear_heads import targets, tensors

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _nothing_kept(monkeypatch):
    """No scratch memory yet; small amounts are kept, too, but no more than 1 KiB."""
    monkeypatch.setattr(_memory, "_HUGE_BYTES", 0)
    monkeypatch.setattr(_memory, "_KEPT_BYTES", 1024)
    monkeypatch.setattr(_memory, "_kept", [])


def kept_bytes():
    return [storage.nbytes() for storage in _memory._kept]


def gradients(seed=0):
    """The gradients of a linear head whose chunks have 240 bytes of logits."""
    x, W, bias = tensors(seed, rows=40, features=6, classes=10, dtype=torch.float32)
    loss = sgt.linear_cross_entropy(x, W, targets("labels", 40, 10), linear_bias=bias, chunk_rows=6)
    return torch.autograd.grad(loss, (x, W, bias))


def test_scratch_is_kept_for_smaller_and_larger_calls():
    addresses = []
    for rows, dtype in (10, torch.float32), (5, torch.bfloat16), (20, torch.float64), (10, torch.float32):
        with _memory.scratch((rows, 3), dtype, CPU) as scratch:
            assert scratch.shape == (rows, 3)
            assert scratch.dtype == dtype
            assert kept_bytes() == []
            addresses.append(scratch.data_ptr())
        assert len(kept_bytes()) == 1
    assert kept_bytes() == [480]
    assert addresses[0] == addresses[1]
    assert addresses[2] == addresses[3]


def test_scratch_beyond_the_bound_is_released():
    for shape in (8, 32), (8, 33):
        with _memory.scratch(shape, torch.float32, CPU):
            pass
    assert kept_bytes() == [1024]


def test_scratch_is_kept_when_a_call_fails():
    with pytest.raises(KeyError), _memory.scratch((10,), torch.float32, CPU):
        raise KeyError
    assert kept_bytes() == [40]


def test_calls_at_the_same_time_have_scratch_of_their_own():
    with _memory.scratch((10,), torch.float32, CPU) as first, _memory.scratch((10,), torch.float32, CPU) as second:
        assert first.data_ptr() != second.data_ptr()
    assert len(kept_bytes()) == 1


def test_results_of_threads_are_bit_equal():
    expected = [gradients(seed) for seed in range(16)]
    with ThreadPoolExecutor(8) as pool:
        for result, exact in zip(pool.map(gradients, range(16)), expected, strict=True):
            assert all(map(torch.equal, result, exact))
    assert kept_bytes() == [240]


def test_scratch_of_inference_mode_serves_training():
    x, W, _ = tensors(rows=40, features=6, classes=10, dtype=torch.float32)
    with torch.inference_mode():
        sgt.linear_cross_entropy(x, W, targets("labels", 40, 10), chunk_rows=6)
    assert kept_bytes() == [240]
    gradients()
    assert kept_bytes() == [240]


FORK = """
import os, sys, torch
from softgrad.torch._kernels import _memory
from tests.torch.test_memory import gradients

torch.set_num_threads(1)
_memory._HUGE_BYTES = 0
expected = gradients()
with _memory.scratch((60,), torch.float32, torch.device("cpu")) as in_use:  # as by another thread
    in_use.fill_(7)
    child = os.fork()
    if child == 0:
        same = all(map(torch.equal, gradients(), expected)) and all(map(torch.equal, gradients(), expected))
        os._exit(0 if same and bool((in_use == 7).all()) else 3)
    _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status), bool((in_use == 7).all()), all(map(torch.equal, gradients(), expected)))
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_child_forked_while_scratch_is_in_use():
    """In a process of its own: other libraries that a test run has loaded object to forks."""
    run = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, check=True, timeout=60)
    assert run.stdout.split() == ["0", "True", "True"]


@pytest.mark.parametrize("bytes_", [0, 100, 70_000, 4 << 20, (6 << 20) + 12345])
def test_huge_pages_leave_the_memory_around_alone(bytes_):
    around = 5000
    memory = np.ones(bytes_ + 2 * around, np.uint8)
    _core.prefer_huge_pages(memory.ctypes.data + around, bytes_)
    assert memory[:around].all()
    assert memory[around + bytes_ :].all()
    assert np.count_nonzero(memory == 0) <= 16 + bytes_ // (2 << 20)
