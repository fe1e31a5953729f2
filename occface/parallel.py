"""Work spread over processes (loky, through joblib) or a Dask or Ray cluster; results come back in the order of the jobs.

What a job computes never depends on the worker that computes it, so the number of workers and the backend change the
time taken and nothing else.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import itertools
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from occface import determinism
from occface.errors import OccfaceError, UsageError
from occface.registry import did_you_mean

__all__ = ["BACKENDS", "check_backend", "default_workers", "ordered_map"]

BACKENDS = ("loky", "dask", "ray")

Job = TypeVar("Job")
Result = TypeVar("Result")


def default_workers() -> int:
    """Return the number of processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


#: Jobs that wait for each thread of a Dask cluster: enough that none stands idle, few enough that results do not pile up.
_AHEAD = 3

_VANISHED = (
    "a worker process vanished (killed, or out of memory); what was made is kept: "
    "run again with --resume, perhaps with fewer --workers"
)


def check_backend(backend: str, scheduler: str | None = None) -> None:
    """Raise `UsageError` where work could not be spread: an unknown backend, one not installed, or no answer."""
    if backend not in BACKENDS:
        raise UsageError(f"unknown backend '{backend}': {did_you_mean(backend, BACKENDS)}")
    if backend == "loky":
        if scheduler:
            raise UsageError(f"a scheduler ({scheduler}) is for a cluster: name it by --backend dask or ray")
    elif backend == "dask":
        with _dask_client(scheduler):
            pass
    else:
        _ray()


def _dask_client(scheduler: str | None) -> Any:
    """Connect to a Dask cluster, or start one of processes on this machine."""
    try:
        from distributed import Client
    except ImportError as error:
        raise UsageError("the Dask backend needs Dask: run `pip install occface[distributed]`") from error
    if scheduler is None:
        return Client(processes=True, threads_per_worker=1, dashboard_address=None)
    try:
        return Client(scheduler, timeout="20s")
    except (OSError, ValueError, TypeError) as error:
        raise UsageError(f"no Dask scheduler answers at {scheduler}: start one, or correct --scheduler") from error


def _dask_map(function: Callable[[Job], Result], jobs: Sequence[Job], scheduler: str | None) -> Iterator[Result]:
    from distributed import KilledWorker

    with _dask_client(scheduler) as client:
        try:
            client.wait_for_workers(1, timeout=20)
        except TimeoutError as error:
            raise OccfaceError(f"the Dask scheduler at {scheduler} has no workers: start some, and run again") from error
        waiting = iter(jobs)
        running: collections.deque[Any] = collections.deque()
        while True:
            for job in itertools.islice(waiting, max(0, _AHEAD * sum(client.nthreads().values()) - len(running))):
                running.append(client.submit(function, job, pure=False))
            if not running:
                return
            try:
                yield running.popleft().result()
            except KilledWorker as error:
                raise OccfaceError(_VANISHED) from error


def _ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise UsageError("the Ray backend needs Ray: run `pip install ray`") from error
    return ray


@contextlib.contextmanager
def _large_pages() -> Iterator[None]:
    """Let processes that are started meanwhile ask Linux for large pages, unless the user has tuned the C library already.

    dlib keeps its landmark model in many small pieces all over 100 MB, and reads thousands of them for each face, so looking
    up pages of 4 kB takes its time: a photograph took 15.4 ms with large ones and 17.9 ms without, in two runs of each taken in
    turn on a busy virtual machine. Elsewhere than on glibc the variable means nothing.
    """
    own = "GLIBC_TUNABLES" in os.environ
    os.environ.setdefault("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1")
    try:
        yield
    finally:
        if not own:
            os.environ.pop("GLIBC_TUNABLES", None)


@contextlib.contextmanager
def _joblib_backend(backend: str, scheduler: str | None) -> Iterator[None]:
    import joblib

    if backend == "loky":
        # loky replaces a process that has grown by 300 MB, as one does that loads networks, and tells the user of a leak.
        warnings.filterwarnings("ignore", message="A worker stopped while some jobs were given", category=UserWarning)
        with joblib.parallel_config("loky", inner_max_num_threads=1), _large_pages():
            yield
        return
    from ray.util.joblib import register_ray

    _ray().init(address=scheduler, ignore_reinit_error=True)
    register_ray()
    with joblib.parallel_config(backend="ray"):
        yield


def _as_there(folder: str | None, repeatable: bool, function: Callable[[Job], Result], job: Job) -> Result:
    """Do a job as the process that gives it would: in its folder, from which relative paths lead, and as repeatably."""
    if folder is not None and Path.cwd() != Path(folder):
        os.chdir(folder)
    if repeatable and not determinism.is_required():
        determinism.require()
    return function(job)


def ordered_map(
    function: Callable[[Job], Result],
    jobs: Sequence[Job],
    *,
    workers: int = 1,
    backend: str = "loky",
    scheduler: str | None = None,
) -> Iterator[Result]:
    """Yield ``function(job)`` for each job, in the order of the jobs, each as soon as it and those before it are done.

    Parameters
    ----------
    function : callable
        A module-level function of one job. It and the jobs must be picklable; what is costly to load (detectors, networks)
        it should load once per process, behind `functools.lru_cache`.
    jobs : sequence
        The jobs.
    workers : int
        The number of processes; 1 with ``"loky"`` means this process. A cluster's own number holds there.
    backend : {"loky", "dask", "ray"}
        Processes on this machine, or a Dask or Ray cluster.
    scheduler : str, optional
        The address of the cluster's scheduler; without one a local cluster is started.

    Raises
    ------
    UsageError
        If the backend is unknown, not installed, or does not answer.
    OccfaceError
        If a worker process vanished (killed, or out of memory).

    Examples
    --------
    >>> list(ordered_map(abs, [-1, 2, -3]))
    [1, 2, 3]
    """
    if backend not in BACKENDS:
        raise UsageError(f"unknown backend '{backend}': {did_you_mean(backend, BACKENDS)}")
    if workers < 1:
        raise UsageError(f"expected at least 1 worker, got {workers}")
    if backend == "loky" and (workers == 1 or len(jobs) <= 1):
        yield from map(function, jobs)
        return
    # Processes of this machine may be left from work that was begun in another folder; a cluster's have folders of their own.
    folder = str(Path.cwd()) if backend == "loky" else None
    function = functools.partial(_as_there, folder, determinism.is_required(), function)
    if backend == "dask":
        yield from _dask_map(function, jobs, scheduler)
        return
    import joblib

    with _joblib_backend(backend, scheduler):
        n_jobs = workers if backend == "loky" else -1
        try:
            yield from joblib.Parallel(n_jobs=n_jobs, return_as="generator", batch_size=1)(
                joblib.delayed(function)(job) for job in jobs
            )
        except Exception as error:
            if type(error).__name__ in {"TerminatedWorkerError", "BrokenProcessPool"}:
                raise OccfaceError(_VANISHED) from error
            raise
