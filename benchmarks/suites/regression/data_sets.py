"""The data sets: scikit-learn's digits, synthetic rows, and images like MNIST's, all without a download."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.datasets import load_digits
from sklearn.feature_extraction.text import TfidfTransformer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from softgrad._typing import Array

SIDE = 28
_GLYPH = 8  # side of scikit-learn's digits
_BLOCK = 2000  # images at a time: bounds the memory of the coordinates
_GREYS = 255
_INK, _CONTRAST, _PAPER = 0.45, 14.0, 0.02  # the contrast curve: its middle, its steepness, what counts as blank


@dataclass(frozen=True)
class DataSet:
    """Rows to fit to."""

    name: str
    x: Any
    """(N, D), dense or CSR."""
    y: Array

    @cached_property
    def classes(self) -> Array:
        """The distinct labels, sorted."""
        classes: Array = np.unique(self.y)
        return classes

    @cached_property
    def target(self) -> Array:
        """The index of every row's class."""
        target: Array = np.searchsorted(self.classes, self.y).astype(np.int64)
        return target

    @property
    def shape(self) -> tuple[int, int, int]:
        """Rows, features, classes."""
        return (*self.x.shape, len(self.classes))


def digits(shrink: int = 1) -> DataSet:
    """Scikit-learn's 1797 images of 8 × 8 pixels."""
    x, y = load_digits(return_X_y=True)
    rows = len(x) // shrink
    return DataSet("digits", x[:rows], y[:rows])


def synthetic(shrink: int = 1) -> Iterator[DataSet]:
    """Overlapping clusters, columns of very different scale, and sparse counts such as words of texts."""
    rng = np.random.default_rng(0)
    x, y = _clusters(rng, 20000 // shrink, 16, 26)
    yield DataSet("clusters", x, y)
    x, y = _clusters(rng, 6000 // shrink, 50, 7)
    yield DataSet("unequal scales", (x + 1) * np.logspace(0, 3, 50), y)
    x, y = _words(rng, 8000 // shrink, 20000, 4)
    yield DataSet("sparse", x, y)


def _clusters(rng: np.random.Generator, rows: int, features: int, classes: int) -> tuple[Array, Array]:
    mixing = rng.standard_normal((features, features)) / np.sqrt(features)
    centres = 0.7 * rng.standard_normal((classes, features))
    y = rng.integers(classes, size=rows)
    return (centres[y] + rng.standard_normal((rows, features))) @ mixing, y


def _words(rng: np.random.Generator, rows: int, words: int, classes: int) -> tuple[Any, Array]:
    """Texts of 40 words: word k has the frequency 1/k (Zipf's law), times a factor of the class; TF-IDF of them."""
    frequency = np.exp(0.7 * rng.standard_normal((classes, words))) / np.arange(1, words + 1)
    y = rng.integers(classes, size=rows)
    length = 40
    column = np.empty((rows, length), np.intp)
    for k in range(classes):
        text = y == k
        column[text] = rng.choice(words, (int(text.sum()), length), p=frequency[k] / frequency[k].sum())
    row = np.repeat(np.arange(rows), length)
    return TfidfTransformer().fit_transform(csr_matrix((np.ones(column.size), (row, column.ravel())), (rows, words))), y


def warped_digits(rows: int) -> tuple[Array, Array]:
    """Pixels from 0 to 1, float32, (rows, 784), and the digits they show; always the same.

    Turned, stretched, sheared, shifted and waved at random; then a contrast curve, which gives the strokes sharp edges
    and most of the paper exact zeros. Neighbouring pixels are strongly correlated.
    """
    pixels, labels = load_digits(return_X_y=True)
    glyphs = np.pad(pixels.reshape(-1, _GLYPH, _GLYPH) / pixels.max(), ((0, 0), (1, 1), (1, 1)))
    rng = np.random.default_rng(0)
    which = rng.integers(len(labels), size=rows)
    x = np.empty((rows, SIDE * SIDE), np.float32)
    for start in range(0, rows, _BLOCK):
        drawn = glyphs[which[start : start + _BLOCK]]
        x[start : start + _BLOCK] = _inked(_sampled(drawn, *_warp(rng, len(drawn)))).reshape(len(drawn), -1)
    return x, labels[which]


def _warp(rng: np.random.Generator, count: int) -> tuple[Array, Array]:
    """Where every pixel of an image lies on its glyph: rows and columns, (count, 28, 28), from -1 to 1 on the glyph."""

    def each(values: Array) -> Array:
        return values[:, None, None]

    angle = rng.normal(0, 0.18, count)
    across, down = rng.uniform(0.8, 1.25, (2, count))
    shear = rng.normal(0, 0.15, count)
    shift_x, shift_y = rng.normal(0, 0.08, (2, count))
    y, x = np.meshgrid(np.linspace(-1, 1, SIDE), np.linspace(-1, 1, SIDE), indexing="ij")
    wave = 0.04 * np.sin(each(rng.uniform(2, 6, count)) * y + each(rng.uniform(0, 6, count)))
    cos, sin = np.cos(angle), np.sin(angle)
    columns = x * each(across * cos) + y * each(down * (shear - sin)) + each(shift_x) + wave
    rows = x * each(across * sin) + y * each(down * cos) + each(shift_y) + wave
    return rows, columns


def _sampled(glyphs: Array, rows: Array, columns: Array) -> Array:
    """The glyphs' grey at those places, bilinear; a glyph with its margin has cells 0 to 9."""
    last = _GLYPH + 1
    i, down = _cell_and_part(rows, last)
    j, across = _cell_and_part(columns, last)
    image = np.arange(len(glyphs))[:, None, None]
    above = glyphs[image, i, j] * (1 - across) + glyphs[image, i, j + 1] * across
    below = glyphs[image, i + 1, j] * (1 - across) + glyphs[image, i + 1, j + 1] * across
    return above * (1 - down) + below * down


def _cell_and_part(place: Array, last: int) -> tuple[Array, Array]:
    cells = np.clip((1.15 * place + 1) * last / 2, 0, last)
    whole = np.minimum(cells.astype(np.intp), last - 1)
    return whole, cells - whole


def _inked(grey: Array) -> Array:
    ink = 1 / (1 + np.exp(-_CONTRAST * (grey - _INK)))
    ink[ink < _PAPER] = 0
    return np.round(_GREYS * ink) / _GREYS
