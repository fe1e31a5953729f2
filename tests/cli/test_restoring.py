"""The commands for people's own photographs."""

from __future__ import annotations

import json
import os
from pathlib import Path

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


def test_a_photograph_that_may_not_be_read_is_listed(tmp_path, faces_folder, monkeypatch):
    photos = photographs(tmp_path / "photos", faces_folder)
    plain, read = os.access, Path.read_bytes
    monkeypatch.setattr(
        os, "access", lambda path, *more, **named: not str(path).endswith("0.png") and plain(path, *more, **named)
    )

    def read_bytes(path):
        if path.name == "0.png":
            raise PermissionError(13, "Permission denied")
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    asked = ("--out", tmp_path / "out", "--pipeline", "bicubic", "--device", "cpu")
    done = run("restore", photos / "0.png", photos / "1.png", *asked)
    assert done.exit_code == 0, done.stderr
    assert "0.png: not read: cannot be read: Permission denied" in done.stdout
    assert "2 photographs; 1 not read, 1 face restored" in done.stdout


def test_wide_faces_may_be_left_out(tmp_path, faces_folder):
    photos = photographs(tmp_path / "photos", faces_folder, 1)
    asked = ("restore", photos, "--out", tmp_path / "out", "--pipeline", "bicubic", "--device", "cpu")
    done = run(*asked, "--max-face", "40")
    assert done.exit_code == 1
    assert "1 photograph; 1 face left out" in done.stdout
    assert run(*asked, "--max-face", "0", "--overwrite").exit_code == 2


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
    box = run(*asked, "--mouth", "open", "--mask-box", "100,150,200,200", "--lr-landmarks", "dlib", "--overwrite")
    assert box.exit_code == 0, box.stderr
    masks = tmp_path / "mask.png"
    write_png(masks, np.full(read_image(faces_folder / "face_0.jpg").shape[:2], 255, np.uint8))
    weights = ("--pipeline", "pro-uigan", "--weights", f"pro-uigan={tmp_path / 'run'}")
    inverted = run(*asked, *weights, "--mouth", "open", "--mask", masks, "--invert-masks", "--overwrite")
    assert "hides nothing" in inverted.stderr
    for wrong, said in (
        (("--mouth", "opne"), "did you mean 'open'"),
        ((), "nothing is to be changed"),
        (("--mouth", "open", "--lr-landmarks", "fan:none"), "none"),
        (("--mouth", "open", "--mask-box", "1,2"), "expected --mask-box X0,Y0,X1,Y1"),
    ):
        refused = run(*asked, *wrong, "--overwrite")
        assert refused.exit_code == 2
        assert said in refused.stderr
