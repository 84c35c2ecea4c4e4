"""The parameters of deployments that Prefect shows as a form with a list to choose from: experiments, stages.

The lists are read where the flow is deployed: an experiment of one's own in conf/experiment is among them after `make deploy`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import yaml
from pydantic import WithJsonSchema

from flows.dvc_client import CODE

AS_BEFORE, FIRST, LAST = "as before", "the first", "the last"
"""What a form shows for: no choice."""

_PROJECT = Path(__file__).parents[1]


def experiments(project: Path = _PROJECT) -> list[str]:
    """The names of conf/experiment."""
    return sorted(file.stem for file in (project / "conf/experiment").glob("*.yaml"))


def declared_stages(project: Path = _PROJECT) -> list[str]:
    """The stages in the order in which dvc.yaml has them; none where there is no dvc.yaml, as in an installed package."""
    try:
        declared = yaml.safe_load((project / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    except OSError:
        return []
    return [stage for stage in declared if stage != CODE]


def _listed(names: list[str], title: str) -> WithJsonSchema:
    """For the form alone: what the name must be is said by the flow, which knows the project that it works in."""
    return WithJsonSchema({"type": "string", "enum": names, "title": title})


Experiment = Annotated[str | None, _listed([AS_BEFORE, *experiments()], "Experiment")]
FromStage = Annotated[str | None, _listed([FIRST, *declared_stages()], "From stage")]
UntilStage = Annotated[str | None, _listed([LAST, *declared_stages()], "Until stage")]


def chosen(value: str | None) -> str | None:
    """The choice; None where nothing was chosen."""
    return None if value in (None, "", AS_BEFORE, FIRST, LAST) else value
