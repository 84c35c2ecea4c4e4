"""Checks of single settings, and the error that names what is wrong."""

from __future__ import annotations

import math

from soda.common.errors import SodaError


class ConfigError(SodaError, ValueError):
    """A setting that is unknown, missing or impossible; the message names its key and its value."""


def check(ok: bool, key: str, value: object, wants: str) -> None:
    if not ok:
        raise ConfigError(f"{key}: {value!r} is not possible; it wants {wants}")


def one_of(key: str, value: object, choices: tuple[object, ...]) -> None:
    check(value in choices, key, value, "one of " + ", ".join(map(str, choices)))


def share(key: str, value: float) -> None:
    check(0.0 <= value <= 1.0, key, value, "a number from 0 to 1")


def positive(key: str, value: float) -> None:
    check(value > 0 and math.isfinite(value), key, value, "a number above 0")


def not_negative(key: str, value: float) -> None:
    check(value >= 0 and math.isfinite(value), key, value, "0 or more")


def seed(key: str, value: int) -> None:
    check(0 <= value < 2**63, key, value, "a whole number from 0 to 2^63 - 1")
