"""How kernels are started: on the device of their tensors, without contraction of products and sums."""

from __future__ import annotations

import os
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from torch import Tensor

# The interpreter runs one program after another: none may wait for another one.
CAN_WAIT = os.environ.get("TRITON_INTERPRET") != "1"


def launch(kernel: Any, grid: int, tensor: Tensor, **arguments: Any) -> None:
    """Start so many programs of a kernel on the device and the present stream of a tensor."""
    with torch.cuda.device(tensor.device) if tensor.is_cuda else nullcontext():
        kernel[(grid,)](**arguments, enable_fp_fusion=False)
