"""Derivations of softmax's derivatives, step by step, each step checked by SymPy and in numbers.

derive          a derivation by its name
NAMES           the names: softmax, log-softmax, logsumexp, cross-entropy, cross-entropy-hessian, linear-head
Derivation      its steps, `verify` and `render`
Step            a rule, the reason for it, the expressions before and after, the condition, a warning
Verification    what `verify` found

Needs SymPy: ``pip install "softgrad[derivation]"``.
"""

try:
    import sympy as _sympy  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "sympy":
        raise
    raise ModuleNotFoundError(
        'softgrad.derivation needs SymPy, which is not installed; write pip install "softgrad[derivation]"',
        name="sympy",
    ) from None

from softgrad.derivation._derivation import Derivation, Step
from softgrad.derivation._derive import NAMES, derive
from softgrad.derivation._verification import StepCheck, Verification

__all__ = ["NAMES", "Derivation", "Step", "StepCheck", "Verification", "derive"]
