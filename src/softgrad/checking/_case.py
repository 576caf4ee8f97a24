"""What is under test, how exact it must be, and where it is furthest off."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from softgrad.checking._answers import Answer, BrokenContractError, ask
from softgrad.checking._diagnosis import Observation, error_of
from softgrad.checking._report import Entry

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from softgrad._loss_spec import LossSpec
    from softgrad.checking._kinds import Kind
    from softgrad.checking._probes import Probe

    Array = NDArray[np.float64]

CONTRACT, LARGE = "shape and dtype", "large logits"


class Tolerance(NamedTuple):
    """Largest error that counts as rounding, relative to the size of the terms."""

    small: float
    large: float


# float64 rounds to 1e-16; 1e-9 leaves room for any order of summation and for central differences, and shows an
# eps of 1e-8. float32 rounds to 6e-8, and its log-probabilities to 6e-8 times the largest logit: 40 in the small
# probes, 1000 in the large ones, here with a factor of eight.
DOUBLE = Tolerance(1e-9, 1e-9)
SINGLE = Tolerance(2e-5, 5e-4)


class Case(NamedTuple):
    """The function under test, and what it should be."""

    fn: Callable[..., Any]
    subject: str
    kind: Kind
    target: str
    spec: LossSpec


class Part(NamedTuple):
    """What is compared: the answers, or the losses that came with gradients."""

    kind: Kind
    is_loss: bool

    def of(self, answer: Answer) -> Array:
        if not self.is_loss:
            return answer.array
        if answer.loss is None:
            raise BrokenContractError(
                None,
                "The function returns (loss, gradient) for some inputs and the gradient alone for others.",
                "return the same thing for every input",
            )
        return answer.loss


class Failure(NamedTuple):
    """Where an answer is furthest from the right one."""

    entry: Entry
    error: float


def asking(case: Case, part: Part) -> Callable[[Probe], Array]:
    return lambda probe: part.of(ask(case.fn, case.kind, probe))


def worst_of(kind: Kind, observations: list[Observation]) -> Failure:
    worst = max(observations, key=lambda o: error_of(kind, o))
    right = kind.right(worst.probe)
    got = np.full(right.shape, np.nan) if worst.array is None else worst.array
    off = np.abs(got - right) / np.maximum(np.abs(right), worst.size)
    flat = int(np.where(np.isnan(off), np.inf, off).argmax())
    index = tuple(int(i) for i in np.unravel_index(flat, right.shape))
    entry = Entry(index, float(right[index]), float(got[index]), kind.arguments(worst.probe), kind.names)
    return Failure(entry, error_of(kind, worst))
