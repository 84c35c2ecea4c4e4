"""What a run is called: its data set, its experiment, the version of the code, and where it began."""

from __future__ import annotations

import subprocess
from pathlib import Path
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.runtime import flow_run

from flows.form import chosen
from soda.config import PARAMS_FILE, load
from soda.config.chosen import chosen_overrides

_LONGEST = 60  # characters of further overrides


def run_name(root: Path, from_stage: str | None = None) -> str:
    """For example "fashion_mnist, fashion_mnist_long, 3f2c1ab, from evaluate".

    The experiment is "settings of its own" where params.yaml was made in another way than by overrides.
    """
    overrides = chosen_overrides(root)
    experiments = [each.partition("=")[2] for each in overrides or [] if each.startswith("experiment=")]
    further = [each for each in overrides or [] if not each.startswith(("experiment=", "dataset"))]
    unnamed = "settings of its own" if overrides is None else "" if overrides else "default"
    experiment = experiments[-1] if experiments else unnamed
    parts = [load(root / PARAMS_FILE).dataset.name, experiment, " ".join(further)[:_LONGEST], _version(root)]
    return ", ".join(filter(None, [*parts, f"from {from_stage}" if from_stage else ""]))


def name_of_start() -> str:
    """What the run that begins is called until its settings are composed."""
    given, root = flow_run.get_parameters() or {}, Path.cwd()
    recipe, further = chosen(given.get("experiment")), given.get("overrides") or []
    asked = [*([f"experiment={recipe}"] if recipe else []), *([further] if isinstance(further, str) else further)]
    known = asked or chosen_overrides(root)
    words = " ".join(known or [])
    parts = [words or ("settings of its own" if known is None else "default"), _version(root)]
    return ", ".join(filter(None, [*parts, f"from {first}" if (first := chosen(given.get("from_stage"))) else ""]))


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
