"""The suite "regression": time until softmax regression is as far down as scikit-learn gets, and its other costs.

A fit of scikit-learn, at its default tolerance, sets the objective to reach. The time of softgrad is that of a whole
fit with `max_iter=k`, the least k whose coefficients reach that objective. Both objectives are computed here, in
float64 and from the coefficients alone.
"""

from __future__ import annotations

import statistics
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import tables
from benchmarks.suites import Suite
from benchmarks.suites.regression import csv_folder, data_sets
from benchmarks.suites.regression.fit_costs import FitMemoryCase, PassCase
from benchmarks.suites.regression.fits import FitCase
from benchmarks.suites.regression.serial_share import SerialShareCase
from benchmarks.suites.regression.table import table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.peers import Peers
    from benchmarks.suites import Case, Record, Report

IMAGES = 60000
_PEER = "scikit-learn"

# How much faster than scikit-learn: all data sets together, each of them, the images.
_FASTER, _NEVER_SLOWER, _FASTER_ON_IMAGES = 10.0, 1.0, 20.0
_PASS_IN_READS = 3.0
_PEAK_IN_X = 0.25
_SERIAL_SHARE = 0.05


def cases(peers: Peers, *, folder: Path | None = None, shrink: int = 1) -> Iterator[Case]:
    """Digits, the folder's tables or synthetic data, and the images; `shrink` divides their rows (tests use it)."""
    # Read all tables before anything is timed: an unreadable one should fail at once.
    others = list(data_sets.synthetic(shrink)) if folder is None else list(csv_folder.data_sets(folder))
    yield FitCase(data_sets.digits(shrink), peers)
    for data in others:
        yield FitCase(data, peers)
    images = data_sets.DataSet("images", *data_sets.warped_digits(max(1, IMAGES // shrink)))
    yield FitCase(images, peers)
    yield PassCase(images)
    yield FitMemoryCase(images)
    wide = replace(images, name="images, float64", x=images.x.astype(np.float64))
    for data in (images, wide, *others):
        yield SerialShareCase(data)


def notes(report: Report) -> list[str]:
    """The conditions of the measurement."""
    threads = tables.counted(report["threads"], "thread")
    return [
        f"fit() alone, C=1; {threads} for softgrad.",
        "as good: until its coefficients are as good as scikit-learn's final ones, by the",
        "objective in float64.",
        "gap: the objective over the optimum, less 1.",
        "serial: outside the loops that threads share; Amdahl's law allows the speed-ups.",
        *tables.load_warning(report),
    ]


def summary(records: list[Record]) -> dict[str, Any]:
    """The geometric mean of the ratios, and which goals are reached."""
    ratios = {
        record["title"]: peer["ratio"]
        for record in records
        for peer in record.get("peers", ())
        if peer["name"] == _PEER and peer["ratio"] is not None
    }
    if not ratios:
        return {"geometric_mean": None, "goals": []}
    mean = statistics.geometric_mean(ratios.values())
    goals = [_at_least("geometric mean", mean, _FASTER), _at_least("slowest", min(ratios.values()), _NEVER_SLOWER)]
    if "images" in ratios:
        goals.append(_at_least("images", ratios["images"], _FASTER_ON_IMAGES))
    for record in records:
        if "reads" in record:
            goals.append(_at_most("pass", record["reads"], _PASS_IN_READS))
        if record.get("peak_in_x") is not None:
            goals.append(_at_most("memory", record["peak_in_x"], _PEAK_IN_X))
    shares = [record["serial_share"] for record in records if "serial_share" in record]
    if shares:
        text, largest = f"≤ {100 * _SERIAL_SHARE:g} %", max(shares)
        goals.append({"name": "serial", "value": largest, "text": text, "reached": largest <= _SERIAL_SHARE})
    return {"geometric_mean": mean, "goals": goals}


def _at_least(name: str, value: float, bound: float) -> dict[str, Any]:
    return {"name": name, "value": value, "text": f"≥ {bound:g}×", "reached": value >= bound}


def _at_most(name: str, value: float, bound: float) -> dict[str, Any]:
    return {"name": name, "value": value, "text": f"≤ {bound:g}×", "reached": value <= bound}


SUITE = Suite(peers=(_PEER, "scikit-learn-intelex"), rounds=3, cases=cases, notes=notes, table=table, summary=summary)
