"""TIFF files that Pillow does not know or takes wrong: 10, 12 and 14 bits, floats, signed and 64-bit values, white as zero.

Their strips or tiles are unpacked by Pillow all the same (any compression that libtiff has): it is shown the file as one of 8-bit
grey values, each a byte of the real ones, which NumPy then puts together. (TIFF 6.0; its Technical Note 3 for predictor 3.)
"""

from __future__ import annotations

from typing import BinaryIO

import numpy as np
from PIL import Image, TiffImagePlugin

from soda.runtime.greys import range_of, to_8_bit
from soda.runtime.picture_error import PictureError
from soda.runtime.pillows_limit import allowing
from soda.runtime.tiff_layout import COLOURS, FLOAT, ORIENTATION, SIGNED, UNSIGNED, WHITE_IS_ZERO, Layout, Values, with_directory

_PACKED = (1, 5, 8, 32773, 32946, 34925, 50000)  # not at all, LZW, deflate, PackBits, deflate, LZMA, Zstandard


def read_tiff(file: BinaryIO, layout: Layout) -> Image.Image:
    """The first image, of 8 bits: L, LA, RGB, RGBA or CMYK. Raises PictureError for what cannot be read here either."""
    colours = COLOURS.get(layout.photometric, 0)
    readable = layout.bits in (16, 32, 64) if layout.kind == FLOAT else 1 <= layout.bits <= 64
    undone = layout.predictor == 1 or (layout.predictor in (2, 3) and layout.bits in (8, 16, 32, 64))
    known = layout.kind in (UNSIGNED, SIGNED, FLOAT) and layout.compression in _PACKED
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
        image.getexif()[ORIENTATION] = layout.orientation
    return image


def _image(values: np.ndarray, colours: int, layout: Layout) -> Image.Image:
    """values: (H, W, samples), colours first."""
    seen = values[:, :, :colours]
    full = layout.kind == UNSIGNED and layout.bits <= 16
    shown = to_8_bit(seen, *((0.0, float(layout.tops[0])) if full else range_of(seen)))
    if layout.photometric == WHITE_IS_ZERO:
        shown = 255 - shown
    if colours < layout.samples and layout.extra[:1] in ((1,), (2,)) and colours != 4:
        alpha = values[:, :, colours : colours + 1]
        # Of wide values nobody knows which is opaque: the greatest that is there.
        top = 1.0 if layout.kind == FLOAT else float(layout.tops[colours] if full else alpha.max())
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
    tags: dict[int, Values] = {
        256: (width,), 257: (layout.height,), 258: (8,), 259: (layout.compression,), 262: (1,), 266: (layout.fill,), 277: (1,)
    }  # fmt: skip
    offsets, counts = layout.offsets[strips], layout.counts[strips]
    if layout.tiled:
        tags |= {322: (width // -(-layout.width // layout.box[0]),), 323: (rows,), 324: offsets, 325: counts}
    else:
        tags |= {273: offsets, 278: (rows,), 279: counts}
    image = TiffImagePlugin.TiffImageFile(with_directory(file, tags, layout.big))  # type: ignore[arg-type]
    with allowing(image.width * image.height):  # of bytes, not of pixels: those were counted before
        image.load()
    return np.asarray(image)


def _values(raw: np.ndarray, layout: Layout, columns: int, samples: int) -> np.ndarray:
    """(rows, bytes) uint8 -> (rows, columns, samples) of the numbers that they are, predictors undone."""
    bits, rows = layout.bits, len(raw)
    if bits not in (8, 16, 32, 64):
        return _of_odd_bits(raw, bits, columns * samples, layout.kind).reshape(rows, columns, samples)
    of_kind = {UNSIGNED: "u", SIGNED: "i", FLOAT: "f"}[layout.kind] + str(bits // 8)
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
    if kind == SIGNED:
        return out.astype(np.int64) - ((out >> np.uint32(bits - 1)).astype(np.int64) << bits)
    return out
