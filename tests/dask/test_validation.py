"""Rows, labels and weights that cannot be fitted are errors that name the partition and say what to write."""

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from dask import delayed
from sklearn.exceptions import DataConversionWarning

from softgrad.dask import SoftmaxRegression

x, y = np.random.default_rng(0).normal(size=(90, 3)), np.arange(90) % 3
X, Y = da.from_array(x, chunks=(30, 3)), da.from_array(y, chunks=30)
FRAME = pd.DataFrame(x, columns=["a", "b", "c"]).assign(y=y)
PARTS = dd.from_pandas(FRAME, npartitions=3)
UNKNOWN = PARTS[["a", "b", "c"]].to_dask_array()


def changed(array, place, value):
    array = array.astype(np.result_type(array, np.asarray(value)))
    array[place] = value
    return da.from_array(array, chunks=(30, *array.shape[1:]))


def joined(*blocks):
    """A dask array of blocks that may be unlike each other."""
    shape = blocks[0].shape[1:]
    parts = [da.from_delayed(delayed(block, traverse=False), (block.shape[0], *shape), float) for block in blocks]
    return da.concatenate(parts)


def frames(*parts):
    return dd.from_delayed([delayed(part) for part in parts], meta=parts[0], verify_meta=False)


def fit(X, y, weight=None, **parameters):
    return SoftmaxRegression(**parameters).fit(X, y, weight)


# Nothing is computed before these are raised.
AT_ONCE = [
    (lambda: fit(x, Y), TypeError, r"X is a numpy.ndarray; expected a dask array or data frame; write dask.array.from_array\(X, chunks=...\), or fit softgrad.linear_model.SoftmaxRegression"),
    (lambda: fit(FRAME, Y), TypeError, r"X is a pandas\..*DataFrame; expected a dask array or data frame"),
    (lambda: fit(X, y), TypeError, r"y is a numpy.ndarray; expected a dask array"),
    (lambda: fit(X, y.tolist()), TypeError, r"y is a builtins.list; expected a dask array"),
    (lambda: fit(X, Y, np.ones(90)), TypeError, r"sample_weight is a numpy.ndarray; expected a dask array"),
    (lambda: fit(X, delayed(y)), TypeError, r"y is a dask.delayed.Delayed\w*; expected a dask array"),
    (lambda: fit(X, None), ValueError, r"y is None; expected the labels of the rows, a dask array or a column of a data frame"),
    (lambda: fit(X, Y[:-1]), ValueError, r"inconsistent numbers of samples: X has 90 rows, y 89"),
    (lambda: fit(X, Y, Y[1:]), ValueError, r"inconsistent numbers of samples: X has 90 rows, sample_weight 89"),
    (lambda: fit(UNKNOWN, da.from_array(y, chunks=45)), ValueError, r"y has 2 partitions and X 3, and their lengths are not known; take both from one data frame, or write compute_chunk_sizes\(\) for arrays"),
    (lambda: fit(PARTS[["a"]], dd.from_pandas(FRAME, npartitions=1)["y"]), ValueError, r"y has 1 partitions and X 3"),
    (lambda: fit(PARTS[["a"]], PARTS["y"], PARTS["y"].repartition(npartitions=2)), ValueError, r"sample_weight has 2 partitions and X 3"),
    (lambda: fit(X[:, 0], Y), ValueError, r"X has shape \(90,\); expected \(N, D\): Reshape your data"),
    (lambda: fit(X[..., None], Y), ValueError, r"X has shape \(90, 3, 1\); expected \(N, D\)"),
    (lambda: fit(PARTS["a"], Y), ValueError, r"X is one column of a data frame; expected a data frame; write X.to_frame\(\)"),
    (lambda: fit(PARTS.assign(t="u", k=PARTS["y"].astype("category")), Y), TypeError, r"X has columns that are not numbers: 't' \(str\w*\), 'k' \(category\); write X = X.categorize\(columns=\['t', 'k'\]\) and X = dask.dataframe.get_dummies\(X\) to encode them, or drop them"),
    (lambda: fit(PARTS.assign(d=pd.Timestamp("2020-01-01")), Y), TypeError, r"column 'd' of X holds dates \(datetime64\[\w+\]\); expected numbers; write \(X\['d'\] - pandas.Timestamp\('2000-01-01'\)\).dt.days for days, or drop the column"),
    (lambda: fit(X, Y, solver="newton-cg"), ValueError, r"solver='newton-cg' keeps the probabilities of every row and is not available here; write solver='lbfgs' or 'auto'"),
    (lambda: fit(X, Y, solver="sag"), ValueError, r"solver='sag'; expected one of 'auto', 'lbfgs'"),
    (lambda: fit(X, Y, C=0), ValueError, r"C=0; expected a number above 0; write C=numpy.inf for no penalty"),
    (lambda: fit(X, Y, fit_intercept=1), TypeError, r"fit_intercept=1; expected True or False"),
    (lambda: fit(X, Y, label_smoothing=1.0), ValueError, r"label_smoothing=1.0; expected a number from 0 to less than 1"),
    (lambda: fit(X, Y, max_iter=0), ValueError, r"max_iter=0; expected a positive integer"),
    (lambda: fit(X, Y, tol=-1), ValueError, r"tol=-1; expected"),
    (lambda: fit(X, Y, n_threads=0), ValueError, r"n_threads=0; expected a positive integer"),
]  # fmt: skip


@pytest.mark.parametrize("call, error, message", AT_ONCE)
def test_errors_at_once(call, error, message):
    with pytest.raises(error, match=message):
        call()


NAN, SPARSE = changed(x, (65, 1), np.nan), scipy.sparse.csr_matrix(x)
ON_WORKERS = [
    (lambda: fit(NAN, Y), ValueError, r"^partition 2: X\[5, 1\] is NaN; expected finite numbers; drop such rows, or fill them in"),
    (lambda: fit(changed(x, (30, 0), -np.inf), Y), ValueError, r"^partition 1: X\[0, 0\] is -inf"),
    (lambda: fit(NAN.map_blocks(scipy.sparse.csr_matrix), Y), ValueError, r"^partition 2: X\[5, 1\] is NaN"),
    (lambda: fit(changed(x, (0, 0), 1e200), Y), ValueError, r"^partition 0: X reaches 1.0e\+200; expected at most 1e\+100"),
    (lambda: fit(PARTS[["a"]].where(PARTS["y"] < 2), PARTS["y"]), ValueError, r"^partition \d: X\[2, 0\] is NaN"),
    (lambda: fit(da.ma.masked_greater(X, 2), Y), TypeError, r"^partition \d: X is a masked array, whose mask would be lost"),
    (lambda: fit(X.astype(complex), Y), ValueError, r"^partition \d: Complex data not supported"),
    (lambda: fit(UNKNOWN, da.from_array(y, chunks=((20, 40, 30),))), ValueError, r"^partition [01]: Found input variables with inconsistent numbers of samples: X has 30 rows, y [24]0"),
    (lambda: fit(UNKNOWN, Y, da.ones(90, chunks=((30, 20, 40),))), ValueError, r"^partition [12]: sample_weight has shape \([24]0,\); expected \(30,\)"),
    (lambda: fit(X, Y, changed(np.ones(90), 31, -2)), ValueError, r"^partition 1: sample_weight\[1\] is -2.0; expected finite numbers of at least 0"),
    (lambda: fit(X, Y, da.zeros(90, chunks=30)), ValueError, r"^every sample_weight is zero; expected a positive weight in rows of two classes or more"),
    (lambda: fit(X, Y.astype(str), Y.astype(str)), TypeError, r"^partition \d: sample_weight has dtype <U21; expected real numbers"),
    (lambda: fit(X, da.ones(90, chunks=30)), ValueError, r"^y holds one class only, 1.0; expected labels of at least two"),
    (lambda: fit(X, Y, (Y == 1).astype(float)), ValueError, r"^y holds one class only, 1; expected labels of at least two, in rows of positive weight"),
    (lambda: fit(X, X[:, 0]), ValueError, r"^partition \d: Unknown label type: continuous"),
    (lambda: fit(X, changed(y * 1.0, 89, 0.5)), ValueError, r"^partition 2: Unknown label type: continuous"),
    (lambda: fit(X, changed(y * 1.0, 40, np.nan)), ValueError, r"^partition 1: Input y contains NaN"),
    (lambda: fit(X, X[:, :2] - 9), ValueError, r"^partition \d: y\[0, 0\] is -.*; expected class probabilities of at least 0"),
    (lambda: fit(X, X[..., None]), ValueError, r"^partition \d: y has shape \(30, 3, 1\); expected \(N,\), a label for every row, or \(N, K\)"),
    (lambda: fit(X, abs(X) * [1, 0, 1]), ValueError, r"^column 1 of y is 0 in every row of positive weight"),
    (lambda: fit(X, joined(y[:30], y[30:].astype(str))), TypeError, r"^y holds labels of different kinds: numbers \(first in partition 0\), text \(first in partition 1\); expected one; write y = y.astype\(str\)"),
    (lambda: fit(X[:60], joined(y[:30] > 1, y[30:60])), TypeError, r"booleans \(first in partition 0\), numbers \(first in partition 1\)"),
    (lambda: fit(X[:60], joined(y[:30], abs(x[30:60]))), ValueError, r"^y of partition 0 holds labels, and of partition 1 class probabilities; expected one kind"),
    (lambda: fit(frames(FRAME[["a"]][:30], FRAME[["a"]][30:60]), frames(abs(FRAME[["a", "b"]][:30]), abs(FRAME[["a", "c"]][30:60]))), ValueError, r"^y of partition 1 has the columns \['a', 'c'\], and of partition 0 \['a', 'b'\]"),
    (lambda: fit(joined(x[:30], SPARSE[30:]), Y), TypeError, r"^X of partition 1 is sparse, and of partition 0 dense; expected one of the two in all partitions"),
    (lambda: fit(joined(x[:30], x[30:, :2]), Y), ValueError, r"^X of partition 1 has 2 columns, and of partition 0 3; expected the same in all"),
    (lambda: fit(frames(FRAME[["a", "b"]][:30], FRAME[["a", "c"]][30:]), frames(FRAME.y[:30], FRAME.y[30:])), ValueError, r"^X of partition 1 has the columns \['a', 'c'\], and of partition 0 \['a', 'b'\]; expected the same in all, in one order"),
    (lambda: fit(frames(FRAME[["a", "b"]][:30], FRAME[["b", "a"]][30:]), frames(FRAME.y[:30], FRAME.y[30:])), ValueError, r"^X of partition 1 has the columns \['b', 'a'\], and of partition 0 \['a', 'b'\]; expected the same in all, in one order"),
    (lambda: fit(X[:0], Y[:0]), ValueError, r"^Found array with 0 sample\(s\) in 1 partitions; a minimum of 1 is required"),
    (lambda: fit(X[:, :0], Y), ValueError, r"^partition \d: Found array with 0 feature\(s\)"),
    (lambda: fit(X, Y, class_weight={0: 1, 1: 1, 5: 2}), ValueError, r"^class_weight names 5, which is not a label of y, and leaves out 2"),
    (lambda: fit(X, Y, class_weight="even"), TypeError, r"^class_weight='even'; expected None, 'balanced', or a dictionary"),
]  # fmt: skip


@pytest.mark.parametrize("call, error, message", ON_WORKERS)
def test_errors_of_partitions(client, call, error, message):
    with pytest.raises(error, match=message), client.as_current():
        call()


def test_a_column_vector_of_labels(client):
    for column in Y[:, None], PARTS[["y"]]:
        with pytest.warns(DataConversionWarning, match=r"y has one column; write y\[:, 0\]") as caught:
            model = SoftmaxRegression(client=client).fit(X, column)
        assert [warning.filename for warning in caught] == [__file__]
        assert model.classes_.tolist() == [0, 1, 2]
        with pytest.warns(DataConversionWarning, match="y has one column") as caught:
            model.score(X, column)
        assert [warning.filename for warning in caught] == [__file__]


def test_weights_in_a_column_vector(client):
    model = SoftmaxRegression(client=client).fit(X, Y, da.ones((90, 1), chunks=(30, 1)))
    np.testing.assert_array_equal(model.coef_, SoftmaxRegression(client=client).fit(X, Y).coef_)
