r"""Quality by groups of people: PSNR, ST-LPIPS and landmark error of each group, and how far it lies from all others.

The unit is a person: somebody's photographs are averaged first. Intervals (95 %) are of the bootstrap over people, 10,000
draws, by scipy; those of differences draw the group and the others apart. Groups of fewer than five people have no interval.
PSNR alone says little of fairness, for dark and even pictures have smaller errors whatever is done: so `bicubic` stands
beside each pipeline, and a method treats a group worse where it gains less over that.

PEOPLE is a CSV file with a row for each person: a column that holds the data set's identities, and others to group by.
Numbers (ages) are cut at --edges. `skin` need not be in it: it is measured, the individual typology angle
(ITA = atan((L* - 50) / b*)) of both cheeks' median colour, in the classes of Chardon et al. (Int. J. Cosmet. Sci. 13(4), 1991).
That takes photographs made in one light.

    python benchmarks/bench_groups.py runs/pro-uigan london.h5 --people london_info.csv --key face_id \
        --by face_gender,face_eth,face_age,skin
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats
from skimage.color import rgb2lab

from occface.dataset.reader import DatasetFile
from occface.errors import UsageError
from occface.metrics import METRICS, RestoredFaces
from occface.restoring.restorer import Restorer

#: The metrics, their columns, and which way is better.
METRIC_COLUMNS = {"image": "psnr", "perceptual": "stlpips", "landmarks": "nrmse_outer_eyes"}
#: Classes of the individual typology angle in degrees: from which angle on.
SKIN = {"very light": 55.0, "light": 41.0, "intermediate": 28.0, "tan": 10.0, "brown": -30.0, "dark": -90.0}
_LEAST_PEOPLE = 5


def skin_of(hr: np.ndarray, landmarks: np.ndarray) -> float:
    """Return the individual typology angle of a face in degrees: 55 and more is very light skin, below -30 dark.

    Parameters
    ----------
    hr : numpy.ndarray
        (128, 128, 3) uint8 RGB.
    landmarks : numpy.ndarray
        (68, 2), in pixels of the crop.
    """
    places = [landmarks[[2, 31]].mean(axis=0), landmarks[[14, 35]].mean(axis=0)]  # between the jaw and the wings of the nose
    cheeks = [hr[int(y) - 4 : int(y) + 5, int(x) - 4 : int(x) + 5].reshape(-1, 3) for x, y in places]
    lightness, _, yellow = rgb2lab(np.median(np.concatenate(cheeks), axis=0)[None, None] / 255)[0, 0]
    return float(np.degrees(np.arctan2(lightness - 50, yellow)))


def class_of(angle: float) -> str:
    """Return the class of skin that an angle belongs to."""
    return next(name for name, least in SKIN.items() if angle > least)


def cut(values: pd.Series, edges: Sequence[float]) -> pd.Series:
    """Return groups of a column: its own texts, or numbers in ranges between edges."""
    numbers = pd.to_numeric(values, errors="coerce")
    if numbers.isna().all():
        return values.fillna("").astype(str)
    bounds = [-np.inf, *edges, np.inf]
    names = [f"below {edges[0]:g}", *(f"{a:g} to {b:g}" for a, b in itertools.pairwise(edges)), f"{edges[-1]:g} on"]
    return pd.cut(numbers, bounds, right=False, labels=names).astype(object).fillna("unknown").astype(str)


def compare(scores: pd.DataFrame, by: str, column: str, seed: int = 0, draws: int = 10_000) -> pd.DataFrame:
    """Return how each group fared, and how far it lies from all others.

    Parameters
    ----------
    scores : pandas.DataFrame
        A row for each photograph, with ``identity``, the column `by` and the column `column`; NaN are left out.
    by, column : str
        What tells groups apart, and the number.
    seed, draws : int
        Of the bootstrap.

    Returns
    -------
    pandas.DataFrame
        A row for each group: ``group, people, photographs, mean, low, high, difference, difference_low, difference_high``;
        intervals are NaN where the group or the others are fewer than five people.
    """
    known = scores.dropna(subset=[column])
    people = known.groupby("identity").agg({column: "mean", by: "first"})
    rows = []
    for group in sorted(people[by].unique()):
        inside = people.loc[people[by] == group, column].to_numpy()
        others = people.loc[people[by] != group, column].to_numpy()
        row = {"group": group, "people": len(inside), "photographs": int((known[by] == group).sum()), "mean": inside.mean()}
        row["difference"] = inside.mean() - others.mean() if len(others) else np.nan
        row |= dict.fromkeys(("low", "high", "difference_low", "difference_high"), np.nan)
        options = {"n_resamples": draws, "method": "percentile", "vectorized": True}
        if len(inside) >= _LEAST_PEOPLE:
            rng = np.random.default_rng(seed)
            found = stats.bootstrap((inside,), np.mean, rng=rng, **options).confidence_interval
            row |= {"low": found.low, "high": found.high}
            if len(others) >= _LEAST_PEOPLE:
                found = stats.bootstrap((inside, others), _apart, rng=rng, **options).confidence_interval
                row |= {"difference_low": found.low, "difference_high": found.high}
        rows.append(row)
    columns = ["group", "people", "photographs", "mean", "low", "high", "difference", "difference_low", "difference_high"]
    return pd.DataFrame(rows, columns=columns)


def _apart(one: np.ndarray, other: np.ndarray, axis: int = -1) -> np.ndarray:
    return one.mean(axis=axis) - other.mean(axis=axis)


def scored(restorer: Restorer, data: DatasetFile, split: str, mask: str, judges: dict[str, str]) -> pd.DataFrame:
    """Return a row for each face of a split: its identity, and the metrics' numbers after restoring it."""
    count = len(data.columns(split))
    hrs, masks = data.field(split, "hr"), data.field(split, f"occluded/{mask}/mask")
    hidden = [np.asarray(masks[row]) for row in range(count)]
    made = restorer.restore([np.asarray(hrs[row]) for row in range(count)], hidden)
    faces = RestoredFaces.read(data, split, mask, range(count), np.stack([each.result for each in made]))
    frame = faces.columns[["identity"]].copy()
    for name, column in METRIC_COLUMNS.items():
        settings = {"landmarker": judges["landmarker"]} if name == "landmarks" else {}
        frame[column] = METRICS.get(name)(**settings).measure(faces)[column]
    return frame


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pipeline", help="a run folder, or a pipeline's name with shipped weights")
    parser.add_argument("data", type=Path, help="a data set of `occface make-dataset` that says identities")
    parser.add_argument("--people", type=Path, required=True, help="a CSV file with a row for each person")
    parser.add_argument("--key", default="identity", help="its column that holds identities")
    parser.add_argument("--by", default="skin", help="columns to group by, or skin, joined by commas")
    parser.add_argument("--edges", default="25,35", help="where numbers are cut")
    parser.add_argument("--mask", default="square", help="a mask type of the data set")
    parser.add_argument("--split", default="test")
    parser.add_argument("--landmarker", default="dlib", help="the judge of landmarks")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    data = DatasetFile(options.data)
    people = pd.read_csv(options.people, dtype=str, keep_default_na=False)
    if options.key not in people:
        raise UsageError(f"{options.people} has no column '{options.key}': it has {', '.join(people)}; name it by --key")
    edges = [float(edge) for edge in options.edges.split(",")]
    result = {}
    for name in dict.fromkeys((options.pipeline, "bicubic")):
        frame = scored(
            Restorer.from_pretrained(name, device="cpu"), data, options.split, options.mask, {"landmarker": options.landmarker}
        )
        told = frame.merge(people.drop_duplicates(options.key), left_on="identity", right_on=options.key, how="left")
        if told[options.key].isna().all():
            raise UsageError(f"no identity of {options.data} is in column '{options.key}' of {options.people}")
        hrs, points = data.field(options.split, "hr"), data.field(options.split, "landmarks")
        told["angle"] = [skin_of(np.asarray(hrs[row]), np.asarray(points[row])) for row in range(len(told))]
        told["skin"] = told.groupby("identity")["angle"].transform("mean").map(class_of)
        for by in options.by.split(","):
            told[by] = cut(told[by], edges)
            for column in METRIC_COLUMNS.values():
                result[f"{name} / {by} / {column}"] = compare(told, by, column, options.seed)
    if options.json:
        print(json.dumps({name: json.loads(table.to_json(orient="records")) for name, table in result.items()}))
        return
    print(f"{options.data}, {options.split}, mask {options.mask}; landmarks judged by {options.landmarker}")
    for name, table in result.items():
        print(f"\n{name}\n{table.round(3).to_string(index=False)}")


if __name__ == "__main__":
    main()
