import os
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

from occface.errors import OccfaceError, UsageError
from occface.parallel import ordered_map


def late_first(number: int) -> tuple[int, int]:
    time.sleep(0.2 if number == 0 else 0)
    return number, os.getpid()


def vanish(number: int) -> int:
    if number == 3:
        os._exit(9)
    return number


_HELD: list[np.ndarray] = []


def grow(number: int) -> int:
    _HELD.append(np.ones(50_000_000))  # 400 MB, as a large network has
    time.sleep(1.1)  # loky looks once a second
    return number


def test_results_come_in_the_order_of_the_jobs_from_several_processes():
    results = list(ordered_map(late_first, list(range(8)), workers=2))
    assert [number for number, _ in results] == list(range(8))
    assert os.getpid() not in {process for _, process in results}


def where(_):
    return str(Path.cwd())


def test_workers_stand_where_this_process_stands(tmp_path, monkeypatch):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        assert set(ordered_map(where, range(4), workers=2)) == {str(tmp_path / name)}


def test_one_worker_is_this_process():
    assert {process for _, process in ordered_map(late_first, [1, 2], workers=1)} == {os.getpid()}


def test_a_worker_that_vanishes_is_one_line():
    with pytest.raises(OccfaceError, match=r"worker process vanished.*--resume"):
        list(ordered_map(vanish, list(range(6)), workers=2))


def test_a_process_that_grows_is_replaced_without_a_word():
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        assert list(ordered_map(grow, list(range(5)), workers=2)) == list(range(5))
    assert not seen


@pytest.mark.parametrize("workers", [1, 2])
def test_dask_gives_the_same_on_a_cluster_of_processes(workers):
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        results = list(ordered_map(late_first, list(range(6)), backend="dask", scheduler=cluster.scheduler_address))
    assert [number for number, _ in results] == list(range(6))
    assert os.getpid() not in {process for _, process in results}


@pytest.mark.parametrize(
    ("settings", "message"), [({"backend": "dusk"}, "did you mean 'dask'"), ({"workers": 0}, "at least 1")]
)
def test_a_wrong_request_is_one_line(settings, message):
    with pytest.raises(UsageError, match=message):
        list(ordered_map(abs, [1, 2], **settings))


def tuning(_):
    return os.environ.get("GLIBC_TUNABLES")


def test_workers_ask_for_large_pages_and_this_process_is_left_as_it_was(monkeypatch):
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    assert set(ordered_map(tuning, [1, 2, 3], workers=3)) == {"glibc.malloc.hugetlb=1"}
    assert "GLIBC_TUNABLES" not in os.environ
