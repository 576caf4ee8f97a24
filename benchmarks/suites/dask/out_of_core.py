"""A fit of rows that are four times as large as the memory of all workers."""

from __future__ import annotations

import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dask.dataframe as dd
import numpy as np
from dask import config

import softgrad.dask
from benchmarks import tables
from benchmarks.suites.dask.beside_memory import DIFFERENT, pass_seconds, quiet_fit, same_coefficients
from benchmarks.suites.dask.clusters import peak_memory, process_ids
from softgrad import linear_model

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from distributed import Client

    from benchmarks.suites import Record
    from benchmarks.suites.dask.rows import Rows

TIMES_MEMORY = 4  # X, in memory of all workers


@dataclass(frozen=True)
class OutOfCoreCase:
    """The first iterations of a fit from files, on a cluster and over a memory map on this machine."""

    rows: Rows
    workers: int
    memory_limit: int  # of a worker, in bytes
    iterations: int
    start: Callable[[int, int], AbstractContextManager[Client]]
    folder: Path | None = None  # for the files; the system's for temporary ones by default

    @property
    def title(self) -> str:
        """The shape of the work."""
        return f"out of core, {tables.shape(self.rows.shape)}"

    def measure(self, _rounds: int, progress: Callable[[str], object]) -> Record:
        """Write the files, fit once from a memory map, and once on a new cluster from each kind of file."""
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        try:
            progress("writing files")
            self.rows.write(folder)
            progress("over the memory map")
            mapped = [np.load(folder / name, mmap_mode="r") for name in ("X.npy", "y.npy")]
            begin = time.perf_counter()
            in_memory = quiet_fit(linear_model.SoftmaxRegression(solver="lbfgs", max_iter=self.iterations), *mapped)
            figures = {"fit_s": time.perf_counter() - begin, "pass_s": pass_seconds(in_memory)}
            fits = []
            for kind, read in READERS.items():
                progress(f"cluster, {kind}")
                fits.append({"files": kind} | self._fit(read, folder, in_memory))
        finally:
            shutil.rmtree(folder)
        return {
            "title": self.title,
            "shape": list(self.rows.shape),
            "x_bytes": self.rows.x_bytes,
            "workers": self.workers,
            "memory_limit": self.memory_limit,
            "x_in_memory": self.rows.x_bytes / (self.workers * self.memory_limit),
            "memory_map": figures,
            "fits": fits,
            "goals": [goal for fit in fits for goal in self._goals(fit)],
            "problems": [f"{fit['files']}: {DIFFERENT}" for fit in fits if not fit["bit_equal"]],
        }

    def _fit(self, read: Callable[[Path], tuple[Any, Any]], folder: Path, in_memory: Any) -> Record:
        with config.set({"temporary_directory": str(folder)}), self.start(self.workers, self.memory_limit) as client:
            before = process_ids(client)
            model = softgrad.dask.SoftmaxRegression(solver="lbfgs", max_iter=self.iterations, client=client)
            begin = time.perf_counter()
            quiet_fit(model, *read(folder))
            seconds = time.perf_counter() - begin
            return {
                "fit_s": seconds,
                "pass_s": pass_seconds(model),
                "restarts": len(before - process_ids(client)),
                "peaks": peak_memory(client),
                "bit_equal": same_coefficients(in_memory, model),
            }

    def _goals(self, fit: Record) -> list[Record]:
        restarts, peaks = fit["restarts"], fit["peaks"]
        share = None if peaks is None else max(peaks) / self.memory_limit
        return [
            {"name": f"{fit['files']}, restarts", "value": restarts, "text": "0", "reached": restarts == 0},
            {"name": f"{fit['files']}, peak memory", "value": share, "text": "≤ 1×", "reached": share and share <= 1},
        ]


def read_npy(folder: Path) -> tuple[Any, Any]:
    """Return X and y of the .npy files."""
    x, y = softgrad.dask.from_npy(folder / "X.npy"), softgrad.dask.from_npy(folder / "y.npy")
    return x, y.rechunk({0: x.chunks[0]})


def read_parquet(folder: Path) -> tuple[Any, Any]:
    """Return X and y of the Parquet files."""
    frame = dd.read_parquet(folder / "parts")
    return frame.drop(columns="y"), frame["y"]


READERS = {".npy": read_npy, "Parquet": read_parquet}
