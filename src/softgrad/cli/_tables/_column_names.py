"""Names of columns: stripped and made unique, looked up, and listed in messages."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from softgrad.cli._errors import CommandError
from softgrad.cli._tables._clean_fields import BLANKS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def stripped_names(names: Iterable[object]) -> tuple[list[str], int]:
    """Strip the blanks around names, and count the names that had some.

    A repeated name gets a number, as in pandas.
    """
    found: dict[str, None] = {}
    for position, name in enumerate(names):
        plain = str(name).strip(BLANKS) or f"Unnamed: {position}"
        number, unique = 0, plain
        while unique in found:
            number += 1
            unique = f"{plain}.{number}"
        found[unique] = None
    return list(found), sum(str(name) != str(name).strip(BLANKS) for name in names)


def find_column(given: str, names: list[str], path: Path, option: str) -> str:
    """Return the name of a column given by name or position; negative positions count from the end."""
    given = given.strip()
    if given in names:
        return given
    try:
        position = int(given)
    except ValueError:
        close = difflib.get_close_matches(given, names, n=1) or [n for n in names if n.lower() == given.lower()]
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        raise CommandError(f"{option}: {path} has no column {given!r}{hint}; its columns: {name_list(names)}") from None
    if not -len(names) <= position < len(names):
        raise CommandError(
            f"{option} {given}: {path} has {len(names)} columns; expected a name, or a position from 0 to "
            f"{len(names) - 1}, or from -1 for the last to {-len(names)}"
        )
    return names[position]


def name_list(names: list[str]) -> str:
    """Join names for a message; at most a dozen."""
    shown = names if len(names) <= 12 else [*names[:8], "...", *names[-3:]]
    return ", ".join(shown) + ("" if shown is names else f" ({len(names)} in all)")
