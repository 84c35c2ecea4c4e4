"""The frozen latent beside its baselines: every feature set meets the same linear probe and the same nearest neighbours."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import nn

from soda.config import Config, EvaluateConfig
from soda.data.columns import SPLITS
from soda.evaluation.baselines import CALIBRATION_PICTURES, accuracy, random_encoder, train_supervised
from soda.evaluation.kept import Keeping
from soda.evaluation.knn import knn_probe
from soda.evaluation.latents import MAX_PIXEL_SIDE, Sample, embed, pixels
from soda.evaluation.probe import Features, ProbeResult, ci95, linear_probe
from soda.viz.charts import Bar


@dataclass
class Comparison:
    """What the probes gave. metrics: the group `probe`, empty without labels; notes: how it was measured, in plain sentences.

    untrained: the encoder before training. network, network_name: the fixed network that measures reconstructions. probe: the
    linear probe on z, for its confusions.
    """

    untrained: nn.Module
    network: nn.Module
    network_name: str
    metrics: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    bars: list[Bar] = field(default_factory=list)
    probe: ProbeResult | None = None


@dataclass(frozen=True)
class Protocol:
    """What every probe shares: the settings, the pictures of each split, and the number of classes."""

    config: EvaluateConfig
    samples: dict[str, Sample]  # by split
    classes: int
    device: torch.device
    keeping: Keeping | None = None  # of the supervised network's training

    def embed(self, encoder: nn.Module) -> dict[str, Features]:
        """Features of every split by an encoder in eval mode."""
        return {
            name: embed(encoder, sample, batch_size=self.config.batch_size, device=self.device)
            for name, sample in self.samples.items()
        }

    @property
    def obstacle(self) -> str | None:
        """Why there can be no probe, or None."""
        train, test = self.samples["train"].labels, self.samples["test"].labels
        kinds = len(set(train[train >= 0].tolist()))
        if kinds < 2:
            return f"the train split holds {kinds} label{'' if kinds == 1 else 's'}, and telling apart takes two"
        if not (test >= 0).any():
            return "no test picture has a label"
        return None


def compare(latents: dict[str, Features], trained: Config, protocol: Protocol) -> Comparison:
    """Probe `latents` (of the frozen encoder, by split), raw pixels and the untrained encoder; train the supervised network.

    trained: the configuration of the SODA run, which the baselines follow. Without labels only the untrained encoder is made.
    """
    config, samples, device = protocol.config, protocol.samples, protocol.device
    l2 = sorted(config.probe_l2)[len(config.probe_l2) // 2]
    untrained, calibrated = random_encoder(
        trained, samples["train"], samples["val"], l2=l2, batch_size=config.batch_size, device=device
    )
    result = Comparison(untrained, untrained, "the untrained encoder")
    if protocol.obstacle:
        result.notes.append(f"There are no probes: {protocol.obstacle}.")
        return result
    result.notes += _explain(protocol, calibrated)
    result.probe = _measure(result, "", "SODA latent", latents, protocol)
    untrained_features = protocol.embed(untrained)
    _measure(result, "random_", "Untrained encoder", untrained_features, protocol)
    raw = {name: pixels(sample, config.batch_size) for name, sample in samples.items()}
    _measure(result, "pixels_", "Raw pixels", raw, protocol)
    test, train = samples["test"].labels, samples["train"].labels
    commonest = torch.from_numpy(train[train >= 0]).mode().values
    result.metrics |= {
        "majority_top1": float((test[test >= 0] == int(commonest)).mean()),
        "train_labels": int((train >= 0).sum()),
        "test_labels": int((test >= 0).sum()),
    }
    if config.supervised:
        _supervise(result, trained, protocol)
    missing = set(test[test >= 0].tolist()) - set(train.tolist())
    if missing:
        result.notes.append(f"{len(missing)} of the test labels occur in no training picture; these pictures count as wrong.")
    return result


def _measure(result: Comparison, prefix: str, name: str, features: dict[str, Features], protocol: Protocol) -> ProbeResult:
    config, sets = protocol.config, [features[split] for split in SPLITS]
    linear = linear_probe(*sets, classes=protocol.classes, l2=config.probe_l2)
    knn = knn_probe(*sets, classes=protocol.classes, k=config.knn_k)
    count = len(linear.targets)
    found: dict[str, float | None] = {
        f"{prefix}linear_top1": linear.test_top1,
        f"{prefix}linear_top1_ci95": ci95(linear.test_top1, count),
        f"{prefix}linear_val_top1": linear.val_top1,
        f"{prefix}linear_l2": linear.l2,
        f"{prefix}knn_top1": knn.test_top1,
        f"{prefix}knn_val_top1": knn.val_top1,
        f"{prefix}knn_k": knn.k,
    }
    result.metrics |= {key: value for key, value in found.items() if value is not None}
    for how, value in (("linear probe", linear.test_top1), ("nearest neighbours", knn.test_top1)):
        result.bars.append(Bar(f"{name}, {how}", value, ci95(value, count), ours=not prefix))
    return linear


def _supervise(result: Comparison, trained: Config, protocol: Protocol) -> None:
    config, device = protocol.config, protocol.device
    network = train_supervised(trained, protocol.samples["train"], protocol.classes, device=device, keeping=protocol.keeping)
    scores = {
        name: accuracy(network, protocol.samples[name], batch_size=config.batch_size, device=device) for name in ("test", "val")
    }
    result.network, result.network_name = network.encoder, "the supervised network's encoder"
    result.metrics["supervised_top1"] = scores["test"]
    if math.isfinite(scores["val"]):
        result.metrics["supervised_val_top1"] = scores["val"]
    half = ci95(scores["test"], int(result.metrics["test_labels"]))
    result.bars.insert(2, Bar("Supervised network", scores["test"], half, ours=False))
    steps = -(-trained.train.images // trained.train.batch_size)
    result.notes.append(
        f"Supervised network: the same encoder with a linear layer, from the same initial weights, {steps:,} steps of "
        f"{trained.train.batch_size} with labels as SODA had without, plain pictures, cross-entropy, AdamW at the run's own "
        "rate, cosine decay; nothing tuned."
    )


def _explain(protocol: Protocol, calibrated: bool) -> list[str]:
    config, train = protocol.config, protocol.samples["train"]
    notes = [
        "Probes see the pictures as they are. Features are standardised by the train split's statistics; the linear probe is "
        f"multinomial logistic regression with an L2 of {', '.join(f'{v:g}' for v in sorted(config.probe_l2))}, the nearest "
        f"neighbours vote by exp(cosine / 0.1) with k of {', '.join(map(str, sorted(config.knn_k)))}; both are chosen on "
        "validation, for every feature set by itself.",
        "Untrained encoder: the very weights from which training started; BatchNorm with "
        + (f"statistics of {CALIBRATION_PICTURES} training pictures" if calibrated else "its initial statistics")
        + ", the better of the two on validation.",
    ]
    if len(train) < len(train.split):
        notes.append(f"Probes are fitted on {len(train):,} of the {len(train.split):,} training pictures, drawn at random.")
    side = train.split.gather([0]).shape[1]
    if side > MAX_PIXEL_SIDE:
        notes.append(f"Raw pixels are averaged down from {side} to {MAX_PIXEL_SIDE} px a side.")
    if not (protocol.samples["val"].labels >= 0).any():
        notes.append("No validation picture has a label: the probe takes the greatest L2 and the smallest k.")
    return notes
