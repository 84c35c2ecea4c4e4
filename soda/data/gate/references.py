"""The accepted versions that the next one is held to: the last, the one since which nobody looked at what came, and an anchor.

Of these each is a description (`accepted.describe_version`) in one file a data set. Were what came compared with the last version
alone, a few bad pictures a day would be too few to be looked at every day, and part of what the next day is held to. So what came
is pooled until there is enough of it, and all that came since the anchor is looked at together, however slowly it came.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from soda.common.files import write_json
from soda.data.near_copies import SIDE

ENOUGH = 0.5
"""Share of all that what came since the anchor must be before it, being accepted, is a part of the next anchor: the anchor moves
when the data has doubled."""
_FORMATS = (2, 3)  # 2 had no anchor
_KEPT = {"version", "train", "statistics", "labels", "of_labels", "kinds", "gainsaid", "contents"}


@dataclass(frozen=True)
class References:
    """Descriptions of accepted versions. last: before this one; pooled: what came since it was not yet looked at by itself;
    anchor: an older one, or the same."""

    last: dict[str, Any]
    pooled: dict[str, Any]
    anchor: dict[str, Any]


def place_of(folder: Path, summary: dict[str, Any]) -> Path:
    """The file of a data set: of one source, prepared in one way."""
    settings = [summary.get(key) for key in ("dataset", "source", "image_size", "channels", "resize")]
    name = hashlib.sha256(json.dumps([*settings, SIDE]).encode()).hexdigest()[:12]
    return folder / f"{summary['dataset']}-{name}.json"


def references(path: Path, version: str) -> References | None:
    """What `version` is held to; None where no other version was accepted, or the file is not one that can be read."""
    versions, others = _read(path)
    last = next((each for each in versions if each["version"] != version), None)
    if last is None:
        return None
    known = {each["version"]: each for each in (*versions, *others)}
    # A version of before there were anchors has none: it is its own.
    return References(last, *(known.get(last.get(role, ""), last) for role in ("pooled", "anchor")))


def accept(path: Path, description: dict[str, Any], *, looked_at: bool, moved_on: bool) -> None:
    """Keep this version beside the one before it: a second look at the same data is held to what the first was held to.

    looked_at: what came since the version that it was pooled from was looked at by itself, or all is new. moved_on: this version
    is the next anchor.
    """
    version, before = description["version"], references(path, description["version"])
    pooled, anchor = (before.pooled["version"], before.anchor["version"]) if before else (version, version)
    description = {
        **description,
        "pooled": version if looked_at else pooled,
        "anchor": version if moved_on else anchor,
    }
    versions = [description, *([before.last] if before else [])]
    others = {each["version"]: each for each in ((before.pooled, before.anchor) if before else ())}
    others = {name: each for name, each in others.items() if name not in {each["version"] for each in versions}}
    write_json(path, {"format": _FORMATS[-1], "versions": versions, "others": list(others.values())})


def _read(path: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The last accepted versions, the latest first, and others that they refer to."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["format"] not in _FORMATS:
            return [], []
        return (
            [each for each in kept["versions"] if set(each) >= _KEPT],
            [each for each in kept.get("others", []) if set(each) >= _KEPT],
        )
    except (OSError, ValueError, KeyError, TypeError):
        return [], []
