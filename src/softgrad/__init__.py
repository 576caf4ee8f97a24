"""Softmax, softmax cross-entropy and all of their derivatives: accurate to 2 ULP, at the speed of memory.

Functions on NumPy arrays; losses and log-probabilities are in nats:

softmax, log_softmax, logsumexp                             probabilities and their logarithms
cross_entropy, cross_entropy_grad, cross_entropy_value_and_grad       of logits
linear_cross_entropy, linear_cross_entropy_value_and_grad             of logits x Wᵀ + bias
cross_entropy_hvp, linear_cross_entropy_hvp                           Hessian-vector products
softmax_jacobian, log_softmax_jacobian, cross_entropy_hessian         operators: products, solves, eigenvalues
get_num_threads, set_num_threads

Derivations, step by step: `softgrad.derivation`. Checks of derivatives: `softgrad.checking`.
For tensors: `softgrad.torch`, on several devices `softgrad.torch.parallel`. For JAX: `softgrad.jax`.
Softmax regression: `softgrad.linear_model`, on a cluster `softgrad.dask`. The command: ``softgrad --help``.
"""

from softgrad._cross_entropy import cross_entropy, cross_entropy_grad, cross_entropy_value_and_grad
from softgrad._hvp import cross_entropy_hvp, linear_cross_entropy_hvp
from softgrad._linear_cross_entropy import (
    LinearGradient,
    linear_cross_entropy,
    linear_cross_entropy_value_and_grad,
)
from softgrad._linear_operators import (
    CrossEntropyHessian,
    LogSoftmaxJacobian,
    SoftmaxJacobian,
    cross_entropy_hessian,
    log_softmax_jacobian,
    softmax_jacobian,
)
from softgrad._softmax import log_softmax, logsumexp, softmax
from softgrad._threads import get_num_threads, set_num_threads

__version__ = "0.1.0"

__all__ = [
    "CrossEntropyHessian",
    "LinearGradient",
    "LogSoftmaxJacobian",
    "SoftmaxJacobian",
    "cross_entropy",
    "cross_entropy_grad",
    "cross_entropy_hessian",
    "cross_entropy_hvp",
    "cross_entropy_value_and_grad",
    "get_num_threads",
    "linear_cross_entropy",
    "linear_cross_entropy_hvp",
    "linear_cross_entropy_value_and_grad",
    "log_softmax",
    "log_softmax_jacobian",
    "logsumexp",
    "set_num_threads",
    "softmax",
    "softmax_jacobian",
]
