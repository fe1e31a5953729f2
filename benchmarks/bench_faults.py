"""Faults of the machine while a command runs: nothing is lost, and nothing is wrong silently.

Commands run as programs on six faces; each is disturbed at a moment of a seed's choice, then run again as its own message says,
and what it made is compared with what an undisturbed run made. Prints each trial, of a failure what was run, and a table of
faults by commands; exits with 1 if anything failed. Linux only.

A full disk is a small file system in memory, mounted where nobody else sees it; where that is not allowed, the fault is left
out and the table says so. A file that may not grow further (the other way a write ends halfway) is tried everywhere.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import itertools
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.faults.running import COMMANDS, FACES, RECIPE, RESUMED, Trial, made, workers_of

_CAPABILITIES = (1, 2)  # to write and to read whatever the permissions say: CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
_DROP = 24  # PR_CAPBSET_DROP


def flip(path: Path, moments: random.Random) -> str:
    """Flip a bit of a file; return where."""
    data = bytearray(path.read_bytes())
    place, bit = moments.randrange(len(data)), moments.randrange(8)
    data[place] ^= 1 << bit
    path.write_bytes(data)
    return f"bit {bit} of byte {place} of {path.name}"


# --- Faults. Each disturbs a command, lets it go on, and compares. ---


def nothing(trial: Trial) -> None:
    trial.run(trial.arguments())
    trial.compare()


def killed(trial: Trial) -> None:
    running = trial.start(trial.arguments())
    time.sleep(trial.moments.random() * trial.seconds)
    running.signal(signal.SIGKILL, whole=trial.moments.random() < 0.5)
    running.ended()
    trial.go_on()
    trial.compare()


def killed_at_a_write(trial: Trial) -> None:
    at = trial.moments.randint(1, 3 * len(trial.clean) + 2)
    trial.run(trial.arguments(), ahead=("write", at))
    trial.go_on()
    trial.compare()


def interrupted(trial: Trial) -> None:
    running = trial.start(trial.arguments())
    time.sleep(trial.moments.uniform(0.3, 1) * trial.seconds)
    running.signal(signal.SIGINT)
    running.ended()
    trial.go_on()
    trial.compare()


def mounts() -> bool:
    """Tell whether a program may mount a file system that it alone sees."""
    done = subprocess.run(["unshare", "-rm", "mount", "-t", "tmpfs", "-o", "size=64k", "t", "/mnt"], capture_output=True)
    return done.returncode == 0


def full_disk(trial: Trial) -> None:
    size = trial.moments.randint(8, 6400 if trial.command in ("train", "benchmark") else 1500)
    trial.ran.append(f"on a disk of {size} KiB:")
    kept = trial.folder.with_name("kept")
    script = (
        f"mount -t tmpfs -o size={size}k t {trial.folder} && cd {trial.folder} && "
        f'"$@"; code=$?; mkdir {kept} && cp -a {trial.folder}/. {kept}/ && exit $code'
    )
    trial.run(trial.arguments(), wrapped=("unshare", "-rm", "sh", "-c", script, "sh"))
    shutil.copytree(kept, trial.folder, dirs_exist_ok=True)
    shutil.rmtree(kept)
    trial.go_on()
    trial.compare()


def file_limit(trial: Trial) -> None:
    size = int(2 ** trial.moments.uniform(6, 22))
    trial.ran.append(f"with files of at most {size} bytes:")
    trial.run(trial.arguments(), preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)))
    trial.go_on()
    trial.compare()


def read_only(trial: Trial) -> None:
    library = ctypes.CDLL(None)
    trial.folder.chmod(0o555)
    code, _ = trial.run(trial.arguments(), preexec_fn=lambda: [library.prctl(_DROP, each, 0, 0, 0) for each in _CAPABILITIES])
    trial.folder.chmod(0o755)
    if code == 0 or any(trial.folder.iterdir()):
        trial.wrong.append(f"wrote into a read-only folder, or said that it did (exit code {code})")
    trial.go_on()
    trial.compare()


def worker_killed(trial: Trial) -> None:
    running = trial.start(trial.arguments(workers=2))
    while running.process.poll() is None and not (workers := workers_of(running.process.pid)):
        time.sleep(0.05)
    if running.process.poll() is None:
        time.sleep(trial.moments.random())
        with contextlib.suppress(ProcessLookupError):
            os.kill(trial.moments.choice(workers), signal.SIGKILL)
    running.ended()
    trial.go_on(workers=2)
    trial.compare()


def loss_not_a_number(trial: Trial) -> None:
    disturbed = trial.arguments()
    if trial.command == "train":
        disturbed += ["--set", "lr=1e38"]
    else:
        disturbed[1] = str(trial.base / "exploding.yaml")
    code, said = trial.run(disturbed)
    if code != 1 or "no longer a finite number" not in said:
        trial.wrong.append(f"a loss that is no number was not said: exit code {code}")
    elif any("gfc" in path.name for path in trial.output.glob("scores/gfc*.csv")) or list(trial.output.rglob("weights.*")):
        trial.wrong.append("weights were written of a training that failed")
    code, said = trial.run(trial.arguments(*(["--overwrite"] if trial.command == "train" else [])))
    if code:
        trial.wrong.append(f"afterwards it exited with {code}")
    trial.compare(more=("benchmark/runs/",))


def damaged(trial: Trial, damage: Callable[[Path, random.Random], str]) -> None:
    """Damage a file that the command left half way, or reads, or left when it was done."""
    name = trial.command
    if name == "benchmark":
        trial.run(trial.arguments())
        patterns = ("datasets/*.h5", "runs/*/weights.safetensors", "scores/*.csv")
        found = [path for pattern in patterns for path in trial.output.glob(pattern)]
    elif name == "restore":
        shutil.copytree(trial.base, trial.folder.with_name("inputs"), dirs_exist_ok=True)
        trial.base = trial.folder.with_name("inputs")
        found = [trial.base / "run" / "weights.safetensors"]
    else:
        half = "faces.h5.parts/part-000000.npz" if name == "make-dataset" else "run/checkpoint.pt"
        trial.run(trial.arguments(), ahead=(half, 0))
        found = [*trial.folder.glob("*.parts/part-*.npz"), *trial.output.glob("checkpoint.pt")]
    if not found:
        trial.wrong.append("nothing was there to be damaged")
        return
    path = trial.moments.choice(sorted(found))
    trial.ran.append(damage(path, trial.moments))
    if name == "restore":
        code, said = trial.run(trial.arguments())
        if code == 0:
            trial.wrong.append("damaged weights were used")
        return
    if path.suffix == ".safetensors":
        shutil.rmtree(trial.output / "scores")  # so that they are read again
        code, said = trial.run(trial.arguments())
        if code != 1 or "damaged" not in said:
            trial.wrong.append(f"damaged weights were used: exit code {code}, {said.strip()[-200:]}")
        return
    if path.suffix == ".h5":  # a benchmark does not read all of what it need not make again: to check is `verify`'s work
        from occface.dataset.verify import verify
        from occface.errors import UsageError

        with contextlib.suppress(UsageError):
            if not verify(path):
                trial.compare()
        return
    trial.go_on()
    trial.compare()


def flipped(trial: Trial) -> None:
    damaged(trial, flip)


def cut(path: Path, moments: random.Random) -> str:
    """Take the end off a file; return how much is left."""
    size = moments.randrange(path.stat().st_size)
    os.truncate(path, size)
    return f"{path.name} cut to {size} bytes"


def truncated(trial: Trial) -> None:
    damaged(trial, cut)


def clock_backwards(trial: Trial) -> None:
    trial.run(trial.arguments(), ahead=("clock", 0))
    trial.compare()


def two_at_once(trial: Trial) -> None:
    first = trial.start(trial.arguments())
    begun = time.monotonic()
    while first.process.poll() is None and not any(path.is_file() for path in trial.folder.rglob("[!.]*")):
        if time.monotonic() - begun > trial.timeout:
            break
        time.sleep(0.002)
    first.signal(signal.SIGSTOP)
    going = first.process.poll() is None
    code, said = trial.run(trial.arguments(*(["--resume"] if trial.command in RESUMED else [])))
    if going and (code != 2 or "at work" not in said):
        trial.wrong.append(f"a second run in the same place was not refused: exit code {code}, {said.strip()[-200:]!r}")
    first.signal(signal.SIGCONT)
    code, said = first.ended()
    if code:
        trial.wrong.append(f"the first of two runs did not end well: exit code {code}, {said.strip()[-200:]!r}")
    trial.compare()


ALL = COMMANDS
FAULTS: dict[str, tuple[Callable[[Trial], None], tuple[str, ...]]] = {
    "none (the same bits twice)": (nothing, ALL),
    "SIGKILL": (killed, ALL),
    "SIGKILL at a write": (killed_at_a_write, ALL),
    "SIGINT": (interrupted, ALL),
    "full disk": (full_disk, ALL),
    "file-size limit": (file_limit, ALL),
    "read-only": (read_only, ALL),
    "worker killed": (worker_killed, ("make-dataset", "benchmark")),
    "loss not a number": (loss_not_a_number, ("train", "benchmark")),
    "flipped bit": (flipped, ALL),
    "truncated file": (truncated, ALL),
    "clock backwards": (clock_backwards, ALL),
    "two at once": (two_at_once, ALL),
}


def prepare(base: Path, commands: tuple[str, ...] = ("make-dataset", "train")) -> None:
    """Make what the commands begin with: two recipes, and what these commands make, a data set and a run."""
    base.mkdir(parents=True, exist_ok=True)
    (base / "recipe.yaml").write_text(RECIPE.format(faces=FACES, settings=""))
    (base / "exploding.yaml").write_text(RECIPE.format(faces=FACES, settings=", set: {lr: 1.0e+38}"))
    for command in commands:
        trial = Trial(command, base, base, random.Random(0))
        code, said = trial.run(trial.arguments())
        if code:
            raise SystemExit(f"{command} failed before any fault: {said}")


def undisturbed(command: str, base: Path, folder: Path) -> tuple[dict[str, str], float]:
    """Run a command; return what it made, and in how many seconds."""
    folder.mkdir(parents=True)
    trial = Trial(command, base, folder, random.Random(0))
    begun = time.monotonic()
    code, said = trial.run(trial.arguments())
    if code or trial.wrong:
        raise SystemExit(f"{command} failed before any fault: {said}")
    return made(folder), time.monotonic() - begun


def tried(fault: str, command: str, base: Path, place: Path, clean: tuple[dict[str, str], float], seed: int) -> Trial:
    """Disturb a command once, in an empty folder below `place`, which is removed again."""
    folder = place / "trial"
    folder.mkdir(parents=True)
    trial = Trial(command, base, folder, random.Random(f"{fault} {command} {seed}"), *clean)
    try:
        FAULTS[fault][0](trial)
    finally:
        shutil.rmtree(place)
    return trial


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30, help="begin no further trial after so long; 0: each once")
    parser.add_argument("--seed", type=int, default=0, help="the first trial's; each further one has the next")
    parser.add_argument("--faults", nargs="*", default=list(FAULTS), choices=FAULTS, metavar="FAULT", help="these alone")
    parser.add_argument("--commands", nargs="*", default=COMMANDS, choices=COMMANDS, help="these alone")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    faults = [name for name in options.faults if name != "full disk" or mounts()]
    pairs = [(fault, command) for fault in faults for command in FAULTS[fault][1] if command in options.commands]
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        base = Path(name) / "base"
        prepare(base)
        clean = {command: undisturbed(command, base, Path(name) / command) for command in options.commands}
        random.Random(options.seed).shuffle(pairs)
        begun = time.monotonic()
        for number, (fault, command) in enumerate(itertools.cycle(pairs)):
            if (time.monotonic() - begun > 60 * options.minutes and options.minutes) or (
                number >= len(pairs) > options.minutes == 0
            ):
                break
            trial = tried(fault, command, base, Path(name) / "place", clean[command], options.seed + number)
            rows.append({"fault": fault, "command": command, "seed": options.seed + number, "wrong": trial.wrong})
            lines = [f"{'FAILED' if trial.wrong else 'passed'} {fault}, {command}, seed {options.seed + number}"]
            print("\n  ".join(lines + [*trial.ran, *trial.wrong] * bool(trial.wrong)), file=sys.stderr, flush=True)
    table = pd.DataFrame(rows).assign(failed=lambda all_: all_["wrong"].map(bool))
    table = table.groupby(["fault", "command"])["failed"].agg(tried="size", failed="sum").reset_index()
    table.insert(3, "passed", table["tried"] - table["failed"])
    if options.json:
        print(json.dumps({"trials": rows, "table": table.to_dict("records")}))
    else:
        print(table.to_string(index=False))
        print("" if faults == options.faults else "full disk: not tried, for mounting is not allowed here")
    sys.exit(1 if table["failed"].any() else 0)


if __name__ == "__main__":
    main()
