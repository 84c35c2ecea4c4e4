"""What a run is called: its data set, its experiment, the version of the code, where it began; or the release it is about."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.runtime import flow_run

from flows.form import chosen
from flows.params import split_overrides
from flows.workspace import project_of
from soda.common.errors import SodaError
from soda.config import CONF_DIR, PARAMS_FILE, compose, from_dict, load
from soda.config.chosen import chosen_overrides
from soda.layout import RELEASES
from soda.release.store import current_folder, facts_of

_LONGEST = 60  # characters of further overrides


def run_name(root: Path, from_stage: str | None = None) -> str:
    """For example "fashion_mnist, fashion_mnist_long, 3f2c1ab, from evaluate".

    The experiment is "settings of its own" where params.yaml was made in another way than by overrides.
    """
    overrides = _known(root)
    experiment = "settings of its own" if overrides is None else _experiment(overrides)
    return _joined(load(root / PARAMS_FILE).dataset.name, experiment, _version(root), f"from {from_stage}" if from_stage else "")


def planned_name(flow: str, given: Mapping[str, Any], root: Path) -> str:
    """What a run is called from when it is known: as `run_name` will have it, as far as that can be said before.

    Args:
        flow: its name, "soda-pipeline".
        given: its parameters.
        root: where it will work.
    """
    kind = flow.removeprefix("soda-")
    if kind == "pipeline":
        first = chosen(given.get("from_stage"))
        return _joined(_planned(given, root), _version(root), f"from {first}" if first else "")
    if kind == "ingest":
        recipe = chosen(given.get("experiment"))
        return _joined(f"ingest of {given.get('source', '')}", "folder", recipe or "", _version(root))
    if kind in ("embed", "monitor"):
        what = given.get("folder") or given.get("sample") or ""
        return _joined(f"{kind} {what}".strip(), _released(root))
    if kind == "rollback":
        return _joined(f"rollback to {given['to']}" if given.get("to") else "rollback", f"from {_released(root)}")
    try:
        return _joined(kind, run_name(root))
    except (SodaError, OSError):  # nothing has run here yet
        return _joined(kind, _version(root))


def name_of_start() -> str:
    """What the run that begins is called; a pipeline's until its settings are composed."""
    flow, given, name = flow_run.get_flow_name() or "", flow_run.get_parameters() or {}, flow_run.get_name()
    if flow == "soda-pipeline" and name and not is_by_lot(name):
        return str(name)  # given while it waited
    return planned_name(flow, given, Path.cwd())


def is_by_lot(name: str) -> bool:
    """Whether a name is one that Prefect draws by lot, such as arrogant-hawk."""
    return name.count("-") >= 1 and all(word in _drawn_words() for word in name.split("-"))


@cache
def _drawn_words() -> frozenset[str]:
    from coolname.data import config  # from which Prefect draws

    found = set[str]()
    parts: dict[str, Any] = config
    for part in parts.values():
        found.update(part.get("words", []))
        for phrase in part.get("phrases", []):
            found.update(phrase.split() if isinstance(phrase, str) else phrase)
    return frozenset(found)


def _planned(given: Mapping[str, Any], root: Path) -> str:
    """Data set and experiment of a pipeline's parameters, or those that the run before left."""
    recipe, further = chosen(given.get("experiment")), given.get("overrides") or []
    try:
        asked = [*([f"experiment={recipe}"] if recipe else []), *split_overrides(further)]
        known = asked or _known(root)
        if known is None:
            dataset = load(root / PARAMS_FILE).dataset.name
        else:
            dataset = compose(known, root / CONF_DIR)["dataset"]["name"]
        return _joined(str(dataset), "settings of its own" if known is None else _experiment(known))
    except (SodaError, OSError):  # the run will say what is wrong with them
        return " ".join([recipe or "", *([further] if isinstance(further, str) else further)]).strip()[:_LONGEST]


def _known(root: Path) -> list[str] | None:
    """What params.yaml was composed with: nothing where it is what conf/ alone gives, as in a fresh clone; None: nobody knows."""
    overrides = chosen_overrides(root)
    if overrides is None and load(root / PARAMS_FILE) == from_dict(compose([], root / CONF_DIR)):
        return []
    return overrides


def _experiment(overrides: list[str]) -> str:
    experiments = [each.partition("=")[2] for each in overrides if each.startswith("experiment=")]
    further = [each for each in overrides if not each.startswith(("experiment=", "dataset"))]
    name = experiments[-1] if experiments else "" if overrides else "default"
    return _joined(name, " ".join(further)[:_LONGEST])


def _released(root: Path) -> str:
    """ "fashion_mnist v1.1.0": the release in use."""
    try:
        folder = current_folder(project_of(root) / RELEASES)
        return f"{facts_of(folder).get('dataset') or ''} {folder.name}".strip()
    except SodaError:
        return "no release"


def _joined(*parts: str) -> str:
    return ", ".join(filter(None, parts))


def _version(root: Path) -> str:
    """Git's short name of the commit; "" outside a repository."""
    describe = ["git", "rev-parse", "--short", "HEAD"]
    try:
        answer = subprocess.run(describe, cwd=root, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return answer.stdout.strip() if answer.returncode == 0 else ""


def name_run(root: Path, from_stage: str | None) -> None:
    """Call the run that this is by what it works on, in place of a name drawn by lot."""
    with get_client(sync_client=True) as client:
        client.set_flow_run_name(UUID(str(flow_run.get_id())), run_name(root, from_stage))
