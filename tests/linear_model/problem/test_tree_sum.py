"""Sums over rows that parts of the rows share bit for bit."""

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st

from softgrad._loss_spec import LossSpec
from softgrad._targets import Targets
from softgrad.linear_model._problem import _kernels, _location_and_scale, _rows
from softgrad.linear_model._problem._rows import LocalRows
from softgrad.linear_model._problem._tree_sum import (
    LEAF_ROWS,
    TreeSum,
    rows_in_leaf,
    subtrees,
    sum_by_class,
    sum_of_rows,
)

leaf_counts_and_cuts = st.integers(1, 40).flatmap(
    lambda leaves: st.tuples(st.just(leaves), st.lists(st.integers(0, leaves), max_size=5).map(sorted))
)


@given(leaf_counts_and_cuts)
def test_subtrees_cover_a_run_of_leaves_with_nodes_of_the_tree(case):
    leaves, cuts = case
    top = (leaves - 1).bit_length()
    for first, end in zip([0, *cuts], [*cuts, leaves], strict=True):
        nodes = list(subtrees(first, end, leaves))
        covered = [leaf for level, i in nodes for leaf in range(i << level, min((i + 1) << level, leaves))]
        assert covered == list(range(first, end))
        assert all(level <= top for level, _ in nodes)
        assert len(nodes) <= 2 * top + 1
    assert list(subtrees(0, leaves, leaves)) == [(top, 0)]


@given(leaf_counts_and_cuts, st.randoms())
def test_nodes_of_all_parts_add_up_to_the_sum_whatever_their_order(case, random):
    leaves, cuts = case
    rows = leaves * LEAF_ROWS - random.randrange(LEAF_ROWS)
    values = np.random.default_rng(leaves).normal(size=(rows, 2)) * 10.0 ** np.arange(-8, 8, 8)
    nodes = [
        node for first, end in zip([0, *cuts], [*cuts, leaves], strict=True) for node in subtrees(first, end, leaves)
    ]
    random.shuffle(nodes)
    tree = TreeSum(leaves)
    for level, i in nodes:
        tree.add(level, i, sum_of_rows(values[(i << level) * LEAF_ROWS : ((i + 1) << level) * LEAF_ROWS]))
    np.testing.assert_array_equal(tree.root(), sum_of_rows(values))
    np.testing.assert_allclose(tree.root(), values.sum(axis=0), rtol=1e-12, atol=1e-9)
    assert len(tree.nodes) == 1


def test_sums_by_class_are_those_of_each_class():
    rng = np.random.default_rng(0)
    index, weight = rng.integers(0, 5, 3000), rng.random(3000)
    expected = [weight[index == k].sum() for k in range(5)]
    np.testing.assert_allclose(sum_by_class(index, weight, 5), expected, rtol=1e-13)


@pytest.mark.parametrize(
    "shape, elements, classes, rows",
    [
        ((10, 784), 7840, 10, 512),
        ((10**9, 784), 784 * 10**9, 10, 512),
        ((10**6, 100), 10**8, 1000, 1024),
        ((10**6, 100), 10**8, 50_000, 4096),
        ((8000, 20_000), 50 * 8000, 4, 4096),
        ((8 * 10**7, 20_000), 50 * 8 * 10**7, 4, 4096),
        ((8000, 20_000), 50 * 8000, 9, 16_384),
        ((10, 10**7), 10, 2, 1 << 20),
    ],
)
def test_the_size_of_a_leaf_depends_on_columns_classes_and_density_alone(shape, elements, classes, rows):
    assert rows_in_leaf(shape, elements, classes) == rows


def labels(rng, n):
    return Targets(4, rng.integers(0, 4, n), None, row_weight=rng.uniform(0, 2, n))


def probabilities(rng, n):
    return Targets(4, None, rng.dirichlet(np.ones(4), n), row_weight=rng.uniform(0, 2, n))


SUMS = {
    "gradient": (_kernels.gradient, lambda r, D: (r.normal(size=(4, D)), r.normal(size=4))),
    "weights": (_rows.weight_sums, lambda r, D: ()),
    "columns": (_kernels.column_sums, lambda r, D: (1, r.normal(size=D))),
    "entries": (_location_and_scale._entry_sums, lambda r, D: (1,)),
    "offsets": (_location_and_scale._offset_sums, lambda r, D: (1, r.normal(size=D))),
}


@pytest.mark.parametrize("kind", [labels, probabilities])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "form, sums",
    [(np.asarray, "gradient"), (np.asarray, "columns"), (np.asarray, "weights"),
     (scipy.sparse.csr_array, "gradient"), (scipy.sparse.csr_array, "entries"), (scipy.sparse.csr_array, "offsets")],
)  # fmt: skip
def test_sums_over_rows_are_those_of_aligned_parts_added_by_the_tree(form, sums, dtype, kind):
    rng = np.random.default_rng(3)
    n, columns, leaf = 5 * 1024 + 77, 9, 1024
    x = (rng.normal(size=(n, columns)) * (rng.random((n, columns)) < 0.6)).astype(dtype)
    rows = LocalRows(form(x), kind(rng, n), LossSpec(label_smoothing=0.1), leaf)
    function, arguments = SUMS[sums]
    arguments = arguments(rng, columns)
    whole = rows.sum(function, *arguments)
    for cuts in ([], [1], [3], [1, 2, 5]):
        tree = TreeSum(6)
        for first, end in zip([0, *cuts], [*cuts, 6], strict=True):
            for level, i in subtrees(first, end, 6):
                part = rows.part(slice((i << level) * leaf, min((i + 1) << level, 6) * leaf))
                tree.add(level, i, function(part, *arguments))
        np.testing.assert_array_equal(tree.root(), whole)
