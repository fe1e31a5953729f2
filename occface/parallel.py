"""Work spread over processes or a cluster through joblib; results come back in the order of the jobs.

What a job computes never depends on the worker that computes it, so the number of workers and the backend change the
time taken and nothing else.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from occface.errors import OccfaceError, UsageError
from occface.registry import did_you_mean

__all__ = ["BACKENDS", "default_workers", "ordered_map"]

BACKENDS = ("loky", "dask", "ray")

Job = TypeVar("Job")
Result = TypeVar("Result")


def default_workers() -> int:
    """Return the number of processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def _cluster(backend: str, scheduler: str | None) -> Iterator[None]:
    """Connect to the cluster that joblib is to use, and leave it at the end."""
    import joblib

    if backend == "dask":
        try:
            from distributed import Client
        except ImportError as error:
            raise UsageError("the Dask backend needs Dask: run `pip install occface[distributed]`") from error
        try:
            client = Client(scheduler, timeout="20s") if scheduler else Client(processes=True)
        except OSError as error:
            raise UsageError(f"no Dask scheduler answers at {scheduler}: start one, or correct --scheduler") from error
        with client, joblib.parallel_config(backend="dask"):
            yield
    else:
        try:
            import ray
            from ray.util.joblib import register_ray
        except ImportError as error:
            raise UsageError("the Ray backend needs Ray: run `pip install ray`") from error
        ray.init(address=scheduler, ignore_reinit_error=True)
        register_ray()
        with joblib.parallel_config(backend="ray"):
            yield


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
    import joblib

    context: Any = (
        _cluster(backend, scheduler) if backend != "loky" else joblib.parallel_config("loky", inner_max_num_threads=1)
    )
    with context:
        n_jobs = workers if backend == "loky" else -1
        try:
            yield from joblib.Parallel(n_jobs=n_jobs, return_as="generator", batch_size=1)(
                joblib.delayed(function)(job) for job in jobs
            )
        except Exception as error:
            if type(error).__name__ in {"TerminatedWorkerError", "KilledWorker", "BrokenProcessPool"}:
                raise OccfaceError(
                    "a worker process vanished (killed, or out of memory); what was made is kept: "
                    "run again with --resume, perhaps with fewer --workers"
                ) from error
            raise
