"""Softmax regression: the L2-penalised cross-entropy of a linear head, minimised by L-BFGS."""

from __future__ import annotations

import operator
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import minimize
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data
from threadpoolctl import threadpool_limits

from softgrad import _validation, linear_cross_entropy_value_and_grad, log_softmax, softmax

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[Any]

# Far below the root of the largest float64, for sums of squares over any number of rows.
_LARGEST = 1e100


class SoftmaxRegression(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no type hints
    r"""Linear classifier: the probabilities are the softmax of W x + b.

    .. math:: \min_{W, b} \frac1N \sum_{n=1}^N \operatorname{CE}(W x_n + b,\; y_n) + \frac{1}{2 C N} \lVert W \rVert^2

    That is scikit-learn's ``LogisticRegression(C=C)`` divided by N, with one row of W for every class
    also when there are two: there, scikit-learn fits the difference of the rows alone, and its ``C=2 * C`` gives
    this model.

    Parameters
    ----------
    C : float, default 1.0
        Inverse strength of the penalty on W, above 0; ``numpy.inf`` for none. b is never penalised.
    tol : float, default 1e-6
        Stop once ``gradient_norm_`` is at most this.
    max_iter : int, default 1000
        The largest number of L-BFGS iterations.

    Attributes
    ----------
    classes_ : ndarray of shape (K,)
        The labels, sorted.
    coef_ : ndarray of shape (K, D), float64
        W, one row for every class.
    intercept_ : ndarray of shape (K,), float64
        b.
    n_iter_ : int
        L-BFGS iterations taken.
    loss_ : float
        Mean cross-entropy of the training rows, in nats, without the penalty.
    objective_ : float
        What was minimised, in nats per row.
    gradient_norm_ : float
        The largest entry, by absolute value, of its gradient with respect to W and to W x̄ + b, the logits at
        the mean x̄ of the rows.
    converged_ : bool
        Whether ``gradient_norm_`` is at most `tol`.
    n_features_in_ : int
        D.
    feature_names_in_ : ndarray of shape (D,), object
        The names of the columns, if X had names.

    Notes
    -----
    X is converted to float64, also from float32: near the optimum, float32 no longer resolves the differences
    of the objective that L-BFGS steers by. W and W x̄ + b are its variables: b is not penalised, so the optimum is
    the same, and it takes a quarter of the iterations on images. `fit` holds one copy of X and one gradient of
    its size. While it runs, BLAS uses one thread in the whole process.

    References
    ----------
    Bishop, *Pattern Recognition and Machine Learning*, 2006, §4.3.4. L-BFGS: Liu & Nocedal, Mathematical
    Programming 45, 1989.

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
    """

    def __init__(self, C: float = 1.0, *, tol: float = 1e-6, max_iter: int = 1000) -> None:
        self.C = C
        self.tol = tol
        self.max_iter = max_iter

    def fit(
        self, X: ArrayLike, y: ArrayLike, *, on_iteration: Callable[[int, float, float], object] | None = None
    ) -> SoftmaxRegression:
        """Find the coefficients that minimise the objective.

        Parameters
        ----------
        X : array_like of shape (N, D)
            Finite numbers, one row for every label.
        y : array_like of shape (N,)
            Labels of at least two classes: integers, strings or booleans.
        on_iteration : callable, optional
            Called after every iteration with its number, the objective and the gradient norm.

        Returns
        -------
        SoftmaxRegression
            The model itself.

        Raises
        ------
        TypeError
            If C, tol or max_iter is of the wrong kind, or X is sparse.
        ValueError
            If C, tol or max_iter is out of range, X and y do not match in length, X holds NaN, infinity or
            values beyond 1e100, or y holds fewer than two classes or numbers that are no labels.

        Warns
        -----
        sklearn.exceptions.ConvergenceWarning
            If the gradient norm is still above tol; the message says what to change.
        """
        C, tol, max_iter = self._options()
        x: Array
        x, labels = validate_data(self, X, y, dtype=np.float64, order="C", ensure_all_finite=False)
        _reject_non_finite(x)
        largest = max(x.max(), -x.min())
        if largest > _LARGEST:
            raise ValueError(
                f"X reaches {largest:.1e}; expected at most {_LARGEST:.0e}, so that products stay finite; scale its "
                "columns, for example with sklearn.preprocessing.StandardScaler"
            )
        check_classification_targets(labels)
        classes, target = np.unique(labels, return_inverse=True)
        if len(classes) < 2:
            raise ValueError(
                f"y holds one class only, {classes[0].item()!r}; expected labels of at least two; "
                "give rows of every class that the model shall tell apart"
            )
        rows, features = x.shape
        coefficients = len(classes) * features
        penalty = 1.0 / (C * rows)
        mean = x.mean(axis=0)
        centred = x - mean
        loss = gradient_norm = np.inf

        def objective(parameters: Array) -> tuple[float, Array]:
            nonlocal loss, gradient_norm
            W, b = parameters[:coefficients].reshape(-1, features), parameters[coefficients:]
            loss, partial = linear_cross_entropy_value_and_grad(centred, W, target, bias=b)
            gradient = np.append(partial.W + penalty * W, partial.bias)  # type: ignore[arg-type]  # there is a bias
            gradient_norm = float(np.abs(gradient).max())
            return float(loss) + 0.5 * penalty * float(np.vdot(W, W)), gradient

        iteration = 0

        def report(intermediate_result: Any) -> None:  # the name by which SciPy passes the objective as well
            nonlocal iteration
            iteration += 1
            if on_iteration is not None:
                on_iteration(iteration, float(intermediate_result.fun), gradient_norm)

        # SciPy's L-BFGS solves 10 x 10 systems by BLAS between evaluations. Where every library keeps threads of
        # its own, they spin against one another: 1797 x 64 rows took 66 ms an evaluation on two busy cores, 0.5 ms with
        # BLAS on one thread, and products up to 20000 x 784 x 100 gained nothing from a second.
        with threadpool_limits(limits=1, user_api="blas"):
            result = minimize(
                objective,
                np.zeros(coefficients + len(classes)),
                jac=True,
                method="L-BFGS-B",
                callback=report,
                # Only the gradient decides; a line search takes at most 20 evaluations, so maxfun never stops it.
                options={"gtol": tol, "ftol": 0.0, "maxcor": 30, "maxiter": max_iter, "maxfun": 40 * max_iter},
            )
        self.objective_, _ = objective(result.x)
        self.classes_ = classes
        self.coef_ = result.x[:coefficients].reshape(-1, features)
        self.intercept_ = result.x[coefficients:] - self.coef_ @ mean
        self.n_iter_ = int(result.nit)
        self.loss_ = float(loss)
        self.gradient_norm_ = gradient_norm
        self.converged_ = gradient_norm <= tol
        if not self.converged_:
            self._warn()
        return self

    def decision_function(self, X: ArrayLike) -> Array:
        """Return the logits W x + b, shape (N, K); for two classes the second's less the first's, shape (N,).

        That is scikit-learn's convention: for two classes, positive means the second.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If `fit` has not been called.
        ValueError
            If X has another number of columns than in `fit`, or holds NaN or infinity.
        """
        logits = self._logits(X)
        return logits[:, 1] - logits[:, 0] if len(self.classes_) == 2 else logits

    def predict(self, X: ArrayLike) -> Array:
        """Return the most probable class of every row, shape (N,). Raises as `decision_function`."""
        logits = self._logits(X)  # first: it says so if the model is not fitted
        return self.classes_[logits.argmax(axis=1)]

    def predict_proba(self, X: ArrayLike) -> Array:
        """Return the probability of every class, shape (N, K), in the order of ``classes_``.

        Raises as `decision_function`.
        """
        return softmax(self._logits(X))

    def predict_log_proba(self, X: ArrayLike) -> Array:
        """Return the logarithms of `predict_proba`, in nats, accurate also where those are 0 or 1.

        Raises as `decision_function`.
        """
        return log_softmax(self._logits(X))

    def _logits(self, X: ArrayLike) -> Array:
        check_is_fitted(self)
        x: Array = validate_data(self, X, reset=False, dtype=np.float64, ensure_all_finite=False)
        _reject_non_finite(x)
        return x @ self.coef_.T + self.intercept_

    def _options(self) -> tuple[float, float, int]:
        C = _validation.real(self.C, "C")
        if not (C > 0 and np.isfinite(1 / C)):
            raise ValueError(f"C={self.C!r}; expected a number above 0; write C=numpy.inf for no penalty")
        tol = _validation.non_negative(self.tol, "tol")
        try:
            max_iter = operator.index(self.max_iter)
        except TypeError:
            raise TypeError(f"max_iter={self.max_iter!r}; expected a positive integer") from None
        if max_iter < 1:
            raise ValueError(f"max_iter={self.max_iter!r}; expected a positive integer, such as the default 1000")
        return C, tol, max_iter

    def _warn(self) -> None:
        if self.n_iter_ >= self.max_iter:
            cause, advice = f"max_iter={self.max_iter} reached", "raise max_iter"
        else:
            cause, advice = "float64 resolves no further decrease of the objective", "raise tol"
        warnings.warn(
            f"{cause} with gradient norm {self.gradient_norm_:.1e}, above tol={self.tol:.1e}; {advice}, or bring "
            "the columns of X to one scale (sklearn.preprocessing.StandardScaler), or lower C",
            ConvergenceWarning,
            stacklevel=3,
        )


def _reject_non_finite(X: Array) -> None:
    finite = np.isfinite(X)
    if not finite.all():
        row, column = np.argwhere(~finite)[0]
        value = "NaN" if np.isnan(X[row, column]) else str(X[row, column])
        raise ValueError(
            f"X[{row}, {column}] is {value}; expected finite numbers; drop such rows, or fill them in, for example "
            "with sklearn.impute.SimpleImputer"
        )
