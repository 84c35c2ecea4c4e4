"""Whose verdict it is: one that the gate gave here carries an HMAC by a key that nobody else has.

The key (32 bytes, mode 600, made at the first verdict) and the HMAC lie beside the verdict, in reports/.gate, which neither Git
nor DVC has. So a verdict is the same file in every clone, and an HMAC of another clone is none here. A verdict without one was
made elsewhere, or edited: then the data is judged again, by the settings of now, before it is trained on. It does not keep out
who can read the key: that is this user.
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import json
import logging
import os
import secrets
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from soda.common.files import write_json
from soda.config import GateConfig
from soda.data.gate.verdict import GateError, read_verdict, require_verdict
from soda.layout import ACCEPTED, RELEASES

KEPT = ".gate"
_KEY = "key"
logger = logging.getLogger(__name__)


def seal(verdict: Path, gate: GateConfig) -> None:
    """Say that this verdict was given here, by these settings. Raises OSError where nothing can be written beside it."""
    settings = _settings(gate)
    mark = _mark(_key(verdict), verdict.read_bytes(), settings)
    write_json(_place(verdict), {"settings": settings, "hmac": mark})


def sealed_settings(verdict: Path) -> dict[str, Any] | None:
    """The settings by which this very verdict was given here; None where it was not."""
    try:
        kept = json.loads(_place(verdict).read_text(encoding="utf-8"))
        key = (verdict.parent / KEPT / _KEY).read_bytes()
        settings: dict[str, Any] = kept["settings"]
        right = hmac.compare_digest(_mark(key, verdict.read_bytes(), settings), kept["hmac"])
        return settings if right and isinstance(settings, dict) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def require_own_verdict(prepared: Path, verdict: Path, gate: GateConfig) -> None:
    """Return when the verdict was given here and by these settings. One that was not is given again, from the data.

    Raises GateError where settings of the gate changed since, and where the data does not pass when it is judged again; and what
    `require_verdict` raises.
    """
    read_verdict(verdict)
    then, now = sealed_settings(verdict), _settings(gate)
    if then is None:
        _judge_again(prepared, verdict, gate)
        return
    changed = [f"gate.{name}" for name in sorted({*then, *now}) if then.get(name) != now.get(name)]
    if changed:
        raise GateError(
            f"{verdict}: was given by other settings than those of now ({', '.join(changed)}); run `soda validate` again, or, "
            "where a pipeline runs, leave out FROM=train"
        )


def _judge_again(prepared: Path, verdict: Path, gate: GateConfig) -> None:
    require_verdict(prepared, verdict, allow_failure=gate.allow_failure)
    logger.warning(
        "%s: not sealed here: it was made elsewhere (another clone, a backup, `dvc pull`), or edited. The data is judged again.",
        verdict,
    )
    # By a computed name, which the fingerprint of code does not follow: a change of the gate's code is none of training's.
    judge = import_module(f"{__package__}.validate").judge
    root = prepared.parents[1]  # as in `soda.layout`, whose paths are relative to a project
    failures: list[str] = judge(gate, prepared, root / ACCEPTED, root / RELEASES)[1]["failures"]
    if failures and not gate.allow_failure:
        listed = "\n".join(f"- {line}" for line in failures)
        raise GateError(
            f"{verdict}: was not given here, and the data does not pass by the gate's settings of now:\n{listed}\n"
            "Run `soda validate`, which writes a verdict of its own and says more."
        )
    logger.info("%s: the data passed again", verdict)
    with suppress(OSError):  # of a disk that is read only: then the next training judges once more
        seal(verdict, gate)


def _settings(gate: GateConfig) -> dict[str, Any]:
    """What decides a verdict; whether a failure is allowed is asked apart."""
    settings: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(gate)))
    del settings["allow_failure"]
    return settings


def _place(verdict: Path) -> Path:
    return verdict.parent / KEPT / f"{verdict.stem}.json"


def _mark(key: bytes, text: bytes, settings: dict[str, Any]) -> str:
    said = json.dumps(settings, sort_keys=True).encode()
    return hmac.new(key, hashlib.sha256(text).digest() + said, hashlib.sha256).hexdigest()


def _key(verdict: Path) -> bytes:
    """The key, made where there is none."""
    path = verdict.parent / KEPT / _KEY
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with suppress(FileExistsError), os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(secrets.token_bytes(32))
    key = path.read_bytes()
    if len(key) == 32:
        return key
    path.unlink()  # cut short by a kill
    return _key(verdict)
