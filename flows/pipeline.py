"""The flow: compose the settings, ask DVC for the order of its stages, run each as a task, show what it left.

`make pipeline` runs it by hand, prefect.yaml makes it a deployment. Which stage depends on which is DVC's alone.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from pathlib import Path
from typing import Any

import yaml
from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_logger
from prefect.runtime import flow_run
from prefect.states import Completed, Failed, State

from flows.artifacts import publish
from flows.dvc_client import CODE, StageError, StageResult, allow_without_git, changed_stages, run_stage, stage_order
from flows.folder import require_hashable
from flows.lock import workspace_lock
from flows.params import split_overrides, write_composed
from flows.reconcile import close_abandoned_run
from flows.server import project_server
from soda.common.errors import SodaError
from soda.config import CONF_DIR, PARAMS_FILE, ConfigError, advice, load
from soda.layout import HTML

HOUR = 3600.0
TIMEOUTS = {"prepare": 12 * HOUR, "train": 14 * 24 * HOUR, "evaluate": 12 * HOUR}
OTHER_TIMEOUT = 2 * HOUR
RETRY_DELAYS = {"fetch": [10.0, 60.0]}  # seconds; only fetch meets the network, the others would fail again in the same way
UNREACHABLE = 75  # exit code (EX_TEMPFAIL of sysexits.h) of a stage that could not reach what it needs; all else needs a person


def _worth_another_try(_task: object, _run: object, state: State[Any]) -> bool:
    return state.name == "Unreachable"


@task(cache_policy=NO_CACHE, persist_result=False, retry_condition_fn=_worth_another_try)
def stage_task(stage: str, root: Path, lock: int, changed: bool, force: bool) -> StageResult | State[StageResult]:
    """Bring one stage up to date and publish what it left; when it fails, publish what it wrote before it failed."""
    log = get_run_logger()
    started = time.time()
    if not changed and not force:
        log.info("%s is up to date", stage)
        publish(stage, root, log)
        return StageResult(stage, ran=False, seconds=0.0)
    try:
        result = run_stage(root, stage, force=force, log=log.info, inherit=[lock])
    except StageError as error:
        publish(stage, root, log, since=started)
        # Not raised: Prefect would put a page of traceback over the stage's own words.
        return Failed(message=str(error), name="Unreachable" if error.status == UNREACHABLE else "Failed")
    publish(stage, root, log)
    return result


def _require_stage(root: Path, name: str | None) -> None:
    """Asked before params.yaml is touched, and therefore of dvc.yaml itself: DVC cannot read that without params.yaml."""
    if not name:
        return
    stages = [stage for stage in yaml.safe_load((root / "dvc.yaml").read_text(encoding="utf-8"))["stages"] if stage != CODE]
    if name not in stages:
        raise ConfigError(f"from_stage: there is no stage {name!r}; there are {', '.join(stages)}")


def _run_stages(root: Path, stages: list[str], lock: int, force: bool) -> State[Any]:
    log = get_run_logger()
    changed, anything_ran = changed_stages(root), False
    for stage in stages:
        delays = RETRY_DELAYS.get(stage, [])
        run = stage_task.with_options(
            name=stage,
            task_run_name=stage,
            timeout_seconds=TIMEOUTS.get(stage, OTHER_TIMEOUT),
            retries=len(delays),
            retry_delay_seconds=delays,
        )
        state = run(stage, root, lock, anything_ran or stage in changed, force, return_state=True)
        if not state.is_completed():
            message = state.message or f"ended {state.name}"
            return Failed(message=message if stage in message else f"stage {stage}: {message}")
        result: StageResult = state.result()  # type: ignore[assignment]
        anything_ran = anything_ran or result.ran
        if result.ran:
            log.info("%s took %.0f s", stage, result.seconds)
    return Completed(message=f"{len(stages)} stages {'done' if anything_ran else 'were up to date'}")


@flow(name="soda-pipeline", persist_result=False)
def pipeline(overrides: list[str] | str = "", from_stage: str | None = None, force: bool = False) -> State[Any]:
    """Raw pictures to encoder.onnx and a report, in the project whose folder is the working directory.

    Args:
        overrides: Hydra settings (`experiment=emoji model.latent_dim=64`; quote values with spaces). params.yaml becomes conf/
            with these on top, and conf/ alone without any, as `soda compose` does it; with `from_stage` and none it stays.
        from_stage: leave the stages before this one as they are.
        force: run stages that are up to date, too.
    """
    log = get_run_logger()
    root = Path.cwd()
    try:
        with workspace_lock(root, str(flow_run.get_id())) as (lock, abandoned_run):
            if abandoned_run and close_abandoned_run(abandoned_run):
                log.warning("run %s was killed before it ended; it is now marked as crashed", abandoned_run)
            _require_stage(root, from_stage)
            settings = split_overrides(overrides)
            if settings or not from_stage:
                for change in write_composed(root, settings):
                    log.info("params.yaml: %s", change)
                if hint := advice(settings, root / CONF_DIR):
                    log.info("params.yaml: %s", hint)
            require_hashable(root / load(root / PARAMS_FILE).dataset.path)
            if allow_without_git(root):
                log.info(
                    "there is no Git here: DVC runs without it (.dvc/config.local), and `dvc exp` and `metrics diff` need it"
                )
            stages = stage_order(root)
            return _run_stages(root, stages[stages.index(from_stage) :] if from_stage else stages, lock, force)
    except SodaError as error:
        return Failed(message=str(error))


def main(arguments: list[str] | None = None) -> int:
    """Run the flow by hand. Returns the exit status: 0 when it completed."""
    parser = argparse.ArgumentParser(prog="python -m flows.pipeline", description=__doc__)
    parser.add_argument("settings", nargs="*", help="Hydra overrides, e.g. experiment=avatars model.latent_dim=64")
    parser.add_argument("--overrides", default="", help="the same in one string, quoted as in a shell")
    parser.add_argument("--from-stage", default=None, help="leave the stages before this one as they are")
    parser.add_argument("--force", action="store_true", help="run stages that are up to date, too")
    given = parser.parse_args(arguments)
    log = get_logger("flows")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # an orderly exit ends the temporary server too
    try:
        overrides = [*split_overrides(given.overrides), *given.settings]
        with project_server():
            state = pipeline(overrides, given.from_stage or None, given.force, return_state=True)
    except SodaError as error:
        log.error("%s", error)
        return 2
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    if not state.is_completed():
        log.error("%s", state.message)
        return 1
    log.info("%s: %s", state.message, (Path.cwd() / HTML).as_uri())
    return 0


if __name__ == "__main__":
    sys.exit(main())
