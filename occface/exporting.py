"""Trained methods for other runtimes: ONNX and TorchScript files that need no occface."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from occface import files
from occface.errors import OccfaceError, UsageError, first_line
from occface.locking import working_alone
from occface.methods.base import TrainableMethod
from occface.methods.weights import LoadedMethod, load_method
from occface.registry import did_you_mean

__all__ = ["FORMATS", "Exportable", "Exported", "export"]

#: The inputs of each role, beside what a method says that it needs.
_INPUTS = {"sr": ("lr",), "inpaint": ("image", "mask"), "joint": ("lr",)}
_NEEDS = {"landmarks": "landmarks_lr", "true landmarks": "landmarks", "mask": "mask"}

_SHAPES: dict[str, tuple[int, ...]] = {
    "lr": (3, 16, 16),
    "image": (3, 128, 128),
    "mask": (1, 128, 128),
    "landmarks_lr": (68, 2),
    "landmarks": (68, 2),
}

#: The number of faces in the example by which a network is traced: not 1, which tracing might take for fixed.
_EXAMPLE = 2

#: How far pictures in [-1, 1] may differ after exporting.
_EXACT = 1e-3


class _Traceable(TorchFunctionMode):
    """Says to tracers what they cannot say otherwise, with the same numbers.

    What seeded generators draw is kept, and given again: a tracer would write down that random numbers are drawn, but not by
    which generator. GFC fills holes with the same noise every time, so the noise itself belongs in the file.
    """

    def __init__(self) -> None:
        super().__init__()
        self.drawn: list[Tensor] = []
        self.place: int | None = None  # where in `drawn` it is, once all is drawn

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Return what a call returns; of one that draws by a generator, what it drew the first time."""
        kwargs = kwargs or {}
        if func not in {torch.rand, torch.randn} or kwargs.get("generator") is None:
            return func(*args, **kwargs)
        if self.place is None:
            self.drawn.append(func(*args, **kwargs))
            return self.drawn[-1]
        self.place += 1
        return self.drawn[self.place - 1]

    @contextlib.contextmanager
    def again(self) -> Iterator[None]:
        """Give what was drawn again, from the first on."""
        self.place = 0
        with self:
            yield


class Exportable(nn.Module):
    """A trained method as a function of tensors.

    Parameters
    ----------
    method : TrainableMethod
        A method that makes faces: of role "sr", "inpaint" or "joint".

    Attributes
    ----------
    inputs : tuple of str
        What it takes, in order: ``lr`` (B,3,16,16) or ``image`` (B,3,128,128) in [-1,1], ``mask`` (B,1,128,128), 1 where
        hidden, ``landmarks_lr`` (B,68,2) in pixels of the 128 crop; all float32.
    outputs : tuple of str
        What it gives: ``result`` (B,3,128,128) in [-1,1], behind ``stage_1`` and so on for a progressive method.

    Raises
    ------
    UsageError
        If the method makes no faces.
    """

    def __init__(self, method: TrainableMethod) -> None:
        super().__init__()
        if method.role not in _INPUTS:
            raise UsageError(f"'{method.name}' makes no faces, its role is {method.role}: only methods that do are exported")
        self.method = method.eval()
        needed = (_NEEDS[need] for need in sorted(method.needs))
        self.inputs = tuple(dict.fromkeys((*_INPUTS[method.role], *needed)))
        self._traceable, example = _Traceable(), self.example()
        with torch.no_grad(), self._traceable:
            count = len(self._pictures(*example))
        self.outputs = (*(f"stage_{number}" for number in range(1, count)), "result")

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Return the pictures of the method, the whole face last."""
        with self._traceable.again():
            return self._pictures(*inputs)

    def _pictures(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        batch = dict(zip(self.inputs, inputs, strict=True))
        if self.method.progressive:
            return tuple(self.method.results(batch).values())
        return (self.method.hallucinate(batch),)

    def example(self, count: int = _EXAMPLE, seed: int = 0) -> tuple[Tensor, ...]:
        """Return inputs of random numbers in their ranges."""
        generator = torch.Generator().manual_seed(seed)
        made = []
        for name in self.inputs:
            values = torch.rand(count, *_SHAPES[name], generator=generator)
            scale, shift = (100.0, 14.0) if name.startswith("landmarks") else (1.0, 0.0) if name == "mask" else (2.0, -1.0)
            values = values * scale + shift
            made.append(values.round() if name == "mask" else values)
        return tuple(made)


def _write_onnx(network: Exportable, path: Path) -> None:
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise UsageError("export to ONNX needs onnx and onnxscript: run `pip install occface[export]`") from error
    batch = torch.export.Dim.DYNAMIC
    with _only_errors("torch.onnx"):
        torch.onnx.export(
            network,
            network.example(),
            str(path),
            input_names=list(network.inputs),
            output_names=list(network.outputs),
            dynamic_shapes=(tuple({0: batch} for _ in network.inputs),),
            dynamo=True,
            external_data=False,
            verbose=False,
        )


def _write_torchscript(network: Exportable, path: Path) -> None:
    traced = torch.jit.freeze(torch.jit.trace(network, network.example(), check_trace=False).eval())
    inputs = network.example(seed=1)
    with torch.no_grad():
        same = all(torch.allclose(*pair, atol=_EXACT, rtol=0) for pair in zip(network(*inputs), traced(*inputs), strict=True))
    if not same:  # a trace knows nothing of chance, nor of branches that depend on values
        raise OccfaceError(f"'{network.method.name}' draws other pictures as TorchScript: it holds what a trace cannot say")
    torch.jit.save(traced, str(path))


#: The formats, and what writes them.
FORMATS: dict[str, Callable[[Exportable, Path], None]] = {"onnx": _write_onnx, "torchscript": _write_torchscript}


@dataclass(frozen=True)
class Exported:
    """What was exported: the file, its format, and the names of inputs and outputs."""

    path: Path
    format: str
    method: str
    inputs: dict[str, list[Any]]
    outputs: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        said = {"file": str(self.path), "bytes": self.path.stat().st_size, "sha256": files.sha256_file(self.path)}
        return {**said, "format": self.format, "method": self.method, "inputs": self.inputs, "outputs": list(self.outputs)}

    def text(self) -> str:
        """Return the same for people."""
        takes = ", ".join(f"{name} ({', '.join(map(str, shape))})" for name, shape in self.inputs.items())
        size = f"{self.path}: {self.method} as {self.format}, {self.path.stat().st_size} bytes"
        return f"{size}; takes {takes}; gives {', '.join(self.outputs)}"


def export(
    run: str | os.PathLike[str], path: str | os.PathLike[str], form: str = "onnx", *, overwrite: bool = False
) -> Exported:
    """Write a trained method as a file for another runtime.

    Parameters
    ----------
    run : path
        A run folder, or a ``.safetensors`` file with its card.
    path : path
        The file to make.
    form : {"onnx", "torchscript"}
        The format.
    overwrite : bool
        Whether a file that is there is replaced.

    Raises
    ------
    UsageError
        If the format is unknown, there are no weights, the method makes no faces, a package is missing, or the file is there.
    OccfaceError
        If the method holds what the format cannot say, or the file cannot be written.
    """
    if form not in FORMATS:
        raise UsageError(f"unknown format '{form}': {did_you_mean(form, FORMATS)}")
    target = Path(path)
    if target.exists() and not overwrite:
        raise UsageError(f"{target} exists already: name another file, or replace it by --overwrite")
    loaded = load_method(run)
    network = _network(loaded)
    with working_alone(target.parent, target.name), files.atomic_path(target) as temporary:
        try:
            with _quiet():
                FORMATS[form](network, temporary)
        except (OccfaceError, OSError):
            raise
        except Exception as error:  # whatever a tracer meets in a method
            raise OccfaceError(f"'{loaded.name}' cannot be exported as {form}: {first_line(_root(error))}") from error
    shapes: dict[str, list[Any]] = {name: ["batch", *_SHAPES[name]] for name in network.inputs}
    return Exported(target, form, loaded.name, shapes, network.outputs)


def _root(error: BaseException) -> BaseException:
    """Return what an error comes from in the end: tracers wrap it several times, in pages of advice to their developers."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _network(loaded: LoadedMethod) -> Exportable:
    assert isinstance(loaded.method, TrainableMethod)  # only such have weights to load
    loaded.method.load(torch.device("cpu"))
    return Exportable(loaded.method)


@contextlib.contextmanager
def _only_errors(name: str) -> Iterator[None]:
    """Let a logger say nothing but errors for a while; what was set before holds again afterwards."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep tracers' remarks on shapes and on their own future from users."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
