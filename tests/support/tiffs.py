"""TIFF files of any layout, written byte by byte: what the libraries at hand do not write."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field

import numpy as np

UNSIGNED, SIGNED, FLOAT = 1, 2, 3
_LETTERS = {UNSIGNED: "u", SIGNED: "i", FLOAT: "f"}
_TYPES = {3: "H", 4: "I", 7: "s", 16: "Q"}


@dataclass(frozen=True)
class Stored:
    """How the values are stored. rows: of a strip, 0 for one strip; tile: (columns, rows); pages: the same image so many times;
    more: further tags, {number: (type, values)}."""

    bits: int
    kind: int = UNSIGNED
    photometric: int = 1
    order: str = "<"
    deflate: bool = False
    extra: int = -1
    rows: int = 0
    tile: tuple[int, int] | None = None
    planar: bool = False
    predictor: int = 1
    big: bool = False
    pages: int = 1
    more: dict[int, tuple[int, tuple[int, ...]]] = field(default_factory=dict)


def packed(values: np.ndarray, bits: int, order: str, kind: int) -> bytes:
    """(H, n) numbers as rows of `bits` each, filled up to whole bytes."""
    if kind == FLOAT or bits in (8, 16, 32, 64):
        return values.astype(f"{order}{_LETTERS[kind]}{bits // 8}").tobytes()
    rows = []
    for row in values.astype(np.int64):
        text = "".join(f"{int(v) & ((1 << bits) - 1):0{bits}b}" for v in row)
        text += "0" * (-len(text) % 8)
        rows.append(int(text, 2).to_bytes(len(text) // 8, "big"))
    return b"".join(rows)


def tiff(values: np.ndarray, stored: Stored) -> bytes:
    """values: (H, W, samples)."""
    blocks = [_block(block, stored) for block in _blocks(values, stored)]
    size = 16 if stored.big else 8
    data = b"".join(blocks)
    places = [size + sum(map(len, blocks[:i])) for i in range(len(blocks))]
    data += b"\0" * (len(data) % 2)
    head = {"<": b"II", ">": b"MM"}[stored.order]
    first = size + len(data)
    if stored.big:
        head += struct.pack(f"{stored.order}HHHQ", 43, 8, 0, first)
    else:
        head += struct.pack(f"{stored.order}HI", 42, first)
    whole = head + data
    for page in range(stored.pages):
        whole += _directory(_tags(values, stored, places, list(map(len, blocks))), stored, len(whole), page + 1 == stored.pages)
    return whole


def _blocks(values: np.ndarray, stored: Stored) -> list[np.ndarray]:
    height, width, samples = values.shape
    planes = [values[:, :, i : i + 1] for i in range(samples)] if stored.planar else [values]
    if stored.tile is None:
        rows = stored.rows or height
        return [plane[top : top + rows] for plane in planes for top in range(0, height, rows)]
    columns, rows = stored.tile
    found = []
    for plane in planes:
        filled = np.pad(plane, ((0, -height % rows), (0, -width % columns), (0, 0)), mode="edge")
        for top in range(0, height, rows):
            found += [filled[top : top + rows, left : left + columns] for left in range(0, width, columns)]
    return found


def _block(values: np.ndarray, stored: Stored) -> bytes:
    rows, columns, samples = values.shape
    if stored.predictor == 2:
        whole = values.astype(f"{_LETTERS[stored.kind]}{stored.bits // 8}").view(f"u{stored.bits // 8}")
        before = np.pad(whole, ((0, 0), (1, 0), (0, 0)))[:, :columns]
        data = (whole - before).astype(f"{stored.order}u{stored.bits // 8}").tobytes()
    elif stored.predictor == 3:
        size = stored.bits // 8
        high_first = np.frombuffer(values.astype(f">f{size}").tobytes(), np.uint8).reshape(rows, columns * samples, size)
        each = high_first.transpose(0, 2, 1).reshape(rows, -1, samples)
        data = (each - np.pad(each, ((0, 0), (1, 0), (0, 0)))[:, : each.shape[1]]).astype(np.uint8).tobytes()
    else:
        data = packed(values.reshape(rows, -1), stored.bits, stored.order, stored.kind)
    return zlib.compress(data) if stored.deflate else data


def _tags(values: np.ndarray, stored: Stored, places: list[int], lengths: list[int]) -> dict[int, tuple[int, tuple[int, ...]]]:
    height, width, samples = values.shape
    wide = 16 if stored.big else 4
    tags = {256: (4, (width,)), 257: (4, (height,)), 258: (3, (stored.bits,) * samples), 259: (3, (8 if stored.deflate else 1,))}
    tags |= {262: (3, (stored.photometric,)), 277: (3, (samples,)), 339: (3, (stored.kind,) * samples)}
    if stored.tile:
        tags |= {322: (4, stored.tile[:1]), 323: (4, stored.tile[1:]), 324: (wide, tuple(places)), 325: (wide, tuple(lengths))}
    else:
        tags |= {278: (4, (stored.rows or height,)), 273: (wide, tuple(places)), 279: (wide, tuple(lengths))}
    tags |= {284: (3, (2,))} if stored.planar else {}
    tags |= {317: (3, (stored.predictor,))} if stored.predictor > 1 else {}
    tags |= {338: (3, (stored.extra,))} if stored.extra >= 0 else {}
    return tags | stored.more


def _directory(tags: dict[int, tuple[int, tuple[int, ...]]], stored: Stored, start: int, last: bool) -> bytes:
    order, number = stored.order, "Q" if stored.big else "I"
    size = struct.calcsize("=" + number)
    head = struct.pack(order + ("Q" if stored.big else "H"), len(tags))
    after = start + len(head) + len(tags) * (4 + 2 * size) + size
    entries, behind = b"", b""
    for tag, (kind, values) in sorted(tags.items()):
        data = bytes(values) if kind == 7 else struct.pack(f"{order}{len(values)}{_TYPES[kind]}", *values)
        entries += struct.pack(f"{order}HH{number}", tag, kind, len(values))
        if len(data) > size:
            entries += struct.pack(order + number, after + len(behind))
            behind += data + b"\0" * (len(data) % 2)
        else:
            entries += data.ljust(size, b"\0")
    return head + entries + struct.pack(order + number, 0 if last else after + len(behind)) + behind
