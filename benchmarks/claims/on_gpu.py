"""The campaign on one GPU: many runs side by side, each a stream of CUDA graphs; processes beside judge what is read off z.

`benchmarks.claims.jobs` does the same one run after another, on a processor.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from functools import lru_cache, partial
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.claims.arms import STUDIES
from benchmarks.claims.jobs import Job, config_of, marks_of, run_job
from benchmarks.claims.results import PIXELS, TEST, UNTRAINED
from benchmarks.claims.training import USED, Judges
from benchmarks.gpu_step import reader_of
from soda.data.dataset import PreparedData
from soda.evaluation.linear_probe import Features
from soda.model.batch import ViewBatch
from soda.model.network import SodaNetwork
from soda.training.held_out import read_held_out
from soda.training.resident import Resident, ResidentRun, interleaved
from soda.training.step import Run, start_run
from soda.training.usage import measure_use

AHEAD = 8  # steps of one run that are asked for before it is the next one's turn
A_STREAM = 3  # runs of 1 x the images, one after another, in the graph of one arm
BATCH = 3000
REPORT = "report"  # the half of validation that figures are of

Z = dict[str, np.ndarray]
Done = tuple[Job, list[dict[str, Any]]]


class Place:
    """What the runs of a study share on the device: training images, and those that z is read off."""

    def __init__(self, data: PreparedData, device: torch.device) -> None:
        self.data, self.device = data, device
        judged = Judges.of(data).samples
        asked = {"train": judged["train"], "val": judged["val"], REPORT: judged["test"]}
        asked[TEST] = Judges.of(data, test=True).samples["test"]
        self.judged = {name: torch.from_numpy(each.gather(np.arange(len(each)))).to(device) for name, each in asked.items()}
        self._images: dict[bool, Resident] = {}

    def images(self, posed: bool) -> Resident:
        if posed not in self._images:
            self._images[posed] = Resident.of(self.data.split("train"), self.device, posed=posed)
        return self._images[posed]

    @torch.no_grad()
    def read_off(self, model: SodaNetwork, report: str) -> Z:
        """z of the images that probes are fitted on, chosen on, and reported on: REPORT or TEST."""

        def z(pixels: Tensor) -> np.ndarray:
            blocks = [each.permute(0, 3, 1, 2).float() / 127.5 - 1 for each in pixels.split(BATCH)]
            return torch.cat([model.encoder(block).float() for block in blocks]).cpu().numpy()

        return {name: z(self.judged[report if name == "test" else name]) for name in ("train", "val", "test")}


@lru_cache
def _judges(prepared: Path, test: bool) -> Judges:
    torch.set_num_threads(1)
    return Judges.of(PreparedData(prepared), test=test)


def judge(prepared: Path, z: Z, sections: int, test: bool) -> dict[str, float]:
    """What a process beside makes of z."""
    judges = _judges(prepared, test)
    features = {name: Features(torch.from_numpy(z[name]), torch.from_numpy(judges.samples[name].labels)) for name in z}
    return judges.judge(features, sections)


def run_jobs(
    jobs: list[Job], folder: Path, images: int, keys: dict[str, str], *, device: torch.device, streams: int, judges: int
) -> Iterator[Done]:
    """The rows of each job as it ends. On a CPU, where there are no graphs, it is slower than one run after another."""
    started = time.perf_counter()
    places = {study: Place(PreparedData(folder / study / "prepared"), device) for study in {job[0] for job in jobs}}
    pending: dict[Job, list[tuple[dict[str, Any], dict[str, float], Future[dict[str, float]]]]] = {}
    with ProcessPoolExecutor(judges, multiprocessing.get_context("spawn")) as pool:
        still = [job for job in jobs if job[1] in (PIXELS, UNTRAINED)]
        beside = {pool.submit(run_job, job, folder=folder, images=images, device="cpu", key=keys[job[0]]): job for job in still}
        ended: set[Job] = set()

        def submit(job: Job, images_seen: int, model: SodaNetwork, use: dict[str, float], name: str, test: bool) -> None:
            study, _, seed = job
            z = places[study].read_off(model, TEST if test else REPORT)
            row = {"study": study, "arm": name, "seed": seed, "images": images_seen, "key": keys[study], "device": device.type}
            judged = pool.submit(judge, folder / study / "prepared", z, model.sections, test)
            pending.setdefault(job, []).append((row, use, judged))

        works = [partial(_stream, each, places[each[0][0]], images, submit, ended) for each in streams_of(jobs)]

        def ready() -> Iterator[Done]:
            for future in [each for each in beside if each.done()]:
                yield beside.pop(future), future.result()
            for job in [each for each in pending if each in ended and all(row[2].done() for row in pending[each])]:
                yield job, [_row(*each) for each in pending.pop(job)]

        for _ in interleaved(works, streams):
            yield from ready()
        print(f"trained after {time.perf_counter() - started:.0f} s; {len(pending)} runs are being judged", flush=True)
        while pending or beside:
            wait(
                [*beside, *(each for rows in pending.values() for _, _, each in rows if not each.done())],
                return_when=FIRST_COMPLETED,
            )
            yield from ready()


def _row(row: dict[str, Any], use: dict[str, float], judged: Future[dict[str, float]]) -> dict[str, Any]:
    return {**row, "metrics": {name: round(value, 6) for name, value in (judged.result() | use).items()}}


def streams_of(jobs: list[Job]) -> list[list[Job]]:
    """The trainings, those of one arm behind one another as long as they are no more than A_STREAM; the longest first."""
    found = []
    trained = sorted((job for job in jobs if job[1] not in (PIXELS, UNTRAINED)), key=lambda job: job[:2])
    for (study, arm), same in groupby(trained, lambda job: job[:2]):
        each, runs = max(1, A_STREAM // STUDIES[study].arms[arm].longer), list(same)
        found += [runs[start : start + each] for start in range(0, len(runs), each)]
    return sorted(found, key=lambda runs: -len(runs) * STUDIES[runs[0][0]].arms[runs[0][1]].longer)


def _stream(jobs: list[Job], place: Place, images: int, submit: Any, ended: set[Job]) -> Iterator[None]:
    resident: ResidentRun | None = None
    held_out: ViewBatch | None = None
    for job in jobs:
        study, arm, seed = job
        config = config_of(study, arm, seed, images)
        reader = reader_of(config, place.data)
        if resident is None:
            run = start_run(config, "claims", place.device)
            resident = ResidentRun(run, config, reader, place.images(config.model.cameras.rays))
            if resident.cuda:
                resident.capture()
            held_out = read_held_out(place.data, config, USED).to(place.device)
        else:
            resident.restart(start_run(config, "claims", torch.device("cpu")), reader, config)
        yield
        yield from _to_marks(resident, resident.run, job, held_out, images, submit)
        ended.add(job)


def _to_marks(resident: ResidentRun, run: Run, job: Job, held_out: ViewBatch | None, images: int, submit: Any) -> Iterator[None]:
    study, arm, _ = job
    size, marks = resident.config.train.batch_size, marks_of(images, STUDIES[study].arms[arm].longer)
    assert held_out is not None
    for mark in marks:
        due = -(-mark // size)
        while run.step < due:
            resident.advance(min(AHEAD, due - run.step))
            yield
        with resident.on_stream():
            use = measure_use(run.ema, held_out, 0)
            measured = {"usage_gap": use.gap, "val_loss": use.loss}
            submit(job, mark, run.ema, measured, arm, False)
            if arm == "base" and mark == marks[-1]:
                submit(job, mark, run.ema, measured, TEST, True)
