"""Take trained weights into the package: half precision, a card that keeps what training wrote, and pinned hashes.

    python benchmarks/ship_weights.py RUN NAME --purpose "what they are for"

writes occface/weights/NAME/weights.safetensors and weights.json, and lists them with their SHA-256 in
occface/weights/pins.json. Numbers that half precision cannot hold are refused. All of them together stay below 45 MB.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import torch

from occface import assets, files
from occface.errors import OccfaceError, UsageError
from occface.methods.weights import CARD, WEIGHTS, load_method, write_weights

LARGEST = 45_000_000
"""Bytes of all weights of the package together, so that a checkout stays light."""


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
    listed = place / "pins.json"
    pins = files.read_json(listed) if listed.is_file() else {}
    data = card.get("data")
    licence = str(data.get("licence", "not recorded")) if isinstance(data, dict) else "not recorded"
    paths = [folder / WEIGHTS, folder / CARD]
    pins[name] = {
        "purpose": purpose,
        "licence": f"trained on: {licence}",
        "files": {path.name: [files.sha256_file(path), path.stat().st_size] for path in paths},
    }
    total = sum(entry["files"][WEIGHTS][1] for entry in pins.values())
    if total > LARGEST:
        raise UsageError(f"expected at most {LARGEST} bytes of weights in the package, got {total} with {name}")
    files.write_json(listed, dict(sorted(pins.items())))
    return pins


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a run folder of occface train")
    parser.add_argument("name", help="the name under which they are loaded")
    parser.add_argument("--purpose", required=True, help="what they are for, in a few words")
    parser.add_argument("--notes", default="", help="what a user should know of them")
    options = parser.parse_args()
    try:
        pins = ship(options.run, options.name, options.purpose, notes=options.notes)
    except OccfaceError as error:
        sys.exit(str(error))
    for name, entry in pins.items():
        print(f"{name:<20} {entry['files'][WEIGHTS][1]:>10} bytes  {entry['purpose']}")


if __name__ == "__main__":
    main()
