"""Benchmarks of tiny arrays, without pauses. No test looks at how long anything took."""

import pytest

from benchmarks import timing


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(timing, "PAUSE", 0)
    monkeypatch.setattr(timing, "BATCH", 1e-9)


@pytest.fixture
def measured():
    """A function that measures a case in one round."""
    return lambda case: case.measure(1, lambda _: None)
