"""softmax, cross-entropy and the cross-entropy of a linear head for PyTorch, with derivatives of any order.

softmax, log_softmax, logsumexp                   as in torch.nn.functional
cross_entropy, linear_cross_entropy               as there, and accurate for confident rows
Softmax, LogSoftmax, CrossEntropyLoss, LinearCrossEntropyLoss            as in torch.nn
get_check_labels, set_check_labels                whether a wrong label is an error on every device
parallel                                          the losses of classes that are divided over processes; its own import

Needs PyTorch and array-api-compat: ``pip install "softgrad[torch]"``.
"""

try:
    import array_api_compat as _array_api_compat  # noqa: F401, which calls would miss later
    import torch as _torch  # noqa: F401
except ModuleNotFoundError as error:
    if error.name not in ("array_api_compat", "torch"):
        raise
    raise ModuleNotFoundError(
        f'softgrad.torch needs {error.name}, which is not installed; write pip install "softgrad[torch]"',
        name=error.name,
    ) from None

from softgrad.torch._cross_entropy import cross_entropy
from softgrad.torch._kernels import get_check_labels, set_check_labels
from softgrad.torch._linear_cross_entropy import linear_cross_entropy
from softgrad.torch._modules import CrossEntropyLoss, LinearCrossEntropyLoss, LogSoftmax, Softmax
from softgrad.torch._softmax import log_softmax, logsumexp, softmax

__all__ = [
    "CrossEntropyLoss",
    "LinearCrossEntropyLoss",
    "LogSoftmax",
    "Softmax",
    "cross_entropy",
    "get_check_labels",
    "linear_cross_entropy",
    "log_softmax",
    "logsumexp",
    "set_check_labels",
    "softmax",
]
