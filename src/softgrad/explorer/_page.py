"""The page: modules of JavaScript in an import map, formulas as templates, one stylesheet."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import softgrad
from softgrad import _pages
from softgrad.explorer._formulas import formulas

# Characters of a module that stand for themselves in an address: all but %, #, line ends and what is not ASCII.
_PLAIN = " !\"$&'()*+,/:;<=>?@[\\]^`{|}"
_SCRIPTS = Path(__file__).parent / "scripts"


def page() -> str:
    r"""Return the explorer as one HTML page, which needs no network and no other file.

    The page shows softmax, its Jacobian, cross-entropy, descent and the rounding of float32 for logits that its
    reader moves. Its state is in the fragment of its address.

    Returns
    -------
    str
        HTML with the modules of JavaScript, the stylesheet and the formulas (MathML) within it.

    Raises
    ------
    ModuleNotFoundError
        If SymPy or Jinja2 is not installed.

    Examples
    --------
    >>> from softgrad.explorer import page
    >>> page().partition("\n")[0]
    '<!DOCTYPE html>'
    """
    return _pages.render(
        "explorer.html",
        title="Softmax and its derivatives",
        version=softgrad.__version__,
        formulas=formulas(),
        modules={f"#{path.name}": _address(path) for path in sorted(_SCRIPTS.glob("*.js"))},
    )


def _address(path: Path) -> str:
    """Return the text of a module as an address for the import map."""
    return "data:text/javascript;charset=utf-8," + quote(path.read_text(encoding="utf-8"), safe=_PLAIN)
