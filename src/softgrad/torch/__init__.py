"""softmax, cross-entropy and what they make of a linear head for PyTorch: torch's conventions, any order of derivative.

softmax, log_softmax, logsumexp                   as in torch.nn.functional
cross_entropy, linear_cross_entropy               the same, exact for confident rows too
Softmax, LogSoftmax, CrossEntropyLoss, LinearCrossEntropyLoss            the same as torch.nn.Module
"""

from softgrad.torch._cross_entropy import cross_entropy
from softgrad.torch._linear_cross_entropy import linear_cross_entropy
from softgrad.torch._modules import CrossEntropyLoss, LinearCrossEntropyLoss, LogSoftmax, Softmax
from softgrad.torch._softmax import log_softmax, logsumexp, softmax

__all__ = [
    "CrossEntropyLoss",
    "LinearCrossEntropyLoss",
    "LogSoftmax",
    "Softmax",
    "cross_entropy",
    "linear_cross_entropy",
    "log_softmax",
    "logsumexp",
    "softmax",
]
