"""Checks of softmax, cross-entropy and their derivatives: is a function right, and if not, what is the mistake?

check_softmax, check_softmax_jacobian, check_softmax_vjp                        fn(z), fn(z, v)
check_log_softmax, check_log_softmax_jacobian, check_log_softmax_vjp            fn(z), fn(z, v)
check_cross_entropy, check_cross_entropy_grad, check_cross_entropy_hessian      fn(z, target)
check_cross_entropy_hvp                                                         fn(z, target, v)
check_linear_cross_entropy_grad                                                 fn(x, W, bias, target)

Each check calls a function on small batches of logits and returns a `Report` with the verdict, the name of the mistake
if it is known, and the code to write instead. The command is ``softgrad check``.
"""

from softgrad.checking._loss_checks import (
    check_cross_entropy,
    check_cross_entropy_grad,
    check_cross_entropy_hessian,
    check_cross_entropy_hvp,
    check_linear_cross_entropy_grad,
)
from softgrad.checking._report import Report
from softgrad.checking._softmax_checks import (
    check_log_softmax,
    check_log_softmax_jacobian,
    check_log_softmax_vjp,
    check_softmax,
    check_softmax_jacobian,
    check_softmax_vjp,
)

__all__ = [
    "Report",
    "check_cross_entropy",
    "check_cross_entropy_grad",
    "check_cross_entropy_hessian",
    "check_cross_entropy_hvp",
    "check_linear_cross_entropy_grad",
    "check_log_softmax",
    "check_log_softmax_jacobian",
    "check_log_softmax_vjp",
    "check_softmax",
    "check_softmax_jacobian",
    "check_softmax_vjp",
]
