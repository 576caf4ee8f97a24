"""From tensors and a specification to launches of the two kernels."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from softgrad._loss_spec import DEFAULT
from softgrad.torch._kernels._memory import materialised, without
from softgrad.torch._kernels._triton._configurations import configuration, power_of_two
from softgrad.torch._kernels._triton._device import _results, _row_statistics
from softgrad.torch._kernels._triton._device._finish import finish
from softgrad.torch._kernels._triton._device._rows import rows
from softgrad.torch._kernels._triton._device._scale import scale
from softgrad.torch._kernels._triton._launch import CAN_WAIT, launch, programs_at_once
from softgrad.torch._kernels._triton._layout import layout_of

if TYPE_CHECKING:
    from torch import Tensor

    from softgrad._loss_spec import LossSpec
    from softgrad._targets import Targets

# Rows, and statistics of tiles, of a program that finishes rows; more tiles of a row are merged in stages.
_ROWS_OF_FINISH, _TILES_OF_FINISH = 128, 1024
_MOST_MERGED = 1024
_SCALED_ELEMENTS = 4096
# Programs that may find that nothing is to be done: enough for every processor of a GPU, and each is soon over.
_MOST_LOOKING = 4096


@dataclass(frozen=True, kw_only=True)
class Task:
    """Rows of logits with the arguments that both kernels take."""

    logits: Tensor
    dim: int
    kind: Any = _row_statistics.ONE_HOT
    targets: Targets | None = None
    spec: LossSpec = DEFAULT
    scale: Tensor | None = None  # the upstream gradient over the denominator, float64: of all rows or of each
    given: Tensor | None = None  # the statistics of whole rows: (rows, fields)
    with_label: bool = False  # whether these include the part of the label in targets that are not one-hot
    unless_one: Tensor | None = None  # a number on the device: nothing is done if it is 1

    @property
    def classes(self) -> int:
        return self.logits.shape[self.dim]

    @property
    def has_class_weight(self) -> bool:
        return self.targets is not None and self.targets.class_weight is not None

    @property
    def row_count(self) -> int:
        return math.prod(without(self.logits.shape, self.dim))

    def arguments(self) -> dict[str, Any]:
        """The arguments of both kernels."""
        scale, targets, eps = self.scale, self.targets, self.spec.label_smoothing
        labels = weight = None
        first_class, all_classes = 0, self.classes
        if targets is not None:
            labels = None if targets.labels is None else targets.labels.contiguous()
            weight = None if targets.class_weight is None else targets.class_weight.contiguous()
            first_class, all_classes = targets.first_class or 0, targets.classes
        return {
            "LABELS": labels,
            "WEIGHT": weight,
            "SCALE": scale,
            "UPSTREAM": self.unless_one,
            "n": self.row_count,
            "classes": self.classes,
            "first_class": first_class,
            "all_classes": all_classes,
            "ignored_label": None if labels is None else self.spec.ignore_index,
            "loss_options": _two_parts(1 - eps) + _two_parts(eps / max(all_classes, 1)) + _two_parts(self.spec.z_loss),
            "scale_stride": 0 if scale is None or not scale.ndim else 1,
            "KIND": self.kind,
            "Z_LOSS": self.spec.z_loss != 0,
            "WITH_LABEL": self.with_label,
        }


def _two_parts(value: float) -> tuple[float, float]:
    """A number as the sum of two float32."""
    high = float(np.float32(value))
    return high, value - high


def run(
    task: Task,
    result: Any,
    out: Tensor | None = None,
    *,
    x: Tensor | None = None,
    mass: Tensor | None = None,
    keep_statistics: bool = False,
) -> Tensor | None:
    """Write the result of rows to `out`, and return the statistics of their tiles (rows, tiles, fields) if kept.

    x: class probabilities or a direction; mass: Σ y of every row, if it is not that of the target.
    """
    task = replace(task, logits=materialised(task.logits))
    x = None if x is None else materialised(x.to(task.logits.dtype))
    tensors = {name: t for name, t in (("Z", task.logits), ("X", x), ("OUT", out)) if t is not None}
    layout, memory = layout_of(task.dim, *tensors.values())
    one_hot, is_dense = task.kind is _row_statistics.ONE_HOT, task.kind is _row_statistics.DENSE
    is_two = x is not None or (is_dense and task.has_class_weight)
    is_simple = one_hot and not task.spec.z_loss and task.given is None and result is not _results.LOG_SOFTMAX
    config = configuration(
        task.classes, layout, task.logits.element_size(), operands=2 if is_two else 1, is_simple=is_simple,
        is_dense=is_dense and task.given is None,
    )  # fmt: skip
    if config.needs_copies:
        return _run_on_copies(task, result, out, x=x, mass=mass, keep_statistics=keep_statistics)
    needs_merging = config.tiles > 1 and out is not None and task.given is None
    # The sums of dense targets need too many registers to wait for the other tiles.
    waits = needs_merging and not is_dense and config.may_wait and CAN_WAIT
    waits = waits and config.tiles <= programs_at_once(task.logits, config.warps)
    if needs_merging and not waits:
        tiles = run(task, _results.STATISTICS_ONLY, x=x, keep_statistics=True)
        merged = merge(replace(task, targets=None), tiles)
        run(replace(task, given=merged), result, out, x=x, mass=mass)
        return merged.unsqueeze(1) if keep_statistics else None
    statistics, count = task.given, None
    if statistics is None and (keep_statistics or waits):
        shape = (task.row_count, config.tiles, _row_statistics.FIELDS.value)
        statistics = torch.empty(shape, dtype=torch.float64, device=task.logits.device)
    if waits:
        count = torch.zeros(task.row_count + 1, dtype=torch.int32, device=task.logits.device)
    bases = dict(zip(tensors, memory, strict=True))
    strides = dict(zip(tensors, layout.strides, strict=True))
    programs = config.tiles * layout.blocks(config.rows, scattered=config.scattered)
    launch(
        rows,
        programs if task.unless_one is None else min(programs, _MOST_LOOKING),
        task.logits,
        **task.arguments(),
        Z=bases["Z"],
        X=bases.get("X"),
        OUT=bases.get("OUT"),
        MASS=mass,
        STATISTICS=statistics,
        COUNT=count,
        sizes=layout.sizes,
        z_strides=strides["Z"],
        x_strides=strides.get("X"),
        out_strides=strides.get("OUT"),
        tiles=config.tiles,
        groups=config.groups_used,
        programs=programs,
        TILES=power_of_two(config.tiles),
        STRIDED=layout.is_strided,
        RESULT=result,
        SMOOTHED=task.spec.label_smoothing != 0,
        GIVEN=task.given is not None,
        **config.options(),
    )
    return statistics if keep_statistics else None


def _run_on_copies(task: Task, result: Any, out: Tensor | None, *, x: Tensor | None, **others: Any) -> Tensor | None:
    """`run` for classes that are not next to each other, by copies in which they are."""

    def classes_last(tensor: Tensor) -> Tensor:
        return tensor.movedim(task.dim, -1).contiguous()

    moved = replace(task, logits=classes_last(task.logits), dim=task.logits.ndim - 1)
    copy = None if out is None else classes_last(out)  # which stays if nothing is to be done
    statistics = run(moved, result, copy, x=None if x is None else classes_last(x), **others)
    if out is not None and copy is not None:
        out.copy_(copy.movedim(-1, task.dim))
    return statistics


def merge(task: Task, tiles: Tensor) -> Tensor:
    """The statistics of rows, (rows, fields), from those of their tiles, with the part of the label if there is one."""
    merged = torch.empty_like(tiles[:, 0])
    run_finish(task, tiles, merged=merged)
    return merged


def run_finish(
    task: Task,
    statistics: Tensor,
    *,
    losses: Tensor | None = None,
    gradient: Tensor | None = None,
    merged: Tensor | None = None,
    lse: Tensor | None = None,
) -> None:
    """Store what each row needs only once; the gradient gets the element of the label."""
    if statistics.ndim == 3 and statistics.shape[1] > _MOST_MERGED:
        statistics = _of_fewer_tiles(task, statistics)
    layout, (base,) = layout_of(task.dim, task.logits if gradient is None else gradient)
    tiles = 1 if statistics.ndim == 2 else statistics.shape[1]
    row_count, rows_of_program = len(statistics), min(_ROWS_OF_FINISH, _TILES_OF_FINISH // power_of_two(tiles))
    launch(
        finish,
        -(-row_count // rows_of_program),
        statistics,
        **task.arguments() | {"n": row_count},
        STATISTICS=statistics,
        LOSSES=losses,
        GRADIENT=None if gradient is None else base,
        MERGED=merged,
        LSE=lse,
        sizes=layout.sizes,
        strides=layout.strides[0],
        tiles=tiles,
        ROWS=rows_of_program,
        TILES=power_of_two(tiles),
        STRIDED=layout.is_strided,
    )


def _of_fewer_tiles(task: Task, statistics: Tensor) -> Tensor:
    """The statistics of rows in tiles that are several of those given each."""
    row_count, tiles, fields = statistics.shape
    fewer = -(-tiles // _MOST_MERGED)
    padded = statistics.new_zeros(row_count, fewer * _MOST_MERGED, fields)
    padded[:, tiles:, :3] = -torch.inf  # the maximum and the logit of the label of no class, whose s' is
    padded[:, tiles:, 1] = -1
    padded[:, :tiles] = statistics
    merged = merge(replace(task, targets=None), padded.view(-1, _MOST_MERGED, fields))
    return merged.view(row_count, fewer, fields)


def scale_unless_one(tensor: Tensor, factor: Tensor) -> None:
    """Multiply a contiguous tensor in place by a number on its device."""
    blocks = -(-tensor.numel() // _SCALED_ELEMENTS)
    launch(scale, min(blocks, _MOST_LOOKING), tensor, X=tensor, FACTOR=factor, n=tensor.numel(), BLOCK=_SCALED_ELEMENTS)
