"""The stages of dvc.yaml: the function that each one runs, with what of the settings and which paths.

A stage is a function (settings, input paths, output paths) -> figures. It is imported when it runs; its order and what it depends
on are dvc.yaml's.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soda import layout as at
from soda.common.files import whole_file
from soda.common.fingerprint import code_fingerprint
from soda.common.safekeeping import LOCK, keep_copies
from soda.common.watched import WATCHED, path_fingerprint
from soda.training.finished import drop_recorded

if TYPE_CHECKING:  # the base package, which embeds and searches, has no YAML
    from soda.config import Config


@dataclass(frozen=True)
class Stage:
    """One stage: what it is for, where its function is, and what that is called with."""

    about: str
    module: str
    function: str
    arguments: Callable[[Config], tuple[Any, ...]]

    def run(self, config: Config) -> dict[str, Any]:
        """Run it. Returns the figures worth printing."""
        keep_safe()
        result: dict[str, Any] = getattr(import_module(self.module), self.function)(*self.arguments(config))
        return result


STAGES = {
    "fetch": Stage(
        "get the raw data and check it",
        "soda.data.fetch", "fetch", lambda config: (config.dataset, at.RAW),
    ),
    "prepare": Stage(
        "decode, resize and split it into shards and a manifest",
        "soda.data.prepare", "prepare", lambda config: (config.dataset, at.RAW, at.PREPARED),
    ),
    "validate": Stage(
        "the gate: Great Expectations over manifest and shards",
        "soda.data.gate.validate", "validate",
        lambda config: (config.gate, at.PREPARED, at.VERDICT, at.DATA_DOCS, at.ACCEPTED, at.RELEASES),
    ),
    "train": Stage(
        "train SODA (in train.processes; torchrun -m soda train for several machines)",
        "soda.training.launch", "train",
        lambda config: (config, at.PREPARED, at.VERDICT, at.MODEL, at.RUNS, at.LIVE, at.PARTS["train"]),
    ),
    "evaluate": Stage(
        "probes, baselines, reconstructions",
        "soda.evaluation.evaluate", "evaluate",
        lambda config: (config.evaluate, at.MODEL, at.PREPARED, at.PARTS["evaluate"], at.FIGURES, at.DIRECTIONS, at.RUNS),
    ),
    "export": Stage(
        "models/encoder.onnx, denoiser.onnx and variants/, held to the torch model",
        "soda.export.onnx", "export",
        lambda config: (
            config.export, at.MODEL, at.PREPARED, at.PARTS["evaluate"], at.DIRECTIONS,
            at.ENCODER, at.DENOISER, at.VARIANTS, at.PARTS["export"],
        ),
    ),
    "report": Stage(
        "reports/index.html and reports/metrics.json",
        "soda.report.stage", "report",
        lambda config: (
            config, at.PREPARED, at.VERDICT, at.LIVE, list(at.PARTS.values()), at.FIGURES, at.ENCODER, at.HTML, at.METRICS,
        ),
    ),
}  # fmt: skip


def keep_safe() -> None:
    """Before a stage: copies of what DVC rewrites after it, and away with trainings whose result DVC has."""
    if int(os.environ.get("RANK", 0)) == 0:
        keep_copies(Path())
        drop_recorded(at.RUNS, LOCK)


def write_fingerprints() -> None:
    """Write what dvc.yaml's stages depend on: the fingerprint of each stage's code to `.code/<stage>`, and of what dataset.path
    names to `.code/pictures`.

    Raises ConfigError for a params.yaml that cannot be read.
    """
    from soda.config import load

    watched = Path(load().dataset.path)
    keep_safe()
    with whole_file(at.CODE / WATCHED) as temporary:
        temporary.write_text(path_fingerprint(watched) + "\n", encoding="ascii")
    for name, stage in STAGES.items():
        with whole_file(at.CODE / name) as temporary:
            temporary.write_text(code_fingerprint(stage.module) + "\n", encoding="ascii")
