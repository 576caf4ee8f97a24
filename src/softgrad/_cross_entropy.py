"""Softmax cross-entropy and its gradient: validate, then one native call.

Plain arguments, which the native functions named try_... recognise, need no validation.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple, overload

import numpy as np

from softgrad import _core, _validation
from softgrad._core import DType, Reduction
from softgrad._loss_spec import loss_spec, shows_loss_options
from softgrad._targets import Targets

if TYPE_CHECKING:
    from typing import Unpack

    from numpy.typing import ArrayLike

    from softgrad._loss_spec import LossOptions, LossPerRow, LossSpec, ReducedLoss
    from softgrad._typing import Array


@overload
def cross_entropy(
    logits: ArrayLike,
    target: ArrayLike,
    *,
    axis: int = ...,
    weight: ArrayLike | None = ...,
    **options: Unpack[ReducedLoss],
) -> np.floating[Any]: ...
@overload
def cross_entropy(
    logits: ArrayLike,
    target: ArrayLike,
    *,
    axis: int = ...,
    weight: ArrayLike | None = ...,
    **options: Unpack[LossPerRow],
) -> Array: ...
@shows_loss_options
def cross_entropy(
    logits: ArrayLike,
    target: ArrayLike,
    *,
    axis: int = -1,
    weight: ArrayLike | None = None,
    **options: Unpack[LossOptions],
) -> np.floating[Any] | Array:
    r"""Cross-entropy between targets and the softmax of logits.

    .. math:: \ell = -\sum_j y_j \log p_j + \zeta \operatorname{lse}(z)^2, \quad p = \operatorname{softmax}(z)

    with :math:`y_j = w_j\,((1 - \varepsilon)\,q_j + \varepsilon / C)` for a target distribution q (one-hot
    for a class index), class weights w, label smoothing ε and z-loss ζ.

    Parameters
    ----------
    logits : array_like, float16, bfloat16, float32 or float64
        Any shape and layout with C ≥ 1 classes along `axis`. Integers are converted to float64.
    target : array_like
        Class indices: an integer dtype, the shape of `logits` without `axis`. Or class probabilities:
        a floating dtype, the shape of `logits`; non-negative, rows need not sum to one.
    axis : int
        The axis of the classes.
    weight : array_like of shape (C,), optional
        Factor of every class, 0 or from 1e-15 to 1e15.
    ignore_index : int, optional
        Rows with this label are ignored: their loss and gradient are 0, whatever their logits.
    label_smoothing : float
        ε, from 0 to 1.
    z_loss : float
        ζ: 0, or from 1e-15 to 1e15.
    reduction : {"mean", "sum", "none"}
        "mean" divides the sum by the summed weights of the labels that are not ignored, or, for class
        probabilities, by the number of rows.

    Returns
    -------
    scalar or ndarray
        Loss in nats; for "none" an array of the shape of `logits` without `axis`. float64 for float64
        logits, otherwise float32.

    Raises
    ------
    TypeError
        If `logits`, `target` or an option has the wrong type.
    ValueError
        If shapes do not match, there are no classes, a weight or probability is negative, an option
        is out of range, or `ignore_index` is given with class probabilities.
    IndexError
        If a label is not a class; the message names the first such row.

    Notes
    -----
    At most 2 ULP from the exact result for float32 and float64 (largest seen: 1.1 and 0.6),
    including confident rows: a loss of 1e-13 is as accurate as any other. The logits are read once,
    and no array of their size is written. float16 and bfloat16 are computed in float32.

    NaN in a row makes its loss NaN. Logits of −inf are masked classes: with y = 0 they add nothing,
    with y > 0 the loss is +inf. Rows that contain +inf, or only −inf, have the loss NaN. The mean over
    no rows is NaN. If the sum of the losses exceeds the largest float64, the mean is +inf.

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
    if weight is None and not options:
        loss = _core.try_cross_entropy(logits, target, axis)
        if loss is not None:
            return loss
    return checked("cross_entropy", logits, target, axis, weight, options).run(None)


@shows_loss_options
def cross_entropy_grad(
    logits: ArrayLike,
    target: ArrayLike,
    *,
    axis: int = -1,
    weight: ArrayLike | None = None,
    out: Array | None = None,
    **options: Unpack[LossOptions],
) -> Array:
    r"""Gradient of the cross-entropy with respect to the logits.

    .. math:: \frac{\partial \ell}{\partial z_k} = p_k \Bigl(\sum_j y_j + 2 \zeta \operatorname{lse}(z)\Bigr) - y_k

    For one-hot y without z-loss this is p_k − y_k. The entry of the target is computed as
    −Σ_{j≠k} p_j, which stays accurate if p_k is nearly one.

    Parameters
    ----------
    logits, target, axis, weight, ignore_index, label_smoothing, z_loss, reduction
        As for `cross_entropy`. With "none", every row is the gradient of its own loss.
    out : ndarray, optional
        Array for the result, of the shape and dtype of `logits`. It may be ``logits`` itself.

    Returns
    -------
    ndarray
        Gradient of the loss in nats, of the shape and dtype of `logits`.

    Raises
    ------
    TypeError, ValueError, IndexError
        As for `cross_entropy`; also if `out` has another shape or dtype, is read-only or partly
        overlaps an input. Nothing is written in this case.

    Notes
    -----
    Class indices: at most 2 ULP from the exact result for float32 and float64 (largest seen: 1.8 and
    1.6), tails and subnormals included. With a z-loss the two terms of the target's entry may cancel; the bound
    is then relative to the larger one. With class probabilities or label smoothing, p_k Σ y and y_k may cancel:
    the gradient is computed in float64, within 1 ULP for float32 down to a cancellation of 2^-28, and within
    2 ULP of the larger term for float64. In float32, if |lse| < 1, the bound for a z-loss and its gradient is
    that for |lse| = 1. Memory traffic as for `softmax`; with class probabilities or label smoothing the logits
    are read twice. The gradient is finite if a target at −inf makes the loss +inf, zero in ignored rows, and NaN
    if 2ζ lse exceeds the largest float64.

    Examples
    --------
    >>> import softgrad as sg
    >>> sg.cross_entropy_grad([0.0, 40.0], 1)
    array([ 4.24835426e-18, -4.24835426e-18])
    """
    if weight is None and not options:
        gradient = _core.try_cross_entropy_grad(logits, target, axis, out)
        if gradient is not None:
            return gradient
    loss = checked("cross_entropy_grad", logits, target, axis, weight, options)
    gradient = loss.gradient(out)
    loss.run(gradient)
    return gradient


@overload
def cross_entropy_value_and_grad(
    logits: ArrayLike,
    target: ArrayLike,
    *,
    axis: int = ...,
    weight: ArrayLike | None = ...,
    out: Array | None = ...,
    **options: Unpack[ReducedLoss],
) -> tuple[np.floating[Any], Array]: ...
@overload
def cross_entropy_value_and_grad(
    logits: ArrayLike,
    target: ArrayLike,
    *,
    axis: int = ...,
    weight: ArrayLike | None = ...,
    out: Array | None = ...,
    **options: Unpack[LossPerRow],
) -> tuple[Array, Array]: ...
@shows_loss_options
def cross_entropy_value_and_grad(
    logits: ArrayLike,
    target: ArrayLike,
    *,
    axis: int = -1,
    weight: ArrayLike | None = None,
    out: Array | None = None,
    **options: Unpack[LossOptions],
) -> tuple[np.floating[Any] | Array, Array]:
    """Cross-entropy and its gradient with respect to the logits, in one pass.

    Parameters
    ----------
    logits, target, axis, weight, ignore_index, label_smoothing, z_loss, reduction, out
        As for `cross_entropy_grad`.

    Returns
    -------
    loss : scalar or ndarray
        The result of `cross_entropy`.
    gradient : ndarray
        The result of `cross_entropy_grad`, bitwise identical.

    Raises
    ------
    TypeError, ValueError, IndexError
        As for `cross_entropy_grad`.

    Notes
    -----
    Accuracy, special values and memory traffic as for `cross_entropy` and `cross_entropy_grad`.

    Examples
    --------
    >>> import numpy as np
    >>> import softgrad as sg
    >>> logits = np.array([[2.0, 1.0, 0.0]])
    >>> loss, gradient = sg.cross_entropy_value_and_grad(logits, [0], out=logits)
    >>> float(loss), gradient is logits
    (0.4076059644443803, True)
    """
    if weight is None and not options:
        results = _core.try_cross_entropy_value_and_grad(logits, target, axis, out)
        if results is not None:
            return results
    loss = checked("cross_entropy_value_and_grad", logits, target, axis, weight, options)
    gradient = loss.gradient(out)
    return loss.run(gradient), gradient


class CrossEntropy(NamedTuple):
    """A cross-entropy whose arguments have been checked."""

    logits: Array
    dtype: DType
    targets: Targets
    spec: LossSpec

    def gradient(self, out: Array | None) -> Array:
        """The array to write the gradient into."""
        if out is None:
            return np.empty_like(self.logits)
        out = _validation.out(out, self.logits, self.logits.shape)
        for name, value in self.named_targets():
            _validation.separate(name, value, out)
        return out

    def named_targets(self) -> list[tuple[str, Array]]:
        """The arrays other than the logits, by the names of their arguments."""
        t = self.targets
        named = (("target", t.labels), ("target", t.probabilities), ("weight", t.class_weight))
        return [(name, value) for name, value in named if value is not None]

    def run(self, gradient: Array | None) -> Any:
        """The loss, a scalar or an array of rows; the gradient goes into `gradient`."""
        logits, dtype, targets, spec = self
        shape, axis, probabilities = logits.shape, targets.axis, targets.probabilities
        loss_dtype = np.float64 if dtype is DType.float64 else np.float32
        losses = None
        if spec.reduction is Reduction.none:
            losses = np.empty(shape[:axis] + shape[axis + 1 :], loss_dtype)
        if dtype is DType.bfloat16:
            logits = _validation.as_buffer(logits)
            gradient = None if gradient is None else _validation.as_buffer(gradient)
        total = _core.cross_entropy(
            spec,
            dtype,
            logits,
            axis,
            labels=targets.labels,
            probabilities=probabilities,
            probabilities_dtype=DType.float64
            if probabilities is None
            else _validation.kernel_dtype(probabilities.dtype),
            class_weight=targets.class_weight,
            summed_weight=targets.summed_weight,
            loss=losses,
            gradient=gradient,
        )
        return loss_dtype(total) if losses is None else losses[()]

    def write_hvp(self, v: Array, out: Array) -> None:
        """Write the Hessian with respect to the logits, times v."""
        targets, spec = self.targets, self.spec
        mass = targets.mass(spec)
        logits, v, out = (_validation.as_buffer(array) for array in (self.logits, v, out))
        _core.hvp(
            spec,
            self.dtype,
            logits,
            targets.axis,
            v,
            out,
            labels=targets.labels,
            mass=mass,
            summed_weight=targets.summed_weight,
        )


def checked(
    function: str,
    logits: ArrayLike,
    target: ArrayLike,
    axis: int,
    weight: ArrayLike | None,
    options: LossOptions,
) -> CrossEntropy:
    """Check every argument, before anything is written."""
    spec = loss_spec(function, options)
    z, dtype = _validation.logits(logits, function)
    axis = _validation.class_axis(axis, z.ndim)
    return CrossEntropy(z, dtype, checked_targets(function, z.shape, axis, target, weight, spec), spec)


def checked_targets(
    function: str, shape: tuple[int, ...], axis: int, target: ArrayLike, weight: ArrayLike | None, spec: LossSpec
) -> Targets:
    """Check the targets of logits of a shape."""
    classes = _validation.class_count(shape, axis)
    labels, probabilities = _validation.target(target, shape, axis, function)
    class_weight = None if weight is None else _validation.class_weight(weight, classes, function)
    if probabilities is not None:
        _validation.no_ignore_index(spec.ignore_index)
        _validation.probabilities(probabilities, axis)
        rows = float(math.prod(shape) // classes)
        return Targets(classes, None, probabilities, axis, class_weight, None, (rows, 0.0))
    bad_row, total, rest = _core.check_labels(spec, labels, classes, class_weight)
    if bad_row >= 0:
        _validation.reject_label(labels, bad_row, classes)
    return Targets(classes, labels, None, axis, class_weight, None, (total, rest))
