"""The validate stage: Great Expectations over the manifest and a fresh reading of the shards. What fails is not trained on."""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path
from typing import Any

from soda.common.files import write_json
from soda.config import GateConfig
from soda.data.gate.data_docs import write_docs
from soda.data.gate.reading import PreparedReading, read_prepared
from soda.data.gate.references import accept, place_of
from soda.data.gate.run_suite import TableResult, run
from soda.data.gate.seal import seal
from soda.data.gate.suite import tables
from soda.data.gate.thumbnails import thumbnails
from soda.data.gate.verdict import GateError, sealed

logger = logging.getLogger(__name__)


def validate(
    config: GateConfig,
    prepared: Path,
    verdict: Path,
    data_docs: Path,
    accepted: Path | None = None,
    releases: Path | None = None,
) -> dict[str, Any]:
    """Judge the prepared data; write the verdict (JSON) and the Data Docs (a folder), the same bytes for the same data.

    accepted: a folder that keeps how accepted versions were; this one is held to the last of its data set, and kept there when it
    passes or may fail. Such a comparison is no part of what the same data alone decides. releases: the folder of released
    encoders, one of which is asked where gate.encoder says so.

    Returns how many rows and checks there were and how many checks failed. Raises GateError, after both are written, when a check
    failed and `config.allow_failure` is false; its message lists every failure. Raises it before, leaving earlier results as they
    were, when there is no prepared data or `config.reference` cannot be read.
    """
    prepared, verdict, data_docs = Path(prepared), Path(verdict), Path(data_docs)
    if not prepared.is_dir():
        raise GateError(f"{prepared}: there is no prepared data; run `soda prepare` first")
    reading, document, results = judge(config, prepared, accepted, releases)
    write_docs(data_docs, document, results, thumbnails(prepared, document["checks"]))
    write_json(verdict, document)
    seal(verdict, config)
    failures = document["failures"]
    total = len(document["checks"])
    passed = sum(check["success"] for check in document["checks"])
    logger.info("gate: %d of %d checks passed on %d pictures", passed, total, reading.rows)
    for remark in document["remarks"]:
        logger.info("gate: remark: %s", remark)
    for note in document["notes"]:
        logger.info("gate: %s", note)
    may_pass = not failures or config.allow_failure
    if may_pass and accepted is not None and reading.description is not None and reading.summary is not None:
        meant = bool(failures)  # somebody let it pass: what was found is what the next is held to
        looked_at, moved_on = reading.looked_at or meant, reading.moved_on or meant
        accept(place_of(accepted, reading.summary), reading.description, looked_at=looked_at, moved_on=moved_on)
    if failures:
        _refuse(config, prepared, verdict, data_docs, failures)
    return {"rows": reading.rows, "checks": total, "failed": len(failures), "success": not failures}


def judge(
    config: GateConfig, prepared: Path, accepted: Path | None, releases: Path | None = None
) -> tuple[PreparedReading, dict[str, Any], list[TableResult]]:
    """What the gate says of this data, and from what it says so; nothing is written."""
    reading = read_prepared(prepared)
    results = run(tables(config, reading, accepted, releases))
    return reading, _verdict(config, reading, results), results


def _verdict(config: GateConfig, reading: PreparedReading, results: list[TableResult]) -> dict[str, Any]:
    failures = [line for result in results for line in result.failures]
    document = {
        "success": not failures,
        "allowed": config.allow_failure,
        "dataset": reading.summary["dataset"] if reading.summary else "",
        "data_version": reading.manifest_sha256,
        "summary_sha256": reading.summary_sha256,
        "rows": reading.rows,
        "checks": [check for result in results for check in result.checks],
        "failures": failures,
        "remarks": [*reading.remarks, *(line for result in results for line in result.remarks)],
        "notes": reading.notes,
        "suite_sha256": _suite_sha256(results),
    }
    return sealed(document)


def _suite_sha256(results: list[TableResult]) -> str:
    """Of all that was expected, with its bounds: another suite is another verdict."""
    suite = [[result.table.name, [[each.expectation, each.arguments] for each in result.table.checks]] for result in results]
    return hashlib.sha256(json.dumps(suite, sort_keys=True, default=str).encode()).hexdigest()


def _refuse(config: GateConfig, prepared: Path, verdict: Path, data_docs: Path, failures: list[str]) -> None:
    listed = "\n".join(f"- {line}" for line in failures)
    where = f"The failing rows are in {verdict}; to look at them open {data_docs / 'index.html'}."
    if not config.allow_failure:
        raise GateError(f"{prepared}: the data did not pass the gate, so nothing is trained on it:\n{listed}\n{where}")
    logger.warning("%s: the data did not pass the gate, but gate.allow_failure is true:\n%s\n%s", prepared, listed, where)
