"""HTML pages that need no network and no script, from Jinja2 templates over one stylesheet."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment


def render(template: str, **content: Any) -> str:
    """Fill a template of this folder; a string is escaped unless the template marks it as safe."""
    return _environment().get_template(template).render(content)


@functools.cache
def _environment() -> Environment:
    # Only pages need Jinja2.
    try:
        import jinja2  # noqa: PLC0415
    except ModuleNotFoundError as error:
        if error.name != "jinja2":
            raise
        raise ModuleNotFoundError(
            'HTML needs Jinja2, which is not installed; write pip install "softgrad[derivation]"', name="jinja2"
        ) from None
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
