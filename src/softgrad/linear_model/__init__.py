"""Softmax regression with scikit-learn's interface; needs the extra ``softgrad[cli]``.

SoftmaxRegression                 the estimator
SoftmaxRegressionCV               the same, with C chosen by cross-validation
Iteration, Summary                what a fit reports, and what it leaves open
save_model, load_model            a fitted model as a file without code in it
to_onnx                           the same as a graph for other runtimes
"""

from softgrad.linear_model._coefficient_summary import Summary
from softgrad.linear_model._cross_validation import SoftmaxRegressionCV
from softgrad.linear_model._formats._model_file import load_model, save_model
from softgrad.linear_model._formats._onnx import to_onnx
from softgrad.linear_model._softmax_regression import SoftmaxRegression
from softgrad.linear_model._solvers._minimise import Iteration

__all__ = ["Iteration", "SoftmaxRegression", "SoftmaxRegressionCV", "Summary", "load_model", "save_model", "to_onnx"]
