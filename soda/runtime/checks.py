"""Checks of settings that several parts of the runtime share."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from soda.common.errors import InputError


def whole_number(name: str, value: Any, least: int, most: float = math.inf) -> int:
    """`value` as an int. Raises ValueError, naming it, for what is no whole number from `least` to `most`."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not least <= value <= most:
        bounds = f"from {least} up" if most == math.inf else f"from {least} to {most}"
        raise InputError(f"{name}: {value!r} is not possible; it wants a whole number {bounds}")
    return int(value)
