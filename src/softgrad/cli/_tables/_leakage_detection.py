"""Columns that determine the label, alone or as a group of indicators, more reliably than chance would.

A balanced sample of the rows rules out most columns, many at a time; the others are tested on all rows.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from softgrad._typing import Array

# A column determines the label if, by chance, it would do so in fewer than this share of tables.
_CHANCE = 1e-6
# Share of the rows outside the largest class that may be exceptions: mistakes in one of the two columns.
_EXCEPTIONS = 1e-3
# The same for a column whose missing values determine the label: on the Titanic, 6 % survived without a boat or died in
# one.
_MISSING_EXCEPTIONS = 0.1
# Rows per value, so that duplicate rows do not count as evidence.
_ROWS_PER_VALUE = 10
_SAMPLE = 256  # rows of the sample
_SAMPLE_EXCEPTIONS = 5
# Columns with ten rows per value have at least 100 repetitions in a sample of 5 sqrt(N) rows, continuous ones none.
_SAMPLE_REPETITIONS = 5
_SAMPLE_INDICATOR = 3  # rows in the sample that an indicator must mark
_SHORTEST_NUMBERING = 10
_BLOCK = 2**20  # values of the sample to process at a time
_GROUPS = 8  # groups to test on all rows, each without the columns that failed in the previous ones


class Columns(NamedTuple):
    """Columns of one kind, as floating-point numbers, with NaN for missing values."""

    positions: Array
    """Their positions in the table."""
    ordered: bool
    """Whether they are numbers, which have ranges, rather than codes of texts."""
    sample: Callable[[slice], Array]
    """Returns the values of a slice of the columns in the M rows of the sample, shape (M, columns)."""
    whole: Callable[[int], Array]
    """Returns the values of one column in all rows."""


class Leak(NamedTuple):
    """Columns that determine the label or number the rows."""

    positions: tuple[int, ...]
    reason: str
    numbering: bool = False


class _Sampled(NamedTuple):
    """Columns that the sample does not rule out."""

    single: Array  # for each column, whether it may determine the label alone or number the rows
    marked: list[tuple[int, float, Array]]  # indicators: column, marking value, marked rows


class _Indicator(NamedTuple):
    columns: Columns
    place: int
    value: float
    rows: Array  # marked rows of the sample


def balanced_sample(codes: Array) -> Array:
    """Return rows, ascending, in which all classes are equally frequent as far as their rows suffice."""
    order = np.random.default_rng(0).permutation(len(codes))
    by_class = order[np.argsort(codes[order], kind="stable")]
    sizes = np.bincount(codes)
    turn = np.arange(len(codes)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    wanted = max(_SAMPLE, 5 * math.isqrt(len(codes)), 2 * len(sizes))
    return np.sort(by_class[np.argsort(turn, kind="stable")[:wanted]])


def find_leaks(parts: list[Columns], codes: Array, rows: Array, count: int) -> list[Leak]:
    """Return the columns that determine the label or number the rows, and a group that determines it together.

    Parameters
    ----------
    parts : list of Columns
        The columns to test.
    codes : ndarray of int
        The label of each row, from 0.
    rows : ndarray of int
        The `balanced_sample` of `codes`, whose rows `parts` sample.
    count : int
        Number of columns of the table; with more columns, more coincidences are expected.
    """
    found = []
    indicators = []
    allowed = math.log(_CHANCE / count)
    for part in parts:
        for start, sampled in _sampled_blocks(part, codes, rows, allowed):
            alone = set()
            for index in np.flatnonzero(sampled.single).tolist():
                leak = _test_column(part, start + index, codes, allowed)
                if leak:
                    found.append(leak)
                    alone.add(index)
            indicators += [
                _Indicator(part, start + index, value, marked)
                for index, value, marked in sampled.marked
                if index not in alone
            ]
    group = _group(indicators, codes, codes[rows], allowed, count)
    return [*found, group] if group else found


def _sampled_blocks(part: Columns, codes: Array, rows: Array, allowed: float) -> Iterator[tuple[int, _Sampled]]:
    shares = np.bincount(codes) / len(codes)
    others = round((1 - shares.max()) * len(codes))
    # The least likely column is one that equals the label. Where chance may produce that one, nothing can be shown.
    provable = len(codes) * float(shares @ np.log(shares)) < allowed
    step = max(_BLOCK // len(rows), 1)
    for start in range(0, len(part.positions), step):
        values = np.ascontiguousarray(part.sample(slice(start, start + step)).T, np.float64)
        sampled = _Sampled(np.zeros(len(values), bool), [])
        if provable:
            sampled = _examine_sample(values, codes[rows], others)
        if part.ordered:
            single = sampled.single | (values[:, :1] + (rows - rows[0]) == values).all(axis=1)
            sampled = sampled._replace(single=single | _have_ranges(values, codes[rows]) if provable else single)
        yield start, sampled


def _examine_sample(values: Array, codes: Array, others: int) -> _Sampled:
    """Find the columns that may determine the label; `values` holds one column per row.

    `others` is the number of rows of the table outside its largest class.
    """
    gaps = np.isnan(values)
    single = _missing_may_determine(gaps, codes, others)
    order = np.argsort(values, axis=1)
    ordered = np.take_along_axis(values, order, axis=1)
    starts = np.ones(ordered.shape, bool)
    starts[:, 1:] = ordered[:, 1:] != ordered[:, :-1]  # so that each NaN is a value of its own
    repeating = np.flatnonzero((~starts).sum(axis=1) >= _SAMPLE_REPETITIONS)
    if not len(repeating):
        return _Sampled(single, [])
    order, ordered, starts, gaps = order[repeating], ordered[repeating], starts[repeating], gaps[repeating]
    classes = int(codes.max()) + 1
    value = np.cumsum(starts.ravel()) - 1
    pairs, sizes = np.unique(value * classes + codes[order].ravel(), return_counts=True)
    pair_starts = np.flatnonzero(np.diff(pairs // classes, prepend=-1))  # of each value
    column = np.flatnonzero(starts) // len(codes)  # the same
    exceptions = len(codes) - np.bincount(column, np.maximum.reduceat(sizes, pair_starts))
    single[repeating] |= exceptions <= min(_SAMPLE_EXCEPTIONS, int(_EXCEPTIONS * others))

    labels = np.diff(pair_starts, append=len(pairs))  # of each value
    first = np.flatnonzero(np.diff(column, prepend=-1))
    marked = []
    two = (np.bincount(column) == 2) & ~gaps.any(axis=1)
    pure = np.stack([labels[first], labels[np.minimum(first + 1, len(labels) - 1)]], axis=1) == 1
    for index in np.flatnonzero(two & (pure.sum(axis=1) == 1)).tolist():
        mark = ordered[index, -1 if pure[index, 1] else 0]
        rows = values[repeating[index]] == mark
        if rows.sum() >= _SAMPLE_INDICATOR:
            marked.append((int(repeating[index]), float(mark), rows))
    return _Sampled(single, marked)


def _missing_may_determine(gaps: Array, codes: Array, others: int) -> Array:
    some = gaps.any(axis=1) & ~gaps.all(axis=1)
    found = np.zeros(len(gaps), bool)
    if some.any():
        sizes = np.bincount(codes)
        missing = np.stack([gaps[:, codes == k].sum(axis=1) for k in range(len(sizes))], axis=1)
        exceptions = len(codes) - missing.max(axis=1) - (sizes - missing).max(axis=1)
        # Twice the share of all rows, because the sample is small.
        likely = 2 * _MISSING_EXCEPTIONS * (len(codes) - sizes.max()) + _SAMPLE_EXCEPTIONS
        found = some & (exceptions <= min(likely, _MISSING_EXCEPTIONS * others))
    return found


def _test_column(part: Columns, index: int, codes: Array, allowed: float) -> Leak | None:
    """Test one column on all rows."""
    values = part.whole(index)
    position = (int(part.positions[index]),)
    if part.ordered and _numbers_the_rows(values):
        return Leak(position, f"numbers the rows, from {values[0]:g} to {values[-1]:g}", numbering=True)
    gaps = np.isnan(values)
    if gaps.any():
        but = _determines(gaps, codes, allowed, _MISSING_EXCEPTIONS)
        if but is not None:
            return Leak(position, f"alone determines the label{but}: by whether it has a value")
    if 2 * gaps.sum() > len(values):
        return None
    values, codes = values[~gaps], codes[~gaps]
    but = _determines(values, codes, allowed, _EXCEPTIONS)
    if but is not None:
        different = len(np.unique(values))
        return Leak(position, f"alone determines the label{but}: each of its {different} values goes with one")
    if part.ordered and _have_ranges(values[None], codes)[0] and _log_orders(codes) < allowed:
        return Leak(position, "alone determines the label: each label has its own range")
    return None


def _numbers_the_rows(values: Array) -> bool:
    return len(values) >= _SHORTEST_NUMBERING and values[0] in (0, 1) and bool((np.diff(values) == 1).all())


def _determines(values: Array, codes: Array, allowed: float, exceptions: float, chosen: float = 0.0) -> str | None:
    """Test whether each value goes with one label, and not by chance: None if not, else the exceptions in words.

    `chosen` is the logarithm of the number of other ways in which `values` could have been chosen.
    """
    _, places = np.unique(values, return_inverse=True)
    classes = int(codes.max(initial=0)) + 1
    pairs, rows = np.unique(places * classes + codes, return_counts=True)
    sizes = np.bincount(places)
    largest = np.zeros(len(sizes), np.int64)
    np.maximum.at(largest, pairs // classes, rows)
    exceptional = len(codes) - int(largest.sum())
    others = len(codes) - int(np.bincount(codes).max(initial=0))
    if exceptional > exceptions * others or len(codes) < _ROWS_PER_VALUE * len(sizes):
        return None
    ways = _log_choices(len(codes), exceptional)
    if min(_log_purity(sizes, codes), _log_orders(codes, len(sizes))) + ways + chosen >= allowed:
        return None
    return f" except in {exceptional} of {len(codes)} rows" if exceptional else ""


def _log_purity(sizes: Array, codes: Array) -> float:
    """Log-probability that all rows of each value have one label, if labels are drawn by their shares."""
    shares = np.bincount(codes) / len(codes)
    most = shares.max()  # factored out, because the powers would underflow
    different, times = np.unique(sizes, return_counts=True)
    pure = [size * math.log(most) + math.log(((shares / most) ** size).sum()) for size in different.tolist()]
    return float(np.dot(times, pure))


def _log_orders(codes: Array, values: int | None = None) -> float:
    """Log of the share of all permutations of the labels that fit `values` values, or one range per label.

    Each of the values may go with any label. Where a label is rare, this bound is lower than `_log_purity`.
    """
    counts = np.bincount(codes)
    counts = counts[counts > 0].tolist()
    ways = math.lgamma(len(counts) + 1) if values is None else values * math.log(len(counts))
    return ways + sum(math.lgamma(n + 1) for n in counts) - math.lgamma(sum(counts) + 1)


def _log_choices(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def _have_ranges(values: Array, codes: Array) -> Array:
    """For each column, given as a row, test whether the labels' ranges of numbers are disjoint."""
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    if len(starts) < 2:
        return np.zeros(len(values), bool)
    least = np.fmin.reduceat(values[:, order], starts, axis=1)
    most = np.fmax.reduceat(values[:, order], starts, axis=1)
    by_least = np.argsort(least, axis=1)
    least, most = np.take_along_axis(least, by_least, axis=1), np.take_along_axis(most, by_least, axis=1)
    return np.asarray((most[:, :-1] < least[:, 1:]).all(axis=1))


def _group(indicators: list[_Indicator], codes: Array, sampled: Array, allowed: float, count: int) -> Leak | None:
    """Find one-hot columns that together determine the label: each marks rows of one label, no row is marked twice."""
    left = sorted(indicators, key=lambda indicator: -int(indicator.rows.sum()))
    for _ in range(_GROUPS):
        chosen = _disjoint(left, sampled)
        if not chosen:
            return None
        groups = np.zeros(len(codes), np.int64)  # 0 where no column marks the row
        mixed, overlapping = [], []
        for number, indicator in enumerate(chosen, 1):
            marked = indicator.columns.whole(indicator.place) == indicator.value
            if len(np.unique(codes[marked])) > 1:
                mixed.append(number - 1)
            elif groups[marked].any():
                overlapping.append(number - 1)
            groups[marked] = number
        failed = mixed or overlapping  # an overlap may be the fault of a mixed column, which goes first
        if not failed:
            but = _determines(groups, codes, allowed, 0.0, (len(chosen) - 1) * math.log(count))
            if but is None:
                return None
            positions = sorted(int(one.columns.positions[one.place]) for one in chosen)
            return Leak(
                tuple(positions), "together determine the label: each marks rows of one label, as one-hot columns do"
            )
        bad = [chosen[place] for place in failed]
        left = [indicator for indicator in left if not any(indicator is one for one in bad)]
    return None


def _disjoint(indicators: list[_Indicator], codes: Array) -> list[_Indicator]:
    """Choose indicators, largest first, that mark no row of the sample twice and all rows except those of one label."""
    chosen: list[_Indicator] = []
    marked = np.zeros(len(codes), bool)
    for indicator in indicators:
        if not (marked & indicator.rows).any():
            chosen.append(indicator)
            marked |= indicator.rows
    return chosen if len(chosen) > 1 and len(np.unique(codes[~marked])) <= 1 else []
