"""CelebA: img_align_celeba/, list_attr_celeba.txt, list_eval_partition.txt and, where it is there, identity_CelebA.txt."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from soda.data.sources.base import TRAIN, SourceError
from soda.data.sources.published.records import Contents, Record, inner, lines, wanted

_SPLITS = {"0": TRAIN, "1": "val", "2": "test"}
_VALUES = {"1": "yes", "-1": "no"}


def read_celeba(root: Path) -> Contents:
    """202,599 faces in their official splits. No class: its 40 attributes are factors of "yes" and "no", identity is another.

    `dataset.labels` may name one of them to be the label.
    """
    folder = inner(root, "celeba")
    wanted(folder / "img_align_celeba")
    splits = _table(folder / "list_eval_partition.txt", 1)
    path = folder / "list_attr_celeba.txt"
    _, header, *rest = [*lines(path), "", ""]
    names = header.split()
    attributes = _rows(path, [line for line in rest if line], len(names), 3)
    identities = _table(folder / "identity_CelebA.txt", 1) if (folder / "identity_CelebA.txt").exists() else {}
    for name, values in splits.items():
        if values[0] not in _SPLITS:
            raise SourceError(f"{folder / 'list_eval_partition.txt'}: {name} is in partition {values[0]!r}; it must be 0, 1 or 2")
        if name not in attributes:
            raise SourceError(f"{path}: no line for {name}")
        if not set(attributes[name]) <= set(_VALUES):
            raise SourceError(f"{path}: the attributes of {name} are not all 1 or -1")

    def records() -> Iterator[Record]:
        pictures = (folder / "img_align_celeba").relative_to(root).as_posix()
        for name in sorted(splits):
            factors = dict(zip(names, (_VALUES[value] for value in attributes[name]), strict=True))
            if identities:
                factors["identity"] = identities.get(name, [""])[0]
            yield Record(name, _SPLITS[splits[name][0]], "", f"{pictures}/{name}", factors=factors)

    return Contents(records(), (*names, *(("identity",) if identities else ())))


def _table(path: Path, columns: int) -> dict[str, list[str]]:
    return _rows(path, lines(path), columns, 1)


def _rows(path: Path, rows: list[str], columns: int, first: int) -> dict[str, list[str]]:
    """file name -> the values after it. `first`: the first line's number. Raises SourceError naming a line of another length."""
    table = {}
    for number, row in enumerate(rows, first):
        name, *values = row.split() or [""]
        if len(values) != columns:
            raise SourceError(f"{path}, line {number}: {len(values)} values where there should be {columns}")
        table[name] = values
    return table
