"""Where a shard lies among the classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence


class Place(NamedTuple):
    """The classes of one rank; -1 stands for what its caller has not given."""

    own: int  # classes of the shard
    first_class: int
    classes: int  # of all shards

    def assumed(self, rank: int, size: int) -> tuple[int, int]:
        """The first class and the number of all classes, where not given those of shards of equal size."""
        first = rank * self.own if self.first_class < 0 else self.first_class
        return first, max(size * self.own, first + self.own) if self.classes < 0 else self.classes


def first_classes(places: Sequence[Place]) -> tuple[list[int], int]:
    """The first class of every rank and the number of all classes.

    Raises ValueError if a place says otherwise.
    """
    firsts, end = [], 0
    for place in places:
        firsts.append(end)
        end += place.own
    for rank, (place, first) in enumerate(zip(places, firsts, strict=True)):
        if place.first_class not in (-1, first):
            raise ValueError(
                f"rank {rank}: first_class={place.first_class}; expected {first}, because the shards of lower ranks "
                f"hold {first} classes"
            )
        if place.classes not in (-1, end):
            raise ValueError(
                f"rank {rank}: num_classes={place.classes}, given or the length of weight; expected {end}, because "
                f"the shards hold {', '.join(str(p.own) for p in places)} classes"
            )
    return firsts, end
