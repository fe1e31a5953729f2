"""PULSE (Menon et al., CVPR 2020): among the faces that a generator can draw, the one that made small is the LR face.

Nothing is trained. What comes out is always a sharp face, and only as far the right one as 16x16 pixels say; of an occluded LR
face it is one that explains the occluder too. The search itself is in `occface.methods.pulse_search`.
"""

from __future__ import annotations

import logging
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from occface import assets, seeding
from occface.errors import UsageError
from occface.methods.base import Batch, Config, Method, Role
from occface.methods.pulse_search import DOWNSCALERS, Frame, Plan, Space, search
from occface.methods.stylegan import fixed_noise
from occface.methods.weights import LoadedMethod, load_method
from occface.networks.dcgan import DCGAN, LATENT_SIZE
from occface.networks.mobilestylegan import MobileStyleGAN
from occface.networks.stylegan import STYLE_SIZE, StyleGenerator
from occface.occlusion.cells import cell_mask
from occface.registry import did_you_mean

__all__ = ["GENERATORS", "PULSE"]

GENERATORS: tuple[str, ...] = ("mobilestylegan", "dcgan", "untrained")
"""Generators by name; anything else is the path of a StyleGAN that was trained here."""

MOBILESTYLEGAN_FRAME = Frame(0.905, 0.5, 0.566)
DCGAN_FRAME = Frame(1.149, 0.5, 0.594)
"""The crops that the package's own aligner takes of generated faces, in the mean: of 24 of MobileStyleGAN's (truncation 0.7;
single ones differ by 3 % in side and 1 % in place), and of 108 of DCGAN's (of 150, as dlib's detector finds no face in the
others; 6 % and 1 %)."""

_CHUNK = 1 << 14

_LOG = logging.getLogger(__name__)

_PAPER: Config = {
    "generator": "mobilestylegan",
    "steps": 100,
    "lr": 0.4,
    "eps": 2e-3,
    "l2_weight": 100.0,
    "geocross_weight": 0.05,
    "noise_layers": 5,
    "fit_samples": 1_000_000,
    "down": "bicubic",
    "masked": False,
    "starts": 1,
    "seed": 0,
    "faces_at_once": 8,
}


class PULSE(Method):
    """Search for a face whose downscaled picture is the LR face.

    Settings
    --------
    generator : str
        What is searched: ``mobilestylegan`` (512 pixels, styles for each of 16 levels), ``dcgan`` (64 pixels, one latent), the
        run folder or ``.safetensors`` file of a trained ``stylegan``, or ``untrained``, a random network for trials.
    steps, lr : int, float
        Steps from each start, and Adam's greatest rate.
    eps : float
        The mean squared difference, of pictures in [0,1], at which an LR face counts as reached.
    l2_weight, geocross_weight : float
        Weights of that difference and of how far a face's styles lie apart.
    noise_layers : int
        How many noise maps are searched too, the coarsest first; DCGAN has none.
    fit_samples : int
        From how many styles their mean and spread are estimated.
    down : {"bicubic", "data"}
        How pictures are made small: PULSE's bicubic, or the default kernel of data sets.
    masked : bool
        Leave out the LR pixels that the occlusion touches; the mask must be given then. Not the paper's. A face without any
        pixel left is missed.
    starts : int
        Faces that are missed are searched again, from up to so many starts in all.
    seed : int
        Of the starts.
    faces_at_once : int
        How many faces are searched side by side: a matter of memory alone.

    Attributes
    ----------
    last_errors : Tensor
        (B,) on the CPU, for each face of the last call the mean squared difference that was reached, on [0,1]; those above
        `eps` were missed (infinite where nothing was left to compare).
    """

    name = "pulse"
    role: ClassVar[Role] = "sr"
    countable: ClassVar[bool] = False  # a search has no cost of its own: it is so many drawings and their gradients
    PRESETS: ClassVar[dict[str, Config]] = {
        "cpu": _PAPER | {"generator": "dcgan", "faces_at_once": 32},
        "paper": _PAPER,
        "gpu": _PAPER | {"fit_samples": 100_000},
        "demo": _PAPER | {"generator": "dcgan", "steps": 30, "faces_at_once": 32},
        "test": _PAPER | {"generator": "untrained", "steps": 3, "fit_samples": 200, "noise_layers": 2},
    }

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        if config["down"] not in DOWNSCALERS:
            raise UsageError(f"unknown way to make small '{config['down']}': {did_you_mean(config['down'], DOWNSCALERS)}")
        for key, least in {"steps": 1, "starts": 1, "faces_at_once": 1, "fit_samples": 2}.items():
            if config[key] < least:
                raise UsageError(f"setting '{key}' of method 'pulse' cannot be {config[key]}: expected at least {least}")
        if config["masked"]:
            self.needs = frozenset({"mask"})
        self.last_errors: Tensor = torch.zeros(0)
        self._space: tuple[torch.device, Space] | None = None

    def fingerprint(self) -> Config:
        """Return which generator is searched: the hashes of its files or weights."""
        name = self.config["generator"]
        if name == "untrained":
            return {"generator": name}
        if name in GENERATORS:
            return {"generator": {file.name: file.sha256 for file in assets.ASSETS[name].files}}
        return {"generator": _trained(name, torch.device("cpu")).identity}

    def load(self, device: torch.device) -> None:
        """Load the generator, and estimate the mean and spread of its styles."""
        self._searched(device)

    def asked(self) -> dict[str, nn.Module]:
        """Return the generator, once it was loaded."""
        return {} if self._space is None else {"generator": self._space[1].network}

    @torch.no_grad()
    def hallucinate(self, batch: Batch, generator: nn.Module | None = None) -> Tensor:
        """Return the faces (B,3,128,128) found for `batch["lr"]` (B,3,16,16), and say in one line how many were missed."""
        lr, c = batch["lr"].float(), self.config
        plan = Plan(**{key: c[key] for key in Plan.__dataclass_fields__})
        weights = _untouched(batch["mask"].float(), lr.shape[-1]) if c["masked"] else None
        space = self._searched(lr.device)
        faces, errors = [], []
        for first in range(0, len(lr), c["faces_at_once"]):
            some = slice(first, first + c["faces_at_once"])
            found, error = search(space, lr[some], plan, None if weights is None else weights[some])
            faces.append(found)
            errors.append(error)
        self.last_errors = torch.cat(errors).cpu()
        self.last_missed = self.last_errors > c["eps"]
        _LOG.info("PULSE missed %d of %d faces: their error is above %g", int(self.last_missed.sum()), len(lr), c["eps"])
        return torch.cat(faces)

    def _searched(self, device: torch.device) -> Space:
        """Return what is searched, on a device; it is loaded and fitted once."""
        if self._space is None or self._space[0] != device:
            with torch.device("cpu"):
                space = self._made(device)
            self._space = device, space
        return self._space[1]

    def _made(self, device: torch.device) -> Space:
        name, c = self.config["generator"], self.config
        if name == "dcgan":
            return _Latents(DCGAN.from_asset(assets.require("dcgan")).to(device))
        if name == "mobilestylegan":
            network = MobileStyleGAN.from_openvino(assets.require("mobilestylegan")).to(device)
            return _MobileStyles(network, c["noise_layers"], c["fit_samples"], device)
        if name == "untrained":
            with torch.random.fork_rng(devices=[]):
                torch.default_generator.manual_seed(0)  # the CPU's alone: torch.manual_seed would set the accelerators' too
                return _Styles(StyleGenerator(32, 128, 16, 2).to(device), c["noise_layers"], c["fit_samples"], device)
        made_by: Any = _trained(name, device).method
        return _Styles(made_by.generator, c["noise_layers"], c["fit_samples"], device)


def _trained(path: str, device: torch.device) -> LoadedMethod:
    loaded = load_method(path, device)
    if loaded.name != "stylegan":
        raise UsageError(f"expected a trained stylegan for PULSE to search in at {path}, got '{loaded.name}': train one")
    return loaded


def _untouched(mask: Tensor, cells: int) -> Tensor:
    """Return for each LR pixel (B,1,`cells`,`cells`) whether a mask (B,1,128,128) leaves it free, 1 or 0."""
    step = mask.shape[-1] // cells
    return 1 - cell_mask(mask, cells)[..., ::step, ::step]


class _Latents:
    """DCGAN's latents: one for each face, on the sphere, which is where nearly all of its latents in training lay."""

    frame = DCGAN_FRAME
    shape = (1, LATENT_SIZE)

    def __init__(self, network: DCGAN) -> None:
        self.network = network

    def noise(self) -> list[Tensor]:
        return []

    def styles(self, latents: Tensor) -> Tensor:
        return latents

    def draw(self, styles: Tensor, noise: list[Tensor]) -> Tensor:
        return self.network(styles[:, 0])


class _StyleSpace:
    """Styles for each level of a StyleGAN. Before the mapping's last leaky ReLU they are nearly normal: there is searched."""

    frame: Frame
    slope = 0.2

    def __init__(self, network: nn.Module, mapping: nn.Module, levels: int, samples: int, device: torch.device) -> None:
        self.network = network
        self.shape = (levels, STYLE_SIZE)
        total, squares = torch.zeros(2, STYLE_SIZE, dtype=torch.float64)  # on the CPU: some devices have no such numbers
        rng = seeding.rng(0, "pulse", "fit")
        for first in range(0, samples, _CHUNK):
            z = torch.from_numpy(rng.standard_normal((min(_CHUNK, samples - first), STYLE_SIZE), dtype="float32"))
            before = F.leaky_relu(mapping(z.to(device)), 1 / self.slope).cpu().double()
            total += before.sum(0)
            squares += before.square().sum(0)
        self.mean = (total / samples).float().to(device)
        self.std = ((squares - total.square() / samples) / (samples - 1)).sqrt().float().to(device)

    def styles(self, latents: Tensor) -> Tensor:
        return F.leaky_relu(latents * self.std + self.mean, self.slope)


class _MobileStyles(_StyleSpace):
    """MobileStyleGAN's 16 levels, and its noise maps, which are constants of the network: the search sets out from them."""

    frame = MOBILESTYLEGAN_FRAME

    def __init__(self, network: MobileStyleGAN, layers: int, samples: int, device: torch.device) -> None:
        super().__init__(network, network.mapping, network.levels, samples, device)
        self.synthesis = network.synthesis
        buffers = [(name, noise) for name, noise in network.synthesis.named_buffers() if name.endswith("noise")]
        self.maps = dict(buffers[:layers])
        self.sizes = {name: noise.square().mean().sqrt() for name, noise in self.maps.items()}

    def noise(self) -> list[Tensor]:
        return [(noise / self.sizes[name]).permute(2, 0, 1)[None] for name, noise in self.maps.items()]

    def draw(self, styles: Tensor, noise: list[Tensor]) -> Tensor:
        if not self.maps:
            return self.synthesis(styles, 512)
        own = {name: each.permute(0, 2, 3, 1) * self.sizes[name] for name, each in zip(self.maps, noise, strict=True)}
        picture: Tensor = torch.func.functional_call(self.synthesis, own, (styles, 512))
        return picture


class _Styles(_StyleSpace):
    """The styles of a StyleGAN that was trained here; its pictures have the data set's own framing."""

    frame = Frame()

    def __init__(self, network: StyleGenerator, layers: int, samples: int, device: torch.device) -> None:
        network.eval().requires_grad_(False)
        super().__init__(network, network.mapping, network.styles, samples, device)
        self.synthesis = network.synthesis
        self.fixed = fixed_noise(network, 0, self.mean)
        self.fixed[-1] = torch.zeros_like(self.fixed[-1])  # as in the original: the finest noise is left out
        self.layers = min(layers, len(self.fixed) - 1)

    def noise(self) -> list[Tensor]:
        return self.fixed[: self.layers]

    def draw(self, styles: Tensor, noise: list[Tensor]) -> Tensor:
        return self.synthesis(styles, [*noise, *self.fixed[self.layers :]])
