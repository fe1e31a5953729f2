"""The commands for people's own photographs."""

from __future__ import annotations

import json

import numpy as np
import torch
from click.testing import CliRunner

from occface.cli import main
from occface.images import read_image, write_png
from occface.methods.prouigan import ProUIGAN
from occface.methods.weights import save_weights


def run(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def photographs(folder, faces_folder, count=2):
    for number in range(count):
        small = read_image(faces_folder / f"face_{number}.jpg")[::2, ::2]
        write_png(folder / f"{number}.png", np.pad(small, ((20, 20), (60, 60), (0, 0)), constant_values=90))
    return folder


def test_photographs_are_restored_and_gone_on_with(tmp_path, faces_folder):
    photos = photographs(tmp_path / "photos", faces_folder)
    asked = ("restore", photos, "--out", tmp_path / "out", "--pipeline", "bicubic", "--device", "cpu", "--mask-region", "mouth")
    done = run(*asked, "--json")
    assert done.exit_code == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["photographs"], said["restored"]) == (2, 2)
    assert {row["mask"] for row in said["rows"]} == {"mouth"}
    assert (tmp_path / "out" / "0.png" / "face-1-strip.jpg").exists()
    again = run(*asked)
    assert again.exit_code == 2
    assert "--resume" in again.stderr
    resumed = run(*asked, "--resume")
    assert resumed.exit_code == 0
    assert "2 photographs; 2 faces restored" in resumed.stdout


def test_nothing_restored_is_failed_work(tmp_path):
    write_png(tmp_path / "grey.png", np.full((90, 90, 3), 90, np.uint8))
    done = run("restore", tmp_path / "grey.png", "--out", tmp_path / "out", "--pipeline", "bicubic", "--device", "cpu")
    assert done.exit_code == 1
    assert "grey.png: no face: no face found by mtcnn" in done.stdout


def test_the_help_says_what_must_not_be_done_with_it():
    for command in ("restore", "edit"):
        said = " ".join(run(command, "--help").stdout.split())
        assert "not evidence of who somebody is" in said


def test_a_face_is_edited(tmp_path, faces_folder):
    torch.manual_seed(0)
    method = ProUIGAN.build("test")
    save_weights(tmp_path / "run", method.generator, {"method": "pro-uigan", "preset": "test", "config": method.config})
    asked = ("edit", faces_folder / "face_0.jpg", "--out", tmp_path / "out", "--pipeline", tmp_path / "run", "--device", "cpu")
    done = run(*asked, "--mouth", "open:0.5", "--brows", "up", "--json")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["moved_px"] > 1
    assert (tmp_path / "out" / "panel.png").exists()
    again = run(*asked, "--landmarks", tmp_path / "out" / "landmarks-edited.csv", "--overwrite")
    assert again.exit_code == 0, again.stderr
    assert "landmarks moved by" in again.stdout
    for wrong, said in ((("--mouth", "opne"), "did you mean 'open'"), ((), "nothing is to be changed")):
        refused = run(*asked, *wrong, "--overwrite")
        assert refused.exit_code == 2
        assert said in refused.stderr
