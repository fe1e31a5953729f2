"""Make pictures to restore: small occluded faces inside larger pictures, with the truth beside them.

A picture is a blurred photograph on which one to three people stand, each from a photograph of its own: the face is marked
at full size, occluded there, and the photograph shrunk until the crop of the face is 32 to 64 px wide, so that the face itself
has about 20 to 42 px. Written are, below the folder:

    pictures/NN.png   what is to be restored
    masks/NN.png      what is hidden in it, white
    truth/NN-K.png    the 128x128 crop of face K as it was, with nothing hidden
    faces.csv         boxes and landmarks of the faces in pixels of the pictures, as `occface restore --boxes` reads them

The same photographs and seed give the same bytes.

    python benchmarks/make_small_faces.py ~/photographs ~/portraits --out small --count 30
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from occface import faces, files, seeding
from occface.errors import BadImageError
from occface.faces import AlignedFace, align
from occface.images import SUFFIXES, read_image, write_png
from occface.occlusion import draw_mask, occlude
from occface.sources.known_faces import KnownFace, write_faces

#: How wide and high a picture is; each person has a place of a third of the width.
WIDTH, HEIGHT = 600, 360
#: How wide the crop of a face becomes, in px, and how much of its surroundings comes with it, in crops.
LEAST, MOST, AROUND = 32, 64, 2.2
KINDS = ("square", "irregular-0.1-0.2", "mouth", "eyes", "lower-face", "sunglasses", "hand", "irregular-0.2-0.3")


@dataclass(frozen=True)
class Person:
    """A person as pasted: (h, w, 3) picture, (h, w) weight and mask; the face in pixels of that picture; its whole crop."""

    picture: np.ndarray
    weight: np.ndarray
    mask: np.ndarray
    landmarks: np.ndarray
    truth: np.ndarray


def marked(path: Path) -> tuple[np.ndarray, AlignedFace]:
    """Read a photograph and mark its largest face."""
    image = read_image(path)
    (found,) = faces.find_faces(image, [faces.DETECTORS.get("dlib")()])
    return image, faces.align_found(image, found, faces.LANDMARKERS.get("dlib")())


def person(path: Path, rng: np.random.Generator) -> Person:
    """Take the person out of a photograph, occluded and small."""
    image, face = marked(path)
    kind = KINDS[int(rng.integers(len(KINDS)))]
    hole = draw_mask(kind, rng, landmarks=face.landmarks)
    height, width = image.shape[:2]
    shape = (width, height)
    mask = cv2.warpAffine(hole, face.transform, shape, flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP)
    occluded = occlude(image, mask, "gray", rng)
    points = align.apply(align.inverse(face.transform), face.landmarks)
    scale = float(np.hypot(*face.transform[0, :2]))  # pixels of the crop in one of the photograph
    centre = align.apply(align.inverse(face.transform), np.array([[63.5, 63.5]]))[0]
    half = AROUND / 2 * align.CROP_SIZE / scale
    left, top = np.maximum(np.floor(centre - half), 0).astype(int).tolist()
    right, bottom = np.minimum(np.ceil(centre + half), shape).astype(int).tolist()
    factor = rng.uniform(LEAST, MOST) / align.CROP_SIZE * scale
    size = (max(2, round((right - left) * factor)), max(2, round((bottom - top) * factor)))

    def shrunk(of: np.ndarray) -> np.ndarray:
        return cv2.resize(of[top:bottom, left:right], size, interpolation=cv2.INTER_AREA)

    small = (points + 0.5 - np.array([left, top])) * (np.array(size) / (right - left, bottom - top)) - 0.5
    y, x = (np.abs(np.linspace(-1, 1, side)) for side in size[::-1])
    weight = np.clip((1 - np.maximum(y[:, None], x[None, :])) / 0.2, 0, 1)
    hidden = shrunk(mask.astype(np.float32)) > 0.5
    return Person(shrunk(occluded), weight, hidden, small, face.hr)


def background(path: Path) -> np.ndarray:
    """Return a photograph blurred beyond recognition, at the size of a picture."""
    image = cv2.resize(read_image(path), (5, 3), interpolation=cv2.INTER_AREA)
    return cv2.GaussianBlur(cv2.resize(image, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC), (0, 0), 30)


def people(paths: list[Path], rng: np.random.Generator) -> Iterator[Person]:
    """Yield people from photographs drawn at random; those that no face is found in are passed over."""
    for number in rng.permutation(len(paths)).tolist():
        try:
            yield person(paths[number], rng)
        except BadImageError:
            continue


def make(paths: list[Path], out: Path, count: int, seed: int) -> int:
    """Write the pictures; return how many faces are in them."""
    known: list[KnownFace] = []
    for number in range(count):
        rng = seeding.rng(seed, "small faces", number)
        canvas = background(paths[int(rng.integers(len(paths)))]).astype(np.float64)
        hidden = np.zeros((HEIGHT, WIDTH), np.uint8)
        name = f"{number:02d}"
        crowd = people(paths, rng)
        for place in sorted(rng.permutation(3)[: int(rng.integers(1, 4))].tolist()):
            one = next(crowd)
            h, w = one.weight.shape
            x = place * WIDTH // 3 + int(rng.integers(0, max(1, WIDTH // 3 - w)))
            y = int(rng.integers(0, HEIGHT - h))
            where = np.s_[y : y + h, x : x + w]
            canvas[where] += one.weight[..., None] * (one.picture - canvas[where])
            hidden[where] |= one.mask & (one.weight > 0.5)
            points = (one.landmarks + np.array([x, y])).astype(np.float32)
            known.append(KnownFace(f"{name}.png", align.box_of_points(points), points))
            order = sum(face.file == f"{name}.png" for face in known)
            write_png(out / "truth" / f"{name}-{order}.png", one.truth)
        write_png(out / "pictures" / f"{name}.png", np.rint(canvas).clip(0, 255).astype(np.uint8))
        write_png(out / "masks" / f"{name}.png", hidden * np.uint8(255))
    write_faces(out / "faces.csv", known)
    return len(known)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, nargs="+", help="folders of photographs, each with a face")
    parser.add_argument("--out", type=Path, required=True, help="where everything goes")
    parser.add_argument("--count", type=int, default=30, help="pictures")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    paths = sorted(path for folder in options.photos for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    files.make_folder(options.out)
    found = make(paths, options.out, options.count, options.seed)
    said = {"pictures": options.count, "faces": found, "seed": options.seed}
    print(json.dumps(said) if options.json else f"{options.out}: {found} faces in {options.count} pictures")


if __name__ == "__main__":
    main()
