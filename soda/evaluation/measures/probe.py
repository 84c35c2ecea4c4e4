"""How much of the labels the frozen latent tells, by a linear probe and by nearest neighbours, beside its baselines."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from soda.evaluation.registry import Figure, Headline, Measure, Quantity, Row, Table

if TYPE_CHECKING:
    from soda.evaluation.context import EvaluationContext

OF = {"": "SODA latent", "pixels_": "Raw pixels", "random_": "Untrained encoder"}
"""What is probed: what its keys begin with, its name."""

_CHANCE = ("majority_top1", "always the commonest label")
_LINEAR = (
    ("pixels_linear_top1", "raw pixels"),
    ("random_linear_top1", "untrained encoder"),
    ("supervised_top1", "supervised network of the same encoder"),
    _CHANCE,
)
_KNN = (("pixels_knn_top1", "raw pixels"), ("random_knn_top1", "untrained encoder"), _CHANCE)
_SHARE = "{:.1%}"


def _probes(prefix: str, name: str) -> tuple[Quantity, ...]:
    """The figures of the two probes of one set of features."""
    beside = (("pixels", "pixels_linear_top1"), ("untrained encoder", "random_linear_top1"))
    headline = Headline("linear probe on the frozen latent", beside) if not prefix else None
    linear, knn = f"{prefix}linear", f"{prefix}knn"
    return (
        Quantity(f"{linear}_top1", f"Linear probe, {name}", _SHARE, "higher", "", () if prefix else _LINEAR, headline),
        Quantity(f"{linear}_top1_ci95", f"Linear probe, {name}: half of its 95 % interval", _SHARE),
        Quantity(f"{linear}_val_top1", f"Linear probe, {name}, on validation", _SHARE, "higher"),
        Quantity(f"{linear}_l2", f"Linear probe, {name}: L2"),
        Quantity(f"{knn}_top1", f"Nearest neighbours, {name}", _SHARE, "higher", "", () if prefix else _KNN),
        Quantity(f"{knn}_val_top1", f"Nearest neighbours, {name}, on validation", _SHARE, "higher"),
        Quantity(f"{knn}_k", f"Nearest neighbours, {name}: k"),
    )


def compute(context: EvaluationContext) -> dict[str, Any]:
    """Probe z, raw pixels and the untrained encoder alike, train the supervised network, and draw bars and confusions."""
    from soda.data.columns import SPLITS
    from soda.evaluation.knn import knn_probe
    from soda.evaluation.linear_probe import ci95, linear_probe
    from soda.evaluation.samples import pixels
    from soda.viz.charts import Bar, confusion, probe_bars

    if context.no_probe:
        return {"notes": [f"There are no probes: {context.no_probe}."]}
    config, samples = context.config, context.samples
    test, train = samples["test"].labels, samples["train"].labels
    features = {
        "": context.latents,
        "random_": context.embed(context.untrained[0]),
        "pixels_": {name: pixels(sample, config.batch_size) for name, sample in samples.items()},
    }
    found: dict[str, Any] = {}
    bars, answers = [], {}
    for prefix, sets in features.items():
        train_val_test = [sets[split] for split in SPLITS]
        answers[prefix] = linear = linear_probe(*train_val_test, classes=context.classes, l2=config.probe_l2)
        knn = knn_probe(*train_val_test, classes=context.classes, k=config.knn_k)
        half = ci95(linear.test_top1, len(linear.targets))
        values = {
            "linear_top1": linear.test_top1,
            "linear_top1_ci95": half,
            "linear_val_top1": linear.val_top1,
            "linear_l2": linear.l2,
            "knn_top1": knn.test_top1,
            "knn_val_top1": knn.val_top1,
            "knn_k": knn.k,
        }
        found |= {f"{prefix}{key}": value for key, value in values.items() if value is not None}
        for how, value in (("linear probe", linear.test_top1), ("nearest neighbours", knn.test_top1)):
            bars.append(Bar(f"{OF[prefix]}, {how}", value, ci95(value, len(linear.targets)), ours=not prefix))
    commonest = np.bincount(train[train >= 0]).argmax()
    found |= {
        "majority_top1": float((test[test >= 0] == commonest).mean()),
        "train_labels": int((train >= 0).sum()),
        "test_labels": int((test >= 0).sum()),
    }
    notes = _notes(context)
    if context.supervised is not None:
        found |= _supervised(context)
        bars.insert(2, Bar("Supervised network", top1 := found["supervised_top1"], ci95(top1, found["test_labels"]), ours=False))
        notes.append(_about_supervised(context))
    missing = set(test[test >= 0].tolist()) - set(train.tolist())
    if missing:
        notes.append(f"{len(missing)} of the test labels occur in no training picture; these pictures count as wrong.")
    names, ours = context.data.label_names, answers[""]
    confusion(ours.targets.numpy(), ours.predictions.numpy(), names, context.folder / "confusion.png")
    probe_bars(bars, found["majority_top1"], context.folder / "probe.png")
    return {**found, "notes": notes}


def _supervised(context: EvaluationContext) -> dict[str, float]:
    from soda.evaluation.baselines.supervised import accuracy

    assert context.supervised is not None
    size, device = context.config.batch_size, context.device
    scores = {n: accuracy(context.supervised, context.samples[n], batch_size=size, device=device) for n in ("test", "val")}
    found = {"supervised_top1": scores["test"], "supervised_val_top1": scores["val"]}
    return {key: value for key, value in found.items() if math.isfinite(value)}


def _about_supervised(context: EvaluationContext) -> str:
    settings = context.trained.train
    return (
        f"Supervised network: the same encoder with a linear layer, from the same initial weights, "
        f"{-(-settings.images // settings.batch_size):,} steps of {settings.batch_size} with labels as SODA had without, plain "
        "pictures, cross-entropy, AdamW at the run's own rate, cosine decay; nothing tuned."
    )


def _notes(context: EvaluationContext) -> list[str]:
    from soda.evaluation.baselines.untrained import CALIBRATION_IMAGES
    from soda.evaluation.samples import MAX_PIXEL_SIDE

    config, train = context.config, context.samples["train"]
    notes = [
        "Probes see the pictures as they are. Features are standardised by the train split's statistics; the linear probe is "
        f"multinomial logistic regression with an L2 of {', '.join(f'{v:g}' for v in sorted(config.probe_l2))}, the nearest "
        f"neighbours vote by exp(cosine / 0.1) with k of {', '.join(map(str, sorted(config.knn_k)))}; both are chosen on "
        "validation, for every feature set by itself.",
        "Untrained encoder: the very weights from which training started; BatchNorm with "
        + (f"statistics of {CALIBRATION_IMAGES} training pictures" if context.untrained[1] else "its initial statistics")
        + ", the better of the two on validation.",
    ]
    if len(train) < len(train.split):
        notes.append(f"Probes are fitted on {len(train):,} of the {len(train.split):,} training pictures, drawn at random.")
    if context.model.image_size > MAX_PIXEL_SIDE:
        notes.append(f"Raw pixels are averaged down from {context.model.image_size} to {MAX_PIXEL_SIDE} px a side.")
    if not (context.samples["val"].labels >= 0).any():
        notes.append("No validation picture has a label: the probe takes the greatest L2 and the smallest k.")
    return notes


MEASURE = Measure(
    key="probe",
    title="Probes",
    place=10,
    compute=compute,
    quantities=(
        *(quantity for prefix, name in OF.items() for quantity in _probes(prefix, name)),
        Quantity("majority_top1", "Always the commonest label", _SHARE, "higher"),
        Quantity("train_labels", "Labelled training images"),
        Quantity("test_labels", "Labelled test images"),
        Quantity("supervised_top1", "Supervised network of the same encoder", _SHARE, "higher"),
        Quantity("supervised_val_top1", "Supervised network of the same encoder, on validation", _SHARE, "higher"),
    ),
    tables=(
        Table(
            "Top-1 accuracy on the test split; the encoder stays frozen, the settings of each probe were chosen on validation",
            ("Features", "linear probe", "nearest neighbours"),
            (
                *(Row(name, (f"{prefix}linear_top1", f"{prefix}knn_top1"), ours=not prefix) for prefix, name in OF.items()),
                Row("Supervised network", ("supervised_top1", ""), remark="same encoder, trained with labels"),
                Row("Chance", ("majority_top1", ""), remark="always the commonest label"),
            ),
            bars=True,
        ),
    ),
    figures=(
        Figure(
            "probe",
            "Probes side by side",
            "Test accuracy of classifiers on the frozen latent, beside their baselines.",
            chart=True,
            shipped=False,
        ),
        Figure(
            "confusion",
            "What the linear probe confuses",
            "Rows are the true labels, columns what the probe says.",
            chart=True,
            shipped=False,
        ),
    ),
)
