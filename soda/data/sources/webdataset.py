"""Pictures in tar files as WebDataset packs them: 000001.jpg with 000001.cls beside it, one sample after another.

`dataset.path` is a folder of .tar files, or one of them. Tars are read where they lie; compressed ones cannot be, since a picture
in their middle is not reached without all before it.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa

from soda.common.errors import SodaError
from soda.config import DatasetConfig
from soda.data.sources.base import Opened, SourceError
from soda.data.sources.packed import LARGEST, Inventory, fetch_packed, open_packed
from soda.runtime.walk import EXTENSIONS, is_housekeeping

COLUMNS: Mapping[str, pa.DataType] = {}
LICENCE = "the owner's"
LABELS = (".cls", ".txt")
"""Of a sample's files, those that may hold its label: the class, or a few words."""
_LONGEST_LABEL = 200  # bytes; longer texts are captions


def origin(config: DatasetConfig) -> str:
    return f"WebDataset {Path(config.path).name}"


def fetch(config: DatasetConfig, raw: Path, earlier: Path) -> dict[str, Any]:
    """Write the inventory. Raises SourceError for a folder without tars or pictures, and for a tar that is damaged."""
    if config.labels not in ("auto", "none"):
        raise SourceError(f"dataset.labels: {config.labels!r} is not possible for webdataset; it must be auto or none")
    empty = f"there is no picture in its tars ({', '.join(sorted(EXTENSIONS))})"
    return fetch_packed(config, raw, ".tar", partial(_add, labelled=config.labels == "auto"), empty=empty)


def opened(config: DatasetConfig, raw: Path) -> Opened:
    """Every picture, tar by tar. Raises SourceError when there is no inventory, or one made with other settings."""
    return open_packed(config, raw, lambda _: bytes_in_tar)


def bytes_in_tar(path: Path, start: int, length: int) -> bytes:
    """What lies there in the file."""
    with path.open("rb") as file:
        file.seek(start)
        return file.read(length)


def _add(file: Path, name: str, inventory: Inventory, *, labelled: bool) -> None:
    for key, (member, content), label in _samples(file):
        kept = label if labelled else ""
        inventory.add(id=f"{name}:{key}", file=name, part=member.offset_data, place=member.size, content=content, label=kept)


def _samples(file: Path) -> Iterator[tuple[str, tuple[tarfile.TarInfo, bytes], str]]:
    """(key, picture, label) of each sample of a tar that has a picture; files of one sample lie side by side."""
    try:
        with tarfile.open(file, "r:") as tar:
            key, picture, label = "", None, ""
            for member in tar:
                if not member.isfile() or any(map(is_housekeeping, PurePosixPath(member.name).parts)):
                    continue
                folder, base = os.path.split(member.name)
                stem, _, ending = base.partition(".")
                here, ending = os.path.join(folder, stem), f".{ending.lower()}"
                if here != key:
                    if picture is not None:
                        yield key, picture, label
                    key, picture, label = here, None, ""
                if f".{ending.rpartition('.')[2]}" in EXTENSIONS and picture is None:
                    picture = member, _bytes_of(tar, member)
                elif ending in LABELS and member.size <= _LONGEST_LABEL and not label:
                    label = _bytes_of(tar, member).decode("utf-8", "replace").strip()
            if picture is not None:
                yield key, picture, label
    except _TooLargeError as error:
        raise SourceError(f"{file}: {error}; take it out, or save it smaller") from None
    except tarfile.ReadError as error:
        raise SourceError(f"{file}: no tar that can be read ({error}); a compressed one must be unpacked first") from None


class _TooLargeError(SodaError, ValueError):
    """The message names the member and what is wrong."""


def _bytes_of(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    if member.sparse is not None:  # a few bytes that say they are many; nor do they lie in one piece
        raise _TooLargeError(f"{member.name} is stored as a sparse file, which is not read")
    if member.size > LARGEST:
        raise _TooLargeError(f"{member.name} says that it has {member.size:,} bytes, of at most {LARGEST:,}")
    stream = tar.extractfile(member)
    content = b"" if stream is None else stream.read()
    if len(content) != member.size:
        raise tarfile.ReadError(f"{member.name} is cut off")
    return content
