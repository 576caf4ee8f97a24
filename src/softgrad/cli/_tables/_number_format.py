"""Number formats such as 0,5 or 1 230 or −7: parsed where an option says so, else recognised and reported."""

from __future__ import annotations

import math
import re
import unicodedata
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

# The characters that count as each thousands separator: blanks of every width, both apostrophes.
_GROUPING = {" ": "[ \u00a0\u2007\u2009\u202f]", "'": "['’]", ",": ",", ".": r"\.", "_": "_"}
_SIGN = "[-+−]?"
# Currency signs, codes of the most traded currencies, per cent, per mille, and the parentheses of negative amounts.
_CODES = (
    "AED ARS AUD BRL CAD CHF CLP CNY COP CZK DKK EUR GBP HKD HUF IDR ILS INR JPY KRW MXN MYR NOK NZD PEN PHP PKR PLN "
    "RMB RON RUB SAR SEK SGD THB TRY TWD UAH USD VND ZAR"
)
_AFFIX = re.compile(
    rf"(?<![^\W\d_])(?:(?:{_CODES.replace(' ', '|')}|Rs\.?|kr\.?)(?![^\W\d_])|(?:US|CA|AU|NZ|HK|[ACRS])(?=\$))"
    "|[$¢-¥֏৲৳฿₠-⃀％%‰()]"
)
# A number and its unit, from the first letter on.
_MEASURE = re.compile(r"(?P<number>.*?[0-9][.,]?(?:[eE][-+−]?[0-9]+)?)\s*(?P<unit>(?:[^\W\d_]|[°'\"′″]).*)", re.DOTALL)
_PLAIN = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
# Other hyphens and dashes, full-width signs, and the separators of Arabic numbers.
_ASCII = str.maketrans("‐‑‒–—﹣－＋．，٫٬", "-------+.,.,")
# As spreadsheets keep digits from being read as a number: ="5" and '5.
_WRAPPED = re.compile(r"=\"(.*)\"|'(.*[0-9.])")
_MOST_UNITS = 3  # such as K, M and B


class NumberFormat(NamedTuple):
    """Decimal mark and thousands separator."""

    decimal: str = "."
    thousands: str | None = None

    def parse(self, text: str) -> float | None:
        """Parse a number; None if the text is not a number in this format."""
        text = text.strip()
        if not _pattern(self).fullmatch(text):
            return None
        if self.thousands is not None:
            text = re.sub(_GROUPING[self.thousands], "", text)
        return float(text.replace(self.decimal, ".").replace("−", "-"))

    @property
    def options(self) -> str:
        """Options of the command for this format."""
        decimal = "" if self.decimal == "." and self.thousands else f'--decimal "{self.decimal}"'
        return decimal if self.thousands is None else f'{decimal} --thousands "{self.thousands}"'.lstrip()


# Simplest first: of two that read a column alike, the first is suggested.
_FORMATS = [
    NumberFormat("."),
    NumberFormat(","),
    *(NumberFormat(".", thousands) for thousands in (",", " ", "'", "_")),
    *(NumberFormat(",", thousands) for thousands in (".", " ", "'", "_")),
]


@cache
def _pattern(number_format: NumberFormat) -> re.Pattern[str]:
    point, whole = re.escape(number_format.decimal), "[0-9]+"
    if number_format.thousands is not None:
        group = _GROUPING[number_format.thousands]
        # Indian numbers have groups of two, except for the last.
        whole = rf"(?:[0-9]{{1,3}}(?:{group}[0-9]{{2,3}})*{group}[0-9]{{3}}|[0-9]+)"
    return re.compile(rf"{_SIGN}(?:{whole}(?:{point}[0-9]*)?|{point}[0-9]+)(?:[eE]{_SIGN}[0-9]+)?")


def as_number(text: str) -> float | None:
    """Return the finite number that Python reads in the text; None if there is none."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def is_number(text: str) -> bool:
    """Return whether the text is a number in any format, possibly with a per cent or currency sign."""
    bare = _AFFIX.sub("", _plain(text)).strip()
    return any(_pattern(number_format).fullmatch(bare) for number_format in _FORMATS)


def is_plain(text: str) -> bool:
    """Return whether the text is a number as programs write it, which needs no option."""
    return _PLAIN.fullmatch(text.strip()) is not None


def _plain(text: str) -> str:
    """Return the text with ASCII digits and signs, the sign first, and without a spreadsheet's marks of text."""
    text = "".join(str(unicodedata.decimal(letter, letter)) for letter in text.translate(_ASCII)).strip()
    wrapped = _WRAPPED.fullmatch(text)
    if wrapped:
        text = wrapped[wrapped.lastindex or 0]
    return f"-{text[:-1]}" if text.endswith("-") else text


def find_units(texts: Iterable[str], most: int) -> list[str]:
    """Return the units of measurements such as "5.5 kg": all texts are numbers with one of at most three units.

    At most `most` different whole numbers, such as "3 doors", are categories instead, and give no units.
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


def reading_advice(texts: Iterable[str]) -> str | None:
    """Suggest options that read all texts as numbers; None if one of them is not a number in any format."""
    texts = list(texts)
    if not texts or not all(map(is_number, texts)):
        return None
    readings: dict[tuple[float | None, ...], NumberFormat] = {}
    for number_format in _FORMATS:
        values = tuple(map(number_format.parse, texts))
        if None not in values:
            readings.setdefault(values, number_format)
    if not readings:
        return "write them as 1234.5, all in one format and without % or currency"
    ways = [f"{number_format.options} to read {values[0]:g}" for values, number_format in readings.items()]
    return f"write {' or '.join(ways)}"
