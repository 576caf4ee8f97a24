"""Softmax regression with scikit-learn's interface; needs the extra ``softgrad[cli]``.

SoftmaxRegression                 the estimator
save_model, load_model            a fitted model as a file without code in it
"""

from softgrad.linear_model._model_file import load_model, save_model
from softgrad.linear_model._softmax_regression import SoftmaxRegression

__all__ = ["SoftmaxRegression", "load_model", "save_model"]
