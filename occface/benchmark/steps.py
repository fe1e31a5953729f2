"""What a plan is made of: steps that each leave something on the disk, known by the hash of all that it depends on.

Here are the first two kinds, data sets and trainings; what is done with them is in `occface.benchmark.scoring` and
`occface.benchmark.timing`.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from occface import __version__, files
from occface.benchmark.provenance import LEARNING, short_hash
from occface.benchmark.recipe import REFERENCE, DataEntry, MethodEntry
from occface.dataset.reader import DatasetFile
from occface.errors import UsageError, first_line
from occface.methods import METHODS
from occface.methods.base import TrainableMethod, resolve
from occface.methods.weights import CARD, LoadedMethod, load_method, untrained
from occface.registry import did_you_mean

if TYPE_CHECKING:
    from occface.sources.base import Photo

__all__ = ["MakeData", "Place", "Stage", "Step", "Train"]


#: Options of data sets that go to their source.
_OF_SOURCES = {"protocol", "count", "truncation", "identities", "max_pixels", "poses", "expressions"}


@dataclass(frozen=True)
class Place:
    """Where a plan is carried out.

    Attributes
    ----------
    folder : Path
        The benchmark's folder.
    device : str
        Where networks run, see `occface.training.devices`.
    workers : int
        Processes that make data sets, and that restore and score where networks run on the CPU.
    backend, scheduler : str, str or None
        See `occface.parallel.ordered_map`.
    threads : int
        Those of a training on the CPU; 0 is as many as PyTorch takes by itself.
    """

    folder: Path
    device: str = "auto"
    workers: int = 1
    backend: str = "loky"
    scheduler: str | None = None
    threads: int = 0


class Step(ABC):
    """One step of a plan.

    Attributes
    ----------
    kind : str
        ``"data"``, ``"train"``, ``"score"`` or ``"time"``.
    label : str
        What people read; with the kind it is unique in a plan.
    needs : tuple of Step
        What must be done before.
    """

    kind: ClassVar[str]

    def __init__(self, label: str, needs: tuple[Step, ...] = ()) -> None:
        self.label = label
        self.needs = needs

    @property
    def name(self) -> str:
        """Its kind and label."""
        return f"{self.kind} {self.label}"

    @property
    @abstractmethod
    def key(self) -> str:
        """The hash of all that its result depends on."""

    @property
    @abstractmethod
    def work(self) -> int:
        """How much there is to do, in a unit of its kind (faces, training steps); 0 where it is not known beforehand."""

    @abstractmethod
    def is_done(self) -> bool:
        """Tell whether its result is on the disk, made from what it depends on now."""

    def is_there(self) -> bool:
        """Tell whether there is a result that may be kept, perhaps made from other things.

        Of data sets and trainings only the right ones may: others build on them.
        """
        return self.is_done()

    @abstractmethod
    def run(self, place: Place, advance: Callable[[int], object]) -> None:
        """Make what is missing of its result. `advance` is called with the work that was done since the last call."""

    @abstractmethod
    def forget(self) -> None:
        """Remove its result."""


class MakeData(Step):
    """A data set: one that is there, or one that is made from photographs or from nothing."""

    kind = "data"

    def __init__(self, name: str, entry: DataEntry, folder: Path) -> None:
        super().__init__(name)
        self.entry = entry
        if entry.path:
            self.path = Path(entry.path)
        else:
            self._source, self._config, self._photos = _opened(name, entry)
            self.path = folder / f"{files.safe_name(name)}-{self.key[:8]}.h5"

    @functools.cached_property
    def key(self) -> str:
        """The content hash of a given file; else the hash of what it is made by, which determines its content."""
        if self.entry.path:
            return self.data.content_hash
        return files.sha256_json([self._source.describe(), self._config.as_dict(), self._photos, __version__])

    @property
    def work(self) -> int:
        """Photographs."""
        return 0 if self.entry.path else len(self._photos)

    @functools.cached_property
    def data(self) -> DatasetFile:
        """The data set, open."""
        return DatasetFile(self.path)

    def masks(self, split: str) -> tuple[str, ...]:
        """Return the mask types that a split has, or will have."""
        if not self.entry.path:
            return tuple(self._config.masks)
        self.data.count(split)  # refuses a split that is not there
        return self.data.mask_types(split)

    def is_done(self) -> bool:
        """Tell whether the file is there: its name holds the hash."""
        return bool(self.entry.path) or self.path.exists()

    def run(self, place: Place, advance: Callable[[int], object]) -> None:
        """Make it, or go on with making it."""
        from occface.dataset.make import make_dataset  # it needs a face detector, which scoring machines may lack

        files.make_folder(self.path.parent)
        make_dataset(
            self._source,
            self.path,
            self._config,
            workers=place.workers,
            backend=place.backend,
            scheduler=place.scheduler,
            resume=True,
        )
        self.__dict__.pop("data", None)

    def forget(self) -> None:
        """Remove a file that was made here; a given one stays."""
        if not self.entry.path:
            self.path.unlink(missing_ok=True)
            self.__dict__.pop("data", None)


def _opened(name: str, entry: DataEntry) -> tuple[Any, Any, list[str | list[Any]]]:
    """Return the source and the configuration of a data set that is to be made, and the photographs to be used."""
    from occface.dataset.config import DatasetConfig
    from occface.faces.trained_fan import named
    from occface.sources import open_source

    options = dict(entry.options)
    for key in ("masks", "detectors", "poses", "expressions"):
        if not isinstance(options.get(key, []), list | tuple):
            raise UsageError(f"expected '{key}' of data set '{name}' in the recipe to be a list, got {options[key]!r}")
    where: dict[str, Any] = {
        key: options.pop(key) for key in _OF_SOURCES if key in options and key not in ("poses", "expressions")
    }
    where |= {key: tuple(options.pop(key)) for key in ("poses", "expressions") if key in options}
    kind, preset = options.pop("source_type", "auto"), options.pop("preset", "paper")
    for key in ("masks", "detectors"):
        if key in options:
            options[key] = tuple(options[key])
    known = {"draws", *(option.name for option in dataclasses.fields(DatasetConfig))}
    for key in options:
        if key not in known:
            raise UsageError(
                f"data set '{name}' of the recipe has an option that making data sets does not know or take: '{key}'; "
                f"{did_you_mean(key, known | _OF_SOURCES)}"
            )
    try:
        if isinstance(options.get("lr_landmarker"), str):
            options["lr_landmarker"] = named(options["lr_landmarker"])
        source = open_source(entry.source, kind, **where, seed=options.get("seed", 0))
        config = DatasetConfig.from_preset(preset, **options)
        return source, config, [_known_by(source, photo) for photo in source.photos()[: config.limit]]
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"data set '{name}' of the recipe has an option that making data sets does not know or take: {first_line(error)}"
        ) from error


def _known_by(source: Any, photo: Photo) -> str | list[Any]:
    """Return what tells a photograph from another one: its id, and the bytes of its file where there is one.

    A file's time is none of it: the same photographs have other ones on another machine.
    """
    part, _, _ = photo.id.partition("/")
    folder = getattr(dict(getattr(source, "parts", ())).get(part, source), "path", "")  # of several sources, its own
    path = Path(folder) / photo.path
    return [photo.id, path.stat().st_size] if folder and photo.path and path.is_file() else photo.id


class Train(Step):
    """The training of a method on a data set."""

    kind = "train"

    def __init__(self, name: str, entry: MethodEntry, data: MakeData, company: Mapping[str, Train], folder: Path) -> None:
        super().__init__(f"{name} on {data.label}", (data, *company.values()))
        self.method, self.entry, self.data, self._company = name, entry, data, company
        kind = METHODS.get(entry.method)
        self.config = resolve(kind.PRESETS, entry.preset, entry.settings, entry.method, kind.VARIANTS)
        self.folder = folder / f"{files.safe_name(name)}-on-{files.safe_name(data.label)}-{self.key[:12]}"

    @functools.cached_property
    def key(self) -> str:
        """The hash of method, settings, seed, data and version.

        Another state of the code is not in it within a version, or a comment would ask for hours of training; `sources` tells.
        """
        settings = referring(self.config, {name: step.key for name, step in self._company.items()})
        return files.sha256_json([self.entry.method, settings, self.entry.seed, self.data.key, __version__])

    @property
    def work(self) -> int:
        """Training steps, of the settings that say them; the method need not be built for it."""
        told = re.compile(r"steps(_(?!per_)\w+)?")  # steps_per_epoch is the unit of a schedule
        steps = [value for key, value in self.config.items() if told.fullmatch(key)]
        return sum(value for value in steps if isinstance(value, int) and not isinstance(value, bool))

    def is_done(self) -> bool:
        """Tell whether its weights are there, of a training that came to its end."""
        card = self.folder / CARD
        return card.exists() and bool(files.read_json(card).get("finished"))

    def run(self, place: Place, advance: Callable[[int], object]) -> None:
        """Train, or go on with the training."""
        from occface.training.loop import TrainingOptions, train

        begun = (self.folder / "config.yaml").exists()
        earlier = (self.sources or ("not recorded",)) if begun else ()
        files.write_json(self._sources, [*earlier, short_hash(LEARNING)])
        settings = referring(self.entry.settings, {name: str(step.folder) for name, step in self._company.items()})
        options = TrainingOptions(device=place.device, seed=self.entry.seed)
        before = torch.get_num_threads()
        torch.set_num_threads(place.threads or before)
        try:
            train(self.entry.method, self.data.data, self.folder, self.entry.preset, settings, options, resume=begun)
        finally:
            torch.set_num_threads(before)

    def forget(self) -> None:
        """Remove weights, card and state, so that training starts anew."""
        from occface.training.loop import remove_run

        if self.folder.exists():
            remove_run(self.folder)
            self._sources.unlink(missing_ok=True)

    @property
    def sources(self) -> tuple[str, ...]:
        """The states of the code that it was trained by, one after the other; empty where they were not recorded."""
        return tuple(dict.fromkeys(files.read_json(self._sources))) if self._sources.exists() else ()

    @property
    def _sources(self) -> Path:
        return self.folder / "sources.json"

    def with_company(self) -> Iterator[Train]:
        """Give this training, and those that its settings name."""
        yield self
        for other in self._company.values():
            yield from other.with_company()


def referring(settings: Mapping[str, Any], named: Mapping[str, str]) -> dict[str, Any]:
    """Return settings in which ``@name`` in a text is replaced by what a name stands for.

    Examples
    --------
    >>> referring({"landmarker": "fan:@fan", "steps": 3}, {"fan": "runs/fan"})
    {'landmarker': 'fan:runs/fan', 'steps': 3}
    """
    return {
        key: REFERENCE.sub(lambda found: named[found[1]], value) if isinstance(value, str) else value
        for key, value in settings.items()
    }


def referred(settings: Mapping[str, Any]) -> Iterator[str]:
    """Give the names that settings refer to by ``@name``."""
    for value in settings.values():
        if isinstance(value, str):
            yield from REFERENCE.findall(value)


class Stage:
    """A method in a pipeline of a plan, before it is loaded.

    Attributes
    ----------
    name : str
        Its name in the recipe.
    train : Train or None
        Its training, if it is trained here.
    """

    def __init__(self, name: str, entry: MethodEntry, train: Train | None) -> None:
        self.name, self.entry, self.train = name, entry, train

    @functools.cached_property
    def _at_hand(self) -> LoadedMethod:
        """The method that needs no training here, on the CPU."""
        if self.entry.weights:
            loaded = load_method(self.entry.weights)
            if loaded.name != self.entry.method:
                raise UsageError(
                    f"the recipe gives {self.entry.weights} as weights of '{self.name}', but they are of '{loaded.name}'"
                )
            return loaded
        return untrained(self.entry.method, self.entry.preset, self.entry.settings)

    @property
    def identity(self) -> str:
        """What its results depend on: the key of its training, or what `LoadedMethod.identity` says."""
        return self.train.key if self.train else self._at_hand.identity

    @property
    def takes_mask(self) -> bool:
        """Whether it must be told where the face is occluded."""
        if self.train:
            kind = METHODS.get(self.entry.method)
            return kind.role == "inpaint" or "mask" in kind.needs
        return self._at_hand.takes_mask

    def learnt_from(self, names: Mapping[str, str]) -> str:
        """Return what given weights learnt from: the name that `names` has for its content hash, else the card's."""
        data = self._at_hand.card.get("data", {}) if self.entry.weights else {}
        return names.get(data.get("content_hash", ""), str(data.get("source", "")))

    def load(self, device: torch.device) -> LoadedMethod:
        """Return the method, ready to run."""
        if self.train:
            return load_method(self.train.folder, device)
        return load_method(self.entry.weights, device) if self.entry.weights else self._at_hand


def is_trained_here(entry: MethodEntry) -> bool:
    """Tell whether an entry of a recipe asks for a training."""
    return not entry.weights and issubclass(METHODS.get(entry.method), TrainableMethod)
