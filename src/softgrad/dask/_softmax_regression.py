"""Softmax regression of rows on a cluster: the estimator."""

from __future__ import annotations

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
        check_is_fitted(self)
        local = self._local_model()
        local.__dict__.update({name: value for name, value in vars(self).items() if _is_result(name)})
        return local

    def predict(self, X: Any) -> da.Array:
        return predictions(self.to_local(), "predict", X)

    def predict_proba(self, X: Any) -> da.Array:
        return predictions(self.to_local(), "predict_proba", X)

    def predict_log_proba(self, X: Any) -> da.Array:
        return predictions(self.to_local(), "predict_log_proba", X)

    def decision_function(self, X: Any) -> da.Array:
        return predictions(self.to_local(), "decision_function", X)

    def score(self, X: Any, y: Any, sample_weight: Any = None, *, compute: bool = True) -> float | Delayed:
        score = accuracy(self.to_local(), X, y, sample_weight)
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

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for a pickle or a copy, without the client."""
        return {**super().__getstate__(), "client": None}


def _is_result(name: str) -> bool:
    return name.endswith("_") and not name.startswith("_") and name not in {"n_blocks_", "n_bytes_"}
