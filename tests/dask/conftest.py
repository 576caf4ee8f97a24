"""Clusters on this machine for the tests."""

import pytest
from distributed import Client, LocalCluster


@pytest.fixture(scope="session")
def client():
    """Three workers, which are threads of this process."""
    with (
        LocalCluster(n_workers=3, threads_per_worker=1, processes=False, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        yield client
