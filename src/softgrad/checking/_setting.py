"""The setting of a check: the arguments of the function under test, and the loss that it computes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from softgrad._loss_spec import LossSpec, Reduction

Target = Literal["weighted", "probabilities", "one-hot", "index"]
_SUM = LossSpec(reduction=Reduction.sum)


@dataclass(frozen=True, kw_only=True)
class Setting:
    """How the function is called, and the options of its loss."""

    target: Target = "weighted"
    spec: LossSpec = _SUM
    class_weight: tuple[float, ...] | None = None
    batched: bool = True  # if not, the function takes one vector
    from_logits: bool = True  # if not, its first argument is softmax(z)
    has_head: bool = False  # the logits are x Wᵀ + bias
