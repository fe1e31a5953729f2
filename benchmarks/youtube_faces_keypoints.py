"""Make a folder that `occface make-dataset` can read out of the frames and key points of YouTube Faces (68 points, one CSV).

    python benchmarks/youtube_faces_keypoints.py ytf_keypoints68 ytf
    occface make-dataset ytf ytf.h5 --faces-file ytf/faces.csv --mask irregular --mask square --test 0.1

The photographs are linked, `labels.csv` says whom they show (the file name without its number), and `faces.csv` holds the 68
landmarks, so that faces are aligned by those and not by a detector's.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from occface.sources.known_faces import KnownFace, write_faces

KEYPOINTS = "training_frames_keypoints.csv"


def main() -> None:
    """Write links, labels and landmarks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help=f"a folder with training/ and {KEYPOINTS}")
    parser.add_argument("out", type=Path, help="a folder to be made")
    options = parser.parse_args()
    points = pd.read_csv(options.source / KEYPOINTS, index_col=0)
    options.out.mkdir(parents=True)
    faces, labels = [], []
    for name, row in points.iterrows():
        photo = options.source / "training" / str(name)
        if photo.is_file():
            (options.out / photo.name).symlink_to(photo.resolve())
            faces.append(KnownFace(photo.name, None, row.to_numpy("float32").reshape(68, 2)))
            labels.append({"file": photo.name, "identity": photo.stem.rpartition("_")[0]})
    pd.DataFrame(labels).to_csv(options.out / "labels.csv", index=False)
    write_faces(options.out / "faces.csv", faces)
    print(f"{len(faces)} of {len(points)} annotated frames in {options.out}")


if __name__ == "__main__":
    main()
