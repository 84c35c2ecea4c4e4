"""Labels of a folder of pictures: from its sub-folders, from a CSV file, or none."""

from __future__ import annotations

from pathlib import Path

from soda.common.name_tables import Column, TableError, read_labels, require_all, some
from soda.common.split_folders import labels_by_folder, plain_labels
from soda.config import DatasetConfig
from soda.data.sources.base import SourceError


def folder_labels(config: DatasetConfig, root: Path, names: list[str]) -> dict[str, str]:
    """Label of each picture by its relative path, as `dataset.labels` says; empty when there are no labels.

    auto: as folders if every picture lies in a sub-folder, and there are at least two of them and fewer than half as many as
    pictures; else none. folders: the first sub-folder's name. none. Anything else: the name of a CSV file in `root`. Folders
    called train, val or test are passed over, whether they are the splits or not. Raises SourceError naming the file, column or
    rows.
    """
    if config.labels == "none":
        return {}
    if config.labels == "auto":
        return plain_labels(names)
    if config.labels == "folders":
        labels = labels_by_folder(names)
        if loose := [name for name in names if name not in labels]:
            raise SourceError(f"dataset.labels=folders: {some(loose, 'pictures')} in no sub-folder of {root}")
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
    columns = {
        "file": Column(file_column, "dataset.csv_file_column"),
        "label": Column(label_column, "dataset.csv_label_column"),
    }
    try:
        labels = read_labels(path, names, **columns)
        if unknown := labels.strangers:
            example = f"; paths are like {names[0]}" if names else ""
            wrong = f"{len(unknown)} of {labels.rows} rows name files that are no pictures in {path.parent}"
            raise TableError(f"{path}: {wrong}: {some(unknown)}{example}")
        require_all(path, labels, names)
    except TableError as error:
        raise SourceError(str(error)) from None
    return labels.by_name
