"""How values of every kind are written on the report's page. Escaping is the template's."""

from __future__ import annotations

import json
from typing import Any

from soda.evaluation.registry import number

MAX_TEXT = 240  # characters of one value


def size(count: float) -> str:
    """Bytes as kB or MB (powers of ten)."""
    if count >= 1e6:
        return f"{count / 1e6:.1f} MB"
    return f"{count / 1e3:.1f} kB" if count >= 1e3 else f"{int(count)} bytes"


def shorten(text: str, length: int = MAX_TEXT) -> str:
    """The text, cut to `length` characters."""
    return text if len(text) <= length else text[: length - 1] + "…"


def plain(value: Any) -> str:
    """Any JSON value in a line: numbers by `number`, lists of numbers longer than a line by count and range."""
    if value is None:
        return "none"
    if isinstance(value, (bool, int, float)):
        return number(value)
    if isinstance(value, str):
        return shorten(value)
    if isinstance(value, list):
        numeric = bool(value) and all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in value)
        if numeric and len(value) > 8:
            return f"{len(value):,} numbers from {number(min(value))} to {number(max(value))}"
        return shorten(", ".join(plain(v) for v in value) or "none")
    if isinstance(value, dict) and all(not isinstance(v, (dict, list)) for v in value.values()):
        return shorten(", ".join(f"{key}: {plain(v)}" for key, v in value.items()) or "none")
    return shorten(json.dumps(value, ensure_ascii=False))
