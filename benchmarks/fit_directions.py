"""Make the file of directions that the synthetic grid turns faces and changes expressions with.

Faces are drawn at random and measured. A ridge regression of the measures on the styles gives, for each measure, the slope p
that predicts it best. Among all moves d of the styles that change one measure by 1 and leave others as they are (linearly),
the one is taken that is least unlikely and changes the recogniser's numbers least: the minimum of

    d' S^-1 d + IDENTITY |B' d|^2     with p_i' d = 1 and p_j' d = 0 for the measures held,

S being the covariance of the styles and B the slopes of the 128 numbers. A direction is added to some of the 16 styles only:
coarse ones for the pose, middle ones for the expression, so that colours, hair and background stay. What it does then to
every measure is measured on further faces.

The work folder keeps every picture and what was measured of it: the script goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import io
import json
from pathlib import Path

import cv2
import numpy as np

from occface import assets, files, progress, seeding
from occface.errors import BadImageError
from occface.faces import measures, recognition
from occface.images import read_image
from occface.sources import directions, synthetic
from occface.sources.variants import look

#: How much the recogniser's numbers count against the likelihood of a style.
IDENTITY = 4000.0

#: For each control the measures that it must leave alone, the styles that it is added to, and the strength it is tried with.
PLAN: dict[str, tuple[tuple[str, ...], tuple[int, int], float]] = {
    "yaw": (("pitch", "mouth_lift", "mouth_opening", "eye_opening", "brow_height"), (0, 8), 20.0),
    "pitch": (("yaw", "mouth_lift", "mouth_opening", "eye_opening", "brow_height"), (0, 8), 8.0),
    # A smile may open the mouth and narrow the eyes: with these held still, it is none.
    "smile": (("yaw", "pitch", "brow_height"), (2, 8), 0.1),
    "mouth": (("yaw", "pitch", "mouth_lift", "eye_opening", "brow_height"), (2, 8), 0.2),
    "eyes": (("yaw", "pitch", "mouth_lift", "mouth_opening", "brow_height"), (4, 8), 0.05),
    "brows": (("yaw", "pitch", "mouth_lift", "mouth_opening", "eye_opening"), (4, 8), 0.06),
}


def style_of(number: int) -> np.ndarray:
    """Return the style, (1, 512), of a face drawn at random, more or less far from the mean face."""
    rng = seeding.rng(0, "directions", number, "latent")
    z = rng.standard_normal((1, 512), dtype=np.float32)
    return synthetic.style_of(z, float(rng.uniform(0.7, 1.0)))


def measure_sample(folder: Path, number: int) -> dict[str, np.ndarray] | None:
    """Return style, measures and recogniser's numbers of a face, drawn now or before; None where no face is found in it."""
    path = folder / f"{number:05d}.npz"
    if not path.exists():
        style = style_of(number)
        picture = path.with_suffix(".jpg")
        if not picture.exists():
            image = synthetic.draw(style, 512)
            files.write_bytes(picture, cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 93])[1].tobytes())
        try:
            face = look(read_image(picture))
            found = {"landmarks": face.landmarks, "embedding": recognition.embed(face.image, face.landmarks)}
        except BadImageError:
            found = {}
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, style=style, **found)
        files.write_bytes(path, buffer.getvalue())
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays) if "landmarks" in arrays else None


def ridge(x: np.ndarray, y: np.ndarray, strength: float) -> np.ndarray:
    """Return the slopes, (512, m), of y on x, both centred; `strength` is in units of the mean square of a style's length."""
    square = x.T @ x / len(x)
    return np.linalg.solve(square + strength * np.trace(square) * np.eye(x.shape[1]), x.T @ y / len(x))


def explained(x: np.ndarray, y: np.ndarray, strength: float) -> np.ndarray:
    """Return the part of the variance of y that slopes found on four fifths of the faces explain in the other fifth."""
    rest = np.zeros_like(y)
    for part in range(5):
        own = np.arange(len(x)) % 5 == part
        rest[own] = (
            y[own]
            - y[~own].mean(0)
            - (x[own] - x[~own].mean(0)) @ ridge(x[~own] - x[~own].mean(0), y[~own] - y[~own].mean(0), strength)
        )
    return 1 - (rest**2).sum(0) / ((y - y.mean(0)) ** 2).sum(0)


def solve(slopes: np.ndarray, identity: np.ndarray, precision: np.ndarray) -> np.ndarray:
    """Return the six directions, (6, 512)."""
    found = []
    for control, (held, _, _) in PLAN.items():
        own = measures.NAMES[directions.CONTROLS.index(control)]
        constraints = slopes[:, [measures.NAMES.index(name) for name in (own, *held)]]
        moved = np.linalg.solve(precision + IDENTITY * identity @ identity.T, constraints)
        wanted = np.eye(1 + len(held))[0]
        found.append(moved @ np.linalg.solve(constraints.T @ moved, wanted))
    return np.stack(found)


def measure_effect(vectors: np.ndarray, levels: np.ndarray, faces: int) -> np.ndarray:
    """Return the changes of the measures per unit of each control, (6, 6), mean over faces moved to and fro."""
    steps = np.array([step for _, _, step in PLAN.values()])
    untried = directions.Directions(vectors, levels, np.eye(len(steps)), np.ones(len(steps)))
    changes = []
    with progress.bar(faces, "effect", "face", 0) as bar:
        for number in range(faces):
            style = style_of(1_000_000 + number)
            columns = []
            for strengths in np.diag(steps):
                try:
                    ends = [look(synthetic.draw(untried.move(style, sign * strengths), 512)) for sign in (1, -1)]
                    columns.append((ends[0].measures.values - ends[1].measures.values) / (2 * strengths.sum()))
                except BadImageError:
                    columns.append(np.full(len(steps), np.nan))
            changes.append(np.stack(columns, axis=1))
            bar.update(1)
    return np.nanmedian(changes, axis=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, help="a folder for the faces drawn")
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--faces", type=int, default=40, help="faces that the effect is measured on")
    parser.add_argument("--out", type=Path, default=Path(directions.__file__).with_name(directions.FILE))
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    assets.obtain(["mobilestylegan", "dlib-68", "dlib-recognition", "expression"])
    cv2.setNumThreads(1)
    samples = []
    with progress.bar(options.samples, "samples", "face", 0) as bar:
        for number in range(options.samples):
            samples.append(measure_sample(options.work, number))
            bar.update(1)
    kept = [sample for sample in samples if sample is not None]
    styles = np.concatenate([sample["style"] for sample in kept]).astype(np.float64)
    values = np.stack([measures.measure(sample["landmarks"]).values for sample in kept])
    embeddings = np.stack([sample["embedding"] for sample in kept]).astype(np.float64)
    x = styles - styles.mean(0)
    slopes = ridge(x, values - values.mean(0), 1e-3)
    identity = ridge(x, embeddings - embeddings.mean(0), 3e-3)
    # The latents of the generator are known, so the covariance of its styles can be had as exactly as wanted.
    many = synthetic.style_of(seeding.rng(0, "directions", "covariance").standard_normal((20000, 512), dtype=np.float32), 0.85)
    covariance = np.cov(many.T.astype(np.float64))
    precision = np.linalg.inv(covariance + 1e-4 * np.trace(covariance) / 512 * np.eye(512))
    vectors = solve(slopes, identity, precision).astype(np.float32)
    levels = np.array([range_ for _, range_, _ in PLAN.values()])
    effect = measure_effect(vectors, levels, options.faces)
    buffer = io.BytesIO()
    np.savez(
        buffer,
        allow_pickle=False,
        controls=np.array(directions.CONTROLS),
        measures=np.array(measures.NAMES),
        vectors=vectors,
        levels=levels,
        effect=effect,
        spread=values.std(0),
    )
    files.write_bytes(options.out, buffer.getvalue())
    fit = explained(x, values, 1e-3)
    if options.json:
        figures = {"n": len(kept), "explained": dict(zip(measures.NAMES, fit.tolist(), strict=True)), "effect": effect.tolist()}
        print(json.dumps(figures))
        return
    print(f"n = {len(kept)} faces; variance explained in faces not used:")
    print("  ".join(f"{name} {part:.2f}" for name, part in zip(measures.NAMES, fit, strict=True)))
    print("what a strength of one spread does, in spreads (rows: measures; columns: " + ", ".join(directions.CONTROLS) + ")")
    for name, row in zip(measures.NAMES, effect * values.std(0) / values.std(0)[:, None], strict=True):
        print(f"{name:14s}" + "".join(f"{value:8.2f}" for value in row))


if __name__ == "__main__":
    main()
