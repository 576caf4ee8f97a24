"""The commands on a Dask cluster: a table of several files is read in parts, never as a whole.

fit_parts           fit and measure a model
evaluate_parts      measure a model
predict_parts       write the predictions as Parquet files
"""

from softgrad.cli._dask._evaluation import evaluate_parts
from softgrad.cli._dask._fitting import fit_parts
from softgrad.cli._dask._prediction import predict_parts

__all__ = ["evaluate_parts", "fit_parts", "predict_parts"]
