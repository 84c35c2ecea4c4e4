"""The stages' metrics as one nested dictionary, and the remarks that go with them."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from soda.common.errors import SodaError
from soda.evaluation.registry import UndeclaredError, require_declared

Metrics = dict[str, Any]  # nested; the leaves are truth values, numbers and strings


class ReportError(SodaError, ValueError):
    """An input of the report that cannot be used; the message names the file, key or row."""


@dataclass(frozen=True)
class Parts:
    """What the stages measured. `notes` are plain sentences by section: a first key of `metrics` or a part's file name."""

    metrics: Metrics = field(default_factory=dict)
    notes: dict[str, list[str]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)  # parts that were not there


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


def read_metrics(path: Path) -> Metrics | None:
    """As `read_json`. Raises ReportError, too, for a figure that no measure declares."""
    metrics = read_json(path)
    try:
        require_declared(metrics or {})
    except UndeclaredError as error:
        raise ReportError(f"{path}: {error}") from None
    return metrics


def merge_parts(paths: list[Path]) -> Parts:
    """Merge the JSON files of the stages, in the order given.

    Lists called "notes", at any depth, are kept apart; null and non-finite numbers are left out and noted. A part that does not
    exist is listed in `missing`. Raises ReportError naming file and key when two parts disagree, a value is no metric, or
    no measure declares it.
    """
    parts = Parts()
    for path in paths:
        part = read_metrics(path)
        if part is None:
            parts.missing.append(path.name)
        else:
            _merge(parts, parts.metrics, part, path)
    return parts


def _merge(parts: Parts, into: Metrics, part: dict[str, Any], path: Path, prefix: str = "") -> None:
    section = prefix.split(".")[0] or path.stem
    for name, value in part.items():
        key = f"{prefix}{name}"
        if name == "notes":
            parts.notes.setdefault(section, []).extend(_sentences(value, f"{path}: {key}"))
        elif isinstance(value, dict):
            known = into.setdefault(name, {})
            if not isinstance(known, dict):
                raise ReportError(f"{path}: {key} is a group of metrics here and {known!r} in another part")
            _merge(parts, known, value, path, f"{key}.")
        elif value is None or (isinstance(value, float) and not math.isfinite(value)):
            why = "was not measured" if value is None else f"is not a finite number ({value})"
            parts.notes.setdefault(section, []).append(f"{key} {why} and is left out.")
        elif not isinstance(value, (bool, int, float, str)):
            raise ReportError(f"{path}: {key} holds a {type(value).__name__}; a metric is a number, a truth value or a string")
        elif name in into and (isinstance(into[name], dict) or into[name] != value):
            raise ReportError(f"{path}: {key} is {value!r} here and {into[name]!r} in another part; one key, one value")
        else:
            into[name] = value


def _sentences(value: Any, where: str) -> list[str]:
    lines = [value] if isinstance(value, str) else value
    if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
        raise ReportError(f"{where}: notes are sentences, not {value!r}")
    return lines
