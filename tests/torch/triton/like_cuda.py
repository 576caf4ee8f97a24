"""The kernels that tensors would have if their device were CUDA."""

import torch

from softgrad.torch._kernels import _composed, _triton


class Kernels:
    """Triton's; the composed ones for float64."""

    def __getattr__(self, name):
        if not callable(getattr(_triton, name)):
            return getattr(_triton, name)

        def call(*args, **options):
            return getattr(_composed if is_double(args) else _triton, name)(*args, **options)

        return call


def is_double(args):
    """Whether the logits, which come first, are float64; `targets` gets their dtype instead, as the last argument."""
    if args and isinstance(args[-1], torch.dtype):
        return args[-1] == torch.float64
    return bool(args) and isinstance(args[0], torch.Tensor) and args[0].dtype == torch.float64
