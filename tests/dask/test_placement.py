"""The division of blocks among workers."""

from hypothesis import given
from hypothesis import strategies as st

from softgrad.dask._placement import placement

WORKERS = ["a", "b", "c"]
holders = st.lists(st.sampled_from([*WORKERS, "gone"]), max_size=3, unique=True).map(tuple)


@given(
    st.lists(st.tuples(st.integers(1, 10**6), holders), min_size=1, max_size=30),
    st.dictionaries(st.sampled_from(WORKERS), st.integers(1, 8), min_size=1),
)
def test_no_worker_has_much_more_than_its_share(blocks, threads):
    rows, held = zip(*blocks, strict=True)
    places = placement(rows, held, threads)
    assert len(places) == len(rows)
    assert set(places) <= set(threads)
    for worker, count in threads.items():
        share = sum(rows) * count / sum(threads.values())
        assert sum(n for n, place in zip(rows, places, strict=True) if place == worker) <= 1.25 * share + max(rows)


def test_blocks_stay_where_they_are():
    assert placement([10] * 4, [("a",), ("b",), ("b",), ("a",)], {"a": 1, "b": 1}) == ["a", "b", "b", "a"]
    assert placement([10] * 3, [("a", "b"), ("a", "b"), ("a",)], {"a": 1, "b": 1}) == ["a", "b", "a"]


def test_neighbours_go_to_one_worker_if_blocks_move():
    assert placement([10] * 6, [("a",)] * 6, {"a": 1, "b": 2}) == ["a", "a", "b", "b", "b", "b"]
    assert placement([10] * 4, [("gone",)] * 4, {"a": 1, "b": 1}) == ["a", "a", "b", "b"]
