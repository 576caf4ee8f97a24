"""Plots of the iterations of a fit."""

import sys

import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from softgrad.linear_model import ConvergenceDisplay, SoftmaxRegression, SoftmaxRegressionCV, load_model, save_model
from tests.overlapping import overlapping

X, Y = overlapping(80)


@pytest.fixture(scope="module")
def model():
    return SoftmaxRegression(solver="lbfgs").fit(X, Y)


def curve(display):
    return tuple(part.tolist() for part in display.line_.get_data())


def test_the_gradient_norm_and_tol_by_passes(model):
    display = ConvergenceDisplay.from_estimator(model)
    assert curve(display) == ([s.passes for s in model.history_], [s.gradient_norm for s in model.history_])
    curve_line, tol_line = display.ax_.lines
    assert curve_line is display.line_
    assert set(tol_line.get_ydata()) == {model.tol}
    assert display.ax_.get_yscale() == "log"
    assert display.ax_.get_ylabel() == "gradient norm"
    assert display.ax_.get_xlabel() == "passes over the data"
    assert display.figure_ is display.ax_.figure is plt.gcf()


def test_the_objective_above_its_least_value(model):
    display = ConvergenceDisplay.from_estimator(model, kind="objective")
    least = min(step.objective for step in model.history_)
    above = [(step.passes, step.objective - least) for step in model.history_ if step.objective > least]
    assert list(zip(*curve(display), strict=True)) == above
    assert len(above) < len(model.history_)
    assert len(display.ax_.lines) == 1  # tol is a gradient norm


def test_fits_in_the_same_axes(model):
    _, ax = plt.subplots()
    for solver in ("newton", "newton-cg"):
        other = SoftmaxRegression(solver=solver).fit(X, Y)
        display = ConvergenceDisplay.from_estimator(other, ax=ax, name=solver, linewidth=3)
        assert display.ax_ is ax
        assert display.line_.get_linewidth() == 3
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["newton", "newton-cg"]
    assert [text.get_text() for text in ax.texts] == ["tol"]  # once
    assert ConvergenceDisplay.from_estimator(model).ax_.get_legend() is None
    assert display.plot().ax_ is not ax


def test_styles_have_their_short_names(model):
    display = ConvergenceDisplay.from_estimator(model, ms=7, c="red")
    assert (display.line_.get_markersize(), display.line_.get_color()) == (7, "red")


def test_the_model_within_a_search_or_a_pipeline(model):
    for estimator in (
        GridSearchCV(make_pipeline(StandardScaler(), SoftmaxRegression()), {"softmaxregression__C": [1.0]}),
        make_pipeline(StandardScaler(), SoftmaxRegression()),
        SoftmaxRegressionCV([0.1, 1.0]),
    ):
        estimator.fit(X, Y)
        best = getattr(estimator, "best_estimator_", estimator)
        history = (best if isinstance(best, SoftmaxRegression) else best[-1]).history_
        assert curve(ConvergenceDisplay.from_estimator(estimator))[0] == [step.passes for step in history]


def test_a_loaded_model_has_its_history(model, tmp_path):
    save_model(model, tmp_path / "m.safetensors")
    loaded = ConvergenceDisplay.from_estimator(load_model(tmp_path / "m.safetensors"))
    assert curve(loaded) == curve(ConvergenceDisplay.from_estimator(model))


def test_bad_input_is_refused(model):
    with pytest.raises(NotFittedError):
        ConvergenceDisplay.from_estimator(SoftmaxRegression())
    with pytest.raises(TypeError, match=r"^DummyClassifier has no history_; expected a fitted SoftmaxRegression"):
        ConvergenceDisplay.from_estimator(DummyClassifier().fit(X, Y))
    with pytest.raises(ValueError, match=r"^kind='loss'; expected 'gradient_norm' or 'objective'$"):
        ConvergenceDisplay.from_estimator(model, kind="loss")
    with pytest.raises(ValueError, match=r"have shapes \(2,\), \(2,\) and \(3,\); expected one number for every"):
        ConvergenceDisplay(passes=[1, 2], objective=[1, 2], gradient_norm=[1, 2, 3])
    again = SoftmaxRegression(solver="lbfgs", warm_start=True).fit(X, Y)
    again.fit(X, Y)
    assert again.history_ == []
    for kind, what in [("gradient_norm", "a gradient norm"), ("objective", "an objective above")]:
        with pytest.raises(ValueError, match=rf"^no iteration has {what}.*; a fit that begins at the minimum takes no"):
            ConvergenceDisplay.from_estimator(again, kind=kind)
    assert plt.get_fignums() == []


def test_matplotlib_is_named_with_its_extra(model, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    message = r'^ConvergenceDisplay\.plot needs matplotlib, .*; write pip install "softgrad\[report\]"$'
    with pytest.raises(ModuleNotFoundError, match=message) as caught:
        ConvergenceDisplay.from_estimator(model)
    assert caught.value.name == "matplotlib"


def test_zeros_are_left_out():
    display = ConvergenceDisplay(passes=np.arange(3), objective=[3.0, 1.0, 1.0], gradient_norm=[1.0, 0.0, 0.1]).plot()
    assert curve(display) == ([0, 2], [1.0, 0.1])
    assert curve(display.plot(kind="objective")) == ([0], [2.0])
