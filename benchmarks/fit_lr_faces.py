"""Make the model of aligned LR faces by which `--mask auto` tells what belongs to no face (`occface/restoring/lr_faces.npz`).

It is fitted to the LR faces of data sets, which should be generated ones, for the file comes with the package. The one there
was made from 300 faces:

    occface make-dataset synthetic generated.h5 --count 300
    python benchmarks/fit_lr_faces.py generated.h5 --out occface/restoring/lr_faces.npz
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from occface import files
from occface.dataset.reader import DatasetFile
from occface.restoring.lr_faces import COMPONENTS, fit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="+", help="data sets of `occface make-dataset`; all their splits are taken")
    parser.add_argument("--out", type=Path, required=True, help="the .npz file to make")
    parser.add_argument("--components", type=int, default=COMPONENTS)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    parts = []
    for path in options.data:
        data = DatasetFile(path)
        parts += [np.asarray(data.field(split, "lr_clean")[:]) for split in data.splits]
    faces = np.concatenate(parts)
    with files.atomic_path(options.out) as temporary, open(temporary, "wb") as handle:
        fit(faces, options.components).save(handle)
    said = {"faces": len(faces), "components": options.components, "bytes": options.out.stat().st_size}
    print(json.dumps(said) if options.json else f"{options.out}: {said}")


if __name__ == "__main__":
    main()
