"""Is my derivative right, and if not, what is wrong with it?

check_softmax, check_softmax_jacobian, check_softmax_vjp                        fn(z), fn(z, v)
check_log_softmax_jacobian                                                      fn(z)
check_cross_entropy, check_cross_entropy_grad, check_cross_entropy_hessian      fn(z, target)

Each takes a function of one's own, tries it on small batches of logits, and returns a `Report`: the verdict, the
mistake by its name where it is a known one, and what to write instead. The command: ``softgrad check``.
"""

from softgrad.checking._checks import (
    check_cross_entropy,
    check_cross_entropy_grad,
    check_cross_entropy_hessian,
    check_log_softmax_jacobian,
    check_softmax,
    check_softmax_jacobian,
    check_softmax_vjp,
)
from softgrad.checking._report import Report

__all__ = [
    "Report",
    "check_cross_entropy",
    "check_cross_entropy_grad",
    "check_cross_entropy_hessian",
    "check_log_softmax_jacobian",
    "check_softmax",
    "check_softmax_jacobian",
    "check_softmax_vjp",
]
