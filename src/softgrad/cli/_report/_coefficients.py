"""Pictures of the coefficients of a model: images if its features are the pixels of one, bars otherwise."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.ticker import MaxNLocator

from softgrad.cli._formatting import shown
from softgrad.cli._report._svg import INK, MINUS, PLUS, SOFT, image, svg, tints

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from softgrad._typing import Array
    from softgrad.linear_model import SoftmaxRegression

# Bars show more than a smaller image.
_FEWEST_PIXELS = 16
_MOST_CLASSES = 30
_MOST_BARS = 12
# pixel_0_0, "pixel 12", 7: a word, or none, and one or two numbers.
_NUMBERED = re.compile(r"([A-Za-z][A-Za-z ._-]*?|)[ ._-]?(\d+)(?:[ ._,x-](\d+))?")


def coefficients(model: SoftmaxRegression) -> dict[str, Any]:
    """Draw the coefficients of each class, as the page shows them."""
    names = model.feature_names_in_.tolist() if hasattr(model, "feature_names_in_") else None
    features = model.coef_.shape[1]
    grid = grid_shape(names, features)
    classes = [shown(label) for label in model.classes_[:_MOST_CLASSES]]
    largest = float(np.abs(model.coef_).max()) or 1.0
    if grid:
        pictures = [
            image(tints(weights.reshape(grid) / largest), f"Coefficients of class {label}, {grid[0]} by {grid[1]}")
            for label, weights in zip(classes, model.coef_, strict=False)
        ]
        text = f"Each image is a class and each pixel the coefficient of one of its {features} features: "
    else:
        names = [shown(name) for name in names or [f"feature {index}" for index in range(features)]]
        pictures = [
            _bars(names, weights, largest, label, index)
            for index, (label, weights) in enumerate(zip(classes, model.coef_, strict=False))
        ]
        some = f"The {_MOST_BARS} largest of {features} coefficients" if features > _MOST_BARS else "The coefficients"
        text = f"{some} of each class, in nats per unit of the feature: "
    left_out = len(model.classes_) - len(classes)
    return {
        "kind": "images" if grid else "bars",
        "text": text,
        "left_out": f" The first {len(classes)} classes are shown; {left_out} more are not." if left_out else "",
        "pictures": list(zip(pictures, classes, strict=True)),
        "largest": f"{largest:.3g}",
    }


def grid_shape(names: list[str] | None, features: int) -> tuple[int, int] | None:
    """Return the height and width if the features are the pixels of an image, row by row; otherwise None.

    They are pixels if their number is a square of at least 16 and they have no names, or names that only count; or if
    their names count rows and columns, as in pixel_0_0.
    """
    side = math.isqrt(features)
    square = (side, side) if side * side == features else None
    if features < _FEWEST_PIXELS:
        return None
    if names is None:
        return square
    matches = [_NUMBERED.fullmatch(name) for name in names]
    if None in matches or len({match[1] for match in matches if match}) > 1:
        return None
    counts = [tuple(int(part) for part in match.groups()[1:] if part is not None) for match in matches if match]
    first = counts[0]
    if len(set(map(len, counts))) > 1 or set(first) - {0, 1}:
        return None
    if len(first) == 1:
        return square if counts == [(first[0] + index,) for index in range(features)] else None
    height, width = (last - start + 1 for start, last in zip(first, counts[-1], strict=True))
    expected = [(first[0] + row, first[1] + column) for row in range(height) for column in range(width)]
    return (height, width) if counts == expected and min(height, width) > 1 else None


def _bars(names: list[str], weights: Array, largest: float, label: str, index: int) -> str:
    chosen = np.argsort(-np.abs(weights), kind="stable")[:_MOST_BARS]
    values = weights[chosen]

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.barh(np.arange(len(chosen)), values, height=0.72, color=[MINUS if value < 0 else PLUS for value in values])
        axes.axvline(0, color=SOFT, linewidth=0.8)
        axes.set_yticks(np.arange(len(chosen)), [names[i] for i in chosen])
        # One scale for all classes, so that their bars can be compared.
        axes.set(xlim=(-1.04 * largest, 1.04 * largest))
        axes.xaxis.set_major_locator(MaxNLocator(5, symmetric=True))
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        axes.spines["left"].set_visible(False)

    return svg(draw, f"bars{index}", f"Coefficients of class {label}", width=4, height=0.45 + 0.2 * len(chosen))
