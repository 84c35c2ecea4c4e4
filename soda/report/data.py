"""The report's view of the data: counts, rejected files, and the gate's verdict."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from soda.data.columns import SPLITS
from soda.report.format import plain
from soda.report.parts import ReportError, read_json

MAX_REJECTED = 50
MAX_LABELS = 60


@dataclass(frozen=True)
class DataFacts:
    """What was prepared. `labels`: (name, counts by split, total), the commonest first when not all fit."""

    summary: dict[str, Any]
    splits: list[str]
    totals: list[int]
    labels: list[tuple[str, list[int], int]]
    labels_left_out: int
    rejected: list[tuple[str, str]]  # file, reason; at most MAX_REJECTED
    rejected_count: int
    duplicates: int  # of the rejected: dropped because their picture was there already
    blank: int = 0  # of the rejected: they show nothing

    @property
    def name(self) -> str:
        return str(self.summary.get("dataset", "pictures"))

    @property
    def version(self) -> str:
        return str(self.summary.get("manifest_sha256", "unknown"))

    @property
    def count(self) -> int:
        return sum(self.totals)


@dataclass(frozen=True)
class CheckFacts:
    """One expectation. `rows` are the failing rows named: id, file, value."""

    name: str
    about: str
    success: bool
    observed: str
    rows: list[tuple[str, str, str]]
    failing_count: int
    remark: bool = False  # what fails is said, and trained on all the same


@dataclass(frozen=True)
class VerdictFacts:
    success: bool
    allowed: bool
    of_this_data: bool  # its data version is that of the prepared data, where there is any
    rows: int
    checks: list[CheckFacts]
    failures: list[str]
    remarks: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def failing(self) -> list[CheckFacts]:
        return [check for check in self.checks if not check.success and not check.remark]

    @property
    def remarked(self) -> list[CheckFacts]:
        return [check for check in self.checks if not check.success and check.remark]


def _rejected(path: Path) -> list[tuple[str, str]]:
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        reader = csv.DictReader(file)
        if not {"file", "reason"} <= set(reader.fieldnames or []):
            raise ReportError(f"{path}: its columns are {reader.fieldnames}, expected file and reason")
        return [(row["file"] or "", row["reason"] or "") for row in reader]


def read_data(prepared: Path) -> DataFacts | None:
    """Counts from the manifest, the rest from summary.json and rejected.csv; None when nothing was prepared here.

    Raises ReportError naming the file when one of them cannot be read.
    """
    summary = read_json(prepared / "summary.json")
    manifest = prepared / "manifest.parquet"
    if summary is None or not manifest.exists():
        return None
    try:
        table = pq.read_table(manifest, columns=["split", "label"])
    except (OSError, ValueError) as error:  # Arrow's own errors are among them
        raise ReportError(f"{manifest}: {error}") from None
    grouped = table.group_by(["split", "label"]).aggregate([([], "count_all")]).to_pylist()
    counts = Counter({(row["split"], row["label"] or ""): row["count_all"] for row in grouped})
    present = set(pc.unique(table["split"]).to_pylist())
    splits = [name for name in SPLITS if name in present] + sorted(present - set(SPLITS))
    names = {label for _, label in counts}
    rows = [(label, [counts[split, label] for split in splits]) for label in names]
    labelled = names != {""} and bool(names)
    labels = [(label or "(no label)", row, sum(row)) for label, row in rows] if labelled else []
    labels.sort(key=lambda row: (-row[2], row[0]) if len(labels) > MAX_LABELS else (0, row[0]))
    rejected = _rejected(prepared / "rejected.csv")
    return DataFacts(
        summary=summary,
        splits=splits,
        totals=[sum(row[i] for _, row in rows) for i in range(len(splits))],
        labels=labels[:MAX_LABELS],
        labels_left_out=max(0, len(labels) - MAX_LABELS),
        rejected=rejected[:MAX_REJECTED],
        rejected_count=len(rejected),
        blank=sum(reason.startswith("blank:") for _, reason in rejected),
        duplicates=sum(reason.startswith("duplicate of") for _, reason in rejected),
    )


def _check(value: dict[str, Any]) -> CheckFacts:
    name = str(value.get("name", "check"))
    column = value.get("column")
    rows = value.get("failing_rows") or []
    return CheckFacts(
        name=f"{name} ({column})" if column else name,
        about=str(value.get("about") or name),
        success=value["success"] is True,
        observed=plain(value.get("observed")),
        rows=[(plain(row.get("id", "")), plain(row.get("file", "")), plain(row.get("value"))) for row in rows],
        failing_count=int(value.get("failing_count") or len(rows)),
        remark=value.get("severity") == "remark",
    )


def read_verdict_facts(path: Path, data: DataFacts | None) -> VerdictFacts | None:
    """The gate's verdict as the page shows it; None when there is none. Raises ReportError when it is no verdict."""
    verdict = read_json(path)
    if verdict is None:
        return None
    try:
        return VerdictFacts(
            success=verdict["success"] is True,
            allowed=verdict.get("allowed") is True,
            of_this_data=data is None or verdict.get("data_version") == data.version,
            rows=int(verdict.get("rows", 0)),
            checks=[_check(value) for value in verdict.get("checks", [])],
            failures=[str(line) for line in verdict.get("failures", [])],
            remarks=[str(line) for line in verdict.get("remarks", [])],
            notes=[str(line) for line in verdict.get("notes", [])],
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ReportError(f"{path}: not a verdict of the gate ({type(error).__name__}: {error})") from None
