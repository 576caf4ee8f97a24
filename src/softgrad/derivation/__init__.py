"""Step-by-step derivations of the derivatives of softmax, each step checked symbolically and numerically.

derive          return a derivation by its name
NAMES           the names: softmax, log-softmax, logsumexp, cross-entropy, cross-entropy-hessian, linear-head
Derivation      the steps, `verify` and `render`
Step            a rule, the reason for it, the expressions before and after, the condition, a warning
Verification    the result of `verify`, with a `StepCheck` for each step

Needs SymPy, and Jinja2 for HTML: ``pip install "softgrad[derivation]"``.
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

from softgrad.derivation._content import Step
from softgrad.derivation._derivation import Derivation
from softgrad.derivation._derive import NAMES, derive
from softgrad.derivation._verification import StepCheck, Verification

__all__ = ["NAMES", "Derivation", "Step", "StepCheck", "Verification", "derive"]
