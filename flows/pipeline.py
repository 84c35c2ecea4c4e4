"""The flow: compose the settings, ask DVC for the order of its stages, run each as a task, show what it left.

`make pipeline` runs it by hand, prefect.yaml makes it a deployment. Which stage depends on which is DVC's alone.
"""

from __future__ import annotations

import argparse
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.exceptions import TerminationSignal
from prefect.logging import get_logger
from prefect.runtime import flow_run
from prefect.states import Cancelled, Completed, Failed, State

from flows.artifacts import publish
from flows.by_hand import by_hand
from flows.dvc_client import Dvc, StageError, StageResult
from flows.form import AS_BEFORE, FIRST, LAST, Experiment, FromStage, UntilStage, chosen, declared_stages
from flows.leftovers import sweep
from flows.lock import settle_ends, workspace_lock
from flows.params import split_overrides, write_composed
from flows.part import told
from flows.processes import clear_dead_locks
from flows.progress import TrainingProgress
from flows.quiet import calm_logs
from flows.reconcile import close_abandoned_run
from flows.run_name import name_of_start, name_run
from flows.stopping import leave, stopped
from soda.common.errors import SodaError
from soda.common.safekeeping import mend
from soda.common.without_git import allow_without_git
from soda.config import CONF_DIR, ConfigError, advice
from soda.layout import HTML

HOUR = 3600.0
TIMEOUTS = {"prepare": 12 * HOUR, "train": 14 * 24 * HOUR, "evaluate": 12 * HOUR}
OTHER_TIMEOUT = 2 * HOUR
RETRY_DELAYS = {"fetch": [10.0, 60.0]}  # seconds; only fetch meets the network, the others would fail again in the same way
UNREACHABLE = 75  # exit code (EX_TEMPFAIL of sysexits.h) of a stage that could not reach what it needs; all else needs a person


def _worth_another_try(_task: object, _run: object, state: State[Any]) -> bool:
    return state.name == "Unreachable"


@task(cache_policy=NO_CACHE, persist_result=False, retry_condition_fn=_worth_another_try)
def stage_task(stage: str, dvc: Dvc, force: bool) -> StageResult | State[StageResult]:
    """Bring one stage up to date and publish what it left; when it fails, publish what it wrote before it failed."""
    log = get_run_logger()
    started = time.time()
    try:
        with TrainingProgress(dvc.root, log) if stage == "train" else nullcontext() as shown:
            result = dvc.run_stage(stage, force=force, log=log.info, bar=shown.hear if shown else None)
    except StageError as error:
        publish(stage, dvc.root, log, since=started)
        # Not raised: Prefect would put a page of traceback over the stage's own words.
        return Failed(message=str(error), name="Unreachable" if error.status == UNREACHABLE else "Failed")
    except (KeyboardInterrupt, TerminationSignal) as signalled:  # the stage has saved and is gone
        return stopped(signalled, f"stage {stage} was stopped; the same command goes on from what it saved")
    if result.changed:
        publish(stage, dvc.root, log)
    return result


def _require_stages(root: Path, **names: str | None) -> None:
    """Asked before params.yaml is touched, and therefore of dvc.yaml itself: DVC cannot read that without params.yaml."""
    asked = {parameter: name for parameter, name in names.items() if name}
    declared = declared_stages(root) if asked else []
    for parameter, name in asked.items():
        if name not in declared:
            raise ConfigError(f"{parameter}: there is no stage {name!r}; there are {', '.join(declared)}")


def _chosen_stages(order: list[str], first: str | None, last: str | None) -> list[str]:
    begin, end = order.index(first) if first else 0, order.index(last) + 1 if last else len(order)
    if end <= begin:
        raise ConfigError(f"until_stage: {last!r} is before from_stage, {first!r}")
    return order[begin:end]


def _run_stages(stages: list[str], dvc: Dvc, force: bool) -> State[Any]:
    log = get_run_logger()
    changed, anything_changed = dvc.changed_stages(log.info), False
    for stage in stages:
        if not (anything_changed or force or stage in changed):
            log.info("%s is up to date", stage)
            continue
        delays = RETRY_DELAYS.get(stage, [])
        run = stage_task.with_options(
            name=stage,
            task_run_name=stage,
            timeout_seconds=TIMEOUTS.get(stage, OTHER_TIMEOUT),
            retries=len(delays),
            retry_delay_seconds=delays,
        )
        state = run(stage, dvc, force, return_state=True)
        if not state.is_completed():
            message = state.message or f"ended {state.name}"
            message = message if stage in message else f"stage {stage}: {message}"
            return Cancelled(message=message) if state.is_cancelled() else Failed(message=message)
        result: StageResult = state.result()  # type: ignore[assignment]
        anything_changed = anything_changed or result.changed
        if result.ran:
            log.info("%s took %.0f s", stage, result.seconds)
    return Completed(message=f"{len(stages)} stages {'done' if anything_changed else 'were up to date'}")


def _put_right(root: Path) -> None:
    """What runs that were killed left behind. The caller holds the workspace."""
    log = get_run_logger()
    for said in [*mend(root), *clear_dead_locks(root), *sweep(root)]:
        log.warning("%s", said)
    for run in settle_ends(root, close_abandoned_run):
        log.warning("run %s ended without saying so; it is now marked as crashed", run)


@flow(name="soda-pipeline", flow_run_name=name_of_start, persist_result=False)
def pipeline(
    overrides: str | list[str] = "",
    from_stage: FromStage = FIRST,
    force: bool = False,
    experiment: Experiment = AS_BEFORE,
    until_stage: UntilStage = LAST,
) -> State[Any]:
    """Raw pictures to encoder.onnx and a report, in the project whose folder is the working directory.

    Args:
        overrides: Hydra settings (`experiment=emoji model.latent_dim=64`; quote values with spaces). params.yaml becomes conf/
            with these on top, as `soda compose` does it. Without any the project stays with those of the run before; with
            `from_stage` and none params.yaml stays as it is.
        from_stage: leave the stages before this one as they are.
        force: run stages that are up to date, too.
        experiment: a whole recipe of conf/experiment, below the overrides.
        until_stage: end after this one.
    """
    calm_logs()
    return told(_work(Path.cwd(), overrides, chosen(from_stage), force, chosen(experiment), chosen(until_stage)))


def _work(
    root: Path, overrides: str | list[str], from_stage: str | None, force: bool, recipe: str | None, until_stage: str | None
) -> State[Any]:
    log = get_run_logger()
    try:
        with workspace_lock(root, str(flow_run.get_id())) as lock, Dvc(root, inherit=[lock]) as dvc:
            _put_right(root)
            if allow_without_git(root):
                log.info(
                    "there is no Git here: DVC runs without it (.dvc/config.local), and `dvc exp` and `metrics diff` need it"
                )
            dvc.start()  # it loads while the settings are composed
            _require_stages(root, from_stage=from_stage, until_stage=until_stage)
            settings = [f"experiment={recipe}"] if recipe else []
            settings += split_overrides(overrides)
            if settings or not from_stage:
                for change in write_composed(root, settings):
                    log.info("params.yaml: %s", change)
                if hint := advice(settings, root / CONF_DIR):
                    log.info("params.yaml: %s", hint)
            name_run(root, from_stage)  # the data set is known now
            return _run_stages(_chosen_stages(dvc.stage_order(), from_stage, until_stage), dvc, force)
    except SodaError as error:
        return Failed(message=str(error))
    except (KeyboardInterrupt, TerminationSignal) as signalled:
        return stopped(signalled, "stopped before a stage was at work")


def main(arguments: list[str] | None = None) -> int:
    """Run the flow by hand. Returns the exit status: 0 when it completed."""
    parser = argparse.ArgumentParser(prog="python -m flows.pipeline", description=__doc__)
    parser.add_argument("settings", nargs="*", help="Hydra overrides, e.g. experiment=avatars model.latent_dim=64")
    parser.add_argument("--overrides", default="", help="the same in one string, quoted as in a shell")
    parser.add_argument("--from-stage", default=None, help="leave the stages before this one as they are")
    parser.add_argument("--until-stage", default=None, help="end after this one")
    parser.add_argument("--force", action="store_true", help="run stages that are up to date, too")
    given = parser.parse_args(arguments)
    try:
        overrides = [*split_overrides(given.overrides), *given.settings]
    except SodaError as error:
        get_logger("flows").error("%s", error)
        return 2
    ends = {"from_stage": given.from_stage or FIRST, "until_stage": given.until_stage or LAST}
    page = f": {(Path.cwd() / HTML).as_uri()}"
    return by_hand(lambda: pipeline(overrides, force=given.force, **ends, return_state=True), page)


if __name__ == "__main__":
    leave(main())
