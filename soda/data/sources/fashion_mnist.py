"""Fashion-MNIST (Xiao et al. 2017): 60,000 + 10,000 grey pictures of 28 px in 10 classes, official test split.

`dataset.path` is a list of MD5 sums of the unpacked files, as md5sum writes it; nothing else is accepted, wherever it is from.
"""

from __future__ import annotations

import gzip
import math
import struct
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from soda.config import DatasetConfig
from soda.data.pixels import PixelsInFile
from soda.data.sources.base import Item, Opened, SourceError
from soda.data.sources.download import copy_from_folder, debian_package, download
from soda.data.sources.places import Place, check_sum, first_place, read_sums

COLUMNS: Mapping[str, pa.DataType] = {}
LICENCE = "MIT"
FOLDER = Path("/usr/share/datasets/fashion-mnist")
PACKAGE = "dataset-fashion-mnist"
MIRRORS = (
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
)
CLASSES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
PARTS = {"train": "train", "test": "t10k"}  # official split -> how its files' names begin
_IMAGES, _LABELS = 0x0803, 0x0801  # IDX: unsigned bytes in 3 and in 1 dimensions
_MOST_BYTES = 100_000_000  # of one file unpacked (the largest has 47 million)


def origin(config: DatasetConfig) -> str:
    return "https://github.com/zalandoresearch/fashion-mnist"


def fetch(config: DatasetConfig, raw: Path, earlier: Path) -> dict[str, Any]:
    """Take the files from the first place that has them all with the right MD5: an earlier fetch, the Debian package's folder,
    the package itself (unpacked without root), the mirrors. Raises SourceError naming every place and what was wrong there.

    They are stored unpacked: gzip headers differ from place to place, and raw data should not.
    """
    sums = read_checksums(Path(config.path))
    remedy = f"\nEither let one of them be reached, or put {', '.join(name + '.gz' for name in sums)} into {FOLDER} by hand."
    place = first_place("Fashion-MNIST", places(earlier), sums, raw, "md5", remedy)
    return {"files": len(sums), "bytes": sum((raw / name).stat().st_size for name in sums), "from": place}


def places(earlier: Path) -> list[Place]:
    """Where to look, in order: (name, function that puts the named files, unpacked, into a folder)."""

    return [
        ("an earlier fetch", partial(copy_from_folder, earlier)),
        (str(FOLDER), partial(_unpacked, partial(copy_from_folder, FOLDER))),
        (f"the Debian package {PACKAGE}", partial(_unpacked, partial(debian_package, PACKAGE, FOLDER))),
        *((url, partial(_unpacked, partial(download, url))) for url in MIRRORS),
    ]


def _unpacked(get: Callable[[list[str], Path], None], names: list[str], into: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="packed-", dir=into) as packed:
        get([name + ".gz" for name in names], Path(packed))
        for name in names:
            gunzip(Path(packed) / (name + ".gz"), into / name)


def opened(config: DatasetConfig, raw: Path) -> Opened:
    """All pictures, train first. Raises SourceError for a file that is missing, truncated, of the wrong MD5 or no such IDX."""
    if config.labels not in ("official", "auto", "none"):
        raise SourceError(f"dataset.labels: {config.labels!r} is not possible for fashion_mnist; it must be official or none")
    count = sum(_idx_shape(raw / f"{prefix}-labels-idx1-ubyte", _LABELS, 1)[0] for prefix in PARTS.values())
    return Opened((), count, partial(_items, config, raw))


def _items(config: DatasetConfig, raw: Path) -> Iterator[Item]:
    for name, wanted in read_checksums(Path(config.path)).items():
        check_sum(raw / name, wanted, "md5")
    for split, prefix in PARTS.items():
        pictures, classes = raw / f"{prefix}-images-idx3-ubyte", raw / f"{prefix}-labels-idx1-ubyte"
        shape, (label_count,) = _idx_shape(pictures, _IMAGES, 3), _idx_shape(classes, _LABELS, 1)
        if shape[0] != label_count:
            raise SourceError(f"{pictures} holds {shape[0]} pictures, {classes} {label_count} labels")
        size = shape[1] * shape[2]
        for number, label in enumerate(classes.read_bytes()[_header(1) :]):
            if label >= len(CLASSES):
                raise SourceError(f"{classes}: label {label} of picture {number} is not one of 0 to {len(CLASSES) - 1}")
            yield Item(
                id=f"{split}-{number:05d}",
                file=f"{pictures.name}#{number}",
                load=PixelsInFile(pictures, _header(3) + number * size, shape[1:]),
                label="" if config.labels == "none" else CLASSES[label],
                split=split,
            )


def read_checksums(path: Path) -> dict[str, str]:
    """Name -> MD5 of dataset.path. Raises SourceError for a line that is none, and where a file is missing."""
    sums = read_sums(path, "md5")
    missing = [f"{p}-{kind}-ubyte" for p in PARTS.values() for kind in ("images-idx3", "labels-idx1")]
    missing = [name for name in missing if name not in sums]
    if missing:
        raise SourceError(f"{path}: no MD5 sum for {', '.join(missing)}")
    return sums


def gunzip(packed: Path, path: Path) -> None:
    """Unpack a gzip file. Raises SourceError naming it when it is truncated, damaged or no gzip file."""
    try:
        with gzip.open(packed, "rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise SourceError(f"{packed.name}: truncated or damaged gzip file ({error})") from None
    if len(data) > _MOST_BYTES:
        raise SourceError(f"{packed.name}: unpacks to more than {_MOST_BYTES:,} bytes, which none of these files does")
    path.write_bytes(data)


def _header(dimensions: int) -> int:
    return 4 * (1 + dimensions)


def _idx_shape(path: Path, magic: int, dimensions: int) -> tuple[int, ...]:
    """The shape in an IDX file's header, held against the file's size."""
    size = _header(dimensions)
    try:
        with path.open("rb") as file:
            header = file.read(size)
        length = path.stat().st_size
    except OSError as error:
        raise SourceError(f"{path}: cannot be read ({error.strerror})") from None
    if len(header) < size or int.from_bytes(header[:4], "big") != magic:
        raise SourceError(f"{path}: begins with {header[:4].hex()} instead of {magic:08x}: not this kind of IDX file")
    shape = struct.unpack(f">{dimensions}I", header[4:])
    if min(shape) < 1 or length != size + math.prod(shape):
        raise SourceError(f"{path}: its header announces {shape}, which is {size + math.prod(shape):,} bytes; it has {length:,}")
    return shape
