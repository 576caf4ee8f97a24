import ctypes
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import softgrad as sg
from softgrad import _core, _threads
from tests import families

# One per layout of the kernels, each large enough for several threads: columns, rows, two blocks a row, long rows.
SHAPES = [(8000, 10), (150, 1000), (33, 9000), (2, 150_000)]
CPUS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def everything(z, y, q):
    results = [sg.softmax(z), sg.log_softmax(z), sg.logsumexp(z)]
    for target in (y, q):
        for reduction in ("mean", "none"):
            results += sg.cross_entropy_value_and_grad(z, target, reduction=reduction)
    return results


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_results_do_not_depend_on_the_number_of_threads(instruction_set, threads, dtype, shape):
    z = families.normal(dtype, 3.0, shape[1], rows=shape[0])
    y = np.arange(shape[0]) % shape[1]
    q = np.abs(families.normal(dtype, 1.0, shape[1], rows=shape[0], seed=1))
    threads(1)
    expected = everything(z, y, q)
    for n in (2, 3, 8):
        threads(n)
        for got, single in zip(everything(z, y, q), expected, strict=True):
            np.testing.assert_array_equal(got, single)


def test_eight_python_threads_at_once():
    z = families.normal(np.float32, 3.0, 1000, rows=300)
    y = np.arange(300)
    expected_loss, expected = sg.cross_entropy_value_and_grad(z, y)

    def work(_):
        return sg.cross_entropy_value_and_grad(z, y)

    with ThreadPoolExecutor(8) as pool:
        for loss, gradient in pool.map(work, range(64)):
            assert loss == expected_loss
            np.testing.assert_array_equal(gradient, expected)


FOREIGN = """
extern "C" void in_parallel(void (*callback)()) {
#pragma omp parallel num_threads(8)
#pragma omp critical
  callback();
}
"""

FORK = """
import os
import numpy as np
import softgrad as sg

sg.set_num_threads(2)
z = np.random.default_rng(0).normal(size=(300, 1000))
expected = sg.softmax(z)  # the parent's threads are running now
child = os.fork()
if child == 0:
    os._exit(0 if np.array_equal(sg.softmax(z), expected) else 3)
_, status = os.waitpid(child, 0)
assert np.array_equal(sg.softmax(z), expected)
print(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_computes_after_its_parent_did():
    """In a process of its own: other libraries that a test run has loaded object to forks."""
    run = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, check=True, timeout=60)
    assert run.stdout.strip() == "0"


@pytest.fixture
def foreign_library(tmp_path):
    """Another user of OpenMP in the same process."""
    compiler = shutil.which("g++") or shutil.which("c++")
    if compiler is None:
        pytest.skip("needs a compiler with OpenMP to build the foreign library")
    source, library = tmp_path / "foreign.cc", tmp_path / "foreign.so"
    source.write_text(FOREIGN)
    command = [compiler, "-fopenmp", "-shared", "-fPIC", "-o", library, source]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("needs a compiler with OpenMP to build the foreign library")
    return library


def test_calls_from_inside_a_foreign_parallel_region(foreign_library):
    """A long strided row once took its buffer by the number of a thread that was not its own."""
    z = families.normal(np.float64, 3.0, 3, rows=70_000)
    expected = sg.softmax(z, axis=0)
    results = []
    callback = ctypes.CFUNCTYPE(None)
    ctypes.CDLL(str(foreign_library)).in_parallel(callback(lambda: results.append(sg.softmax(z, axis=0))))
    assert len(results) == 8
    for result in results:
        np.testing.assert_array_equal(result, expected)


FORK_AFTER_FOREIGN = """
import ctypes, os, sys
import numpy as np
import softgrad as sg

sg.set_num_threads(2)
callback = ctypes.CFUNCTYPE(None)
ctypes.CDLL(sys.argv[1]).in_parallel(callback(lambda: None))
child = os.fork()
if child == 0:
    sg.softmax(np.ones((300, 1000)))
    os._exit(0)
_, status = os.waitpid(child, 0)
print(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_child_forked_after_another_library_had_used_openmp(foreign_library):
    command = [sys.executable, "-c", FORK_AFTER_FOREIGN, str(foreign_library)]
    run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert run.stdout.strip() == "0"


@pytest.fixture
def default_threads(threads, monkeypatch):
    """A function that returns the default number of threads, as if softgrad were imported in an environment."""
    monkeypatch.setattr(_threads, "cpu_quota", lambda: None)  # whatever the quota of the test run

    def default(**environment):
        for name in ("SOFTGRAD_NUM_THREADS", "OMP_NUM_THREADS"):
            monkeypatch.delenv(name, raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        _threads._start()
        return sg.get_num_threads()

    yield default
    monkeypatch.undo()
    _threads._start()


def test_get_and_set(threads):
    sg.set_num_threads(3)
    assert sg.get_num_threads() == 3


@pytest.mark.parametrize("value", ["3", " 3 ", "2147483647"])
def test_environment_variable(default_threads, value):
    assert default_threads(SOFTGRAD_NUM_THREADS=value) == int(value)


@pytest.mark.parametrize("value", ["abc", "99999999999", "-2", "0", "3.5", "4x", "9" * 5000])
def test_a_number_of_threads_that_is_none_is_a_warning(default_threads, value):
    with pytest.warns(RuntimeWarning, match=f"SOFTGRAD_NUM_THREADS='{value}'; expected a positive integer"):
        assert default_threads(SOFTGRAD_NUM_THREADS=value) == CPUS


@pytest.mark.parametrize(
    "value, expected", [("1", 1), ("1,4", 1), ("1000", None), ("9" * 5000, None), ("0", None), ("x", None), ("", None)]
)
def test_openmps_variable_limits_the_default(default_threads, value, expected):
    assert default_threads(OMP_NUM_THREADS=value) == (expected or CPUS)


@pytest.mark.parametrize("quota, most", [(0.5, 1), (1.0, 1), (1.25, 2), (1000.0, 1000), (None, 1000)])
def test_the_quota_of_a_container_limits_the_default(default_threads, monkeypatch, quota, most):
    monkeypatch.setattr(_threads, "cpu_quota", lambda: quota)
    assert default_threads() == min(most, CPUS)


def test_the_environment_counts_more_than_the_quota(default_threads, monkeypatch):
    monkeypatch.setattr(_threads, "cpu_quota", lambda: 0.5)
    assert default_threads(SOFTGRAD_NUM_THREADS="3") == 3


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity")
def test_the_default_follows_the_affinity(threads):
    threads(0)
    default, before = sg.get_num_threads(), os.sched_getaffinity(0)
    z = families.normal(np.float32, 3.0, 1000, rows=300)
    expected = sg.softmax(z)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert sg.get_num_threads() == 1
        np.testing.assert_array_equal(sg.softmax(z), expected)
        sg.set_num_threads(2)
        np.testing.assert_array_equal(sg.softmax(z), expected)
    finally:
        os.sched_setaffinity(0, before)
    threads(0)
    assert sg.get_num_threads() == default


def test_instruction_set_from_the_environment():
    code = "from softgrad import _core; print(_core.instruction_set())"
    for name in _core.instruction_sets():
        run = subprocess.run(
            [sys.executable, "-c", code], env={"SOFTGRAD_ISA": name}, capture_output=True, text=True, check=True
        )
        assert run.stdout.strip() == name
    run = subprocess.run(
        [sys.executable, "-c", code], env={"SOFTGRAD_ISA": "sse9"}, capture_output=True, text=True, check=False
    )
    assert run.returncode != 0
    assert "SOFTGRAD_ISA='sse9'" in run.stderr
    assert "generic" in run.stderr


CHANGING_LABELS = """
import threading
import numpy as np
import softgrad as sg

z, y = np.zeros((4000, CLASSES), np.float32), np.zeros(4000, np.int64)
done = threading.Event()

def change():
    while not done.is_set():
        y[:] = 2**40
        y[:] = 0

threading.Thread(target=change, daemon=True).start()
try:
    for options in 3 * [{}, {"label_smoothing": 0.1}, {"weight": np.ones(CLASSES)}, {"reduction": "none"}]:
        for _ in range(20):
            try:
                sg.cross_entropy_value_and_grad(z, y, **options)
                sg.cross_entropy_hvp(z, y, z, **options)
            except IndexError:
                pass
finally:
    done.set()
"""


@pytest.mark.parametrize("classes", [3, 200])
def test_labels_that_another_thread_changes_crash_nothing(classes):
    """Checked or used, a label is read once, and used for no address if it is no class."""
    code = CHANGING_LABELS.replace("CLASSES", str(classes))
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
