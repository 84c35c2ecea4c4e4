"""Retention: old runs of training, old artifacts and runs of Prefect, and what no commit needs in DVC's cache. Dry by default.

python -m flows.tidy             what would go
python -m flows.tidy --delete    let it go
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from prefect import flow, get_run_logger
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterEndTime
from prefect.client.schemas.sorting import ArtifactSort
from prefect.runtime import flow_run
from prefect.states import Completed, Failed, State

from flows.dvc_client import Dvc
from flows.lock import workspace_lock
from flows.quiet import calm_logs
from flows.run_name import name_of_start
from flows.server import project_server
from flows.stopping import leave, stop_by_signal
from flows.workspace import WORKSPACE, project_of
from soda.common.errors import SodaError
from soda.layout import RUNS

_PAGE = 200  # of what Prefect lists at once


def old_runs(root: Path, days: int) -> list[Path]:
    """Folders of runs/ in which nothing was written for so many days: finished baselines, trainings that nobody went on with."""
    limit = time.time() - days * 86400
    folders = [each for each in sorted((root / RUNS).glob("*")) if each.is_dir()]
    return [each for each in folders if all(file.stat().st_mtime < limit for file in [each, *each.rglob("*")])]


def _sharers(root: Path) -> list[Path]:
    """The other one of a project and the workspace of its deployments: they share a cache."""
    project = project_of(root)
    return [each for each in (project, project / WORKSPACE) if each != root and (each / ".dvc").is_dir()]


def _old_artifacts(client: SyncPrefectClient, keep: int) -> Iterator[tuple[str, object]]:
    """All but the newest `keep` of each key."""
    seen: dict[str, int] = {}
    offset = 0
    while page := client.read_artifacts(sort=ArtifactSort.CREATED_DESC, limit=_PAGE, offset=offset):
        for each in page:
            key = each.key or ""
            seen[key] = seen.get(key, 0) + 1
            if seen[key] > keep:
                yield key, each.id
        offset += len(page)


def tidy_prefect(days: int, artifacts: int, *, delete: bool) -> list[str]:
    """Artifacts beyond the newest `artifacts` of each key, and runs that ended more than `days` days ago. Returns what."""
    limit = datetime.now(UTC) - timedelta(days=days)
    with get_client(sync_client=True) as client:
        pages = list(_old_artifacts(client, artifacts))
        ended = FlowRunFilter(end_time=FlowRunFilterEndTime(before_=limit))  # type: ignore[arg-type]
        runs = client.read_flow_runs(flow_run_filter=ended, limit=_PAGE)  # the rest goes the next time
        if delete:
            for _, artifact in pages:
                client.delete_artifact(artifact)  # type: ignore[arg-type]
            for run in runs:
                client.delete_flow_run(run.id)
    said = [f"{len(pages)} artifacts of {', '.join(sorted({key for key, _ in pages}))}"] if pages else []
    return said + [f"the run {run.name!r} of Prefect, which ended on {run.end_time:%Y-%m-%d}" for run in runs]


@flow(name="soda-tidy", flow_run_name=name_of_start, persist_result=False)
def tidy(days: int = 30, artifacts: int = 5, cache: bool = False, delete: bool = False) -> State[None]:
    """Let go of what nobody needs any more, in the project whose folder is the working directory.

    Args:
        days: unfinished trainings, finished baselines (runs/) and runs of Prefect that are older go.
        artifacts: how many of each key stay.
        cache: also what neither the workspace nor any commit needs in DVC's cache.
        delete: let it go; without, it is listed alone.
    """
    calm_logs()
    log, root = get_run_logger(), Path.cwd()
    try:
        with workspace_lock(root, str(flow_run.get_id())) as lock, Dvc(root, inherit=[lock]) as dvc:
            folders = old_runs(root, days)
            said = [f"{folder.relative_to(root)}" for folder in folders] + tidy_prefect(days, artifacts, delete=delete)
            if delete:
                for folder in folders:
                    shutil.rmtree(folder)
            if cache:
                said.append(f"{dvc.collect_garbage(_sharers(root), dry=not delete)} objects of DVC's cache")
    except SodaError as error:
        return Failed(message=str(error))
    for each in said:
        log.info("%s: %s", "gone" if delete else "would go", each)
    return Completed(message=f"{len(said)} kinds of things {'are gone' if delete else 'would go (delete=true lets them go)'}")


def main(arguments: list[str] | None = None) -> int:
    """Run the flow by hand. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m flows.tidy", description=str(__doc__).partition("\n")[0])
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--artifacts", type=int, default=5)
    parser.add_argument("--cache", action="store_true")
    parser.add_argument("--delete", action="store_true")
    given = parser.parse_args(arguments)
    stop_by_signal()
    try:
        with project_server():
            state = tidy(given.days, given.artifacts, given.cache, given.delete, return_state=True)
    except SodaError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0 if state.is_completed() else 1


if __name__ == "__main__":
    leave(main())
