"""Draw ``docs/pictures/occlusions.png``: every kind of mask, on the six generated faces that the tests use.

Run it in the project's folder: ``python docs/draw_occlusions.py``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from occface import faces, files, seeding
from occface.images import read_image
from occface.occlusion import draw_mask, occlude

ROOT = Path(__file__).resolve().parent.parent
KINDS = (
    *("square", "square-32", "irregular", "irregular-0.2-0.3-inside", "irregular-0.4-0.5-border", "walk"),
    *("eyes", "nose", "mouth", "left-half", "right-half", "lower-face"),
    *("sunglasses", "hand", "scarf", "microphone", "eyes+square-32", "square@2"),
)
ACROSS, SIDE, LINE, GAP = 6, 128, 16, 6
#: Enough colours for skin, few enough for a small file.
COLOURS = 192


def main() -> None:
    """Draw the picture."""
    detectors, landmarker = [faces.DETECTORS.get("dlib")()], faces.LANDMARKERS.get("dlib")()
    aligned = []
    for path in sorted((ROOT / "tests" / "data" / "faces").glob("*.jpg")):
        image = read_image(path)
        aligned.append(faces.align_found(image, faces.find_faces(image, detectors)[0], landmarker))
    rows = -(-len(KINDS) // ACROSS)
    sheet = Image.new("RGB", (ACROSS * (SIDE + GAP) + GAP, rows * (SIDE + LINE + GAP) + GAP), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(9.5)
    for number, kind in enumerate(KINDS):
        row, column = divmod(number, ACROSS)
        face = aligned[column % len(aligned)]
        rng = seeding.rng(3, "docs", kind)
        occluded = occlude(face.hr, draw_mask(kind, rng, SIDE, landmarks=face.landmarks), "gray", rng)
        x, y = GAP + column * (SIDE + GAP), GAP + row * (SIDE + LINE + GAP)
        sheet.paste(Image.fromarray(np.ascontiguousarray(occluded)), (x, y))
        draw.text((x + SIDE / 2, y + SIDE + 1), kind, fill=(34, 34, 34), font=font, anchor="ma")
    with files.atomic_path(ROOT / "docs" / "pictures" / "occlusions.png") as temporary:
        sheet.quantize(COLOURS, dither=Image.Dither.NONE).save(temporary, format="PNG", optimize=True)


if __name__ == "__main__":
    main()
