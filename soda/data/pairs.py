"""Which pictures make a pair of views when it is not two views of one: those that share a column's value, or those of a file.

A pair is never one picture twice, nor two with the same pixels; only where `views.pairs.reconstruct` asks for reconstruction is
the target the source itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from soda.common.errors import SodaError
from soda.common.name_tables import Column, TableError, meant, read_rows, the_one_meant
from soda.config import PairsConfig
from soda.data.columns import SPLITS
from soda.data.dataset import PreparedData, Split

_SHOWN = 3  # rows that an error names


class PairsError(SodaError, ValueError):
    """Pictures that cannot be paired as the settings say; the message names the setting, or the file and its lines."""


@dataclass(frozen=True)
class Pairs:
    """Positions in a split: sources (b, V), targets (b,) and, where there are any, styles (b,), all int64."""

    sources: np.ndarray
    targets: np.ndarray
    styles: np.ndarray | None = None


class Partners:
    """The partners of every picture of a split that has one.

    anchors: (n,) int64, positions in the split of the pictures that have a partner, ascending.

    The candidates of anchor i are `pool[start[i]:stop[i]]` without the run `pool[skip_start[i]:skip_stop[i]]`, so that memory
    grows with the pictures and not with the pairs.
    """

    def __init__(self, anchors: np.ndarray, pool: np.ndarray, spans: np.ndarray, config: PairsConfig) -> None:
        """spans: (n, 4) int64, columns start, stop, skip_start and skip_stop."""
        self.anchors, self.config = anchors, config
        self.styles: Partners | None = None  # of the targets: images that give the style sections
        self._pool, self._spans = pool, spans

    def __len__(self) -> int:
        return len(self.anchors)

    def draw(self, which: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """A partner for each of the anchors `which` (indices into `anchors`), evenly from its candidates: positions, (b,) int64.

        With probability `views.pairs.reconstruct` it is the anchor itself.
        """
        drawn = self._draw_other(which, generator)
        itself = generator.random(len(which)) < self.config.reconstruct
        return np.where(itself, self.anchors[which], drawn)

    def _draw_other(self, which: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        start, stop, skip_start, skip_stop = self._spans[which].T
        skipped = skip_stop - skip_start
        place = start + generator.integers(0, stop - start - skipped)
        place += np.where(place >= skip_start, skipped, 0)
        drawn: np.ndarray = self._pool[place]
        return drawn

    def draw_pairs(self, which: np.ndarray, generator: np.random.Generator) -> Pairs:
        """Pairs of the anchors `which`. Where the target is the source, so is the style. A further source is never the target; it
        may be another source again.
        """
        sources, targets = self.anchors[which], self.draw(which, generator)
        if self.config.sources > 1:
            of_targets = np.searchsorted(self.anchors, targets)
            further = [self._draw_other(of_targets, generator) for _ in range(self.config.sources - 1)]
            return Pairs(np.stack((sources, *further), axis=1), targets)
        if self.styles is None:
            return Pairs(sources[:, None], targets)
        styles = self.styles.draw(np.searchsorted(self.styles.anchors, targets), generator)
        return Pairs(sources[:, None], targets, np.where(targets == sources, sources, styles))


def find_partners(data: PreparedData, split: Split, config: PairsConfig) -> Partners | None:
    """The partners in `split` as `views.pairs` says, None when a pair is two views of one picture.

    Raises PairsError when there is no pair, or a row of `views.pairs.file` is wrong; DatasetError for a column that is not there.
    """
    if config.by == "picture":
        return None
    found = _by_column(split, config) if config.by == "column" else _by_file(data, split, config)
    if not len(found):
        what = (
            f"two {split.name} pictures share a value of {config.column}"
            if config.column
            else f"row of {config.file} is of {split.name}"
        )
        differ = f" and differ in {config.differ}" if config.differ else ""
        raise PairsError(f"views.pairs: no {what}{differ}: there is nothing to train on")
    if config.style_sections:
        found.styles = _styles(split, config, found)
    return found


def _styles(split: Split, config: PairsConfig, found: Partners) -> Partners:
    """What shares `differ` with a target and not `column`. Raises PairsError where a picture has no such other."""
    styles = _by_column(split, replace(config, column=config.differ, differ=config.column, reconstruct=0.0))
    alone = np.setdiff1d(found.anchors, styles.anchors)
    if len(alone):
        raise PairsError(
            f"views.pairs.style_sections: {len(alone)} {split.name} pictures ({', '.join(split.ids[alone[:_SHOWN]])}) have no "
            f"other of their {config.differ} with another {config.column}: nothing can give their style"
        )
    return styles


def _by_column(split: Split, config: PairsConfig) -> Partners:
    assert config.column is not None
    values, has_value = _coded(split, config.column)
    others, has_other = (None, has_value) if config.differ is None else _coded(split, config.differ)
    known = np.flatnonzero(has_value & has_other)
    # Of pictures that look the same and share the value one is enough, and no pair can then be the same pixels twice.
    looks = np.unique(split.digests[known], return_inverse=True)[1]
    value, other = values[known], looks if others is None else others[known]
    first = np.sort(np.unique(np.stack((value, looks)), axis=1, return_index=True)[1])
    known, value, other = known[first], value[first], other[first]
    order = np.lexsort((other, value))  # by value, within it by what has to differ
    known, value, other = known[order], value[order], other[order]
    groups, runs = _bounds(value[1:] != value[:-1]), _bounds((value[1:] != value[:-1]) | (other[1:] != other[:-1]))
    spans = np.concatenate((groups, runs), axis=1)  # (n, 4)
    paired = np.flatnonzero(groups[:, 1] - groups[:, 0] > runs[:, 1] - runs[:, 0])
    paired = paired[np.argsort(known[paired])]
    return Partners(known[paired], known, spans[paired], config)


def _coded(split: Split, column: str) -> tuple[np.ndarray, np.ndarray]:
    """A column as numbers that are ordered as its values are, and where it has one: (n,) int32, (n,) bool."""
    names, codes = split.codes(column)
    return codes, codes != (names.index("") if "" in names else -1)


def _bounds(changes: np.ndarray) -> np.ndarray:
    """Start and stop of the run of equal entries that each entry is in, from where they change: (n - 1,) bool -> (n, 2)."""
    run = np.concatenate(([0], np.cumsum(changes)))
    edges = np.concatenate(([0], np.flatnonzero(changes) + 1, [len(run)]))
    return np.stack((edges[run], edges[run + 1]), axis=1)


def _by_file(data: PreparedData, split: Split, config: PairsConfig) -> Partners:
    assert config.file is not None
    path = Path(config.file)
    rows = _rows(path, data.column("id").tolist())
    where = data.find({name for _, *pair in rows for name in pair})
    sources, targets = [], []
    wrong: dict[str, list[str]] = {"unknown": [], "itself": [], "torn": []}
    for line, source, target in rows:
        unknown = [name for name in (source, target) if name not in where]
        if unknown:
            wrong["unknown"].append(f"line {line} ({', '.join(unknown)})")
            continue
        (of_source, first, pixels), (of_target, second, others) = where[source], where[target]
        if of_source != of_target:
            wrong["torn"].append(f"line {line} ({source} is in {of_source}, {target} in {of_target})")
        elif of_source == split.name:
            if pixels == others:
                wrong["itself"].append(f"line {line} ({source}, {target})")
            sources.append(first)
            targets.append(second)
    _refuse(path, wrong["unknown"], f"ids that are not in {data.manifest}")
    _refuse(path, wrong["itself"], "a picture paired with itself, or with one of the same pixels")
    _refuse(path, wrong["torn"], f"pictures of two splits ({', '.join(SPLITS)}): what is to be judged would be trained on")
    order = np.argsort(np.asarray(sources, np.int64), kind="stable")
    pool = np.asarray(targets, np.int64)[order]
    anchors, start, counts = np.unique(np.asarray(sources, np.int64)[order], return_index=True, return_counts=True)
    stop = start + counts
    return Partners(anchors, pool, np.stack((start, stop, stop, stop), axis=1).astype(np.int64), config)


def _rows(path: Path, ids: Sequence[str]) -> list[tuple[int, str, str]]:
    """(line, source, target) of a CSV file with these columns; what is written in another spelling of one of the `ids` as that.

    Raises PairsError.
    """
    try:
        rows = read_rows(path, Column("source"), Column("target"))
        found = meant({entry for _, entries in rows for entry in entries}, ids)
        return [
            (line, the_one_meant(path, line, a, found) or a.strip(), the_one_meant(path, line, b, found) or b.strip())
            for line, (a, b) in rows
        ]
    except TableError as error:
        raise PairsError(f"views.pairs.file: {error}") from None


def _refuse(path: Path, rows: list[str], what: str) -> None:
    if rows:
        shown = "; ".join(rows[:_SHOWN]) + (" …" if len(rows) > _SHOWN else "")
        raise PairsError(f"{path}: {len(rows)} rows name {what}: {shown}")
