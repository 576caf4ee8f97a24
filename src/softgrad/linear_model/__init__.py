"""Softmax regression with scikit-learn's interface.

SoftmaxRegression                 the estimator
SoftmaxRegressionCV               the same, with C chosen by cross-validation
CoefficientSummary                coefficients with standard errors, from ``SoftmaxRegression.summary``
ConvergenceDisplay                a plot of the iterations of a fit
ReliabilityDisplay                a plot of the accuracy of predictions by their confidence
Iteration                         the state of a fit after an iteration
save_model, load_model            files of a fitted model, without executable content
to_onnx                           a fitted model as a graph for other runtimes

scikit-learn's own displays, such as ``ConfusionMatrixDisplay.from_estimator(model, X, y)``, accept the estimators.

Needs scikit-learn, SciPy, threadpoolctl and safetensors: ``pip install "softgrad[sklearn]"``. Plots need Matplotlib:
``pip install "softgrad[report]"``.
"""

try:
    from softgrad.linear_model._coefficient_summary import CoefficientSummary
    from softgrad.linear_model._cross_validation import SoftmaxRegressionCV
    from softgrad.linear_model._displays._convergence import ConvergenceDisplay
    from softgrad.linear_model._displays._reliability import ReliabilityDisplay
    from softgrad.linear_model._formats._model_file import load_model, save_model
    from softgrad.linear_model._formats._onnx import to_onnx
    from softgrad.linear_model._softmax_regression import SoftmaxRegression
    from softgrad.linear_model._solvers._history import Iteration
except ModuleNotFoundError as error:
    package = (error.name or "").partition(".")[0]
    if package not in ("safetensors", "scipy", "sklearn", "threadpoolctl"):
        raise
    raise ModuleNotFoundError(
        f'softgrad.linear_model needs {package}, which is not installed; write pip install "softgrad[sklearn]"',
        name=package,
    ) from None

__all__ = [
    "CoefficientSummary",
    "ConvergenceDisplay",
    "Iteration",
    "ReliabilityDisplay",
    "SoftmaxRegression",
    "SoftmaxRegressionCV",
    "load_model",
    "save_model",
    "to_onnx",
]
