"""Which encoder is released, and the two flows on it: a release, and the way back.

`soda release` and `soda rollback` do the work, in the project's own Git and its folder releases/.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from prefect import flow, get_run_logger
from prefect.artifacts import create_markdown_artifact
from prefect.exceptions import TerminationSignal
from prefect.runtime import flow_run
from prefect.states import Completed, Failed, State

from flows.command import CommandError, run_soda
from flows.lock import workspace_lock
from flows.part import told
from flows.quiet import calm_logs
from flows.run_name import name_of_start
from flows.stopping import stopped
from flows.workspace import project_of
from soda.common.errors import SodaError
from soda.layout import DRIFT, RELEASES
from soda.release import NotBetterError, ReleasedAlreadyError
from soda.release.store import ENCODER, current_folder


def released_encoder(project: Path) -> Path:
    """The encoder that is in use. Raises ReleaseError when none is released."""
    return current_folder(project / RELEASES) / ENCODER


@flow(name="soda-release", flow_run_name=name_of_start, persist_result=False)
def release(part: Literal["major", "minor", "patch"] = "minor", other_data: bool = False) -> State[Any]:
    """Release the encoder of the last run in this workspace, if it is better than the one in use (conf/release.yaml).

    Args:
        part: of the version that grows.
        other_data: also where the release in use is of another data set; nothing is compared then.
    """
    calm_logs()
    root = Path.cwd()
    try:
        with workspace_lock(root, str(flow_run.get_id())):
            return told(release_here(root, part, other_data=other_data))
    except SodaError as error:
        return told(Failed(message=str(error)))


def release_here(root: Path, part: str = "minor", *, other_data: bool = False) -> State[Any]:
    """The work of `release`. The caller holds the workspace."""
    log, project, said = get_run_logger(), project_of(root), list[str]()

    def hear(line: str) -> None:
        said.append(line)
        log.info("%s", line)

    try:
        more = ["--other-data"] if other_data else []
        run_soda(["release", "--part", part, "--project", str(project), *more], root, hear)
    except CommandError as error:
        if error.status == ReleasedAlreadyError.exit_code:
            return Completed(message=said[-1])
        if error.status == NotBetterError.exit_code:
            _show("It was not released", said)
            return Failed(name="NotBetter", message="\n".join(said))
        return Failed(message=str(error))
    except (KeyboardInterrupt, TerminationSignal) as signalled:
        return stopped(signalled, "stopped before it was released")
    _show("Released", said)
    _make_reference(root, project)
    return Completed(message=said[-1])


def _make_reference(root: Path, project: Path) -> None:
    """Of the data of this run, while they lie here, what `monitor` compares with; where that fails, `monitor` tries again."""
    encoder, log = released_encoder(project), get_run_logger()
    try:
        target = project / DRIFT / f"reference-{encoder.parent.name}.npz"
        run_soda(["reference", "-o", str(target), "--encoder", str(encoder)], root, log.info)
    except CommandError as error:
        log.info("there is no reference for `monitor` yet: %s", error)


def _show(title: str, lines: list[str]) -> None:
    text = "\n".join(f"- {line.removeprefix('- ')}" for line in lines)
    create_markdown_artifact(f"# {title}\n\n{text}\n", key="release", description=f"{title}: the gates and their figures")


@flow(name="soda-rollback", flow_run_name=name_of_start, persist_result=False)
def rollback(to: str = "") -> State[Any]:
    """Put the release before the one in use back in use: services that follow the releases change over within seconds.

    Args:
        to: this version instead, of any age.
    """
    calm_logs()
    log, project, said = get_run_logger(), project_of(Path.cwd()), list[str]()
    try:
        run_soda(["rollback", "--project", str(project), *(["--to", to] if to else [])], project, said.append)
    except SodaError as error:
        return Failed(message=str(error))
    except (KeyboardInterrupt, TerminationSignal) as signalled:
        return stopped(signalled, "stopped; `soda releases` says what is in use")
    log.info("%s", said[-1])
    return Completed(message=said[-1])
