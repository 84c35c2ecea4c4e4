"""Colour profiles made here, for pictures that name their colours without bringing a profile (ICC.1:2001-04, version 2)."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import lru_cache

ADOBE_RGB = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))
DISPLAY_P3 = ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407))
BT_2020 = ((0.67348, 0.27904, -0.00194), (0.16567, 0.67535, 0.02997), (0.12505, 0.04561, 0.79686))
SRGB = ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410))
"""Red, green and blue as XYZ, adapted from D65 to D50 by Bradford's matrix."""
_WHITE = (0.9642, 1.0, 0.8249)  # D50
_STEPS = 1024  # of a curve
# Of PNG's cICP and its like: the numbers of ITU-T H.273 for primaries; for curves, exponents (None: sRGB's own).
_PRIMARIES = {1: SRGB, 9: BT_2020, 12: DISPLAY_P3}
_CURVES: dict[int, float | None] = {4: 2.2, 8: 1.0, 13: None}


@lru_cache(maxsize=8)
def adobe_rgb() -> bytes:
    """Adobe RGB (1998): its exponent is 563 / 256."""
    return _profile(ADOBE_RGB, struct.pack(">IH", 1, 563))


@lru_cache(maxsize=8)
def of_code_points(primaries: int, transfer: int) -> bytes | None:
    """The profile of two numbers of ITU-T H.273; None for those of video and of high dynamic range, which are not known here."""
    if primaries not in _PRIMARIES or transfer not in _CURVES:
        return None
    exponent = _CURVES[transfer]
    values = [i / (_STEPS - 1) for i in range(_STEPS)]
    levels = [_srgb(value) if exponent is None else value**exponent for value in values]
    return _profile(_PRIMARIES[primaries], struct.pack(f">I{_STEPS}H", _STEPS, *(round(level * 65535) for level in levels)))


def _srgb(value: float) -> float:
    """IEC 61966-2-1."""
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4


def _profile(colours: Sequence[tuple[float, float, float]], curve: bytes) -> bytes:
    """Of a screen: three colours and one curve."""
    about = b"desc" + bytes(4) + struct.pack(">I", 2) + b"a\0" + bytes(78)
    tags = [(b"desc", about), (b"cprt", b"text" + bytes(4) + b"none\0"), (b"wtpt", _xyz(_WHITE))]
    tags += [(letter + b"XYZ", _xyz(each)) for letter, each in zip((b"r", b"g", b"b"), colours, strict=True)]
    tags += [(letter + b"TRC", b"curv" + bytes(4) + curve) for letter in (b"r", b"g", b"b")]
    body, table, place = b"", b"", 132 + 12 * len(tags)
    for name, data in tags:
        data += bytes(-len(data) % 4)
        table += name + struct.pack(">II", place + len(body), len(data))
        body += data
    head = struct.pack(">I4sI4s4s4s", 0, b"none", 0x02400000, b"mntr", b"RGB ", b"XYZ ") + bytes(12) + b"acsp" + bytes(28)
    whole = (head + _xyz(_WHITE)[8:]).ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body
    return struct.pack(">I", len(whole)) + whole[4:]


def _xyz(values: tuple[float, float, float]) -> bytes:
    return b"XYZ " + bytes(4) + b"".join(struct.pack(">i", round(value * 65536)) for value in values)
