"""A fit of rows that are four times as large as the memory of all workers."""

from __future__ import annotations

import shutil
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import dask.dataframe as dd
import numpy as np
from dask import config

import softgrad.dask
from benchmarks import tables
from benchmarks.suites.dask.beside_memory import DIFFERENT, pass_seconds, quiet_fit, same_coefficients
from benchmarks.suites.dask.clusters import peak_memory, process_ids
from benchmarks.suites.dask.rows import Rows
from softgrad import linear_model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from distributed import Client

    from benchmarks.suites import Record

TIMES_MEMORY = 4  # X, in memory of all workers
# Blocks are in files already; Dask would write them again once the process takes most of the memory of a small worker.
_NO_SPILLING = {"distributed.worker.memory.target": False, "distributed.worker.memory.spill": False}


@dataclass(frozen=True)
class OutOfCoreCase:
    """The first iterations of a fit from files on a cluster, and over a memory map on as many threads."""

    kind: str  # of `FILES`
    rows: Rows
    workers: int
    memory_limit: int  # of a worker, in bytes
    iterations: int
    start: Callable[[int, int], AbstractContextManager[Client]]
    folder: Path | None = None  # for the files; the system's for temporary ones by default

    @property
    def title(self) -> str:
        """The kind of files and the shape of the work."""
        return f"{self.kind} files, {tables.shape(self.rows.shape)}"

    def measure(self, _rounds: int, progress: Callable[[str], object]) -> Record:
        """Write the files, and fit once from a memory map, and once on a new cluster."""
        files = FILES[self.kind]
        with self._new_folder() as folder:
            progress("writing .npy files")
            self.rows.write_npy(folder)
            progress("over the memory map")
            in_memory, figures = self._fit_of_map(folder)
            progress("cluster")
            if self.kind == ".npy":
                fit = self._fit(files.read, folder, in_memory)
        if self.kind != ".npy":
            with self._new_folder() as folder:
                files.write(self.rows, folder)
                fit = self._fit(files.read, folder, in_memory)
        return {
            "title": self.title,
            "shape": list(self.rows.shape),
            "x_bytes": self.rows.x_bytes,
            "workers": self.workers,
            "memory_limit": self.memory_limit,
            "x_in_memory": self.rows.x_bytes / (self.workers * self.memory_limit),
            "memory_map": figures,
            "from_files": fit,
            "ratio": fit["pass_s"] / figures["pass_s"],
            "goals": self._goals(fit),
            "problems": [] if fit["bit_equal"] else [DIFFERENT],
        }

    @contextmanager
    def _new_folder(self) -> Iterator[Path]:
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        try:
            yield folder
        finally:
            shutil.rmtree(folder)

    def _fit_of_map(self, folder: Path) -> tuple[Any, Record]:
        mapped = [np.load(folder / name, mmap_mode="r") for name in ("X.npy", "y.npy")]
        model = linear_model.SoftmaxRegression(solver="lbfgs", max_iter=self.iterations, n_threads=self.workers)
        begin = time.perf_counter()
        quiet_fit(model, *mapped)
        return model, {"fit_s": time.perf_counter() - begin, "pass_s": pass_seconds(model)}

    def _fit(self, read: Callable[[Path], tuple[Any, Any]], folder: Path, in_memory: Any) -> Record:
        options = {"temporary_directory": str(folder), **_NO_SPILLING}
        with config.set(options), self.start(self.workers, self.memory_limit) as client:
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
            {"name": f"{self.kind}, restarts", "value": restarts, "text": "0", "reached": restarts == 0},
            {"name": f"{self.kind}, peak memory", "value": share, "text": "≤ 1×", "reached": share and share <= 1},
        ]


class Files(NamedTuple):
    """How a kind of files is written to a folder, and read as X and y."""

    write: Callable[[Rows, Path], None]
    read: Callable[[Path], tuple[Any, Any]]


def read_npy(folder: Path) -> tuple[Any, Any]:
    """Return X and y of the .npy files."""
    x, y = softgrad.dask.from_npy(folder / "X.npy"), softgrad.dask.from_npy(folder / "y.npy")
    return x, y.rechunk({0: x.chunks[0]})


def read_parquet(folder: Path) -> tuple[Any, Any]:
    """Return X and y of the Parquet files."""
    frame = dd.read_parquet(folder)
    return frame.drop(columns="y"), frame["y"]


FILES = {".npy": Files(Rows.write_npy, read_npy), "Parquet": Files(Rows.write_parquet, read_parquet)}
