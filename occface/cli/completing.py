"""Names that a shell completes: methods, presets, recipes, sources, assets. Nothing heavy is imported for them.

The shell starts `occface` at every press of the key, so this must be quick: no torch, no networks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import click
from click.shell_completion import CompletionItem

__all__ = ["COMPLETED", "PRESETS", "complete_names"]

#: The presets that most methods have. A method's own ones are known to its module, which brings torch.
PRESETS = ("paper", "gpu", "cpu", "demo", "test")

_ON_DEVICES = ("demo", "train", "benchmark", "restore", "edit", "app")

Names = Callable[[], Iterable[str]]


def _methods() -> Iterable[str]:
    from occface.methods import METHODS

    return METHODS


def _sources() -> Iterable[str]:
    from occface.sources import SOURCES

    return ["auto", *SOURCES]


def _recipes() -> Iterable[str]:
    return sorted(path.stem for path in (Path(__file__).parents[1] / "benchmark" / "recipes").glob("*.yaml"))


def _assets() -> Iterable[str]:
    from occface.assets import ASSETS

    return ASSETS


def _backends() -> Iterable[str]:
    from occface.parallel import BACKENDS

    return BACKENDS


#: By command and parameter: what gives its names, and whether files may stand in their place.
COMPLETED: dict[tuple[str, str], tuple[Names, bool]] = {
    ("make-dataset", "source"): (lambda: ["synthetic"], True),
    ("make-dataset", "source_type"): (_sources, False),
    ("make-dataset", "backend"): (_backends, False),
    ("train", "method"): (_methods, False),
    ("train", "preset"): (lambda: PRESETS, False),
    ("benchmark", "recipe"): (_recipes, True),
    ("benchmark", "backend"): (_backends, False),
    ("demo", "preset"): (lambda: ["demo", "test"], False),
    ("restore", "pipeline"): (_methods, True),
    ("edit", "pipeline"): (_methods, True),
    ("app", "pipelines"): (_methods, False),
    ("export", "form"): (lambda: ["onnx", "torchscript"], False),
    ("info", "what"): (_methods, True),
    ("assets pull", "names"): (_assets, False),
    **{
        (name, "device"): (lambda: ["auto", "cpu", "cuda", "mps"], False)
        for name in ("train", "restore", "edit", "demo", "app")
    },
    ("benchmark", "device"): (lambda: ["auto", "cpu", "cuda", "mps"], False),
}


def _completion(names: Names, files_too: bool) -> Callable[[click.Context, str], list[CompletionItem]]:
    def complete(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        # Of a pipeline such as fhc+gfc, the method behind the last plus.
        before, plus, last = incomplete.rpartition("+")
        found = [CompletionItem(f"{before}{plus}{name}") for name in names() if name.startswith(last)]
        return [*found, CompletionItem(incomplete, type="file")] if files_too else found

    return complete


def complete_names(group: click.Group) -> None:
    """Give the parameters of `COMPLETED` their completion."""
    for (path, parameter), (names, files_too) in COMPLETED.items():
        command: click.Command = group
        for part in path.split():
            assert isinstance(command, click.Group)
            command = command.commands[part]
        found = next(each for each in command.params if each.name == parameter)
        found.shell_complete = _completion(names, files_too)  # type: ignore[assignment]
