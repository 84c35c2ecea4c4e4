"""Smaller encoders, each judged by the probe on validation and held to torch; variants.json says what there is and what is not.

A folder, since what passes is not known beforehand: encoder.int8.onnx, encoder.fp16.onnx, and always variants.json.
"""

from __future__ import annotations

import logging
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
from soda.export.parity import Likeness, likeness
from soda.export.quantize import CANDIDATES, Settings, quantize, to_half
from soda.export.speed import measure_batch
from soda.export.statistics import evenly_spaced
from soda.runtime import Encoder

INT8, FP16, LIST = "encoder.int8.onnx", "encoder.fp16.onnx", "variants.json"
PENALTIES = (1e-2, 1e-3, 1e-4, 1e-5)
"""Of the L2 of the probe that judges; for every encoder the best of them counts."""

BATCH = 64

_log = logging.getLogger(__name__)


def write_variants(
    config: ExportConfig, module: DeployedEncoder, source: Path, data: PreparedData, folder: Path
) -> dict[str, Any]:
    """Write into `folder` what passes, and variants.json; return figures for the metrics (`int8_...`, `fp16_...`), and `notes`
    that say what is missing where it was wanted.

    source: the fp32 encoder as a file, with its metadata; module: the same in torch. Raises ExportError as `quantize` does.
    """
    listed: dict[str, Any] = {}
    figures: dict[str, Any] = {}
    judge = Judge(data, config.probe_images) if config.int8 or config.fp16 else None
    fp32 = Encoder(source, threads=torch.get_num_threads()) if judge else None
    before = judge.probe(fp32) if judge and fp32 else None
    if config.int8 and judge and fp32:
        listed[INT8], figures = _int8(config, module, source, data, folder, judge, before)
        if not listed[INT8]["written"]:
            figures["notes"] = [f"There is no {INT8}: {listed[INT8]['reason']}."]
    else:
        listed[INT8] = {"written": False, "reason": "export.int8 is false"}
    if config.fp16 and judge and fp32:
        path = folder / FP16
        path.write_bytes(to_bytes(to_half(source), {**fp32.metadata, "precision": "fp16"}))
        about = _judged(Encoder(path, threads=torch.get_num_threads()), module, data, config, judge, before)
        listed[FP16] = {"written": True, "bytes": path.stat().st_size, **about}
        figures |= {f"fp16_{key}": value for key, value in {"bytes": path.stat().st_size, **about}.items()}
    else:
        listed[FP16] = {"written": False, "reason": "export.fp16 is false"}
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
            Features(torch.from_numpy(_embed(encoder, pictures)), torch.from_numpy(labels))
            for pictures, labels in (self._train, self._val)
        )
        return linear_probe(train, val, val, classes=self._classes, l2=PENALTIES).val_top1


def _int8(
    config: ExportConfig,
    module: DeployedEncoder,
    source: Path,
    data: PreparedData,
    folder: Path,
    judge: Judge,
    before: float | None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Try all settings, keep the one that loses least. Returns its entry in the list, and the figures."""
    if before is None:
        reason = "the data have no labels, so what 8 bits cost could not be measured"
        return {"written": False, "reason": reason}, {"int8_written": False}
    facts = Encoder(source, threads=1).metadata
    tried: list[dict[str, Any]] = []
    best: tuple[float, float, Settings, bytes] | None = None
    temporary = folder / ".candidate.onnx"
    for settings in CANDIDATES:
        quantize(source, temporary, data.split("train"), config.calibration_images, settings)
        content = to_bytes(onnx.load(temporary), {**facts, "precision": "int8"})
        temporary.write_bytes(content)
        encoder = Encoder(temporary, threads=torch.get_num_threads())
        score, like = judge.probe(encoder), likeness(encoder, module, data.split("val"), config.parity_images)
        assert score is not None
        tried.append({"settings": str(settings), "probe_val_top1": score, "bytes": len(content), "mean_cosine": like.mean_cosine})
        if best is None or (score, like.mean_cosine) > best[:2]:
            best = score, like.mean_cosine, settings, content
    assert best is not None
    score, _, settings, content = best
    temporary.write_bytes(content)
    about = _judged(Encoder(temporary, threads=torch.get_num_threads()), module, data, config, judge, before, score)
    entry: dict[str, Any] = {"settings": str(settings), "bytes": len(content), **about, "tried": tried}
    written = before - score <= config.int8_max_drop
    figures: dict[str, Any] = {"int8_written": written, "int8_bytes": len(content)}
    figures |= {f"int8_{key}": value for key, value in about.items()}
    if written:
        temporary.rename(folder / INT8)
        return {"written": True, **entry}, figures
    temporary.unlink()
    reason = (
        f"the probe falls from {before:.4f} to {score:.4f} on validation with the best of {len(tried)} settings; "
        f"export.int8_max_drop allows {config.int8_max_drop:g}"
    )
    _log.warning("no %s is written: %s", INT8, reason)
    return {"written": False, "reason": reason, **entry}, figures


def _judged(
    encoder: Encoder,
    module: DeployedEncoder,
    data: PreparedData,
    config: ExportConfig,
    judge: Judge,
    before: float | None,
    score: float | None = None,
) -> dict[str, float]:
    """Parity on held-out pictures, speed, and what the probe loses (where it can be measured)."""
    split = next((data.split(name) for name in ("test", "val", "train") if len(data.split(name))), data.split("test"))
    like: Likeness = likeness(encoder, module, split, config.parity_images)
    about = {"mean_cosine": like.mean_cosine, "min_cosine": like.min_cosine, "max_abs_diff": like.max_abs_diff}
    about["ms_64"] = measure_batch(encoder, BATCH)
    score = judge.probe(encoder) if score is None else score
    if before is not None and score is not None:
        about |= {"probe_val_top1": score, "probe_val_drop": before - score}
    return about


def _labelled(split: Split, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Up to `most` pictures that have a label, RGB, and their labels (n,) int64."""
    indices = np.flatnonzero(split.labels >= 0)
    indices = indices[evenly_spaced(len(indices), most)]
    return split.gather(indices), split.labels[indices]


def _embed(encoder: Encoder, pictures: np.ndarray) -> np.ndarray:
    blocks = (pictures[i : i + BATCH] for i in range(0, len(pictures), BATCH))
    return np.concatenate([encoder.run(b.repeat(3, axis=3) if b.shape[3] == 1 else b) for b in blocks])
