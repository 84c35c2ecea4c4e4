"""A folder of signed releases, of encoders that are there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from soda.release.bundle import Candidate, Judged, make
from soda.release.signing import make_key
from soda.release.store import point_to


def release(root: Path, version: str, encoder: Path, metrics: Mapping[str, Any] = MappingProxyType({}), **about: str) -> Path:
    """Put that encoder in use, under that version, below `root`/releases. Returns the folder of the release."""
    public = make_key(root / "signing.key")
    assert public == root / "signing.key.pub"
    candidate = Candidate({"encoder.onnx": encoder}, metrics, lambda name: f"# {name}\n", {"made": "2026-01-01", **about})
    folder = make(candidate, Judged(version, (), None), root / "releases", root / "signing.key")
    point_to(root / "releases", version)
    return folder
