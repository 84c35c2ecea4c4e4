"""Makes a release: the gates, then a folder with everything that belongs to the encoder, signed."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from soda import layout as at
from soda.common.files import file_sha256, whole_folder, write_json
from soda.release import NotBetterError, OtherDataError, ReleasedAlreadyError, ReleaseError
from soda.release.gates import Bounds, Gate, Metrics, hold
from soda.release.sbom import bill
from soda.release.signing import sign, verify_files
from soda.release.store import ENCODER, FACTS, METRICS, current_folder, facts_of, next_version, read_paper, read_pointer, versions

CARD, SBOM = "README.md", "sbom.cdx.json"


@dataclass(frozen=True)
class Candidate:
    """What is to be released. files: name in the release -> path; card: the card's Markdown of a version; about: facts for
    release.json, as the data's version."""

    files: Mapping[str, Path]
    metrics: Metrics
    card: Callable[[str], str]
    about: Mapping[str, Any]


@dataclass(frozen=True)
class Judged:
    """version: what it is or will be released as; folder: where it lies already, after a run that was killed; None: nowhere."""

    version: str
    gates: tuple[Gate, ...]
    folder: Path | None


def require_recorded(root: Path) -> None:
    """Encoder and metrics are those that dvc.lock has: else the tag would name other bytes than were measured.

    Raises ReleaseError naming the file.
    """
    path = root / "dvc.lock"
    try:
        stages = yaml.safe_load(path.read_text(encoding="utf-8"))["stages"]
        recorded = {out["path"]: out.get("md5") for stage in stages.values() for out in stage.get("outs", [])}
    except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise ReleaseError(f"{path}: cannot be read ({error}); run the pipeline first") from None
    for file in (at.ENCODER, at.METRICS):
        try:
            found = hashlib.md5((root / file).read_bytes(), usedforsecurity=False).hexdigest()
        except OSError as error:
            raise ReleaseError(f"{root / file}: {error.strerror or error}; run the pipeline first") from None
        if recorded.get(file.as_posix()) != found:
            raise ReleaseError(
                f"{root / file}: not what dvc.lock has; run the pipeline first, so that the figures are of this file"
            )


def judge(
    candidate: Candidate,
    releases: Path,
    bounds: Bounds,
    *,
    part: str = "minor",
    tagged: tuple[str, ...] = (),
    other_data: bool = False,
    score: Callable[[Path], Metrics] | None = None,
) -> Judged:
    """Hold a candidate to the release in use.

    Args:
        tagged: versions that Git has, which are not given twice.
        other_data: release it also where the one in use is of another data set; nothing is compared then.
        score: the figures of a release's folder on the candidate's own data, asked for where the released encoder's are of
            another version of them. Without it those of its own run count.

    Raises NotBetterError with the gates that did not let it through, ReleasedAlreadyError when these bytes are or were released,
    OtherDataError.
    """
    pointer, encoder = read_pointer(releases), file_sha256(candidate.files[ENCODER])
    same = [each for each in reversed(versions(releases)) if _encoder_of(releases / each) == encoder]
    if pointer.version in same:
        raise ReleasedAlreadyError(f"{candidate.files[ENCODER]}: it is in use already, as {pointer.version}")
    left = {*pointer.withdrawn, *pointer.before}
    if gone := next((each for each in same if each in left), None):
        raise ReleasedAlreadyError(
            f"{candidate.files[ENCODER]}: it was released as {gone}; `soda rollback --to {gone}` takes it again"
        )
    current = _released_figures(candidate, current_folder(releases), other_data, score) if pointer.version else None
    gates = tuple(hold(candidate.metrics, current, bounds))
    if not all(gate.passed for gate in gates):
        beside = f" beside {pointer.version}" if pointer.version else ""
        lines = "\n".join(f"- {gate}" for gate in sorted(gates, key=lambda gate: gate.passed))
        raise NotBetterError(f"it is not released{beside}:\n{lines}")
    if same:  # made by a run that was killed before it was put in use
        return Judged(same[0], gates, releases / same[0])
    return Judged(next_version([*versions(releases), *tagged], part), gates, None)


def _released_figures(
    candidate: Candidate, folder: Path, other_data: bool, score: Callable[[Path], Metrics] | None
) -> Metrics | None:
    """What the candidate is held to, so that like is held against like: of what the released encoder's own run measured on other
    pictures its size, speed and parity alone stay."""
    facts, figures = facts_of(folder), read_paper(folder / METRICS)
    ours, theirs = candidate.about.get("dataset"), facts.get("dataset")
    if theirs is not None and ours != theirs:
        if other_data:
            return None
        raise OtherDataError(
            f"{folder} in use is of the data set {theirs}, this encoder of {ours}: their figures cannot be compared. "
            "soda release --other-data releases it without a comparison"
        )
    if score is None or candidate.about.get("data_version") == facts.get("data_version"):
        return figures
    export = {key: value for key, value in figures.get("export", {}).items() if not key.startswith("search_")}
    again = score(folder)
    return {**again, "export": {**export, **again.get("export", {})}}


def _encoder_of(folder: Path) -> object:
    return facts_of(folder).get("files", {}).get(ENCODER, {}).get("sha256")


def make(candidate: Candidate, judged: Judged, releases: Path, private: Path) -> Path:
    """Write the folder of a release, whole or not at all, signed with that key. Returns it."""
    name = f"encoder@{judged.version}"
    if judged.folder is not None:
        verify_files(judged.folder)
        sign(judged.folder, private, name)
        return judged.folder
    folder = releases / judged.version
    with whole_folder(folder) as new:
        for file, path in candidate.files.items():
            shutil.copyfile(path, new / file)
        (new / CARD).write_text(candidate.card(judged.version), encoding="utf-8")
        write_json(new / METRICS, dict(candidate.metrics))
        write_json(new / SBOM, bill({file: new / file for file in candidate.files}, version=judged.version))
        listed = {each.name: {"sha256": file_sha256(each), "bytes": each.stat().st_size} for each in sorted(new.iterdir())}
        gates = [str(gate) for gate in judged.gates]
        write_json(new / FACTS, {"version": judged.version, **candidate.about, "gates": gates, "files": listed})
        sign(new, private, name)
    return folder
