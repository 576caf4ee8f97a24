"""Softmax cross-entropy and its gradient: validate, then one native call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from softgrad import _core, _validation

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[Any]


def cross_entropy(
    logits: ArrayLike,
    target: ArrayLike,
    *,
    axis: int = -1,
    weight: ArrayLike | None = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    reduction: str = "mean",
) -> Any:
    r"""Cross-entropy between targets and the softmax of logits.

    .. math:: \ell = -\sum_j y_j \log p_j + \zeta \operatorname{lse}(z)^2, \quad p = \operatorname{softmax}(z)

    with :math:`y_j = w_j\,((1 - \varepsilon)\,q_j + \varepsilon / C)` for a target distribution q (one-hot
    for a class index), class weights w, label smoothing ε and z-loss ζ.

    Parameters
    ----------
    logits : array_like, float16, bfloat16, float32 or float64
        Any shape and layout with C ≥ 1 classes along `axis`. Integers are taken as float64.
    target : array_like
        Class indices: an integer dtype, the shape of `logits` without `axis`. Or class probabilities:
        a floating dtype, the shape of `logits`; non-negative, rows need not sum to one.
    axis : int
        The classes.
    weight : array_like of shape (C,), optional
        A factor for every class: 0, or from 1e-15 to 1e15.
    ignore_index : int, optional
        The label that drops its row: no loss, no gradient, whatever the logits hold.
    label_smoothing : float
        ε, from 0 to 1.
    z_loss : float
        ζ: 0, or from 1e-15 to 1e15.
    reduction : {"mean", "sum", "none"}
        "mean" divides the sum by the summed weights of the labels that count, or, for class
        probabilities, by the number of rows.

    Returns
    -------
    scalar or ndarray
        In nats; an array of the shape of `logits` without `axis` for "none". float64 for float64
        logits, else float32.

    Raises
    ------
    TypeError
        If `logits`, `target` or an option is of the wrong kind.
    ValueError
        If shapes do not match, there are no classes, a weight or probability is negative, an option
        is out of range, or `ignore_index` comes with class probabilities.
    IndexError
        If a label is no class; the message names the first such row.

    Notes
    -----
    At most 2 ULP from the exact result for float32 and float64 (largest seen: 1.1 and 0.6),
    confident rows included: a row whose loss is 1e-13 is as accurate as any other. One read of the
    logits, nothing written. float16 and bfloat16 are computed in float32.

    NaN in a row makes its loss NaN. −inf logits are masked classes: with y = 0 they add nothing, with
    y > 0 the loss is +inf. A row that holds +inf, or −inf only, has the loss NaN. The mean over
    nothing is NaN.

    References
    ----------
    Goodfellow, Bengio & Courville, *Deep Learning*, 2016, §6.2.2.3. Label smoothing: Szegedy et al.,
    CVPR 2016, §7. z-loss: Chowdhery et al., "PaLM", JMLR 24, 2023, §5.

    Examples
    --------
    >>> import softgrad as sg
    >>> float(sg.cross_entropy([[2.0, 1.0, 0.0], [0.0, 2.0, 1.0]], [0, 1]))
    0.4076059644443803
    >>> float(sg.cross_entropy([0.0, 40.0], 1))  # confident, and not zero
    4.248354255291589e-18
    """
    problem = prepare("cross_entropy", logits, target, axis, weight, ignore_index, label_smoothing, z_loss, reduction)
    return problem.run(None)


def cross_entropy_grad(
    logits: ArrayLike,
    target: ArrayLike,
    *,
    axis: int = -1,
    weight: ArrayLike | None = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    reduction: str = "mean",
    out: Array | None = None,
) -> Array:
    r"""Gradient of the cross-entropy with respect to the logits.

    .. math:: \frac{\partial \ell}{\partial z_k} = p_k \Bigl(\sum_j y_j + 2 \zeta \operatorname{lse}(z)\Bigr) - y_k

    For one-hot y without z-loss that is p_k − y_k. The target's own entry is computed as
    −Σ_{j≠k} p_j, so it stays exact where p_k is nearly one.

    Parameters
    ----------
    logits, target, axis, weight, ignore_index, label_smoothing, z_loss, reduction
        As for `cross_entropy`. "none" gives every row the gradient of its own loss.
    out : ndarray, optional
        Where to write the result: of the shape and dtype of `logits`. It may be ``logits`` itself.

    Returns
    -------
    ndarray
        Of the shape and dtype of `logits`, per nat.

    Raises
    ------
    TypeError, ValueError, IndexError
        As for `cross_entropy`; also if `out` has another shape or dtype, is read-only, or overlaps an
        input in part. Nothing has been written then.

    Notes
    -----
    Class indices: at most 2 ULP from the exact result for float32 and float64 (largest seen: 1.8 and
    1.6), tails and subnormals included; with z-loss the two terms of the target's entry may cancel, and the
    bound is relative to the larger. Class probabilities or label smoothing, where p_k Σ y and y_k may
    cancel: computed in float64; 1 ULP for float32 down to a cancellation of 2^-28, 2 ULP of the larger term for
    float64. Memory traffic as for `softmax`. The gradient is finite where the loss is +inf, and zero
    in ignored rows.

    Examples
    --------
    >>> import softgrad as sg
    >>> sg.cross_entropy_grad([0.0, 40.0], 1)
    array([ 4.24835426e-18, -4.24835426e-18])
    """
    problem = prepare(
        "cross_entropy_grad", logits, target, axis, weight, ignore_index, label_smoothing, z_loss, reduction
    )
    gradient = problem.gradient(out)
    problem.run(gradient)
    return gradient


def cross_entropy_value_and_grad(
    logits: ArrayLike,
    target: ArrayLike,
    *,
    axis: int = -1,
    weight: ArrayLike | None = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    reduction: str = "mean",
    out: Array | None = None,
) -> tuple[Any, Array]:
    """Cross-entropy and its gradient with respect to the logits, in one pass.

    Parameters
    ----------
    logits, target, axis, weight, ignore_index, label_smoothing, z_loss, reduction, out
        As for `cross_entropy_grad`.

    Returns
    -------
    loss : scalar or ndarray
        As from `cross_entropy`.
    gradient : ndarray
        As from `cross_entropy_grad`, the same bit for bit.

    Raises
    ------
    TypeError, ValueError, IndexError
        As for `cross_entropy_grad`.

    Notes
    -----
    Accuracy and special values as for `cross_entropy` and `cross_entropy_grad`. One read and one
    write of the array while a row fits in the cache.

    Examples
    --------
    >>> import numpy as np
    >>> import softgrad as sg
    >>> logits = np.array([[2.0, 1.0, 0.0]])
    >>> loss, gradient = sg.cross_entropy_value_and_grad(logits, [0], out=logits)
    >>> float(loss), gradient is logits
    (0.4076059644443803, True)
    """
    problem = prepare(
        "cross_entropy_value_and_grad", logits, target, axis, weight, ignore_index, label_smoothing, z_loss, reduction
    )
    gradient = problem.gradient(out)
    return problem.run(gradient), gradient


class Problem(NamedTuple):
    """The validated arguments of a cross-entropy, in the form the kernel takes."""

    logits: Array
    code: int
    axis: int
    labels: Array | None
    probs: Array | None
    probs_code: int
    # The kernel's last arguments: weight, ignore_index, label_smoothing, z_loss, and the denominator in two parts.
    options: tuple[Any, ...]
    per_row: bool

    def part(self, logits: Array, rows: slice) -> Problem:
        """The same problem for some of the rows of a matrix, with the denominator of them all."""
        labels = None if self.labels is None else self.labels[rows]
        probs = None if self.probs is None else self.probs[rows]
        return self._replace(logits=logits, labels=labels, probs=probs)

    def gradient(self, out: Array | None) -> Array:
        """The array to write the gradient into."""
        if out is None:
            return np.empty_like(self.logits)
        out = _validation.out(out, self.logits, self.logits.shape)
        for name, value in self.targets():
            _validation.separate(name, value, out)
        return out

    def targets(self) -> list[tuple[str, Array]]:
        """The arrays beside the logits, by the names of their arguments."""
        named = (("target", self.labels), ("target", self.probs), ("weight", self.options[0]))
        return [(name, value) for name, value in named if value is not None]

    def mass(self) -> tuple[Array | None, Array | None]:
        """Σ_j y_j of every row, None where all are 1; and the rows that are ignored, None where there are none."""
        weights, ignored, smoothing = self.options[:3]
        classes = self.logits.shape[self.axis]
        spread = smoothing * (1 if weights is None else weights.sum() / classes)
        if self.probs is not None:
            mass = np.empty(self.probs.shape[: self.axis] + self.probs.shape[self.axis + 1 :])
            _core.target_mass(self.probs, self.probs_code, self.axis, weights, mass)
            return (1 - smoothing) * mass + spread if smoothing else mass, None
        assert self.labels is not None
        skip = None if ignored is None else self.labels == ignored
        if weights is None:
            return None, skip
        labels = self.labels if skip is None else np.where(skip, 0, self.labels)
        return (1 - smoothing) * weights[labels] + spread, skip

    def run(self, gradient: Array | None) -> Any:
        """The loss, a scalar or an array of rows; the gradient goes into `gradient`."""
        logits, code, axis, labels, probs, probs_code, options, per_row = self
        loss_dtype = np.float64 if code == _validation.FLOAT64 else np.float32
        rows = np.empty(logits.shape[:axis] + logits.shape[axis + 1 :], loss_dtype) if per_row else None
        if code == _validation.BFLOAT16:
            logits = _validation.as_buffer(logits)
            gradient = None if gradient is None else _validation.as_buffer(gradient)
        total = _core.cross_entropy(code, logits, axis, gradient, None, rows, labels, probs, probs_code, *options)
        return loss_dtype(total) if rows is None else rows[()]


def prepare(
    function: str,
    logits: ArrayLike,
    target: ArrayLike,
    axis: int,
    weight: ArrayLike | None,
    ignore_index: int | None,
    label_smoothing: float,
    z_loss: float,
    reduction: str,
) -> Problem:
    """Check every argument; nothing has been written when one is refused."""
    z, code = _validation.logits(logits, function)
    axis = _validation.class_axis(axis, z.ndim)
    classes = _validation.class_count(z, axis)
    labels, probs = _validation.target(target, z, axis, function)
    probs_code = _validation.FLOAT32 if probs is not None and probs.dtype == np.float32 else _validation.FLOAT64
    weights = None if weight is None else _validation.class_weight(weight, classes, function)
    ignored = None if ignore_index is None else _validation.ignore_index(ignore_index, labels is not None)
    smoothing = _validation.unit_interval(label_smoothing, "label_smoothing")
    zeta = _validation.factor(z_loss, "z_loss")
    _validation.reduction(reduction)
    if labels is not None:
        denominator = _validation.labels(labels, classes, ignored, weights)
    elif probs is not None:
        _validation.probabilities(probs, axis)
        denominator = float(z.size // classes), 0.0
    if reduction != "mean":
        denominator = 1.0, 0.0
    options = (weights, ignored, smoothing, zeta, *denominator)
    return Problem(z, code, axis, labels, probs, probs_code, options, reduction == "none")
