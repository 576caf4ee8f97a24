"""Calls whose loops several threads share, after fork and with other CPUs."""

import multiprocessing
import os
import subprocess
import sys

import numpy as np
import pytest

import softgrad as sg
from tests import families

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")

# Four threads compute all the time; z is large enough for several threads.
COMPUTING = """
import os, sys, threading
import numpy as np
import softgrad as sg

sys.setswitchinterval(1e-5)
sg.set_num_threads(4)
z = np.random.default_rng(0).normal(size=(100, 1000))
expected = sg.softmax(z)
done = threading.Event()

def compute():
    while not done.is_set():
        assert np.array_equal(sg.softmax(z), expected)

threads = [threading.Thread(target=compute, daemon=True) for _ in range(4)]
for thread in threads:
    thread.start()
"""

FORK = """
for _ in range(5):
    child = os.fork()
    if child == 0:
        os._exit(0 if all(np.array_equal(sg.softmax(z), expected) for _ in range(3)) else 3)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
done.set()
for thread in threads:
    thread.join()
"""


def run(code):
    return subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=60)


@needs_fork
def test_children_forked_while_other_threads_compute():
    finished = run(COMPUTING + FORK)
    assert finished.returncode == 0, finished.stderr


@needs_fork
@pytest.mark.filterwarnings("ignore:os.fork")  # by JAX, if another test has used it
def test_a_pool_of_forked_processes(threads):
    threads(2)
    z = families.normal(np.float32, 3.0, 1000, rows=100)
    expected = sg.softmax(z)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        for result in pool.map_async(sg.softmax, [z] * 8).get(timeout=60):
            np.testing.assert_array_equal(result, expected)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity")
def test_the_cpus_change_between_calls(threads):
    threads(4)
    z = families.normal(np.float32, 3.0, 1000, rows=100)
    expected = sg.softmax(z)
    cpus = os.sched_getaffinity(0)
    try:
        for allowed in [{min(cpus)}, {max(cpus)}, cpus] * 5:
            os.sched_setaffinity(0, allowed)
            np.testing.assert_array_equal(sg.softmax(z), expected)
    finally:
        os.sched_setaffinity(0, cpus)


def test_the_largest_number_of_threads(threads):
    z = families.normal(np.float32, 3.0, 10, rows=10_000)
    threads(1)
    expected = sg.softmax(z)
    threads(2**31 - 1)
    np.testing.assert_array_equal(sg.softmax(z), expected)


def test_the_process_ends_while_threads_compute():
    finished = run(COMPUTING + "import time; time.sleep(0.05)")
    assert finished.returncode == 0, finished.stderr
