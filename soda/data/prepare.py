"""The prepare stage: raw pictures to shards of square uint8 pixels and a manifest.

Deterministic: the same raw data and settings give the same bytes, whatever the number of worker processes. Splits are written
one after the other, test first, so that a copy of a picture is always met after the one that is to be kept.
"""

from __future__ import annotations

import logging
import shutil
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Executor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from tqdm import tqdm

from soda.common.errors import SodaError
from soda.common.files import file_sha256, whole_folder, write_json
from soda.config import DatasetConfig
from soda.data.columns import FACTOR, SPLITS
from soda.data.manifest import PreparedWriter
from soda.data.parallel import ordered_map, process_pool, worker_count
from soda.data.pixels import ChangedError, Measured, process
from soda.data.sources import Item, Opened, Source, get_source
from soda.data.sources.base import split_of

logger = logging.getLogger(__name__)

SPLIT_ORDER = tuple(reversed(SPLITS))
_CHUNK = 128  # pictures a job, fewer when they are large
_CHUNK_BYTES = 1 << 22  # of prepared pixels a job
_IN_FLIGHT = 3  # jobs a worker
_SHOWN = 5  # rejected files that an error names


class PrepareError(SodaError, ValueError):
    """Raw data from which nothing usable can be prepared; the message names the files and the setting."""


def prepare(config: DatasetConfig, raw: Path, prepared: Path) -> dict[str, Any]:
    """Read the pictures in `raw` and replace the folder `prepared`; returns its summary's counts.

    Unreadable pictures are left out and listed with the reason in rejected.csv. Raises PrepareError when they are more than
    `max_unreadable` of all, or nothing is left (the list is then beside the folder: `<prepared>.rejected.csv`), or a worker was
    killed, or a file is no longer what was fetched; SourceError for missing or damaged raw data. `prepared` then stays as it was.

    Memory does not grow with the data, but for one digest and id a picture when `duplicates` is "drop".
    """
    prepared = Path(prepared)
    source = get_source(config.name)
    kept_list = prepared.with_name(prepared.name + ".rejected.csv")
    with whole_folder(prepared) as new:
        tally = _Tally()
        shape = (config.image_size, config.image_size, config.channels)
        opened = source.opened(config, Path(raw))
        columns = {**source.COLUMNS, **{FACTOR + name: pa.string() for name in opened.factors}}
        with PreparedWriter(new, shape, config.shard_size, columns) as writer:
            _write_all(config, opened, writer, tally)
        if not tally.count or tally.rejected > config.max_unreadable * tally.total:
            shutil.copyfile(new / "rejected.csv", kept_list)
            raise PrepareError(_too_many(config, tally, kept_list))
        summary = _summary(config, source, new, writer, tally)
        write_json(new / "summary.json", summary)
    kept_list.unlink(missing_ok=True)
    if tally.rejected:
        logger.warning("%d of %d pictures cannot be used: %s", tally.rejected, tally.total, prepared / "rejected.csv")
    logger.info("prepared %d pictures: %s", tally.count, summary["splits"])
    return {key: summary[key] for key in ("count", "splits", "rejected", "duplicates_dropped", "manifest_sha256")}


class _Tally:
    """What has been counted so far."""

    def __init__(self) -> None:
        self.splits: Counter[str] = Counter()
        self.labels: set[str] = set()
        self.factors: dict[str, set[str]] = {}
        self.rejected = 0
        self.duplicates = 0
        self.first_rejected: list[str] = []
        self.first_of: dict[bytes, str] = {}  # digest of the pixels -> id

    @property
    def count(self) -> int:
        return sum(self.splits.values())

    @property
    def total(self) -> int:
        return self.count + self.rejected + self.duplicates


def _write_all(config: DatasetConfig, opened: Opened, writer: PreparedWriter, tally: _Tally) -> None:
    size = max(1, min(_CHUNK, _CHUNK_BYTES // (config.image_size**2 * config.channels)))
    workers = min(worker_count(config.workers), -(-opened.count // size))
    jobs = (
        (chunk, ([item.load for _, item in chunk], [item.file for _, item in chunk], config))
        for chunk in _chunks(config, opened, size)
    )
    with ExitStack() as stack:
        pool: Executor | None = stack.enter_context(process_pool(workers)) if workers > 1 else None
        bar = stack.enter_context(tqdm(total=opened.count, desc="prepare", unit="picture", leave=False))
        written = 0
        try:
            for chunk, (results, pixels) in ordered_map(pool, process, jobs, workers * _IN_FLIGHT):
                _write_chunk(config, chunk, results, pixels, writer, tally)
                written += len(chunk)
                bar.update(len(chunk))
        except BrokenProcessPool:
            raise PrepareError(
                f"a worker process was killed after {written} of {opened.count} pictures, most often for want of memory; "
                f"try dataset.workers=1 (now {workers}) or a smaller dataset.max_pixels (now {config.max_pixels:,})"
            ) from None
        except ChangedError as error:
            raise PrepareError(str(error)) from None


def _chunks(config: DatasetConfig, opened: Opened, size: int) -> Iterator[list[tuple[str, Item]]]:
    chunk: list[tuple[str, Item]] = []
    for split in SPLIT_ORDER:
        for item in opened.items():
            if split_of(item.split, item.group or item.id, config) == split:
                chunk.append((split, item))
                if len(chunk) == size:
                    yield chunk
                    chunk = []
    if chunk:
        yield chunk


def _write_chunk(
    config: DatasetConfig,
    chunk: list[tuple[str, Item]],
    results: list[Measured | str],
    pixels: np.ndarray,
    writer: PreparedWriter,
    tally: _Tally,
) -> None:
    pictures = iter(pixels)
    for (split, item), result in zip(chunk, results, strict=True):
        if isinstance(result, str):
            tally.rejected += 1
            if len(tally.first_rejected) < _SHOWN:
                tally.first_rejected.append(f"  {item.file}: {result}")
            writer.reject(item.file, result)
            continue
        picture = next(pictures)
        if config.duplicates == "drop":
            first = tally.first_of.setdefault(bytes.fromhex(result.sha256), item.id)
            # An official test set stays whole, or figures on it could not be compared with anyone else's.
            if first != item.id and item.split != "test":
                tally.duplicates += 1
                writer.reject(item.file, f"duplicate of {first}")
                continue
        tally.splits[split] += 1
        tally.labels.add(item.label)
        row = {"id": item.id, "split": split, "label": item.label, "file": item.file, **item.extra}
        for name, value in item.factors.items():
            row[FACTOR + name] = value
            tally.factors.setdefault(name, set()).add(value)
        for name in Measured.__slots__:
            row[name] = getattr(result, name)
        writer.add(row, picture)


def _summary(config: DatasetConfig, source: Source, folder: Path, writer: PreparedWriter, tally: _Tally) -> dict[str, Any]:
    factors = {name: sorted(values - {""}) for name, values in sorted(tally.factors.items())}
    return {
        "dataset": config.name,
        "image_size": config.image_size,
        "channels": config.channels,
        "resize": config.resize,
        "count": tally.count,
        "splits": {name: tally.splits[name] for name in SPLITS},
        "labels": sorted(tally.labels - {""}),
        **({"factors": factors} if factors else {}),
        "manifest_sha256": file_sha256(folder / "manifest.parquet"),
        "shards": writer.shards,
        "rejected": tally.rejected,
        "duplicates_dropped": tally.duplicates,
        "licence": source.LICENCE,
        "source": source.origin(config),
    }


def _too_many(config: DatasetConfig, tally: _Tally, kept_list: Path) -> str:
    share = tally.rejected / tally.total if tally.total else 0.0
    if tally.count:
        limit = f"more than the {config.max_unreadable:.1%} of dataset.max_unreadable"
    else:
        limit = "so nothing is left"
    return (
        f"{tally.rejected} of {tally.total} pictures ({share:.1%}) cannot be used, {limit}. The first:\n"
        + "\n".join(tally.first_rejected)
        + f"\nThe whole list is in {kept_list}."
    )
