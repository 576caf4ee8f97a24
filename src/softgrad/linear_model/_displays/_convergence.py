"""A plot of the iterations of a fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from softgrad.linear_model._displays._axes import fitted_model, new_figure, style_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike

    from softgrad._typing import Array
    from softgrad.linear_model._solvers._history import Iteration

_Kind = Literal["gradient_norm", "objective"]
_Y_LABELS = {"gradient_norm": "gradient norm", "objective": "objective above its least value (nats)"}
_POSITIVE = {"gradient_norm": "a gradient norm above 0", "objective": "an objective above the least one"}
# More markers would overlap.
_MOST_MARKERS = 60


class ConvergenceDisplay:
    """Convergence of a fit: gradient norm or objective after every iteration, on a logarithmic scale.

    Create one with `from_estimator`. Parameters are stored as attributes.

    Parameters
    ----------
    passes : array_like of shape (n_iter,)
        Number of passes over X until the end of every iteration.
    objective : array_like of shape (n_iter,)
        Objective after every iteration, in nats per unit of weight.
    gradient_norm : array_like of shape (n_iter,)
        Gradient norm after every iteration.
    tol : float, optional
        Gradient norm at which the fit stops, drawn as a dashed line.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        Axes of the last `plot`.
    figure_ : matplotlib.figure.Figure
        Figure of these axes.
    line_ : matplotlib.lines.Line2D
        Curve.

    See Also
    --------
    SoftmaxRegression : ``history_`` holds the numbers.

    Examples
    --------
    Two solvers in one plot:

    >>> import matplotlib.pyplot as plt
    >>> from sklearn.datasets import load_iris
    >>> from softgrad.linear_model import ConvergenceDisplay, SoftmaxRegression
    >>> X, y = load_iris(return_X_y=True)
    >>> _, ax = plt.subplots()
    >>> for solver in ("lbfgs", "newton"):
    ...     model = SoftmaxRegression(solver=solver).fit(X, y)
    ...     display = ConvergenceDisplay.from_estimator(model, name=solver, ax=ax)
    >>> display.ax_.get_legend_handles_labels()[1]
    ['lbfgs', 'newton']
    >>> plt.close()
    """

    ax_: Axes
    figure_: Any
    line_: Any

    def __init__(
        self, *, passes: ArrayLike, objective: ArrayLike, gradient_norm: ArrayLike, tol: float | None = None
    ) -> None:
        self.passes = np.asarray(passes)
        self.objective = np.asarray(objective)
        self.gradient_norm = np.asarray(gradient_norm)
        self.tol = tol
        if not self.passes.shape == self.objective.shape == self.gradient_norm.shape == (self.passes.size,):
            raise ValueError(
                f"passes, objective and gradient_norm have shapes {self.passes.shape}, {self.objective.shape} and "
                f"{self.gradient_norm.shape}; expected one number for every iteration in each"
            )

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        kind: _Kind = "gradient_norm",
        name: str | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """Plot the iterations of the last fit of an estimator.

        Parameters
        ----------
        estimator : SoftmaxRegression
            A fitted model; or SoftmaxRegressionCV, a search of scikit-learn or a pipeline that contains one, of which
            the best model or the last step is plotted.
        kind, name, ax, **kwargs
            As for `plot`.

        Returns
        -------
        ConvergenceDisplay

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        TypeError
            If it has no ``history_``.
        ValueError, ModuleNotFoundError
            As `plot`.
        """
        model = fitted_model(estimator)
        if not hasattr(model, "history_"):
            raise TypeError(
                f"{type(model).__name__} has no history_; expected a fitted SoftmaxRegression, or a search or pipeline "
                "that contains one"
            )
        return cls._of_history(model.history_, model.tol).plot(ax, kind=kind, name=name, **kwargs)

    @classmethod
    def _of_history(cls, history: Sequence[Iteration], tol: float) -> Self:
        steps = [(step.passes, step.objective, step.gradient_norm) for step in history]
        passes, objective, gradient_norm = np.array(steps).reshape(-1, 3).T
        return cls(passes=passes, objective=objective, gradient_norm=gradient_norm, tol=tol)

    def values(self, kind: _Kind) -> Array:
        """Return the numbers that `plot` draws: the gradient norm, or the objective minus its least value."""
        return self.gradient_norm if kind == "gradient_norm" else self.objective - self.objective.min(initial=np.inf)

    def plot(
        self, ax: Axes | None = None, *, kind: _Kind = "gradient_norm", name: str | None = None, **kwargs: Any
    ) -> Self:
        """Plot the gradient norm or the objective against passes over X.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Axes to draw in; by default, those of a new figure.
        kind : {"gradient_norm", "objective"}, default "gradient_norm"
            Whether to plot the gradient norm, or the objective minus its least value in this fit, which is 0 for the
            last iteration of most fits and therefore not drawn.
        name : str, optional
            Label of the curve; the axes get a legend.
        **kwargs : dict
            Keyword arguments of `matplotlib.axes.Axes.plot`.

        Returns
        -------
        ConvergenceDisplay
            This display, with the attributes ``ax_``, ``figure_`` and ``line_``.

        Raises
        ------
        ValueError
            If `kind` is another, or no iteration has a number above 0, the only ones that a logarithmic scale shows.
        ModuleNotFoundError
            If Matplotlib is not installed.
        """
        if kind not in _Y_LABELS:
            raise ValueError(f"kind={kind!r}; expected 'gradient_norm' or 'objective'")
        values = self.values(kind)
        positive = values > 0
        if not positive.any():
            raise ValueError(
                f"no iteration has {_POSITIVE[kind]}; expected one for the logarithmic scale; a fit that begins at the "
                "minimum takes no iteration"
            )
        self.ax_ = new_figure(self).subplots() if ax is None else ax
        self.figure_ = self.ax_.figure
        from matplotlib.lines import Line2D  # noqa: PLC0415

        marker = "o" if positive.sum() <= _MOST_MARKERS else ""
        style = style_of(Line2D, {"marker": marker, "markersize": 3, "label": name}, kwargs)
        (self.line_,) = self.ax_.semilogy(self.passes[positive], values[positive], **style)
        self.ax_.set(xlabel="passes over the data", ylabel=_Y_LABELS[kind])
        if kind == "gradient_norm" and self.tol:
            self._draw_tol(self.tol)
        if name is not None:
            self.ax_.legend()
        return self

    def _draw_tol(self, tol: float) -> None:
        if any(getattr(text, "xy", None) == (0, tol) for text in self.ax_.texts):
            return  # drawn with another fit
        colour = self.ax_.yaxis.label.get_color()
        self.ax_.axhline(tol, color=colour, linewidth=1, linestyle="--")
        self.ax_.annotate(
            "tol", (0, tol), (3, 3), xycoords=("axes fraction", "data"), textcoords="offset points", color=colour
        )
