"""Fit softmax regression to a table of several files on a Dask cluster, and compare it with a fit in memory.

The rows of digits.csv are written to four Parquet files. The coefficients found by two worker processes are equal to
those found in memory, bit for bit.
"""

import tempfile
from pathlib import Path

import dask.dataframe as dd
import numpy as np
import pandas as pd
from distributed import Client

from softgrad import dask, linear_model

FILES = 4


def main() -> None:
    digits = pd.read_csv(Path(__file__).parent / "digits.csv")
    with tempfile.TemporaryDirectory() as folder:
        size = -(-len(digits) // FILES)
        for i in range(FILES):
            digits[i * size : (i + 1) * size].to_parquet(Path(folder) / f"digits-{i}.parquet")

        with Client(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0"):
            table = dd.read_parquet(folder)
            X, y = table.drop(columns="digit"), table["digit"]
            model = dask.SoftmaxRegression(C=0.01).fit(X, y)
            print(f"{model.n_blocks_} blocks, {model.n_passes_:.0f} passes, loss {model.loss_:.6f}")
            print(f"accuracy of the training rows: {model.score(X, y):.4f}")

    in_memory = linear_model.SoftmaxRegression(C=0.01).fit(digits.drop(columns="digit"), digits["digit"])
    print(f"equal to the fit in memory, bit for bit: {np.array_equal(model.coef_, in_memory.coef_)}")
    model.to_local().predict_proba(digits.drop(columns="digit"))  # the same model, for rows in memory


if __name__ == "__main__":  # the worker processes import this file
    main()
