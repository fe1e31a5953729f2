import io
import json
import logging
import shutil
import subprocess
import sys

import h5py
import pytest
from click.testing import CliRunner

import occface
from occface import __version__, files
from occface.cli import main
from occface.errors import UsageError
from occface.images import read_image

COMMANDS = (
    "demo", "make-dataset", "train", "benchmark", "relabel", "restore", "edit", "export", "info", "verify", "assets", "doctor",
)  # fmt: skip


def run(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS), ("assets", "list"), ("assets", "pull")])
def test_every_command_explains_itself(command):
    result = run(*command, "--help")
    assert result.exit_code == 0
    assert "Usage:" in result.stdout


def test_a_data_set_with_everything_that_can_be_asked_for(tmp_path, faces_folder):
    options = ["--mask", "square", "--mask", "eyes+irregular", "--masks-per-face", 2, "--faces", "central", "--keep-uncropped"]
    pictures = ["--preview", tmp_path / "sheet.png", "--write-faces", tmp_path / "faces.csv"]
    made = run("make-dataset", faces_folder, tmp_path / "a.h5", "--workers", 1, "--test", 2, *options, *pictures, "--json")
    assert made.exit_code == 0, made.output
    assert read_image(tmp_path / "sheet.png").shape[1] > 1000
    assert len((tmp_path / "faces.csv").read_text().splitlines()) == 7
    with h5py.File(tmp_path / "a.h5") as file:
        assert sorted(file["train/occluded"]) == ["eyes+irregular", "eyes+irregular@2", "square", "square@2"]
        assert len(file["test/uncropped"]) == 2
    assert run("verify", tmp_path / "a.h5").exit_code == 0
    used = run(
        "make-dataset", faces_folder, tmp_path / "b.h5", "--workers", 1, "--faces-file", tmp_path / "faces.csv",
        "--detector", "given", "--json",
    )  # fmt: skip
    assert used.exit_code == 0, used.output
    assert json.loads(used.stdout)["rejected"] == 0


def test_help_and_import_load_neither_torch_nor_dlib():
    code = (
        "import sys, occface, occface.cli; from click.testing import CliRunner;"
        "[CliRunner().invoke(occface.cli.main, [name, '--help']) for name in occface.cli.main.commands];"
        "print(sorted({'torch', 'dlib', 'cv2', 'h5py', 'pandas'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_an_unexpected_error_is_one_line_too(monkeypatch, tmp_path):
    from occface import info

    def breaks(path):
        raise LookupError("odd\nvery odd")

    monkeypatch.setattr(info, "describe", breaks)
    result = run("info", tmp_path)
    assert result.exit_code == 1
    assert result.stderr == "occface: unexpected LookupError: odd; --debug shows where, please report it\n"


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(("level", "shown"), [(logging.INFO, True), (logging.ERROR, False)])
def test_quiet_hides_progress_bars_on_a_terminal(monkeypatch, level, shown):
    from occface import progress

    monkeypatch.setattr(sys, "stderr", Terminal())
    logging.getLogger("occface").setLevel(level)
    with progress.bar(3, "faces", "photo") as bar:
        bar.update()
    assert ("faces" in sys.stderr.getvalue()) == shown


def test_version():
    assert run("--version").stdout.startswith(f"occface {__version__}")


def test_make_info_verify_on_photographs(tmp_path, faces_folder):
    made = run("make-dataset", faces_folder, tmp_path / "a.h5", "--workers", 1, "--test", 2, "--json")
    assert made.exit_code == 0
    assert json.loads(made.stdout)["faces"] == {"train": 4, "test": 2}
    said = run("info", tmp_path / "a.h5", "--json")
    assert json.loads(said.stdout)["content_hash"] == json.loads(made.stdout)["content_hash"]
    assert "content_hash" in run("info", tmp_path / "a.h5").stdout
    whole = run("verify", tmp_path / "a.h5")
    assert (whole.exit_code, whole.stdout.strip()) == (0, f"{tmp_path / 'a.h5'} is whole")


def test_verify_says_what_is_wrong_and_exits_with_one(tmp_path, dataset_path):
    shutil.copy(dataset_path, tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        file["train/occluded/square/lr"][0] = 0
    result = run("verify", tmp_path / "a.h5")
    assert result.exit_code == 1
    assert "train/occluded/square/lr: record 0" in result.stdout


def test_weights_have_info_and_are_verified(tmp_path, dataset_path):
    trained = run(
        "train", "pro-uigan", "--data", dataset_path, "--out", tmp_path / "run", "--preset", "test", "--device", "cpu"
    )
    assert trained.exit_code == 0, trained.stderr
    said = json.loads(run("info", tmp_path / "run", "--json").stdout)
    assert said["method"] == "pro-uigan"
    assert said["parameters"] > 100_000
    assert run("verify", tmp_path / "run").exit_code == 0
    path = tmp_path / "run" / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    damaged = run("verify", tmp_path / "run")
    assert damaged.exit_code == 1
    assert "damaged, or not the file of its card" in damaged.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("make-dataset", "{tmp}/none", "{tmp}/a.h5"), 2, "expected a folder of photographs"),
        (("make-dataset", "{tmp}/empty", "{tmp}/a.h5"), 2, "no photographs"),
        (("make-dataset", "{tmp}/texts", "{tmp}/a.h5"), 2, "no photographs"),
        (("make-dataset", "{faces}", "{tmp}/a.h5", "--mask", "squre"), 2, "did you mean 'square'"),
        (("make-dataset", "{faces}", "{tmp}/a.h5", "--source-type", "foldr"), 2, "did you mean 'folder'"),
        (("make-dataset", "{faces}", "{tmp}/a.h5", "--occlusion", "papr"), 2, "did you mean 'paper'"),
        (("make-dataset", "{faces}", "{tmp}/a.h5", "--backend", "lokky"), 2, "did you mean 'loky'"),
        (("make-dataset", "synthetic", "{tmp}/a.h5", "--truncation", "9"), 2, "truncation in"),
        (("make-dataset", "synthetic", "{tmp}/a.h5", "--identities", "3", "--poses", "0,x"), 2, "numbers with commas"),
        (("make-dataset", "synthetic", "{tmp}/a.h5", "--identities", "3", "--poses", "80"), 2, "poses of -40 to 40"),
        (("make-dataset", "synthetic", "{tmp}/a.h5", "--identities", "3", "--expressions", "smil"), 2, "did you mean 'smile'"),
        (("make-dataset", "{faces}", "{tmp}/a.h5", "--protocol", "paper"), 2, "has no setting 'protocol'"),
        (("make-dataset", "{faces}", "{tmp}/a.h5", "--detector", "dlib+mtcn"), 2, "did you mean 'mtcnn'"),
        (("make-dataset", "{faces}", "{tmp}/a.h5", "--faces", "bigest"), 2, "unknown choice of faces"),
        (("make-dataset", "{faces}", "{tmp}/a.h5", "--landmarks", "fun"), 2, "did you mean 'fan'"),
        (("make-dataset", "{faces}", "{tmp}/a.h5", "--mask", "folder"), 2, "--mask-dir"),
        (("make-dataset", "{faces}", "{tmp}/a.h5", "--mask-dir", "{tmp}/empty", "--mask", "folder"), 2, "no masks"),
        (("make-dataset", "{faces}", "{tmp}/a.h5", "--faces-file", "{tmp}/none.csv"), 2, "none.csv"),
        (("make-dataset", "{faces}", "{tmp}/a.h5", "--faces-file", "{tmp}/x.csv", "--detector", "dlib"), 2, "detector 'given'"),
        (("make-dataset", "{faces}", "{tmp}/a.h5", "--invert-masks"), 2, "--mask-dir"),
        (("make-dataset", "{faces}", "{tmp}/a.h5", "--scheduler", "tcp://127.0.0.1:1"), 2, "for a cluster"),
        (("make-dataset", "{faces}", "{tmp}/a.h5", "--test", "1.5"), 2, "share below 1 or a count"),
        (("make-dataset", "{faces}", "{tmp}/a.h5", "--preview", "{tmp}/a.h5"), 2, "the data set have the same place"),
        (("make-dataset", "{faces}", "{tmp}/a.h5", "--write-faces", "{tmp}/texts/a.txt"), 2, "exists already"),
        (("make-dataset", "{faces}", "{tmp}/a.h5", "--preview", "{faces}/sheet.png"), 2, "would lie among what is read"),
        (("make-dataset", "{faces}", "{tmp}/a.h5", "--contact-sheet", "{tmp}/c.png"), 2, "people of --identities"),
        (("make-dataset", "synthetic", "{tmp}/a.h5", "--write-faces", "{tmp}/c.csv"), 2, "generated faces have no files"),
        (("make-dataset", "synthetic", "{tmp}/a.h5", "--source-type", "synthetic-grid"), 2, "give --identities"),
        (("make-dataset", "{faces}", "{tmp}/texts/a.txt/a.h5"), 1, "could not write"),
        (("info", "{tmp}/none.h5"), 2, "expected a data set"),
        (("info", "{tmp}/empty"), 2, "expected a data set, weights or a run folder"),
        (("verify", "{tmp}/texts/a.txt"), 2, "another kind of file"),
        (("train", "pro-uign", "--data", "{data}", "--out", "{tmp}/r"), 2, "did you mean 'pro-uigan'"),
        (("train", "gfc", "--data", "{data}", "--out", "{tmp}/r", "--set", "steps"), 2, "expected --set KEY=VALUE"),
        (("train", "gfc", "--data", "{tmp}/none.h5", "--out", "{tmp}/r"), 2, "expected a data set"),
        (("train", "gfc", "--data", "{data}", "--out", "{tmp}/r", "--set", "steps=[1,"), 2, "expected a YAML value"),
        (("train", "gfc", "--data", "{data}", "--out", "{tmp}/r", "--resume"), 2, "nothing to resume"),
        (("verify", "{tmp}/none.safetensors"), 2, "expected a data set"),
        (("info", "{tmp}/theirs.h5"), 2, "no data set of occface, or a damaged one: it lacks"),
        (("trian", "gfc"), 2, "No such command 'trian'"),
        (("demo", "--count", "many"), 2, "'many' is not a valid integer"),
        (("benchmark", "{tmp}/none.yaml"), 2, "expected a YAML file"),
        (("benchmark", "demmo"), 2, "did you mean 'demo'"),
        (("benchmark", "cpu", "--out", "{tmp}/b"), 2, "say where it is by --data CelebA-HQ=PATH"),
        (("benchmark", "cpu", "--data", "celeba.h5"), 2, "expected --data NAME=PATH"),
        (("benchmark", "cpu", "--data", "Celeba=x.h5"), 2, "did you mean 'CelebA-HQ'"),
        (("benchmark", "cpu", "--data", "YTF=a.h5", "--data", "YTF=b.h5"), 2, "gives 'YTF' twice"),
        (("benchmark", "demo", "--tables", "1,8"), 2, "there is no table '8'"),
        (("benchmark", "demo", "--overwrite", "--overwrite-strategy", "never"), 2, "leave one out"),
        (("benchmark", "demo", "--overwrite-strategy", "alway", "--out", "{tmp}/b"), 2, "did you mean 'always'"),
        (("benchmark", "demo", "--dry-run", "--overwrite"), 2, "leave the strategy out"),
        (("benchmark", "demo", "--overwrite-strategy", "only-cache", "--out", "{tmp}/b"), 2, "expected scores of a benchmark"),
        (("benchmark", "test", "--backend", "lokky", "--out", "{tmp}/b"), 2, "did you mean 'loky'"),
        (("demo", "--preset", "paper", "--out", "{tmp}/d"), 2, "the demo runs in the presets"),
        (("demo", "--source", "{tmp}/empty", "--out", "{tmp}/d"), 2, "no photographs"),
        (("restore", "{faces}"), 2, "Missing option '--out'"),
        (
            ("restore", "{faces}", "--out", "{tmp}/r", "--pipeline", "fsrgan"),
            2,
            "no weights of 'fsrgan' come with this version",
        ),
        (("restore", "{faces}", "--out", "{tmp}/r", "--pipeline", "bicubic", "--weights", "gfc"), 2, "METHOD=RUN, got"),
        (("restore", "{tmp}/none", "--out", "{tmp}/r", "--pipeline", "bicubic"), 2, "there is nothing of that name"),
        (("restore", "{faces}", "--out", "{tmp}/r", "--pipeline", "bicubic", "--mask", "maks.png"), 2, "no such file"),
        (("restore", "{faces}", "--out", "{tmp}/r", "--pipeline", "bicubic", "--mask-box", "1,2,3"), 2, "got 3 numbers"),
        (("restore", "{faces}", "--out", "{tmp}/r", "--pipeline", "bicubic", "--detector", "mtcn"), 2, "did you mean 'mtcnn'"),
        (("restore", "{faces}", "--out", "{tmp}/texts/a.txt", "--pipeline", "bicubic"), 1, "could not write"),
        (("--debg", "info"), 2, "No such option"),
        (("--quiet", "info", "nothing-of-that-name"), 2, "nothing-of-that-name"),
        (("assets", "pull", "mobilestylegn"), 2, "did you mean 'mobilestylegan'"),
    ],
)
def test_a_wrong_request_is_one_line_on_stderr(tmp_path, faces_folder, dataset_path, arguments, code, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("hello")
    with h5py.File(tmp_path / "theirs.h5", "w") as file:
        file.attrs["schema_version"] = 1
    places = {"tmp": tmp_path, "faces": faces_folder, "data": dataset_path}
    quiet = () if arguments[0] == "trian" else ("--quiet",)
    result = run(*(argument.format(**places) for argument in arguments), *quiet)
    assert result.exit_code == code
    assert message in result.stderr
    assert result.stdout == ""
    assert len(result.stderr.strip().splitlines()) == 1
    assert result.stderr.startswith("occface: ")


def test_flags_mean_the_same_before_the_command_and_behind_it():
    before, behind = run("--debug", "info", "nothing"), run("info", "nothing", "--debug")
    assert before.exit_code == behind.exit_code == 2
    assert before.stderr.splitlines()[-1] == behind.stderr.splitlines()[-1]
    assert "Traceback" in before.stderr
    assert "--debug" not in run("--help").stdout.split("Commands:")[0]


def test_packaged_recipes_are_listed():
    listed = json.loads(run("benchmark", "--json").stdout)["recipes"]
    assert {"demo", "cpu", "gpu", "paper"} <= set(listed)
    lines = run("benchmark").stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(listed)


def recipe_of(folder, **more):
    path = folder / "recipe.yaml"
    files.write_yaml(path, {"datasets": {"faces": "none.h5"}, "pipelines": ["bicubic"], "masks": ["square"]} | more)
    return path


def test_a_dry_run_tells_what_is_missing_and_writes_nothing(tmp_path, dataset_path):
    asked = (recipe_of(tmp_path), "--data", f"faces={dataset_path}", "--out", tmp_path / "out")
    planned = run("benchmark", *asked, "--dry-run", "--json")
    assert planned.exit_code == 0, planned.stderr
    assert {step["name"]: step["state"] for step in json.loads(planned.stdout)["steps"]} == {
        "data faces": "done",
        "score Bicubic on faces, square": "missing",
    }
    assert not (tmp_path / "out").exists()
    assert "1 of 2 steps are missing" in run("benchmark", *asked, "--dry-run").stdout


def test_a_benchmark_its_strategies_and_its_tables(tmp_path, dataset_path):
    copied = tmp_path / "copy.h5"
    shutil.copy(dataset_path, copied)
    out = tmp_path / "out"
    asked = (recipe_of(tmp_path), "--data", f"faces={copied}", "--out", out, "--device", "cpu", "--workers", 1)
    done = run("benchmark", *asked, "--limit", 1, "--tables", "1,4", "--json")
    assert done.exit_code == 0, done.stderr
    said = json.loads(done.stdout)
    assert list(said["tables"]) == ["1"]
    assert said["tables"]["1"][0]["faces/n"] == 1
    assert len(occface.load_scores(out)) == 1
    assert "No Table IV" in run("benchmark", *asked, "--limit", 1, "--tables", "4").stdout
    scores = next((out / "scores").glob("*.csv"))
    before = scores.stat().st_mtime_ns
    assert run("benchmark", *asked, "--limit", 1).exit_code == 0
    assert scores.stat().st_mtime_ns == before
    assert run("benchmark", *asked, "--limit", 1, "--overwrite").exit_code == 0
    assert scores.stat().st_mtime_ns > before
    copied.unlink()
    cached = run("benchmark", recipe_of(tmp_path), "--out", out, "--overwrite-strategy", "only-cache")
    assert cached.exit_code == 0, cached.stderr
    assert "Table I: face hallucination" in cached.stdout


def test_a_step_that_failed_is_in_the_exit_code(tmp_path, dataset_path):
    methods = {"gfc": {"preset": "test", "set": {"parser": "nowhere", "parsing_weight": 1.0}}}
    recipe = recipe_of(tmp_path, pipelines=["bicubic", "gfc+bicubic"], methods=methods)
    done = run("benchmark", recipe, "--data", f"faces={dataset_path}", "--out", tmp_path / "out", "--device", "cpu", "--json")
    assert done.exit_code == 1
    assert set(json.loads(done.stdout)["broken"]) == {"train gfc on faces", "score GFC + Bicubic on faces, square"}


def test_scores_are_loaded_by_the_package_itself(tmp_path):
    with pytest.raises(UsageError, match="expected scores of a benchmark in"):
        occface.load_scores(tmp_path)


def test_debug_shows_the_traceback(tmp_path):
    assert "Traceback" in run("info", tmp_path / "none.h5", "--debug").stderr


def test_assets_are_listed_with_origin_and_licence():
    rows = {row["name"]: row for row in json.loads(run("assets", "list", "--json").stdout)["assets"]}
    assert rows["dlib-68"]["present"]
    assert all(row["origin"] and row["licence"] for row in rows.values())
    assert "mobilestylegan" in run("assets", "list").stdout
