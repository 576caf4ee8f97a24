"""The explorer: softmax and its derivatives as an interactive page.

page            the page, one HTML file that needs no network

Needs SymPy and Jinja2: ``pip install "softgrad[derivation]"``. The command ``softgrad explore`` opens the page.
"""

from softgrad.explorer._page import page

__all__ = ["page"]
