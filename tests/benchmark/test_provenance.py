import math

import pandas as pd

from occface.benchmark.provenance import LEARNING, RESTORING, TIMING, act, provenance_frame, short_hash, source_notes
from occface.versions import source_hash


def test_each_act_is_known_by_what_it_depends_on():
    assert set(RESTORING) < set(LEARNING)
    assert {"losses.py", "training"} <= set(LEARNING)
    assert "benchmark/timing.py" in TIMING
    assert short_hash(LEARNING) == source_hash(LEARNING)[:12] != short_hash(RESTORING)


def test_a_training_that_many_pipelines_use_is_told_once_and_the_unknown_is_empty():
    trained = act(
        "trained", "fhc on a", {"device": "cpu", "versions": {"torch": "2.6", "occface": "1"}}, ["a", "b", "a"], math.nan
    )
    row = {"dataset": "a", "mask_type": "square", "pipeline": "fhc+gfc", "trained_on": "a", "mask_given": "true"}
    scored = act("scored", "FHC + GFC on a, square", {}, [""], 3, row)
    frame = provenance_frame([trained, trained, scored])
    assert frame["n"].isna().tolist() == [True, False]
    assert frame.loc[0, ["versions", "sources", "dataset"]].tolist() == ["torch 2.6, occface 1", "a + b", ""]
    assert frame.loc[1, ["device", "versions", "sources", "mask_type", "n"]].tolist() == ["", "", "", "square", 3.0]
    assert isinstance(provenance_frame([]), pd.DataFrame)


def test_notes_say_who_was_made_by_which_state_of_the_code():
    rows = [act("scored", str(number), {}, [state], 1) for number, state in enumerate(["x", "x", ""])]
    rows += [act("timed", "a", {}, ["t"], 1), act("timed", "b", {}, ["t"], 1)]
    trained = {
        "a": (("old",), "new"),
        "b": (("new",), "new"),
        "c": (("old", "new"), "new"),
        "d": ((), "new"),
        "e": (("old",), "new"),
    }
    assert source_notes(trained, provenance_frame(rows), 1) == [
        "Trained by another state of the code (old) than the one that restored and scored (new): a, e.",
        "Trained by another state of the code (old + new) than the one that restored and scored (new): c.",
        "Scores were made by 2 states of the code: 2 by x; 1 by not recorded.",
    ]
    assert source_notes({}, provenance_frame(rows[:2]), 1) == []
    assert "at 2 different moments" in source_notes({}, provenance_frame(rows[:2]), 2)[0]
