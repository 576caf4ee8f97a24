"""How kernels are started: on the device of their tensors, without contraction of products and sums."""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from torch import Tensor

# The interpreter runs one program after another: none may wait for another one.
CAN_WAIT = os.environ.get("TRITON_INTERPRET") != "1"
# Threads of a processor whose registers are certain to suffice: each has at most 255.
_THREADS = 256


def programs_at_once(tensor: Tensor, warps: int) -> int:
    """How many programs of so many warps are certain to run at once on the device of a tensor.

    Half of those for which it has registers: kernels in two streams may wait at the same time.
    """
    if not tensor.is_cuda:  # it is compiled or interpreted, for any device
        return sys.maxsize
    processors = torch.cuda.get_device_properties(tensor.device).multi_processor_count
    return processors * max(1, _THREADS // (32 * warps)) // 2


def launch(kernel: Any, grid: int, tensor: Tensor, **arguments: Any) -> None:
    """Start so many programs of a kernel on the device and the present stream of a tensor."""
    with torch.cuda.device(tensor.device) if tensor.is_cuda else nullcontext():
        kernel[(grid,)](**arguments, enable_fp_fusion=False)
