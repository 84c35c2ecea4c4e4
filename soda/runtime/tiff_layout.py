"""How the first image of a TIFF is stored, by its tags (TIFF 6.0; BigTIFF for files above 4 GB)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, BinaryIO

from PIL import TiffImagePlugin

from soda.runtime.spliced import Piece, Spliced

SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
UNSIGNED, SIGNED, FLOAT = 1, 2, 3
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, CMYK = 0, 1, 2, 5
COLOURS = {WHITE_IS_ZERO: 1, BLACK_IS_ZERO: 1, RGB: 3, CMYK: 4}
ORIENTATION, _ICC = 274, 34675
# Those by which a picture looks as it does: size, depth, colours, compression, palette, strips, tiles, tables of JPEG, profile.
_OF_THE_PICTURE = (
    *(256, 257, 258, 259, 262, 266, 273, ORIENTATION, 277, 278, 279, 284, 292, 293, 317, 320, 322, 323, 324, 325, 332, 338, 339),
    *(347, 529, 530, 531, 532, _ICC),
)
Values = tuple[int, ...] | bytes | list[tuple[int, int]]
"""Of a tag: whole numbers, bytes, or rational numbers."""


@dataclass(frozen=True)
class Layout:
    """How an image is stored. box: (columns, rows) of a strip or tile; samples: of a pixel; tops: what is full in each of them;
    several: there are more images behind it; tags: Pillow's directory."""

    width: int
    height: int
    bits: int
    samples: int
    kind: int
    photometric: int
    extra: tuple[int, ...]
    tops: tuple[int, ...]
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
    several: bool
    tags: Any

    @property
    def is_pillows(self) -> bool:
        """Whether Pillow gives its values unaltered, or is the one to say that it does not know it."""
        if self.kind == UNSIGNED and self.bits in (1, 2, 4, 8):
            return True
        if self.kind == UNSIGNED and self.bits == 16:
            known = self.photometric != WHITE_IS_ZERO and not self.extra and not self.planar and self.tops[0] == 65535
            return (known and not self.is_translated) or self.photometric not in COLOURS
        wide = (self.kind, self.bits) in ((SIGNED, 16), (SIGNED, 32), (FLOAT, 32))
        unaltered = self.order == "<" or self.compression == 1  # else Pillow turns the bytes that libtiff has turned already
        alike = unaltered and not self.is_translated
        return wide and alike and self.samples == 1 and self.photometric == BLACK_IS_ZERO

    @property
    def is_translated(self) -> bool:
        """Pillow knows no BigTIFF with the highest byte first: it is shown its directory the other way round."""
        return self.big and self.order == ">"

    def __str__(self) -> str:
        kinds = {UNSIGNED: "unsigned", SIGNED: "signed", FLOAT: "floating-point"}
        about = f"photometric interpretation {self.photometric}, compression {self.compression}"
        return f"{self.samples} x {self.bits} bits, {kinds.get(self.kind, f'sample format {self.kind}')}, {about}"


def layout_of(file: BinaryIO) -> Layout | None:
    """None for a file whose tags do not make sense: Pillow will say so."""
    try:
        file.seek(0)
        head = file.read(8)
        big = 43 in head[2:4]
        head += file.read(8) if big else b""
        # With the order apart, Pillow takes the head of either.
        tags: Any = TiffImagePlugin.ImageFileDirectory_v2((b"II+\0" if big else b"II*\0") + head[4:], prefix=head[:2])
        first = tags.next
        file.seek(first)
        tags.load(file)
        return _layout(tags, "<" if head[:2] == b"II" else ">", big, tags.next not in (0, first))
    except Exception:  # damaged in one of a hundred ways
        return None


def _layout(tags: Any, order: str, big: bool, several: bool) -> Layout | None:
    def numbers(tag: int) -> tuple[int, ...]:
        found = tags.get(tag, ())
        return tuple(found) if isinstance(found, tuple) else (found,)

    width, height, samples = int(tags[256]), int(tags[257]), int(tags.get(277, 1))
    bits, kinds, tiled = set(numbers(258)) or {1}, set(numbers(339)) or {UNSIGNED}, 324 in tags
    if len(bits) > 1 or len(kinds) > 1 or min(width, height, samples) < 1:
        return None
    (depth,), (kind,) = bits, kinds
    return Layout(
        width=width,
        height=height,
        bits=depth,
        samples=samples,
        kind=UNSIGNED if kind == 4 else kind,  # 4: nobody said what
        photometric=int(tags.get(262, 1)),
        extra=numbers(338),
        tops=_tops(numbers(281), depth, samples),
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
        orientation=int(tags.get(ORIENTATION, 1)),
        icc=tags.get(_ICC),
        several=several,
        tags=tags,
    )


def _tops(greatest: tuple[int, ...], bits: int, samples: int) -> tuple[int, ...]:
    """What is full in each sample. MaxSampleValue is for statistics (TIFF 6.0), but cameras of 10, 12 and 14 bits that fill 16
    say their depth with it: it counts where it is all ones, of more than 8 bits and of fewer than there are."""
    if len(greatest) not in (1, samples):
        greatest = (0,)
    depths = [int(each).bit_length() if int(each) & (int(each) + 1) == 0 else 0 for each in greatest]
    tops = tuple((1 << (depth if 8 < depth < bits <= 16 else bits)) - 1 for depth in depths)
    return tops if len(tops) == samples else tops * samples


def for_pillow(file: BinaryIO, layout: Layout) -> BinaryIO:
    """The file as Pillow can open it."""
    if not layout.is_translated:
        return file
    kept: dict[int, Values] = {}
    for tag in _OF_THE_PICTURE:
        found = layout.tags.get(tag)
        if isinstance(found, bytes):
            kept[tag] = found
        elif found is not None and not isinstance(found, str):
            each = found if isinstance(found, tuple) else (found,)
            whole = all(isinstance(value, int) for value in each)
            kept[tag] = tuple(each) if whole else [(int(value.numerator), int(value.denominator)) for value in each]
    return with_directory(file, kept, layout.big)


def with_directory(file: BinaryIO, tags: dict[int, Values], big: bool) -> BinaryIO:
    """The file with another directory, which stands at its end: the places of strips and tiles stay. The lowest byte first."""
    length = file.seek(0, 2)
    number, size, head = ("Q", 8, 16) if big else ("I", 4, 8)
    start = length + length % 2
    entries, behind = b"", b""
    after = start + (8 if big else 2) + len(tags) * (20 if big else 12) + size
    for tag, values in sorted(tags.items()):
        if isinstance(values, bytes):
            kind, data = 7, values
        elif isinstance(values, list):
            kind, data = 5, b"".join(struct.pack("<2I", *each) for each in values)
        else:
            kind, data = (16 if big else 4), struct.pack(f"<{len(values)}{number}", *values)
        entries += struct.pack(f"<HH{number}", tag, kind, len(values))
        if len(data) > size:
            entries += struct.pack("<" + number, after + len(behind))
            behind += data + b"\0" * (len(data) % 2)
        else:
            entries += data.ljust(size, b"\0")
    magic = b"II" + (struct.pack("<HHHQ", 43, 8, 0, start) if big else struct.pack("<HI", 42, start))
    count = struct.pack("<Q" if big else "<H", len(tags))
    pieces: list[Piece] = [magic, (head, length - head), b"\0" * (length % 2) + count + entries + bytes(size) + behind]
    return Spliced(file, pieces)  # type: ignore[return-value]
