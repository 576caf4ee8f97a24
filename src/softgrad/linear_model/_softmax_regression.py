"""Softmax regression: the estimator."""

from __future__ import annotations

import sys
import time
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted

from softgrad.linear_model import _fit_options as _options
from softgrad.linear_model import _partial_fit as _streaming
from softgrad.linear_model._inference import Inference
from softgrad.linear_model._prediction import LinearSoftmax
from softgrad.linear_model._problem._design_matrix import location_and_scale, validated
from softgrad.linear_model._problem._objective import Objective
from softgrad.linear_model._problem._separation import separates
from softgrad.linear_model._problem._targets import among, labels_of, learnt, row_weights, stream_classes
from softgrad.linear_model._problem._unused_columns import only, spread, used_columns
from softgrad.linear_model._solvers._minimise import minimise
from softgrad.linear_model._temperature_scaling import temperature
from softgrad.linear_model._thread_limits import limited_threads

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import ArrayLike, NDArray

    from softgrad._targets import Targets
    from softgrad.linear_model._fit_options import Options
    from softgrad.linear_model._partial_fit import Stream
    from softgrad.linear_model._solvers._minimise import Iteration, Solution

    Array = NDArray[Any]


class SoftmaxRegression(Inference, LinearSoftmax):
    r"""Linear classifier: the probabilities are the softmax of W x + b.

    .. math:: \min_{W, b} \frac1S \Bigl( \sum_{n=1}^N s_n \operatorname{CE}(W x_n + b,\; y_n)
              + \frac{1}{2 C} \lVert W \rVert^2 \Bigr), \quad S = \sum_n s_n

    That is scikit-learn's ``LogisticRegression(C=C)``, with one row of W for every class also when there are two:
    there, scikit-learn fits the difference of the rows alone, and its ``C=2 * C`` gives this model.

    Parameters
    ----------
    C : float, default 1.0
        Inverse strength of the penalty on W, above 0; ``numpy.inf`` for none. b is never penalised.
    fit_intercept : bool, default True
        Whether there is b.
    class_weight : None, "balanced" or dict, default None
        Factors of the rows' weights: {label: factor}, 1 for labels without an entry; "balanced" gives every class
        the same summed weight. For class probabilities they multiply the columns.
    label_smoothing : float, default 0.0
        The part ε of every target that is spread over all classes, from 0 to less than 1.
    solver : {"auto", "lbfgs", "newton-cg", "newton"}, default "auto"
        How the minimum is found; all find the same. "auto" takes "newton" where N times the square of the number of
        coefficients is at most 2²², and "lbfgs" elsewhere; ``solver_`` says which.
    tol : float, default 1e-6
        Stop once ``gradient_norm_`` is at most this. It is free of units: neither the scale of the columns nor the
        number of rows changes what it means.
    max_iter : int, default 1000
        The largest number of iterations.
    warm_start : bool, default False
        Whether `fit` starts from the coefficients of the fit before.
    n_threads : int, optional
        The most threads of softgrad that `fit` and `partial_fit` use; `softgrad.get_num_threads` without it.
    verbose : int, default 0
        Above 0, a line to stderr after every iteration.

    Attributes
    ----------
    classes_ : ndarray of shape (K,)
        The labels, sorted; 0 to K − 1, or the sorted names of the columns, if y held class probabilities.
    coef_ : ndarray of shape (K, D), float64
        W, one row for every class.
    intercept_ : ndarray of shape (K,), float64
        b; zeros without an intercept.
    n_iter_ : int
        Iterations taken.
    n_passes_ : float
        Passes over X that they took.
    loss_ : float
        Mean cross-entropy of the training rows, by weight, in nats, without the penalty.
    objective_ : float
        What was minimised, in nats per unit of weight.
    gradient_norm_ : float
        The largest entry, by absolute value, of its gradient with respect to the weights of columns scaled to
        standard deviation 1, and to W x̄ + b, the logits at the mean x̄ of the rows. Entries of rare classes, those
        with less than a tenth of the mean weight of a class, are divided by ten times their part of that mean.
    converged_ : bool
        Whether ``gradient_norm_`` is at most `tol`, and there is a minimum at all.
    solver_ : str
        The solver that ran.
    history_ : list of Iteration
        objective, gradient_norm, passes, seconds after every iteration.
    temperature_ : float
        By which predictions divide the logits: 1 until `temperature_scale` is called.
    n_features_in_ : int
        D.
    feature_names_in_ : ndarray of shape (D,), object
        The names of the columns, if X had names.

    Notes
    -----
    float32 and float64 are fitted as they come, all else as float64; W and b are float64. X may be C or Fortran
    ordered, strided, a `numpy.memmap` larger than memory, or CSR with sorted columns and no entry twice, and is then
    never copied; of other sparse matrices such a CSR is made. Rows of weight 0 count as absent: a label that stands in
    such rows only is no class. Constant columns get the coefficient 0 beside an intercept.

    One iteration reads X about once: logits, probabilities and the gradient are made chunk by chunk while its rows are
    in the cache, in sums of float64 whose order does not depend on the number of threads. "lbfgs" is L-BFGS whose
    initial Hessian is Böhning's bound at first and then, renewed on the way, the blocks of the Hessian that belong to
    one class each, from a sample of the rows; with many classes one block for all, with many columns its
    diagonal. "newton-cg" solves with Hessian-vector products, one pass each, and the same approximation as
    preconditioner; "newton" with the Hessian as a matrix. Beside X, `fit` needs the blocks, at most a quarter of X
    or 2²⁴ numbers ("newton-cg" also N K probabilities, "newton" the square of the number of coefficients).

    ``objective_`` of float32 rows carries rounding of about 1e-7; the coefficients are better than that, because near
    the minimum the steps are judged by the gradient. Of float32 columns whose mean is a hundred times their spread or
    more, digits are lost to the mean, and tol may be out of reach: fit them as float64.

    With an intercept the probabilities that a converged model gives to a class, summed over the training rows by
    weight, are what the class weighs there, Σ_n s_n p_nk = Σ_n s_n y_nk, to a relative 10 K tol, however rare it is.

    Class probabilities need not sum to one; the sum of a row acts as its weight, as in `softgrad.cross_entropy`.

    Rows are separable if the classes can be told apart without a mistake (or some of them can: quasi-complete
    separation). Without a penalty no finite W is then the best: `fit` says so, ``converged_`` is False, and the
    coefficients are those at which it stopped. Quasi-complete separation is looked for up to 1000 coefficients.

    `fit` keeps a reference to X and y, no copy, for `summary` and what else needs the Hessian; it goes when the model
    is pickled, copied or saved. While `fit` or `partial_fit` runs, BLAS uses one thread in the whole process, and
    `n_threads` limits softgrad in the whole process; where fits overlap in several threads, the least of their limits
    holds, and after the last everything is as before.

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

    Class probabilities in place of labels:

    >>> soft = SoftmaxRegression().fit([[0.0], [1.0]], np.array([[0.9, 0.1], [0.2, 0.8]]))
    >>> soft.predict_proba([[0.0]]).round(2)
    array([[0.62, 0.38]])
    """

    _training: tuple[Any, Any, Any] | None  # X, y and sample_weight of the last fit
    _stream: Stream | None

    def __init__(
        self,
        C: float = 1.0,
        *,
        fit_intercept: bool = True,
        class_weight: Mapping[Any, float] | str | None = None,
        label_smoothing: float = 0.0,
        solver: str = "auto",
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
    ) -> SoftmaxRegression:
        """Find the coefficients that minimise the objective.

        Parameters
        ----------
        X : array_like, sparse matrix or frame of shape (N, D)
            Finite numbers, one row for every label.
        y : array_like of shape (N,) or (N, K)
            Labels of at least two classes: integers, strings or booleans; or class probabilities, a floating matrix
            or frame with a column for every class, at least 0, no row all zero.
        sample_weight : array_like of shape (N,), optional
            s_n, at least 0; 1 without it.
        on_iteration : callable, optional
            Called after every iteration with an `Iteration`.

        Returns
        -------
        SoftmaxRegression
            The model itself.

        Raises
        ------
        TypeError
            If an option or weight is of the wrong kind; or X, y or sample_weight is a masked array, or holds dates or
            durations.
        ValueError
            If an option is out of range; X, y and sample_weight do not match in length; X holds NaN, infinity or
            values beyond 1e100 (float32: 1e30), or is sparse with indices out of range; y holds fewer than two classes
            of positive weight, numbers that are no labels, or probabilities that are negative, NaN, all zero in a row
            or in a column; a weight is negative, infinite or NaN, or all are zero; or warm_start meets a model of
            other classes or columns.

        Warns
        -----
        sklearn.exceptions.ConvergenceWarning
            If the gradient norm is still above tol, or the rows are separable and there is no penalty; the message
            says what to change.
        """
        began = time.perf_counter()
        options = _options.checked(self, self.C)
        x = validated(self, X, reset=True)
        used = used_columns(x)
        if used is not None:
            x = only(x, used)
        weight = row_weights(sample_weight, x.shape[0])
        labels = labels_of(y, x.shape[0], type(self).__name__)
        classes, targets = learnt(labels, weight, self.class_weight, options.spec)
        with limited_threads(options.n_threads):
            objective = _objective(x, targets, options)
            cause, separable = self._minimise(objective, classes, options, on_iteration, began, used)
        self._training = X, y, sample_weight
        if separable:
            _warn(
                "the rows are separable: larger coefficients always fit them better, so that without a penalty there "
                f"is no finite optimum; stopped at gradient norm {self.gradient_norm_:.1e}; write a finite C, such as "
                "C=100, or drop a column that gives the label away"
            )
        elif not self.converged_:
            self._warn(cause)
        return self

    def _minimise(
        self,
        objective: Objective,
        classes: Array,
        options: Options,
        on_iteration: Callable[[Iteration], object] | None = None,
        began: float | None = None,
        used: Array | None = None,
    ) -> tuple[str, bool]:
        """Fit to rows that are validated already; why it stopped, and whether they are separable without a penalty.

        `used` are the columns of X that the objective holds, if it does not hold all.
        """
        solution = minimise(
            objective,
            self._start(objective, classes, used),
            solver=options.solver,
            tol=options.tol,
            max_iter=options.max_iter,
            on_iteration=_follower(options.verbose, on_iteration),
            began=began,
        )
        separable = bool(np.isinf(options.C)) and separates(objective, solution.theta)
        self._keep(objective, solution, classes)
        if used is not None:
            self.coef_ = spread(self.coef_, used, self.n_features_in_)
        if separable:
            self.converged_ = False
        self._training = None
        self._stream = None
        return solution.cause, separable

    def partial_fit(
        self, X: Any, y: Any, classes: ArrayLike | None = None, sample_weight: ArrayLike | None = None
    ) -> SoftmaxRegression:
        r"""Learn a batch of rows, and keep what earlier batches taught.

        .. math:: \theta_t = \arg\min_\theta \sum_{n \in \text{batch}} s_n \operatorname{CE}(W x_n + b,\; y_n)
                  + \tfrac12 (\theta - \theta_{t-1})^\top A_{t-1} (\theta - \theta_{t-1}), \quad
                  A_t = A_{t-1} + \nabla^2 \text{loss of the batch at } \theta_t

        Each earlier batch counts as its quadratic expansion, and A_0 is the penalty. If the losses were quadratic,
        this would be `fit` to all rows. After `fit`, the rows of the fit count as the first batch.

        Parameters
        ----------
        X, y, sample_weight
            As for `fit`; a batch need not hold every class.
        classes : array_like of shape (K,), optional
            Every label that will come; needed at the first call, unless y holds class probabilities.

        Returns
        -------
        SoftmaxRegression
            The model itself. ``loss_``, ``objective_``, ``history_`` and the rest are those of this batch;
            ``gradient_norm_`` is taken in variables in which the curvature so far is 1.

        Raises
        ------
        TypeError, ValueError
            As `fit`; also if `classes` is missing at first or changes later, y holds another label, class_weight is
            "balanced", or the model comes from a file, which keeps nothing of the past but the coefficients.

        Notes
        -----
        A is the exact Hessian, in float64, while K (D + 1) is at most 1000, and its diagonal beyond; it starts at 1e-4
        at least, also for b and for C=inf, so that a class which a batch lacks stays finite. L-BFGS finds the minimum,
        whatever `solver` says.

        The expansion holds where the batches agree: shuffle the rows first. After a batch of one class alone the model
        is sure of that class, and a sure model has little curvature to remember the others by.

        References
        ----------
        Opper, "A Bayesian approach to on-line learning", in *On-Line Learning in Neural Networks*, 1998.

        Examples
        --------
        >>> from softgrad.linear_model import SoftmaxRegression
        >>> model = SoftmaxRegression()
        >>> for X, y in [([[0.0], [3.0]], [0, 1]), ([[1.0], [4.0]], [0, 1])]:
        ...     model = model.partial_fit(X, y, classes=[0, 1])
        >>> model.predict([[0.5], [3.5]])
        array([0, 1])
        """
        began = time.perf_counter()
        options = _options.checked(self, self.C)
        stream = self._past()
        x = validated(self, X, reset=stream is None)
        weight = row_weights(sample_weight, x.shape[0])
        labels = labels_of(y, x.shape[0], type(self).__name__)
        known = stream_classes(classes, labels, None if stream is None else self.classes_)
        targets = among(labels, weight, known, self.class_weight)
        with limited_threads(options.n_threads):
            if stream is None:
                stream = _streaming.begin(x, targets, options)
            stream, objective, solution = _streaming.step(
                stream, x, targets, options, _follower(options.verbose, None), began
            )
        self._keep(objective, solution, known)
        self._training = None
        self._stream = stream
        if not self.converged_:
            self._warn(solution.cause)
        return self

    def temperature_scale(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> SoftmaxRegression:
        r"""Find the temperature at which the probabilities are best calibrated.

        .. math:: T = \arg\min_{T > 0} \sum_n s_n \operatorname{CE}((W x_n + b)/T,\; y_n)

        From then on `decision_function`, `predict_proba` and `predict_log_proba` divide the logits by T; `predict`
        and `score` stay as they are. `fit` and `partial_fit` set T back to 1.

        Parameters
        ----------
        X, y, sample_weight
            As for `fit`: rows that the model was not fitted to. Class weights and label smoothing do not apply.

        Returns
        -------
        SoftmaxRegression
            The model itself, with ``temperature_``.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the model is not fitted.
        TypeError, ValueError
            As `fit`; also if y holds a label that is no class of the model.

        Warns
        -----
        sklearn.exceptions.ConvergenceWarning
            If the loss has no minimum between 1e-3 and 1e3, for example because every row is predicted right; T is
            then the end of that range.

        References
        ----------
        Guo, Pleiss, Sun & Weinberger, "On calibration of modern neural networks", ICML 2017, §4.2.

        Examples
        --------
        >>> from softgrad.linear_model import SoftmaxRegression
        >>> model = SoftmaxRegression(C=1e6).fit([[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1])
        >>> round(float(model.predict_proba([[1.2]])[0, 0]), 3)
        0.999
        >>> model = model.temperature_scale([[0.0], [1.2], [1.4], [1.4], [1.8], [3.0]], [0, 1, 0, 1, 1, 1])
        >>> round(float(model.predict_proba([[1.2]])[0, 0]), 3)
        0.659
        """
        logits = self._logits(X)
        weight = row_weights(sample_weight, len(logits))
        targets = among(labels_of(y, len(logits), type(self).__name__), weight, self.classes_)
        self.temperature_ = temperature(logits, targets)
        return self

    def _past(self) -> Stream | None:
        """What earlier calls of partial_fit taught, or a fit; None for a new model."""
        stream: Stream | None = getattr(self, "_stream", None)
        if stream is None and hasattr(self, "coef_"):
            return _streaming.after(*self._optimum())
        return stream

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

    def _keep(self, objective: Objective, solution: Solution, classes: Array) -> None:
        self.coef_, self.intercept_ = objective.coefficients(solution.theta)
        self.classes_ = classes
        self.n_iter_ = len(solution.history)
        self.n_passes_ = objective.passes
        self.loss_ = solution.loss
        self.objective_ = solution.objective
        self.gradient_norm_ = solution.gradient_norm
        self.converged_ = solution.converged
        self.solver_ = solution.solver
        self.history_ = solution.history
        self.temperature_ = 1.0

    def _optimum(self) -> tuple[Objective, Array]:
        """The objective of the last fit, made again of its rows, and the point where it is least."""
        check_is_fitted(self)
        training = getattr(self, "_training", None)
        if training is None:
            raise ValueError(
                "the rows of the fit are not at hand: they stay with the model on which fit was called, not with a "
                "copy or a file, and partial_fit keeps none; call fit"
            )
        X, y, sample_weight = training
        options = _options.checked(self, self.C)
        x = validated(self, X, reset=False)
        weight = row_weights(sample_weight, x.shape[0])
        labels = labels_of(y, x.shape[0], type(self).__name__)
        _, targets = learnt(labels, weight, self.class_weight, options.spec)
        objective = _objective(x, targets, options)
        theta = objective.variables(self.coef_, self.intercept_)
        value, _ = objective.value_and_grad(theta)
        if not np.isclose(value, self.objective_, rtol=1e-6, atol=1e-12):
            raise ValueError(
                f"at the coefficients the objective is {value:g}, but was {self.objective_:g} in fit: X, y, "
                "sample_weight or an option has changed since; call fit again"
            )
        return objective, theta

    def _warn(self, cause: str) -> None:
        if cause == "max_iter":
            stopped, advice = f"max_iter={self.max_iter} reached", "raise max_iter"
        else:
            stopped, advice = "rounding leaves no further decrease of the objective", "raise tol"
            if self._training is not None and getattr(self._training[0], "dtype", None) == np.float32:
                advice += ", or fit X.astype(numpy.float64), whose columns may lie far from 0"
        _warn(f"{stopped} with gradient norm {self.gradient_norm_:.1e}, above tol={self.tol:.1e}; {advice}, or lower C")

    def __getstate__(self) -> dict[str, Any]:
        """Return what a pickle or a copy holds: all but the training rows."""
        return {name: value for name, value in super().__getstate__().items() if name != "_training"}


def _objective(x: Any, targets: Targets, options: Options) -> Objective:
    mean, scale = location_and_scale(x, targets.row_weight, centred=options.fit_intercept)
    return Objective(x, targets, options.spec, C=options.C, fit_intercept=options.fit_intercept, mean=mean, scale=scale)


def _follower(verbose: int, on_iteration: Callable[[Iteration], object] | None) -> Callable[[Iteration], object] | None:
    if not verbose:
        return on_iteration
    count = 0

    def follow(iteration: Iteration) -> None:
        nonlocal count
        count += 1
        print(
            f"iteration {count}: objective {iteration.objective:.9f}, gradient norm {iteration.gradient_norm:.1e}, "
            f"{iteration.passes:g} passes, {iteration.seconds:.3f} s",
            file=sys.stderr,
        )
        if on_iteration is not None:
            on_iteration(iteration)

    return follow


def _warn(message: str) -> None:
    warnings.warn(message, ConvergenceWarning, stacklevel=4)
