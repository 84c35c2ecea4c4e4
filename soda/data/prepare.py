"""The prepare stage: raw pictures to shards of square uint8 pixels and a manifest.

Deterministic: the same raw data and settings give the same bytes, whatever the number of worker processes. Splits are written
one after the other, test first, so that a copy of a picture is always met after the one that is to be kept. Where they are drawn
by content (`dataset.splits`), all pictures are decoded before any has its split. A run that was killed goes on with what it had
decoded (unfinished.py).
"""

from __future__ import annotations

import itertools
import logging
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from soda.common.bar import Bar
from soda.common.errors import SodaError
from soda.common.files import file_sha256, whole_folder, write_json
from soda.config import DatasetConfig
from soda.data.by_content import Waiting
from soda.data.columns import FACTOR, SPLITS
from soda.data.manifest import PreparedWriter
from soda.data.parallel import ordered_map, process_pool, worker_count
from soda.data.pixels import BLANK, ChangedError, Measured
from soda.data.seen import Seen
from soda.data.sources import Item, Opened, Source, get_source
from soda.data.sources.base import split_of
from soda.data.unfinished import WORTH, files_of, folder_of, process_once

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

    Unreadable and blank pictures are left out and listed with the reason in rejected.csv. Raises PrepareError when more than
    `max_unreadable` of all are unreadable, or nothing is left (the list is then beside the folder: `<prepared>.rejected.csv`),
    or a worker was killed, or a file is no longer what was fetched; SourceError for missing or damaged raw data. `prepared` then
    stays as it was.

    Memory does not grow with the data, but for sixteen bytes a picture when `duplicates` is "drop", and for what is compared
    (some hundred bytes a picture) when splits are drawn by content.
    """
    prepared = Path(prepared)
    source = get_source(config.name)
    kept_list = prepared.with_name(prepared.name + ".rejected.csv")
    with whole_folder(prepared) as new:
        shape = (config.image_size, config.image_size, config.channels)
        opened = source.opened(config, Path(raw))
        columns = {**source.COLUMNS, **{FACTOR + name: pa.string() for name in opened.factors}}
        with PreparedWriter(new, shape, config.shard_size, columns) as writer, ExitStack() as stack:
            tally = _Tally(stack.enter_context(Seen(new)))
            waiting = None
            if config.splits != "official":
                waiting = stack.enter_context(Waiting(new / "waiting", shape, config.shard_size, columns))
            files = files_of(prepared) if opened.count >= WORTH else itertools.repeat(None)
            _write_all(config, opened, writer, tally, waiting, files)
        if not tally.count or tally.rejected > config.max_unreadable * tally.total:
            shutil.copyfile(new / "rejected.csv", kept_list)
            raise PrepareError(_too_many(config, tally, kept_list))
        summary = _summary(config, source, new, writer, tally)
        write_json(new / "summary.json", summary)
    kept_list.unlink(missing_ok=True)
    shutil.rmtree(folder_of(prepared), ignore_errors=True)
    if tally.rejected:
        logger.warning("%d of %d pictures cannot be used: %s", tally.rejected, tally.total, prepared / "rejected.csv")
    if tally.blank:
        logger.info("%d blank pictures are left out: %s", tally.blank, prepared / "rejected.csv")
    if tally.several:
        logger.info("%d files hold several frames or pages; the first of each is taken", tally.several)
    logger.info("prepared %d pictures: %s", tally.count, summary["splits"])
    return {
        key: summary[key]
        for key in ("count", "splits", "rejected", "blank", "duplicates_dropped", "manifest_sha256")
        if key in summary
    }


class _Tally:
    """What has been counted so far."""

    def __init__(self, seen: Seen) -> None:
        self.seen = seen
        self.splits: Counter[str] = Counter()
        self.labels: set[str] = set()
        self.factors: dict[str, set[str]] = {}
        self.rejected = 0
        self.blank = 0
        self.duplicates = 0
        self.several = 0  # files whose first frame or page was taken
        self.first_several: list[str] = []
        self.first_rejected: list[str] = []

    @property
    def count(self) -> int:
        return sum(self.splits.values())

    @property
    def total(self) -> int:
        return self.count + self.rejected + self.blank + self.duplicates


def _write_all(
    config: DatasetConfig,
    opened: Opened,
    writer: PreparedWriter,
    tally: _Tally,
    waiting: Waiting | None,
    files: Iterator[Path | None],
) -> None:
    size = max(1, min(_CHUNK, _CHUNK_BYTES // (config.image_size**2 * config.channels)))
    workers = min(worker_count(config.workers), -(-opened.count // size))
    chunks = _chunks(config, opened, size, SPLIT_ORDER if waiting is None else ("",))
    jobs = (
        (chunk, (file, [item.load for _, item in chunk], [item.file for _, item in chunk], config))
        for chunk, file in zip(chunks, files, strict=False)  # files never end
    )
    with ExitStack() as stack:
        pool: Executor | None = stack.enter_context(process_pool(workers)) if workers > 1 else None
        bar = stack.enter_context(Bar(total=opened.count, desc="prepare", unit="picture", leave=False))
        read, before = 0, 0
        try:
            for chunk, (results, pixels, kept) in ordered_map(pool, process_once, jobs, workers * _IN_FLIGHT):
                for row, item, picture in _usable(chunk, results, pixels, writer, tally):
                    if waiting is None:
                        _keep(config, row, item.split, picture, writer, tally)
                    else:
                        waiting.add(row, item.split, picture)
                read, before = read + len(chunk), before + len(chunk) * kept
                bar.update(len(chunk))
        except BrokenProcessPool:
            raise PrepareError(
                f"a worker process was killed after {read} of {opened.count} pictures, most often for want of memory; "
                f"try dataset.workers=1 (now {workers}) or a smaller dataset.max_pixels (now {config.max_pixels:,})"
            ) from None
        except ChangedError as error:
            raise PrepareError(str(error)) from None
    if before:
        logger.info("%d of %d pictures had been decoded by a run that did not end", before, read)
    if waiting is not None:
        for row, official, picture in waiting.drawn(config):
            _keep(config, row, official, picture, writer, tally)


def _chunks(config: DatasetConfig, opened: Opened, size: int, splits: Sequence[str]) -> Iterator[list[tuple[str, Item]]]:
    """The items, `size` at a time: split by split; in one go for "", where no item has its split yet."""
    chunk: list[tuple[str, Item]] = []
    for split in splits:
        for item in opened.items():
            if not split or split_of(item.split, item.group or item.id, config) == split:
                chunk.append((split, item))
                if len(chunk) == size:
                    yield chunk
                    chunk = []
    if chunk:
        yield chunk


def _usable(
    chunk: list[tuple[str, Item]], results: list[Measured | str], pixels: np.ndarray, writer: PreparedWriter, tally: _Tally
) -> Iterator[tuple[dict[str, Any], Item, np.ndarray]]:
    """The rows and pixels of those that can be used; what cannot is listed and counted."""
    pictures = iter(pixels)
    for (split, item), result in zip(chunk, results, strict=True):
        if isinstance(result, str):
            writer.reject(item.file, result)
            if result.startswith(BLANK):
                tally.blank += 1
                continue
            tally.rejected += 1
            if len(tally.first_rejected) < _SHOWN:
                tally.first_rejected.append(f"  {item.file}: {result}")
            continue
        row = {"id": item.id, "split": split, "label": item.label, "file": item.file, **item.extra}
        row |= {FACTOR + name: value for name, value in item.factors.items()}
        row |= result.row()
        if result.several:
            tally.several += 1
            if len(tally.first_several) < _SHOWN:
                tally.first_several.append(item.file)
        yield row, item, next(pictures)


def _keep(
    config: DatasetConfig,
    row: dict[str, Any],
    official: str | None,
    picture: np.ndarray,
    writer: PreparedWriter,
    tally: _Tally,
) -> None:
    """Write a picture with its row, unless it is a copy that is to be dropped."""
    if config.duplicates == "drop":
        first = tally.seen.first(bytes.fromhex(row["sha256"]), row["id"])
        # An official test set stays whole, or figures on it could not be compared with anyone else's.
        if first != row["id"] and official != "test":
            tally.duplicates += 1
            writer.reject(row["file"], f"duplicate of {first}")
            return
    tally.splits[row["split"]] += 1
    tally.labels.add(row["label"])
    for name, value in row.items():
        if name.startswith(FACTOR) and value is not None:
            tally.factors.setdefault(name.removeprefix(FACTOR), set()).add(value)
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
        **({"blank": tally.blank} if config.min_std else {}),
        "duplicates_dropped": tally.duplicates,
        **({"several_frames": {"count": tally.several, "first": tally.first_several}} if tally.several else {}),
        "licence": source.LICENCE,
        "source": source.origin(config),
    }


def _too_many(config: DatasetConfig, tally: _Tally, kept_list: Path) -> str:
    share = tally.rejected / tally.total if tally.total else 0.0
    blank = f" {tally.blank} are blank." if tally.blank else ""
    if tally.count:
        limit = f"more than the {config.max_unreadable:.1%} of dataset.max_unreadable"
    else:
        limit = "so nothing is left"
    return (
        f"{tally.rejected} of {tally.total} pictures ({share:.1%}) cannot be used, {limit}.{blank} The first:\n"
        + "\n".join(tally.first_rejected)
        + f"\nThe whole list is in {kept_list}."
    )
