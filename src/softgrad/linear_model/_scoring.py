"""Scoring held-out rows: scikit-learn's scorers and plain callables, told of every class."""

from __future__ import annotations

from collections.abc import Callable
from inspect import Parameter, signature
from typing import TYPE_CHECKING, Any

from sklearn.metrics import check_scoring, make_scorer

if TYPE_CHECKING:
    from softgrad._typing import Array
    from softgrad.linear_model._softmax_regression import SoftmaxRegression

Scorer = Callable[["SoftmaxRegression", Any, "Array", "Array | None"], float]


def scorer_of(scoring: Any, model: SoftmaxRegression, classes: Array, *, weighted: bool) -> Scorer:
    """Return a function of a model, X, y and weights, which are None if the user gave none.

    A metric of scikit-learn that takes ``labels`` gets the classes of all rows, which held-out rows may lack; one that
    takes ``pos_label`` the last of two, as in scikit-learn's LogisticRegressionCV.
    """
    if not (isinstance(scoring, str) or callable(scoring)):
        raise TypeError(f"scoring={scoring!r}; expected None, the name of a scorer, or a callable (estimator, X, y)")
    scorer = check_scoring(model, scoring)
    metric = getattr(scorer, "_score_func", None)
    parameters = _parameters(metric or scorer)
    if metric is not None and "labels" in parameters:
        known: dict[str, Any] = {"labels": classes}
        if len(classes) == 2 and "pos_label" in parameters:
            known["pos_label"] = classes[-1]
        scorer = make_scorer(
            metric,
            greater_is_better=scorer._sign == 1,
            response_method=scorer._response_method,
            **{**known, **scorer._kwargs},
        )
    if weighted and not _takes_weights(parameters):
        raise TypeError(
            f"scoring={scoring!r} takes no sample_weight, which fit was given; write a scorer (estimator, X, y, "
            "sample_weight), or leave sample_weight out"
        )

    def score(model: SoftmaxRegression, x: Any, y: Array, weight: Array | None) -> float:
        value = scorer(model, x, y) if weight is None else scorer(model, x, y, sample_weight=weight)
        try:
            return float(value)
        except TypeError:
            raise TypeError(f"scoring={scoring!r} returned {value!r:.60}; expected a number") from None

    return score


def _parameters(function: Any) -> dict[str, Parameter]:
    try:
        return dict(signature(function).parameters)
    except ValueError:  # a function of C that tells nothing
        return {}


def _takes_weights(parameters: dict[str, Parameter]) -> bool:
    return "sample_weight" in parameters or any(p.kind is Parameter.VAR_KEYWORD for p in parameters.values())
