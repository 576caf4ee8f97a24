"""Clusters on this machine for the tests."""

from contextlib import contextmanager

import pytest


@contextmanager
def connected(workers):
    """Connect a client to workers that are threads of this process."""
    from distributed import Client, LocalCluster  # noqa: PLC0415

    with (
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=False,
            dashboard_address="127.0.0.1:0",
            scheduler_kwargs={"dashboard": False},
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


@pytest.fixture(scope="session")
def client():
    """A client of three workers."""
    with connected(3) as client:
        yield client


@pytest.fixture(params=[1, 2, 3], ids=lambda workers: f"workers={workers}")
def client_of_any(request):
    """A client of one, two and three workers in turn."""
    with connected(request.param) as client:
        yield client
