"""Running the gate's expectations in Great Expectations, and naming the rows that fail them."""

from __future__ import annotations

import logging
import math
import os
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from soda.data.gate.expectations import Expectation
from soda.data.gate.gate_table import GateTable

if TYPE_CHECKING:
    from great_expectations.core import ExpectationSuiteValidationResult

MAX_ROWS = 20  # failing rows that a verdict names for each check
_IN_SENTENCE = 3
_LONGEST = 200  # characters of a value in the verdict
_DIGEST = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{52}\b")  # shortened in sentences


@dataclass(frozen=True)
class TableResult:
    """A judged table: its checks as the verdict has them, sentences on those that failed, and Great Expectations' own result."""

    table: GateTable
    checks: list[dict[str, Any]]
    failures: list[str]
    remarks: list[str]
    validation: ExpectationSuiteValidationResult

    @property
    def success(self) -> bool:
        return not self.failures


def run(tables: Sequence[GateTable]) -> list[TableResult]:
    """Judge every table with its own expectation suite. Leaves nothing on disk and touches no network."""
    with _quiet():
        import great_expectations as gx

        context: Any = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = {"globally": False}
        source = context.data_sources.add_pandas("prepared")
        return [_run_table(context, source, table) for table in tables]


def _run_table(context: Any, source: Any, table: GateTable) -> TableResult:
    import great_expectations as gx
    import great_expectations.expectations as gxe

    suite = context.suites.add(gx.ExpectationSuite(name=table.name))
    for number, check in enumerate(table.checks):
        suite.add_expectation(getattr(gxe, check.expectation)(**check.arguments, description=check.about, meta={"check": number}))
    batch = source.add_dataframe_asset(table.name).add_batch_definition_whole_dataframe("all")
    definition = context.validation_definitions.add(gx.ValidationDefinition(name=table.name, data=batch, suite=suite))
    # Naming rows is left to `_failing_rows`: Great Expectations takes minutes for it when many rows fail.
    validation = definition.run(
        batch_parameters={"dataframe": table.frame},
        result_format={"result_format": "SUMMARY", "partial_unexpected_count": MAX_ROWS},
    )
    results = {}
    for result in validation.results:
        if "observed_value" in result.result:  # its pages take no NumPy numbers
            result.result["observed_value"] = plain(result.result["observed_value"])
        results[result.expectation_config.meta["check"]] = result
    checks: list[dict[str, Any]] = []
    failures: list[str] = []
    remarks: list[str] = []
    for number, check in enumerate(table.checks):
        judged = _judged(table, check, results[number])
        checks.append(judged)
        if not judged["success"]:
            (remarks if check.remark else failures).append(_sentence(check, judged))
    return TableResult(table, checks, failures, remarks, validation)


def _judged(table: GateTable, check: Expectation, result: Any) -> dict[str, Any]:
    found = result.result
    rows = [] if result.success else _failing_rows(table, check, found.get("partial_unexpected_list") or [])
    if not found:
        observed: Any = f"could not be computed: {_exception(result.exception_info)}"
    elif "unexpected_count" in found and "element_count" in found:
        failing, count = found["unexpected_count"], found["element_count"]
        observed = f"{failing:,} of {count:,} rows fail" if failing else f"all {count:,} rows pass"
    else:
        observed = plain(found.get("observed_value"))
    return {
        "name": result.expectation_config.type,
        "table": table.name,
        "column": ", ".join(_judged_columns(check)) or None,
        "about": check.about,
        "success": bool(result.success),
        "severity": "remark" if check.remark else "stop",
        "observed": observed,
        "failing_rows": rows,
        "failing_count": 0 if result.success else int(found.get("unexpected_count") or 0),
    }


def _judged_columns(check: Expectation) -> list[str]:
    arguments = check.arguments
    if "column" in arguments:
        return [arguments["column"]]
    if "column_A" in arguments:
        return [arguments["column_A"], arguments["column_B"]]
    return list(arguments.get("column_list", []))


def _failing_rows(table: GateTable, check: Expectation, values: Sequence[Any]) -> list[dict[str, Any]]:
    """The first rows that hold one of the failing values: whether a row fails depends on its values in these columns alone."""
    columns = _judged_columns(check)
    if not columns or not values:
        return []
    keys = {tuple(map(_key, _as_tuple(value, columns))) for value in values}
    frame, rows = table.frame, []
    for index, held in zip(frame.index, zip(*(frame[name] for name in columns), strict=True), strict=True):
        if tuple(map(_key, held)) not in keys:
            continue
        row = frame.loc[index]
        shown = [_short(plain(value)) for value in held]
        value = shown[0] if len(shown) == 1 else ", ".join(f"{n} {v}" for n, v in zip(columns, shown, strict=True))
        name, file = (str(row[column]) if column else "" for column in (table.id, table.file))
        rows.append({"id": name, "file": file, "value": value})
        if len(rows) == MAX_ROWS:
            break
    return rows


def _as_tuple(value: Any, columns: Sequence[str]) -> tuple[Any, ...]:
    if isinstance(value, dict):
        return tuple(value[name] for name in columns)
    return tuple(value) if len(columns) > 1 else (value,)


def _short(value: Any) -> Any:
    return float(f"{value:.4g}") if isinstance(value, float) else value


def _missing(value: Any) -> bool:
    return value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value))


def _key(value: Any) -> Any:
    return None if _missing(value) else value


def plain(value: Any) -> Any:
    """A value as JSON takes it."""
    if _missing(value):
        return None
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, (bool, int, float)):
        return value if not isinstance(value, float) or math.isfinite(value) else str(value)
    text = str(value)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"


def _exception(info: dict[str, Any]) -> str:
    for part in [info, *info.values()]:
        if isinstance(part, dict) and part.get("exception_message"):
            return str(part["exception_message"])
    return "no reason given"


def _sentence(check: Expectation, judged: dict[str, Any]) -> str:
    named = []
    for row in judged["failing_rows"][:_IN_SENTENCE]:
        name = row["file"] if not row["id"] else f"{row['file']} (id {row['id']})" if row["file"] else row["id"]
        value = "empty" if row["value"] in (None, "") else _DIGEST.sub(r"\1…", str(row["value"]))
        named.append(f"{name}: {value}")
    if not named:
        return f"{check.fault}: {judged['observed']}. {check.remedy}"
    count = judged["failing_count"]
    rest = f"; and {count - len(named):,} more" if count > len(named) else ""
    return f"{check.fault}: {count:,} ({'; '.join(named)}{rest}). {check.remedy}"


@contextmanager
def _quiet() -> Iterator[None]:
    """Great Expectations with its analytics off (it asks when it is imported), and with errors alone on the screen."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    disabled = logging.root.manager.disable
    logging.disable(max(disabled, logging.WARNING))  # its loggers set levels of their own
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
