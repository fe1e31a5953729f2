"""Nothing is unpickled, evaluated or written outside its folder, whatever files say; what could cost much is refused before."""

from __future__ import annotations

import ast
import hashlib
import io
import json
import os
import pickle
import stat
import subprocess
import sys
import tracemalloc
import zipfile
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from click.testing import CliRunner

import occface
from occface import assets, files
from occface.assets import Asset, AssetFile
from occface.benchmark.engine import plan_benchmark
from occface.benchmark.recipe import load_recipe
from occface.cli import main
from occface.dataset.reader import DatasetFile
from occface.dataset.shards import read_shards
from occface.errors import AssetError, OccfaceError, UsageError
from occface.faces import fan
from occface.methods.gfc import GFC
from occface.methods.weights import save_weights
from occface.networks import mtcnn, vgg
from occface.networks.dcgan import DCGAN
from occface.networks.stlpips import PerceptualDistance
from occface.sources import open_source

PACKAGE = Path(occface.__file__).parent

#: Never, nowhere: they run what a file says.
FORBIDDEN = {
    "pickle", "_pickle", "cPickle", "cloudpickle", "dill", "shelve", "marshal", "jsonpickle", "eval", "exec", "compile",
    "__import__", "os.system", "os.popen", "joblib.load", "pandas.read_pickle", "torch.jit.load", "torch.package", "torch.hub",
    "yaml.load", "yaml.load_all", "yaml.full_load", "yaml.unsafe_load", "yaml.Loader", "yaml.UnsafeLoader", "yaml.FullLoader",
    "shutil.unpack_archive", "tarfile", "runpy", "tempfile.mktemp",
}  # fmt: skip
#: Only with the argument that makes them safe.
SAFE_WITH = {"torch.load": ("weights_only", True), "numpy.load": ("allow_pickle", False)}
#: numpy's own default is safe.
MAY_BE_LEFT_OUT = {"numpy.load"}
#: Where they stand, and why they may.
WATCHED = (
    "subprocess", "multiprocessing", "importlib.import_module", "joblib.Parallel", "distributed.Client", "ray",
    "torch.utils.data.DataLoader", "torch.multiprocessing", "socket", "ctypes",
)  # fmt: skip
ALLOWED = {
    ("assets.py", "subprocess"): "pip, in words and without a shell, fetches a wheel; nothing of it is installed or imported",
    ("versions.py", "subprocess"): "git, in words and without a shell, in a checkout of this project alone",
    ("doctor.py", "subprocess"): "this interpreter, without a shell, for checks that may crash",
    ("doctor.py", "importlib.import_module"): "the libraries that setup.cfg asks for, of a table in the code",
    ("registry.py", "importlib.import_module"): "this package, and what installed distributions register: no file names any",
    ("sources/__init__.py", "importlib.import_module"): "three modules of this package",
    ("parallel.py", "joblib.Parallel"): "loky carries jobs to processes that were started here, over pipes of this user",
    ("parallel.py", "distributed.Client"): "a cluster that the user names, and so trusts: see SECURITY.md",
    ("parallel.py", "ray"): "the same",
    ("benchmark/timing.py", "ctypes"): "the C library of this system, asked to give freed memory back",
    ("webapp/server.py", "socket"): "the page's own port, on this machine alone unless the user says otherwise",
    ("dataset/loading.py", "torch.utils.data.DataLoader"): "carries batches between processes that were started here",
}


def suspects(source: str) -> set[str]:
    """Return what a module names that is forbidden, unsafe or watched."""
    tree = ast.parse(source)
    names: dict[str, str] = {}
    named: list[tuple[str, ast.AST]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                names[alias.asname or alias.name.partition(".")[0]] = (
                    alias.name if alias.asname else alias.name.partition(".")[0]
                )
                named.append((alias.name, node))
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
                named.append((f"{node.module}.{alias.name}", node))
    safe = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            function = dotted(node.func, names)
            keywords = {word.arg: getattr(word.value, "value", None) for word in node.keywords}
            if function in SAFE_WITH:
                argument, value = SAFE_WITH[function]
                default = value if function in MAY_BE_LEFT_OUT else None
                if keywords.get(argument, default) is value and None not in keywords and len(node.args) == 1:
                    safe.add(id(node.func))
            if keywords.get("shell", False) is not False:
                named.append(("shell=True", node))
        if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load):
            named.append((dotted(node, names), node))
    found = {name for name, _ in named if name == "shell=True"}
    found |= {start for name in {name for name, _ in named} for start in starts(name) if start in FORBIDDEN or start in WATCHED}
    return found | {f"unsafe {name}" for name, node in named if name in SAFE_WITH and id(node) not in safe}


def starts(name: str) -> list[str]:
    """Return ``a``, ``a.b`` and ``a.b.c`` for ``a.b.c``."""
    parts = name.split(".")
    return [".".join(parts[: number + 1]) for number in range(len(parts))]


def dotted(node: ast.AST, names: dict[str, str]) -> str:
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([names.get(node.id, node.id), *reversed(parts)]) if isinstance(node, ast.Name) else ""


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import pickle as p\np.loads(b'')", {"pickle"}),
        ("from torch import load as l\nl('a', weights_only=False)", {"unsafe torch.load"}),
        ("import torch\ntorch.load('a')", {"unsafe torch.load"}),
        ("import torch\ntorch.load('a', **settings)", {"unsafe torch.load"}),
        ("import torch\ntorch.load('a', map_location='cpu', weights_only=True)", set()),
        ("import torch\nread = torch.load", {"unsafe torch.load"}),
        ("import numpy as np\nnp.load('a')", set()),
        ("import numpy as np\nnp.load('a', None, True)", {"unsafe numpy.load"}),
        ("import numpy as np\nnp.load('a', allow_pickle=True)", {"unsafe numpy.load"}),
        ("import yaml\nyaml.load('a', yaml.SafeLoader)", {"yaml.load"}),
        ("from os import system\nsystem('a')", {"os.system"}),
        ("import subprocess\nsubprocess.run('a', shell=True)", {"subprocess", "shell=True"}),
        ("class Options:\n    compile: bool = False", set()),
        ("network.eval()\nre.compile('a')\nself.exec()", set()),
        ("[eval][0]('1')", {"eval"}),
        ("import torch\ntorch.utils.data.DataLoader([])", {"torch.utils.data.DataLoader"}),
    ],
)
def test_the_search_finds_what_it_is_for(source, found):
    assert suspects(source) == found


def test_the_package_neither_unpickles_nor_evaluates_and_every_exception_is_known():
    modules = sorted(PACKAGE.rglob("*.py"))
    assert len(modules) > 100
    found = {
        (path.relative_to(PACKAGE).as_posix(), name) for path in modules for name in suspects(path.read_text(encoding="utf-8"))
    }
    assert found == set(ALLOWED)


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


@pytest.fixture
def trap(tmp_path):
    """A trap, which must not have been sprung when the test ends."""
    yield Trap(tmp_path / "sprung")
    assert not (tmp_path / "sprung").exists()


def run(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def in_torchs_form(value):
    buffer = io.BytesIO()
    torch.save({"weights": torch.zeros(1), "more": value}, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("form", [in_torchs_form, pickle.dumps])
def test_no_command_runs_what_lies_in_the_place_of_weights(tmp_path, trap, form, faces_folder, dataset_path):
    torch.manual_seed(0)
    method = GFC.build("test")
    save_weights(tmp_path / "run", method.generator, {"method": "gfc", "preset": "test", "config": method.config})
    data = form(trap)
    (tmp_path / "run" / "weights.safetensors").write_bytes(data)
    card = json.loads((tmp_path / "run" / "weights.json").read_text())
    (tmp_path / "run" / "weights.json").write_text(json.dumps(card | {"sha256": hashlib.sha256(data).hexdigest()}))
    recipe = tmp_path / "recipe.yaml"
    files.write_yaml(recipe, {"datasets": {"a": str(dataset_path)}, "methods": {"gfc": "run"}, "pipelines": ["gfc+bicubic"]})
    for arguments in (
        ("info", tmp_path / "run"),
        ("verify", tmp_path / "run" / "weights.safetensors"),
        ("export", tmp_path / "run", tmp_path / "a.onnx"),
        ("restore", faces_folder, "--out", tmp_path / "out", "--pipeline", tmp_path / "run"),
        ("benchmark", recipe, "--out", tmp_path / "benchmark", "--dry-run"),
    ):
        result = run(*arguments)
        assert result.exit_code in (1, 2)
        assert "holds code or objects, not numbers alone: nothing of it was run" in result.output


def test_a_training_does_not_go_on_with_a_checkpoint_that_is_a_trap(tmp_path, trap, dataset_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "checkpoint.pt").write_bytes(in_torchs_form(trap))
    asked = ("--data", dataset_path, "--out", tmp_path / "run", "--preset", "test", "--device", "cpu", "--resume")
    result = run("train", "gfc", *asked)
    assert result.exit_code == 2
    assert "holds code or objects" in result.stderr


@pytest.mark.parametrize("zipped", [True, False])
def test_a_part_of_a_data_set_that_is_a_trap_is_refused(tmp_path, trap, zipped):
    path = tmp_path / "part-000000.npz"
    if zipped:
        np.savez(path, rejected=np.array([trap], dtype=object))
    else:
        path.write_bytes(pickle.dumps(trap))
    with pytest.raises(OccfaceError, match="is damaged: remove it"):
        list(read_shards([path], ["rejected"]))


@pytest.fixture
def copied(tmp_path, dataset_path):
    path = tmp_path / "copy.h5"
    path.write_bytes(dataset_path.read_bytes())
    return path


@pytest.mark.parametrize("protocol", [0, 5])
def test_an_attribute_that_is_a_trap_is_refused(copied, trap, protocol):
    with h5py.File(copied, "r+") as file:
        data = pickle.dumps(trap, protocol)
        file.attrs["configuration"] = data.decode() if protocol == 0 else np.void(data)
    with pytest.raises(UsageError, match="is damaged: expected the configuration to be"):
        DatasetFile(copied)


def test_published_weights_are_not_unpickled_even_if_their_hash_were_right(tmp_path, trap, monkeypatch):
    path = tmp_path / "weights"
    path.write_bytes(in_torchs_form(trap))
    places = dict.fromkeys(("pnet.pt", "rnet.pt", "onet.pt"), path)
    monkeypatch.setattr(assets, "require", lambda name: places if name == "mtcnn" else {"weights": path})
    style, distance = partial(vgg.load_feature_network, "vgg16"), partial(PerceptualDistance.from_file, path)
    for load in (mtcnn.load_mtcnn, fan.published_network, style, distance):
        with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
            load()
    with pytest.raises(AssetError, match="Weights only load failed"):
        DCGAN.from_asset({"weights.tar": path})


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    """A function that puts a wheel of some members in the place of the one that pip would fetch, in a folder of its own."""
    asset = Asset("thing", "a test", "wheel:thing==1.0!thing/data", "CC0", (AssetFile("w.bin", sha(b"weights"), 7),))
    monkeypatch.setitem(assets.ASSETS, "thing", asset)
    monkeypatch.setenv("OCCFACE_CACHE", str(tmp_path / "a" / "cache"))
    monkeypatch.delenv("OCCFACE_ASSETS", raising=False)
    (tmp_path / "a" / "tmp").mkdir(parents=True)
    monkeypatch.setattr(assets.tempfile, "tempdir", str(tmp_path / "a" / "tmp"))

    def put(members):
        def download(command, **_):
            with zipfile.ZipFile(Path(command[command.index("--dest") + 1], "thing.whl"), "w", zipfile.ZIP_DEFLATED) as archive:
                for member, content in members.items():
                    archive.writestr(member, content)
            return subprocess.CompletedProcess(command, 0, "", "")

        monkeypatch.setattr(assets.subprocess, "run", download)

    return put


def sha(data):
    return hashlib.sha256(data).hexdigest()


def below(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())


def test_a_wheel_cannot_write_outside_the_cache(tmp_path, wheel):
    strays = ("../up.txt", "../../up.txt", "thing/data/../../../up.txt", f"{tmp_path}/rooted.txt", "C:\\rooted.txt", "evil.py")
    wheel({"thing/data/w.bin": b"weights", **dict.fromkeys(strays, b"evil")})
    assets.pull("thing")
    assert below(tmp_path) == ["a/cache/thing/w.bin"]


def test_a_link_in_a_wheel_is_not_followed(tmp_path, wheel):
    (tmp_path / "secret").write_bytes(b"weights")  # what the link leads to would even have the right hash
    link = zipfile.ZipInfo("thing/data/w.bin")
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    wheel({link: str(tmp_path / "secret")})
    with pytest.raises(AssetError, match="not the pinned"):
        assets.pull("thing")
    assert below(tmp_path) == ["secret"]


def test_a_wheel_is_not_unpacked_if_it_would_be_large(wheel):
    wheel({"thing/data/w.bin": bytes(1 << 26)})
    tracemalloc.start()
    try:
        with pytest.raises(AssetError, match=r"w\.bin in it is of 67108864 bytes, expected 7"):
            assets.pull("thing")
        # The stand-in for pip compresses it in one piece of memory, which was there before.
        assert tracemalloc.get_traced_memory()[1] < 1 << 25
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", ["x/../../../../up", "/tmp/up", "x\\..\\up", "x\0y"])
def test_a_name_in_a_recipe_that_leads_elsewhere_is_refused(name):
    with pytest.raises(UsageError, match="expected a name without /"):
        load_recipe({"datasets": {name: "a.h5"}, "pipelines": ["bicubic"]})
    with pytest.raises(UsageError, match="expected a name without /"):
        load_recipe({"datasets": {"a": "a.h5"}, "methods": {f"gfc:{name}": {"preset": "test"}}, "pipelines": ["bicubic"]})


@pytest.mark.parametrize("name", ["..", ".", "a b", "~", "-rf", "con", "$(touch up)"])
def test_no_step_of_a_recipe_lies_outside_its_folder(tmp_path, dataset_path, name):
    from occface.benchmark.plan import make_plan

    method = {f"gfc:{name}": {"preset": "test"}}
    recipe = load_recipe({"datasets": {name: str(dataset_path)}, "methods": method, "pipelines": [f"gfc:{name}+bicubic"]})
    steps = make_plan(recipe, tmp_path / "out").steps
    places = [getattr(step, "folder", None) or step.path for step in steps if step.kind != "data"]
    assert len(places) == 3
    for place in places:
        assert place.resolve().parent.parent == (tmp_path / "out").resolve()
        assert place.name == files.safe_name(place.name)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("datsets: {a: b.h5}", "did you mean 'datasets'"),
        ("datasets: {a: b.h5}\npipelines: [bicubic]\nmetrics: [imag]", "did you mean 'image'"),
        ("datasets: {a: b.h5}\npipelines: [bicubik]", "did you mean 'bicubic'"),
        ("datasets: {a: b.h5}\npipelines: [bicubic]\ntiming: {run: 3}", "did you mean 'runs'"),
        ("datasets: {a: b.h5}\ncomparisons: [{pipelins: [bicubic]}]", "did you mean 'pipelines'"),
        ("datasets: {a: b.h5}\npipelines: [gfc+fhc]\nmethods: {gfc: {prest: cpu}}", "did you mean 'preset'"),
        ("datasets: {a: {source: synthetic, coutn: 3}}\npipelines: [bicubic]", "did you mean 'count'"),
        ("datasets: !!python/object/apply:os.mkdir [sprung]", "it cannot be read: could not determine a constructor"),
        ("datasets: !!python/name:os.mkdir ''", "it cannot be read: could not determine a constructor"),
        ("[" * 3000, "it cannot be read"),
        ("&a [*a]", "more by its aliases"),
        ("\n".join([f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9) if n else 'x'}]" for n in range(12)]), "more by its aliases"),
    ],
    ids=lambda value: value[:20],
)  # fmt: skip
def test_yaml_is_plain_and_unknown_keys_are_refused(tmp_path, monkeypatch, text, message):
    monkeypatch.chdir(tmp_path)
    Path("recipe.yaml").write_text(text)
    with pytest.raises(UsageError) as caught:
        plan_benchmark("recipe.yaml", "out")
    assert message in str(caught.value)
    assert len(str(caught.value)) < 600
    assert os.listdir() == ["recipe.yaml"]  # noqa: PTH208


def test_settings_of_a_source_and_of_a_training_are_known_or_refused(tmp_path):
    (tmp_path / "mixed.yaml").write_text("sources: {a: {source: synthetic, trunctaion: 1}}")
    with pytest.raises(UsageError, match="did you mean 'truncation'"):
        open_source(str(tmp_path / "mixed.yaml"))
    with pytest.raises(UsageError, match="did you mean 'steps_local'"):
        GFC.build("test", {"stepslocal": 3})


def test_a_data_set_cannot_make_other_files_of_the_machine_be_read(copied, tmp_path, dataset_path):
    (tmp_path / "secret").write_bytes(bytes(1 << 20))
    whole = copied.read_bytes()
    for trick in ("external storage", "external link", "soft link", "virtual"):
        copied.write_bytes(whole)
        with h5py.File(copied, "r+") as file:
            shape = file["train/hr"].shape
            del file["train/hr"]
            if trick == "external storage":
                file["train"].create_dataset("hr", shape, "u1", external=[(str(tmp_path / "secret"), 0, int(np.prod(shape)))])
            elif trick == "external link":
                file["train/hr"] = h5py.ExternalLink(str(dataset_path), "/train/hr")
            elif trick == "soft link":
                file["train/hr"] = h5py.SoftLink("/test/hr")
            else:
                layout = h5py.VirtualLayout(shape, "u1")
                layout[:] = h5py.VirtualSource(str(dataset_path), "train/hr", shape)
                file["train"].create_virtual_dataset("hr", layout)
        with pytest.raises(UsageError, match="takes train/hr from another place than itself"):
            DatasetFile(copied)


BOMBS = """
import io, resource, struct, sys, zlib
from pathlib import Path
from PIL import Image
from occface.images import decode_image
from occface.sources.label_maps import read_labels

def saved(kind, **settings):
    data = io.BytesIO()
    Image.new("RGBA" if settings else "RGB", (8, 8), (1, 2, 3)).save(data, kind, **settings)
    return bytearray(data.getvalue())

side = 60000
png = saved("PNG"); png[16:24] = struct.pack(">II", side, side); png[29:33] = struct.pack(">I", zlib.crc32(bytes(png[12:29])))
jpeg = saved("JPEG"); at = jpeg.index(b"\\xff\\xc0"); jpeg[at + 5 : at + 9] = struct.pack(">HH", side, side)
bmp = saved("BMP"); bmp[18:26] = struct.pack("<ii", side, side)
tiff = saved("TIFF"); first = struct.unpack_from("<I", tiff, 4)[0]
for entry in range(first + 2, first + 2 + 12 * struct.unpack_from("<H", tiff, first)[0], 12):
    tag = struct.unpack_from("<H", tiff, entry)[0]
    if tag in (256, 257): tiff[entry : entry + 12] = struct.pack("<HHII", tag, 4, 1, side)
webp = saved("WEBP", lossless=True, exif=b"Exif\\0\\0MM\\0*\\0\\0\\0\\x08\\0\\0\\0\\0\\0\\0")
at = webp.index(b"VP8X"); webp[at + 12 : at + 18] = 2 * struct.pack("<I", side - 1)[:3]
Path(sys.argv[1], "map.png").write_bytes(png)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for name, data in {"png": png, "jpeg": jpeg, "bmp": bmp, "tiff": tiff, "webp": webp}.items():
    try: decode_image(bytes(data)); print(name, "was decoded")
    except Exception as error: print(name, type(error).__name__, error)
try: read_labels(Path(sys.argv[1], "map.png")); print("map was decoded")
except Exception as error: print("map", type(error).__name__, error)
unit = 1 if sys.platform == "darwin" else 1024
print("grew", (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * unit)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="its memory is asked for in another way")
def test_a_picture_that_says_it_is_huge_is_refused_by_its_header(tmp_path):
    """Of 60,000 x 60,000 pixels, which would take 11 GB; a process of its own, for its memory is measured."""
    done = subprocess.run([sys.executable, "-c", BOMBS, str(tmp_path)], capture_output=True, text=True, check=True)
    told = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    for name in ("png", "jpeg", "bmp", "tiff"):
        assert told[name].startswith("BadImageError 60000x60000 is 3600 megapixels, more than the 100 allowed"), told[name]
    # libwebp may refuse it first, where so much memory is not to be had.
    assert told["webp"].startswith("BadImageError"), told["webp"]
    assert told["map"].startswith("BadImageError"), told["map"]
    assert int(told["grew"]) < 1 << 26
