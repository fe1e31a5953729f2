"""Score rows, and what is made of them: tables, figures, the report; and the engine that fills them by a recipe."""

from __future__ import annotations
