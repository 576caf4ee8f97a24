"""Blocks divided into leaves and shards: every leaf has one owner, and sums are those of the rows in memory."""

import pickle

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from softgrad._loss_spec import DEFAULT
from softgrad._targets import Targets
from softgrad.dask import _shards, _storage
from softgrad.dask._blocks import FitRules, make_block
from softgrad.dask._shards import make_shard, pieces_of_blocks
from softgrad.linear_model._problem import _kernels
from softgrad.linear_model._problem._rows import LocalRows
from softgrad.linear_model._problem._sampling import sampling_keys
from softgrad.linear_model._problem._targets import FitClasses
from softgrad.linear_model._problem._tree_sum import LEAF_ROWS, TreeSum

lengths = st.lists(st.integers(1, 40), min_size=1, max_size=12)


@given(lengths, st.sampled_from([1, 2, 8, 16, 64]))
def test_the_pieces_cover_every_row_and_every_leaf_once(lengths, leaf_rows):
    starts = np.cumsum([0, *lengths])
    pieces = pieces_of_blocks(lengths, leaf_rows)
    leaves, rows = [], []
    for block, own in enumerate(pieces):
        for piece in own:
            leaves += range(piece.first, piece.end)
            of_piece = [starts[s.block] + row for s in piece.sources for row in range(s.start, s.stop)]
            assert of_piece == list(range(piece.first * leaf_rows, min(piece.end * leaf_rows, starts[-1])))
            assert piece.sources[0].block == block
            assert len(piece.sources) == 1 or piece.end == piece.first + 1
            assert all(0 <= s.start < s.stop <= lengths[s.block] for s in piece.sources)
            rows += of_piece
    assert leaves == list(range(-(-starts[-1] // leaf_rows)))
    assert rows == list(range(starts[-1]))


@pytest.fixture(params=["in memory", "in files"])
def stored(request, tmp_path, monkeypatch):
    monkeypatch.setattr(_storage._room, "directory", str(tmp_path))
    monkeypatch.setattr(_storage._room, "_limit", np.inf if request.param == "in memory" else 0)
    monkeypatch.setattr(_shards, "_MAPPED_BYTES", 1 << 16)
    return request.param == "in files"


N, D, K = 5000, 3, 4


def sent(value):
    """The value as another worker receives it."""
    return pickle.loads(pickle.dumps(value))


def shards_of(x, y, weight, boundaries, owners, workers=3):
    """The shards of workers for blocks that end at the boundaries and belong to the owners."""
    leaf_rows = LEAF_ROWS
    names = np.arange(K)
    rules = FitRules(FitClasses(names, names, names, np.ones(K)), DEFAULT, x.dtype, None, leaf_rows)
    ends = [*sorted({b for b in boundaries if b < N}), N]
    starts = [0, *ends[:-1]]
    blocks = [
        sent(make_block(i, x[start:end], y[start:end], weight[start:end], ""))
        for i, (start, end) in enumerate(zip(starts, ends, strict=True))
    ]
    pieces = pieces_of_blocks([block.shape[0] for block in blocks], leaf_rows)
    shards = []
    for worker in range(workers):
        own = [i for i in range(len(blocks)) if owners[i % len(owners)] == worker]
        foreign = [s for i in own for piece in pieces[i] for s in piece.sources if s.block not in own]
        edges = [sent(blocks[source.block].rows(source.rows, rules)) for source in foreign]
        of_own = [piece for i in own for piece in pieces[i]]
        if of_own:
            shards.append(make_shard(own, [blocks[i] for i in own], foreign, edges, of_own, rules, -(-N // leaf_rows)))
    return blocks, shards


division = st.tuples(st.lists(st.integers(1, N - 1), max_size=8), st.lists(st.integers(0, 2), min_size=1, max_size=9))


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
def test_shards_add_up_to_the_sums_in_memory(stored, sparse):
    rng = np.random.default_rng(0)
    x = scipy.sparse.random_array((N, D), density=0.5, format="csr", rng=rng) if sparse else rng.normal(size=(N, D))
    y, weight = rng.integers(0, K, N), rng.integers(0, 5, N) * 0.3
    local = LocalRows(x, Targets(K, labels=y, row_weight=weight), leaf_rows=LEAF_ROWS)
    W, b = rng.normal(size=(K, D)), rng.normal(size=K)
    expected = _kernels.gradient(local, W, b)
    numbers = np.flatnonzero(weight)
    drawn = numbers[sampling_keys(numbers) < np.uint64(1 << 61)]

    @given(division)
    @settings(max_examples=20)
    def check(division):
        blocks, shards = shards_of(x, y, weight, *division)
        assert all(block.is_stored == stored for block in blocks)
        tree = TreeSum(-(-N // LEAF_ROWS))
        for shard in shards:
            for place, node in shard.sum(_kernels.gradient, W, b).items():
                tree.add(*place, node)
        np.testing.assert_array_equal(tree.root(), expected)
        weights, first, rows = zip(*(shard.weights()[0] for shard in shards), strict=True)
        best = max(zip(weights, first, range(len(rows)), strict=True))
        assert (best[0], -best[1]) == (weight.max(), weight.argmax())
        np.testing.assert_array_equal(rows[best[2]], local.heaviest()[1])
        sampled = [shard.sample(0, 1 << 61) for shard in shards]
        assert sorted(np.concatenate([part[0] for part in sampled]).tolist()) == drawn.tolist()
        for rows, found, mass in sampled:
            dense = (found - x[rows]).toarray() if sparse else found - x[rows]
            assert not dense.any()
            np.testing.assert_array_equal(mass, weight[rows])

    check()


def test_the_rows_of_a_file_are_read_a_few_leaves_at_a_time(stored):
    rng = np.random.default_rng(0)
    _, (shard,) = shards_of(rng.normal(size=(N, D)), rng.integers(0, K, N), np.ones(N), [], [0])
    read = []
    shard.largest(lambda rows: read.append(rows.shape[0]) or np.zeros(1))
    assert sum(read) == N
    assert max(read) == (1024 if stored else N)
