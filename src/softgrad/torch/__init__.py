"""softmax, cross-entropy and the cross-entropy of a linear head for PyTorch, with derivatives of any order.

softmax, log_softmax, logsumexp                   as in torch.nn.functional
cross_entropy, linear_cross_entropy               as there, but accurate for confident rows too
Softmax, LogSoftmax, CrossEntropyLoss, LinearCrossEntropyLoss            as in torch.nn
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
