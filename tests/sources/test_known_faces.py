from __future__ import annotations

import csv

import numpy as np
import pytest

from occface.errors import UsageError
from occface.sources.known_faces import KnownFace, read_faces, write_faces

LANDMARKS = ",".join(f"l{axis}{i}" for i in range(68) for axis in "xy")


def test_what_is_written_is_read_again_to_the_bit(tmp_path):
    path = tmp_path / "faces.csv"
    rng = np.random.default_rng(0)
    points = (rng.standard_normal((3, 68, 2)) * [[[1]], [[1e3]], [[1e-6]]]).astype(np.float32)
    boxes = np.float32([[0.1, 0.2, 1 / 3, 2e7], [-3, 5, 8, 9], [1, 2, 3, 4]])
    names = ["ä/1, 2.jpg", "b.jpg", "ä/1, 2.jpg"]
    write_faces(path, [KnownFace(*face) for face in zip(names, boxes.tolist(), points, strict=True)])
    read = read_faces(str(path))
    assert sorted(read) == ["b.jpg", "ä/1, 2.jpg"]
    for name, rows in {"ä/1, 2.jpg": [0, 2], "b.jpg": [1]}.items():
        np.testing.assert_array_equal(read[name].boxes, boxes[rows])
        np.testing.assert_array_equal(read[name].landmarks, points[rows])
        assert read[name].boxes.dtype == read[name].landmarks.dtype == np.float32


def test_the_table_is_plain_csv(tmp_path):
    path = tmp_path / "faces.csv"
    write_faces(path, [KnownFace("a.jpg", (1, 2.5, 30, 40))])
    assert path.read_text() == "file,x0,y0,x1,y1\na.jpg,1,2.5,30,40\n"
    points = np.arange(136, dtype=np.float32).reshape(68, 2)
    write_faces(path, [KnownFace("a.jpg", (1, 2.5, 30, 40)), KnownFace("b.jpg", None, points)])
    with open(path, newline="") as handle:
        first, second = csv.DictReader(handle)
    assert (first["lx0"], second["x0"], second["lx0"], second["ly0"], second["lx67"], second["ly67"]) == (
        "", "", "0", "1", "134", "135",
    )  # fmt: skip
    read = read_faces(str(path))
    assert read["a.jpg"].landmarks is None
    assert read["b.jpg"].boxes is None


def test_columns_may_stand_in_any_order_beside_others(tmp_path):
    path = tmp_path / "faces.csv"
    path.write_text("\ufeffy1,score,x0,y0,x1,file\n40,0.9,10,20,30,./a.jpg\n", encoding="utf-8")
    (name, faces), *rest = read_faces(str(path)).items()
    assert not rest
    assert name == "a.jpg"
    assert faces.boxes.tolist() == [[10, 20, 30, 40]]


def test_a_changed_table_is_read_again(tmp_path):
    path = tmp_path / "faces.csv"
    write_faces(path, [KnownFace("a.jpg", (1, 2, 3, 4))])
    assert "a.jpg" in read_faces(str(path))
    write_faces(path, [KnownFace("bb.jpg", (1, 2, 3, 4))])
    assert "bb.jpg" in read_faces(str(path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,x0,y0,x1,y1\na,1,2,3,4\nb,1,2,x,4\n", "line 3: expected a number in the column x1, got 'x'"),
        ("file,x0,y0,x1,y1\na,1,2,nan,4\n", "line 2: expected a number in the column x1, got 'nan'"),
        ("file,x0,y0,x1,y1\na,1,2,3\n", "line 2: expected a number in the column y1, got ''"),
        ("file,x0,y0,x1,y1\na,3,2,3,4\n", "line 2: expected a box with x0 < x1 and y0 < y1, got [3.0, 2.0, 3.0, 4.0]"),
        ("file,x0,y0,x1,y1\na,,,,\n", "line 2: neither a box nor landmarks"),
        (f"file,x0,y0,x1,y1,{LANDMARKS}\na,1,2,3,4{',' * 136}\na,1,2,3,4{',5' * 136}\n", "line 3: all faces of 'a'"),
        ("file,x0,y0,x1\na,1,2,3\n", "expected the columns file and x0,y0,x1,y1"),
        ("name,x0,y0,x1,y1\n", "got name, x0, y0, x1, y1"),
        ("", "got none"),
        (b"file,x0,y0,x1,y1\n\xff\xfe,1,2,3,4\n", "expected a CSV file of faces in UTF-8"),
    ],
)
def test_what_does_not_fit_is_refused_by_line(tmp_path, text, message):
    path = tmp_path / "faces.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UsageError) as caught:
        read_faces(str(path))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_table_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"gone\.csv"):
        read_faces(str(tmp_path / "gone.csv"))
