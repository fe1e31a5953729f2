"""A data set is the same however it is made: killed and resumed, by any number of workers, by processes or a cluster.

And its making takes no more memory for more photographs. Prints content hashes and peak memory; exits with 1 if a hash
differs. Memory is that of all processes together (proportional set size, sampled; Linux only).
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any


def command(photos: str, output: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "occface", "make-dataset", photos, str(output), "--source-type", "folder", "--json", *options]


def made(photos: str, output: Path, *options: str) -> dict[str, Any]:
    """Make a data set to the end; return what the command says."""
    done = subprocess.run(command(photos, output, *options), check=True, capture_output=True, text=True)
    return dict(json.loads(done.stdout))


def kills(photos: str, folder: Path, count: int, seconds: float, seed: int) -> dict[str, Any]:
    """Kill the command so many times at random moments, going on each time; return the hashes of all that came to an end.

    Where it ends before it is killed, what it made is taken away, and it begins anew.
    """
    moments = random.Random(seed)
    output = folder / "killed.h5"
    hashes: list[str] = []
    at: list[str] = []
    while len(at) < count:
        process = subprocess.Popen(
            command(photos, output, "--workers", "2", "--resume"),
            start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        try:
            said, _ = process.communicate(timeout=moments.uniform(0.05, 1) * seconds)
            hashes.append(json.loads(said)["content_hash"])
            output.unlink()
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            at.append(f"{len(list(folder.glob('killed.h5.parts/part-*.npz')))} shards")
    hashes.append(made(photos, output, "--workers", "2", "--resume")["content_hash"])
    left = sorted(path.name for path in folder.iterdir() if path.name.startswith((".killed", "killed.h5.")))
    return {"hashes": hashes, "killed_at": at, "left": left}


def scheduler_hash(photos: str, folder: Path) -> str:
    """Return the hash of a data set made on a Dask cluster of separate processes: a scheduler and two workers."""
    address = "tcp://127.0.0.1:18786"
    dask = str(Path(sys.executable).with_name("dask"))
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "start_new_session": True}
    processes = [subprocess.Popen([dask, "scheduler", "--port", "18786", "--no-dashboard"], **quiet)]
    try:
        worker = [dask, "worker", address, "--nworkers", "2", "--nthreads", "1", "--no-dashboard"]
        processes.append(subprocess.Popen(worker, **quiet))
        return str(made(photos, folder / "dask.h5", "--backend", "dask", "--scheduler", address)["content_hash"])
    finally:
        for process in processes:
            os.killpg(process.pid, signal.SIGTERM)


def family(process: int) -> list[int]:
    """Return a process and all below it."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found = [process]
    for one in found:
        found += children.get(one, [])
    return found


def resident(process: int) -> int:
    """Return the memory of a process in kB, shared pages divided among those that share them; 0 if it is gone."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def peak_memory(photos: str, output: Path, *options: str) -> float:
    """Return the most memory in MB that the command and its workers take together."""
    process = subprocess.Popen(command(photos, output, *options), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peak = 0
    while process.poll() is None:
        peak = max(peak, sum(resident(one) for one in family(process.pid)))
        time.sleep(0.1)
    if process.returncode:
        raise SystemExit("the command failed while its memory was measured")
    return peak / 1024


def copies(photos: str, folder: Path, count: int) -> str:
    """Make a folder of so many photographs, repeating those given under other names."""
    names = sorted(path for path in Path(photos).rglob("*.jpg"))
    folder.mkdir()
    for number, path in zip(range(count), itertools.cycle(names), strict=False):
        (folder / f"{number:05d}.jpg").symlink_to(path.resolve())
    return str(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", help="a folder of JPEG photographs")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--limit", type=int, default=300, help="photographs for the hashes")
    parser.add_argument("--memory", type=int, nargs="*", default=[500, 5000], help="photographs for the memory")
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        photos = copies(options.photos, folder / "photos", options.limit)
        begun = time.perf_counter()
        hashes = {"loky, 2 workers": made(photos, folder / "2.h5", "--workers", "2")["content_hash"]}
        seconds = time.perf_counter() - begun
        for workers in ("1", "4"):
            hashes[f"loky, {workers} workers"] = made(photos, folder / f"{workers}.h5", "--workers", workers)["content_hash"]
        hashes["dask, scheduler and 2 workers"] = scheduler_hash(photos, folder)
        killed = kills(photos, folder, options.kills, seconds, options.seed)
        for number, hash_ in enumerate(killed["hashes"], 1):
            hashes[f"killed {options.kills} times in all (at {', '.join(killed['killed_at'])}), end {number}"] = hash_
        memory = {}
        for count in options.memory:
            many = copies(options.photos, folder / f"photos-{count}", count)
            memory[count] = peak_memory(many, folder / f"many-{count}.h5", "--workers", "2")
            shutil.rmtree(many)
    same = len(set(hashes.values())) == 1
    if options.json:
        print(json.dumps({"hashes": hashes, "same": same, "killed": killed, "peak_memory_mb": memory}))
    else:
        for how, hash_ in hashes.items():
            print(f"{hash_[:16]}  {how}")
        left = ", ".join(killed["left"]) or "nothing"
        print(f"{'all the same' if same else 'NOT THE SAME'}; left behind after the kills: {left}")
        for count, megabytes in memory.items():
            print(f"{count} photographs: at most {megabytes:.0f} MB")
    sys.exit(0 if same and not killed["left"] else 1)


if __name__ == "__main__":
    main()
