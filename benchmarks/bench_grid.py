"""How well a grid of generated people keeps what it promises: poses, expressions, identities.

The work folder keeps a record and the aligned faces of each person, so that the script goes on where it was stopped; the
contact sheet is written there too. Three things bear on what the figures mean:

- The recogniser took part in the choice: each face lies near its person's neutral frontal face for it. It never compared two
  people, so rank-1 is helped by the choice but not settled by it. A second opinion, which had no part in anything, is the
  correlation of the aligned faces' blurred grey values: a far weaker witness, to be read beside chance.
- The yaw is measured as it was when the faces were chosen. Another head, seen by OpenCV's perspective solver, gives another
  measure; it uses the corners of the mouth and the chin, which expressions move.
- The expression is told by landmarks. mini-XCEPTION, which looks at pixels, had a say only in what is neutral.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from occface import assets, files, parallel, progress
from occface.errors import BadImageError
from occface.faces import align
from occface.faces.expression import EXPRESSIONS
from occface.faces.recognition import THRESHOLD, distances
from occface.images import read_image, write_png
from occface.sources.contact_sheet import contact_sheet
from occface.sources.grid import GridSource

#: Six points of a head that is often used with perspective solvers: tip of the nose, chin, outer corners of the eyes, corners
#: of the mouth; y up, z towards the camera, the unit does not matter.
_SECOND_HEAD = np.array(
    [[0, 0, 0], [0, -330, -65], [-225, 170, -135], [225, 170, -135], [-150, -150, -125], [150, -150, -125]], dtype=np.float64
)
_SECOND_POINTS = [30, 8, 36, 45, 48, 54]


def second_yaw(landmarks: np.ndarray, size: int) -> float:
    """Return the yaw in degrees by another head and a perspective camera, as long as the picture is wide."""
    camera = np.array([[size, 0, size / 2], [0, size, size / 2], [0, 0, 1]], dtype=np.float64)
    head = _SECOND_HEAD * (1, -1, -1)
    # Begun far away and from the front: of the two turns that explain a flat head nearly as well, the likely one is found.
    begin = np.zeros(3), np.array([0.0, 0.0, 2000.0])
    points = landmarks[_SECOND_POINTS].astype(np.float64)
    _, turn, _ = cv2.solvePnP(head, points, camera, None, *begin, useExtrinsicGuess=True)
    rotation = cv2.Rodrigues(turn)[0]
    return float(-np.degrees(np.arctan2(rotation[0, 2], rotation[2, 2])))


def make(number: int, source: GridSource, folder: str) -> dict[str, Any]:
    """Draw one person unless that is done; return the record."""
    record_path = Path(folder) / f"{number:04d}.json"
    if record_path.exists():
        record: dict[str, Any] = files.read_json(record_path)
        return record
    cv2.setNumThreads(1)
    start = time.perf_counter()
    person = source.person(number)
    record = {"draws": person.draws, "attempts": person.attempts, "faces": {}, "rejected": {}}
    for photo in (photo for photo in source.photos() if photo.identity.endswith(f"/{number:04d}")):
        try:
            photograph = source.read(photo)
        except BadImageError as error:
            record["rejected"][photo.id] = str(error)
            continue
        face = person.faces[float(photograph.measured["asked_pose"]), photograph.measured["asked_expression"]]
        crop = align.warp(face.image, align.crop_transform(face.landmarks), align.CROP_SIZE)
        write_png(Path(folder) / f"{photo.id.replace('/', '_')}.png", crop)
        record["faces"][photo.id] = {
            **photograph.measured,
            "embedding": face.embedding.tolist(),
            "scores": face.scores.tolist(),
            "second_yaw": second_yaw(face.landmarks, source.size),
        }
    record["seconds"] = time.perf_counter() - start
    files.write_json(record_path, record)
    return record


def rank_one(near: np.ndarray, people: np.ndarray, gallery: np.ndarray) -> float:
    """Return the share of faces whose nearest of the gallery, (n, m), is of the same person."""
    return float((gallery[near.argmin(axis=1)] == people).mean())


def blurred(crop: np.ndarray) -> np.ndarray:
    """Return what the second opinion on identity sees: grey values, standardised."""
    grey = cv2.GaussianBlur(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), (0, 0), 4)[24:112:4, 24:104:4].astype(np.float64).ravel()
    return (grey - grey.mean()) / (np.linalg.norm(grey - grey.mean()) + 1e-9)


def figures(source: GridSource, records: list[dict[str, Any]], crops: dict[str, np.ndarray]) -> dict[str, Any]:
    """Return what the script reports."""
    faces = [(id_, face) for record in records for id_, face in record["faces"].items()]
    asked = np.array([float(face["asked_pose"]) for _, face in faces])
    yaw, second = (np.array([float(face[name]) for _, face in faces]) for name in ("pose", "second_yaw"))
    expressions = np.array([face["asked_expression"] for _, face in faces])
    people = np.array([id_.split("/")[1] for id_, _ in faces])
    embeddings = np.array([face["embedding"] for _, face in faces])
    first = (asked == 0) & (expressions == "neutral")
    probe = ~first & np.isin(people, people[first])
    near = distances(embeddings[probe], embeddings[first])
    seen = np.stack([blurred(crops[id_]) for id_, _ in faces])
    alike = -seen[probe] @ seen[first].T
    apart = distances(embeddings[first], embeddings[first])[np.triu_indices(first.sum(), 1)]
    network = np.array([EXPRESSIONS[int(np.argmax(face["scores"]))] for _, face in faces])
    whole = [record for record in records if not record["rejected"]]
    return {
        "asked": len(records) * len(source.poses) * len(source.expressions),
        "kept": len(faces),
        "drawn": sum(record["draws"] for record in records),
        "people": len(records),
        "people_whole": len(whole),
        "people_tried": sum(record["attempts"] for record in records),
        "seconds_per_person": float(np.mean([record["seconds"] for record in records])),
        "yaw": {
            f"{pose:+g}": {
                "n": int((asked == pose).sum()),
                "mean": float(yaw[asked == pose].mean()),
                "sd": float(yaw[asked == pose].std()),
                "second_mean": float(second[asked == pose].mean()),
                "second_sd": float(second[asked == pose].std()),
            }
            for pose in sorted(source.poses)
        },
        "monotone": share_monotone(asked, yaw, people, expressions),
        "monotone_second": share_monotone(asked, second, people, expressions),
        "rank1": rank_one(near, people[probe], people[first]),
        "rank1_grey": rank_one(alike, people[probe], people[first]),
        "rank1_chance": 1 / max(1, int(first.sum())),
        "probes": int(probe.sum()),
        "gallery": int(first.sum()),
        "people_alike": float((apart < THRESHOLD).mean()),
        "network": {
            name: {told: int((network[expressions == name] == told).sum()) for told in EXPRESSIONS}
            for name in source.expressions
        },
    }


def share_monotone(asked: np.ndarray, yaw: np.ndarray, people: np.ndarray, expressions: np.ndarray) -> float:
    """Return the share of people whose yaw grows with the asked one in every expression; of those with two poses or more."""
    fine = []
    for person in np.unique(people):
        rows = [(people == person) & (expressions == name) for name in np.unique(expressions[people == person])]
        steps = [np.diff(yaw[row][np.argsort(asked[row])]) for row in rows if row.sum() > 1]
        if steps:
            fine.append(all((step > 0).all() for step in steps))
    return float(np.mean(fine))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, help="a folder for the faces; the contact sheet is written there")
    parser.add_argument("--identities", type=int, default=40)
    parser.add_argument("--poses", default="-30,0,30")
    parser.add_argument("--expressions", default="neutral,smile,surprise")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--truncation", type=float, default=0.85)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    source = GridSource(
        options.identities,
        tuple(map(float, options.poses.split(","))),
        tuple(options.expressions.split(",")),
        options.seed,
        options.truncation,
    )
    assets.obtain(source.assets)
    # Records of one folder belong to one grid, whatever its number of people.
    folder = options.work / files.sha256_json(dataclasses.replace(source, identities=1).describe())[:12]
    files.make_folder(folder)
    job = _Job(source, str(folder))
    records = []
    with progress.bar(options.identities, "people", "person", 0) as bar:
        for record in parallel.ordered_map(job, range(options.identities), workers=options.workers):
            records.append(record)
            bar.update(1)
    ids = [id_ for record in records for id_ in record["faces"]]
    crops = {id_: read_image(folder / f"{id_.replace('/', '_')}.png") for id_ in ids}
    write_png(options.work / "contact_sheet.png", contact_sheet(crops))
    found = figures(source, records, crops)
    if options.json:
        print(json.dumps(found))
        return
    show(found)


@dataclasses.dataclass(frozen=True)
class _Job:
    source: GridSource
    folder: str

    def __call__(self, number: int) -> dict[str, Any]:
        return make(number, self.source, self.folder)


def show(found: dict[str, Any]) -> None:
    """Print the figures for people."""
    print(f"faces kept        {found['kept']} of {found['asked']} asked, {found['drawn']} drawn")
    print(f"people            {found['people_whole']} of {found['people']} in all variants, {found['people_tried']} tried")
    print(f"time              {found['seconds_per_person']:.1f} s per person")
    for pose, row in found["yaw"].items():
        print(
            f"yaw asked {pose:>4}    {row['mean']:+6.1f} +- {row['sd']:.1f}; by another head and perspective "
            f"{row['second_mean']:+6.1f} +- {row['second_sd']:.1f} (n = {row['n']})"
        )
    print(f"yaw monotone      {found['monotone']:.1%} of people; by the other measure {found['monotone_second']:.1%}")
    print(
        f"rank-1            {found['rank1']:.1%} of {found['probes']} faces among {found['gallery']} people; by blurred grey "
        f"values {found['rank1_grey']:.1%}, by chance {found['rank1_chance']:.1%}"
    )
    print(f"people alike      {found['people_alike']:.1%} of pairs of neutral frontal faces are nearer than {THRESHOLD}")
    print("what mini-XCEPTION sees:")
    for name, row in found["network"].items():
        print(f"  {name:10s}" + "  ".join(f"{told} {count}" for told, count in row.items() if count))


if __name__ == "__main__":
    main()
