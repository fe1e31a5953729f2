import json
import math
import re
import shutil
from types import SimpleNamespace

import pandas as pd
import pytest

from occface.benchmark.engine import run_benchmark
from occface.benchmark.record import Record
from occface.benchmark.show import _absent, _by_act, _facts, _noted, _notes, _too_few, _trainings
from occface.benchmark.tables import TABLES

MADE = {"1", "2", "4", "5", "6", "parsing", "stages", "by-hole-area"}


def test_every_table_that_there_are_scores_for_is_built_and_written(whole):
    done = whole.done
    assert set(done.tables) >= MADE
    assert not {"3", "7", "by-pose", "by-mask-size"} & set(done.tables)
    for key in done.tables:
        for suffix in (".csv", ".md", ".tex"):
            assert (whole.folder / "tables" / f"table_{key}{suffix}").stat().st_size
    scores = Record(whole.folder).scores
    own = scores[(scores["pipeline"] == "pro-uigan") & (scores["dataset"] == "parsed")]
    assert done.tables["1"].loc[("square", "joint", "Pro-UIGAN"), ("parsed", "PSNR")] == pytest.approx(own["psnr"].mean())
    assert done.tables["1"].loc[("square", "joint", "Pro-UIGAN"), ("parsed", "n")] == 2
    across = done.tables["5"]["faces"]["PSNR"].to_dict()
    learnt = scores[(scores["pipeline"] == "pro-uigan") & (scores["dataset"] == "faces")].set_index("trained_on")["psnr"]
    assert across == pytest.approx({("square", "Pro-UIGAN", name): learnt[name] for name in ("faces", "parsed")})
    assert ("square", "reference", "Ground-truth HR") in done.tables["6"].index
    assert done.tables["4"]["time"]["runs"].tolist() == [3, 3]


def test_what_is_printed_and_what_json_gets(whole):
    done = whole.done
    for key in MADE:
        assert TABLES[key].title in done.printed
    assert done.text().endswith(f"report: {whole.folder / 'report.html'}")
    plain = json.loads(json.dumps(done.as_dict(), allow_nan=False))
    assert (plain["failed"], plain["broken"]) == (0, {})
    first = plain["tables"]["1"][0]
    assert (first["mask type"], first["method"], first["parsed/n"]) == ("square", "Bicubic", 2)
    assert len(plain["claims"]) == len(done.claims) == len(pd.read_csv(whole.folder / "claims.csv"))


def test_the_report_holds_tables_figures_and_what_is_missing(whole):
    report = whole.done.report.read_text(encoding="utf-8")
    assert "data:image/webp;base64," in report
    for said in (
        "Table I: face hallucination",
        "Claims of the paper",
        "“Table VII: facial expressions” is left out, because no exp",
    ):
        assert said in report
    for name in ("comparison_parsed_square.png", "stages_parsed_square_pro-uigan.png", "worst_parsed_square.png"):
        assert (whole.folder / "figures" / name).exists()


def shown_files(folder):
    parts = [folder / "claims.csv", folder / "report.html", *(folder / "tables").iterdir(), *(folder / "figures").iterdir()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in parts}


def test_only_cache_builds_the_same_bytes_without_data_and_weights(whole, tmp_path, monkeypatch):
    folder = tmp_path / "copy"
    shutil.copytree(whole.folder, folder, ignore=shutil.ignore_patterns("runs", "judges", "report.html", "claims.csv"))
    for made in ("tables", "figures"):
        shutil.rmtree(folder / made)
    (folder / "tables").mkdir()
    (folder / "tables" / "table_7.csv").write_text("of an earlier recipe")
    (folder / "tables" / "mine.csv").write_text("mine")
    monkeypatch.chdir(tmp_path)
    recipe = whole.recipe | {"datasets": {"parsed": "gone.h5", "faces": "gone too.h5"}}
    done = run_benchmark(recipe, folder, strategy="only-cache")
    (folder / "tables" / "mine.csv").unlink()
    assert shown_files(folder) == shown_files(whole.folder)
    assert done.printed == whole.done.printed
    assert not (folder / "runs").exists()


def test_a_benchmark_whose_images_all_failed_still_says_so(tmp_path, dataset_path, others, monkeypatch, caplog):
    monkeypatch.setattr(others.fails, "how", "raise")
    monkeypatch.setattr(others.toy, "phases", lambda method: 1 / 0)
    recipe = {
        "datasets": {"faces": str(dataset_path)},
        "methods": {"toy": {"preset": "test"}},
        "masks": ["square"],
        "pipelines": ["fails", "toy"],
    }
    done = run_benchmark(recipe, tmp_path, device="cpu")
    assert done.failed == 2
    assert "2 images failed; they are counted in every table, and in no mean." in done.printed
    assert "Not done: train toy on faces (ZeroDivisionError: division by zero)." in done.printed
    assert "Not done: score toy on faces, square (waits for: train toy on faces)." in done.printed
    assert "2 images failed" in caplog.text
    assert done.report.exists()


def notes_of(*shown):
    return "\n".join(_notes(SimpleNamespace(shown=[SimpleNamespace(facts=facts) for facts in shown])))


def facts_of(name, mask_given="", fill="gray", **about):
    entry = {"takes_mask": bool(mask_given), "needs": [], "training": {"finished": True}} | about
    return {"methods": {name: entry}, "mask_given": mask_given, "fill": fill}


def test_who_is_given_what_is_said():
    plain = notes_of(facts_of("bicubic"))
    assert "mask" not in plain
    assert "landmarks" not in plain
    assert "Given the true mask of every face: GFC. No other" in notes_of(facts_of("bicubic"), facts_of("gfc", "true"))
    both = notes_of(facts_of("gfc", "true"), facts_of("gfc", "estimated"))
    assert "Given the true mask of every face, except in rows that say otherwise: GFC." in both
    assert "told that holes are filled with mid-grey, 128 of 255; they were given to: GFC." in both
    assert "not told of the fill" in notes_of(facts_of("gfc", "estimated", fill="noise"))
    assert "LR landmarks were estimated" in notes_of(facts_of("pro-uigan", needs=["landmarks"]))
    given = notes_of(facts_of("pro-uigan:p-gt", needs=["true landmarks"]))
    assert "Given the true landmarks of the HR face: P+GT." in given
    stopped = notes_of(facts_of("fhc", training={"finished": False}))
    assert "FHC was stopped before the end of its training" in stopped


def test_that_methods_were_trained_once_is_said_once_where_any_learns():
    said = "Each method was trained once; p-values speak of faces and people, not of another training's luck."
    learns = [facts_of(name) for name in ("fhc", "pro-uigan")]
    assert notes_of(*learns).count(said) == 1
    plain = facts_of("bicubic")
    del plain["methods"]["bicubic"]["training"]
    assert said not in notes_of(plain)


def test_pictures_are_folded_by_their_data_set(whole):
    report = whole.done.report.read_text(encoding="utf-8")
    assert re.findall(r'<details class="fold"( open)?>\n<summary>(\w+) ', report) == [(" open", "parsed"), ("", "faces")]


def test_trainings_are_those_of_the_records(whole):
    trainings = _trainings(Record(whole.folder)).set_index(["pipeline", "trained_on", "method"])
    assert ("bicubic", "") not in trainings.index.droplevel("method")
    about = next(one.facts["methods"] for one in Record(whole.folder).shown if one.row["pipeline"] == "pro-uigan")["pro-uigan"]
    own = trainings.loc[("pro-uigan", "parsed", "pro-uigan")]
    assert own["images"] == about["training"]["steps"] * about["settings"]["batch_size"]
    assert not trainings["as_paper"].any()
    table = whole.done.tables["1"]
    assert table.loc[("square", "joint", "Pro-UIGAN"), ("training", "images seen")] == own["images"]
    for suffix in ("csv", "md", "tex"):
        assert "images seen" in (whole.folder / "tables" / f"table_1.{suffix}").read_text()


def test_notes_of_the_recipe_stand_where_something_is_missing():
    figures = {"faces: landmarks, in the manner of Fig. 13. Trained on: faces.": "a", "Time, size and quality.": "b"}
    notes = {"figure_13": "Two faces have none.", "figure_14": "There is no parser.", "table_7": "Nobody smiles."}
    noted = _noted(figures, notes)
    assert list(noted) == [
        "faces: landmarks, in the manner of Fig. 13. Trained on: faces. Two faces have none.",
        "Time, size and quality.",
    ]
    said = _absent(TABLES.keys() - {"7", "parsing"}, noted, notes).split("\n\n")
    assert said == [
        "“Table VII: facial expressions” is left out. Nobody smiles.",
        "“Face parsing by class” is left out, because no single class was scored.",
        "Fig. 14 is left out. There is no parser.",
    ]


def test_a_note_is_printed_below_its_table(whole, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(whole.folder, folder, ignore=shutil.ignore_patterns("runs", "judges"))
    listed = folder / "scores" / "files.json"
    known = json.loads(listed.read_text())
    listed.write_text(json.dumps(known | {"notes": {"table_1": "The moon is missing."}}))
    done = run_benchmark(whole.recipe, folder, strategy="only-cache")
    for path in (folder / "tables" / "table_1.md", folder / "tables" / "table_1.tex", done.report):
        assert "The moon is missing." in path.read_text(encoding="utf-8")
    assert "The moon is missing." in done.printed


def test_provenance_says_how_each_method_came_about(whole):
    facts = _facts(Record(whole.folder))
    assert set(facts["Data sets"]) == {"parsed", "faces"}
    assert facts["Data sets"]["faces"].startswith("4 train, 2 test; content ")
    trained = facts["Trained"]
    assert "preset test, seed 0, 6 steps in " in trained["gfc, on parsed"]
    assert "departs from the preset paper in: " in trained["gfc, on parsed"]
    assert {"pro-uigan, on parsed", "pro-uigan, on faces", "pro-uigan:p-fp, on parsed"} <= set(trained)
    assert facts["Metrics"]["psnr"].startswith("PSNR")


def test_provenance_is_what_was_recorded_not_what_the_reading_machine_is_like(whole, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(whole.folder, folder, ignore=shutil.ignore_patterns("runs", "judges"))
    for path in (folder / "scores").glob("*_*.json"):
        facts = json.loads(path.read_text())
        facts["versions"] = {"occface": "0.0.1", "torch": "1.2.3"}
        facts["device"] = "a scoring machine"
        for about in facts["restored_on"]:
            about["device"] = "a restoring machine"
        path.write_text(json.dumps(facts))
    done = run_benchmark(whole.recipe, folder, strategy="only-cache")
    report = done.report.read_text(encoding="utf-8")
    for said in ("occface 0.0.1, torch 1.2.3", "a scoring machine", "a restoring machine"):
        assert said in report
    acts = pd.read_csv(folder / "provenance.csv", keep_default_na=False)
    assert acts["act"].unique().tolist() == ["trained", "restored", "scored", "timed"]
    assert set(acts.loc[acts["act"] == "restored", "device"]) == {"a restoring machine"}


def test_acts_that_agree_stand_together():
    rows = [("trained", "a"), ("trained", "a"), ("restored", "b"), ("restored", ""), ("scored", "a"), ("timed", "")]
    frame = pd.DataFrame(rows, columns=["act", "sources"])
    assert _by_act(frame, "sources") == {"trained, scored": "a", "restored": "b (1 of 2); not recorded (1 of 2)"}


def test_code_of_several_states_is_said(whole, tmp_path, monkeypatch):
    folder = tmp_path / "copy"
    shutil.copytree(whole.folder, folder, ignore=shutil.ignore_patterns("runs", "judges"))
    said = "Scores were made by 2 states of the code: 3 by aaa; 1 by bbb."
    monkeypatch.setattr(Record, "source_notes", [said])
    done = run_benchmark(whole.recipe, folder, strategy="only-cache")
    assert said in done.report.read_text(encoding="utf-8")
    assert said in done.printed


def test_too_few_people_for_any_test_are_said_to_be_too_few():
    claims = pd.DataFrame(
        {"p": [0.03, 0.25, math.nan], "units": [6, 4, 0], "verdict": ["undecidable with 6 people"] * 2 + ["x"]}
    )
    assert "2 tests are corrected for, and no more than 6 people or photographs" in _too_few(claims)
    assert _too_few(claims.assign(verdict=["reproduced", "undecidable with 4 people", "x"])) == ""
    assert _too_few(claims.assign(verdict="not testable here")) == ""
