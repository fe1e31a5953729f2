"""Train as a program: for tests that need several processes, or one to kill."""

from __future__ import annotations

import json
import sys
from importlib import util
from pathlib import Path

from occface.dataset.reader import DatasetFile
from occface.errors import OccfaceError
from occface.methods import METHODS
from occface.training.loop import TrainingOptions, train
from occface.training.processes import is_first


def main() -> None:
    """Train once for each JSON object among the arguments: what `train` takes, by name."""
    spec = util.spec_from_file_location("toy", Path(__file__).with_name("toy.py"))
    toy = util.module_from_spec(spec)
    spec.loader.exec_module(toy)
    METHODS._entries["toy"] = toy.Toy
    for argument in sys.argv[1:]:
        asked = json.loads(argument)
        options = TrainingOptions(**{"device": "cpu", "precision": "32", "seed": 3} | asked.pop("options"))
        try:
            run = train(data=DatasetFile(asked.pop("data")), options=options, **asked)
        except OccfaceError as error:
            sys.exit(str(error))
        if is_first():
            print(run.finished)


if __name__ == "__main__":
    main()
