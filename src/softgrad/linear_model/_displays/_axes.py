"""Matplotlib, which only drawing needs, and the fitted model within a pipeline or a search."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def new_figure(display: object, **options: Any) -> Figure:
    """Return a new figure of pyplot, which notebooks show at the end of a cell."""
    try:
        from matplotlib import pyplot as plt  # noqa: PLC0415
    except ModuleNotFoundError as error:
        if error.name != "matplotlib":
            raise
        raise ModuleNotFoundError(
            f"{type(display).__name__}.plot needs matplotlib, which is not installed; write "
            'pip install "softgrad[report]"',
            name="matplotlib",
        ) from None
    return plt.figure(**options)


def style_of(artist: type, defaults: dict[str, Any], chosen: dict[str, Any]) -> dict[str, Any]:
    """Return keyword arguments of an artist, where those chosen replace defaults under any alias, such as ec."""
    from matplotlib.cbook import normalize_kwargs  # noqa: PLC0415

    return {**defaults, **normalize_kwargs(chosen, artist)}


def fitted_model(estimator: Any) -> Any:
    """Return the fitted model itself, of a search the best one, and of a pipeline the last step."""
    check_is_fitted(estimator)
    best = getattr(estimator, "best_estimator_", estimator)
    return best[-1] if isinstance(best, Pipeline) else best
