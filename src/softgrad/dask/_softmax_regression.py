"""Softmax regression of rows on a cluster: the estimator."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Literal, Self

from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from softgrad import linear_model
from softgrad.dask._cluster import Cluster, client_of
from softgrad.dask._fit_rows import fit_rows
from softgrad.dask._partitions import partitions_of
from softgrad.dask._prediction import accuracy, predictions
from softgrad.linear_model import _fit_options
from softgrad.linear_model._problem._objective import Objective
from softgrad.linear_model._solvers._history import History
from softgrad.linear_model._solvers._minimise import chosen_solver
from softgrad.linear_model._thread_limits import limited_threads

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import dask.array as da
    from dask.delayed import Delayed
    from distributed import Client

    from softgrad.dask._fit_rows import FitRows
    from softgrad.linear_model import Iteration


class SoftmaxRegression(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no type hints
    r"""Softmax regression of rows on a Dask cluster, or larger than memory.

    The model, its parameters and its results are those of `softgrad.linear_model.SoftmaxRegression`,

    .. math:: \min_{W, b} \frac1S \Bigl( \sum_{n=1}^N s_n \operatorname{CE}(W x_n + b,\; y_n)
              + \frac{1}{2 C} \lVert W \rVert^2 \Bigr), \quad S = \sum_n s_n

    and the coefficients are equal bit for bit to those that it finds in memory, however the rows are divided into
    partitions and over workers, on machines with one instruction set.

    Parameters
    ----------
    C, fit_intercept, class_weight, label_smoothing, tol, max_iter, warm_start, verbose
        As for `softgrad.linear_model.SoftmaxRegression`.
    solver : {"auto", "lbfgs", "newton"}, default "auto"
        As there, except that "newton-cg" is not available. "newton", which "auto" selects for small problems, gathers
        all rows in the memory of the client.
    n_threads : int, optional
        Maximum number of threads of each worker and of the client; by default the number of threads that Dask gives
        the worker, and `softgrad.get_num_threads` in the client.
    client : distributed.Client, optional
        Client of the cluster. By default the active client or, if there is none, that of a `distributed.LocalCluster`
        of this machine, which is closed after each fit.

    Attributes
    ----------
    classes_, coef_, intercept_, n_iter_, n_passes_, loss_, objective_, gradient_norm_, converged_, solver_, history_, \
    temperature_, n_features_in_, feature_names_in_
        As for `softgrad.linear_model.SoftmaxRegression`; arrays are NumPy's.
    n_blocks_ : int
        Number of partitions with rows.
    n_bytes_ : int
        Bytes of X, y and sample_weight, of which each pass reads all.

    Notes
    -----
    `fit` reads every partition once, checks and encodes it on its worker, and keeps it as a block: up to a quarter of
    the worker's memory limit in memory, and from there on in files of the worker's local directory, which are mapped
    while they are read. A block that is mapped from a .npy file (`from_npy`) is not copied. A column that every block
    has in float32 is fitted in float32, and in float64 otherwise.

    In a pass each worker runs one task, on all of the threads that Dask gives it. The sums over its rows are nodes of
    a binary tree over all rows, whose leaves have 512 rows or a multiple; the client adds the nodes in the fixed order
    of the tree. The client also computes the directions, and gathers the sample of rows for the initial Hessians, of at
    most 2²⁶ numbers.

    If a worker is lost, Dask makes its blocks again on others, from their partitions, and runs its task again; the
    result is the same, bit for bit. Workers that join take over blocks at the next pass. If the scheduler is lost,
    `fit` raises ConnectionError.

    Examples
    --------
    >>> import dask.array as da
    >>> import numpy as np
    >>> from distributed import Client
    >>> from softgrad.dask import SoftmaxRegression
    >>> X = np.array([[0.0], [1.0], [2.0], [3.0], [4.0], [5.0]])
    >>> y = np.array(["low", "low", "mid", "mid", "top", "top"])
    >>> with Client(processes=False, dashboard_address=":0") as client:
    ...     model = SoftmaxRegression(C=10.0).fit(da.from_array(X, chunks=2), da.from_array(y, chunks=2))
    >>> model.coef_.shape
    (3, 1)
    >>> model.predict(da.from_array([[0.2], [2.4], [9.0]], chunks=2)).compute()
    array(['low', 'mid', 'top'], dtype='<U3')
    """

    def __init__(
        self,
        C: float = 1.0,
        *,
        fit_intercept: bool = True,
        class_weight: Mapping[Any, float] | Literal["balanced"] | None = None,
        label_smoothing: float = 0.0,
        solver: Literal["auto", "lbfgs", "newton"] = "auto",
        tol: float = 1e-6,
        max_iter: int = 1000,
        warm_start: bool = False,
        n_threads: int | None = None,
        verbose: int = 0,
        client: Client | None = None,
    ) -> None:
        self.C = C
        self.fit_intercept = fit_intercept
        self.class_weight = class_weight
        self.label_smoothing = label_smoothing
        self.solver = solver
        self.tol = tol
        self.max_iter = max_iter
        self.warm_start = warm_start
        self.n_threads = n_threads
        self.verbose = verbose
        self.client = client

    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, *, on_iteration: Callable[[Iteration], object] | None = None
    ) -> Self:
        """Fit the coefficients, which minimise the objective.

        Parameters
        ----------
        X : dask.array.Array or dask DataFrame of shape (N, D)
            Finite numbers. The blocks of an array are dense or CSR; the columns of a frame are numbers.
        y : dask.array.Array, or a column or data frame of dask, of shape (N,) or (N, K)
            Labels of at least two classes, or class probabilities, in the partitions of X; arrays of known length are
            divided as X is.
        sample_weight : dask.array.Array or a column of a dask DataFrame, of shape (N,), optional
            s_n, at least 0; by default 1.
        on_iteration : callable, optional
            Called after every iteration with a `softgrad.linear_model.Iteration`.

        Returns
        -------
        SoftmaxRegression
            The fitted estimator.

        Raises
        ------
        TypeError, ValueError
            As `softgrad.linear_model.SoftmaxRegression.fit`; the message names the partition. Also if X, y or
            sample_weight is not a collection of dask, or partitions differ in their columns, in the kind of their
            labels, or in whether they are sparse.
        ConnectionError
            If the scheduler is lost or restarted. ``coef_`` and ``intercept_`` are then those of the last iteration,
            with which ``warm_start=True`` begins.
        RuntimeError
            If several workers end while they run the same task, usually for lack of memory.
        OSError
            If a worker cannot write a block to its local directory.

        Warns
        -----
        sklearn.exceptions.ConvergenceWarning
            As `softgrad.linear_model.SoftmaxRegression.fit`.
        """
        options = _fit_options.checked(self, self.C)
        if options.solver == "newton-cg":
            raise ValueError(
                "solver='newton-cg' keeps the probabilities of every row and is not available here; write "
                "solver='lbfgs' or 'auto'"
            )
        history = History(on_iteration, verbose=options.verbose > 0)
        partitions = partitions_of(X, y, sample_weight)
        local = self.to_local() if hasattr(self, "coef_") else self._local_model()
        with client_of(self.client) as client, limited_threads(options.n_threads):
            cluster = Cluster(client, options.n_threads)
            found = fit_rows(cluster, partitions, self.class_weight, options.spec, type(self).__name__)
            self._describe(local, found)
            shape = len(found.classes), found.rows.shape[1] + options.fit_intercept
            options = options._replace(solver=chosen_solver(options.solver, found.rows, shape))
            rows = found.rows.gathered() if options.solver == "newton" else found.rows
            objective = Objective.of(rows, C=options.C, fit_intercept=options.fit_intercept)
            try:
                cause, separable = local._minimise(objective, found.classes, options, history, found.used)
            except ConnectionError as error:
                if history.theta is None:
                    raise
                local._set_coefficients(*objective.coefficients(history.theta), found.classes, found.used)
                self._take(local)
                raise ConnectionError(
                    f"{error}; coef_ and intercept_ are those after iteration {len(history.iterations)}: connect to "
                    "a cluster again and call fit with warm_start=True to continue from them"
                ) from error
        self._take(local)
        if separable:
            local._warn_separable()
        elif not self.converged_:
            local._warn_not_converged(cause)
        return self

    def to_local(self) -> linear_model.SoftmaxRegression:
        """Return the fitted model as an estimator for rows in memory, which can also be saved and exported.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the model is not fitted.
        """
        check_is_fitted(self)
        local = self._local_model()
        local.__dict__.update({name: value for name, value in vars(self).items() if _is_result(name)})
        return local

    def predict(self, X: Any) -> da.Array:
        """Return the most probable class of every row as a dask array of shape (N,), with the blocks of X.

        Parameters
        ----------
        X : dask.array.Array or dask DataFrame of shape (N, D)
            The same columns as in `fit`; lengths may be unknown.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the model is not fitted.
        TypeError, ValueError
            If X is not a collection of dask, or does not have two axes. When the result is computed: as
            `softgrad.linear_model.SoftmaxRegression.predict`.
        """
        return predictions(self.to_local(), "predict", X)

    def predict_proba(self, X: Any) -> da.Array:
        """Return the probability of every class as a dask array of shape (N, K). Raises as `predict`."""
        return predictions(self.to_local(), "predict_proba", X)

    def predict_log_proba(self, X: Any) -> da.Array:
        """Return the logarithms of the probabilities, in nats, as a dask array of shape (N, K). Raises as `predict`."""
        return predictions(self.to_local(), "predict_log_proba", X)

    def decision_function(self, X: Any) -> da.Array:
        """Return the logits (W x + b)/T as a dask array of shape (N, K), or for two classes their difference, (N,).

        Raises as `predict`.
        """
        return predictions(self.to_local(), "decision_function", X)

    def score(self, X: Any, y: Any, sample_weight: Any = None, *, compute: bool = True) -> float | Delayed:
        """Return the weighted accuracy, as `softgrad.linear_model.SoftmaxRegression.score`.

        Parameters
        ----------
        X, y, sample_weight
            As for `fit`.
        compute : bool, default True
            Whether to compute it at once; otherwise return a `dask.delayed.Delayed` number.

        Raises
        ------
        TypeError, ValueError
            As `predict`; also if y or sample_weight does not match X.
        """
        score = accuracy(self.to_local(), partitions_of(X, y, sample_weight))
        if not compute:
            return score
        return float(score.compute() if self.client is None else self.client.compute(score, sync=True))

    def _local_model(self) -> linear_model.SoftmaxRegression:
        """Return a model in memory with the same parameters."""
        parameters = self.get_params(deep=False)
        del parameters["client"]
        return linear_model.SoftmaxRegression(**parameters)

    def _describe(self, local: linear_model.SoftmaxRegression, found: FitRows) -> None:
        """Store the facts about X that are known before the first iteration."""
        self.n_blocks_, self.n_bytes_ = found.blocks, found.bytes
        local.n_features_in_ = found.columns
        local.__dict__.pop("feature_names_in_", None)
        if found.column_names is not None:
            local.feature_names_in_ = found.column_names

    def _take(self, local: linear_model.SoftmaxRegression) -> None:
        """Take the results of a fit over from a model in memory."""
        self.__dict__.pop("feature_names_in_", None)
        self.__dict__.update({name: value for name, value in vars(local).items() if _is_result(name)})

    def __sklearn_clone__(self) -> Self:
        """Return an estimator with the same parameters; of the client, which cannot be copied, it gets no copy."""
        parameters = self.get_params(deep=False)
        client = parameters.pop("client")
        return type(self)(**copy.deepcopy(parameters), client=client)

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for a pickle or a copy, without the client."""
        return {**super().__getstate__(), "client": None}


def _is_result(name: str) -> bool:
    return name.endswith("_") and not name.startswith("_") and name not in {"n_blocks_", "n_bytes_"}
