"""scikit-learn's HTML of the estimators, which notebooks show."""

import re

import pytest
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from softgrad.linear_model import SoftmaxRegression, SoftmaxRegressionCV, load_model, save_model
from tests.overlapping import overlapping


def statuses(estimator):
    """The fit status of the diagram, and of every box that shows the name of one of softgrad's estimators."""
    html = estimator._repr_html_()
    assert estimator._repr_mimebundle_()["text/plain"] == repr(estimator)
    boxes = re.findall(r"sk-toggleable__label (fitted)? ?sk-[^>]*>(?:<div>)*SoftmaxRegression(?:CV)?<", html)
    return re.findall(r"<span>(Fitted|Not fitted)</span>", html), boxes


@pytest.mark.parametrize(
    "estimator",
    [
        SoftmaxRegression(),
        SoftmaxRegressionCV([0.1, 1.0]),
        make_pipeline(StandardScaler(), SoftmaxRegression()),
        GridSearchCV(SoftmaxRegression(), {"C": [0.1, 1.0]}),
        GridSearchCV(make_pipeline(StandardScaler(), SoftmaxRegression()), {"softmaxregression__C": [0.1, 1.0]}),
    ],
    ids=["estimator", "cv", "pipeline", "search", "search of a pipeline"],
)
def test_the_fit_status_is_shown(estimator):
    assert statuses(estimator) == (["Not fitted"], [""])
    estimator.fit(*overlapping(60, classes=3))
    assert statuses(estimator) == (["Fitted"], ["fitted"])


def test_a_loaded_model_and_one_of_batches_are_fitted(tmp_path):
    X, y = overlapping(60, classes=3)
    model = SoftmaxRegression().partial_fit(X, y, classes=[0, 1, 2])
    save_model(model, tmp_path / "m.safetensors")
    for fitted in (model, load_model(tmp_path / "m.safetensors")):
        assert statuses(fitted) == (["Fitted"], ["fitted"])


def test_no_link_leads_to_a_page_of_scikit_learn_about_another_class():
    for estimator in (SoftmaxRegression(), SoftmaxRegressionCV()):
        assert "href=" not in estimator._repr_html_()
