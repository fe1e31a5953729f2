"""occface: progressive face hallucination from occluded thumbnails, as a toolkit."""

from __future__ import annotations

__version__ = "0.1.0"
