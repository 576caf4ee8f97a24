"""Worlds of a few ranks, as threads of this process or as processes with gloo, in which a test runs a function."""

import datetime
import functools
import multiprocessing
import os
import pickle
import queue
import sys
import tempfile
import threading
import time
import traceback
import warnings
from multiprocessing.connection import wait
from pathlib import Path

import torch
import torch.distributed as dist
from torch.testing._internal.distributed import multi_threaded_pg

# A rank that waits longer than this for the others fails, so that no test hangs.
TIMEOUT = 30.0


class _Rank(threading.Thread):
    """The thread of a rank, in every world: DTensor caches what depends on the rank by the number of its thread."""

    def __init__(self, rank):
        super().__init__(name=f"rank {rank}", daemon=True)
        self.tasks = queue.SimpleQueue()
        self.start()

    def run(self):
        while True:
            self.tasks.get()()


_RANKS = []


def threads(size, function, *arguments):
    """The results of function(rank, *arguments), run by every rank; ranks are threads, which takes a millisecond.

    Re-raises the first failure, with a note that names the rank. Ranks share this process: its default dtype, its
    random generator and its modules.
    """
    store, outcomes, ended = dist.HashStore(), {}, queue.SimpleQueue()
    failures = []

    def work(rank):
        try:
            dist.init_process_group("threaded", rank=rank, world_size=size, store=store)
            outcomes[rank] = function(rank, *arguments)
        except SystemExit:  # of a collective that another rank's failure has ended
            pass
        except BaseException as error:
            failures.append((rank, error))
            _end_collectives()
        finally:
            if dist.is_initialized():
                dist.destroy_process_group()
            ended.put(rank)

    hook = sys.excepthook  # which init_process_group replaces
    torch._C._distributed_c10d._set_thread_isolation_mode(True)
    multi_threaded_pg._install_threaded_pg()
    try:
        _RANKS.extend(map(_Rank, range(len(_RANKS), size)))
        for rank in range(size):
            _RANKS[rank].tasks.put(functools.partial(work, rank))
        waiting = _waiting(set(range(size)), ended, TIMEOUT)
        if waiting:  # for a collective that others do not call
            _end_collectives()
            if _waiting(waiting, ended, 1.0):
                _RANKS.clear()  # and leave these
    finally:
        sys.excepthook = hook
        multi_threaded_pg.ProcessLocalGroup.reset()
        multi_threaded_pg._uninstall_threaded_pg()
        torch._C._distributed_c10d._set_thread_isolation_mode(False)
    if failures:
        _raise(*failures[0], size)
    if waiting:
        raise TimeoutError(f"ranks {sorted(waiting)} of {size} have not returned after {TIMEOUT:.0f} s")
    return [outcomes[rank] for rank in range(size)]


def _waiting(ranks, ended, timeout):
    """The ranks that have not ended after some seconds."""
    deadline, ranks = time.monotonic() + timeout, set(ranks)
    while ranks:
        try:
            ranks.remove(ended.get(timeout=max(0.0, deadline - time.monotonic())))
        except queue.Empty:
            break
    return ranks


def _end_collectives():
    """Make the ranks return that wait in a collective, or will."""
    while True:
        try:
            return multi_threaded_pg.ProcessLocalGroup.exception_handle(None)
        except RuntimeError:  # a rank has begun or ended a collective just now
            pass


def processes(size, function, *arguments):
    """The results of function(rank, *arguments), run by every rank; ranks are processes, with gloo between them.

    They are forked, which takes some 0.1 s and allows any function. Results must be picklable: no DTensors. Re-raises
    the first failure, with a note that names the rank.
    """
    context = multiprocessing.get_context("fork")
    with tempfile.TemporaryDirectory() as folder:
        ends, ranks = [], []
        for rank in range(size):
            end, other = context.Pipe(duplex=False)
            place = other, Path(folder) / "store", rank, size
            ranks.append(context.Process(target=_process, args=(*place, function, arguments), daemon=True))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Python 3.12 and JAX warn of forks beside threads, which are idle here
                ranks[-1].start()
            other.close()
            ends.append(end)
        try:
            return _results(ends)
        finally:
            for process in ranks:
                process.kill()
                process.join()


def _process(connection, store, rank, size, function, arguments):
    """Run the function in a forked process and send its result."""
    torch.set_num_threads(1)  # the threads of the parent do not exist here
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    try:
        dist.init_process_group(
            "gloo", init_method=f"file://{store}", rank=rank, world_size=size,
            timeout=datetime.timedelta(seconds=TIMEOUT),
        )  # fmt: skip
        outcome = None, function(rank, *arguments)
    except BaseException as error:
        error.add_note(traceback.format_exc())
        outcome = error, None
    connection.send_bytes(pickle.dumps(outcome))
    multiprocessing.parent_process().join()  # until it kills this one: other ranks may still read from it


def _results(ends):
    """The result of every rank, in their order, or the first failure to arrive."""
    results, deadline = {}, time.monotonic() + 2 * TIMEOUT
    while len(results) < len(ends):
        ready = wait([end for end in ends if end not in results], max(0.0, deadline - time.monotonic()))
        if not ready:
            missing = [rank for rank, end in enumerate(ends) if end not in results]
            raise TimeoutError(f"ranks {missing} of {len(ends)} have not returned after {2 * TIMEOUT:.0f} s")
        for end in ready:
            rank = ends.index(end)
            try:
                error, results[end] = pickle.loads(end.recv_bytes())
            except EOFError:
                error = RuntimeError("the process ended without a result")
            if error is not None:
                _raise(rank, error, len(ends))
    return [results[end] for end in ends]


def _raise(rank, error, size):
    error.add_note(f"on rank {rank} of {size}")
    raise error
