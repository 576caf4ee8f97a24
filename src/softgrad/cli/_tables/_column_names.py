"""Names of columns: stripped and made unique, looked up, refused, and listed in messages."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, TypeVar

from softgrad.cli._errors import CommandError
from softgrad.cli._tables._clean_fields import BLANKS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

Item = TypeVar("Item")
Result = TypeVar("Result")


class ColumnError(CommandError):
    """A column that cannot be a feature.

    Parameters
    ----------
    name : str
        The column.
    problem : str
        The value received and the value expected.
    ways : str
        Options to write instead of --drop, such as "--text 'a' if these are names, or ".
    """

    def __init__(self, name: str, problem: str, ways: str = "") -> None:
        super().__init__(f"{problem}; write {ways}{drop_option([name])}")
        self.name, self.problem, self.ways = name, problem, ways


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


def find_columns(given: Iterable[str], names: list[str], path: Path, option: str) -> list[str]:
    """Return the names of columns given one by one, or several at a time, as in a,b,c.

    In "x,y,z", the name "x,y" of a column wins over "x" and "y".
    """
    known = set(names)
    longest = 1 + max((name.count(",") for name in names), default=0)
    found: list[str] = []
    for value in given:
        pieces = value.split(",")
        while pieces:
            joined = (",".join(pieces[:count]) for count in range(min(longest, len(pieces)), 1, -1))
            name = next((text for text in joined if text.strip() in known), pieces[0])
            found.append(find_column(name, names, path, option))
            del pieces[: 1 + name.count(",")]
    return list(dict.fromkeys(found))


def drop_option(names: Iterable[str]) -> str:
    """Return the option that drops columns, to be copied to a shell."""
    quoted = ",".join(names).replace("'", "'\"'\"'")
    return f"--drop '{quoted}'"


def check_columns(check: Callable[[Item], Result], columns: Iterable[Item]) -> list[Result]:
    """Return check(column) of all columns; those that it refuses are named in one error."""
    results: list[Result] = []
    refused: list[ColumnError] = []
    for column in columns:
        try:
            results.append(check(column))
        except ColumnError as error:
            refused.append(error)
    if refused:
        raise refused_together(refused)
    return results


def refused_together(refused: Sequence[ColumnError]) -> CommandError:
    """Return one error for all columns that were refused, with one option that drops them."""
    first, *others = refused
    if not others:
        return first
    names = [error.name for error in refused]
    listed = name_list([repr(name) for name in names[1:]])
    problem = str(first) if first.ways else first.problem
    more = f"{len(others)} more column{'s' * (len(others) > 1)} cannot be used either, {listed}"
    return CommandError(f"{problem}; {more}; to leave all of them out, write {drop_option(names)}")


def name_list(names: list[str]) -> str:
    """Join names for a message; at most a dozen."""
    shown = names if len(names) <= 12 else [*names[:8], "...", *names[-3:]]
    return ", ".join(shown) + ("" if shown is names else f" ({len(names)} in all)")
