"""softmax, cross-entropy and the cross-entropy of a linear head for JAX, with derivatives of any order.

softmax, log_softmax, logsumexp      as in jax.nn
cross_entropy                        with the options of softgrad.cross_entropy
linear_cross_entropy                 the same for logits x Wᵀ + bias, which are never stored whole
softmax_cross_entropy, softmax_cross_entropy_with_integer_labels      as in optax

Needs JAX and array-api-compat: ``pip install "softgrad[jax]"``.
"""

try:
    import array_api_compat as _array_api_compat  # noqa: F401, which calls would miss later
    import jax as _jax  # noqa: F401
except ModuleNotFoundError as error:
    if error.name not in ("array_api_compat", "jax"):
        raise
    raise ModuleNotFoundError(
        f'softgrad.jax needs {error.name}, which is not installed; write pip install "softgrad[jax]"', name=error.name
    ) from None

from softgrad.jax._cross_entropy import (
    cross_entropy,
    softmax_cross_entropy,
    softmax_cross_entropy_with_integer_labels,
)
from softgrad.jax._linear_cross_entropy import linear_cross_entropy
from softgrad.jax._softmax import log_softmax, logsumexp, softmax

__all__ = [
    "cross_entropy",
    "linear_cross_entropy",
    "log_softmax",
    "logsumexp",
    "softmax",
    "softmax_cross_entropy",
    "softmax_cross_entropy_with_integer_labels",
]
