"""Hessian-vector products of the cross-entropy: validate, then one native call (for each chunk of rows)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from softgrad import _cross_entropy, _linear_cross_entropy, _validation
from softgrad._loss_spec import shows_loss_options

if TYPE_CHECKING:
    from typing import Unpack

    from numpy.typing import ArrayLike

    from softgrad._loss_spec import LossOptions
    from softgrad._typing import Array


@shows_loss_options
def cross_entropy_hvp(
    logits: ArrayLike,
    target: ArrayLike,
    v: ArrayLike,
    *,
    axis: int = -1,
    weight: ArrayLike | None = None,
    out: Array | None = None,
    **options: Unpack[LossOptions],
) -> Array:
    r"""Hessian of the cross-entropy with respect to the logits, times a vector.

    .. math:: H v = (M + 2 \zeta \operatorname{lse}(z))\, p \circ (v - p^\top v) + 2 \zeta\, p\, (p^\top v),
        \quad M = \sum_j y_j

    for each row: the Hessian has no entries between different rows. For one-hot y without z-loss, H is the Jacobian
    of softmax.

    Parameters
    ----------
    logits, target, axis, weight, ignore_index, label_smoothing, z_loss, reduction
        As for `cross_entropy`. With "none", every row has the Hessian of its own loss.
    v : array_like
        One vector per row, of the shape and dtype of `logits`; lists and integers are converted to its dtype. An
        infinite entry makes its row NaN; in float64, entries beyond 1e280 may do so too.
    out : ndarray, optional
        Array for the result, of the shape and dtype of `logits`. It may be ``v`` itself.

    Returns
    -------
    ndarray
        Product H v, of the shape and dtype of `logits`.

    Raises
    ------
    TypeError, ValueError, IndexError
        As for `cross_entropy_grad`; also if `v` has another shape or dtype than `logits`.

    Notes
    -----
    At most 3 ULP (float32: 2) of the magnitude of the terms, :math:`|a|\,p_j (|v_j - v_*| + \sum_i p_i |v_i - v_*|)
    + 2 \zeta\,p_j |p^\top v|`, where v_* is the entry of v at a largest logit, and a = M + 2ζ lse; its two terms may
    cancel. Probabilities below 2^-1086 (float32: 2^-246) count as 0; float16 and bfloat16 are computed in float32 and
    rounded once. The entries of v enter as differences from v_*: confident rows stay accurate, and without z-loss
    the product with a constant vector is exactly 0. The logits and `v` are read once and the result is written once
    if a row fits in the cache. Memory is allocated for a few rows, and for the result if `out` is not given.

    Rows that contain NaN or +inf, or only −inf, give NaN; ignored rows give zero.

    References
    ----------
    Pearlmutter, "Fast exact multiplication by the Hessian", Neural Computation 6, 1994. Böhning, "Multinomial
    logistic regression algorithm", Ann. Inst. Statist. Math. 44, 1992, eq. 2.4.

    Examples
    --------
    >>> import softgrad as sg
    >>> sg.cross_entropy_hvp([2.0, 1.0, 0.0], 0, [1.0, 0.0, -1.0])
    array([ 0.28258745, -0.14077036, -0.14181709])
    >>> sg.cross_entropy_hvp([40.0, 0.0, 0.0], 0, [1.0, 0.0, 0.0])  # confident, and not zero
    array([ 8.49670851e-18, -4.24835426e-18, -4.24835426e-18])
    """
    function = "cross_entropy_hvp"
    loss = _cross_entropy.checked(function, logits, target, axis, weight, options)
    direction = _validation.direction(v, loss.logits, function)
    if out is None:
        result = np.empty_like(loss.logits)
    else:
        result = _validation.out(out, direction, direction.shape, "v")
        for name, value in [("logits", loss.logits), *loss.named_targets()]:
            _validation.separate(name, value, result, "v")
    loss.write_hvp(direction, result)
    return result


@shows_loss_options
def linear_cross_entropy_hvp(
    x: ArrayLike,
    W: ArrayLike,
    target: ArrayLike,
    V: ArrayLike,
    *,
    bias: ArrayLike | None = None,
    weight: ArrayLike | None = None,
    **options: Unpack[LossOptions],
) -> Array:
    r"""Hessian of the cross-entropy of logits x Wᵀ + bias with respect to W (and bias), times a direction.

    .. math:: H V = \sum_n (H_n V x_n)\, x_n^\top

    where H_n is the Hessian with respect to the logits of row n, as in `cross_entropy_hvp`.

    Parameters
    ----------
    x, W, target, bias, weight, ignore_index, label_smoothing, z_loss, reduction
        As for `linear_cross_entropy`. With "none" the Hessian is that of the sum of the losses.
    V : array_like of shape (C, D), or (C, D + 1) with `bias`
        The direction, of the dtype of `x`. Column D, if there is one, is the direction in `bias`; without it the
        Hessian is with respect to W only.

    Returns
    -------
    ndarray
        Product H V, of the shape and dtype of `V`.

    Raises
    ------
    TypeError, ValueError, IndexError
        As for `linear_cross_entropy`; also if `V` has another shape or dtype.

    Notes
    -----
    Apart from the result, only two chunks of 32 MiB or one row are allocated, for logits and their directional
    derivatives. The products are computed by BLAS, with its accuracy.

    References
    ----------
    Pearlmutter, "Fast exact multiplication by the Hessian", Neural Computation 6, 1994.

    Examples
    --------
    >>> import numpy as np
    >>> import softgrad as sg
    >>> x, W = np.eye(2), np.zeros((2, 2))
    >>> sg.linear_cross_entropy_hvp(x, W, [0, 1], [[1.0, 0.0], [0.0, 0.0]])
    array([[ 0.125,  0.   ],
           [-0.125,  0.   ]])
    >>> dW, dbias = np.zeros((2, 2)), np.array([1.0, 0.0])  # a direction in the bias alone
    >>> V = np.column_stack([dW, dbias])
    >>> sg.linear_cross_entropy_hvp(x, W, [0, 1], V, bias=np.zeros(2))
    array([[ 0.125,  0.125,  0.25 ],
           [-0.125, -0.125, -0.25 ]])
    """
    head = _linear_cross_entropy.checked("linear_cross_entropy_hvp", x, W, target, bias, weight, options)
    direction = _validation.linear_direction(V, head.W, head.bias, "linear_cross_entropy_hvp")
    features = head.x.shape[1]
    result = np.zeros_like(direction, order="C")
    memory = head.chunk_memory()
    for _, part, loss in head.chunks():
        change = memory[: len(part)]
        np.matmul(part, direction[:, :features].T, out=change)
        if direction.shape[1] > features:
            change += direction[:, features]
            loss.write_hvp(change, change)
            result[:, features] += change.sum(axis=0)
        else:
            loss.write_hvp(change, change)
        _linear_cross_entropy.add_product(result[:, :features], change, part)
    return result
