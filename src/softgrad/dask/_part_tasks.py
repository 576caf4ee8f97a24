"""A function applied on a cluster to the parts of a table, which the workers read themselves."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import dask.array as da
import dask.dataframe as dd
from dask import delayed
from distributed import Client, as_completed

from softgrad.dask._cluster import faults, local_cluster, prepare_workers
from softgrad.dask._softmax_regression import SoftmaxRegression

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from softgrad._typing import Array

_SECONDS = 10  # to wait for a scheduler


class PartTasks:
    """A client of a cluster."""

    def __init__(self, client: Client) -> None:
        self._client = client
        prepare_workers(client)

    @property
    def workers(self) -> int:
        """The number of workers now."""
        with faults():
            return len(self._client.nthreads())

    def map(
        self, function: Callable[..., Any], context: Any, parts: Sequence[Any], done: Callable[[int], object]
    ) -> list[Any]:
        """Return function(context, part) of the parts; `done` is called with the number of parts that are."""
        with faults():
            shared = self._client.submit(_unchanged, context, pure=False)
            futures = [self._client.submit(function, shared, part, pure=False) for part in parts]
            places = {future.key: place for place, future in enumerate(futures)}
            results: list[Any] = [None] * len(futures)
            for count, future in enumerate(as_completed(futures), 1):
                results[places[future.key]] = future.result()
                done(count)
            return results

    def collections(
        self,
        function: Callable[..., Any],
        context: Any,
        parts: Sequence[Any],
        lengths: Sequence[int],
        empty: tuple[Any, Array],
    ) -> tuple[Any, Any]:
        """Return X and y as dask collections of the pairs function(context, part).

        Parameters
        ----------
        function, context, parts
            As for `map`; the function returns X, an array or a data frame, and y of a part.
        lengths : sequence of int
            Number of rows of each part.
        empty : tuple
            X and y of no rows.
        """
        shared = delayed(context, pure=False)
        call = delayed(function, nout=2, pure=False)
        x, y = zip(*(call(shared, part) for part in parts), strict=True)
        columns, none = empty
        labels = _array(y, [(length,) for length in lengths], none)
        if hasattr(columns, "iloc"):
            return dd.from_delayed(list(x), meta=columns, verify_meta=False), labels
        return _array(x, [(length, columns.shape[1]) for length in lengths], columns), labels

    def model(self, **options: Any) -> SoftmaxRegression:
        """Return a model to fit on this cluster."""
        return SoftmaxRegression(client=self._client, **options)


@contextmanager
def part_tasks(address: str | None) -> Iterator[PartTasks]:
    """Connect to the scheduler at an address, or start a cluster on this machine until the block ends."""
    # The faults that Dask logs are raised as errors too. Its loggers have levels and handlers of their own.
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] == "distributed":
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    if address is None:
        with local_cluster(silence_logs=logging.CRITICAL) as cluster, Client(cluster) as client:
            yield PartTasks(client)
        return
    try:
        client = Client(address, timeout=_SECONDS)
    except (OSError, ValueError, TypeError, ImportError) as error:
        reason = str(error).partition("\n")[0]
        raise ConnectionError(f"no scheduler answers at {address}: {reason or type(error).__name__}") from None
    with client:
        tasks = PartTasks(client)
        if not tasks.workers:
            raise ConnectionError(f"the scheduler at {address} has no workers; start one: dask worker {address}")
        yield tasks


def _array(parts: Sequence[Any], shapes: Sequence[tuple[int, ...]], empty: Array) -> da.Array:
    blocks = [da.from_delayed(part, shape, meta=empty) for part, shape in zip(parts, shapes, strict=True)]
    return da.concatenate(blocks)


def _unchanged(value: Any) -> Any:
    return value
