"""Softmax, softmax cross-entropy and all of their derivatives: exact to the last bits, at the speed of memory.

Functions on NumPy arrays, in nats:

softmax, log_softmax, logsumexp                             probabilities and their logarithms
cross_entropy, cross_entropy_grad, cross_entropy_value_and_grad       of logits
linear_cross_entropy, linear_cross_entropy_value_and_grad             of logits x Wᵀ + bias
get_num_threads, set_num_threads

Softmax regression: `softgrad.linear_model`. The command: ``softgrad --help``.
"""

from softgrad._cross_entropy import cross_entropy, cross_entropy_grad, cross_entropy_value_and_grad
from softgrad._linear_cross_entropy import (
    LinearGradient,
    linear_cross_entropy,
    linear_cross_entropy_value_and_grad,
)
from softgrad._softmax import log_softmax, logsumexp, softmax
from softgrad._threads import get_num_threads, set_num_threads

__version__ = "0.1.0"

__all__ = [
    "LinearGradient",
    "cross_entropy",
    "cross_entropy_grad",
    "cross_entropy_value_and_grad",
    "get_num_threads",
    "linear_cross_entropy",
    "linear_cross_entropy_value_and_grad",
    "log_softmax",
    "logsumexp",
    "set_num_threads",
    "softmax",
]
