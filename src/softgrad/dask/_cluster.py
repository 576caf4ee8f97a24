"""Tasks on the workers of a cluster, and its faults as errors that say what to do."""

from __future__ import annotations

import uuid
import warnings
from concurrent.futures import CancelledError
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import dask
from dask.sizeof import sizeof
from distributed import Client, KilledWorker, LocalCluster, get_worker
from distributed.comm import CommClosedError

from softgrad.dask._storage import MakeRoom
from softgrad.linear_model._thread_limits import limited_threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence


# Bytes of arguments that are sent to every worker by the client. Passing them on between workers takes 10 ms longer.
_SENT_TO_EACH = 1 << 20

_SAME_PACKAGES = "install softgrad and the versions of Python and Dask of the client for the scheduler and all workers"


class Cluster:
    """A client's cluster. Every task can be run again on another worker."""

    def __init__(self, client: Client, n_threads: int | None) -> None:
        self._client = client
        self._n_threads = n_threads
        prepare_workers(client)

    def workers(self) -> dict[str, int]:
        """Return the numbers of threads of the workers."""
        with faults():
            threads: dict[str, int] = self._client.nthreads()
            return threads

    def holders(self, futures: Sequence[Any]) -> list[tuple[str, ...]]:
        """Return the workers that hold each result."""
        with faults():
            holders = self._client.who_has(futures)
            return [tuple(holders.get(future.key, ())) for future in futures]

    def compute(self, delayed: Sequence[Any]) -> list[Any]:
        """Return futures of delayed values."""
        with faults():
            futures: list[Any] = self._client.compute(list(delayed))
            return futures

    def submit(self, function: Callable[..., Any], *args: Any, worker: str | None = None) -> Any:
        """Return the future of function(*args), on a worker if it is alive; equal calls have one result."""
        workers = None if worker is None else [worker]
        with faults():
            return self._client.submit(function, *args, workers=workers, allow_other_workers=worker is not None)

    def gather(self, futures: Sequence[Any]) -> list[Any]:
        """Return the results, or raise the error of a task."""
        with faults():
            results: list[Any] = self._client.gather(list(futures))
            return results

    def run_on_each(self, objects: Mapping[str, Any], method: Callable[..., Any], args: tuple[Any, ...]) -> list[Any]:
        """Return method(object, *args) of the objects, each on its worker."""
        with faults():
            shared = args if len(objects) * sizeof(args) <= _SENT_TO_EACH else self._shared(args)
            futures = [
                self._client.submit(
                    _run, method, target, shared, self._n_threads,
                    key=_key(method.__name__), workers=[worker], allow_other_workers=True,
                )
                for worker, target in objects.items()
            ]  # fmt: skip
            results: list[Any] = self._client.gather(futures)
            return results

    def _shared(self, args: tuple[Any, ...]) -> Any:
        """Return the arguments as the future of a task: sent once, passed on by workers, and made again if lost."""
        with warnings.catch_warnings():  # not around other tasks, which may run in threads of this process
            warnings.filterwarnings("ignore", "Sending large graph", UserWarning)
            return self._client.submit(_unchanged, args, key=_key("arguments"))


def _unchanged(value: Any) -> Any:
    return value


def _run(method: Callable[..., Any], target: Any, args: tuple[Any, ...], n_threads: int | None) -> Any:
    # Dask limits the libraries of a worker to one thread, and this task is the only one of the pass here.
    with limited_threads(n_threads or get_worker().state.nthreads):
        return method(target, *args)


def _key(name: str) -> str:
    """Return a name that Dask shows, and under which it has no result yet."""
    return f"softgrad-{name}-{uuid.uuid4().hex}"


def prepare_workers(client: Client) -> None:
    """Tell the workers where their blocks go. Without softgrad they would end at their first task, and never answer."""
    with faults():
        try:
            client.register_plugin(MakeRoom())
        except (OSError, CancelledError):
            raise
        except Exception as error:  # Dask raises no other class here
            raise RuntimeError(f"a worker cannot load softgrad ({error}); {_SAME_PACKAGES}") from error


@contextmanager
def faults() -> Iterator[None]:
    """Raise ConnectionError if the scheduler is lost or forgets its tasks, RuntimeError if they cannot be run."""
    try:
        yield
    except KilledWorker as error:
        raise RuntimeError(
            f"{error.allowed_failures + 1} workers ended while they ran {error.task}; most often the memory of a "
            "worker does not suffice for one partition: write smaller partitions, or fewer threads per worker"
        ) from error
    except RuntimeError as error:
        if "deserialization of the task graph" not in str(error):
            raise
        raise RuntimeError(f"the scheduler cannot load the tasks; {_SAME_PACKAGES}") from error
    except (CancelledError, CommClosedError) as error:
        raise ConnectionError(f"the scheduler of the cluster was lost or restarted ({error!r:.200})") from error


@contextmanager
def client_of(client: Client | None) -> Iterator[Client]:
    """Yield the given client, else the active one, else one of a cluster on this machine that ends with the block."""
    if client is not None:
        yield client
        return
    try:
        active = Client.current()
    except ValueError:
        with local_cluster() as cluster, Client(cluster) as own:
            yield own
        return
    yield active


@contextmanager
def local_cluster(**options: Any) -> Iterator[LocalCluster]:
    """Start a cluster on this machine, on any free port, until the block ends."""
    # Dask would write blocks again that are in files already, where other memory of a worker exceeds its thresholds.
    unspilled = {"distributed.worker.memory.target": False, "distributed.worker.memory.spill": False}
    with (
        dask.config.set(unspilled),
        LocalCluster(host="127.0.0.1", dashboard_address="127.0.0.1:0", **options) as cluster,
    ):
        yield cluster
