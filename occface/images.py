"""Pictures in and out: the one reader of photographs, the one writer of PNG files, and the two forms in memory.

At rest a picture is uint8 RGB, height x width x channel; in networks it is float32 in [-1, 1], channel first.
"""

from __future__ import annotations

import errno
import io
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from occface import files
from occface.errors import BadImageError, OccfaceError

if TYPE_CHECKING:
    import torch

__all__ = [
    "MAX_PIXELS",
    "SUFFIXES",
    "Decoded",
    "decode",
    "decode_image",
    "read_bytes",
    "read_image",
    "to_float",
    "to_uint8",
    "write_png",
]

MAX_PIXELS = 100_000_000
"""The largest picture that is decoded unless the caller says otherwise: 100 megapixels, 300 MB in memory."""

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
"""The file name suffixes, in lower case, by which photographs are told from other files."""

# Only these decoders are tried, whatever the suffix says: another of Pillow's starts a PostScript interpreter.
_FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP")
# Why a file cannot be read, where the fault is its own: tried again, it would be the same.
_OF_THE_FILE = {
    errno.ENOENT, errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EINVAL
}  # fmt: skip
_ORIENTATION = 0x0112  # EXIF: how the picture is to be turned for viewing
_lock = threading.Lock()


@dataclass(frozen=True, eq=False)
class Decoded:
    """A decoded photograph, and what its file said.

    Attributes
    ----------
    pixels : numpy.ndarray
        (height, width, 3) uint8 RGB, upright.
    mode : str
        Pillow's name for the file's own colours, such as ``"RGB"``, ``"L"`` or ``"CMYK"``.
    several : bool
        Whether the file holds further pictures, as a TIFF file of several pages does.
    """

    pixels: np.ndarray
    mode: str
    several: bool


def read_image(path: str | os.PathLike[str], max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Read a photograph as uint8 RGB, upright.

    Parameters
    ----------
    path : path
        A JPEG, PNG, BMP, TIFF or WebP file, recognised by its content. Of several pictures in it, the first.
    max_pixels : int
        A picture with more pixels is refused; its header tells, so nothing large is decoded for that.

    Returns
    -------
    numpy.ndarray
        (height, width, 3) uint8, RGB.

    Raises
    ------
    BadImageError
        If it cannot be read, for whatever cause; the message is a reason of one line that does not repeat the path.

    Notes
    -----
    The EXIF orientation is applied. Grey becomes three equal channels; 16 bits are scaled to 8; what is transparent is laid
    on white; CMYK is converted by Pillow's plain formula. Colour profiles are not applied.
    """
    return decode_image(read_bytes(path), max_pixels)


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """Return the bytes of a file.

    Raises
    ------
    BadImageError
        If it cannot be read, for a cause that lies in the file or its name.
    OccfaceError
        If the disk or the network fails: that says nothing of the photograph.
    """
    try:
        return Path(path).read_bytes()
    except OSError as error:
        if error.errno not in _OF_THE_FILE:
            raise OccfaceError(f"reading {path} failed: {error.strerror}; what was made is kept") from error
        raise BadImageError(f"cannot be read: {error.strerror or type(error).__name__}") from error


def decode_image(data: bytes, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Decode the bytes of a photograph: `read_image` for a file that is in memory already.

    Examples
    --------
    >>> decode_image(b"")
    Traceback (most recent call last):
    ...
    occface.errors.BadImageError: the file is empty
    """
    return decode(data, max_pixels).pixels


def decode(data: bytes, max_pixels: int = MAX_PIXELS) -> Decoded:
    """Decode the bytes of a photograph, and say what its file was like.

    Raises
    ------
    BadImageError
        As `read_image` says.
    """
    if not data:
        raise BadImageError("the file is empty")
    with _one_line_reasons(), _without_pillows_limit(), Image.open(io.BytesIO(data), formats=_FORMATS) as image:
        width, height = image.size
        if width * height > max_pixels:
            raise BadImageError(
                f"{width}x{height} is {width * height / 1e6:.4g} megapixels, "
                f"more than the {max_pixels / 1e6:.4g} allowed (--max-pixels)"
            )
        if image.format == "JPEG" and image.mode == "RGB" and image.getexif().get(_ORIENTATION, 1) == 1:
            # The common case, at a quarter of Pillow's time and with the same pixels. Whatever is amiss with the file,
            # Pillow then decides, as for all other files.
            import simplejpeg  # here, for training and benchmarks read no photographs and need not have it

            with suppress(ValueError):
                return Decoded(np.asarray(simplejpeg.decode_jpeg(data, "RGB")), image.mode, several=False)
        mode, several = image.mode, image.format == "TIFF" and _has_a_second_page(data)
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
        return Decoded(_to_rgb(image), mode, several)


def _has_a_second_page(data: bytes) -> bool:
    """Say whether a TIFF file holds a second picture; only that one's header is read, on a handle of its own."""
    with (
        suppress(Exception),
        Image.open(io.BytesIO(data), formats=("TIFF",)) as again,
    ):  # what is amiss there is not the first's
        again.seek(1)
        return True
    return False


@contextmanager
def _one_line_reasons() -> Iterator[None]:
    """Turn whatever a decoder raises into a `BadImageError` with one line."""
    try:
        yield
    except BadImageError:
        raise
    except UnidentifiedImageError as error:
        raise BadImageError(f"not a picture in a known format ({', '.join(_FORMATS)})") from error
    except MemoryError as error:
        raise BadImageError("too large for this machine's memory") from error
    except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, ValueError, struct.error, IndexError and more
        lines = str(error).splitlines()
        detail = lines[0] if lines else type(error).__name__
        word = "truncated" if "truncated" in detail.lower() else "damaged"
        raise BadImageError(f"{word}: the file is broken or not whole ({detail})") from error


@contextmanager
def _without_pillows_limit() -> Iterator[None]:
    """Lift Pillow's own limit on the size of pictures for a while: ours holds in its place, and its message says the size.

    Pillow's is one for the whole process, hence the lock: in one process, one picture is decoded at a time.
    """
    with _lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # remarks on odd metadata, which would go to stderr once per photograph
        before = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before


def _to_rgb(image: Image.Image) -> np.ndarray:
    """Return a decoded picture of any mode as uint8 RGB."""
    # Before Pillow 11, a 16-bit grey PNG came as 32-bit integers.
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG"):
        wide = np.asarray(image).astype(np.uint32)
        grey = ((wide * 255 + 32767) // 65535).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if image.mode in ("I", "F"):
        raise BadImageError(f"pixels of 32 bits (mode {image.mode}) have no agreed range: save it with 8 or 16 bits")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def write_png(path: str | os.PathLike[str], image: np.ndarray) -> None:
    """Write a uint8 picture (height, width, 3) or (height, width) as PNG, atomically; equal pixels give equal bytes."""
    with files.atomic_path(path) as temporary:
        Image.fromarray(image).save(temporary, format="PNG")


def encode_png(image: np.ndarray) -> bytes:
    """Return a uint8 picture (height, width, 3) or (height, width) as the bytes of a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()


def encode_jpeg(image: np.ndarray, quality: int = 95) -> bytes:
    """Return a uint8 picture (height, width, 3) as the bytes of a JPEG file with all its colours: a tenth of a PNG's time."""
    import simplejpeg

    return bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(image), quality=quality, colorspace="RGB", colorsubsampling="444"))


def to_uint8(x: torch.Tensor) -> np.ndarray:
    """Convert what networks give, (..., 3, H, W) in [-1, 1], to pictures, (..., H, W, 3) uint8.

    Values outside are clamped, and halves are rounded to even.
    """
    import torch

    return ((x.detach().to("cpu", torch.float32) + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).movedim(-3, -1).numpy()


def to_float(images: np.ndarray) -> torch.Tensor:
    """Convert pictures, (..., H, W, 3) uint8, to what networks take, (..., 3, H, W) float32 in [-1, 1]."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(images, -1, -3))).to(torch.float32) / 127.5 - 1
