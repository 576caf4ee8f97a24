"""The formulas of docs/design.md, written for the array API: for every device without a kernel.

Results are as accurate as the device's arithmetic: nothing cancels, the rounding error of z − max z is included, and
sums are computed in float64 if the device supports it. 16-bit types are computed in float32. `axis` counts from the
front.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from softgrad._arrays import accumulator, along, namespace, widened
from softgrad._loss_spec import Reduction

if TYPE_CHECKING:
    from collections.abc import Callable

    from softgrad._loss_spec import LossSpec
    from softgrad._targets import Targets


class ZLoss:
    """The z-loss ζ lse² and its derivatives by lse: `native/ops/z_loss.h`."""

    def __init__(self, spec: LossSpec) -> None:
        self._factor = spec.z_loss

    def value(self, lse: Any) -> Any:
        """Added to the loss."""
        return self._factor * (lse * lse)

    def slope(self, lse: Any) -> Any:
        """Added to Σ y as the factor of p in the gradient, and of Diag(p) − p pᵀ in the Hessian."""
        return 2 * self._factor * lse

    @property
    def curvature(self) -> float:
        """The factor of p pᵀ in the Hessian."""
        return 2 * self._factor

    def __bool__(self) -> bool:
        return self._factor != 0


class Statistics(NamedTuple):
    """The statistics of a row, or of a block of its classes, that determine its loss: `native/layout/row_statistics.h`.

    One number per row, in float64 if the device supports it; the axis of the classes is kept, with length one.
    """

    maximum: Any  # m
    excess: Any  # s'
    label: Any  # z_y; −inf where the label is in another block
    mass: Any  # Σ y, where the target is not one-hot,
    below: Any  # Σ y over the elements below m,
    dot: Any  # Σ y (m − z)

    def packed(self) -> Any:
        """Return the statistics of all rows as one array of shape (rows, fields)."""
        return _packed(self)

    @classmethod
    def unpacked(cls, fields: Any, shape: tuple[int, ...], axis: int) -> Statistics:
        """Return the statistics that `packed` has made one array; `shape` is that of the logits."""
        return cls(*_unpacked(fields, shape, axis))


class Directions(NamedTuple):
    """The statistics of a direction v in a row, or in a block of its classes, that determine Hessian-vector products.

    As in `native/layout/direction_statistics.h`; one number per row, of the dtype and shape of `Statistics`.
    """

    pivot: Any  # v at a largest logit of the block
    at_maximum: Any  # 1 where that logit is the maximum m of the row, else 0
    total: Any  # Σ e, e = exp(z − m)
    dot: Any  # Σ e (v − pivot)

    def packed(self) -> Any:
        """Return the statistics of all rows as one array of shape (rows, fields)."""
        return _packed(self)

    @classmethod
    def unpacked(cls, fields: Any, shape: tuple[int, ...], axis: int) -> Directions:
        """Return the statistics that `packed` has made one array; `shape` is that of the logits."""
        return cls(*_unpacked(fields, shape, axis))


def _packed(fields: tuple[Any, ...]) -> Any:
    xp = namespace(fields[0])
    return xp.stack([xp.reshape(field, (-1,)) for field in fields], axis=-1)


def _unpacked(fields: Any, shape: tuple[int, ...], axis: int) -> list[Any]:
    kept = (*shape[:axis], 1, *shape[axis + 1 :])
    return [namespace(fields).reshape(fields[:, i], kept) for i in range(fields.shape[1])]


class Normaliser(NamedTuple):
    """e_j = exp(z_j − m), and s' = Σ e over all elements but one maximal one."""

    maximum: Any
    below: Any  # z − m, and what rounding it left
    below_rest: Any
    exponentials: Any
    excess: Any

    @classmethod
    def of(cls, logits: Any, axis: int, statistics: Statistics | None = None) -> Normaliser:
        """Normalise rows of logits, or a block of their classes by the statistics of the whole rows."""
        xp = namespace(logits)
        if statistics is None:
            m = xp.max(logits, axis=axis, keepdims=True)
        else:
            m = xp.astype(statistics.maximum, logits.dtype)
        d, rest = _difference(logits, m)
        e = xp.exp(d)
        e = e + e * rest
        if statistics is not None:
            return cls(m, d, rest, e, xp.astype(statistics.excess, logits.dtype))
        at_maximum = d == 0
        wide = accumulator(logits)
        tail = xp.sum(xp.where(at_maximum, 0, e), axis=axis, keepdims=True, dtype=wide)
        excess = tail + (xp.sum(xp.astype(at_maximum, wide), axis=axis, keepdims=True) - 1)
        return cls(m, d, rest, e, xp.astype(excess, logits.dtype))

    def probabilities(self) -> Any:
        """Return the softmax."""
        return self.exponentials / (1 + self.excess)

    def log_sum_exp(self) -> Any:
        """Return log Σ exp z."""
        xp = namespace(self.maximum)
        return xp.where(xp.isinf(self.maximum), self.maximum, self.maximum + xp.log1p(self.excess))


def _difference(z: Any, m: Any) -> tuple[Any, Any]:
    """Return z − m, and its rounding error (TwoSum, Knuth), 0 where the difference is infinite."""
    xp = namespace(z)
    d = z - m
    rounding = d - z
    rest = (z - (d - rounding)) - (m + rounding)
    return d, xp.where(xp.isfinite(d), rest, 0)


def softmax(logits: Any, axis: int, statistics: Statistics | None = None) -> Any:
    """Return p_j = e_j/(1 + s')."""
    xp = namespace(logits)
    if not logits.shape[axis]:
        return xp.empty_like(logits)
    return xp.astype(Normaliser.of(widened(logits), axis, statistics).probabilities(), logits.dtype)


def log_softmax(logits: Any, axis: int, statistics: Statistics | None = None) -> Any:
    """Return (z_j − m) − log1p(s')."""
    xp = namespace(logits)
    if not logits.shape[axis]:
        return xp.empty_like(logits)
    n = Normaliser.of(widened(logits), axis, statistics)
    return xp.astype(n.below + (n.below_rest - xp.log1p(n.excess)), logits.dtype)


def logsumexp(logits: Any, axis: int) -> Any:
    """Return m + log1p(s')."""
    xp = namespace(logits)
    if not logits.shape[axis]:
        return xp.sum(logits, axis=axis, dtype=logits.dtype) - xp.inf
    return xp.astype(xp.squeeze(Normaliser.of(widened(logits), axis).log_sum_exp(), axis=axis), logits.dtype)


def softmax_vjp(probs: Any, v: Any, axis: int) -> Any:
    """J v = p ∘ (v − pᵀv), from softmax's result."""
    xp = namespace(probs)
    if not probs.shape[axis]:
        return xp.empty_like(probs)
    p, wide = widened(probs), widened(v)
    pivot = _at_largest(p, wide, axis)
    return xp.astype(_curvature(p, wide, pivot, _mean_from(pivot, p, wide, axis), 1, 0), probs.dtype)


def _at_largest(z: Any, v: Any, axis: int) -> Any:
    """The element of v at a largest z of every row."""
    xp = namespace(z)
    return xp.take_along_axis(v, xp.argmax(z, axis=axis, keepdims=True), axis=axis)


def _mean_from(pivot: Any, p: Any, v: Any, axis: int) -> Any:
    """Σ p (v − v_*)."""
    return namespace(p).sum(p * (v - pivot), axis=axis, keepdims=True, dtype=p.dtype)


def _curvature(p: Any, v: Any, pivot: Any, mean: Any, a: Any, b: Any) -> Any:
    """(a (Diag(p) − p pᵀ) + b p pᵀ) v, with differences from v_* at a largest p, and their mean Σ p (v − v_*)."""
    return p * (a * ((v - pivot) - mean) + b * (mean + pivot))


def log_softmax_vjp(logits: Any, v: Any, axis: int) -> Any:
    """Lᵀ v = v − p Σ v: minus the gradient of the cross-entropy with targets v."""
    xp = namespace(logits)
    if not logits.shape[axis]:
        return xp.empty_like(logits)
    n = Normaliser.of(widened(logits), axis)
    y = widened(v)
    mass = xp.sum(y, axis=axis, keepdims=True, dtype=y.dtype)
    return xp.astype(-_dense_gradient(n, y, mass, None, 0, axis), logits.dtype)


def row_statistics(logits: Any, targets: Targets, spec: LossSpec) -> Statistics:
    """The statistics of rows, or of the block of their classes that the logits are."""
    xp, axis = namespace(logits), targets.axis
    z = xp.astype(logits, accumulator(logits))
    if not z.shape[axis]:
        nothing = xp.sum(z, axis=axis, keepdims=True)
        return Statistics(nothing - xp.inf, nothing - 1, nothing - xp.inf, nothing, nothing, nothing)
    n = Normaliser.of(z, axis)
    nothing = 0 * n.excess
    if one_hot(targets, spec):
        label = xp.max(xp.where(targets.is_label(z), z, -xp.inf), axis=axis, keepdims=True)
        return Statistics(n.maximum, n.excess, label, nothing, nothing, nothing)
    y, below = targets.dense(spec, z), z != n.maximum
    dot = _product(y, xp.where(below, -(n.below + n.below_rest), 0))
    sums = (xp.sum(array, axis=axis, keepdims=True) for array in (y, xp.where(below, y, 0), dot))
    return Statistics(n.maximum, n.excess, nothing - xp.inf, *sums)


def merge_statistics(parts: list[Statistics]) -> Statistics:
    """The statistics of rows from those of blocks of their classes; nothing cancels."""
    xp = namespace(parts[0].maximum)
    m = xp.max(xp.stack([s.maximum for s in parts]), axis=0)
    label = xp.max(xp.stack([s.label for s in parts]), axis=0)
    ties = excess = mass = below = dot = 0 * m
    for s in parts:
        same, (below_maximum, rest) = s.maximum == m, _difference(s.maximum, m)
        e = xp.exp(below_maximum)
        e = e + e * rest
        ties = ties + xp.astype(same, m.dtype)
        excess = excess + xp.where(same, s.excess, xp.where(e == 0, 0, (1 + s.excess) * e))
        mass = mass + s.mass
        below = below + xp.where(same, s.below, s.mass)
        dot = dot + s.dot + xp.where(same | (s.mass == 0), 0, -s.mass * below_maximum)
    return Statistics(m, excess + (ties - 1), label, mass, below, dot)


def direction_statistics(logits: Any, v: Any, axis: int, statistics: Statistics) -> Directions:
    """The statistics of v in rows, or in a block of their classes, from the statistics of the rows."""
    xp, wide = namespace(logits), accumulator(logits)
    z, v = widened(logits), xp.astype(v, wide)
    e = xp.astype(Normaliser.of(z, axis, statistics).exponentials, wide)
    total = xp.sum(e, axis=axis, keepdims=True)
    if not z.shape[axis]:
        return Directions(total, total, total, total)
    top, pivot = xp.max(z, axis=axis, keepdims=True), _at_largest(z, v, axis)
    dot = xp.sum(e * (v - pivot), axis=axis, keepdims=True)
    return Directions(pivot, xp.astype(xp.astype(top, wide) == statistics.maximum, wide), total, dot)


def merge_directions(parts: list[Directions]) -> Directions:
    """The statistics of v in rows from those in all blocks of their classes."""
    xp = namespace(parts[0].pivot)
    pivot = at_maximum = total = dot = 0 * parts[0].total
    for d in reversed(parts):
        pivot = xp.where(d.at_maximum == 0, pivot, d.pivot)
        at_maximum = at_maximum + d.at_maximum
    for d in parts:
        total = total + d.total
        dot = dot + (d.dot + d.total * (d.pivot - pivot))
    return Directions(pivot, xp.astype(at_maximum > 0, pivot.dtype), total, dot)


def cross_entropy(logits: Any, targets: Targets, spec: LossSpec, statistics: Statistics | None = None) -> Any:
    """Return M log1p(s') + Σ y (m − z) + ζ lse², reduced; float64 for float64 logits, else float32.

    If statistics are given, the logits may be a block of the classes.
    """
    xp, axis = namespace(logits), targets.axis
    z = widened(logits)
    n, z_loss, mass = Normaliser.of(z, axis, statistics), ZLoss(spec), _row_factor(targets, spec, z, statistics)
    log_sum = xp.log1p(n.excess)
    if one_hot(targets, spec):
        losses = _product(mass, log_sum + (n.maximum - _label_logit(z, targets, statistics)))
    else:
        if statistics is None:
            below = _product(targets.dense(spec, z), -(n.below + n.below_rest))
            dot = xp.sum(below, axis=axis, keepdims=True, dtype=z.dtype)
        else:
            dot = xp.astype(statistics.dot, z.dtype)
        losses = mass * log_sum + dot
    if z_loss:
        losses = losses + z_loss.value(n.log_sum_exp())
    return reduced(xp.squeeze(kept_rows(losses, targets, spec), axis=axis), targets, spec)


def reduced(losses: Any, targets: Targets, spec: LossSpec, axis: tuple[int, ...] | None = None) -> Any:
    """Reduce the losses of all rows, or of the rows along some axes, to one."""
    if spec.reduction is Reduction.none:
        return losses
    xp = namespace(losses)
    total = xp.sum(losses, axis=axis, dtype=accumulator(losses))
    return xp.astype(total / targets.denominator(spec, axis)[0], losses.dtype)


def cross_entropy_grad(
    logits: Any, upstream: Any, targets: Targets, spec: LossSpec, statistics: Statistics | None = None
) -> Any:
    """Return ((M + 2ζ lse) p_k − y_k) times the upstream gradient of the reduced loss, or of every row's."""
    xp, axis = namespace(logits), targets.axis
    z = widened(logits)
    n, z_loss = Normaliser.of(z, axis, statistics), ZLoss(spec)
    slope = z_loss.slope(n.log_sum_exp()) if z_loss else 0.0
    mass = _row_factor(targets, spec, z, statistics)
    if one_hot(targets, spec):
        z_y = _label_logit(z, targets, statistics)
        e_y = xp.exp(z_y - n.maximum)
        others = xp.where(z_y == n.maximum, n.excess, 1 + n.excess - e_y)
        at_label = (slope * e_y - mass * others) / (1 + n.excess)
        gradient = xp.where(targets.is_label(z), at_label, (mass + slope) * n.probabilities())
    else:
        y = targets.dense(spec, z)
        below = None if statistics is None else xp.astype(statistics.below, z.dtype)
        gradient = _dense_gradient(n, y, mass, below, slope, axis)
    return xp.astype(kept_rows(gradient * row_scale(upstream, z, targets, spec), targets, spec), logits.dtype)


def cross_entropy_hvp(
    logits: Any,
    upstream: Any,
    v: Any,
    targets: Targets,
    spec: LossSpec,
    statistics: Statistics | None = None,
    directions: Directions | None = None,
) -> Any:
    """Return (a (Diag(p) − p pᵀ) + b p pᵀ) v, a = M + 2ζ lse and b = 2ζ, times the upstream gradient.

    If the statistics and directions of the whole rows are given, the logits may be a block of the classes.
    """
    xp, axis = namespace(logits), targets.axis
    z, wide = widened(logits), widened(v)
    n, z_loss = Normaliser.of(z, axis, statistics), ZLoss(spec)
    scale = row_scale(upstream, z, targets, spec)
    a = _row_factor(targets, spec, z, statistics)
    if z_loss:
        a = a + z_loss.slope(n.log_sum_exp())
    p = n.probabilities()
    if directions is None:
        pivot = _at_largest(z, wide, axis)
        mean = _mean_from(pivot, p, wide, axis)
    elif statistics is None:
        raise ValueError("directions without statistics")
    else:
        pivot = xp.astype(directions.pivot, z.dtype)
        mean = xp.astype(directions.dot / (1 + statistics.excess), z.dtype)
    product = _curvature(p, wide, pivot, mean, scale * a, scale * z_loss.curvature)
    return xp.astype(kept_rows(product, targets, spec), logits.dtype)


def third_derivative(
    p: Any,
    lse: Any,
    v: Any,
    w: Any,
    targets: Targets,
    spec: LossSpec,
    softmax_vjp: Callable[[Any, Any], Any],
    row_sum: Callable[[Any], Any] | None = None,
    mass: Any = None,
) -> Any:
    """The third derivative of every row's loss, applied to v and w; `p` and `lse` are of the logits, `lse` per row.

    a p ∘ (c(v) c(w) − Cov(v, w)) + b (p Cov(v, w) + J v (pᵀw) + J w (pᵀv)), c(u) = u − pᵀu, a = M + 2ζ lse, b = 2ζ

    For a block of the classes, `row_sum` sums over those of all blocks, and `mass` is M where it is not that of labels.
    """
    xp, axis, z_loss = namespace(p), targets.axis, ZLoss(spec)

    def row_sum_here(array: Any) -> Any:
        return xp.sum(array, axis=axis, keepdims=True)

    total = row_sum_here if row_sum is None else row_sum
    v_mean, w_mean = total(p * v), total(p * w)
    product = (v - v_mean) * (w - w_mean)
    covariance = total(p * product)
    a = _row_factor(targets, spec, p) if mass is None else mass
    if z_loss:
        a = a + z_loss.slope(xp.expand_dims(lse, axis=axis))
    result = a * (p * (product - covariance))
    if z_loss:
        change = p * covariance + softmax_vjp(p, v) * w_mean + softmax_vjp(p, w) * v_mean
        result = result + z_loss.curvature * change
    return kept_rows(result, targets, spec)


def loss_of_log_softmax(log_p: Any, lse: Any, targets: Targets, spec: LossSpec) -> Any:
    """Return −Σ y log p + ζ lse² per row, also differentiable with respect to targets and class weights."""
    xp, axis, eps, z_loss = namespace(log_p), targets.axis, spec.label_smoothing, ZLoss(spec)
    if targets.labels is None:
        losses = -xp.sum(_product(targets.dense(spec, log_p), log_p), axis=axis)
    else:
        of_label = xp.squeeze(xp.take_along_axis(log_p, _label_positions(targets), axis=axis), axis=axis)
        weight = targets.label_weight(spec)
        losses = -(of_label if weight is None else _product(weight, of_label))
        if eps:
            uniform = targets.class_weight
            spread = log_p if uniform is None else _product(along(uniform, log_p.ndim, axis), log_p)
            losses = (1 - eps) * losses - eps / targets.classes * xp.sum(spread, axis=axis)
    if z_loss:
        losses = losses + z_loss.value(lse)
    kept = targets.kept(spec)
    return losses if kept is None else xp.where(kept, losses, 0)


def one_hot(targets: Targets, spec: LossSpec) -> bool:
    """Whether y is nonzero only at the labels."""
    return targets.labels is not None and not spec.label_smoothing


def _dense_gradient(n: Normaliser, y: Any, mass: Any, below: Any, slope: Any, axis: int) -> Any:
    """(M + slope) p − y; at a maximum with p > 1/2 (Σ_{j≠k} y_j − y_k s')/(1 + s') + slope p, which does not cancel.

    `below` is Σ_{j≠k} y_j there, where y is not a block of the classes only.
    """
    xp = namespace(y)
    at_maximum = n.below == 0
    if below is None:
        below = xp.sum(xp.where(at_maximum, 0, y), axis=axis, keepdims=True, dtype=y.dtype)
    p = n.probabilities()
    at_top = (below - y * n.excess) / (1 + n.excess) + slope * p
    return xp.where(at_maximum & (n.excess < 1), at_top, (mass + slope) * p - y)


def _label_logit(z: Any, targets: Targets, statistics: Statistics | None) -> Any:
    """The logit of every row's label."""
    xp = namespace(z)
    if statistics is None:
        return xp.take_along_axis(z, _label_positions(targets), axis=targets.axis)
    return xp.astype(statistics.label, z.dtype)


def _label_positions(targets: Targets) -> Any:
    """The labels along the axis of the classes; those that are no classes become 0."""
    return namespace(targets.labels).expand_dims(targets.positions(), axis=targets.axis)


def _row_factor(targets: Targets, spec: LossSpec, like: Any, statistics: Statistics | None = None) -> Any:
    """Σ y of every row, to multiply rows of logits with."""
    if statistics is not None and not one_hot(targets, spec):
        return namespace(like).astype(statistics.mass, like.dtype)
    mass = targets.mass(spec)
    if mass is None:
        return 1.0
    xp = namespace(like)
    return xp.expand_dims(xp.astype(mass, like.dtype), axis=targets.axis)


def row_scale(upstream: Any, like: Any, targets: Targets, spec: LossSpec) -> Any:
    """The upstream gradient of every row's loss."""
    xp = namespace(like)
    scale = xp.astype(upstream, like.dtype) / targets.denominator(spec)[0]
    return xp.expand_dims(scale, axis=targets.axis) if spec.reduction is Reduction.none else scale


def kept_rows(rows: Any, targets: Targets, spec: LossSpec) -> Any:
    """Set rows that the target ignores to 0."""
    kept = targets.kept(spec)
    if kept is None:
        return rows
    xp = namespace(rows)
    return xp.where(xp.expand_dims(kept, axis=targets.axis), rows, 0)


def _product(y: Any, x: Any) -> Any:
    """The product y x, with 0 · ∞ = 0."""
    xp = namespace(x)
    return y * xp.where(xp.isinf(x) & (y == 0), 0, x)
