"""The cluster of a command, whose faults are errors of one line."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from softgrad.cli._dask._files import table_files
from softgrad.cli._errors import CommandError
from softgrad.cli._interrupts import deferred_interrupts, ignore_interrupts
from softgrad.cli._tables._file_splitting import numbered, split_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from softgrad.cli._progress import FitProgress
    from softgrad.cli._tables._file_part import FilePart
    from softgrad.cli._tables._read_options import ReadOptions
    from softgrad.dask._part_tasks import PartTasks

LOCAL = "local"


class PartedTable:
    """The parts of a table, and the cluster that reads them."""

    def __init__(self, tasks: PartTasks, parts: list[FilePart], progress: FitProgress) -> None:
        self.tasks, self.parts, self._progress = tasks, parts, progress

    def map(self, stage: str, function: Callable[..., Any], context: Any) -> list[Any]:
        """Return function(context, part) of all parts."""
        return _mapped(self.tasks, self._progress, stage, function, context, self.parts)


@contextmanager
def parted_table(table: Path, reading: ReadOptions, address: str, progress: FitProgress) -> Iterator[PartedTable]:
    """Divide a table into parts, on the cluster at an address or one on this machine."""
    files = table_files(table)
    try:
        from softgrad.dask._part_tasks import part_tasks  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise CommandError(f"--dask: {error}", 1) from None
    is_local = address == LOCAL
    progress.stage("starting a cluster" if is_local else f"connecting to {address}")
    try:
        with ExitStack() as stack:
            with deferred_interrupts() if is_local else nullcontext():
                tasks = stack.enter_context(part_tasks(None if is_local else address))
            try:
                parts = numbered(_mapped(tasks, progress, "finding the parts", _split, reading, files))
                if not parts:
                    raise CommandError(f"{table} has no rows; expected at least one")
                yield PartedTable(tasks, parts, progress)
            except KeyboardInterrupt:
                ignore_interrupts()  # a second one would interrupt the end of the cluster
                raise
    except (ConnectionError, RuntimeError) as error:
        reason = str(error).partition("; coef_")[0]  # what follows is about the estimator
        raise CommandError(f"--dask: {reason}", 1) from None


@contextmanager
def errors_of(part: FilePart) -> Iterator[None]:
    """Name the file in the errors of a part, on a worker."""
    try:
        yield
    except (CommandError, ValueError) as error:
        code = error.exit_code if isinstance(error, CommandError) else 2
        named = str(part.path) in str(error)
        raise CommandError(str(error) if named else f"{part.path}: {error}", code) from None


def absolute_target(target: str | None) -> str | None:
    """Return a target for the workers, whose working directory is another one."""
    return str(Path(target).absolute()) if target is not None and target.lower().endswith(".npy") else target


def _mapped(
    tasks: PartTasks,
    progress: FitProgress,
    stage: str,
    function: Callable[..., Any],
    context: Any,
    parts: Sequence[Any],
) -> list[Any]:
    progress.stage(stage)
    progress.parts(0, len(parts))
    return tasks.map(function, context, parts, lambda done: progress.parts(done, len(parts)))


def _split(reading: ReadOptions, path: Path) -> list[FilePart]:
    return split_file(path, reading)
