"""The stages' metrics as one nested dictionary, and the remarks that go with them."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from soda.common.errors import SodaError

Scalar = bool | int | float | str
Metrics = dict[str, Any]  # nested; the leaves are Scalar


class ReportError(SodaError, ValueError):
    """An input of the report that cannot be used; the message names the file, key or row."""


@dataclass(frozen=True)
class Parts:
    """What the stages measured. `notes` are plain sentences by section: a first key of `metrics` or a part's file name."""

    metrics: Metrics
    notes: dict[str, list[str]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)  # parts that were not there

    def get(self, key: str) -> Scalar | None:
        """The value at a dotted key (`probe.linear_top1`), or None where it was not measured."""
        value: Any = self.metrics
        for name in key.split("."):
            value = value.get(name) if isinstance(value, dict) else None
        return None if isinstance(value, dict) else value

    def number(self, key: str) -> float | None:
        """As `get`, for numbers only."""
        value = self.get(key)
        return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in a JSON file; None when there is no such file. Raises ReportError when it is not a JSON object."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ReportError(f"{path}: not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise ReportError(f"{path}: holds a {type(value).__name__} where an object of metrics belongs")
    return value


def _sentences(value: Any, where: str) -> list[str]:
    lines = [value] if isinstance(value, str) else value
    if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
        raise ReportError(f"{where}: notes are sentences, not {value!r}")
    return lines


def _merge(into: Metrics, part: dict[str, Any], path: Path, prefix: str, section: str, notes: dict[str, list[str]]) -> None:
    for name, value in part.items():
        key = f"{prefix}{name}"
        inside = prefix.split(".")[0] or section
        if name == "notes":
            notes.setdefault(inside, []).extend(_sentences(value, f"{path}: {key}"))
        elif isinstance(value, dict):
            known = into.setdefault(name, {})
            if not isinstance(known, dict):
                raise ReportError(f"{path}: {key} is a group of metrics here and {known!r} in another part")
            _merge(known, value, path, f"{key}.", section, notes)
        elif value is None or (isinstance(value, float) and not math.isfinite(value)):
            why = "was not measured" if value is None else f"is not a finite number ({value})"
            notes.setdefault(key.split(".")[0] if prefix else section, []).append(f"{key} {why} and is left out.")
        elif not isinstance(value, (bool, int, float, str)):
            raise ReportError(f"{path}: {key} holds a {type(value).__name__}; a metric is a number, a truth value or a string")
        elif name in into and (isinstance(into[name], dict) or into[name] != value):
            raise ReportError(f"{path}: {key} is {value!r} here and {into[name]!r} in another part; one key, one value")
        else:
            into[name] = value


def merge_parts(parts: list[Path]) -> Parts:
    """Merge the JSON files of the stages, in the order given.

    Lists called "notes", at any depth, are kept apart; null and non-finite numbers are left out and noted. A part that does not
    exist is listed in `missing`. Raises ReportError naming the key when two parts disagree, or when a value is no metric.
    """
    metrics: Metrics = {}
    notes: dict[str, list[str]] = {}
    missing: list[str] = []
    for path in parts:
        part = read_json(path)
        if part is None:
            missing.append(path.name)
        else:
            _merge(metrics, part, path, "", path.stem, notes)
    return Parts(metrics, notes, missing)


def flatten(metrics: Metrics, prefix: str = "") -> list[tuple[str, Scalar]]:
    """Dotted keys and values, in the order of the dictionary."""
    rows: list[tuple[str, Scalar]] = []
    for name, value in metrics.items():
        rows += flatten(value, f"{prefix}{name}.") if isinstance(value, dict) else [(f"{prefix}{name}", value)]
    return rows
