"""Take trained weights into the package: half precision, a card that keeps what training wrote, and pinned hashes.

    python benchmarks/ship_weights.py take RUN NAME --purpose "what they are for"

writes occface/weights/NAME/weights.safetensors and weights.json, and lists them with their SHA-256 in
occface/weights/pins.json. Numbers that half precision cannot hold are refused. All of them together stay below 45 MB.

    occface benchmark docs/weights/scores.yaml --out scores
    python benchmarks/ship_weights.py measured scores

prints what the weights are worth on each data set, means with 95 % intervals, and writes it into their cards.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from occface import assets, files
from occface.benchmark.scores import load_scores
from occface.benchmark.statistics import with_intervals
from occface.benchmark.tables.form import markdown
from occface.errors import OccfaceError, UsageError
from occface.methods.weights import CARD, WEIGHTS, load_method, write_weights
from occface.pipelines import method_names
from occface.restoring.loading import shipped_restorers

LARGEST = 45_000_000
"""Bytes of all weights of the package together, so that a checkout stays light."""

METRICS = ["psnr", "ssim", "stlpips"]
_DIGITS = {"psnr": 2, "ssim": 3, "stlpips": 3}
_TITLES = {"psnr": "PSNR", "ssim": "SSIM", "stlpips": "ST-LPIPS"}


def halved(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return a network's numbers with those of floating point in half precision."""
    half = {name: value.half() if value.is_floating_point() else value for name, value in state.items()}
    strange = [name for name, value in half.items() if value.is_floating_point() and not value.isfinite().all()]
    if strange:
        raise UsageError(f"{strange[0]} holds numbers that half precision cannot: ship it in single precision instead")
    return half


def ship(run: Path, name: str, purpose: str, place: Path = assets.SHIPPED, notes: str = "") -> dict[str, Any]:
    """Write the weights of a run as those of `name`, and return the new list of all."""
    loaded = load_method(run)
    card = {key: value for key, value in loaded.card.items() if key not in ("sha256", "bytes", "schema")}
    card |= {"purpose": purpose, "precision": "float16", "trained_sha256": loaded.card["sha256"]} | (
        {"notes": notes} if notes else {}
    )
    folder = files.make_folder(place / name)
    write_weights(folder, halved(loaded.method.generator.state_dict()), card)
    load_method(folder)
    return pin(place, name, card)


def pin(place: Path, name: str, card: dict[str, Any]) -> dict[str, Any]:
    """List weights that lie in their folder, by their hashes, and return the new list of all."""
    listed = place / "pins.json"
    pins = files.read_json(listed) if listed.is_file() else {}
    data = card.get("data")
    licence = str(data.get("licence", "not recorded")) if isinstance(data, dict) else "not recorded"
    paths = [place / name / WEIGHTS, place / name / CARD]
    pins[name] = {
        "purpose": card["purpose"],
        "licence": f"trained on: {licence}",
        "files": {path.name: [files.sha256_file(path), path.stat().st_size] for path in paths},
    }
    total = sum(entry["files"][WEIGHTS][1] for entry in pins.values())
    if total > LARGEST:
        raise UsageError(f"expected at most {LARGEST} bytes of weights in the package, got {total} with {name}")
    files.write_json(listed, dict(sorted(pins.items())))
    return pins


def measured(out: Path) -> pd.DataFrame:
    """Return means and intervals of each pipeline of a benchmark on each data set and mask type."""
    scores = load_scores(out / "scores")
    return with_intervals(scores, ["dataset", "mask_type", "pipeline"], METRICS)


def write_measured(found: pd.DataFrame, place: Path = assets.SHIPPED) -> list[str]:
    """Write into the card of each method that some pipeline has what those pipelines reached; return the names."""
    written = []
    for part, name in shipped_restorers().items():
        mine = found[[part in method_names(pipeline) for pipeline in found["pipeline"]]]
        if mine.empty:
            continue
        rows: dict[str, dict[str, Any]] = {}
        for row in mine.to_dict("records"):
            key = f"{row['dataset']}, {row['mask_type']}, {row['pipeline']}"
            rows.setdefault(key, {"n": row["n"]})[row["metric"]] = [round(row[end], 4) for end in ("mean", "low", "high")]
        folder = name.removeprefix("shipped:")
        card = files.read_json(place / folder / CARD)
        card["measured"] = {"as": "mean, low and high end of the 95 % bootstrap interval over people", **rows}
        files.write_json(place / folder / CARD, card)
        pin(place, folder, card)
        written.append(folder)
    return written


def table(found: pd.DataFrame) -> str:
    """Return a Markdown table: a row for each pipeline and mask type, a column for each data set and metric."""
    text = found.assign(
        text=[
            "" if not row.n else f"{row.mean:.{_DIGITS[row.metric]}f} ± {(row.high - row.low) / 2:.{_DIGITS[row.metric]}f}"
            for row in found.itertuples()
        ],
        column=found["dataset"] + " " + found["metric"].map(_TITLES),
    )
    wide = text.pivot_table(index=["mask_type", "pipeline"], columns="column", values="text", aggfunc="first", sort=False)
    return markdown(wide.rename_axis(index=["mask type", "pipeline"], columns=None))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    jobs = parser.add_subparsers(dest="job", required=True)
    take = jobs.add_parser("take", help="take a run into the package")
    take.add_argument("run", type=Path, help="a run folder of occface train")
    take.add_argument("name", help="the name under which they are loaded")
    take.add_argument("--purpose", required=True, help="what they are for, in a few words")
    take.add_argument("--notes", default="", help="what a user should know of them")
    score = jobs.add_parser("measured", help="write what a benchmark measured into the cards")
    score.add_argument("out", type=Path, help="the folder of occface benchmark")
    options = parser.parse_args()
    try:
        if options.job == "measured":
            found = measured(options.out)
            print(table(found))
            print(f"\nwritten into the cards of {', '.join(write_measured(found))}")
            return
        pins = ship(options.run, options.name, options.purpose, notes=options.notes)
    except OccfaceError as error:
        sys.exit(str(error))
    for name, entry in pins.items():
        print(f"{name:<20} {entry['files'][WEIGHTS][1]:>10} bytes  {entry['purpose']}")


if __name__ == "__main__":
    main()
