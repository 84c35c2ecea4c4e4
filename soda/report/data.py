"""The report's view of the data: counts, rejected files, and the gate's verdict."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from soda.data.columns import SPLITS
from soda.data.gate.verdict import GateError, read_verdict
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


def read_judged(path: Path, data: DataFacts | None) -> dict[str, Any] | None:
    """The gate's verdict as the page shows it; None when there is none. Raises ReportError when it is no verdict.

    Besides what the gate wrote: `of_this_data`, whether its data version is that of the prepared data, where there is any;
    `failing`, and `remarked`, what is trained on all the same, of the checks; and of each check `remark`, whether its failing
    is one, and `rows`, (id, file, value) of the failing rows named.
    """
    if not path.exists():
        return None
    try:
        verdict = read_verdict(path)
        checks = [_check(value) for value in verdict["checks"]]
    except GateError as error:
        raise ReportError(str(error)) from None
    except (KeyError, TypeError, AttributeError) as error:
        raise ReportError(f"{path}: not a verdict of the gate ({type(error).__name__}: {error})") from None
    failing = [check for check in checks if not check["success"]]
    return (
        {"remarks": [], "notes": []}
        | verdict
        | {
            "of_this_data": data is None or verdict["data_version"] == data.version,
            "checks": checks,
            "failing": [check for check in failing if not check["remark"]],
            "remarked": [check for check in failing if check["remark"]],
        }
    )


def _check(value: dict[str, Any]) -> dict[str, Any]:
    name, column = value["name"], value.get("column")
    rows = [(plain(row.get("id", "")), plain(row.get("file", "")), plain(row.get("value"))) for row in value["failing_rows"]]
    shown = {"name": f"{name} ({column})" if column else name, "observed": plain(value["observed"]), "rows": rows}
    return {**value, **shown, "remark": value.get("severity") == "remark"}
