"""The operators ``torch.ops.softgrad``, and questions about a call on which their derivatives depend.

The only place that touches torch's private interfaces, in `_torch_internals`.
"""

from softgrad.torch._dispatch import _operators as operators
from softgrad.torch._dispatch import _sharded_operators as sharded_operators
from softgrad.torch._dispatch._operator import CustomOperator, has_value, is_plain, primals
from softgrad.torch._dispatch._torch_internals import (
    are_transforms_active,
    direct_apply,
    may_be_differentiated,
    recording,
)

__all__ = [
    "CustomOperator",
    "are_transforms_active",
    "direct_apply",
    "has_value",
    "is_plain",
    "may_be_differentiated",
    "operators",
    "primals",
    "recording",
    "sharded_operators",
]
