"""The columns of a named table in a fit: label, weight, groups and features."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from softgrad.cli._errors import CommandError
from softgrad.cli._tables._column_names import find_column, find_columns, name_list

if TYPE_CHECKING:
    from pathlib import Path

    from softgrad.cli._tables._feature_encoding import Fill


class ColumnOptions(NamedTuple):
    """The options that apply to tables with named columns only."""

    drop: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    """The features; empty for all columns that have no other use."""
    text: tuple[str, ...] = ()
    weight: str | None = None
    """Column of row weights."""
    groups: str | None = None
    """Column whose equal values mark the rows to keep together."""
    fill: Fill = "refuse"
    text_label: bool = False
    """Whether labels stay text where they look like numbers, because in another part they do not."""


class ColumnRoles(NamedTuple):
    """The names of the columns."""

    target: str
    weight: str | None
    groups: str | None
    features: list[str]
    """In the order of the table."""
    text: list[str]
    """Columns that --text keeps as text."""


def column_roles(target: str | None, options: ColumnOptions, names: list[str], path: Path) -> ColumnRoles:
    """Find the columns that the options name in a table with these column names."""
    if target is None:
        raise CommandError(f"--target is missing; write the name of the label column: {name_list(names)}")
    given = {"--target": target, "--weight": options.weight, "--groups": options.groups}
    found = {option: find_column(name, names, path, option) for option, name in given.items() if name is not None}
    roles: dict[str, str] = {}
    for option, name in found.items():
        if name in roles:
            raise CommandError(f"{option}: column {name!r} is the {roles[name]} already; name another column")
        roles[name] = {"--target": "target", "--weight": "weight", "--groups": "group"}[option]
    features = _features(options, names, path, roles)
    text = find_columns(options.text, names, path, "--text")
    return ColumnRoles(found["--target"], found.get("--weight"), found.get("--groups"), features, text)


def _features(options: ColumnOptions, names: list[str], path: Path, roles: dict[str, str]) -> list[str]:
    """Return the columns to fit; `roles` are those of the other columns."""
    if options.only and options.drop:
        raise CommandError(
            f"--only {','.join(options.only)} and --drop {','.join(options.drop)}; write one of the two: --only leaves "
            "out all other columns"
        )
    only = find_columns(options.only, names, path, "--only")
    dropped = find_columns(options.drop, names, path, "--drop")
    for option, given in (("--only", only), ("--drop", dropped)):
        for name in given:
            if name in roles:
                raise CommandError(f"column {name!r} is the {roles[name]}; leave it out of {option}")
    others = dict.fromkeys([*dropped, *roles])
    chosen = set(only or names) - others.keys()
    features = [name for name in names if name in chosen]
    if not features:
        raise CommandError(
            f"{path} has no column except {' and '.join(map(repr, others))}; expected at least one feature"
        )
    return features
