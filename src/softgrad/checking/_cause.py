"""What a mistake is to the checker: its name, what to say about it, and what it computes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from softgrad._loss_spec import LossSpec
    from softgrad.checking._probes import Probe

    Array = NDArray[np.float64]

Imitation = Callable[["Probe"], "Array"]
Family = Callable[["Probe", float], "Array"]


def code(*lines: str) -> str:
    """Lines that a report shows as they are."""
    return "\n".join(f"    {line}" for line in lines)


@dataclass(frozen=True)
class Cause:
    """A mistake, and the answers that a function with this mistake gives.

    An imitation may have another shape than the right answer. Several imitations are several common ways to write the
    same mistake; `families` hold a constant that the checker solves for. Where two mistakes give the same numbers
    in some setting (the factor Σy is 1 for class indices), only one of them applies there.
    """

    name: str
    explanation: str
    advice: str
    imitations: tuple[Imitation, ...] = ()
    families: tuple[Family, ...] = ()
    parameter: str = ""
    targets: tuple[str, ...] = ("probabilities", "index")
    reductions: tuple[str, ...] = ("sum", "mean", "none")

    def applies(self, target: str, spec: LossSpec) -> bool:
        return target in self.targets and spec.reduction.name in self.reductions


@dataclass(frozen=True)
class Scale:
    """A mistake that multiplies the right answer by a number that depends on the batch alone."""

    name: str
    explanation: str
    advice: str
    factor: Callable[[Probe], float]
    targets: tuple[str, ...] = ("probabilities", "index")
    reductions: tuple[str, ...] = ("sum", "mean", "none")

    def applies(self, target: str, spec: LossSpec) -> bool:
        return target in self.targets and spec.reduction.name in self.reductions
