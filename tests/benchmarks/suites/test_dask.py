"""Fits on a cluster: the rows, the figures, the model of a large cluster, and the table."""

import dataclasses
import io
import json
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest
from distributed import Client, LocalCluster
from rich.console import Console
from sklearn.linear_model import LogisticRegression

from benchmarks import memory
from benchmarks.__main__ import header, run, wrong_results
from benchmarks.suites import dask as suite
from benchmarks.suites.dask import beside_memory, out_of_core, pass_cost
from benchmarks.suites.dask.beside_dask_ml import DaskMLCase
from benchmarks.suites.dask.beside_memory import BesideMemoryCase
from benchmarks.suites.dask.out_of_core import OutOfCoreCase
from benchmarks.suites.dask.pass_cost import Machines, PassCostCase
from benchmarks.suites.dask.rows import Rows

ROWS = Rows(2000, 5, 3, 4)


@pytest.fixture(scope="module")
def client():
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=False, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        yield client


@pytest.fixture
def start(client):
    """A function that starts no cluster: workers are threads of this process."""

    @contextmanager
    def started(*_):
        yield client

    return started


class LocalPeer(LogisticRegression):
    """A model with the interface of dask-ml's."""

    def __init__(self, solver="lbfgs", C=1.0, fit_intercept=True, max_iter=100):
        super().__init__(solver=solver, C=C, fit_intercept=fit_intercept, max_iter=max_iter)

    def fit(self, X, y):
        super().fit(X.compute(), y.compute())
        self.coef_ = self.coef_[0]
        return self


@pytest.fixture(autouse=True)
def _few_passes(monkeypatch):
    monkeypatch.setattr(pass_cost, "_PASSES", 1)


PEER = SimpleNamespace(LogisticRegression=LocalPeer)


def printed(report):
    console = Console(width=100, file=io.StringIO(), highlight=False)
    console.print("\n".join(header(report, suite.SUITE)))
    console.print(suite.table(report))
    return console.file.getvalue()


def test_report_holds_all_cases_and_fits_100_columns(tmp_path, start):
    def cases(peers):
        yield BesideMemoryCase(ROWS, 2, 4, start, has_goal=True)
        yield DaskMLCase(dataclasses.replace(ROWS, classes=2, correlated=True), PEER, 2, start)
        yield PassCostCase(ROWS, Rows(40, 2, 2, 4), (1, 2), start)
        for kind in out_of_core.FILES:
            yield OutOfCoreCase(kind, ROWS, 2, 10_000_000_000, 4, start, tmp_path)

    report = run("dask", dataclasses.replace(suite.SUITE, cases=cases), rounds=1, threads=2)
    beside, dask_ml, passes, *files = report["cases"]
    assert wrong_results(report["cases"]) == []
    assert beside["shape"] == [1996, 5, 3]
    assert beside["ratio"] == pytest.approx(beside["cluster"]["median_s"] / beside["in_memory"]["median_s"])
    assert dask_ml["softgrad"]["objective"] <= dask_ml["peer"]["objective"]
    assert dask_ml["ratio"] == pytest.approx(dask_ml["peer"]["median_s"] / dask_ml["softgrad"]["median_s"])
    assert [(each["shape"], each["workers"]) for each in passes["passes"]] == [
        ([36, 2, 2], 1), ([1996, 5, 3], 1), ([36, 2, 2], 2), ([1996, 5, 3], 2),
    ]  # fmt: skip
    assert [case["from_files"]["restarts"] for case in files] == [0, 0]
    assert list(tmp_path.iterdir()) == []
    shown = memory.can_measure()
    assert [(goal["name"], goal["reached"]) for goal in report["summary"]["goals"][2:]] == [
        (".npy, restarts", True), (".npy, peak memory", shown or None),
        ("Parquet, restarts", True), ("Parquet, peak memory", shown or None),
    ]  # fmt: skip
    json.dumps(report, allow_nan=False)
    text = printed(report)
    for expected in (beside["title"], dask_ml["title"], "1e9 × 784 × 10 on 100 machines", "Parquet files, 1996"):
        assert expected in text
    assert "…" not in text


def test_cases_are_made_from_the_installed_peers():
    titles = [case.title for case in suite.cases({"dask-ml": None})]
    assert len(titles) == 7
    assert [case.title for case in suite.cases({})] == [title for title in titles if "two classes" not in title]
    for case in list(suite.cases({}))[-2:]:
        assert case.rows.x_bytes == pytest.approx(4 * case.workers * case.memory_limit, rel=1e-3)


def test_rows_on_a_cluster_are_those_in_memory(client):
    for mine, theirs in zip(ROWS.on_cluster(client), ROWS.in_memory(), strict=True):
        np.testing.assert_array_equal(mine.compute(), theirs)


def test_files_of_each_kind_hold_the_same_rows(tmp_path):
    rows = dataclasses.replace(ROWS, blocks=6)
    x, y = (np.concatenate(parts) for parts in zip(*rows.in_turn(), strict=True))
    assert x.shape == rows.shape[:2]
    assert len(np.unique(x, axis=0)) == len(x)
    for kind, files in out_of_core.FILES.items():
        folder = tmp_path / kind
        folder.mkdir()
        files.write(rows, folder)
        X, Y = files.read(folder)
        np.testing.assert_array_equal(np.asarray(X), x)
        np.testing.assert_array_equal(np.asarray(Y), y)


def test_other_coefficients_and_sums_are_failures(monkeypatch, tmp_path, start, measured):
    monkeypatch.setattr(beside_memory, "same_coefficients", lambda *_: False)
    monkeypatch.setattr(out_of_core, "same_coefficients", lambda *_: False)
    beside = measured(BesideMemoryCase(ROWS, 2, 2, start, has_goal=False))
    files = measured(OutOfCoreCase("Parquet", ROWS, 2, 10_000_000_000, 2, start, tmp_path))
    right = pass_cost.cost_of_passes
    monkeypatch.setattr(pass_cost, "cost_of_passes", lambda *args: (right(*args)[0], np.zeros(3)))
    passes = measured(PassCostCase(ROWS, Rows(40, 2, 2, 4), (1,), start))
    assert beside["goals"] == []
    assert [len(case["problems"]) for case in (beside, files, passes)] == [1, 1, 2]


def test_restarts_and_peaks_beyond_the_limit_miss_their_goals():
    case = OutOfCoreCase(".npy", ROWS, 2, 100, 1, None)
    fit = {"restarts": 1, "peaks": [90, 110]}
    assert [(goal["value"], goal["reached"]) for goal in case._goals(fit)] == [(1, False), (1.1, False)]
    fit = {"restarts": 0, "peaks": None}
    assert [(goal["value"], goal["reached"]) for goal in case._goals(fit)] == [(0, True), (None, None)]


def test_model_separates_the_costs_of_tasks_and_bytes():
    def one(workers, size):
        seconds = 0.01 + 0.002 * (1 + workers) + 1e-9 * size
        return {"workers": workers, "median_s": 0.02, "client_s": seconds, "scheduler_s": 2 * seconds,
                "node_bytes": size - 100, "argument_bytes": 100}  # fmt: skip

    problem = Machines(10**6, 9, 10, 50)
    passes = [one(1, 10**3), one(2, 2 * 10**3), one(1, 10**6), one(3, 5 * 10**6)]
    record = pass_cost.model(problem, passes, (1000, 9, 10), in_memory_s=0.001)
    node = 8 * (10 * 9 + 10 + 1)
    moved = node * (pass_cost.nodes_of_workers(problem) + 50)
    assert record["rows_s"] == pytest.approx(0.02)
    assert record["client"]["s_per_task"] == pytest.approx(0.002)
    assert record["scheduler"]["s_per_byte"] == pytest.approx(2e-9)
    assert record["client"]["s"] == pytest.approx(0.01 + 0.002 * 51 + 1e-9 * moved)
    assert record["pass_s"] == pytest.approx(0.02 + 0.02 + 3 * record["client"]["s"])


def test_nodes_of_workers_are_the_subtrees_of_their_rows():
    assert pass_cost.nodes_of_workers(Machines(512 * 16, 4, 2, 4)) == 4  # each a subtree of four leaves
    assert pass_cost.nodes_of_workers(Machines(512 * 15, 4, 2, 4)) > 4
