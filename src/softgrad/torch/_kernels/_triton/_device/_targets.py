"""Labels, and the targets y of rows of logits, in Triton: y_j = w_j ((1 - ε) q_j + ε/C), as in `softgrad._targets`."""

from __future__ import annotations

import triton
import triton.language as tl
from triton.language import constexpr

from softgrad.torch._kernels._triton._device._arithmetic import difference, product, two_parts


@triton.jit
def labels_of(LABELS, row, in_rows, all_classes, ignored_label):
    """Labels of rows, 0 where they are no class; whether they are; and whether their row counts."""
    label = tl.load(LABELS + row, mask=in_rows, other=0)
    kept = in_rows
    if ignored_label is not None:
        kept = kept & (label != ignored_label)
    is_class = kept & (label >= 0) & (label < all_classes)
    return tl.where(is_class, label, 0), is_class, kept


@triton.jit
def weight_of_labels(WEIGHT, label):
    """Class weights of labels, in float64."""
    if WEIGHT is None:
        return tl.full(label.shape, 1.0, tl.float64)
    else:
        return tl.load(WEIGHT + label).to(tl.float64)


@triton.jit
def number_of_rows(NUMBERS, at, in_rows):
    """Numbers of rows, float64; 1 if there are none."""
    if NUMBERS is None:
        return tl.full(in_rows.shape, 1.0, tl.float64)
    else:
        return tl.load(NUMBERS + at, mask=in_rows, other=0.0)


@triton.jit
def _option(loss_options, i: constexpr):
    """An option of the loss in float64, which is passed as two float32."""
    return tl.cast(loss_options[2 * i], tl.float64) + tl.cast(loss_options[2 * i + 1], tl.float64)


@triton.jit
def label_share(loss_options):
    """1 - ε."""
    return _option(loss_options, 0)


@triton.jit
def uniform_share(loss_options):
    """ε/C."""
    return _option(loss_options, 1)


@triton.jit
def z_loss(loss_options):
    """ζ."""
    return _option(loss_options, 2)


@triton.jit
def dense_targets(q, WEIGHT, classes, there, loss_options, SMOOTHED: constexpr):
    """The targets of all pieces, without the part of a label, and what their rounding left.

    q: class probabilities, or None; classes: the numbers of the elements' classes.
    """
    targets = ()
    rests = ()
    for i in tl.static_range(len(there)):
        y = tl.zeros(there[i].shape, tl.float32)
        rest = y
        if q is not None:
            y = q[i]
        if SMOOTHED:
            uniform, uniform_rest = two_parts(uniform_share(loss_options))
            if q is not None:
                share, share_rest = two_parts(label_share(loss_options))
                q_share, q_rest = product(y, 0.0, share, share_rest)
                uniform, sum_rest = difference(q_share, -uniform)
                uniform_rest = sum_rest + (q_rest + uniform_rest)
            y = tl.where(there[i], uniform, 0.0)
            rest = tl.where(there[i], uniform_rest, 0.0)
        if WEIGHT is not None:
            w = tl.load(WEIGHT + classes[i], mask=there[i], other=0.0).to(tl.float32)
            weighted = w * y
            rest = tl.fma(w, rest, tl.fma(w, y, -weighted))
            y = weighted
        targets = targets + (y,)
        rests = rests + (rest,)
    return targets, rests


@triton.jit
def with_label(statistics, is_here, weight, loss_options):
    """Add the part of the label, y = w (1 - ε), to the sums of `dense_targets`, in rows whose label `is_here`."""
    m, excess, z_label, mass, below, dot = statistics
    y = tl.where(is_here, weight * label_share(loss_options), 0.0)
    distance = m - z_label
    below += tl.where(distance == 0.0, 0.0, y)
    return m, excess, z_label, mass + y, below, dot + tl.where(y == 0.0, 0.0, y * distance)
