"""Rows drawn from the model, block by block: the same on a cluster, in memory and in files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import dask
import dask.array as da
import numpy as np
import pandas as pd
from distributed import Client, wait

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from softgrad._typing import Array

_DRAWN = 4  # blocks in files


@dataclass(frozen=True)
class Rows:
    """float32 rows with labels, in blocks of equally many rows, which are no multiple of the rows in a leaf."""

    rows: int
    features: int
    classes: int
    blocks: int
    correlated: bool = False
    """Whether the columns are random mixtures of independent ones, which gradient methods find harder."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Rows, features, classes."""
        return self.blocks * self.rows_of_block, self.features, self.classes

    @property
    def rows_of_block(self) -> int:
        """The rows of every block: an odd number."""
        return max(1, self.rows // self.blocks - 1) | 1

    @property
    def x_bytes(self) -> int:
        """The bytes of all features."""
        return 4 * self.shape[0] * self.features

    def in_memory(self) -> tuple[Array, Array]:
        """Return X and y."""
        x, y = np.empty(self.shape[:2], np.float32), np.empty(self.shape[0], np.int64)
        for i in range(self.blocks):
            part = slice(i * self.rows_of_block, (i + 1) * self.rows_of_block)
            x[part], y[part] = block(self, i)
        return x, y

    def on_cluster(self, client: Client) -> tuple[da.Array, da.Array]:
        """Return X and y, drawn by the workers and kept by them."""
        n = self.rows_of_block
        parts = [dask.delayed(block, nout=2, pure=True)(self, i) for i in range(self.blocks)]
        x = da.concatenate([da.from_delayed(x, (n, self.features), np.float32) for x, _ in parts])
        y = da.concatenate([da.from_delayed(y, (n,), np.int64) for _, y in parts])
        x, y = client.persist([x, y])
        wait([x, y])
        return x, y

    def in_turn(self) -> Iterator[tuple[Array, Array]]:
        """Yield X and y of every block, for files: quickly, since all are multiples of a few drawn blocks."""
        drawn = [block(self, i) for i in range(min(_DRAWN, self.blocks))]
        for i in range(self.blocks):
            x, y = drawn[i % _DRAWN]
            yield x * np.float32(1 + i // _DRAWN / 64), y

    def write_npy(self, folder: Path) -> None:
        """Write X.npy and y.npy."""
        x = np.lib.format.open_memmap(folder / "X.npy", "w+", np.float32, self.shape[:2])
        y = np.lib.format.open_memmap(folder / "y.npy", "w+", np.int64, self.shape[:1])
        for i, block_of_file in enumerate(self.in_turn()):
            part = slice(i * self.rows_of_block, (i + 1) * self.rows_of_block)
            x[part], y[part] = block_of_file

    def write_parquet(self, folder: Path) -> None:
        """Write the same rows as a Parquet file for every block."""
        for i, (x, y) in enumerate(self.in_turn()):
            frame = pd.DataFrame(x, columns=[f"x{k}" for k in range(self.features)])
            frame["y"] = y
            frame.to_parquet(folder / f"{i:05}.parquet", engine="pyarrow", compression=None, use_dictionary=False)


def block(rows: Rows, number: int) -> tuple[Array, Array]:
    """Return X and y of a block."""
    rng = np.random.default_rng(number)
    x = rng.standard_normal((rows.rows_of_block, rows.features), np.float32)
    logits = x @ _factors(rows.features, rows.classes)
    if rows.correlated:
        x = x @ _factors(rows.features, rows.features)
    return x, (2 * logits + rng.gumbel(size=logits.shape)).argmax(axis=1)


def _factors(features: int, columns: int) -> Array:
    rng = np.random.default_rng(columns)
    return rng.standard_normal((features, columns), np.float32) / np.sqrt(np.float32(features))
