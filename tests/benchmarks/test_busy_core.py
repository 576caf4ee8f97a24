"""The process that keeps a core busy: it runs, and it always ends."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.busy_core import busy_core

_STAT = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="/proc is Linux's")


def stat(pid):
    """The state of a process, and the time that it has used, in ticks; None if there is no such process."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return None
    return fields[0], int(fields[11])


def wait_for(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@_STAT
def test_process_spins_on_one_cpu_until_the_end_of_the_context():
    with busy_core() as process:
        assert process.poll() is None
        if hasattr(os, "sched_getaffinity"):
            assert os.sched_getaffinity(process.pid) == {max(os.sched_getaffinity(0))}
        ticks = stat(process.pid)[1]
        wait_for(lambda: stat(process.pid)[1] >= ticks + 10)
    assert process.returncode is not None


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_process_is_stopped_when_the_work_raises(error):
    with pytest.raises(error), busy_core() as process:
        raise error
    assert process.returncode is not None


@_STAT
def test_process_ends_with_a_parent_that_is_killed():
    program = (
        "import os; from benchmarks.busy_core import busy_core\n"
        "with busy_core() as process: print(process.pid, flush=True); os.kill(os.getpid(), 9)"
    )
    parent = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, check=False)
    pid = int(parent.stdout)
    wait_for(lambda: (stat(pid) or "X")[0] in "XZ")


def test_process_that_does_not_start_is_an_error(monkeypatch):
    monkeypatch.setattr("benchmarks.busy_core._SPIN", "")
    with pytest.raises(RuntimeError, match="does not start"), busy_core():
        pass
