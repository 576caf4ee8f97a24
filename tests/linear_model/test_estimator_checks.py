"""scikit-learn's own checks of estimators; none is expected to fail."""

import warnings

import pytest
from sklearn.utils.estimator_checks import estimator_checks_generator

from softgrad.linear_model import SoftmaxRegression, SoftmaxRegressionCV


@pytest.mark.parametrize(
    "estimator, check",
    # Two values of C: the checks fit thousands of folds.
    [case for model in (SoftmaxRegression(), SoftmaxRegressionCV(2)) for case in estimator_checks_generator(model)],
    ids=lambda value: getattr(getattr(value, "func", value), "__name__", type(value).__name__),
)
def test_scikit_learn_estimator_check(estimator, check):
    with warnings.catch_warnings():
        # Some checks fit with max_iter small, or labels with which scikit-learn itself would warn.
        warnings.simplefilter("ignore")
        check(estimator)
