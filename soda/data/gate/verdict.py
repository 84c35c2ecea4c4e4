"""The gate's verdict as others read it: training asks `require_verdict` first, so nothing gets round the gate.

A verdict is bound to what it judged: it names the manifest, the summary and the suite by their hashes, and carries a seal over
all that it says. That seal has no key: it shows a damaged file, or one edited by hand. Who made the verdict: `gate.seal`.
Does not import Great Expectations.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from soda.common.errors import SodaError
from soda.common.files import file_sha256

_KEYS = {"success": bool, "allowed": bool, "data_version": str, "rows": int, "checks": list, "failures": list}
SEAL = "seal"


class GateError(SodaError, ValueError):
    """Prepared data that did not pass the gate, or a verdict that is missing or of other data. The message names the files."""


def sealed(document: dict[str, Any]) -> dict[str, Any]:
    """The verdict with a seal: the SHA-256 over all else that it says."""
    said = json.loads(json.dumps({key: value for key, value in document.items() if key != SEAL}))  # as it will be read
    return {**said, SEAL: hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()}


def read_verdict(path: Path) -> dict[str, Any]:
    """The verdict that `validate` wrote. Raises GateError when there is none or the file is no verdict."""
    path = Path(path)
    try:
        verdict = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise GateError(f"{path}: there is no verdict; pass the data through the gate first (`soda validate`)") from None
    except (OSError, ValueError) as error:
        raise GateError(f"{path}: the verdict cannot be read ({error}); run `soda validate` again") from None
    for key, kind in _KEYS.items():
        if not isinstance(verdict, dict) or not isinstance(verdict.get(key), kind):
            raise GateError(f"{path}: not a verdict of the gate: {key!r} is missing or wrong; run `soda validate` again")
    return verdict


def require_verdict(prepared: Path, verdict: Path, *, allow_failure: bool, shards_here: bool = True) -> dict[str, Any]:
    """The verdict on the data in `prepared`, when that data may be trained on.

    allow_failure: what the configuration says of it now; a permission of the day of the verdict alone is none.
    shards_here: whether the shards are read; those from elsewhere are each held to summary.json when they come (ShardCache).

    Raises GateError unless the verdict is as the gate wrote it, is a success (which its checks bear out) or an allowed failure,
    was given on these very files, and manifest and shards are byte for byte what summary.json says. Damage is never allowed:
    `gate.allow_failure` is about the data, not its files.
    """
    prepared, verdict = Path(prepared), Path(verdict)
    found = read_verdict(verdict)
    _require_unedited(found, verdict)
    if not found["success"] and not (found["allowed"] and allow_failure):
        reasons = "\n".join(f"- {line}" for line in found["failures"])
        raise GateError(
            f"{verdict}: the data did not pass the gate and cannot be trained on:\n{reasons}\n"
            "To train on it nonetheless set gate.allow_failure=true and run the gate again; the report then says so."
        )
    manifest, summary_path = prepared / "manifest.parquet", prepared / "summary.json"
    version = _sha256(manifest)
    if version != found["data_version"]:
        raise GateError(
            f"{manifest}: its SHA-256 is {version}, but the verdict {verdict} is about {found['data_version']}; "
            "the data is another than the gate saw: run `soda validate` again"
        )
    if _sha256(summary_path) != found.get("summary_sha256"):
        raise GateError(f"{summary_path}: changed since the verdict {verdict} was given; run `soda validate` again")
    _require_unaltered(prepared, summary_path, version, shards_here)
    return found


def _require_unedited(found: dict[str, Any], verdict: Path) -> None:
    failed = sum(not isinstance(check, dict) or not _holds(check) for check in found["checks"])
    if found["success"] and (failed or found["failures"]):
        raise GateError(
            f"{verdict}: says that the data passed, and yet {failed} of its checks failed and it lists {len(found['failures'])} "
            "failures: it was edited; run `soda validate` again"
        )
    if found.get(SEAL) != sealed(found)[SEAL]:
        raise GateError(f"{verdict}: not as the gate wrote it: its seal is {_what(found.get(SEAL))}; run `soda validate` again")


def _holds(check: dict[str, Any]) -> bool:
    return check.get("success") is True or check.get("severity") == "remark"


def _what(seal: Any) -> str:
    return "missing (it is of an older version, or was edited)" if seal is None else "of another text (it was edited)"


def _require_unaltered(prepared: Path, summary_path: Path, version: str, shards_here: bool) -> None:
    try:
        summary = json.loads(summary_path.read_text(encoding="utf-8"))
        recorded, shards = summary["manifest_sha256"], [(str(s["file"]), s["sha256"]) for s in summary["shards"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise GateError(f"{summary_path}: cannot be read ({type(error).__name__}: {error}); prepare the data again") from None
    if recorded != version:
        raise GateError(
            f"{prepared / 'manifest.parquet'}: altered since it was prepared; prepare the data again (`soda prepare`)"
        )
    for name, wanted in shards if shards_here else ():
        if _sha256(prepared / name) != wanted:
            raise GateError(
                f"{prepared / name}: truncated or altered since the data was prepared (its SHA-256 is not {wanted}); "
                "prepare the data again (`soda prepare`)"
            )


def _sha256(path: Path) -> str:
    try:
        return file_sha256(path)
    except OSError as error:
        raise GateError(f"{path}: cannot be read ({error.strerror}); prepare the data again (`soda prepare`)") from None
