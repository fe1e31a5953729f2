"""The commands as programs that can be disturbed, and what they made: for benchmarks/bench_faults.py and the tests beside."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import random
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

FACES = Path(__file__).parents[1] / "data" / "faces"
COMMANDS = ("make-dataset", "train", "benchmark", "restore")
#: What each command makes, in the folder of a trial.
MADE = {"make-dataset": "faces.h5", "train": "run", "benchmark": "benchmark", "restore": "restored"}
RESUMED = ("make-dataset", "train", "restore")
#: Columns and values that tell of time, not of results.
_OF_TIME = {"seconds", "images_per_second", "minutes"}

RECIPE = """\
title: Small enough to be broken often
datasets:
  faces: {{source: {faces}, test: 2, masks: [square], seed: 0}}
methods:
  gfc: {{preset: test{settings}}}
metrics: {{image: {{}}}}
comparisons:
  - {{datasets: [faces], pipelines: [bicubic, gfc+bicubic], metrics: [image]}}
"""

#: Run ahead of the program: a clock that goes backwards, or a kill at the n-th change of a file in a folder, or (0) at the
#: first change that comes once the named file is there.
_AHEAD = """\
import os, runpy, sys, time
kind, number, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3]
del sys.argv[1:4]
changes = 0
def count(event, given):
    global changes
    if event not in ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir") or not isinstance(given[0], str):
        return
    if not given[0].startswith(folder) or (event == "open" and not given[2] & (os.O_WRONLY | os.O_RDWR)):
        return
    changes += 1
    if changes == number or (number == 0 and os.path.exists(os.path.join(folder, kind))):
        os.kill(os.getpid(), 9)
if kind == "clock":
    now, begun = time.time, time.time()
    time.time = lambda: 2 * begun - now()
else:
    sys.addaudithook(count)
runpy.run_module("occface", run_name="__main__", alter_sys=True)
"""


@dataclass
class Trial:
    """A folder in which one command is disturbed; what was run there, and what went wrong.

    Attributes
    ----------
    command : str
        One of `COMMANDS`.
    base : Path
        Where `prepare` left the data set, run and recipes that commands begin with.
    folder : Path
        Where this command writes.
    moments : Random
        Chooses all that is left to chance.
    clean : dict
        What an undisturbed run makes, from `made`; empty for that run itself.
    seconds : float
        About how long it takes.
    """

    command: str
    base: Path
    folder: Path
    moments: random.Random
    clean: dict[str, str] = field(default_factory=dict)
    seconds: float = 5.0
    timeout: float = 600.0  # a hang, even on a machine that is busy with other work
    ran: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    @property
    def output(self) -> Path:
        """The file or folder that the command makes."""
        return self.folder / MADE[self.command]

    def arguments(self, *flags: str, workers: int = 1) -> list[str]:
        """Return the command line behind ``occface``."""
        data, out = self.base / "faces.h5", str(self.output)
        return [
            self.command,
            *{
                "make-dataset": [str(FACES), out, "--mask", "square", "--test", "2", "--val", "1", "--workers", str(workers)],
                "train": ["gfc", "--data", str(data), "--out", out, "--preset", "test", "--device", "cpu"],
                "benchmark": [str(self.base / "recipe.yaml"), "--out", out, "--device", "cpu", "--workers", str(workers)],
                "restore": [str(FACES), "--out", out, "--pipeline", "gfc+bicubic", "--weights", f"gfc={self.base / 'run'}",
                            "--mask-region", "mouth", "--detector", "dlib", "--device", "cpu"],
            }[self.command],
            "--json", *flags,
        ]  # fmt: skip

    def start(
        self, arguments: list[str], ahead: tuple[str, int] = ("", 0), wrapped: tuple[str, ...] = (), **how: Any
    ) -> Running:
        """Start the program in a session of its own."""
        python = [sys.executable, "-m", "occface"]
        if ahead[0]:
            python = [sys.executable, "-c", _AHEAD, ahead[0], str(ahead[1]), str(self.folder)]
        self.ran.append(f"{' '.join(map(str, ahead))} occface {shlex.join(arguments)}".strip())
        return Running(self, [*wrapped, *python, *arguments], **how)

    def run(self, arguments: list[str], **how: Any) -> tuple[int, str]:
        """Run the program to its end; return exit code and what it said."""
        return self.start(arguments, **how).ended()

    def go_on(self, *, workers: int = 1) -> None:
        """Run the command until it is done, by the flags that its own messages ask for."""
        tried: list[tuple[str, ...]] = []
        flags: tuple[str, ...] = ("--resume",) if self.command in RESUMED else ()
        while True:
            tried.append(flags)
            code, said = self.run(self.arguments(*flags, workers=workers))
            if code == 0 or self.wrong:
                break
            if "leave --resume out" in said and () not in tried:
                flags = ()
            elif "remove it and run again" in said and tried.count(flags) == 1:
                Path(said.rpartition("the shard ")[2].partition(" is damaged")[0]).unlink(missing_ok=True)
            elif "--overwrite" in said and ("--overwrite",) not in tried:
                flags = ("--overwrite",)
            else:
                self.wrong.append(f"run again, it exited with {code}: {said.strip()[-300:]}")
                break

    def compare(self, more: tuple[str, ...] = ()) -> None:
        """Note what is not as an undisturbed run leaves it; names that begin with one of `more` may be there besides."""
        if self.wrong:
            return
        found = made(self.folder)
        for name in sorted(self.clean.keys() | found.keys()):
            if name not in found:
                self.wrong.append(f"missing: {name}")
            elif name not in self.clean:
                if not name.startswith(more or ("\0",)):
                    self.wrong.append(f"left behind: {name}")
            elif found[name] != self.clean[name]:
                self.wrong.append(f"another content, and nothing said: {name}")


class Running:
    """A program that runs, and what it says, in files, so that no pipe can fill or be held open."""

    def __init__(self, trial: Trial, command: list[str], **how: Any) -> None:
        self.trial = trial
        self.said = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115 - closed in `ended`
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self.said,
            start_new_session=True, cwd=trial.folder, **how,
        )  # fmt: skip

    def signal(self, number: int, whole: bool = True) -> None:
        """Send a signal to the program, or to all its processes."""
        with contextlib.suppress(ProcessLookupError):
            (os.killpg if whole else os.kill)(self.process.pid, number)

    def ended(self) -> tuple[int, str]:
        """Wait for the end; return exit code and what was said. A hang, or anything but one line of error, is noted."""
        wrong = self.trial.wrong
        try:
            code = self.process.wait(self.trial.timeout)
        except subprocess.TimeoutExpired:
            wrong.append(f"hangs for {self.trial.timeout:.0f} s")
            self.signal(signal.SIGKILL)
            code = self.process.wait()
        begun = time.monotonic()
        while (left := alive(self.process.pid)) and time.monotonic() - begun < 30:
            time.sleep(0.1)
        if left:
            wrong.append(f"{len(left)} processes still run 30 s after the end")
            self.signal(signal.SIGKILL)
        self.said.seek(0)
        text = self.said.read()
        self.said.close()
        if "Traceback (most recent call last)" in text or "unexpected " in text:
            wrong.append(f"a traceback: {text.strip()[-600:]}")
        elif code > 0 and not (self.trial.command == "benchmark" and "failed:" in text):
            last = (text.strip().splitlines() or [""])[-1]
            if not last.startswith("occface: "):
                wrong.append(f"exit code {code} without a line of error: {text.strip()[-300:]!r}")
        return code, text


def processes() -> Iterator[tuple[int, list[str]]]:
    """Yield number and further fields (state, parent, group, session, ...) of each process of the machine."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                yield int(entry.name), (entry / "stat").read_text().rpartition(")")[2].split()


def alive(session: int) -> list[int]:
    """Return the processes of a session that still run."""
    return [number for number, fields in processes() if fields[3] == str(session) and fields[0] not in "ZX"]


def workers_of(session: int) -> list[int]:
    """Return the worker processes of a session: those that joblib started."""
    found = []
    for number in alive(session):
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{number}/cmdline").read_bytes()
            if b"popen_loky" in words:
                found.append(number)
    return found


def made(folder: Path) -> dict[str, str]:
    """Return what a command made: each file's name with the hash of its content, without what tells of time.

    Files that hold times all over (checkpoints, records, pages) are there or not: their hash is empty.
    """
    return {str(path.relative_to(folder)): _hash(path) for path in sorted(folder.rglob("*")) if path.is_file()}


def _hash(path: Path) -> str:
    if path.suffix == ".h5":
        from occface.dataset.reader import DatasetFile
        from occface.dataset.verify import verify

        return "; ".join(verify(path)) or DatasetFile(path).content_hash
    if path.suffix == ".csv":
        try:
            table = pd.read_csv(path, dtype=str, keep_default_na=False)
        except pd.errors.EmptyDataError:
            return "no table"
        text = io.StringIO()
        table[[name for name in table if not {name, *table[name].head(3)} & _OF_TIME]].to_csv(text)  # tables have three headers
        return hashlib.sha256(text.getvalue().encode()).hexdigest()
    if path.name == "metrics.jsonl":
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        return str([{name: value for name, value in row.items() if name not in _OF_TIME} for row in rows])
    if path.suffix in {".png", ".jpg", ".npy", ".safetensors"}:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    return ""
