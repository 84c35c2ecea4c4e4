"""TIFF files that Pillow does not know or takes wrong: 10, 12 and 14 bits, floats, signed and 64-bit values, white as zero.

Their strips or tiles are unpacked by Pillow all the same (any compression that libtiff has): it is shown the file as one of 8-bit
grey values, each a byte of the real ones, which NumPy then puts together. (TIFF 6.0; its Technical Note 3 for predictor 3.)
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, TiffImagePlugin

from soda.runtime.greys import range_of, to_8_bit
from soda.runtime.picture_error import PictureError
from soda.runtime.spliced import Piece, Spliced

SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_UNSIGNED, _SIGNED, _FLOAT = 1, 2, 3
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _CMYK = 0, 1, 2, 5
_COLOURS = {_WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _RGB: 3, _CMYK: 4}
_PACKED = (1, 5, 8, 32773, 32946, 34925, 50000)  # not at all, LZW, deflate, PackBits, deflate, LZMA, Zstandard
_ORIENTATION, _ICC = 274, 34675


@dataclass(frozen=True)
class Layout:
    """How the first image of a file is stored. box: (columns, rows) of a strip or tile; samples: of a pixel."""

    width: int
    height: int
    bits: int
    samples: int
    kind: int
    photometric: int
    extra: tuple[int, ...]
    planar: bool
    compression: int
    predictor: int
    fill: int
    box: tuple[int, int]
    tiled: bool
    offsets: tuple[int, ...]
    counts: tuple[int, ...]
    order: str
    big: bool
    orientation: int
    icc: bytes | None

    @property
    def is_pillows(self) -> bool:
        """Whether Pillow gives its values unaltered, or is the one to say that it does not know it."""
        if self.kind == _UNSIGNED and self.bits in (1, 2, 4, 8):
            return True
        if self.kind == _UNSIGNED and self.bits == 16:
            known = self.photometric != _WHITE_IS_ZERO and not self.extra and not self.planar
            return known or self.photometric not in _COLOURS
        wide = (self.kind, self.bits) in ((_SIGNED, 16), (_SIGNED, 32), (_FLOAT, 32))
        unaltered = self.order == "<" or self.compression == 1  # else Pillow turns the bytes that libtiff has turned already
        return wide and unaltered and self.samples == 1 and self.photometric == _BLACK_IS_ZERO

    def __str__(self) -> str:
        kinds = {_UNSIGNED: "unsigned", _SIGNED: "signed", _FLOAT: "floating-point"}
        about = f"photometric interpretation {self.photometric}, compression {self.compression}"
        return f"{self.samples} x {self.bits} bits, {kinds.get(self.kind, f'sample format {self.kind}')}, {about}"


def layout_of(file: BinaryIO) -> Layout | None:
    """None for a file whose tags do not make sense: Pillow will say so."""
    try:
        file.seek(0)
        head = file.read(8)
        big = 43 in head[2:4]
        head += file.read(8) if big else b""
        tags: Any = TiffImagePlugin.ImageFileDirectory_v2(head)
        file.seek(tags.next)
        tags.load(file)
        return _layout(tags, "<" if head[:2] == b"II" else ">", big)
    except Exception:  # damaged in one of a hundred ways
        return None


def _layout(tags: Any, order: str, big: bool) -> Layout | None:
    def numbers(tag: int) -> tuple[int, ...]:
        found = tags.get(tag, ())
        return tuple(found) if isinstance(found, tuple) else (found,)

    width, height, samples = int(tags[256]), int(tags[257]), int(tags.get(277, 1))
    bits, kinds, tiled = set(numbers(258)) or {1}, set(numbers(339)) or {_UNSIGNED}, 324 in tags
    if len(bits) > 1 or len(kinds) > 1 or min(width, height, samples) < 1:
        return None
    (depth,), (kind,) = bits, kinds
    return Layout(
        width=width,
        height=height,
        bits=depth,
        samples=samples,
        kind=_UNSIGNED if kind == 4 else kind,  # 4: nobody said what
        photometric=int(tags.get(262, 1)),
        extra=numbers(338),
        planar=tags.get(284, 1) == 2 and samples > 1,
        compression=int(tags.get(259, 1)),
        predictor=int(tags.get(317, 1)),
        fill=int(tags.get(266, 1)),
        box=(int(tags[322]), int(tags[323])) if tiled else (width, min(height, int(tags.get(278, height)))),
        tiled=tiled,
        offsets=numbers(324 if tiled else 273),
        counts=numbers(325 if tiled else 279),
        order=order,
        big=big,
        orientation=int(tags.get(_ORIENTATION, 1)),
        icc=tags.get(_ICC),
    )


def read_tiff(file: BinaryIO, layout: Layout) -> Image.Image:
    """The first image, of 8 bits: L, LA, RGB, RGBA or CMYK. Raises PictureError for what cannot be read here either."""
    colours = _COLOURS.get(layout.photometric, 0)
    readable = layout.bits in (16, 32, 64) if layout.kind == _FLOAT else 1 <= layout.bits <= 64
    undone = layout.predictor == 1 or (layout.predictor in (2, 3) and layout.bits in (8, 16, 32, 64))
    known = layout.kind in (_UNSIGNED, _SIGNED, _FLOAT) and layout.compression in _PACKED
    if not (readable and undone and known and 0 < colours <= layout.samples) or (layout.bits > 32 and layout.bits != 64):
        raise PictureError(f"a TIFF that is not read here: {layout}")
    planes = layout.samples if layout.planar else 1
    each = len(layout.offsets) // planes
    parts = [_plane(file, layout, slice(i * each, (i + 1) * each), layout.samples // planes) for i in range(planes)]
    values = np.concatenate(parts, axis=2) if planes > 1 else parts[0]
    image = _image(values, colours, layout)
    if layout.icc:
        image.info["icc_profile"] = layout.icc
    if layout.orientation != 1:
        image.getexif()[_ORIENTATION] = layout.orientation
    return image


def _image(values: np.ndarray, colours: int, layout: Layout) -> Image.Image:
    """values: (H, W, samples), colours first."""
    seen = values[:, :, :colours]
    full = layout.kind == _UNSIGNED and layout.bits <= 16
    shown = to_8_bit(seen, *((0.0, float((1 << layout.bits) - 1)) if full else range_of(seen)))
    if layout.photometric == _WHITE_IS_ZERO:
        shown = 255 - shown
    if colours < layout.samples and layout.extra[:1] in ((1,), (2,)) and colours != 4:
        alpha = values[:, :, colours : colours + 1]
        # Of wide values nobody knows which is opaque: the greatest that is there.
        top = 1.0 if layout.kind == _FLOAT else float((1 << layout.bits) - 1 if full else alpha.max())
        shown = np.concatenate([shown, to_8_bit(alpha, 0.0, top)], axis=2)
        image = Image.fromarray(shown, "LA" if colours == 1 else "RGBA")
        if layout.extra[0] == 1:  # colours multiplied by it already
            return Image.frombytes(image.mode[:-1] + "a", image.size, image.tobytes()).convert(image.mode)
        return image
    if colours == 1:
        return Image.fromarray(np.ascontiguousarray(shown[:, :, 0]))
    return Image.frombytes({3: "RGB", 4: "CMYK"}[colours], (layout.width, layout.height), np.ascontiguousarray(shown).tobytes())


def _plane(file: BinaryIO, layout: Layout, strips: slice, samples: int) -> np.ndarray:
    """The values of some strips or tiles of a picture's height: (H, W, samples)."""
    columns, _ = layout.box
    across = -(-layout.width // columns)
    row = -(-columns * samples * layout.bits // 8)  # bytes
    raw = _bytes(file, layout, strips, across * row).reshape(layout.height * across, row)
    values = _values(raw, layout, columns, samples)
    return values.reshape(layout.height, across * columns, samples)[:, : layout.width]


def _bytes(file: BinaryIO, layout: Layout, strips: slice, width: int) -> np.ndarray:
    """(H, width) uint8: what the strips or tiles hold, unpacked."""
    rows = layout.box[1]
    tags: dict[int, tuple[int, ...]] = {
        256: (width,), 257: (layout.height,), 258: (8,), 259: (layout.compression,), 262: (1,), 266: (layout.fill,), 277: (1,)
    }  # fmt: skip
    offsets, counts = layout.offsets[strips], layout.counts[strips]
    if layout.tiled:
        tags |= {322: (width // -(-layout.width // layout.box[0]),), 323: (rows,), 324: offsets, 325: counts}
    else:
        tags |= {273: offsets, 278: (rows,), 279: counts}
    file.seek(0, 2)
    image = TiffImagePlugin.TiffImageFile(Spliced(file, _with_tags(tags, file.tell(), layout)))  # type: ignore[arg-type]
    image.load()
    return np.asarray(image)


def _with_tags(tags: dict[int, tuple[int, ...]], length: int, layout: Layout) -> list[Piece]:
    """A file of `length` bytes with another directory, which stands at its end."""
    number, size, head = ("Q", 8, 16) if layout.big else ("I", 4, 8)
    start = length + length % 2
    entries, behind = b"", b""
    after = start + (8 if layout.big else 2) + len(tags) * (20 if layout.big else 12) + size
    for tag, values in sorted(tags.items()):
        data = struct.pack(f"{layout.order}{len(values)}{number}", *values)
        entries += struct.pack(f"{layout.order}HH{number}", tag, 16 if layout.big else 4, len(values))
        if len(values) > 1:
            entries += struct.pack(layout.order + number, after + len(behind))
            behind += data
        else:
            entries += data
    first = {"<": b"II", ">": b"MM"}[layout.order]
    magic = struct.pack(f"{layout.order}HHHQ", 43, 8, 0, start) if layout.big else struct.pack(f"{layout.order}HI", 42, start)
    count = struct.pack(layout.order + ("Q" if layout.big else "H"), len(tags))
    return [first + magic, (head, length - head), b"\0" * (length % 2) + count + entries + bytes(size) + behind]


def _values(raw: np.ndarray, layout: Layout, columns: int, samples: int) -> np.ndarray:
    """(rows, bytes) uint8 -> (rows, columns, samples) of the numbers that they are, predictors undone."""
    bits, rows = layout.bits, len(raw)
    if bits not in (8, 16, 32, 64):
        return _of_odd_bits(raw, bits, columns * samples, layout.kind).reshape(rows, columns, samples)
    of_kind = {_UNSIGNED: "u", _SIGNED: "i", _FLOAT: "f"}[layout.kind] + str(bits // 8)
    if layout.predictor == 3:
        summed = np.cumsum(raw.reshape(rows, -1, samples), axis=1, dtype=np.uint8)
        parts = summed.reshape(rows, bits // 8, columns * samples)  # all the high bytes first
        return np.ascontiguousarray(parts.transpose(0, 2, 1)).view(f">{of_kind}").reshape(rows, columns, samples)
    whole = np.ascontiguousarray(raw).view(f"{layout.order}u{bits // 8}").reshape(rows, columns, samples)
    if layout.predictor == 2:
        whole = np.cumsum(whole, axis=1, dtype=f"u{bits // 8}")
        return whole.view(of_kind)
    return whole.view(layout.order + of_kind)


def _of_odd_bits(raw: np.ndarray, bits: int, count: int, kind: int) -> np.ndarray:
    """Numbers of any width, the highest bit first, rows filled up to whole bytes: (rows, count)."""
    out = np.zeros((len(raw), count), np.uint32)
    step = max(1, (1 << 20) // max(1, raw.shape[1]))  # as bits, a block of rows takes eight times its bytes
    for start in range(0, len(raw), step):
        each = np.unpackbits(raw[start : start + step], axis=1)[:, : count * bits].reshape(-1, count, bits)
        for place in range(bits):
            out[start : start + step] = (out[start : start + step] << np.uint32(1)) | each[:, :, place]
    if kind == _SIGNED:
        return out.astype(np.int64) - ((out >> np.uint32(bits - 1)).astype(np.int64) << bits)
    return out
