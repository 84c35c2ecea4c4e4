"""`train.tune=on`: which precision, processes and threads are fastest on this machine, measured once for a model and kept."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import os
import platform
import time
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import yaml

from soda.common.cores import usable_cores
from soda.common.files import write_json
from soda.common.images import to_float
from soda.config import Config, to_dict
from soda.model.batch import ViewBatch
from soda.training.distributed import Rendezvous, processes
from soda.training.helpers import with_helpers
from soda.training.launch import Way, most_processes
from soda.training.shared_norm import share_statistics
from soda.training.step import optimise, start_run

log = logging.getLogger(__name__)

SECONDS = 4.0
"""Of training steps for each way, after WARM_UP of them."""
WARM_UP = 2
MARGIN = 1.05
"""By so much another way must be faster than the settings' own: below it is chance, and settings are taken by the letter."""

Precision = Literal["fp32", "bf16"]


def tuned(config: Config, asked: Way, runs: Path, seconds: float = SECONDS) -> Way:
    """The fastest way to train on this machine, `asked` unless another one is faster by MARGIN. Prints what it found in one line.

    A number of processes or threads that the settings name is kept. bf16 is tried where the processor multiplies in it. What was
    found is kept in runs/tuned-KEY.json; the key is of machine, torch, and settings of model and batch.
    """
    file = runs / f"tuned-{_key(config, asked)}.json"
    if file.exists():
        found = [(Way(**row["way"]), row["images_per_second"]) for row in json.loads(file.read_text(encoding="utf-8"))]
    else:
        found = []
        for count, threads in _shares(config, asked):
            rates = with_helpers(partial(_rates, config, _precisions(config), seconds), count, threads, ())
            found += [(Way(count, threads, precision), rate) for precision, rate in rates.items()]
        write_json(file, [{"way": dataclasses.asdict(way), "images_per_second": round(rate, 1)} for way, rate in found])
    best = choose(found, asked)
    log.info("measured: %s", "; ".join(f"{way} {rate:.0f} images/s" for way, rate in found))
    return best


def choose(found: list[tuple[Way, float]], asked: Way) -> Way:
    """The fastest, or `asked` where that is within MARGIN of it."""
    best, rate = max(found, key=lambda each: each[1])
    own = dict(found).get(asked, 0.0)
    return asked if own * MARGIN >= rate else best


def _shares(config: Config, asked: Way) -> list[tuple[int, int]]:
    """Pairs of processes and threads to try, the settings' own first."""
    cores, settings = usable_cores(), config.train
    counts = [asked.processes]
    if settings.processes == "auto" and not settings.threads:
        counts += [n for n in (most_processes(settings.batch_size, cores), 1) if n not in counts]
    return [(n, asked.threads if n == asked.processes else max(1, cores // n)) for n in counts]


def _precisions(config: Config) -> list[Precision]:
    own = config.train.precision
    return ["bf16", "fp32"] if own == "bf16" else ["fp32", "bf16"] if multiplies_bf16() else ["fp32"]


def multiplies_bf16() -> bool:
    """Whether the processor has instructions for products in bf16; without them they are slower than in fp32."""
    return bool({"avx512_bf16", "amx_bf16"} & set(_processor()[1].split()))


def _processor() -> tuple[str, str]:
    """Its name, and what it can do, in the words of Linux; elsewhere what Python knows, and nothing."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor(), ""
    fields = dict(reversed([(name.strip(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]))
    return fields.get("model name", platform.processor()), fields.get("flags", "")


def _key(config: Config, asked: Way) -> str:
    settings = to_dict(config)
    about = [settings[group] for group in ("model", "diffusion", "views")]
    about += [config.dataset.image_size, config.dataset.channels, config.train.batch_size, config.train.batch_statistics]
    about += [config.train.encoder_learns]
    about += [dataclasses.asdict(asked), *_processor(), usable_cores(), str(torch.__version__), os.environ.get("OMP_WAIT_POLICY")]
    return hashlib.sha256(yaml.safe_dump(about, sort_keys=True).encode()).hexdigest()[:16]


def _rates(
    config: Config, precisions: list[Precision], seconds: float, *, meeting: Rendezvous | None = None
) -> dict[Precision, float]:
    """Images a second of training steps on images of noise, all processes together."""
    size, channels, batch_size = config.dataset.image_size, config.dataset.channels, config.train.batch_size
    pixels = np.random.default_rng(0).integers(0, 256, (batch_size, size, size, channels), dtype=np.uint8)
    batch = _views(config, to_float(pixels))
    found: dict[Precision, float] = {}
    with processes("cpu", meeting) as team:
        for precision in precisions:
            settings = dataclasses.replace(config, train=dataclasses.replace(config.train, precision=precision))
            run = start_run(settings, "tuning", team.device)
            if config.train.batch_statistics == "whole":
                share_statistics(run.model, team)
            network = team.wrap(run.model).train()
            for _ in range(WARM_UP):
                optimise(run, network, settings, batch, team)
            began, steps = time.perf_counter(), 0
            while not team.any(steps > 0 and time.perf_counter() - began > seconds):
                optimise(run, network, settings, batch, team)
                steps += 1
            found[precision] = team.from_lead(lambda: steps * batch_size / (time.perf_counter() - began))  # noqa: B023
    return found


def _views(config: Config, images: Any) -> ViewBatch:
    """Pairs as the settings have them, of the same images; cameras are not known."""
    if config.views.pairs.by == "picture":
        return ViewBatch.of(images)
    sources = images[:, None].expand(-1, config.views.pairs.sources, -1, -1, -1)
    style = images if config.views.pairs.style_sections else None
    blank = torch.zeros(len(images), 16) if config.model.cameras.rays else None
    of_sources = None if blank is None else blank[:, None].expand(-1, config.views.pairs.sources, -1)
    return ViewBatch(sources, images, style, config.views.pairs.style_sections, of_sources, blank)
