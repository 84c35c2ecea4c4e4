"""The training stage: validated data in, a model folder out. Progress is counted in images."""

from __future__ import annotations

import contextlib
import logging
import math
import time
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from torch import Tensor

from soda.common.bar import Bar
from soda.common.errors import SodaError
from soda.common.files import write_json
from soda.config import Config, TrainConfig
from soda.data.dataset import PreparedData
from soda.data.pairs import find_partners
from soda.model.batch import ViewBatch
from soda.training.batches import Reader
from soda.training.checkpoint import load_checkpoint, run_key, save_checkpoint, save_model
from soda.training.curves import Curves, Row
from soda.training.distributed import LostProcessError, Processes, Rendezvous, processes
from soda.training.finished import mark_finished
from soda.training.held_out import read_held_out
from soda.training.interrupt import Interrupted, stop_flag
from soda.training.optim import learning_rate
from soda.training.passed_data import passed_data
from soda.training.shared_norm import share_statistics
from soda.training.step import Run, optimise, start_run
from soda.training.teacher import lessons_of, teacher_digest
from soda.training.usage import UnusedLatentError, measure_use, measure_use_of_pose
from soda.training.warm_start import init_digest

log = logging.getLogger(__name__)

USE_IMAGES = 128
"""Validation images on which the use of z is measured."""
WATCHED = ("val_loss", "usage_gap", "z_grad_norm", "view_psnr", "pose_gap", "teacher_cosine")
"""Of the last row, what goes into the metrics: two of a model that is told of cameras, the last of one with a teacher."""


class DivergedError(SodaError, RuntimeError):
    """The loss is no longer a number; the message names the step and the last good checkpoint."""


def _read_losses(run: Run, pending: list[Tensor], checkpoint: Path) -> None:
    """Move the losses of the last steps from their device into the run. Raises DivergedError."""
    values = torch.stack(pending).tolist() if pending else []
    for back, value in enumerate(reversed(values)):
        if not math.isfinite(value):
            raise _diverged("the loss", value, run.step - back, checkpoint)
    run.losses += values
    pending.clear()


def _require_finite(row: Row, step: int, checkpoint: Path) -> None:
    """The last step may be the one that breaks the network: no loss comes after it, but what is measured on validation does."""
    for key, value in row.items():
        if not math.isfinite(value):
            raise _diverged(key, value, step, checkpoint)


def _diverged(what: str, value: float, step: int, checkpoint: Path) -> DivergedError:
    good = f"the last good checkpoint is {checkpoint}" if checkpoint.exists() else "there was no checkpoint yet"
    return DivergedError(f"{what} became {value} at step {step}; {good}; a lower train.lr is the usual cure")


def _log_row(run: Run, settings: TrainConfig, held_out: ViewBatch, rate: float) -> Row:
    use, images = measure_use(run.ema, held_out, settings.seed, gradient=True), run.step * settings.batch_size
    return {
        "images": images,
        "loss": sum(run.losses) / len(run.losses),
        "val_loss": use.loss,
        "usage_gap": use.gap,
        "z_grad_norm": use.z_grad_norm,
        "lr": learning_rate(settings, images),
        "images_per_second": rate,
        **({} if run.pupil is None else {"teacher_cosine": 1 - float(run.pupil.distance)}),
        **measure_use_of_pose(run.ema, held_out, settings.seed),
    }


def _require_use(row: Row, settings: TrainConfig, checkpoint: Path) -> None:
    if row["images"] >= settings.usage_check_images and row["usage_gap"] < settings.min_usage_gap:
        raise UnusedLatentError(
            f"after {row['images']:.0f} images the latent is not used: shuffling z raises the loss by {row['usage_gap']:.2%}, "
            f"train.min_usage_gap asks for {settings.min_usage_gap:.2%}; the encoder learns nothing this way. "
            f"diffusion.prediction=v weighs high noise more, views=plain is easier; the run so far is in {checkpoint}"
        )


def fit(
    config: Config,
    data: PreparedData,
    run: Run,
    team: Processes,
    checkpoint: Path,
    live: Path,
    lessons: np.ndarray | None = None,
) -> None:
    """Train `run` in place from its step to the last, checkpointing as it goes.

    lessons: (n, T), the teacher's vector of each training picture. What is watched is measured by the leading process, and the
    others go by it. Raises Interrupted after saving on SIGINT or SIGTERM, LostProcessError, after saving too, when another
    process is gone, DivergedError, UnusedLatentError, CheckpointError.
    """
    settings, size = config.train, config.train.batch_size
    steps = -(-settings.images // size)
    log_every, save_every = (max(1, round(n / size)) for n in (settings.log_every_images, settings.checkpoint_every_images))
    check_every = 1 if team.device.type == "cpu" else 20  # reading a loss off a GPU stalls it
    if settings.batch_statistics == "whole":
        share_statistics(run.model, team)
    network = team.wrap(run.learner).train()
    if settings.compile:
        network = torch.compile(network)  # type: ignore[assignment]
    held_out = read_held_out(data, config, USE_IMAGES).to(team.device)
    split = data.split("train")
    partners = find_partners(data, split, config.views.pairs)
    reader = Reader(split, partners, settings, posed=config.model.cameras.rays, lessons=lessons)
    pending: list[Tensor] = []
    started = time.perf_counter() - run.seconds

    def due(every: int) -> bool:
        return run.step % every == 0 or run.step == steps

    def save() -> None:
        _read_losses(run, pending, checkpoint)  # what a checkpoint holds is known to be finite
        run.seconds = time.perf_counter() - started
        if team.leads:
            save_checkpoint(checkpoint, run.state())

    bar = Bar(total=settings.images, initial=run.step * size, unit="img", desc="train", disable=not team.leads)
    with stop_flag() as stop, Curves(live, run.rows) if team.leads else contextlib.nullcontext() as curves, bar:
        since, step_then = time.perf_counter(), run.step
        try:
            for batch in reader.stream(run.step, steps):
                pending.append(optimise(run, network, config, batch.to(team.device), team))
                if due(check_every) or due(log_every) or due(save_every):
                    _read_losses(run, pending, checkpoint)
                    bar.set_postfix(loss=f"{fmean(run.losses[-50:]):.4f}", refresh=False)
                bar.update(min(size, settings.images - bar.n))
                if due(log_every):
                    rate = (run.step - step_then) * size / (time.perf_counter() - since)
                    row = team.from_lead(lambda rate=rate: _log_row(run, settings, held_out, rate))  # type: ignore[misc]
                    _require_finite(row, run.step, checkpoint)
                    run.rows, run.losses = [*run.rows, row], []
                    if curves:
                        curves.add(row)
                    _require_use(row, settings, checkpoint)
                    since, step_then = time.perf_counter(), run.step
                if due(save_every):
                    save()
                if (team.count == 1 or due(check_every)) and team.any(stop.signum is not None):
                    message = f"stopped at {run.step * size} of {settings.images} images and saved in {checkpoint}"
                    raise Interrupted(f"{message}; the same command goes on from there", stop.signum or 15)
        except (Interrupted, UnusedLatentError):
            save()
            raise
        except LostProcessError as error:
            run.forget_half_a_step()
            save()
            message = f"{error}; stopped at {run.step * size} of {settings.images} images and saved in {checkpoint}"
            raise LostProcessError(f"{message}; the same command goes on from there") from error


def train(
    config: Config,
    prepared: Path,
    verdict: Path,
    model_dir: Path,
    runs: Path,
    live: Path,
    metrics: Path,
    *,
    meeting: Rendezvous | None = None,
) -> dict[str, Any]:
    """Train SODA on data that passed the gate and write its model folder, curves and metrics.

    Goes on from runs/<key>/checkpoint.pt when there is one; of several processes the leading one's counts, which no other needs
    to see. meeting: of the processes that were started here. Raises GateError when the verdict does not cover the data as it is
    now, and what `fit` raises.
    """
    data = passed_data(config, prepared, verdict)
    if config.train.threads:
        torch.set_num_threads(config.train.threads)
    lessons = lessons_of(config.train.teacher, data, runs)
    key = run_key(config, data.version, teacher_digest(config.train.teacher), init_digest(config.train.init))
    checkpoint = runs / key / "checkpoint.pt"
    with processes(config.train.device, meeting) as team:
        run = start_run(config, key, team.device, 0 if lessons is None else lessons.shape[1])
        state = team.from_lead(lambda: load_checkpoint(checkpoint, key) if checkpoint.exists() else None)
        if state is not None:
            run.restore(state)
            if team.leads:
                log.info("going on from %s at %d images", checkpoint, run.step * config.train.batch_size)
            if run.rows:  # the run that left it may have ended on this very judgement
                _require_use(run.rows[-1], config.train, checkpoint)
        fit(config, data, run, team, checkpoint, live, lessons)
        team.wait()
        images = run.step * config.train.batch_size
        result = {
            "train": {
                "images": images,
                "seconds": round(run.seconds, 1),
                "images_per_second": round(images / run.seconds, 1),
                "final_loss": run.rows[-1]["loss"],
                **{key: run.rows[-1][key] for key in WATCHED if key in run.rows[-1]},
                "processes": team.count,
                "threads": torch.get_num_threads(),
                "encoder_parameters": sum(p.numel() for p in run.model.encoder.parameters()),
                "denoiser_parameters": sum(p.numel() for p in run.model.denoiser.parameters()),
            }
        }
        if team.leads:
            save_model(model_dir, run.ema, config, data_version=data.version, images=images)
            write_json(metrics, result)
            mark_finished(checkpoint.parent, metrics)  # it stays until DVC has recorded the result (drop_recorded)
    return result
