"""The flow that takes in new pictures: fetch them, hold them to the gate, train where they passed, release what is better."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger
from prefect.states import Completed, Failed, State

from flows.form import AS_BEFORE, Experiment, chosen
from flows.incoming import Batch, Incoming
from flows.params import split_overrides
from flows.pipeline import pipeline
from flows.quiet import calm_logs
from flows.released import release as release_flow
from flows.run_name import name_of_start
from flows.workspace import project_of
from soda.common.errors import SodaError
from soda.config.chosen import chosen_overrides
from soda.layout import PREPARED, VERDICT

INTO = "data/incoming"


@flow(name="soda-ingest", flow_run_name=name_of_start, persist_result=False)
def ingest(
    source: str,
    repository: str = "",
    into: str = INTO,
    experiment: Experiment = AS_BEFORE,
    overrides: str = "",
    release: bool = True,
) -> State[Any]:
    """Bring new pictures; where there are some, and the gate lets them through, train on all, and release what is better.

    A batch that the gate or the preparation stops is taken out of the folder again and lies beside it with the reason: the next
    run goes on without. A training that did not end well is made up for by the next run, also where nothing is new.

    Args:
        source: a folder, from that of the project on, or an address that fsspec reads (s3://…, sftp://…); with `repository` a
            path in there.
        repository: a DVC repository, as a folder or a Git address.
        into: the folder, in the project, in which all pictures are collected.
        experiment: a whole recipe of conf/experiment; as before: recipe and settings of the run before, on this folder.
        overrides: further Hydra settings of the training.
        release: release the encoder when it is better than the one in use.
    """
    calm_logs()
    log, root = get_run_logger(), Path.cwd()
    folder = project_of(root) / into
    try:
        incoming = Incoming(source if repository or ":" in source else str(project_of(root) / source), folder, repository)
        batch = incoming.fetch()
    except SodaError as error:
        return Failed(message=str(error))
    for each in batch.refused:
        log.warning("refused: %s", each)
    left_out = f"; {len(batch.refused)} files are refused: {incoming.refused_list}" if batch.refused else ""
    if not batch.names and not incoming.untrained:
        if left_out:  # said once
            incoming.settle()
            return Failed(name="SetAside", message=f"{source}: nothing else is new{left_out}")
        return Completed(message=f"{source}: nothing new")
    if batch.names:
        log.info("%s: %d new pictures, %.1f MB", source, len(batch.names), batch.size / 1e6)
    else:
        log.info("%s: nothing new, but what is here was not trained on yet", source)
    asked = {"overrides": _settings(root, folder, chosen(experiment), overrides)}
    started = time.time()
    gated = pipeline(**asked, until_stage="validate", return_state=True)
    if not gated.is_completed():
        return _not_taken(incoming, batch, root, started, gated)
    incoming.accepted(_judged_version(root))
    incoming.settle()
    taken = f"{len(batch.names)} new pictures taken in" if batch.names else "made up for what was not trained"
    taken += left_out
    if not incoming.untrained:
        return Completed(message=f"{taken}; what is prepared of them is what was trained on, so nothing is trained")
    trained = pipeline(**asked, return_state=True)
    if not trained.is_completed():
        return Failed(message=f"{taken}; {trained.message}")
    incoming.trained()
    if not release:
        return Completed(message=f"{taken}; {trained.message}")
    released = release_flow(return_state=True)
    made = released.is_completed() or released.name == "NotBetter"
    return (Completed if made else Failed)(message=f"{taken}; {released.message}")


def _settings(root: Path, folder: Path, experiment: str | None, overrides: str) -> list[str]:
    """Overrides of the training: those of the run before, or of the experiment that was chosen, on this folder; the given ones on
    top."""
    given = ["dataset=folder", f"dataset.path={folder}", *split_overrides(overrides)]
    before = [f"experiment={experiment}"] if experiment else chosen_overrides(root) or []
    named = {_key(each) for each in given}
    return [*(each for each in before if _key(each) not in named), *given]


def _key(override: str) -> str:
    return override.partition("=")[0].lstrip("+~")


def _judged_version(root: Path) -> str:
    return str(json.loads((root / VERDICT).read_text(encoding="utf-8"))["data_version"])


def _not_taken(incoming: Incoming, batch: Batch, root: Path, started: float, gated: State[Any]) -> State[Any]:
    """Set a batch aside that the gate stopped, or whose files the preparation cannot use; after any other failure it stays, and
    the next run tries it again."""
    verdict, rejected = root / VERDICT, root / f"{PREPARED}.rejected.csv"
    try:
        stopped = verdict.stat().st_mtime >= started and not json.loads(verdict.read_text(encoding="utf-8"))["success"]
    except (OSError, ValueError, KeyError, TypeError):
        stopped = False
    unusable = rejected.exists() and rejected.stat().st_mtime >= started
    if not batch.names or not (stopped or unusable):
        return Failed(message=gated.message)
    aside = incoming.set_aside(batch, gated.message or "the gate stopped it")
    incoming.settle()
    return Failed(name="SetAside", message=f"{len(batch.names)} new pictures are set aside; they lie in {aside}\n{gated.message}")
