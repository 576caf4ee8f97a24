"""Parameters of the estimator."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_iris

from softgrad.linear_model import SoftmaxRegression


@pytest.mark.parametrize(
    "options, error, message",
    [
        ({"C": 0}, ValueError, r"C=0; expected a number above 0; write C=numpy\.inf"),
        ({"C": -1.0}, ValueError, r"C=-1\.0"),
        ({"C": np.nan}, ValueError, "C=nan"),
        ({"C": 1e-310}, ValueError, "C=1e-310"),
        ({"C": "strong"}, TypeError, "C='strong'"),
        ({"tol": -1.0}, ValueError, r"tol=-1\.0; expected a finite number of at least 0"),
        ({"tol": np.nan}, ValueError, "tol=nan"),
        ({"max_iter": 0}, ValueError, "max_iter=0; expected a positive integer"),
        ({"max_iter": 10.5}, TypeError, r"max_iter=10\.5; expected a positive integer"),
        ({"fit_intercept": "no"}, TypeError, "fit_intercept='no'; expected True or False"),
        ({"class_weight": "equal"}, TypeError, "class_weight='equal'; expected None, 'balanced', or a dictionary"),
        ({"class_weight": {0: -1.0}}, ValueError, r"class_weight\[0\]=-1\.0; expected a finite number of at least 0"),
        ({"class_weight": {0: np.nan}}, ValueError, r"class_weight\[0\]=nan"),
        ({"class_weight": {0: 1, 1: 1, "3": 2}}, ValueError, "class_weight names '3', .* leaves out 2"),
        ({"label_smoothing": 1.0}, ValueError, r"label_smoothing=1\.0; expected a number from 0 to less than 1"),
        ({"label_smoothing": -0.1}, ValueError, r"label_smoothing=-0\.1"),
        ({"solver": "saga"}, ValueError, "solver='saga'; expected one of 'auto', 'lbfgs'"),
        ({"n_threads": 0}, ValueError, "n_threads=0; expected a positive integer, or None"),
        ({"n_threads": 1.5}, TypeError, r"n_threads=1\.5"),
        ({"verbose": -1}, ValueError, "verbose=-1; expected 0 for no output"),
    ],
)
def test_bad_options_are_refused(options, error, message):
    with pytest.raises(error, match=message):
        SoftmaxRegression(**options).fit(*load_iris(return_X_y=True))


def test_clone_keeps_the_options():
    options = {"C": 3.0, "tol": 1e-3, "max_iter": 7, "fit_intercept": False, "class_weight": "balanced"}
    options |= {"label_smoothing": 0.1, "solver": "lbfgs", "warm_start": True, "n_threads": 1, "verbose": 1}
    assert clone(SoftmaxRegression(**options)).get_params() == options
