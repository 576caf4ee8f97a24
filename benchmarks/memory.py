"""The memory that a fit takes beside X."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

import softgrad as sg
from softgrad.linear_model import SoftmaxRegression

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.suites.regression.csv_folder import DataSet

_CHILD = "import sys; from benchmarks.memory import main; main(*sys.argv[1:])"
_STATUS = Path("/proc/self/status")


class MemoryCase(NamedTuple):
    """The peak of the resident memory of a process that does nothing but fit."""

    data: DataSet

    @property
    def title(self) -> str:
        """What is measured."""
        return f"memory, {self.data.name}"

    def measure(self, _rounds: int, progress: Callable[[str], object]) -> dict[str, Any]:
        """Fit once in a new process; without figures where the system does not tell the peak."""
        progress("fit in a process of its own")
        peak = _peak(self.data) if _STATUS.exists() else None
        return {
            "title": self.title,
            "x_bytes": self.data.x.nbytes,
            "peak_bytes": peak,
            "peak_in_x": None if peak is None else peak / self.data.x.nbytes,
        }


def _peak(data: DataSet) -> int:
    # A file, because making the data here and there would raise the peak before the fit.
    with TemporaryDirectory() as folder:
        np.save(Path(folder, "x.npy"), data.x)
        np.save(Path(folder, "y.npy"), data.y)
        command = [sys.executable, "-c", _CHILD, folder, str(sg.get_num_threads())]
        return int(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)


def main(folder: str, threads: str) -> None:
    """Print by how many bytes a fit raises the peak of this process above what it holds before."""
    sg.set_num_threads(int(threads))
    x, y = np.load(Path(folder, "x.npy")), np.load(Path(folder, "y.npy"))
    # What is loaded and started once, whatever is fitted, is no part of the figure.
    SoftmaxRegression().fit([[0.0], [1.0], [2.0]], [0, 1, 2])
    before = _kibibytes("VmRSS")
    SoftmaxRegression().fit(x, y)
    print(1024 * max(0, _kibibytes("VmHWM") - before))


def _kibibytes(name: str) -> int:
    """A figure of Linux; VmHWM is the peak, and that of this process alone, unlike getrusage's in a child."""
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1])
