"""Softmax regression of rows on a Dask cluster, or larger than memory.

SoftmaxRegression                 the estimator of softgrad.linear_model, for dask arrays and data frames
from_npy                          .npy files as one dask array that is never read into memory as a whole

Needs Dask: ``pip install "softgrad[dask]"``.
"""

try:
    from softgrad.dask._npy_files import from_npy
    from softgrad.dask._softmax_regression import SoftmaxRegression
except ModuleNotFoundError as error:
    package = (error.name or "").partition(".")[0]
    if package not in ("dask", "distributed"):
        raise
    raise ModuleNotFoundError(
        f'softgrad.dask needs {package}, which is not installed; write pip install "softgrad[dask]"', name=package
    ) from None

__all__ = ["SoftmaxRegression", "from_npy"]
