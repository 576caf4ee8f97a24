"""Which worker sums which blocks."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Blocks stay where they are unless a worker would have this many times its share of the rows.
_UNEVEN = 1.25


def placement(rows: Sequence[int], holders: Sequence[tuple[str, ...]], threads: Mapping[str, int]) -> list[str]:
    """Return a worker for every block, given the workers that hold it and the threads of all workers.

    If the blocks are spread too unevenly, each worker gets neighbouring ones: their sums make up fewer nodes.
    """
    share = {worker: count * sum(rows) / sum(threads.values()) for worker, count in threads.items()}
    places: list[str] = []
    load = dict.fromkeys(threads, 0)
    for count, candidates in zip(rows, holders, strict=True):
        present = [worker for worker in candidates if worker in threads]
        if not present:
            break
        worker = min(present, key=lambda worker: load[worker] / share[worker])
        places.append(worker)
        load[worker] += count
    if len(places) == len(rows) and all(load[worker] <= _UNEVEN * share[worker] + max(rows) for worker in threads):
        return places
    order = list(dict.fromkeys([*places, *sorted(threads)]))
    ends = list(accumulate(share[worker] for worker in order))
    middles = [end - count / 2 for count, end in zip(rows, accumulate(rows), strict=True)]
    return [order[min(sum(end <= middle for end in ends), len(order) - 1)] for middle in middles]
