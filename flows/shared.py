"""`soda embed` over many workers: each share of the parts is a task, and one more puts the parts into the table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.states import State
from prefect.task_runners import TaskRunner

from soda.common.errors import SodaError
from soda.vectors.shares import PICTURES, Done, Share, make, missing, opened_job

ROUNDS = 3
"""How often what is missing is handed out: a worker that is lost with its machine takes its tasks' own retries along."""
_DELAYS = [1.0, 10.0, 60.0]  # seconds before the retries of a task

__all__ = ["PICTURES", "IncompleteError", "embed_over", "embed_share", "merge"]


class IncompleteError(SodaError, RuntimeError):
    """Parts are missing after all rounds; the message has the last reason."""


def _worth_another_try(_task: object, _run: object, state: State[Any]) -> bool:
    """A disk or a network may be back; what a person has to put right stays wrong."""
    return not isinstance(state.result(raise_on_failure=False), SodaError)


@task(
    name="share",
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=len(_DELAYS),
    retry_delay_seconds=_DELAYS,
    retry_condition_fn=_worth_another_try,
)
def embed_share(share: Share) -> int:
    """Make what is missing of the share: done twice, or by two workers at once, it is the same."""
    return make(share)


@task(name="table", task_run_name="table", cache_policy=NO_CACHE, persist_result=False)
def merge(finish: Callable[[int], Done], resumed: int) -> Done:
    """Every row once, in the order of the source."""
    return finish(resumed)


def embed_over(runner: TaskRunner[Any], encoder: Path, folder: Path, output: Path, pictures: int) -> Done:
    """What `embed_folder` does, its parts made by the workers of `runner`, which is not started yet.

    pictures: of a task, about. Raises IncompleteError where parts are missing in the end; the same again goes on with the others.
    """
    log = get_run_logger()
    with opened_job(encoder, folder, output) as job:
        (left, resumed), reason = missing(job, encoder, pictures=pictures), ""
        if left:
            with runner:
                for _ in range(ROUNDS):
                    reason = _hand_out(runner, left, log)
                    left, _ = missing(job, encoder, pictures=pictures)
                    if not left:
                        break
        if left:
            lacking = sum(share.pictures for share in left)
            raise IncompleteError(f"{lacking:,} pictures are not embedded after {ROUNDS} rounds; the last reason: {reason}")
        return merge(job.finish, resumed)


def _hand_out(runner: TaskRunner[Any], left: list[Share], log: Any) -> str:
    """One round. Returns why a task failed, "" where none did."""
    log.info("%s pictures in %d tasks", f"{sum(share.pictures for share in left):,}", len(left))
    futures = [runner.submit(embed_share, {"share": share}) for share in left]
    reason, told = "", 0
    for number, future in enumerate(futures, 1):
        try:
            future.result()
        except SodaError:
            raise
        except Exception as error:  # of the task, of its worker, of the engine; what is missing is seen on the disk
            reason = f"{type(error).__name__}: {error}"
            log.warning("a share of the pictures was not done: %s", reason)
        if (tenth := 10 * number // len(futures)) > told:
            told = tenth
            log.info("%d of %d tasks done", number, len(futures))
    return reason
