"""The iterations of a fit, recorded and reported."""

import numpy as np
import pytest
from sklearn.datasets import load_iris

from softgrad.linear_model import Iteration, SoftmaxRegression


def test_on_iteration_follows_the_fit():
    X, y = load_iris(return_X_y=True)
    seen = []
    model = SoftmaxRegression().fit(X, y, on_iteration=seen.append)
    assert seen == model.history_
    assert len(seen) == model.n_iter_
    assert all(isinstance(iteration, Iteration) for iteration in seen)
    objectives, norms, passes, seconds = zip(*seen, strict=True)
    assert all(np.diff(objectives) <= 0)
    assert objectives[-1] == pytest.approx(model.objective_, rel=1e-14)
    assert norms[-1] == pytest.approx(model.gradient_norm_, rel=1e-9, abs=1e-15)
    assert min(norms[:-1]) > model.tol >= norms[-1]
    assert all(np.diff(passes) > 0)
    assert passes[-1] <= model.n_passes_
    assert 0 < seconds[0] <= seconds[-1]


def test_verbose_prints_a_line_for_every_iteration(capsys):
    model = SoftmaxRegression(verbose=1).fit(*load_iris(return_X_y=True))
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert len(lines) == model.n_iter_
    assert lines[0].startswith("iteration 1: objective ")
    SoftmaxRegression().fit(*load_iris(return_X_y=True))
    assert capsys.readouterr() == ("", "")
