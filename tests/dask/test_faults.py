"""Workers and schedulers that are lost during a fit: the result does not change, or an error says what to do."""

import os
import signal

import dask.array as da
import numpy as np
import pytest
from distributed import Client, KilledWorker, LocalCluster
from distributed.core import Status

from softgrad import linear_model
from softgrad.dask import SoftmaxRegression
from softgrad.dask._cluster import faults

N, D, K, ROWS = 30_011, 20, 5, 2000


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(N, D)).astype(np.float32)
    return x, (x @ rng.normal(size=(D, K)) + rng.gumbel(size=(N, K)) * 3).argmax(axis=1)


@pytest.fixture(scope="module")
def expected(rows):
    return linear_model.SoftmaxRegression(solver="lbfgs").fit(*rows)


@pytest.fixture(scope="module")
def cluster():
    """Three worker processes, which their nannies start again."""
    with LocalCluster(n_workers=3, threads_per_worker=1, dashboard_address=":0", silence_logs=50) as cluster:
        yield cluster


def fit(client, rows, fault, **options):
    """Fit, and call fault(client, worker) after the third iteration, with the address of a worker."""
    x, y = rows
    model = SoftmaxRegression(solver="lbfgs", client=client, **options)
    iterations = []

    def on_iteration(iteration):
        iterations.append(iteration)
        if len(iterations) == 3:
            fault(client, next(iter(client.nthreads())))

    try:
        model.fit(da.from_array(x, chunks=(ROWS, D)), da.from_array(y, chunks=ROWS), on_iteration=on_iteration)
    finally:
        assert len(iterations) >= 3
    return model


def kill(client, worker):
    """End the process of a worker during the next pass."""

    def later():
        import threading  # noqa: PLC0415

        threading.Timer(0.02, os.kill, (os.getpid(), signal.SIGKILL)).start()

    client.run(later, workers=[worker])


def add(client, worker):
    client.cluster.scale(4)
    client.wait_for_workers(4)


def restart(client, worker):
    client.restart_workers([worker])


def pause(client, worker):
    def change(dask_worker):
        dask_worker.status = Status.paused

    client.run(change, workers=[worker])


@pytest.mark.parametrize("fault", [kill, add, restart, pause])
def test_the_model_does_not_depend_on_the_fate_of_workers(cluster, rows, expected, fault):
    with Client(cluster) as client:
        before = client.run(os.getpid)
        model = fit(client, rows, fault)
        after = client.run(os.getpid)
    assert fault is pause or before != after
    np.testing.assert_array_equal(model.coef_, expected.coef_)
    np.testing.assert_array_equal(model.intercept_, expected.intercept_)
    assert model.n_passes_ == expected.n_passes_


def test_a_lost_scheduler_leaves_the_last_coefficients_to_start_from(rows, expected):
    x, y = rows
    reached = []
    cluster = LocalCluster(n_workers=2, processes=False, dashboard_address=":0", silence_logs=50)
    with cluster, Client(cluster) as client:
        model = SoftmaxRegression(solver="lbfgs", client=client)

        def on_iteration(iteration):
            reached.append(iteration.objective)
            if len(reached) == 3:
                client.restart(wait_for_workers=False)

        with pytest.raises(ConnectionError, match=r"scheduler .* lost.*after iteration 3.*warm_start=True"):
            model.fit(da.from_array(x, chunks=(ROWS, D)), da.from_array(y, chunks=ROWS), on_iteration=on_iteration)
    start = linear_model.SoftmaxRegression(solver="lbfgs", warm_start=True)
    vars(start).update(vars(model.to_local()))
    start.set_params(warm_start=True).fit(x, y)
    assert start.history_[0].objective < reached[2]
    np.testing.assert_allclose(start.objective_, expected.objective_, rtol=1e-6)


def test_a_task_that_ends_its_workers_is_an_error_that_says_why():
    with (
        pytest.raises(RuntimeError, match=r"4 workers ended while they ran make_block-7; most often the memory"),
        faults(),
    ):
        raise KilledWorker("make_block-7", None, 3)


def test_workers_and_schedulers_without_softgrad_are_an_error(client, monkeypatch):
    def fail(plugin):
        raise Exception("ModuleNotFoundError(\"No module named 'softgrad'\")")

    monkeypatch.setattr(client, "register_plugin", fail)
    with pytest.raises(RuntimeError, match=r"a worker cannot load softgrad \(Mod.*; install softgrad and"):
        SoftmaxRegression(client=client).fit(da.ones((4, 2)), da.arange(4))
    with pytest.raises(RuntimeError, match=r"the scheduler cannot load the tasks; install softgrad"), faults():
        raise RuntimeError("Error during deserialization of the task graph. This")
