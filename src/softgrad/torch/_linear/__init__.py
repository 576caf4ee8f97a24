"""The cross-entropy of a linear head, with the logits of one chunk in memory at a time; the products are torch's."""

from softgrad.torch._linear._by_rows import linear_cross_entropy_hvp
from softgrad.torch._linear._head import GradientSums, LinearHead, kept_features
from softgrad.torch._linear._softcap import bend, cap_in_place, capped, slope
from softgrad.torch._linear._value_and_gradients import (
    linear_cross_entropy,
    linear_cross_entropy_grad,
    value_and_gradients,
)

__all__ = [
    "GradientSums",
    "LinearHead",
    "bend",
    "cap_in_place",
    "capped",
    "kept_features",
    "linear_cross_entropy",
    "linear_cross_entropy_grad",
    "linear_cross_entropy_hvp",
    "slope",
    "value_and_gradients",
]
