"""A process that keeps one CPU busy."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# Arguments: the process id of the parent, and the CPU to run on. Ctrl-C reaches all processes of a terminal: only the
# parent handles it. A parent that is killed cannot stop this process, so it looks for it in every turn.
_SPIN = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
parent, *cpu = map(int, sys.argv[1:])
if cpu:
    os.sched_setaffinity(0, cpu)
print("running", flush=True)
while os.getppid() == parent:
    for _ in range(100_000):
        pass
"""


@contextmanager
def busy_core() -> Iterator[subprocess.Popen[str]]:
    """Within the context another process spins on one CPU, the last one that this process may use.

    Where the system cannot pin a process, as macOS and Windows, it runs on any CPU.
    """
    cpu = [str(max(os.sched_getaffinity(0)))] if hasattr(os, "sched_setaffinity") else []
    command = [sys.executable, "-I", "-S", "-c", _SPIN, str(os.getpid()), *cpu]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            if process.stdout is None or process.stdout.readline() != "running\n":
                raise RuntimeError("the process that keeps a core busy does not start")
            yield process
        finally:
            process.kill()
