"""Pictures whose values are labels: class maps and masks of single parts, read as stored and brought to a photograph's size."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from occface import images
from occface.errors import BadImageError, first_line

__all__ = ["read_labels", "stretch"]


def read_labels(path: Path, max_pixels: int = images.MAX_PIXELS) -> np.ndarray:
    """Read the values of a PNG file as they are stored: of a palette picture the indices, not the colours.

    Parameters
    ----------
    path : Path
        A PNG file, grey, with a palette, or RGB with three equal channels; 8 bits or fewer.
    max_pixels : int
        A picture with more pixels is refused.

    Returns
    -------
    numpy.ndarray
        (height, width) uint8.

    Raises
    ------
    BadImageError
        If it cannot be read, or is of another kind; the message names the file.
    """
    data = images.read_bytes(path)
    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as picture:
            width, height = picture.size
            if width * height > max_pixels:
                raise BadImageError(f"{width}x{height} is more than the {max_pixels / 1e6:.4g} megapixels allowed")
            mode, values = picture.mode, np.asarray(picture)
    except BadImageError as error:
        raise BadImageError(f"the label map {path.name} cannot be used: {error}") from error
    except Exception as error:  # Pillow's decoder raises OSError, SyntaxError, ValueError, struct.error and more
        raise BadImageError(f"the label map {path.name} is damaged ({first_line(error)})") from error
    if mode in ("L", "P", "1"):
        return values.astype(np.uint8)
    if mode in ("LA", "RGB", "RGBA"):
        colours = values[..., : 1 if mode == "LA" else 3]
        if (colours == colours[..., :1]).all():
            return np.ascontiguousarray(colours[..., 0])
    raise BadImageError(f"the label map {path.name} has colours or over 8 bits (mode {mode}): expected one value per pixel")


def stretch(labels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bring a label map to a photograph's size, by the nearest label, pixel centres on pixel centres.

    A pixel covers half a pixel about its centre, so that pixel *i* of *n* lies over pixel ``(i + 1/2) m / n`` of *m*, rounded
    down.

    Parameters
    ----------
    labels : numpy.ndarray
        (h, w) of any type.
    height, width : int
        The photograph's size. Its shape must be the map's, to 1 %.

    Returns
    -------
    numpy.ndarray
        (height, width).

    Raises
    ------
    BadImageError
        If the shapes differ: the map is of another picture.

    Examples
    --------
    >>> stretch(np.array([[1, 2]]), 2, 4)
    array([[1, 1, 2, 2],
           [1, 1, 2, 2]])
    """
    rows, columns = labels.shape
    if (rows, columns) == (height, width):
        return labels
    if abs(rows * width - columns * height) > 0.01 * rows * width:
        raise BadImageError(
            f"the label map is {columns}x{rows} and the photograph {width}x{height}: they are not of the same picture"
        )
    vertical = (2 * np.arange(height) + 1) * rows // (2 * height)
    horizontal = (2 * np.arange(width) + 1) * columns // (2 * width)
    return labels[vertical[:, None], horizontal]
