"""Decide the paper's claims by runs of one's own: docs/ablations.md and docs/results/claims.json.

Every finished run is kept in docs/results/claims_runs.json and not done again, so that the command can be stopped and repeated.
Pages follow as runs end. Runs go side by side, a process of one thread each; with --device cuda on one GPU.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import os
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from pathlib import Path
from typing import Any

import torch
import yaml

from benchmarks.claims.arms import MAIN_SEEDS, STUDIES
from benchmarks.claims.jobs import Job, config_of, run_job
from benchmarks.claims.on_gpu import run_jobs
from benchmarks.claims.page import write_page
from benchmarks.claims.results import PIXELS, UNTRAINED, Results, claims_json
from soda import layout
from soda.common.files import write_json
from soda.common.fingerprint import code_fingerprint
from soda.data.dataset import PreparedData
from soda.data.fetch import fetch
from soda.data.prepare import prepare

PAGES_AFTER = 30.0  # seconds: pictures are drawn where the runs of a GPU are asked for, which wait meanwhile


def prepare_data(study: str, folder: Path) -> PreparedData:
    """The study's data, made in `folder` unless they are there."""
    config, prepared = config_of(study, "base", 0, 1000).dataset, folder / study / "prepared"
    if not (prepared / "summary.json").exists():
        print(f"{study}: preparing {config.name}", flush=True)
        fetch(config, folder / study / "raw")
        prepare(config, folder / study / "raw", prepared)
    return PreparedData(prepared)


def jobs_of(studies: list[str], arms: list[str] | None, seeds: int) -> list[Job]:
    """Seed by seed, so that a campaign that is stopped has something of everything."""
    jobs: list[Job] = []
    for seed in range(seeds):
        for study in studies:
            trained = [arm for arm, each in STUDIES[study].arms.items() if seed < each.seeds]
            jobs += [(study, arm, seed) for arm in ([PIXELS] if seed == 0 else []) + [UNTRAINED, *trained]]
    return [job for job in jobs if not arms or job[1] in arms]


def study_key(study: str, data: PreparedData, images: int) -> str:
    """What rows of a study must share to stand beside each other: its settings, data, length, and the code that made them."""
    parts = [STUDIES[study].overrides, data.version, images, code_fingerprint("benchmarks.claims.training")]
    return hashlib.sha256(yaml.safe_dump(parts).encode()).hexdigest()[:16]


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.claims", description=__doc__)
    parser.add_argument("--images", type=int, default=150_000, help="of each run (150,000); 1,000,000 on a GPU")
    parser.add_argument("--seeds", type=int, default=MAIN_SEEDS, help=f"at most, of the main arms ({MAIN_SEEDS})")
    parser.add_argument("--studies", nargs="*", choices=list(STUDIES), default=["main", "objects"])
    parser.add_argument("--arms", nargs="*", help=f"these arms alone, '{PIXELS}' and '{UNTRAINED}' among them")
    parser.add_argument(
        "--processes", type=int, default=len(os.sched_getaffinity(0)), help="side by side (one a core); 0: in this one"
    )
    parser.add_argument("--device", default="cpu", help="cpu | cuda: runs share one GPU, processes judge them")
    parser.add_argument("--streams", type=int, default=24, help="runs that share the GPU at a time")
    parser.add_argument("--runs", type=Path, default=layout.ABLATION_RUNS, help="where data are prepared")
    parser.add_argument("--docs", type=Path, default=layout.DOCS, help="where pages and results go")
    args = parser.parse_args(argv)
    data = {study: prepare_data(study, args.runs) for study in args.studies}
    keys = {study: study_key(study, each, args.images) for study, each in data.items()}
    results = Results(args.docs / "results/claims_runs.json", keys)
    device = "" if args.device == "cpu" else f"--device {args.device} "
    command = f'make ablations ARGS="{device}--images {args.images} --studies {" ".join(args.studies)}"'

    def write() -> None:
        page = args.docs / layout.ABLATIONS.name
        decisions = write_page(page, args.docs / "images", results, command=command)
        write_json(args.docs / "results/claims.json", claims_json(decisions, results))

    jobs = [job for job in jobs_of(args.studies, args.arms, args.seeds) if not results.has(*job)]
    if args.device == "cpu":
        done = _run(partial(run_job, folder=args.runs, images=args.images, device="cpu"), jobs, keys, args.processes)
    else:
        on, judges = torch.device(args.device), max(1, args.processes - 1)
        done = run_jobs(jobs, args.runs, args.images, keys, device=on, streams=args.streams, judges=judges)
    written = time.monotonic()
    for ended, (job, rows) in enumerate(done, 1):
        results.add(rows)
        print(f"{ended} of {len(jobs)}: {' '.join(map(str, job))}", flush=True)
        if time.monotonic() - written > PAGES_AFTER:
            write()
            written = time.monotonic()
    write()


def _run(work: Any, jobs: list[Job], keys: dict[str, str], processes: int) -> Iterator[tuple[Job, list[dict[str, Any]]]]:
    """The rows of each job as it ends; with no processes beside this one, here and one after another."""
    if not processes:
        yield from ((job, work(job, key=keys[job[0]])) for job in jobs)
        return
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        pending = {pool.submit(work, job, key=keys[job[0]]): job for job in jobs}
        for done in as_completed(pending):
            yield pending[done], done.result()


if __name__ == "__main__":
    main()
