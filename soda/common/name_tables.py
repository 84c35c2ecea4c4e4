"""Tables that a person wrote about pictures: CSV files with columns that name them, read and matched in one way everywhere.

A name is taken as it is written first; then in whatever other spelling it may mean, of which there must be one.
"""

from __future__ import annotations

import csv
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from soda.common.errors import InputError

_DELIMITERS = (",", ";", "\t")
_SHOWN = 5  # rows or files that an error names


class TableError(InputError):
    """A table that cannot be used; the message names the file, and the column or the lines."""


@dataclass(frozen=True)
class Column:
    """The name of a column, and of the setting that chooses it, "" where none does."""

    name: str
    setting: str = ""

    @property
    def said(self) -> str:
        """As a message names it."""
        return f"{self.name!r} ({self.setting})" if self.setting else repr(self.name)


@dataclass(frozen=True)
class Labels:
    """by_name: of each picture that a row is about; strangers: the rows that are about none, "line 3 (a.png)"; rows: of all."""

    by_name: dict[str, str]
    strangers: list[str]
    rows: int


def read_rows(path: Path, *columns: Column) -> list[tuple[int, tuple[str, ...]]]:
    """Line, and the entries of `columns`, of each row of a CSV file: comma, semicolon or tab; UTF-8, with or without a mark.

    Raises TableError for a file that cannot be read so, and for a column that is missing or there twice.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header = file.readline()
            tables = {each: [name.strip() for name in next(csv.reader([header], delimiter=each), [])] for each in _DELIMITERS}
            wanted = {column.name for column in columns}
            delimiter = max(_DELIMITERS, key=lambda each: (wanted <= set(tables[each]), len(tables[each])))
            found = tables[delimiter]
            for column in columns:
                if column.name not in found:
                    raise TableError(f"{path}: no column {column.said}; its columns are {', '.join(found) or 'none'}")
                if found.count(column.name) > 1:
                    raise TableError(f"{path}: {found.count(column.name)} columns are called {column.said}")
            reader = csv.DictReader(file, found, delimiter=delimiter, restval="")
            return [(reader.line_num + 1, tuple(row[column.name] for column in columns)) for row in reader]
    except UnicodeDecodeError as error:
        raise TableError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start})") from None
    except csv.Error as error:
        raise TableError(f"{path}: not a CSV file ({error})") from None
    except OSError as error:
        raise TableError(f"{path}: cannot be read ({(error.strerror or str(error)).lower()})") from None


def meant(written: Collection[str], names: Sequence[str]) -> dict[str, list[str]]:
    """What of `names` each written entry means: itself where it is among them, else all that are the same but for the spelling.

    An entry that means nothing is left out. Memory grows with the entries, not with the names.
    """
    asked = set(written)
    found = {name: [name] for name in names if name in asked}
    spellings = {entry: spelling for entry in asked - set(found) if (spelling := _normal(entry))}
    if spellings:
        wanted, alike = set(spellings.values()), defaultdict[str, list[str]](list)
        for name in names:
            if (spelling := _normal(name)) in wanted:
                alike[spelling].append(name)
        found |= {entry: alike[spelling] for entry, spelling in spellings.items() if spelling in alike}
    return found


def the_one_meant(path: Path, line: int, entry: str, found: dict[str, list[str]]) -> str | None:
    """The one name that an entry means, None where it means none. Raises TableError where it may be any of several."""
    named = found.get(entry, [])
    if len(named) > 1:
        raise TableError(f"{path}, line {line}: {entry.strip()} may be any of {some(map(repr, named), 'pictures')}")
    return named[0] if named else None


def read_labels(path: Path, names: Sequence[str], *, file: Column, label: Column) -> Labels:
    """The labels that the column `label` gives the pictures `names`, which the column `file` names.

    Raises TableError as `read_rows`, for an empty label or name, an entry that may be any of several pictures, and two rows that
    disagree.
    """
    rows = read_rows(path, file, label)
    found = meant({entry for _, (entry, _) in rows}, names)
    labels, empty, strangers = dict[str, str](), list[str](), list[str]()
    for line, (written, text) in rows:
        entry, value = written.strip(), text.strip()
        name = the_one_meant(path, line, written, found)
        if not value or not entry:
            empty.append(f"line {line}" + (f" ({entry})" if entry else ""))
        elif name is None:
            strangers.append(f"line {line} ({entry})")
        elif labels.setdefault(name, value) != value:
            raise TableError(f"{path}, line {line}: {entry} is {value!r}, an earlier line says {labels[name]!r}")
    if empty:
        raise TableError(f"{path}: column {label.name!r} is empty in {len(empty)} of {len(rows)} rows: {some(empty)}")
    return Labels(labels, strangers, len(rows))


def require_all(path: Path, labels: Labels, names: Iterable[str]) -> None:
    """Raise TableError where one of `names` has no row."""
    without = [name for name in names if name not in labels.by_name]
    if without:
        raise TableError(f"{path}: no row for {some(without, 'pictures')}")


def some(entries: Iterable[str], what: str = "") -> str:
    """The first of them, for a message; with what they are, how many there are, too."""
    entries = list(entries)
    shown = ", ".join(entries[:_SHOWN]) + (" ..." if len(entries) > _SHOWN else "")
    return f"{len(entries)} {what} ({shown})" if what else shown


def _normal(name: str) -> str:
    """One spelling of a relative path: composed Unicode (macOS stores decomposed), "/" between parts, no blanks around them, no
    "." among them."""
    parts = (part.strip() for part in unicodedata.normalize("NFC", name.replace("\\", "/")).split("/"))
    return "/".join(part for part in parts if part not in ("", "."))
