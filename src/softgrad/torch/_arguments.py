"""Checks of users' arguments, with torch's kinds of exception; they are returned in the form the operators take."""

from __future__ import annotations

import functools
import operator
from typing import TYPE_CHECKING, Any, NoReturn

import torch
from torch.compiler import is_compiling

from softgrad import _loss_spec
from softgrad.torch._kernels import DTYPES, without

if TYPE_CHECKING:
    from torch import Tensor

    from softgrad._loss_spec import LossSpec

# Classes of probability 0, and rows that do not count.
_PADDING = {"input": "-torch.inf", "target": "-100"}
_FLOATING = "torch.float16, bfloat16, float32 or float64"


def logits(value: Tensor, dim: int, dtype: torch.dtype | None, function: str) -> tuple[Tensor, int]:
    """The logits of softmax and log_softmax, in the dtype of the result, and their dimension from the front."""
    _require_tensor(value, "input", function)
    if dtype is not None:
        if dtype not in DTYPES:
            raise NotImplementedError(f"dtype={dtype}; expected {_FLOATING}")
        value = value.to(dtype)
    elif value.dtype not in DTYPES or (value.is_cuda and value.element_size() < 4):
        if value.dtype not in DTYPES:
            _reject_dtype(value, "input", f"write softgrad.torch.{function}(input, dim, dtype=torch.float32)")
        if under_autocast(value.device):
            value = value.float()
    return value, class_dim(dim, value.ndim)


def reduced(value: Tensor, dim: int | tuple[int, ...]) -> tuple[Tensor, tuple[int, ...]]:
    """The logits of logsumexp, and its dimensions from the front."""
    _require_tensor(value, "input", "logsumexp")
    if value.dtype not in DTYPES:
        if value.is_floating_point() or value.is_complex():
            _reject_dtype(value, "input", "write input.to(torch.float32)")
        value = value.to(torch.get_default_dtype())
    given = dim if isinstance(dim, tuple | list) else (dim,)
    dims = tuple(class_dim(d, value.ndim) for d in given) or tuple(range(value.ndim))
    if len(set(dims)) != len(dims):
        raise RuntimeError(f"dim={dim!r} names a dimension twice; name every dimension once")
    return value, tuple(sorted(dims))


def class_dim(dim: int, ndim: int) -> int:
    """A dimension counted from the front; a scalar has one."""
    if type(dim) is not int:
        try:
            if isinstance(dim, bool):
                raise TypeError
            dim = operator.index(dim)
        except TypeError:
            raise TypeError(f"dim={dim!r}; expected an integer") from None
    if not -max(ndim, 1) <= dim < max(ndim, 1):
        raise IndexError(f"dim={dim}; expected from {-max(ndim, 1)} to {max(ndim, 1) - 1} for a tensor of {ndim} axes")
    return dim % ndim if ndim else 0


def cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None, spec: LossSpec, all_classes: int | None = None
) -> tuple[Tensor, Tensor, Tensor | None, int]:
    """Tensors of matching shapes, dtypes and devices, and the dimension of the classes.

    If the logits are a shard of the classes, `all_classes` is the number of all, or -1 if that is not known.
    """
    function = "cross_entropy"
    _require_tensor(input, "input", function)
    _require_tensor(target, "target", function)
    if input.dtype not in DTYPES:
        _reject_dtype(input, "input", "write input.to(torch.float32)")
    dim = 1 if input.ndim > 1 else 0
    target = _target(input, target, dim, is_shard=all_classes is not None)
    if target.is_cpu != input.is_cpu or (not input.is_cpu and target.device != input.device):
        _reject_device(target, "target", input)
    logits = input
    if target.dtype is not torch.int64:
        _no_ignored_row(spec)
        if target.dtype != input.dtype:
            wide = torch.promote_types(input.dtype, target.dtype)
            logits, target = input.to(wide), target.to(wide)
    if weight is not None:
        _require_tensor(weight, "weight", function)
        classes = input.shape[dim] if all_classes is None else all_classes
        class_weight(weight, input, classes, not target.is_floating_point())
        if weight.dtype != logits.dtype:
            logits = logits.to(torch.promote_types(logits.dtype, weight.dtype))
    return logits, target, weight, dim


def is_distributed(value: Any) -> bool:
    """Whether a value is a DTensor."""
    if type(value) is torch.Tensor:
        return False  # the usual case, at once
    tensor = getattr(torch.distributed, "tensor", None)  # None: not imported, or not in this build
    return tensor is not None and isinstance(value, tensor.DTensor)


def are_distributed(input: Tensor, target: Tensor, weight: Tensor | None) -> bool:
    """Whether the logits are a DTensor. The other tensors may be DTensors then, and only then."""
    if type(input) is torch.Tensor and type(target) is torch.Tensor and weight is None:
        return False  # the usual case, at once
    return _are_distributed({"input": input}, {"target": target, "weight": weight})


def is_head_distributed(input: Tensor, linear_weight: Tensor, **others: Tensor | None) -> bool:
    """Whether features and coefficients are DTensors. The other tensors may be DTensors then, and only then."""
    return _are_distributed({"input": input, "linear_weight": linear_weight}, others)


def _are_distributed(required: dict[str, Tensor], others: dict[str, Tensor | None]) -> bool:
    distributed = [name for name, value in {**required, **others}.items() if is_distributed(value)]
    for name in required:
        if distributed and name not in distributed:
            raise TypeError(
                f"{distributed[0]} is a DTensor and {name} a plain tensor; expected DTensors of one mesh; write "
                f"torch.distributed.tensor.distribute_tensor({name}, mesh, placements), or DTensor.from_local(...) if "
                f"{name} is the part of this rank"
            )
    return bool(distributed)


def loss_spec(**options: Any) -> LossSpec:
    """The checked options of a loss; one shared object for those of the same values."""
    if is_compiling():
        return _checked(**options)
    try:
        return _shared(**options)
    except TypeError:  # of a check, or of a value that cannot be shared
        return _checked(**options)


def _checked(**options: Any) -> LossSpec:
    if options["ignore_index"] is None or isinstance(options["ignore_index"], bool):
        raise TypeError(f"ignore_index={options['ignore_index']}; expected an integer")
    try:
        return _loss_spec.loss_spec("cross_entropy", options)
    except ValueError as error:
        if str(error).startswith("label_smoothing"):
            raise RuntimeError(*error.args) from None  # torch's kind
        raise


_shared = functools.lru_cache(maxsize=256, typed=True)(_checked)


def _target(input: Tensor, target: Tensor, dim: int, *, is_shard: bool) -> Tensor:
    """Class probabilities of the shape of the logits, or labels as int64 with one for each row."""
    shape = input.shape
    if len(shape) == 2 and target.dtype is torch.int64 and target.shape == shape[:1] and shape[1]:
        return target  # the usual case, at once
    if not shape:
        raise RuntimeError("input is a scalar; expected at least one axis, of classes; write input.unsqueeze(0)")
    if target.shape == shape:
        if target.dtype in DTYPES:
            return target
        hint = "for one-hot rows write target.to(input.dtype)"
        raise RuntimeError(
            f"target has the shape of input, {tuple(shape)}, and is taken as class probabilities, but its dtype is "
            f"{target.dtype}; expected a floating dtype; for class indices expected shape {without(shape, dim)}; {hint}"
        )
    rows = without(shape, dim)
    if target.dtype not in (torch.int64, torch.uint8):
        _reject_target_dtype(target, rows, tuple(shape))
    if target.shape != rows:
        if rows or target.shape != (1,):  # torch takes one label of shape (1,) for one row without a batch
            _reject_target_shape(target, input, rows, tuple(shape))
        target = target.reshape(())
    if not shape[dim] and target.numel() and not is_shard:
        raise IndexError(f"input has shape {tuple(shape)}: no classes; expected at least one, for target to name")
    return target if target.dtype == torch.int64 else target.long()


def _reject_target_dtype(target: Tensor, rows: tuple[int, ...], probabilities: tuple[int, ...]) -> NoReturn:
    raise RuntimeError(
        f"target has dtype {target.dtype} and shape {tuple(target.shape)}; expected class indices (torch.int64, "
        f"shape {rows}) or class probabilities (floating, shape {probabilities}); write target.long() for class indices"
    )


def _reject_target_shape(
    target: Tensor, input: Tensor, rows: tuple[int, ...], probabilities: tuple[int, ...]
) -> NoReturn:
    same_batch = rows and target.ndim and target.shape[0] == rows[0]
    raise (RuntimeError if same_batch else ValueError)(
        f"target has shape {tuple(target.shape)} beside input of shape {tuple(input.shape)}; expected {rows}, one "
        f"class index for each row, or {probabilities} for class probabilities"
    )


def class_weight(weight: Tensor, input: Tensor, classes: int, same_dtype: bool) -> None:
    """One weight for each class; classes: -1 if their number is not known."""
    if weight.ndim != 1 or (len(weight) != classes and classes >= 0):
        expected = "C" if classes < 0 else classes
        raise RuntimeError(f"weight has shape {tuple(weight.shape)}; expected ({expected},), one weight for each class")
    other = same_dtype and weight.dtype != input.dtype and not under_autocast(input.device)
    if weight.dtype not in DTYPES or other:
        raise RuntimeError(
            f"weight has dtype {weight.dtype}; expected {input.dtype}, the dtype of input; write weight.to(input.dtype)"
        )
    if weight.device != input.device:
        _reject_device(weight, "weight", input)


def shard(first_class: int | None, num_classes: int | None, weight: Tensor | None) -> tuple[int, int]:
    """The first class of a shard and the number of all classes; -1 for each that is not given."""
    first = -1 if first_class is None else _count(first_class, "first_class")
    if num_classes is not None:
        return first, _count(num_classes, "num_classes")
    return first, weight.numel() if isinstance(weight, torch.Tensor) and weight.ndim == 1 else -1


def _count(value: Any, name: str) -> int:
    try:
        if isinstance(value, bool):
            raise TypeError
        count = operator.index(value)
    except TypeError:
        raise TypeError(f"{name}={value!r}; expected a non-negative integer or None") from None
    if count < 0:
        raise ValueError(f"{name}={value}; expected a non-negative integer or None")
    return count


def linear_head(input: Tensor, weight: Tensor, bias: Tensor | None) -> None:
    """Features and coefficients of a linear head."""
    parts = [(input, "input"), (weight, "linear_weight")]
    if bias is not None:
        parts.append((bias, "linear_bias"))
    for value, name in parts:
        _require_tensor(value, name, "linear_cross_entropy")
        if value.dtype not in DTYPES:
            _reject_dtype(value, name, f"write {name}.to(torch.float32)")
        if value.device != input.device:
            _reject_device(value, name, input)
        if value.dtype != input.dtype and not under_autocast(input.device):
            raise RuntimeError(
                f"{name} has dtype {value.dtype}; expected {input.dtype}, the dtype of input; write "
                f"{name}.to(input.dtype)"
            )
    if weight.ndim < 2:
        raise RuntimeError(f"linear_weight has shape {tuple(weight.shape)}; expected (C, D): a row for each class")
    if not input.ndim or input.shape[-1] != weight.shape[-1]:
        raise RuntimeError(
            f"input has shape {tuple(input.shape)} and linear_weight {tuple(weight.shape)}; expected (*, D) and "
            "(C, D): logits = input @ linear_weight.T; write linear_weight.T if it is (D, C)"
        )
    if weight.ndim > 2 and input.ndim != 2:
        raise RuntimeError(
            f"input has shape {tuple(input.shape)} and linear_weight {tuple(weight.shape)}: several outputs; expected "
            "input of shape (N, D); write input.reshape(-1, input.shape[-1])"
        )
    if bias is not None and bias.shape != weight.shape[:-1]:
        raise RuntimeError(
            f"linear_bias has shape {tuple(bias.shape)}; expected {tuple(weight.shape[:-1])}, one value for each class"
        )


def linear_target(
    target: Tensor,
    weight: Tensor | None,
    batch: tuple[int, ...],
    input: Tensor,
    linear_weight: Tensor,
    spec: LossSpec,
    all_classes: int | None = None,
) -> Tensor:
    """Labels as int64, one for each row of the batch and output of the head, or class probabilities.

    If the head is a shard of the classes, `all_classes` is the number of all, or -1 if that is not known.
    """
    _require_tensor(target, "target", "linear_cross_entropy")
    if target.device != input.device:
        _reject_device(target, "target", input)
    classes, *outputs = linear_weight.shape[:-1]
    rows, probabilities = (*batch, *outputs), (*batch, classes, *outputs)
    if target.shape == probabilities and target.dtype in DTYPES:
        _no_ignored_row(spec)
    elif target.dtype not in (torch.int64, torch.uint8):
        _reject_target_dtype(target, rows, probabilities)
    elif target.shape != rows:
        _reject_target_shape(target, input, rows, probabilities)
    if not classes and all_classes is None and not target.is_floating_point() and target.numel():
        raise IndexError("linear_weight has no rows: no classes; expected at least one, for target to name")
    if weight is not None:
        _require_tensor(weight, "weight", "linear_cross_entropy")
        class_weight(weight, input, classes if all_classes is None else all_classes, not target.is_floating_point())
    return target.long() if target.dtype == torch.uint8 else target


def under_autocast(device: torch.device) -> bool:
    """Whether autocast is on for a device; some, as "meta", have none, and torch fails when asked."""
    return torch.amp.is_autocast_available(device.type) and torch.is_autocast_enabled(device.type)


def _no_ignored_row(spec: LossSpec) -> None:
    """Reject an index to ignore beside class probabilities; torch's default, a negative one, ignores none."""
    if spec.ignore_index is not None and spec.ignore_index >= 0:
        raise RuntimeError(
            f"ignore_index={spec.ignore_index} needs class indices, but target holds class probabilities; set the rows "
            "to drop to zeros instead"
        )


def _require_tensor(value: Any, name: str, function: str) -> None:
    if type(value) is torch.Tensor and value.layout is torch.strided and not value.is_nested:
        return
    if not isinstance(value, torch.Tensor):
        hint = f"softgrad.{function} takes NumPy arrays" if type(value).__module__ == "numpy" else ""
        raise TypeError(
            f"{name} is a {type(value).__name__}; softgrad.torch.{function} takes a torch.Tensor: write "
            f"torch.as_tensor({name})" + (f"; {hint}" if hint else "")
        )
    if value.is_nested:
        padded = f"{name}.to_padded_tensor({_PADDING.get(name, 0)})"
        raise RuntimeError(f"{name} is nested, of layout {value.layout}; expected a dense tensor; write {padded}")
    if value.layout is not torch.strided:
        raise RuntimeError(f"{name} has layout {value.layout}; expected a dense tensor; write {name}.to_dense()")


def _reject_dtype(value: Tensor, name: str, instead: str) -> NoReturn:
    raise NotImplementedError(f"{name} has dtype {value.dtype}; expected {_FLOATING}; {instead}")


def _reject_device(value: Tensor, name: str, input: Tensor) -> NoReturn:
    raise RuntimeError(
        f"{name} is on {value.device} and input on {input.device}; expected one device; write {name}.to(input.device)"
    )
