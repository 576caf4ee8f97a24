"""Choosing C by cross-validation, along a path from strong to weak penalties."""

from __future__ import annotations

import warnings
from copy import copy
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import check_cv

from softgrad import cross_entropy
from softgrad.linear_model import _fit_options
from softgrad.linear_model._prediction import LinearSoftmax
from softgrad.linear_model._problem._design_matrix import validate_rows
from softgrad.linear_model._problem._location_and_scale import location_and_scale
from softgrad.linear_model._problem._objective import Objective
from softgrad.linear_model._problem._rows import LocalRows
from softgrad.linear_model._problem._targets import (
    check_sample_weight,
    class_indices,
    encode_target,
    fit_targets,
    labels_or_probabilities,
    targets_for,
)
from softgrad.linear_model._scoring import scorer_of
from softgrad.linear_model._softmax_regression import SoftmaxRegression
from softgrad.linear_model._thread_limits import limited_threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import ArrayLike

    from softgrad._typing import Array
    from softgrad.linear_model._fit_options import FitOptions
    from softgrad.linear_model._problem._targets import EncodedTarget
    from softgrad.linear_model._solvers._minimise import SolverName


class SoftmaxRegressionCV(LinearSoftmax):
    """Softmax regression with C chosen by cross-validation: the value with the best score on held-out rows.

    For every fold, `SoftmaxRegression` is fitted for all `Cs`, from the strongest penalty to the weakest; each fit
    starts from the coefficients of the previous one.

    Parameters
    ----------
    Cs : int or array_like, default 10
        The values of C, each above 0; an integer is the number of values, log-spaced from 1e-4 to 1e4.
    cv : int, splitter or iterable of (training, held-out) indices, optional
        The folds, as in scikit-learn: 5 folds by default, stratified by the labels.
    scoring : str or callable, optional
        A scikit-learn scorer or a callable (estimator, X, y); larger is better. It receives ``sample_weight`` if `fit`
        did; metrics with a parameter ``labels`` receive all classes. The default is the negative weighted mean
        cross-entropy of the held-out rows, in nats.
    refit : bool, default True
        Whether to fit all rows with the best C. If not, the coefficients are the means over the folds at the best C.
    fit_intercept, class_weight, label_smoothing, solver, tol, max_iter, n_threads, verbose
        As for `SoftmaxRegression`.

    Attributes
    ----------
    C_ : float
        The best of `Cs`; of several equally good ones the smallest.
    Cs_ : ndarray of shape (P,)
        The values of C in ascending order.
    scores_ : ndarray of shape (F, P)
        The scores of the held-out rows for every fold.
    coefs_path_ : ndarray of shape (F, P, K, D)
        The coefficients of every fit; zeros for a class that a fold's training rows lack.
    intercepts_path_ : ndarray of shape (F, P, K)
        The intercepts of every fit; -inf for a class that a fold's training rows lack.
    n_iter_ : ndarray of shape (F, P)
        The iterations of every fit.
    best_estimator_ : SoftmaxRegression
        The fit to all rows if `refit`, for `save_model`, `summary` and `temperature_scale`.
    coef_, intercept_, classes_, n_features_in_, feature_names_in_
        As for `SoftmaxRegression`.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from softgrad.linear_model import SoftmaxRegressionCV
    >>> model = SoftmaxRegressionCV(Cs=[0.01, 1.0, 100.0]).fit(*load_iris(return_X_y=True))
    >>> model.C_
    100.0
    >>> model.scores_.mean(axis=0).round(3)
    array([-0.639, -0.14 , -0.055])
    """

    def __init__(
        self,
        Cs: int | ArrayLike = 10,
        *,
        cv: Any = None,
        scoring: str | Callable[..., float] | None = None,
        refit: bool = True,
        fit_intercept: bool = True,
        class_weight: Mapping[Any, float] | Literal["balanced"] | None = None,
        label_smoothing: float = 0.0,
        solver: Literal[SolverName, "auto"] = "auto",
        tol: float = 1e-6,
        max_iter: int = 1000,
        n_threads: int | None = None,
        verbose: int = 0,
    ) -> None:
        self.Cs = Cs
        self.cv = cv
        self.scoring = scoring
        self.refit = refit
        self.fit_intercept = fit_intercept
        self.class_weight = class_weight
        self.label_smoothing = label_smoothing
        self.solver = solver
        self.tol = tol
        self.max_iter = max_iter
        self.n_threads = n_threads
        self.verbose = verbose

    def fit(
        self, X: Any, y: Any, sample_weight: ArrayLike | None = None, *, groups: ArrayLike | None = None
    ) -> SoftmaxRegressionCV:
        """Score every C on held-out rows, and fit with the best one.

        Parameters
        ----------
        X, y, sample_weight
            As for `SoftmaxRegression.fit`. Rows of weight 0 are left out of the scores as well.
        groups : array_like of shape (N,), optional
            The group of every row, for a splitter `cv` that uses groups.

        Returns
        -------
        SoftmaxRegressionCV
            The fitted estimator.

        Raises
        ------
        TypeError, ValueError
            As for `SoftmaxRegression.fit`. Also if `Cs` is empty; scikit-learn rejects `cv` or `scoring`; weights are
            given and `scoring` does not accept them; all training rows of a fold have the same class; all scores of a
            fold, or the mean scores of every C, are NaN; or, with the default scoring, held-out rows have a class that
            their training rows lack, so that the loss is infinite.

        Warns
        -----
        sklearn.exceptions.ConvergenceWarning
            As for `SoftmaxRegression.fit`; one warning states how many of the folds' fits did not converge.
        UserWarning
            If a score is NaN for some values of C; these are not chosen, as in scikit-learn's GridSearchCV.

        Notes
        -----
        The rows of a fold are copied once, for all values of C. A class that the training rows of a fold lack has
        probability 0 in the models of that fold.
        """
        self.Cs_ = _path(self.Cs)
        options = [_fit_options.checked(self, C) for C in self.Cs_.tolist()]
        refit = _fit_options.truth(self.refit, "refit")
        x = validate_rows(self, X, reset=True)
        weight = check_sample_weight(sample_weight, x.shape[0])
        labels = encode_target(y, x.shape[0], type(self).__name__)
        self.classes_, _ = fit_targets(labels, weight, self.class_weight, options[0].spec)
        given = labels.names[labels.codes] if labels.probabilities is None else labels.probabilities
        score, weighted = None, sample_weight is not None
        if self.scoring is not None:
            score = scorer_of(self.scoring, SoftmaxRegression(), self.classes_, weighted=weighted)
        folds = self._folds(x, given, groups)
        counts = weight > 0
        if labels.codes is not None:
            counts &= class_indices(labels.names, self.classes_)[labels.codes] >= 0
        shape = len(folds), len(self.Cs_), len(self.classes_)
        self.scores_, self.n_iter_ = np.empty(shape[:2]), np.empty(shape[:2], int)
        self.coefs_path_ = np.zeros((*shape, x.shape[1]))
        self.intercepts_path_ = np.full(shape, -np.inf)
        unfinished = 0
        for fold, (training, held_out) in enumerate(folds):
            rows = np.arange(x.shape[0])[held_out]  # a splitter may give indices or a mask
            rows = rows[counts[rows]]
            held_x, held_labels = x[rows], labels.part(rows)
            for i, model in enumerate(self._fits(x[training], labels.part(training), weight[training], options, fold)):
                unfinished += not model.converged_
                place = class_indices(model.classes_, self.classes_)
                self.coefs_path_[fold, i, place], self.intercepts_path_[fold, i, place] = model.coef_, model.intercept_
                self.n_iter_[fold, i] = model.n_iter_
                if score is None:
                    self.scores_[fold, i] = -_mean_loss(model, held_x, held_labels, weight[rows], fold)
                else:
                    whole = copy(model)
                    whole.classes_, whole.coef_ = self.classes_, self.coefs_path_[fold, i]
                    whole.intercept_ = self.intercepts_path_[fold, i]
                    try:
                        self.scores_[fold, i] = score(whole, held_x, given[rows], weight[rows] if weighted else None)
                    except ValueError as error:
                        raise self._undefined(fold, held_labels, error) or error from None
            if np.isnan(self.scores_[fold]).all():
                raise self._undefined(fold, held_labels) or ValueError(
                    f"every score of fold {fold} is NaN; choose other folds or another scoring, such as 'accuracy'"
                )
        if unfinished:
            warnings.warn(
                f"{unfinished} of {self.scores_.size} fits of the folds did not converge; raise max_iter or tol, or "
                "leave out the largest of Cs",
                ConvergenceWarning,
                stacklevel=2,
            )
        best = self._best()
        self.C_ = float(self.Cs_[best])
        self.temperature_ = 1.0
        if refit:
            self.best_estimator_ = self._model(self.C_, warm_start=False).fit(X, y, sample_weight)
            self.coef_, self.intercept_ = self.best_estimator_.coef_, self.best_estimator_.intercept_
        else:
            self.coef_, self.intercept_ = (
                self.coefs_path_[:, best].mean(axis=0),
                self.intercepts_path_[:, best].mean(axis=0),
            )
        return self

    def _folds(self, x: Any, given: Array, groups: Any) -> list[tuple[Any, Any]]:
        """Return the training and held-out rows of every fold, as indices or masks."""
        folds = list(check_cv(self.cv, given, classifier=True).split(x, given, groups))
        if not folds:
            raise ValueError(f"cv={self.cv!r:.60} yields no folds; expected at least one (training, held-out) pair")
        return folds

    def _best(self) -> int:
        """Return the position on the path of the highest mean score; NaN counts as the lowest."""
        means = self.scores_.mean(axis=0)
        unknown = np.isnan(means)
        if unknown.all():
            raise ValueError("a score of every C is NaN; choose other folds or another scoring, such as 'accuracy'")
        if unknown.any():
            warnings.warn(
                f"{unknown.sum()} of {len(means)} values of C, first {self.Cs_[unknown.argmax()]:g}, have a score of "
                "NaN and are not chosen",
                UserWarning,
                stacklevel=3,
            )
        return int(np.nanargmax(means))

    def _undefined(self, fold: int, held_out: EncodedTarget, reason: object = None) -> ValueError | None:
        """Return the error of a fold without a score if its held-out rows lack a class; `reason` is the scorer's."""
        if held_out.codes is None:
            return None
        lacking = np.setdiff1d(self.classes_, held_out.names[held_out.codes]).tolist()
        if not lacking:
            return None
        more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
        why = f" ({str(reason).rstrip('.')})" if reason else ""
        return ValueError(
            f"scoring={self.scoring!r} has no value for fold {fold}, whose held-out rows lack class "
            f"{lacking[0]!r}{more}{why}; choose fewer folds, stratified ones, or another scoring, such as 'accuracy'"
        )

    def _model(self, C: float, *, warm_start: bool) -> SoftmaxRegression:
        options = self.get_params(deep=False)
        shared = SoftmaxRegression().get_params(deep=False).keys() & options.keys()
        return SoftmaxRegression(C=C, warm_start=warm_start, **{name: options[name] for name in shared})

    def _fits(
        self, x: Any, labels: EncodedTarget, weight: Array, options: list[FitOptions], fold: int
    ) -> Iterator[SoftmaxRegression]:
        """Yield one model for validated rows, fitted with one C after the other."""
        model = self._model(self.Cs_[0], warm_start=True)
        model.n_features_in_ = x.shape[1]
        try:
            classes, targets = fit_targets(labels, weight, self.class_weight, options[0].spec)
        except ValueError as error:
            raise ValueError(f"the training rows of fold {fold}: {error}; or use other folds") from None
        rows = LocalRows(x, targets, options[0].spec)
        mean, scale = location_and_scale(rows, centred=options[0].fit_intercept)
        for option in options:
            model.C = option.C
            with limited_threads(option.n_threads):
                objective = Objective(rows, C=option.C, fit_intercept=option.fit_intercept, mean=mean, scale=scale)
                model._minimise(objective, classes, option)
            yield model


def _mean_loss(model: SoftmaxRegression, x: Any, labels: EncodedTarget, weight: Array, fold: int) -> float:
    """Return the weighted mean cross-entropy of held-out rows."""
    if labels.codes is not None:
        unknown = class_indices(labels.names, model.classes_)[labels.codes] < 0
        if unknown.any():
            name = labels.names.tolist()[labels.codes[int(unknown.argmax())]]
            raise ValueError(
                f"fold {fold} holds out every row of class {name!r}, which makes its loss infinite; use fewer folds, "
                "stratified ones, drop classes of a single row, or choose another scoring, such as 'accuracy'"
            )
    targets = targets_for(labels, weight, model.classes_)
    losses = cross_entropy(model._logits_of(x), labels_or_probabilities(targets), reduction="none")
    return float(weight @ losses / weight.sum()) if weight.any() else np.nan


def _path(Cs: Any) -> Array:
    path = np.asarray(Cs)
    if path.ndim == 0 and path.dtype.kind in "iu" and path > 0:
        return np.logspace(-4, 4, int(path))
    if path.ndim != 1 or not path.size or path.dtype.kind not in "iuf":
        raise ValueError(f"Cs={Cs!r}; expected an integer above 0, or a list of values of C")
    return np.sort(path.astype(np.float64))
