"""What a data set of generated people in a grid of poses and expressions holds: its yield, its yaws, its contact sheet."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from occface import files
from occface.dataset.reader import DatasetFile
from occface.errors import UsageError
from occface.images import write_png
from occface.sources.contact_sheet import contact_sheet

__all__ = ["describe_grid", "grid_lines", "write_contact_sheet"]


def describe_grid(data: DatasetFile, rejected: int = 0) -> dict[str, Any] | None:
    """Return how many faces of a grid could be had, and the yaw measured for each yaw asked for; None if it is no grid.

    Parameters
    ----------
    data : DatasetFile
        The data set.
    rejected : int
        How many faces could not be had.

    Returns
    -------
    dict or None
        ``asked``, ``kept`` and ``drawn`` (of the people kept) faces; ``yaw``: for each asked one ``n``, ``mean`` and ``sd`` of
        the measured ones, in degrees.
    """
    settings = data.configuration["source"]
    if not {"identities", "poses", "expressions"} <= settings.keys():
        return None
    columns = [data.columns(split) for split in data.splits]
    faces = [
        (identity, float(pose), files.parse_json_object(labels))
        for frame in columns
        for identity, pose, labels in zip(frame["identity"], frame["pose"], frame["labels"], strict=True)
        if identity  # a second face in a picture belongs to nobody
    ]
    drawn = {identity: int(labels["draws"]) for identity, _, labels in faces}
    yaws: dict[str, list[float]] = {}
    for _, pose, labels in faces:
        yaws.setdefault(labels["asked_pose"], []).append(pose)
    return {
        "asked": len(faces) + rejected,
        "kept": len(faces),
        "drawn": sum(drawn.values()),
        "yaw": {
            asked: {"n": len(found), "mean": float(np.mean(found)), "sd": float(np.std(found))}
            for asked, found in sorted(yaws.items(), key=lambda item: float(item[0]))
        },
    }


def grid_lines(grid: dict[str, Any]) -> str:
    """Return what `describe_grid` found, for people."""
    lines = [f"grid: {grid['kept']} of {grid['asked']} faces kept, {grid['drawn']} drawn for the people in it"]
    lines += [
        f"yaw asked {asked:>4}: measured {row['mean']:+.1f} +- {row['sd']:.1f} (n = {row['n']})"
        for asked, row in grid["yaw"].items()
    ]
    return "\n".join(lines)


def write_contact_sheet(data: DatasetFile, path: str | os.PathLike[str]) -> None:
    """Draw all aligned faces of a grid into a PNG file, a row for each person.

    Raises
    ------
    UsageError
        If the data set is no grid.
    """
    if describe_grid(data) is None:
        raise UsageError(f"{data.path} is no grid of generated people; see --identities")
    faces = {
        id_: data.record(split, row, ["hr"])["hr"] for split in data.splits for row, id_ in enumerate(data.columns(split)["id"])
    }
    write_png(path, contact_sheet(faces))
