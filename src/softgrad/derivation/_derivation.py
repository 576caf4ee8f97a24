"""`Derivation`: the content with its verification and its renderings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from softgrad.derivation import _html, _latex, _text
from softgrad.derivation._content import Content
from softgrad.derivation._verification import verify

if TYPE_CHECKING:
    from softgrad.derivation._verification import Verification


class Derivation(Content):
    """A step-by-step derivation, returned by `derive`.

    Attributes
    ----------
    name, title, summary : str
        The name for `derive`, a heading, and one sentence on what is derived.
    meanings : tuple of Meaning
        The symbols.
    sections : tuple of Section
        Chains of steps, each under a heading.
    results : tuple of Result
        The formulas that are derived.
    example : Example
        The formulas evaluated for numbers by softgrad's functions.
    """

    def __repr__(self) -> str:
        return f"<Derivation {self.name}: {len(self.steps)} steps>"

    def __str__(self) -> str:
        return self.render()

    def verify(self) -> Verification:
        """Check every step independently of the rules, and compare the results with the kernels.

        Returns
        -------
        Verification
            The verdict ``passed``, the position ``failed_step`` and the check of each step; ``str()`` returns a report.

        Notes
        -----
        The symbolic check covers n = 2, 3, 4 and 5 and all index values that the step's condition allows: SymPy
        differentiates with respect to plain symbols, and both sides must be equal as rational functions of the
        e^{z_i}. The numerical check at n = 7 computes derivatives by central differences in 250 digits; both sides
        must agree to 50 digits of the larger one, for two random sets of values whose targets do not sum to one
        (unless the condition requires it), and with two features for a linear head. The results are compared with
        softgrad's functions in float64. Verification takes one second, or four for the longest derivation.
        """
        return verify(self)

    def render(
        self, form: Literal["text", "latex", "html"] = "text", *, verification: Verification | None = None
    ) -> str:
        """Render the derivation.

        Parameters
        ----------
        form : {"text", "latex", "html"}
            Plain Unicode of at most 80 columns; a LaTeX document; or one self-contained HTML page with native
            MathML, which needs Jinja2.
        verification : Verification, optional
            Result of `verify` to show with the derivation.

        Returns
        -------
        str
            The rendered derivation, which ends with a newline.

        Raises
        ------
        ValueError
            If `form` has another value, or `verification` belongs to another derivation.
        """
        renderers = {"text": _text.render, "latex": _latex.render, "html": _html.page}
        if form not in renderers:
            raise ValueError(f"form={form!r}; expected 'text', 'latex' or 'html'")
        if verification is not None and verification.name != self.name:
            raise ValueError(f"verification is that of {verification.name!r}; expected that of {self.name!r}")
        return renderers[form](self, verification)

    def _repr_latex_(self) -> str:
        return _latex.notebook(self)

    def _repr_html_(self) -> str:
        return _html.fragment(self)
