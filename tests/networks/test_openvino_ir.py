from __future__ import annotations

import shutil

import numpy as np
import openvino
import openvino.opset8 as ops
import pytest

from occface.errors import AssetError
from occface.networks.openvino_ir import IRGraph

XML = """<net name="n" version="{version}"><layers>
<layer id="0" name="x" type="Parameter"/>
<layer id="1" name="w" type="Const"><data element_type="{dtype}" shape="2, 3" offset="{offset}" size="{size}"/></layer>
<layer id="2" name="m" type="MatMul"/>
<layer id="3" name="b" type="Const"><data element_type="f32" shape="" offset="24" size="4"/></layer>
<layer id="4" name="a" type="Add"/>
</layers><edges>
<edge from-layer="0" from-port="0" to-layer="2" to-port="0"/><edge from-layer="1" from-port="0" to-layer="2" to-port="1"/>
<edge from-layer="2" from-port="2" to-layer="4" to-port="0"/><edge from-layer="3" from-port="0" to-layer="4" to-port="1"/>
</edges></net>"""


def graph(tmp_path, version="10", dtype="f32", offset="0", size="24", blob=None) -> IRGraph:
    (tmp_path / "n.xml").write_text(XML.format(version=version, dtype=dtype, offset=offset, size=size))
    (tmp_path / "n.bin").write_bytes(np.arange(7, dtype="<f4").tobytes() if blob is None else blob)
    return IRGraph(tmp_path / "n.xml", tmp_path / "n.bin")


def test_constants_are_found_by_name_by_use_and_by_what_comes_before(tmp_path):
    ir = graph(tmp_path)
    np.testing.assert_array_equal(ir.constant("w"), [[0, 1, 2], [3, 4, 5]])
    assert [a.tolist() for a in ir.operands("Add")] == [6.0]
    assert ir.operand_after("w", "Add") == 6.0
    assert ir.operands("Convolution") == []


@pytest.mark.parametrize(("name", "kind"), [("w", "MatMul"), ("w", "Convolution"), ("nothing", "Add")])
def test_what_does_not_follow_is_said(tmp_path, name, kind):
    with pytest.raises(AssetError, match=f"no {kind} with a constant follows '{name}'"):
        graph(tmp_path).operand_after(name, kind)


@pytest.mark.parametrize("name", ["x", "nothing"])
def test_an_absent_constant_is_said(tmp_path, name):
    with pytest.raises(AssetError, match=f"no constant '{name}'"):
        graph(tmp_path).constant(name)


@pytest.mark.parametrize(
    "change",
    [
        {"offset": "8"},
        {"offset": "-4"},
        {"offset": "1000"},
        {"size": "20"},
        {"size": "x"},
        {"dtype": "u1"},
        {"blob": b""},
    ],
)
def test_a_constant_outside_its_file_is_refused(tmp_path, change):
    with pytest.raises(AssetError, match="constant 'w'"):
        graph(tmp_path, **change).constant("w")


def test_another_version_is_refused(tmp_path):
    with pytest.raises(AssetError, match="expected <net> of version 10, got <net> of version 11"):
        graph(tmp_path, version="11")


@pytest.mark.parametrize("content", [b"", b"\x89PNG", b"<net", b"<net version='10'>\xff</net>"])
def test_a_file_that_is_no_xml_is_refused(tmp_path, content):
    graph(tmp_path)
    (tmp_path / "n.xml").write_bytes(content)
    with pytest.raises(AssetError, match=r"n\.xml"):
        IRGraph(tmp_path / "n.xml", tmp_path / "n.bin")


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(AssetError, match=r"none\.xml"):
        IRGraph(tmp_path / "none.xml", tmp_path / "none.bin")


def test_openvinos_own_writer_is_another_version_and_refused(tmp_path):
    x = ops.parameter([1, 2], np.float32)
    model = openvino.Model([ops.relu(x)], [x])
    openvino.serialize(model, str(tmp_path / "m.xml"))
    shutil.copy(tmp_path / "m.bin", tmp_path / "n.bin")
    with pytest.raises(AssetError, match="version 10"):
        IRGraph(tmp_path / "m.xml", tmp_path / "n.bin")
