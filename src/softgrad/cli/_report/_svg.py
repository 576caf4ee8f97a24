"""Matplotlib figures as SVG within a page, in the colours and the font of its stylesheet."""

from __future__ import annotations

import base64
import io
import re
import warnings
from html import escape
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import matplotlib.image
import matplotlib.style
import numpy as np
from matplotlib.figure import Figure
from matplotlib.rcsetup import cycler

if TYPE_CHECKING:
    from collections.abc import Callable

    from softgrad._typing import Array

# Placeholders, each replaced by a property of the stylesheet, which has a light and a dark value.
INK, SOFT, LINE, PAGE, ACCENT, PLUS, MINUS = (f"#00be0{number}" for number in range(1, 8))
_PROPERTIES = {
    INK: "--ink", SOFT: "--soft", LINE: "--line", PAGE: "--page", ACCENT: "--accent", PLUS: "--plus", MINUS: "--minus",
}  # fmt: skip
# Pixels cannot refer to properties; where they are transparent, the light or dark page is visible.
_PLUS_RGB, _MINUS_RGB = (232, 112, 58), (63, 134, 221)
_STYLE = {
    "svg.fonttype": "none",
    "font.size": 9.5,
    # Names may contain a dollar sign.
    "text.parse_math": False,
    "text.color": INK,
    "axes.labelcolor": SOFT,
    "axes.edgecolor": LINE,
    "axes.facecolor": PAGE,
    "axes.prop_cycle": cycler(color=[MINUS, PLUS, ACCENT]),
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": SOFT,
    "ytick.labelcolor": SOFT,
    "lines.linewidth": 1.8,
    "legend.fontsize": 9,
    "legend.handlelength": 1.2,
    "legend.columnspacing": 1.2,
}


def svg(draw: Callable[[Figure], object], name: str, label: str, *, width: float, height: float) -> str:
    """Draw a figure whose size is in inches; `name` keeps its identifiers distinct from those of other figures."""
    written = io.StringIO()
    no_metadata = {"Creator": None, "Date": None, "Format": None, "Type": None}
    with matplotlib.style.context(["default", {**_STYLE, "svg.hashsalt": name}]), warnings.catch_warnings():
        # Matplotlib's font is used for measuring only: the page's font draws the letters.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        warnings.filterwarnings("ignore", "Matplotlib currently does not support")
        figure = Figure(figsize=(width, height), layout="constrained")
        draw(figure)
        figure.savefig(written, format="svg", transparent=True, metadata=no_metadata)
    return _inline(written.getvalue(), label)


def _inline(document: str, label: str) -> str:
    root = ET.fromstring(document)
    referred = set(re.findall(r'(?:href="|url\()#([^")]+)', document))
    for element in root.iter():
        # Within HTML, SVG needs no namespaces.
        element.tag = element.tag.rpartition("}")[2]
        attributes = {key.rpartition("}")[2]: value for key, value in element.attrib.items()}
        element.attrib.clear()
        for key, value in attributes.items():
            if key == "id" and value not in referred:
                continue
            element.set(key, _styled(value) if key == "style" else " ".join(value.split()))
        element.text, element.tail = element.text and element.text.strip(), None
    for parent in list(root.iter()):
        # These stylesheets would apply to the whole page, which has its own.
        for child in [c for c in parent if c.tag in {"metadata", "style"}]:
            parent.remove(child)
    width, height = (float(value) for value in root.attrib["viewBox"].split()[2:])
    root.attrib.clear()
    root.attrib |= {
        "viewBox": f"0 0 {width:g} {height:g}",
        "width": f"{width / 0.75:.0f}",
        "height": f"{height / 0.75:.0f}",
        "role": "img",
        "aria-label": label,
    }
    return ET.tostring(root, encoding="unicode")


def _styled(style: str) -> str:
    rules = [rule.strip() for rule in style.split(";")]
    kept = "; ".join(rule for rule in rules if rule and not rule.startswith("font-family"))
    for colour, name in _PROPERTIES.items():
        kept = kept.replace(colour, f"var({name})")
    return kept


def tints(values: Array, strongest: float = 1.0) -> Array:
    """Colour numbers from -1 to 1: blue below 0, orange above; the opacity is the square root of the magnitude."""
    pixels = np.where(values[..., None] < 0, _MINUS_RGB, _PLUS_RGB)
    alpha = 255 * strongest * np.sqrt(np.abs(values))
    return np.concatenate([pixels, alpha[..., None]], axis=-1).round().astype(np.uint8)


def image(pixels: Array, label: str) -> str:
    """Draw each pixel as a square."""
    png = io.BytesIO()
    matplotlib.image.imsave(png, pixels, format="png")
    height, width = pixels.shape[:2]
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(label)}"><image width="{width}" '
        f'height="{height}" href="data:image/png;base64,{base64.b64encode(png.getvalue()).decode()}"/></svg>'
    )
