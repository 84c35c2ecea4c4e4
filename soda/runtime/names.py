"""File names as text that can be shown: they may hold bytes that are no Unicode, line ends, and what drives a terminal."""

from __future__ import annotations

import unicodedata


def printable(name: str) -> str:
    """A file name as valid Unicode: bytes that are none appear as \\xNN."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def one_line(name: str) -> str:
    """A file name that neither ends a line nor begins a column: `printable`, and controls as Python writes them."""
    return "".join(repr(c)[1:-1] if unicodedata.category(c) in ("Cc", "Zl", "Zp") else c for c in printable(name))
