"""Jacobians and Hessians as operators: applied, factored, inverted and diagonalised without a dense matrix.

_jacobian.py       softmax_jacobian, SoftmaxJacobian        Diag(p) − p pᵀ
_log_softmax.py    log_softmax_jacobian, LogSoftmaxJacobian I − 1 pᵀ
_hessian.py        cross_entropy_hessian, CrossEntropyHessian
_operator.py       the base of all operators: shape, `@`, `.T`, to_dense, as_linear_operator
_curvature.py      the closed forms of a·(Diag(p) − p pᵀ) + b·p pᵀ, which the Jacobian and the Hessian are
_factors.py        their factors: square root, Cholesky factor, pseudo-inverse
_eigenvectors.py   eigenvectors, from the roots of the secular equation
_row_sums.py       sums over rows that do not lose digits
"""

from softgrad._linear_operators._hessian import CrossEntropyHessian, cross_entropy_hessian
from softgrad._linear_operators._jacobian import SoftmaxJacobian, softmax_jacobian
from softgrad._linear_operators._log_softmax import LogSoftmaxJacobian, log_softmax_jacobian

__all__ = [
    "CrossEntropyHessian",
    "LogSoftmaxJacobian",
    "SoftmaxJacobian",
    "cross_entropy_hessian",
    "log_softmax_jacobian",
    "softmax_jacobian",
]
