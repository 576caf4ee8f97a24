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
# Currency signs and codes (those most traded), per cent and per mille, and the brackets of a negative amount.
_CODES = (
    "AED ARS AUD BRL CAD CHF CLP CNY COP CZK DKK EUR GBP HKD HUF IDR ILS INR JPY KRW MXN MYR NOK NZD PEN PHP PKR PLN "
    "RMB RON RUB SAR SEK SGD THB TRY TWD UAH USD VND ZAR"
)
_AFFIX = re.compile(
    rf"(?<![^\W\d_])(?:(?:{_CODES.replace(' ', '|')}|Rs\.?|kr\.?)(?![^\W\d_])|(?:US|CA|AU|NZ|HK|[ACRS])(?=\$))"
    "|[$¢-¥֏৲৳฿₠-⃀％%‰()]"
)
# A number, and what follows it from the first letter on.
_MEASURE = re.compile(r"(?P<number>.*?[0-9][.,]?(?:[eE][-+−]?[0-9]+)?)\s*(?P<unit>(?:[^\W\d_]|[°'\"′″]).*)", re.DOTALL)
_MOST_UNITS = 3  # such as K, M and B


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
    bare = _AFFIX.sub("", text).strip()
    return any(_pattern(notation).fullmatch(bare) for notation in _NOTATIONS)


def units(texts: Iterable[str], most: int) -> list[str]:
    """The units of text that is measured, such as kg: all of it numbers, each with one of at most three units.

    Text of at most `most` different values, all of them whole numbers, such as "3 doors", is no measure but a category.
    """
    found: dict[str, None] = {}
    whole, count = True, 0
    for text in texts:
        measure = _MEASURE.fullmatch(_AFFIX.sub("", text).strip())
        if measure is None or not is_number(measure["number"]):
            return []
        found[measure["unit"]] = None
        if len(found) > _MOST_UNITS:
            return []
        whole = whole and measure["number"].isdecimal()
        count += 1
    return [] if whole and count <= most else list(found)


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
