"""Smaller encoders, each judged by the probe on validation and held to torch; variants.json says what there is and what is not.

A folder, since what passes is not known beforehand: encoder.int8.onnx, encoder.fp16.onnx, and always variants.json.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch

from soda.common.files import write_json
from soda.config import ExportConfig
from soda.data.dataset import PreparedData, Split
from soda.evaluation.linear_probe import Features, linear_probe
from soda.export.describe import to_bytes
from soda.export.graph import DeployedEncoder
from soda.export.parity import Likeness, comparison_split, likeness
from soda.export.quantize import CANDIDATES, Settings, quantize, to_half
from soda.export.speed import measure_batch
from soda.export.statistics import evenly_spaced, gather_rgb
from soda.runtime import Encoder

INT8, FP16, LIST = "encoder.int8.onnx", "encoder.fp16.onnx", "variants.json"
PENALTIES = (1e-2, 1e-3, 1e-4, 1e-5)
"""Of the L2 of the probe that judges; for every encoder the best of them counts."""

BATCH = 64
_UNLABELLED = "the data have no labels, so what 8 bits cost could not be measured"

_log = logging.getLogger(__name__)


def write_variants(
    config: ExportConfig, module: DeployedEncoder, source: Path, data: PreparedData, folder: Path
) -> dict[str, Any]:
    """Write into `folder` what passes, and variants.json; return figures for the metrics (`int8_...`, `fp16_...`), and `notes`
    that say what is missing where it was wanted.

    source: the fp32 encoder as a file, with its metadata; module: the same in torch. Raises ExportError as `quantize` does.
    """
    listed = {file: {"written": False, "reason": f"export.{kind} is false"} for file, kind in ((INT8, "int8"), (FP16, "fp16"))}
    figures: dict[str, Any] = {}
    before = None
    if config.int8 or config.fp16:
        maker = _Maker(config, module, source, data, folder)
        before = maker.before
        if config.int8:
            listed[INT8], figures = maker.int8()
        if config.fp16:
            listed[FP16], more = maker.fp16()
            figures |= more
    write_json(folder / LIST, {"source": {"probe_val_top1": before, "bytes": source.stat().st_size}, "variants": listed})
    return figures


class Judge:
    """A linear probe on labels of the train split, scored on validation; the test split is never looked at."""

    def __init__(self, data: PreparedData, images: int) -> None:
        self._classes = len(data.label_names)
        train, val = data.split("train"), data.split("val")
        self._train, self._val = _labelled(train, images), _labelled(val, images)
        kinds = len(np.unique(self._train[1]))
        self.possible = kinds >= 2 and len(self._val[1]) > 0

    def probe(self, encoder: Encoder) -> float | None:
        """Top-1 in [0, 1] of the best penalty; None for data without labels to judge by."""
        if not self.possible:
            return None
        train, val = (
            Features(torch.from_numpy(_embed(encoder, images)), torch.from_numpy(labels))
            for images, labels in (self._train, self._val)
        )
        return linear_probe(train, val, val, classes=self._classes, l2=PENALTIES).val_top1


@dataclass
class _Candidate:
    """An 8-bit encoder. cosine: of its z and torch's, mean over validation; score: its probe, where it was asked."""

    settings: Settings
    content: bytes
    cosine: float
    score: float | None = None

    def falls(self, before: float) -> float:
        """What the probe loses; without end where it was not asked."""
        return math.inf if self.score is None else before - self.score

    def entry(self) -> dict[str, Any]:
        """Its row in variants.json."""
        about = {"settings": str(self.settings), "bytes": len(self.content), "mean_cosine": self.cosine}
        return about if self.score is None else {**about, "probe_val_top1": self.score}


class _Maker:
    """Makes the variants of one encoder, and judges them."""

    def __init__(self, config: ExportConfig, module: DeployedEncoder, source: Path, data: PreparedData, folder: Path) -> None:
        self.config, self.module, self.source, self.data, self.folder = config, module, source, data, folder
        self.judge = Judge(data, config.probe_images)
        self.fp32 = _open(source)
        self.before = self.judge.probe(self.fp32)

    def int8(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Of all settings, keep the nearest to torch of which the probe loses no more than it may. Its entry, and the figures.

        A probe of many images takes longer than all else here, and settings differ in it by less than chance: the nearest is
        asked first, and once one passes, the others are not.
        """
        entry, figures = self._best_int8() if self.before is not None else ({"written": False, "reason": _UNLABELLED}, {})
        if not entry["written"]:
            figures["notes"] = [f"There is no {INT8}: {entry['reason']}."]
        return entry, {"int8_written": entry["written"], **figures}

    def _best_int8(self) -> tuple[dict[str, Any], dict[str, Any]]:
        config, before = self.config, self.before
        assert before is not None
        temporary = self.folder / ".candidate.onnx"
        tried = self._candidates(temporary)
        for candidate in tried:
            temporary.write_bytes(candidate.content)
            candidate.score = self.judge.probe(_open(temporary))
            if candidate.falls(before) <= config.int8_max_drop:
                break
        best = min(tried, key=lambda candidate: candidate.falls(before))
        temporary.write_bytes(best.content)
        about = self._judged(temporary, best.score)
        entry: dict[str, Any] = {"settings": str(best.settings), **about, "tried": [candidate.entry() for candidate in tried]}
        figures: dict[str, Any] = {f"int8_{key}": value for key, value in about.items()}
        if best.falls(before) <= config.int8_max_drop:
            temporary.rename(self.folder / INT8)
            return {"written": True, **entry}, figures
        temporary.unlink()
        reason = (
            f"the probe falls from {before:.4f} to {best.score:.4f} on validation with the best of {len(tried)} settings; "
            f"export.int8_max_drop allows {config.int8_max_drop:g}"
        )
        _log.warning("no %s is written: %s", INT8, reason)
        return {"written": False, "reason": reason, **entry}, figures

    def _candidates(self, temporary: Path) -> list[_Candidate]:
        """One of each of CANDIDATES, that whose z is nearest to torch's on validation first."""
        made = []
        for settings in CANDIDATES:
            quantize(self.source, temporary, self.data.split("train"), self.config.calibration_images, settings)
            content = to_bytes(onnx.load(temporary), {**self.fp32.metadata, "precision": "int8"})
            temporary.write_bytes(content)
            made.append(_Candidate(settings, content, self._like(_open(temporary), self.data.split("val")).mean_cosine))
        return sorted(made, key=lambda candidate: -candidate.cosine)

    def fp16(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Write it; its entry in the list, and the figures."""
        path = self.folder / FP16
        path.write_bytes(to_bytes(to_half(self.source), {**self.fp32.metadata, "precision": "fp16"}))
        about = self._judged(path)
        return {"written": True, **about}, {f"fp16_{key}": value for key, value in about.items()}

    def _like(self, encoder: Encoder, split: Split) -> Likeness:
        return likeness(encoder, self.module, split, self.config.parity_images)

    def _judged(self, path: Path, score: float | None = None) -> dict[str, float]:
        """Size, parity on held-out pictures, speed, and what the probe loses (where it can be measured)."""
        encoder = _open(path)
        like = self._like(encoder, comparison_split(self.data))
        about = {"bytes": path.stat().st_size, "mean_cosine": like.mean_cosine, "min_cosine": like.min_cosine}
        about |= {"max_abs_diff": like.max_abs_diff, "ms_64": measure_batch(encoder, BATCH)}
        if like.features_mean_cosine is not None and like.features_min_cosine is not None:
            about |= {"features_mean_cosine": like.features_mean_cosine, "features_min_cosine": like.features_min_cosine}
        score = self.judge.probe(encoder) if score is None else score
        if self.before is not None and score is not None:
            about |= {"probe_val_top1": score, "probe_val_drop": self.before - score}
        return about


def _open(path: Path) -> Encoder:
    return Encoder(path, threads=torch.get_num_threads())


def _labelled(split: Split, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Up to `most` pictures that have a label, RGB, and their labels (n,) int64."""
    indices = np.flatnonzero(split.labels >= 0)
    indices = indices[evenly_spaced(len(indices), most)]
    return gather_rgb(split, indices), split.labels[indices]


def _embed(encoder: Encoder, images: np.ndarray) -> np.ndarray:
    blocks = (images[i : i + BATCH] for i in range(0, len(images), BATCH))
    return np.concatenate([encoder.run(b) for b in blocks])
