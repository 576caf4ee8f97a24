"""Types in the annotations of the package."""

from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]
