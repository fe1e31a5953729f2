"""From a unit of a plan to score rows: restore its faces, then measure them."""

from __future__ import annotations

import functools
import io
import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from occface import files
from occface.benchmark.annotations import Seen, judged, stage_heatmaps
from occface.benchmark.provenance import LEARNING, RESTORING, short_hash
from occface.benchmark.restorations import Restorations
from occface.benchmark.restoring import BATCH
from occface.benchmark.scores import ScoreRow, read_facts, write_scores
from occface.benchmark.steps import MakeData, Place, Stage, Step, Train, referred, referring
from occface.benchmark.units import Unit, source_of
from occface.dataset.reader import FacePairs
from occface.errors import UsageError
from occface.images import encode_png
from occface.methods import METHODS
from occface.methods.base import TrainableMethod
from occface.methods.weights import CARD
from occface.metrics import METRICS
from occface.metrics.base import Metric, RestoredFaces, SetMetric
from occface.training.devices import describe, resolve
from occface.versions import source_hash

__all__ = ["Judges", "Score"]

log = logging.getLogger("occface")


class Judges:
    """The metrics that a recipe asks for, on one data set.

    Parameters
    ----------
    wanted : mapping of str to mapping
        Settings by the metrics' names; ``@name`` in a text stands for a training.
    data : MakeData
        The data set.
    company : mapping of str to Train
        The trainings that the settings name.
    folder : Path
        Where judges that are trained for a data set are kept.
    """

    def __init__(
        self, wanted: Mapping[str, Mapping[str, Any]], data: MakeData, company: Mapping[str, Train], folder: Path
    ) -> None:
        self.wanted, self.data, self.company, self.folder = wanted, data, company, folder

    @functools.cached_property
    def key(self) -> str:
        """The hash of which metrics these are, what they are set to, and what they look through.

        Raises
        ------
        UsageError
            If weights that a setting names by their path are not there.
        """
        keys = {name: step.key for name, step in self.company.items()}
        known: dict[str, Any] = {}
        for name, values in self.wanted.items():
            kind = METRICS.get(name)
            # What a training has yet to make is known by the training's key.
            own = referring(values, keys) if any(referred(values)) else kind(**values).fingerprint()
            known[name] = [own, source_of(kind)]
        return files.sha256_json([known, source_hash()])

    _prepared: str = ""

    @property
    def kept_by(self) -> tuple[str, ...]:
        """Names of what is trained once to judge this data set, and kept: the same name is the same judge."""
        trained = (name for name in self.wanted if "cache" in METRICS.get(name).SETTINGS)
        return tuple(f"{name} on {self.data.label}" for name in trained)

    @functools.cached_property
    def _metrics(self) -> list[Metric | SetMetric]:
        paths = {name: str(step.folder) for name, step in self.company.items()}
        made = []
        for name, values in self.wanted.items():
            kind = METRICS.get(name)
            settings = referring(values, paths)
            if "cache" in kind.SETTINGS:
                settings.setdefault("cache", str(files.make_folder(self.folder)))
            made.append(kind(**settings))
        return made

    def ready(self, split: str) -> list[Metric | SetMetric]:
        """Return those metrics that the data set knows enough for, prepared for a split."""
        if self._prepared != split:
            for metric in self._metrics:
                if not metric.missing(self.data.data, split):
                    metric.prepare(self.data.data, split)
            self._prepared = split
        return [metric for metric in self._metrics if not metric.missing(self.data.data, split)]

    def facts(self, split: str) -> dict[str, Any]:
        """Return, for the record, how each column is to be read, and what was found in preparation."""
        return {
            metric.name: {
                "columns": {column.name: column.contract for column in metric.columns},
                "fingerprint": metric.fingerprint(),
                "facts": metric.facts(),
            }
            for metric in self.ready(split)
        }


class Score(Step):
    """Restore the faces of a unit and measure them: a score file, and one of what belongs to all faces together."""

    kind = "score"

    def __init__(self, unit: Unit, judges: Judges, folder: Path) -> None:
        learnt = f", trained on {unit.trained_on}" if unit.trained_on not in ("", unit.dataset) else ""
        needs: dict[Step, None] = dict.fromkeys([unit.made, *(stage.train for stage in unit.stages if stage.train)])
        needs |= dict.fromkeys(judges.company.values())
        super().__init__(f"{unit.title}{learnt} on {unit.dataset}, {unit.mask}", tuple(needs))
        self.unit, self.judges = unit, judges
        self.path = folder / "scores" / unit.path
        self._restored = folder / "restored"

    @functools.cached_property
    def key(self) -> str:
        """The hash of the restored faces, which of them are scored and shown, and the metrics."""
        unit = self.unit
        return files.sha256_json([unit.dataset, unit.restoration_key, unit.wanted, unit.pictured, self.judges.key])

    @property
    def work(self) -> int:
        """Faces, if the data set is there or the recipe says how many."""
        return len(self.unit.numbers) if self.unit.made.is_done() else self.unit.wanted or 0

    @functools.cached_property
    def restorations(self) -> Restorations:
        """The restored faces."""
        return Restorations(self._restored, self.unit)

    def is_done(self) -> bool:
        """Tell whether scores and drawings are there, of what they depend on now, as they were written, without failures."""
        facts = read_facts(self.path)
        return self._are_ours(facts) and self._are_drawn(facts) and not self.restorations.altered(facts["shown"])

    def _are_ours(self, facts: Mapping[str, Any]) -> bool:
        """Tell whether facts beside scores are of what these depend on now, and no face failed."""
        return facts.get("key") == self.key and not facts["failed"] and not facts["pictured_failed"]

    def _are_drawn(self, facts: Mapping[str, Any]) -> bool:
        """Tell whether what figures draw on faces is as the facts say, if there is anything."""
        return not facts["seen"] or (self._seen.exists() and files.sha256_file(self._seen) == facts["seen_sha256"])

    def is_there(self) -> bool:
        """Tell whether there are scores of that name."""
        return bool(read_facts(self.path))

    def run(self, place: Place, advance: Callable[[int], object]) -> None:
        """Restore what is missing, and measure all; where only drawings are gone, make these from what is there."""
        device = resolve(place.device)
        facts = read_facts(self.path)
        if self._are_ours(facts) and not self.restorations.missing(self.unit.shown):
            singles, _ = self._metrics()
            files.write_json(self.path.with_suffix(".json"), facts | self._keep_seen(self.unit.shown, singles, device))
            return
        failed = self.restorations.restore(self.unit.numbers, device, advance)
        singles, overalls = self._metrics()
        if not singles:
            raise UsageError(
                f"data set '{self.unit.dataset}' knows enough for none of the metrics of single images asked for "
                f"({', '.join(self.judges.wanted)}): ask for others there, such as image"
            )
        whole = [number for number in self.unit.scored if number not in failed]
        values = self._measured(whole, singles)
        columns = [column.name for metric in singles for column in metric.columns if whole and column.name in values[whole[0]]]
        sets: dict[str, float | None] = {}
        for overall in overalls:
            value = overall.measure(self._faces(whole)) if whole else math.nan
            sets[overall.columns[0].name] = None if math.isnan(value) else value
        self._keep_inputs(self.unit.numbers)
        shown = [number for number in self.unit.shown if number not in failed]
        facts = self._facts(describe(device)) | {"sets": sets, "pictured_failed": self._pictured_failed(failed)}
        facts |= self._keep_seen(shown, singles, device)
        write_scores(self.path, self._rows(values, failed), columns, facts)

    def _metrics(self) -> tuple[list[Metric], list[SetMetric]]:
        """Return the metrics of single faces, and those of all together."""
        ready = self.judges.ready(self.unit.split)
        return [one for one in ready if isinstance(one, Metric)], [one for one in ready if isinstance(one, SetMetric)]

    def _measured(self, numbers: Sequence[int], metrics: Sequence[Metric]) -> dict[int, dict[str, float | str]]:
        """Return what metrics say of each face, by columns; some faces are measured at a time, for memory's sake."""
        values: dict[int, dict[str, float | str]] = {number: {} for number in numbers}
        for start in range(0, len(numbers), 4 * BATCH):
            part = numbers[start : start + 4 * BATCH]
            faces = self._faces(part)
            for metric in metrics:
                for name, column in metric.measure(faces).items():
                    for number, value in zip(part, column.tolist(), strict=True):
                        values[number][name] = value
        return values

    def _pictured_failed(self, failed: Mapping[int, str]) -> list[dict[str, Any]]:
        """Return which faces failed that are shown and not scored, so that no score row says it, and why."""
        alone = [number for number in self.unit.shown if number in failed and number not in self.unit.scored]
        told = [{"index": number, "image": self.unit.faces.iloc[number]["id"], "error": failed[number]} for number in alone]
        for one in told:
            log.warning("%s: the pictured face '%s' failed: %s", self.name, one["image"], one["error"])
        return told

    @property
    def _seen(self) -> Path:
        """Where it is kept what figures draw on faces."""
        return self.path.with_suffix(".npz")

    @property
    def _inputs(self) -> Path:
        """Where the LR and HR faces are kept that stand beside restored ones in figures."""
        unit = self.unit
        name = files.safe_name(f"{unit.dataset}_{unit.mask}")
        return self._restored / f"inputs-{name}-{files.sha256_json([unit.made.key, unit.split, unit.mask])[:12]}"

    def _keep_inputs(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            fields = {"lr": f"occluded/{self.unit.mask}/lr", "hr": "hr"}
            for what, name in fields.items():
                path = self._inputs / f"{number:05d}.{what}.png"
                if not path.exists():
                    files.write_bytes(path, encode_png(self.unit.data.record(self.unit.split, number, [name])[name]))
            path = self._inputs / f"{number:05d}.landmarks.npy"
            if not path.exists():
                estimated = f"occluded/{self.unit.mask}/landmarks_lr"
                held = self.unit.data.record(self.unit.split, number, [estimated, "landmarks"])
                written = io.BytesIO()
                np.save(written, np.stack([held[estimated], held["landmarks"]]), allow_pickle=False)
                files.write_bytes(path, written.getvalue())

    def _keep_seen(self, numbers: Sequence[int], metrics: Sequence[Metric], device: torch.device) -> dict[str, str]:
        """Keep what figures draw on faces; return the file's name and hash, both empty where there is nothing to draw."""
        seen: dict[str, np.ndarray] = {}
        if numbers:
            seen = judged(metrics, self._faces(numbers))
            if self.restorations.stages > 1:
                pairs = FacePairs(self.unit.data, self.unit.split, [self.unit.mask])
                seen |= stage_heatmaps(self.unit.pipeline(device), [pairs[number] for number in numbers], device)
        if not seen:
            self._seen.unlink(missing_ok=True)
            return {"seen": "", "seen_sha256": ""}
        Seen(numbers, seen).write(self._seen)
        return {"seen": self._seen.name, "seen_sha256": files.sha256_file(self._seen)}

    def _faces(self, numbers: Sequence[int]) -> RestoredFaces:
        made = [self.restorations[number] for number in numbers]
        result = np.stack([each.face for each in made])
        earlier = tuple(np.stack(stage) for stage in zip(*(each.earlier for each in made), strict=True))
        stages = (*earlier, result) if earlier else ()
        return RestoredFaces.read(self.unit.data, self.unit.split, self.unit.mask, numbers, result, stages)

    def _rows(self, values: Mapping[int, Mapping[str, float | str]], failed: Mapping[int, str]) -> Iterator[ScoreRow]:
        unit = self.unit
        for number in unit.scored:
            face = unit.faces.iloc[number]
            mask = unit.data.record(unit.split, number, [f"occluded/{unit.mask}/mask"])
            made = None if number in failed else self.restorations[number]
            yield ScoreRow(
                dataset=unit.dataset,
                mask_type=unit.mask,
                order=unit.order,
                pipeline=unit.pipeline_name,
                trained_on=unit.trained_on,
                mask_given=unit.mask_given,
                image=face["id"],
                index=number,
                identity=face["identity"],
                expression=face["expression"],
                pose=face["pose"],
                hole_area=float(mask[f"occluded/{unit.mask}/mask"].mean()),
                seconds=made.seconds if made else None,
                error=failed.get(number, ""),
                missed=made.missed if made else None,
                scores=values.get(number, {}),
            )

    def _facts(self, device: str) -> dict[str, Any]:
        """Return what the scores were made of, so that tables and reports need neither data nor weights."""
        unit = self.unit
        return {
            "key": self.key,
            "title": unit.title,
            "shown": list(unit.shown),
            "restored": self.restorations.folder.name,
            "inputs": self._inputs.name,
            "stages": self.restorations.stages,
            "restoration_key": unit.restoration_key,
            "data": unit.data.content_hash,
            "fill": unit.data.configuration["fill"],
            "lr_kernel": unit.data.configuration["lr_kernel"],
            "split": {name: unit.data.count(name) for name in unit.data.splits},
            "mask_given": unit.mask_given,
            "device": device,
            "restored_on": self.restorations.restored_on(unit.numbers),
            "sources": {"restored": short_hash(RESTORING), "scored": short_hash(), "learning": short_hash(LEARNING)},
            "trainings": {one.label: _learnt(one) for one in self._trainings()},
            "methods": {stage.name: _about(stage, resolve("cpu")) for stage in unit.stages},
            "metrics": self.judges.facts(unit.split),
        }

    def _trainings(self) -> Iterator[Train]:
        """Give every training that the faces or the scores depend on."""
        direct = [need for need in self.needs if isinstance(need, Train)]
        yield from dict.fromkeys(one for train in direct for one in train.with_company())

    def forget(self) -> None:
        """Remove scores and restored faces."""
        for path in (self.path, self.path.with_suffix(".json"), self._seen):
            path.unlink(missing_ok=True)
        self.restorations.forget()


def _learnt(training: Train) -> dict[str, Any]:
    """Return where a training was done, and by which states of the code."""
    path = training.folder / CARD
    card = files.read_json(path) if path.exists() else {}
    return {
        "sources": list(training.sources),
        "device": card.get("device", ""),
        "precision": card.get("training", {}).get("precision", ""),
        "versions": card.get("versions", {}),
    }


def _about(stage: Stage, device: torch.device) -> dict[str, Any]:
    """Return what must be said of a method: its settings, needs and training."""
    loaded = stage.load(device)
    config, paper = loaded.method.config, METHODS.get(stage.entry.method).presets().get("paper", {})
    about = {
        "identity": loaded.identity,
        "preset": loaded.card.get("preset", ""),
        "settings": config,
        "departures": {key: value for key, value in config.items() if paper.get(key) != value},
        "takes_mask": loaded.takes_mask,
        "needs": sorted(loaded.method.needs),
    }
    if isinstance(loaded.method, TrainableMethod):
        card = loaded.card
        about["training"] = {
            "steps": card["steps"],
            "steps_planned": card["steps_planned"],
            "finished": card["finished"],
            "minutes": card["minutes"],
            "device": card["device"],
            "seed": card["training"]["seed"],
            "data": card["data"]["content_hash"],
            "parameters": sum(value.numel() for value in loaded.method.generator.parameters()),
        }
    return about
