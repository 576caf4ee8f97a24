"""Numbers in local notation, such as 0,5 or 1 230 or −7: read where an option says so, else recognised and named."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

# For each separator of thousands, the characters that stand for it: blanks of every width, both apostrophes.
_GROUPING = {" ": "[ \u00a0\u2007\u2009\u202f]", "'": "['’]", ",": ",", ".": r"\.", "_": "_"}
_SIGN = "[-+−]?"
# Currency signs, per cent and per mille, and the brackets of a negative amount.
_AFFIX = "[$¢-¥֏৲৳฿₠-⃀％%‰()]"


class Notation(NamedTuple):
    """How numbers are written."""

    decimal: str = "."
    thousands: str | None = None

    def read(self, text: str) -> float | None:
        """The number; None if the text is none in this notation."""
        text = text.strip()
        if not _pattern(self).fullmatch(text):
            return None
        if self.thousands is not None:
            text = re.sub(_GROUPING[self.thousands], "", text)
        return float(text.replace(self.decimal, ".").replace("−", "-"))

    @property
    def options(self) -> str:
        """What to write on the command line."""
        decimal = "" if self.decimal == "." and self.thousands else f'--decimal "{self.decimal}"'
        return decimal if self.thousands is None else f'{decimal} --thousands "{self.thousands}"'.lstrip()


# From the simplest; of two that read a column alike, the first is offered.
_NOTATIONS = [
    Notation("."),
    Notation(","),
    *(Notation(".", thousands) for thousands in (",", " ", "'", "_")),
    *(Notation(",", thousands) for thousands in (".", " ", "'", "_")),
]


@cache
def _pattern(notation: Notation) -> re.Pattern[str]:
    point, whole = re.escape(notation.decimal), "[0-9]+"
    if notation.thousands is not None:
        group = _GROUPING[notation.thousands]
        # Groups of two but for the last are Indian.
        whole = rf"(?:[0-9]{{1,3}}(?:{group}[0-9]{{2,3}})*{group}[0-9]{{3}}|[0-9]+)"
    return re.compile(rf"{_SIGN}(?:{whole}(?:{point}[0-9]*)?|{point}[0-9]+)(?:[eE]{_SIGN}[0-9]+)?")


def is_number(text: str) -> bool:
    """Whether the text is a number in some notation, maybe with a sign of per cent or of a currency."""
    bare = re.sub(_AFFIX, "", text).strip()
    return any(_pattern(notation).fullmatch(bare) for notation in _NOTATIONS)


def advice(texts: Iterable[str]) -> str | None:
    """What reads all of these texts as numbers; None if one of them is no number in any notation."""
    texts = list(texts)
    if not texts or not all(map(is_number, texts)):
        return None
    readings: dict[tuple[float | None, ...], Notation] = {}
    for notation in _NOTATIONS:
        values = tuple(map(notation.read, texts))
        if None not in values:
            readings.setdefault(values, notation)
    if not readings:
        return "write them as 1234.5, all in one notation and without % or currency"
    ways = [f"{notation.options} to read {values[0]:g}" for values, notation in readings.items()]
    return f"write {' or '.join(ways)}"
