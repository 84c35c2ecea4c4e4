"""Checks of single values, and their messages."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

import numpy as np

from soda.common.errors import InputError


def whole_number(name: str, value: Any, least: int, most: float = math.inf) -> int:
    """`value` as an int. Raises ValueError, naming it, for what is no whole number from `least` to `most`."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not least <= value <= most:
        bounds = f"from {least} up" if most == math.inf else f"from {least} to {most}"
        raise InputError(f"{name}: {value!r} is not possible; it must be a whole number {bounds}")
    return int(value)


def one_of(name: str, value: Any, choices: Collection[Any]) -> None:
    """Raises InputError, naming it, for a value that is none of `choices`."""
    if value not in choices:
        raise InputError(f"{name}: {value!r} is not possible; it must be one of {', '.join(map(str, choices))}")


def cosine(name: str, value: float) -> None:
    """Raises InputError, naming it, for a value outside -1 .. 1."""
    if not -1 <= value <= 1:
        raise InputError(f"{name}: {value!r} is not possible; it must be a cosine, -1 to 1")
