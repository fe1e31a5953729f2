"""What a shell completes, asked as a shell asks."""

from __future__ import annotations

import os
import subprocess
import sys

import click
import pytest
from click.shell_completion import ShellComplete

from occface.cli import main
from occface.cli.completing import COMPLETED, PRESETS
from occface.methods import METHODS


def offered(*words):
    """Return what is offered for the last of some words, and whether files are."""
    *before, begun = words
    found = ShellComplete(main, {}, "occface", "_OCCFACE_COMPLETE").get_completions(before, begun)
    return [item.value for item in found if item.type == "plain"], any(item.type == "file" for item in found)


@pytest.mark.parametrize(
    ("words", "names", "files_too"),
    [
        (("doc",), ["doctor"], False),
        (("train", "pro"), ["pro-uigan"], False),
        (("train", "gfc", "--preset", "p"), ["paper"], False),
        (("train", "gfc", "--device", "cu"), ["cuda"], False),
        (("restore", "--pipeline", "fhc+gf"), ["fhc+gfc"], True),
        (("app", "fsr"), ["fsrgan", "fsrnet"], False),
        (("benchmark", "dem"), ["demo"], True),
        (("benchmark", "--backend", ""), ["loky", "dask", "ray"], False),
        (("make-dataset", "syn"), ["synthetic"], True),
        (("make-dataset", "--source-type", "hel"), ["helen"], False),
        (("assets", "pull", "vgg16", "vgg"), ["vgg16", "vgg19"], False),
        (("export", "--format", ""), ["onnx", "torchscript"], False),
        (("info", "bic"), ["bicubic"], True),
    ],
)
def test_names_are_completed(words, names, files_too):
    assert offered(*words) == (names, files_too)


def test_the_table_is_of_parameters_that_there_are():
    for path, parameter in COMPLETED:
        command: click.Command = main
        for part in path.split():
            command = command.commands[part]
        assert parameter in [each.name for each in command.params]


def test_presets_are_those_of_the_methods():
    known = set(METHODS.get("gfc").presets())
    assert known == set(PRESETS)


@pytest.mark.parametrize("words", ["occface ", "occface train ", "occface make-dataset --source-type ", "occface benchmark "])
def test_completing_imports_nothing_heavy(words):
    code = (
        "import atexit, sys\n"
        "heavy = {'torch', 'pandas', 'cv2', 'dlib', 'h5py', 'scipy', 'matplotlib', 'skimage'}\n"
        "atexit.register(lambda: print('imported', sorted(heavy & set(sys.modules)), file=sys.stderr))\n"
        "from occface.cli import main\n"
        "main(prog_name='occface')"
    )
    asked = {"_OCCFACE_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split()))}
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | asked, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("plain,")
    assert done.stderr.strip() == "imported []"
