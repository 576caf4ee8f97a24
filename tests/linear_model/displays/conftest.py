"""Figures of pyplot, closed after each test."""

import matplotlib.pyplot as plt
import pytest


@pytest.fixture(autouse=True)
def figures_are_closed():
    plt.switch_backend("agg")
    yield
    plt.close("all")
