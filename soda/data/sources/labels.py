"""Labels of a folder of pictures: from its sub-folders, from a CSV file, or none."""

from __future__ import annotations

import collections
import csv
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from soda.config import DatasetConfig
from soda.data.sources.base import SourceError
from soda.data.sources.split_folders import SplitFolders, find_split_folders, kind_of

_DELIMITERS = (",", ";", "\t")
_SHOWN = 5  # rows or files that an error names


def folder_labels(config: DatasetConfig, root: Path, names: list[str]) -> dict[str, str]:
    """Label of each picture by its relative path, as `dataset.labels` says; empty when there are no labels.

    auto: as folders if every picture lies in a sub-folder, and there are at least two of them and fewer than half as many as
    pictures; else none. folders: the first sub-folder's name. none. Anything else: the name of a CSV file in `root`. Folders
    called train, val or test are passed over, whether they are the splits or not. Raises SourceError naming the file, column or
    rows.
    """
    if config.labels == "none":
        return {}
    if config.labels in ("auto", "folders"):
        splits = find_split_folders(names)
        if splits is None and all("/" in name and kind_of(name.split("/", 1)[0]) for name in names):
            splits = SplitFolders()  # train alone, say
        inner = {name: splits.without(name) if splits else name for name in names}
        around = {splits.above(name) for name in names} if splits else set()
        if len(around) == 1 and (above := around.pop()):  # images/train/cat: no label is images
            inner = {name: path.removeprefix(f"{above}/") for name, path in inner.items()}
        loose = [name for name, path in inner.items() if "/" not in path]
        labels = {name: path.split("/", 1)[0] for name, path in inner.items() if "/" in path}
        if config.labels == "auto":
            kinds = len(set(labels.values()))
            return labels if len(labels) == len(names) and 2 <= kinds <= max(2, len(names) / 2) else {}
        if loose:
            raise SourceError(f"dataset.labels=folders: {_some(loose, 'pictures')} in no sub-folder of {root}")
        return labels
    path = root / config.labels
    if not path.is_file():
        raise SourceError(
            f"dataset.labels: {config.labels!r} is neither auto, folders, none nor the name of a CSV file in {root}; "
            f"CSV files there: {', '.join(sorted(p.name for p in root.glob('*.csv'))) or 'none'}"
        )
    return read_label_csv(path, names, file_column=config.csv_file_column, label_column=config.csv_label_column)


def read_label_csv(path: Path, names: list[str], *, file_column: str, label_column: str) -> dict[str, str]:
    """Label of each picture by a CSV file (comma, semicolon or tab; UTF-8) whose `file_column` holds their relative paths.

    Every picture needs one row with a label. Raises SourceError for a missing column, an empty label or file name, a file that
    does not exist, two rows that disagree, and a picture without a row; rows are named as lines of the file.
    """
    exact, alike = set(names), collections.defaultdict[str, list[str]](list)
    for name in names:
        alike[_normal(name)].append(name)
    labels: dict[str, str] = {}
    empty: list[str] = []
    unknown: list[str] = []
    rows = 0
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header = file.readline()
            tables = {each: [name.strip() for name in next(csv.reader([header], delimiter=each), [])] for each in _DELIMITERS}
            delimiter = max(_DELIMITERS, key=lambda each: ({file_column, label_column} <= set(tables[each]), len(tables[each])))
            columns = tables[delimiter]
            for column, setting in ((file_column, "csv_file_column"), (label_column, "csv_label_column")):
                if column not in columns:
                    raise SourceError(
                        f"{path}: no column {column!r} (dataset.{setting}); its columns are {', '.join(columns) or 'none'}"
                    )
                if columns.count(column) > 1:
                    raise SourceError(f"{path}: {columns.count(column)} columns are called {column!r} (dataset.{setting})")
            reader = csv.DictReader(file, columns, delimiter=delimiter, restval="")
            for row in reader:
                line = reader.line_num + 1
                rows += 1
                written, label = row[file_column], row[label_column].strip()
                # As it is written first; then whatever it may mean in another spelling, of which there must be one.
                meant = [written] if written in exact else alike.get(_normal(written), [])
                entry = written.strip()
                if len(meant) > 1:
                    raise SourceError(f"{path}, line {line}: {entry} may be any of {_some(map(repr, meant), 'pictures')}")
                if not label or not entry:
                    empty.append(f"line {line}" + (f" ({entry})" if entry else ""))
                elif not meant:
                    unknown.append(f"line {line} ({entry})")
                elif labels.setdefault(meant[0], label) != label:
                    raise SourceError(f"{path}, line {line}: {entry} is {label!r}, an earlier line says {labels[meant[0]]!r}")
    except UnicodeDecodeError as error:
        raise SourceError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start})") from None
    except csv.Error as error:
        raise SourceError(f"{path}: not a CSV file ({error})") from None
    if empty:
        raise SourceError(f"{path}: column {label_column!r} is empty in {len(empty)} of {rows} rows: {_some(empty)}")
    if unknown:
        example = f"; paths are like {names[0]}" if names else ""
        raise SourceError(
            f"{path}: {len(unknown)} of {rows} rows name files that are no pictures in {path.parent}: {_some(unknown)}{example}"
        )
    without = [name for name in names if name not in labels]
    if without:
        raise SourceError(f"{path}: no row for {_some(without, 'pictures')}")
    return labels


def _normal(name: str) -> str:
    """One spelling of a relative path: composed Unicode (macOS stores decomposed), "/" between parts, no blanks around them, no
    "." among them."""
    parts = (part.strip() for part in unicodedata.normalize("NFC", name.replace("\\", "/")).split("/"))
    return "/".join(part for part in parts if part not in ("", "."))


def _some(entries: Iterable[str], what: str = "") -> str:
    entries = list(entries)
    shown = ", ".join(entries[:_SHOWN]) + (" ..." if len(entries) > _SHOWN else "")
    return f"{len(entries)} {what} ({shown})" if what else shown
