"""Softmax regression: the estimator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from softgrad.linear_model import _fit_options
from softgrad.linear_model._inference import Inference
from softgrad.linear_model._partial_fit import PartialFit
from softgrad.linear_model._problem._design_matrix import convert_rows
from softgrad.linear_model._problem._separation import is_separable
from softgrad.linear_model._problem._sparse_rows import expand_columns, select_columns, used_columns
from softgrad.linear_model._solvers._history import History
from softgrad.linear_model._solvers._minimise import minimise
from softgrad.linear_model._temperature_scaling import TemperatureScaling
from softgrad.linear_model._thread_limits import limited_threads

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import ArrayLike

    from softgrad._typing import Array
    from softgrad.linear_model._fit_options import FitOptions
    from softgrad.linear_model._problem._objective import Objective
    from softgrad.linear_model._solvers._descent import Cause
    from softgrad.linear_model._solvers._history import Iteration
    from softgrad.linear_model._solvers._minimise import SolverName


class SoftmaxRegression(Inference, PartialFit, TemperatureScaling):
    r"""Linear classifier: the probabilities are the softmax of W x + b.

    .. math:: \min_{W, b} \frac1S \Bigl( \sum_{n=1}^N s_n \operatorname{CE}(W x_n + b,\; y_n)
              + \frac{1}{2 C} \lVert W \rVert^2 \Bigr), \quad S = \sum_n s_n

    This is the model of scikit-learn's ``LogisticRegression(C=C)``, with one row of W per class. For two classes
    scikit-learn fits only the difference of the two rows; its ``C=2 * C`` gives the same model.

    Parameters
    ----------
    C : float, default 1.0
        Inverse strength of the penalty on W, above 0; ``numpy.inf`` for no penalty. b is never penalised.
    fit_intercept : bool, default True
        Whether to fit b.
    class_weight : None, "balanced" or dict, default None
        Factor of the row weights for each label, {label: factor}; 1 for labels without an entry. "balanced" gives
        every class the same summed weight. For class probabilities the factors multiply the columns.
    label_smoothing : float, default 0.0
        Fraction ε of every target that is distributed evenly over all classes, from 0 to less than 1.
    solver : {"auto", "lbfgs", "newton-cg", "newton"}, default "auto"
        Algorithm; all find the same minimum. "auto" selects "newton" if N times the square of the number of
        coefficients is at most 2²², and "lbfgs" otherwise; ``solver_`` is the one selected.
    tol : float, default 1e-6
        Stop when ``gradient_norm_`` is at most this. Neither the scale of the columns nor the number of rows changes
        its meaning.
    max_iter : int, default 1000
        Maximum number of iterations.
    warm_start : bool, default False
        Whether `fit` starts from the coefficients of the previous fit.
    n_threads : int, optional
        Maximum number of threads in `fit` and `partial_fit`; by default `softgrad.get_num_threads`.
    verbose : int, default 0
        If above 0, print a line to stderr after every iteration.

    Attributes
    ----------
    classes_ : ndarray of shape (K,)
        The sorted labels; if y held class probabilities, 0 to K − 1 or the sorted names of its columns.
    coef_ : ndarray of shape (K, D), float64
        W, one row per class.
    intercept_ : ndarray of shape (K,), float64
        b; zeros without an intercept.
    n_iter_ : int
        Number of iterations.
    n_passes_ : float
        Number of passes over X.
    loss_ : float
        Weighted mean cross-entropy of the training rows, in nats, without the penalty.
    objective_ : float
        Minimum of the objective, in nats per unit of weight.
    gradient_norm_ : float
        Largest absolute entry of the objective's gradient with respect to the coefficients of standardised columns
        and to W x̄ + b, the logits at the mean row x̄. The entries of a class whose weight is a
        fraction r < 0.1 of the mean weight of the classes are divided by 10 r.
    converged_ : bool
        Whether ``gradient_norm_`` is at most `tol` and a minimum exists.
    solver_ : str
        Solver that was used.
    history_ : list of Iteration
        ``objective``, ``gradient_norm``, ``passes`` and ``seconds`` after every iteration; `ConvergenceDisplay` plots
        it.
    temperature_ : float
        Divisor of the logits in predictions, 1 unless `temperature_scale` was called.
    n_features_in_ : int
        Number of columns, D.
    feature_names_in_ : ndarray of shape (D,), object
        Names of the columns, if X had names.

    Notes
    -----
    float32 and float64 rows are fitted in their dtype, others as float64; W and b are float64. C- and Fortran-ordered
    or strided arrays, `numpy.memmap` larger than memory, and CSR with sorted columns and no duplicates are not copied;
    other sparse matrices are converted to such CSR. Rows of weight 0 are ignored: a label that occurs only in such
    rows is not a class. With an intercept, constant columns get the coefficient 0.

    An iteration reads X about once: logits, probabilities and gradient are computed for blocks of rows that stay in
    the cache, with float64 sums whose order does not depend on the number of threads. "lbfgs" is L-BFGS with
    Böhning's bound as the first initial Hessian. Several times during the fit, the initial Hessian is recomputed from
    a sample of the rows: the diagonal blocks of the Hessian, one per class; for many classes, one block that all
    classes share; for many columns, only the diagonal. "newton-cg" uses Hessian-vector products, one pass each, and the
    same approximation as preconditioner; "newton" uses the Hessian as a matrix. Besides X, `fit` needs memory for the
    blocks, at most a quarter of X or 2²⁴ numbers ("newton-cg" also for N K probabilities, "newton" for the square of
    the number of coefficients).

    For float32 rows the rounding error of ``objective_`` is about 1e-7; the coefficients are more accurate, because
    near the minimum the gradient alone decides the steps. For float32 columns whose mean is a hundred or more times
    their standard deviation, tol may not be reached because the mean cancels digits: fit them as float64.

    With an intercept, a converged model satisfies Σ_n s_n p_nk = Σ_n s_n y_nk for every class k, also a rare one, with
    a relative error of at most 10 K tol: the predicted probabilities of the training rows sum to the weight of the
    class.

    The rows are separable if a linear classifier makes no error on them; under quasi-complete separation, some rows
    are on its decision boundary. Without a penalty no finite W is then optimal: `fit` warns, ``converged_`` is False,
    and the coefficients are those at which the solver stopped. Quasi-complete separation is detected up to 1000
    coefficients.

    `fit` keeps a reference to X and y, not a copy, for `summary` and other methods that need the Hessian; pickles,
    copies and saved models do not contain it. During `fit` and `partial_fit`, BLAS uses one thread in the whole
    process, and `n_threads` limits softgrad in the whole process; if fits overlap in several threads, the smallest of
    their limits applies, and the original limits are restored when the last of them ends.

    References
    ----------
    Bishop, *Pattern Recognition and Machine Learning*, 2006, §4.3.4. Bound: Böhning, Annals of the Institute of
    Statistical Mathematics 44, 1992. Solvers: Nocedal & Wright, *Numerical Optimization*, 2006, Algorithms 7.1 and
    7.4. Separation: Albert & Anderson, Biometrika 71, 1984.

    Examples
    --------
    >>> import numpy as np
    >>> from softgrad.linear_model import SoftmaxRegression
    >>> X = np.array([[0.0], [1.0], [2.0], [3.0], [4.0], [5.0]])
    >>> model = SoftmaxRegression(C=10.0).fit(X, ["low", "low", "mid", "mid", "top", "top"])
    >>> model.predict([[0.2], [2.4], [9.0]])
    array(['low', 'mid', 'top'], dtype='<U3')
    >>> model.predict_proba([[2.4]]).round(2)
    array([[0.08, 0.87, 0.05]])
    >>> model.converged_
    True

    Class probabilities instead of labels:

    >>> soft = SoftmaxRegression().fit([[0.0], [1.0]], np.array([[0.9, 0.1], [0.2, 0.8]]))
    >>> soft.predict_proba([[0.0]]).round(2)
    array([[0.62, 0.38]])
    """

    def __init__(
        self,
        C: float = 1.0,
        *,
        fit_intercept: bool = True,
        class_weight: Mapping[Any, float] | Literal["balanced"] | None = None,
        label_smoothing: float = 0.0,
        solver: Literal[SolverName, "auto"] = "auto",
        tol: float = 1e-6,
        max_iter: int = 1000,
        warm_start: bool = False,
        n_threads: int | None = None,
        verbose: int = 0,
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

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: ArrayLike | None = None,
        *,
        on_iteration: Callable[[Iteration], object] | None = None,
    ) -> Self:
        """Fit the coefficients, which minimise the objective.

        Parameters
        ----------
        X : array_like, sparse matrix or frame of shape (N, D)
            Finite numbers.
        y : array_like of shape (N,) or (N, K)
            Labels of at least two classes: integers, strings or booleans. Or class probabilities: a floating matrix
            or frame of non-negative numbers, with one column per class; a row must not be all 0, and its sum acts as
            its weight.
        sample_weight : array_like of shape (N,), optional
            s_n, at least 0; by default 1.
        on_iteration : callable, optional
            Called after every iteration with an `Iteration`.

        Returns
        -------
        SoftmaxRegression
            The fitted estimator.

        Raises
        ------
        TypeError
            If a parameter or weight has the wrong type; or X, y or sample_weight is a masked array, or contains dates
            or durations.
        ValueError
            If a parameter is out of range; X, y and sample_weight differ in length; X contains NaN, infinity or
            values beyond 1e100 (float32: 1e30), or is sparse with indices out of range; y contains fewer than two
            classes of positive weight, continuous numbers, or probabilities that are negative, NaN, or all zero in a
            row or column; a weight is negative, infinite or NaN, or all are zero; or warm_start is True and the model
            was fitted to other classes or columns.

        Warns
        -----
        sklearn.exceptions.ConvergenceWarning
            If the gradient norm is above tol at the end, or the rows are separable and there is no penalty; the
            message gives advice.
        """
        options = _fit_options.checked(self, self.C)
        history = History(on_iteration, verbose=options.verbose > 0)
        x = convert_rows(self, X, reset=True)
        used = used_columns(x)
        if used is not None:
            x = select_columns(x, used)
        with limited_threads(options.n_threads):
            classes, objective = self._fit_objective(x, y, sample_weight, options)
            cause, separable = self._minimise(objective, classes, options, history, used)
        self._training = X, y, sample_weight
        if separable:
            self._warn_separable()
        elif not self.converged_:
            self._warn_not_converged(cause)
        return self

    def _minimise(
        self,
        objective: Objective,
        classes: Array,
        options: FitOptions,
        history: History | None = None,
        used: Array | None = None,  # the columns of X in the objective, if not all
    ) -> tuple[Cause, bool]:
        """Fit validated rows; return why the solver stopped, and whether the rows are separable without a penalty."""
        solution = minimise(
            objective,
            self._start(objective, classes, used),
            solver=options.solver,
            tol=options.tol,
            max_iter=options.max_iter,
            history=History(verbose=options.verbose > 0) if history is None else history,
        )
        separable = bool(np.isinf(options.C)) and is_separable(objective, solution.theta)
        self._set_results(objective, solution, classes)
        self._set_coefficients(*objective.coefficients(solution.theta), classes, used)
        if separable:
            self.converged_ = False
        self._past_batches = None
        return solution.cause, separable

    def _set_coefficients(self, W: Array, b: Array, classes: Array, used: Array | None = None) -> None:
        self.coef_ = W if used is None else expand_columns(W, used, self.n_features_in_)
        self.intercept_ = b
        self.classes_ = classes

    def _start(self, objective: Objective, classes: Array, used: Array | None) -> Array:
        if not self.warm_start or not hasattr(self, "coef_"):
            return np.zeros(objective.shape)
        if self.coef_.shape != (len(classes), self.n_features_in_) or self.classes_.tolist() != classes.tolist():
            raise ValueError(
                f"warm_start=True: the model was fitted to {self.coef_.shape[1]} columns and the classes "
                f"{self.classes_.tolist()}, these rows have {self.n_features_in_} columns and the classes "
                f"{classes.tolist()}; write warm_start=False, or start with a new model"
            )
        start = self.coef_ if used is None else np.ascontiguousarray(self.coef_[:, used])
        return objective.variables(start, self.intercept_)
