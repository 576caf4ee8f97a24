"""`Derivation`: the content with its verification and its renderings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from softgrad.derivation import _html, _latex, _text
from softgrad.derivation._content import Content
from softgrad.derivation._verification import verify

if TYPE_CHECKING:
    from softgrad.derivation._verification import Verification


class Derivation(Content):
    """A derivation, step by step; `derive` makes them.

    Attributes
    ----------
    name, title, summary : str
        The name that `derive` takes, a heading, and one sentence on what is derived.
    meanings : tuple of Meaning
        The symbols.
    sections : tuple of Section
        Chains of steps, each under a heading.
    results : tuple of Result
        The formulas that are derived.
    example : Example
        The formulas in numbers, computed by the shipped functions.
    """

    def __repr__(self) -> str:
        return f"<Derivation {self.name}: {len(self.steps)} steps>"

    def __str__(self) -> str:
        return self.render()

    def verify(self) -> Verification:
        """Check every step independently of the rules, and the results against the kernels.

        Returns
        -------
        Verification
            ``passed``, ``failed_step``, and the check of each step; ``str()`` of it is a report.

        Notes
        -----
        Symbolically at n = 2, 3, 4 and 5, for all index values that the step's condition allows: SymPy
        differentiates by plain symbols, and both sides are equal as rational functions of the e^{z_i}. Numerically
        at n = 7: derivatives by central differences in 250 digits, both sides equal to 50 digits of the larger, for
        two random sets of values whose targets do not sum to one (unless the condition requires it). A linear head
        has two features there. The results: against the shipped function in float64. This takes one second, or four
        for the longest derivation.
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
            A result of `verify`, to be shown with the derivation.

        Returns
        -------
        str
            Ends with a newline.

        Raises
        ------
        ValueError
            If `form` is another word, or `verification` is that of another derivation.
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
