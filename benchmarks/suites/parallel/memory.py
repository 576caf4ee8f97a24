"""The memory that the loss and its backward() take on a rank, above its logits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmarks import memory, tables
from benchmarks.memory import disagreements
from benchmarks.suites.parallel import cross_entropy
from benchmarks.suites.parallel.world import World

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.suites import Record

_WARM_UP = 64, 1000
_LIMIT = 1.1  # in gradients


@dataclass(frozen=True)
class MemoryCase:
    """The largest peak of a rank, in ranks that compute nothing else."""

    shape: tuple[int, int]
    ranks: int

    @property
    def title(self) -> str:
        """The name of the work."""
        return f"memory of a rank, loss + backward, {tables.shape(self.shape)}"

    def measure(self, _rounds: int, progress: Callable[[str], object]) -> Record:
        """Run each way once, in ranks of its own; without figures where the system does not tell the peak."""
        gradient_bytes = 4 * self.shape[0] * -(-self.shape[1] // self.ranks)
        variants = []
        for name in ("softgrad", "torch") if memory.can_measure() else ():
            progress(f"{name} in ranks of its own")
            peaks = self._peaks(name)
            loss = float(peaks[0].result[0])
            variants.append(
                {"name": name, "refused": None, "peak_bytes": max(peak.bytes for peak in peaks), "loss": loss}
            )
        limit = _LIMIT * gradient_bytes
        reached = variants[0]["peak_bytes"] <= limit if variants else None
        return {
            "title": self.title,
            "shape": list(self.shape),
            "dtype": "float32",
            "gradient_bytes": gradient_bytes,
            "variants": variants,
            "goals": [{"peer": "softgrad", "text": f"≤ {_LIMIT}×", "limit_bytes": limit, "reached": reached}],
            "problems": disagreements(variants),
        }

    def _peaks(self, name: str) -> list[Any]:
        with World(self.ranks) as world:
            world.prepare(cross_entropy.prepare, _WARM_UP)
            world.call(name)
            world.prepare(cross_entropy.prepare, self.shape)
            return world.peaks(name)
