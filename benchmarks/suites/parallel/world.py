"""A process for each rank on this machine, with gloo between them; all run the same call at the same time."""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
import traceback
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist

import softgrad as sg
from benchmarks import memory

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from multiprocessing.connection import Connection
    from types import TracebackType

# Not "fork": a fork would share this process's memory, and may not use torch's threads. Tests fork.
START_METHOD = "spawn"

# Seconds that a call may take, so that a rank that waits for another without end is an error.
TIMEOUT = 300


@dataclass
class Work:
    """The ways that a rank has to do its part of the work."""

    calls: dict[str, Callable[[], Any]]
    checked: Callable[[Any], Any]
    """The part of a call's results that is checked, as arrays."""
    results: Any = None
    """Of the last call."""


class World:
    """A context in which the ranks are alive; each uses its share of the threads."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.threads = max(1, sg.get_num_threads() // size)

    def __enter__(self) -> World:
        context: Any = multiprocessing.get_context(START_METHOD)
        self._folder = tempfile.TemporaryDirectory()
        self._connections, self._ranks = [], []
        for rank in range(self.size):
            here, there = context.Pipe()
            place = str(Path(self._folder.name) / "store"), rank, self.size
            process = context.Process(target=_serve, args=(there, self.threads, place), daemon=True)
            process.start()
            there.close()
            self._connections.append(here)
            self._ranks.append(process)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        for connection, process in zip(self._connections, self._ranks, strict=True):
            if kind is None:
                connection.send(None)
                process.join()
            process.kill()
            process.join()
            connection.close()
        self._folder.cleanup()

    def prepare(self, make: Callable[..., Work], *arguments: Any) -> None:
        """Let every rank make its work, by make(rank, size, *arguments); the work before is dropped."""
        self._all("prepare", make, arguments)

    def call(self, name: str) -> None:
        """Make a call on all ranks, and wait until it has returned on all of them."""
        self._all("call", name)

    def results(self) -> list[Any]:
        """The results of the last call that are to be checked, of every rank."""
        return self._all("checked")

    def peaks(self, name: str) -> list[Any]:
        """By how much a call raises the memory that each rank holds; the result is its own."""
        return self._all("peak", name)

    def _all(self, *command: Any) -> list[Any]:
        for connection in self._connections:
            connection.send(command)
        answers: dict[Connection, Any] = {}
        while len(answers) < self.size:
            ready: Any = wait([c for c in self._connections if c not in answers], TIMEOUT)
            if not ready:
                raise TimeoutError(f"ranks are late by more than {TIMEOUT} s: {' '.join(map(str, command))}")
            for connection in ready:
                failure, answers[connection] = connection.recv()  # EOFError if the rank was killed
                if failure is not None:
                    raise RuntimeError(f"rank {self._connections.index(connection)} of {self.size}: {failure}")
        return [answers[connection] for connection in self._connections]


def differing(parts: Sequence[Any]) -> str | None:
    """Why a result is refused that has to have the same bits on all ranks."""
    if len({None if part is None else part.tobytes() for part in parts}) == 1:
        return None
    return "not the same on all ranks"


def _serve(connection: Connection, threads: int, place: tuple[str, int, int]) -> None:
    """Answer the commands that arrive, until there is none."""
    store, rank, size = place
    torch.set_num_threads(threads)
    sg.set_num_threads(threads)
    if sys.platform == "linux":
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # the machine's name need not be that of an address
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=size)
    work = None
    while (command := connection.recv()) is not None:
        try:
            if command[0] == "prepare":
                _, make, arguments = command
                work = None  # before the next is made
                work = make(rank, size, *arguments)
                answer = None
            else:
                answer = _answer(work, *command)
        except Exception:
            connection.send((traceback.format_exc(), None))
        else:
            connection.send((None, answer))
    dist.destroy_process_group()


def _answer(work: Any, command: str, *name: str) -> Any:
    if command == "checked":
        return work.checked(work.results)
    if command == "peak":
        peak = memory.peak_of_call(work.calls[name[0]])
        return peak._replace(result=work.checked(peak.result))
    work.results = work.calls[name[0]]()
    return None
