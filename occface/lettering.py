"""Text in pictures: a font with letters for most of the world's names, and text cut to a width."""

from __future__ import annotations

from pathlib import Path

from PIL import ImageFont

__all__ = ["cut", "font"]


def font(size: int) -> ImageFont.FreeTypeFont:
    """Return DejaVu Sans, which comes with matplotlib, in a size in pixels."""
    import matplotlib

    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), size)


def cut(text: str, typeface: ImageFont.FreeTypeFont, width: int) -> str:
    """Return a text, shortened in the end if it is wider than so many pixels.

    Examples
    --------
    >>> cut("a face of nobody", font(12), 50)
    'a face…'
    """
    if typeface.getlength(text) <= width:
        return text
    while text and typeface.getlength(f"{text}…") > width:
        text = text[:-1]
    return f"{text}…"
