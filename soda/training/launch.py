"""The training stage's entrance: how many processes and threads a run gets, and their start. Importing it loads no torch."""

from __future__ import annotations

import dataclasses
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from soda.common.cores import keep_freed_memory, usable_cores
from soda.config import Config, TrainConfig

log = logging.getLogger(__name__)

MIN_SHARE = 16
"""Images of a batch for each process, at least, where their number is found: with fewer the overhead of a step counts."""


@dataclass(frozen=True)
class Way:
    """How a run uses the machine. threads: of each process; 0: torch's own choice. All ways give the same weights up to rounding,
    of one precision."""

    processes: int
    threads: int
    precision: Literal["fp32", "bf16"]

    def __str__(self) -> str:
        threads = f"{self.threads or 'as many as cores'} thread{'s' if self.threads != 1 else ''}"
        return f"{self.processes} process{'es' if self.processes > 1 else ''} of {threads}, {self.precision}"


def most_processes(batch_size: int, cores: int) -> int:
    """The most processes, one a core, that share a batch equally in parts of MIN_SHARE or more."""
    return max(n for n in range(1, cores + 1) if n == 1 or (batch_size % n == 0 and batch_size // n >= MIN_SHARE))


def plan(settings: TrainConfig, cores: int, on_cpu: bool) -> Way:
    """The way that the settings ask for; auto is a process a core on CPUs, where no number of threads is asked for, else one."""
    count, threads = settings.processes, settings.threads
    if count == "auto":
        count = most_processes(settings.batch_size, cores) if on_cpu and not threads else 1
    if count > 1 and not threads and on_cpu:
        threads = max(1, cores // count)
    return Way(count, threads, settings.precision)


def _ask_teacher(config: Config, prepared: Path, verdict: Path, runs: Path) -> None:
    """Before there are helpers, which would each ask again, and wait for one another no longer than for a step."""
    from soda.training.passed_data import passed_data
    from soda.training.teacher import lessons_of

    lessons_of(config.train.teacher, passed_data(config, prepared, verdict), runs)


def train(
    config: Config, prepared: Path, verdict: Path, model_dir: Path, runs: Path, live: Path, metrics: Path
) -> dict[str, Any]:
    """`soda.training.loop.train` in as many processes as the settings say: this one, and helpers that it starts.

    Under torchrun it is one of those that this has started. Raises LostProcessError, and what that function raises.
    """
    keep_freed_memory()
    places = (prepared, verdict, model_dir, runs, live, metrics)
    if int(os.environ.get("RANK", 0)) == 0:
        from soda.data.gate.seal import require_own_verdict

        require_own_verdict(prepared, verdict, config.gate)
    if "WORLD_SIZE" in os.environ:
        from soda.training.loop import train as train_here

        return train_here(config, *places)

    from soda.training.distributed import choose_device

    on_cpu = choose_device(config.train.device).type == "cpu"
    way = plan(config.train, usable_cores(), on_cpu)
    if config.train.tune == "on" and on_cpu:
        from soda.training.tune import tuned

        way = tuned(config, way, runs)
    # config.yaml beside the weights says with which precision they were trained; the rest of the way does not decide them.
    config = dataclasses.replace(config, train=dataclasses.replace(config.train, precision=way.precision))
    log.info("training in %s", way)
    if config.train.teacher.path:
        _ask_teacher(config, prepared, verdict, runs)
    from soda.training.helpers import with_helpers
    from soda.training.loop import train as train_here

    return with_helpers(train_here, way.processes, way.threads, (config, *places))
