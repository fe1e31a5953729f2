"""Whether a restored face still shows the expression of the true one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from occface.errors import UsageError
from occface.faces.align import CROP_BOX
from occface.faces.expression import ASSET, EXPRESSIONS, expression_scores
from occface.metrics.base import Column, Metric, RestoredFaces
from occface.metrics.expression_folds import classifier, folds_of, judged, views

if TYPE_CHECKING:
    import pandas as pd

    from occface.dataset.reader import DatasetFile
    from occface.networks.expression import ExpressionNet

__all__ = ["Expression"]

#: What data sets may call the expressions of mini-XCEPTION, which has other names for some; other labels it does not know.
_ALSO_CALLED = {"happy": ("smile",)}

_READ = 256
"""Faces read from a data set at a time."""


class Expression(Metric):
    """Expression recognition.

    Judge ``trained``: a small network, trained on clean HR faces in folds with disjoint people; each face is judged by the one
    whose training held none of its person. Where identities are not known, every photograph counts as a person of its own.
    Judge ``mini-xception``: pretrained on FER-2013; it knows neutral, smile (happy), surprise, disgust, angry, sad and fear,
    and faces with another label are not scored.

    Settings
    --------
    judge : {"trained", "mini-xception"}
        See above.
    folds : int
        How many; as many as there are people where these are fewer.
    learn_from : {"scored", "all"}
        Whether classifiers learn from the faces of the split that is scored alone, or of all splits of the data set.
    steps : int
        Steps of each training, of 32 faces each.
    seed : int
        Of folds and trainings.
    cache : str
        A folder in which the trained networks are kept under the hash of what they depend on; none where it is empty.
    """

    name = "expression"
    SETTINGS: ClassVar[dict[str, Any]] = {
        "judge": "trained",
        "folds": 10,
        "learn_from": "scored",
        "steps": 120,
        "seed": 0,
        "cache": "",
    }
    needs = frozenset({"expression"})

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._choose("judge", ("trained", "mini-xception"))
        self._choose("learn_from", ("scored", "all"))
        if self.settings["folds"] < 2 or self.settings["steps"] < 1:
            raise UsageError(
                f"the metric 'expression' takes at least 2 folds and 1 step, got {self.settings['folds']} and "
                f"{self.settings['steps']}"
            )
        self._words: tuple[str, ...] = ()
        self._folds: dict[str, int] = {}
        self._networks: list[ExpressionNet] = []
        self._facts: dict[str, Any] = {}

    @property
    def assets(self) -> tuple[str, ...]:  # noqa: D102 - as in the base class
        return (ASSET,) if self.settings["judge"] == "mini-xception" else ()

    @property
    def columns(self) -> tuple[Column, ...]:
        """What the judge sees, and whether that is right."""
        if self.settings["judge"] == "mini-xception":
            judge = "mini-XCEPTION (FER-2013; happy is smile; labels it does not know are not scored)"
        else:
            where = "the scored split" if self.settings["learn_from"] == "scored" else "all splits"
            judge = (
                f"a small network trained on clean HR faces of {where} in {self.settings['folds']} folds (or as many as "
                "people), each face by the one that saw none of its person"
            )
        return (
            Column("expression_seen", None, f"The expression that is seen in the restored face by {judge}", decimals=0),
            Column("expression_correct", True, f"1 where the expression seen is the labelled one, else 0; judged by {judge}"),
        )

    def missing(self, data: DatasetFile, split: str) -> tuple[str, ...]:
        """Return what the data set does not know; classifiers in folds need a second person and a second expression too."""
        absent = super().missing(data, split)
        if absent or self.settings["judge"] == "mini-xception":
            return absent
        columns = [_labelled(data.columns(name)) for name in self._splits(data, split)]
        people = {person for frame in columns for person in _people(frame)}
        kinds = {kind for frame in columns for kind in frame["expression"]}
        return (("a second person",) if len(people) < 2 else ()) + (("a second expression",) if len(kinds) < 2 else ())

    def _splits(self, data: DatasetFile, split: str) -> tuple[str, ...]:
        return (split,) if self.settings["learn_from"] == "scored" else data.splits

    def prepare(self, data: DatasetFile, split: str) -> None:
        """Train a classifier for each fold, or read those that were kept, and judge the true faces.

        Raises
        ------
        UsageError
            If there are not two people with labels, and two labels.
        """
        absent = self.missing(data, split)
        if absent:
            raise UsageError(
                f"the metric 'expression' cannot be measured on the split '{split}' of {data.path}: expected "
                f"{' and '.join(absent)} with labels, got none; leave it out there"
            )
        if self.settings["judge"] == "mini-xception":
            labels = set(data.columns(split)["expression"])
            self._words = tuple(next((n for n in _ALSO_CALLED.get(word, ()) if n in labels), word) for word in EXPRESSIONS)
            return
        frames, pictures = {}, {}
        for name in self._splits(data, split):
            columns = data.columns(name)
            chosen = np.flatnonzero(columns["expression"] != "")
            seen = [views(data.stack(name, "hr", start, start + _READ)) for start in range(0, data.count(name), _READ)]
            frames[name], pictures[name] = columns.iloc[chosen], np.concatenate(seen)[chosen]
        people = [person for frame in frames.values() for person in _people(frame)]
        kinds = [kind for frame in frames.values() for kind in frame["expression"]]
        faces = np.concatenate(list(pictures.values()))
        self._words = tuple(sorted(set(kinds)))
        labels_ = np.array([self._words.index(kind) for kind in kinds])
        self._folds = folds_of(people, self.settings["folds"], self.settings["seed"])
        folds = np.array([self._folds[person] for person in people])
        cache = Path(self.settings["cache"]) if self.settings["cache"] else None
        self._networks = [
            classifier(
                faces[folds != fold],
                labels_[folds != fold],
                len(self._words),
                self.settings["seed"],
                self.settings["steps"],
                cache,
            )
            for fold in range(folds.max() + 1)
        ]
        told = self._judged(pictures[split], _people(frames[split]))
        self._facts = {
            "folds": len(self._networks),
            "people": len(self._folds),
            "faces": len(faces),
            "expressions": list(self._words),
            "clean_accuracy": float((np.array(told) == frames[split]["expression"].to_numpy()).mean()),
        }

    def fingerprint(self) -> dict[str, Any]:
        """Return the settings without the folder, which nothing depends on."""
        settings = {key: value for key, value in self.settings.items() if key != "cache"}
        return super().fingerprint() | {"settings": settings}

    def facts(self) -> dict[str, Any]:
        """Return the folds, people and faces, and the accuracy on the true faces themselves: what can be hoped for."""
        return dict(self._facts)

    def _judged(self, faces: np.ndarray, people: list[str]) -> list[str]:
        """Return the expression seen in each face, (N, 64, 64) uint8, by the network that never saw its person."""
        strangers = [person for person in people if person not in self._folds]
        if strangers:
            raise ValueError(f"expected faces of the split that was prepared, got one of '{strangers[0]}', who is in no fold")
        folds = np.array([self._folds[person] for person in people], dtype=np.intp)
        seen = np.empty(len(faces), dtype=np.int64)
        for fold in np.unique(folds):
            seen[folds == fold] = judged(self._networks[fold], faces[folds == fold])
        return [self._words[number] for number in seen]

    def measure(self, faces: RestoredFaces) -> dict[str, np.ndarray]:
        """Return both for each face; empty and NaN for faces without a label.

        Raises
        ------
        ValueError
            If nothing was prepared, or that held none of a face's person.
        """
        if not self._words:
            raise ValueError("expected classifiers: call prepare with the data set's split first")
        labels = faces.columns["expression"].to_numpy(dtype=object)
        chosen = np.flatnonzero(labels != "")
        seen = np.full(len(faces), "", dtype=object)
        correct = np.full(len(faces), np.nan)
        if not len(chosen):
            return {"expression_seen": seen, "expression_correct": correct}
        if self.settings["judge"] == "trained":
            seen[chosen] = self._judged(views(faces.result[chosen]), _people(faces.columns.iloc[chosen]))
        else:
            seen[chosen] = [self._words[expression_scores(faces.result[number], CROP_BOX).argmax()] for number in chosen]
        known = np.array([number for number in chosen if labels[number] in self._words], dtype=np.intp)
        correct[known] = seen[known] == labels[known]
        return {"expression_seen": seen, "expression_correct": correct}


def _labelled(columns: pd.DataFrame) -> pd.DataFrame:
    return columns[columns["expression"] != ""]


def _people(columns: pd.DataFrame) -> list[str]:
    """Return who is seen in each face; a photograph of someone unknown is a person of its own."""
    # A prefix each, so that no photograph's name is taken for a person's.
    pairs = zip(columns["identity"], columns["id"], strict=True)
    return [f"person {identity}" if identity else f"photograph {id_}" for identity, id_ in pairs]
