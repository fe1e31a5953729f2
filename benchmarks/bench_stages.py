"""What each stage of trained Pro-UIGANs is worth on held-out faces, beside bicubic of the occluded and of the clean LR face.

A stage's picture is compared with the HR face at the stage's own size (there larger pictures are the harder task, whatever the
method), and, enlarged bicubically, with the HR face itself. PSNR and SSIM by the metric contract, ST-LPIPS on AlexNet, means
over images. Losses may look through a VGG trunk, never through that AlexNet.

    python benchmarks/bench_stages.py faces.h5 runs/pixel runs/full --sheet sheet.png
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from tqdm import tqdm

from occface import assets, images
from occface.dataset.reader import DatasetFile, FacePairs, collate
from occface.images import to_uint8
from occface.lettering import font
from occface.methods.base import Batch
from occface.methods.weights import load_method
from occface.metrics import psnr, ssim, stlpips

SIZES = (32, 64, 128)
_AT_ONCE = 64


def enlarged(pictures: torch.Tensor, size: int) -> torch.Tensor:
    """Return pictures at a larger size, bicubic."""
    if pictures.shape[-1] == size:
        return pictures
    return F.interpolate(pictures, size=(size, size), mode="bicubic", align_corners=False).clamp(-1, 1)


def made_by(run: str | None, name: str, batch: Batch) -> list[torch.Tensor]:
    """Return the pictures of the three stages: a run's, or bicubic ones of the LR face `name`."""
    if run is None:
        return [enlarged(batch[name], size) for size in SIZES]
    method = load_method(run).method
    made: list[list[torch.Tensor]] = []
    with torch.inference_mode():
        for start in tqdm(range(0, len(batch["lr"]), _AT_ONCE), str(run), disable=None):
            some = {key: value[start : start + _AT_ONCE] for key, value in batch.items()}
            made.append(list(method.results(some).values()))  # type: ignore[attr-defined]
    return [torch.cat(stage) for stage in zip(*made, strict=True)]


def rows(name: str, stages: list[torch.Tensor], hr: torch.Tensor, kinds: list[str]) -> Iterator[dict[str, Any]]:
    """Yield a row of mean scores for each mask type and stage."""
    whole = to_uint8(hr)
    for number, made in enumerate(stages, 1):
        size = made.shape[-1]
        truth = to_uint8(F.interpolate(hr, size=(size, size), mode="bilinear", antialias=True) if size < 128 else hr)
        own, large = to_uint8(made), to_uint8(enlarged(made, 128))
        scores = {"psnr_own_size": [psnr(*pair) for pair in zip(own, truth, strict=True)]}
        for metric, measure in {"psnr": psnr, "ssim": ssim, "stlpips": stlpips}.items():
            scores[metric] = [measure(*pair) for pair in tqdm(list(zip(large, whole, strict=True)), disable=None)]
        for kind in sorted(set(kinds)):
            chosen = [place for place, other in enumerate(kinds) if other == kind]
            means = {metric: float(np.mean([values[place] for place in chosen])) for metric, values in scores.items()}
            yield {"method": name, "mask": kind, "stage": number, "n": len(chosen), **means}


def sheet(columns: dict[str, torch.Tensor], chosen: list[int], across: int = 1) -> np.ndarray:
    """Return a picture with `across` faces in a row, of each a column per method, named above."""
    from PIL import Image, ImageDraw

    parts = np.array_split(np.asarray(chosen), across)
    height = 128 * len(parts[0])
    cells = []
    for part in parts:
        for made in columns.values():
            column = np.concatenate(list(to_uint8(enlarged(made[part], 128))), axis=0)
            cells.append(np.pad(column, ((0, height - len(column)), (0, 0), (0, 0)), constant_values=255))
        cells.append(np.full((height, 8, 3), 255, np.uint8))
    body = np.concatenate(cells[:-1], axis=1)
    title = Image.new("RGB", (body.shape[1], 20), "white")
    draw = ImageDraw.Draw(title)
    for place in range(len(parts)):
        for number, name in enumerate(columns):
            draw.text((place * (128 * len(columns) + 8) + 128 * number + 4, 3), name, fill="black", font=font(12))
    return np.concatenate([np.asarray(title), body], axis=0)


def drawn(faces: int, kinds: int, count: int, seed: int | None) -> list[int]:
    """Return which pairs are shown, mask types in turn: faces evenly through the split, or drawn at random by a seed."""
    count = min(count, faces)
    if seed is None:
        chosen = np.linspace(0, faces - 1, count).round().astype(int)
    else:
        chosen = np.random.default_rng(seed).choice(faces, count, replace=False)
    return (chosen * kinds + np.arange(count) % kinds).tolist()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("runs", nargs="+", help="run folders, or shipped:NAME")
    parser.add_argument("--split", default="test")
    parser.add_argument("--sheet", type=Path, help="draw faces into this PNG")
    parser.add_argument("--faces", type=int, default=8, help="faces on the sheet")
    parser.add_argument("--across", type=int, default=1, help="so many of them in a row")
    parser.add_argument(
        "--random", type=int, metavar="SEED", help="draw them at random; else they are evenly through the split"
    )
    parser.add_argument("--pairs", type=int, help="score so many pairs only")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    assets.obtain(["stlpips-alex"])
    pairs = FacePairs(DatasetFile(options.data), options.split)
    count = min(options.pairs or len(pairs), len(pairs))
    batch = collate([pairs[number] for number in range(count)])
    kinds = [pairs.masks[number % len(pairs.masks)] for number in range(count)]
    candidates: list[tuple[str, str | None, str]] = [("bicubic", None, "lr"), ("bicubic, clean LR", None, "lr_clean")]
    candidates += [(Path(run).name, run, "") for run in options.runs]
    figures: list[dict[str, Any]] = []
    columns = {"occluded LR": F.interpolate(batch["lr"], size=128, mode="nearest")}
    for name, run, lr in candidates:
        made = made_by(run, lr, batch)
        columns[name] = made[-1]
        figures += rows(name, made, batch["hr"], kinds)
    if options.sheet:
        columns["HR"] = batch["hr"]
        chosen = drawn(count // len(pairs.masks), len(pairs.masks), options.faces, options.random)
        images.write_png(options.sheet, sheet(columns, chosen, options.across))
    if options.json:
        print(json.dumps({"data": pairs.data.content_hash, "split": options.split, "rows": figures}))
        return
    print("method             mask       stage    n   PSNR at own size   PSNR   SSIM   ST-LPIPS")
    for row in figures:
        print(
            f"{row['method']:18s} {row['mask']:10s} {row['stage']:5d} {row['n']:4d} {row['psnr_own_size']:18.2f}"
            f" {row['psnr']:6.2f} {row['ssim']:6.3f} {row['stlpips']:10.4f}"
        )


if __name__ == "__main__":
    main()
