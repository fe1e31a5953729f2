"""Damaged and hostile files: readers of images, data sets, cards, recipes and checkpoints use or refuse them, and never crash.

Good files are changed at random (bits, bytes, numbers at their limits, parts left out, doubled or taken from another file)
and read in processes of their own, so that the crash of a library is seen as one; the file that did it is kept. Prints readings
by reader: used, refused in a line, refused by another error than the reader promises, crashed, hung. Exits with 1 if one of the
last three happened. This is mutation alone: no coverage guides it.
"""

from __future__ import annotations

import argparse
import io
import json
import logging
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pandas as pd

FACES = Path(__file__).parents[1] / "tests" / "data" / "faces"
READERS = ("image", "hdf5", "card", "recipe", "checkpoint")
#: Seconds of processor time for one file, and by the clock; a process that needs longer is ended by the system.
_LONGEST, _SLEEPING = 20, 600
#: Files that a process reads, however slow the machine.
_LEAST = 100
_MEMORY = 6 << 30
_LIMITS = (b"\x00", b"\xff", b"\x7f\xff\xff\xff", b"\x80\x00\x00\x00", b"\xff\xff\xff\xff", b"\x00" * 8, b"\xff" * 8)
_WORDS = (
    b"null",
    b"[]",
    b"{}",
    b"-1",
    b"1e999",
    b'"',
    b"&a [*a]",
    b"<<: ",
    b"..",
    b"/",
    b"\n",
    b": ",
    b"true",
    b"!!python/name:os",
)


def mutated(whole: bytes, other: bytes, moments: random.Random, words: bool) -> bytes:
    """Return the bytes of a file changed in one to eight places; most changes are near its beginning."""
    data = bytearray(whole)
    for _ in range(moments.randint(1, 8)):
        size = max(len(data), 1)
        near = moments.random() < 0.6
        place = min(int(moments.expovariate(1 / 300)) if near else moments.randrange(size), size - 1)
        how = moments.randrange(7)
        if how == 0 and data:
            data[place] ^= 1 << moments.randrange(8)
        elif how == 1 and data:
            data[place] = moments.randrange(256)
        elif how == 2:
            value = moments.choice(_WORDS if words and moments.random() < 0.7 else _LIMITS)
            data[place : place + len(value)] = value
        elif how == 3:
            del data[place : place + moments.randint(1, 64)]
        elif how == 4:
            data[place:place] = data[place : place + moments.randint(1, 64)]
        elif how == 5:
            begin = moments.randrange(max(len(other), 1))
            part = other[begin : begin + moments.randint(1, 128)]
            data[place : place + len(part)] = part
        elif moments.random() < 0.2:
            del data[place:]
    return bytes(data)


def seeds(reader: str, folder: Path) -> list[bytes]:
    """Return good files for a reader, as small as they can be."""
    if reader == "image":
        from PIL import Image

        small, found = Image.open(FACES / "face_0.jpg").resize((24, 20)), []
        for form, how in (("JPEG", {}), ("JPEG", {"progressive": True}), ("PNG", {}), ("BMP", {}), ("TIFF", {}), ("WEBP", {}),
                          ("GIF", {}), ("TIFF", {"compression": "tiff_lzw"}), ("PPM", {})):  # fmt: skip
            buffer = io.BytesIO()
            small.save(buffer, format=form, **how)
            found.append(buffer.getvalue())
        return found
    name = {"hdf5": "faces.h5", "card": "run/weights.json", "recipe": "recipe.yaml", "checkpoint": "run/checkpoint.pt"}[reader]
    return [(folder / name).read_bytes()]


def reading(reader: str, folder: Path) -> Callable[[Path], object]:
    """Return what reads a file, all of it."""
    if reader == "image":
        from occface.images import read_image

        return lambda path: read_image(path, 1 << 20)
    if reader == "hdf5":
        from occface.dataset.reader import DatasetFile
        from occface.dataset.verify import describe, verify

        def whole(path: Path) -> object:
            wrong = verify(path)
            data = DatasetFile(path)
            return describe(path), wrong or [data.columns(split) for split in data.splits]

        return whole
    if reader == "recipe":
        from occface.benchmark.recipe import load_recipe

        return load_recipe
    if reader == "checkpoint":
        from occface.training.state import load_state

        return load_state
    from occface.methods.weights import load_method

    return lambda path: load_method(path.parent)


def work(reader: str, seed: int, seconds: float, folder: Path, inputs: Path) -> None:
    """Read changed files until the time is up; write what came of them, and each file before it is read."""
    from occface.errors import OccfaceError

    logging.disable()
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    moments, read, whole = random.Random(seed), reading(reader, folder), seeds(reader, folder)
    name = {"card": "weights.json", "recipe": "recipe.yaml", "image": "face.jpg", "hdf5": "faces.h5", "checkpoint": "state.pt"}
    path = inputs / name[reader]
    if reader == "card":
        (inputs / "weights.safetensors").write_bytes((folder / "run" / "weights.safetensors").read_bytes())
    counted: Counter[str] = Counter()
    end, told = time.monotonic() + seconds, 0.0
    while time.monotonic() < end or counted.total() < _LEAST:
        data = mutated(moments.choice(whole), moments.choice(whole), moments, reader in ("card", "recipe"))
        path.write_bytes(data)
        signal.setitimer(signal.ITIMER_PROF, _LONGEST)
        signal.alarm(_SLEEPING)
        try:
            read(path)
            counted["used"] += 1
        except OccfaceError as error:
            counted["refused" if "\n" not in str(error) else "other error"] += 1
        except Exception as error:
            counted["other error"] += 1
            kind = f"{type(error).__name__}-{str(error)[:40]}"
            kept = inputs / "kept" / f"{reader}-{''.join(c if c.isalnum() else '_' for c in kind)}"
            kept.parent.mkdir(exist_ok=True)
            if not kept.exists():
                kept.write_bytes(data)
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.alarm(0)
        if time.monotonic() - told > 1:
            told = time.monotonic()
            (inputs / "counted.json").write_text(json.dumps(counted))
    (inputs / "counted.json").write_text(json.dumps(counted))


def fuzz(reader: str, seed: int, seconds: float, folder: Path, keep: Path) -> Counter[str]:
    """Let processes read changed files for so long, a new one after each crash; keep what crashed them."""
    total: Counter[str] = Counter()
    end, number = time.monotonic() + seconds, seed
    while (left := end - time.monotonic()) > 1:
        with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as name:
            words = [sys.executable, __file__, "--worker", reader, str(number), str(left), str(folder), name]
            done = subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace")
            told = Path(name) / "counted.json"
            total.update(json.loads(told.read_text() or "{}") if told.exists() else {})
            kept = sorted((Path(name) / "kept").glob("*"))
            if done.returncode:
                if not told.exists() and done.returncode > 0:
                    raise SystemExit(f"the reader of {reader} could not be started: {done.stderr.strip()[-500:]}")
                what = "hung" if -done.returncode in (signal.SIGALRM, signal.SIGPROF) else "crashed"
                total[what] += 1
                (last,) = [path for path in Path(name).iterdir() if path.suffix in (".jpg", ".h5", ".json", ".yaml", ".pt")
                           and path.name != "counted.json"]  # fmt: skip
                kept.append(last.rename(last.with_name(f"{reader}-{what}-{number}{last.suffix}")))
            for path in kept:
                keep.mkdir(parents=True, exist_ok=True)
                (keep / path.name).write_bytes(path.read_bytes())
        number += 1
    return total


def prepare(folder: Path) -> None:
    """Make good files: a data set of a few faces, a run with weights and a checkpoint, a recipe."""
    program = [sys.executable, "-m", "occface"]
    data = str(folder / "faces.h5")
    how: dict[str, object] = {"check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    making = ["make-dataset", str(FACES), data, "--mask", "square", "--test", "1", "--limit", "3", "--workers", "1"]
    subprocess.run([*program, *making], **how)  # type: ignore[call-overload]
    training = ["train", "gfc", "--data", data, "--out", str(folder / "run"), "--preset", "test", "--device", "cpu"]
    subprocess.run([*program, *training, "--batch-size", "2"], **how)  # type: ignore[call-overload]
    from occface.benchmark.recipe import packaged_recipes

    (folder / "recipe.yaml").write_text(packaged_recipes()["test"].read_text(encoding="utf-8"))


def main() -> None:
    if sys.argv[1:2] == ["--worker"]:
        reader, seed, seconds, folder, inputs = sys.argv[2:]
        work(reader, int(seed), float(seconds), Path(folder), Path(inputs))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=5, help="of all readers together")
    parser.add_argument("--readers", nargs="*", default=READERS, choices=READERS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, default=Path("fuzz-found"), help="a folder for files that a reader failed on")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as name:
        prepare(Path(name))
        share = 60 * options.minutes / len(options.readers)
        found = {reader: fuzz(reader, options.seed, share, Path(name), options.keep) for reader in options.readers}
    columns = ["used", "refused", "other error", "crashed", "hung"]
    table = pd.DataFrame(found).T.reindex(columns=columns).fillna(0).astype(int)
    table.insert(0, "readings", table.sum(axis=1))
    print(json.dumps(table.to_dict("index")) if options.json else table.to_string())
    sys.exit(1 if table[columns[2:]].to_numpy().any() else 0)


if __name__ == "__main__":
    main()
