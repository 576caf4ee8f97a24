"""The operators with their derivatives, to any order, and the losses that choose how to be recorded."""

from softgrad.torch._autograd import _softmax  # noqa: F401, which gives the operators their derivatives
from softgrad.torch._autograd._cross_entropy import loss
from softgrad.torch._autograd._linear_cross_entropy import linear_loss
from softgrad.torch._autograd._sharded_cross_entropy import sharded_loss
from softgrad.torch._autograd._sharded_linear_cross_entropy import all_rows, sharded_linear_loss
from softgrad.torch._dispatch import operators

__all__ = ["all_rows", "linear_loss", "loss", "operators", "sharded_linear_loss", "sharded_loss"]
