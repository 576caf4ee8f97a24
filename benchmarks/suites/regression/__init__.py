"""The suite "regression": time until softmax regression is as far down as scikit-learn gets, and what it costs.

A fit of scikit-learn, at its default tolerance, sets the objective to reach. What is timed of softgrad is a whole fit
with `max_iter=k`, the least k whose coefficients reach that objective. Both objectives are computed here, in float64
and from the coefficients alone.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from benchmarks.memory import MemoryCase
from benchmarks.suites.regression import csv_folder as _data_sets
from benchmarks.suites.regression.data_sets import warped_digits
from benchmarks.suites.regression.fit_costs import PassCase
from benchmarks.suites.regression.fits import FitCase

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.peers import Peers

PEERS = ("scikit-learn", "scikit-learn-intelex")
ROUNDS = 3
IMAGES = 60000

# How much faster than scikit-learn: all data sets together, each of them, the images.
_FASTER, _NEVER_SLOWER, _FASTER_ON_IMAGES = 10.0, 1.0, 20.0
_PASS_IN_READS = 3.0
_PEAK_IN_X = 0.25


def cases(peers: Peers, *, folder: Path | None = None, shrink: int = 1) -> Iterator[FitCase | PassCase | MemoryCase]:
    """Digits, the folder's tables or synthetic data, and the images; `shrink` divides their rows (tests use it)."""
    # Before anything is timed: a table that cannot be read shall not cost minutes first.
    tables = _data_sets.synthetic(shrink) if folder is None else list(_data_sets.tables(folder))
    yield FitCase(_data_sets.digits(shrink), peers)
    for data in tables:
        yield FitCase(data, peers)
    images = _data_sets.DataSet("images", *warped_digits(max(1, IMAGES // shrink)))
    yield FitCase(images, peers)
    yield PassCase(images)
    yield MemoryCase(images)


def summary(records: list[dict[str, Any]]) -> dict[str, Any]:
    """What the records of all cases come to: the geometric mean of the ratios, and which goals are reached."""
    ratios = {
        record["title"]: peer["ratio"]
        for record in records
        for peer in record.get("peers", ())
        if peer["name"] == PEERS[0] and peer["ratio"] is not None
    }
    if not ratios:
        return {"geometric_mean": None, "goals": []}
    mean = math.exp(sum(map(math.log, ratios.values())) / len(ratios))
    goals = [_at_least("geometric mean", mean, _FASTER), _at_least("slowest", min(ratios.values()), _NEVER_SLOWER)]
    if "images" in ratios:
        goals.append(_at_least("images", ratios["images"], _FASTER_ON_IMAGES))
    for record in records:
        if "reads" in record:
            goals.append(_at_most("pass", record["reads"], _PASS_IN_READS))
        if record.get("peak_in_x") is not None:
            goals.append(_at_most("memory", record["peak_in_x"], _PEAK_IN_X))
    return {"geometric_mean": mean, "goals": goals}


def _at_least(name: str, value: float, bound: float) -> dict[str, Any]:
    return {"name": name, "value": value, "text": f"≥ {bound:g}×", "reached": value >= bound}


def _at_most(name: str, value: float, bound: float) -> dict[str, Any]:
    return {"name": name, "value": value, "text": f"≤ {bound:g}×", "reached": value <= bound}
