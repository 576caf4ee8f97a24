"""The CPU quota of a container: the limit of its Linux control groups."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def cpu_quota(root: Path = Path("/")) -> float | None:
    """Return the number of CPUs whose time this process may use; None without a limit.

    The smallest quota of its control group and of those that contain it; of version 2 (``cpu.max``) or
    1 (``cpu.cfs_quota_us``). `root` is the folder of the file system.
    """
    quotas = [_quota(folder) for folder in _control_groups(root)]
    return min((quota for quota in quotas if quota is not None), default=None)


def _control_groups(root: Path) -> Iterator[Path]:
    """The folders of the control groups that may limit the CPU time."""
    mounts = root / "sys/fs/cgroup"
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers and "cpu" not in controllers.split(","):
            continue
        # A container sees its own group as the root of the mount, whatever path the host has for it.
        inside = PurePosixPath(path.lstrip("/"))
        for group in (inside, *inside.parents):
            yield mounts / controllers / group


def _quota(folder: Path) -> float | None:
    if limit := _lines(folder / "cpu.max"):
        quota, period = [*limit[0].split(), "", ""][:2]
    else:
        quota, period = ("".join(_lines(folder / f"cpu.cfs_{name}_us")) for name in ("quota", "period"))
    # No limit is "max", or -1.
    return int(quota) / int(period) if quota.isdecimal() and period.isdecimal() and int(period) else None


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # no Linux, no such controller, or not allowed
        return []
