"""How much of the labels the frozen latent tells, by a linear probe and by nearest neighbours, beside its baselines."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from soda.common.errors import SodaError
from soda.evaluation.paired import paired_quantities, paired_table
from soda.evaluation.registry import Figure, Headline, Measure, Quantity, Row, Table

if TYPE_CHECKING:
    from soda.evaluation.context import EvaluationContext

OF = {
    "": "SODA latent",
    "features_": "SODA features before z",
    "begun_": "Where its training began",
    "pixels_": "Raw pixels",
    "random_": "Untrained encoder, z",
    "random_features_": "Untrained encoder, features before z",
}
"""What is probed: what its keys begin with, its name."""
OURS = ("", "features_")
PAIRED = {prefix.rstrip("_"): name for prefix, name in OF.items() if prefix}

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
    drawn = ((linear, "Linear probe"), (knn, "Nearest neighbours")) if prefix.startswith("random_") else ()
    return (
        Quantity(f"{linear}_top1", f"Linear probe, {name}", _SHARE, "higher", "", () if prefix else _LINEAR, headline),
        Quantity(f"{linear}_top1_ci95", f"Linear probe, {name}: half of its 95 % interval", _SHARE),
        *(Quantity(f"{each}_top1_std", f"{what}, {name}: spread of the draws", _SHARE) for each, what in drawn),
        Quantity(f"{linear}_val_top1", f"Linear probe, {name}, on validation", _SHARE, "higher"),
        Quantity(f"{linear}_l2", f"Linear probe, {name}: L2"),
        Quantity(f"{knn}_top1", f"Nearest neighbours, {name}", _SHARE, "higher", "", () if prefix else _KNN),
        Quantity(f"{knn}_val_top1", f"Nearest neighbours, {name}, on validation", _SHARE, "higher"),
        Quantity(f"{knn}_k", f"Nearest neighbours, {name}: k"),
    )


def compute(context: EvaluationContext) -> dict[str, Any]:
    """Probe z, features before it, raw pixels and untrained encoders alike, train the supervised network, draw bars."""
    from soda.evaluation.linear_probe import ci95
    from soda.evaluation.paired import against, right
    from soda.evaluation.probing import mean_figures, probe_all, untrained_probes, z_and_features
    from soda.evaluation.samples import pixels
    from soda.viz.charts import Bar, confusion, probe_bars

    if context.no_probe:
        return {"notes": [f"There are no probes: {context.no_probe}."]}
    config, samples = context.config, context.samples
    test, train = samples["test"].labels, samples["train"].labels
    of_pixels = {n: pixels(sample, config.batch_size) for n, sample in samples.items()}
    sets = {**z_and_features(context, "", context.latents, context.features), "pixels_": of_pixels}
    notes = _notes(context)
    try:
        if (begun := context.embed_begun()) is not None:
            sets["begun_"] = begun
            notes.append(f"Where its training began: z of {context.trained.train.init}, not trained on these pictures.")
        elif context.trained.train.init:
            notes.append(f"z is that of {context.trained.train.init}: the denoiser alone learnt from these pictures.")
    except SodaError as error:
        notes.append(f"Where its training began is not shown: {error}.")
    once = {prefix: found[0] for prefix, found in probe_all(context, ((p, each, None) for p, each in sets.items())).items()}
    ours, drawn = once[""], untrained_probes(context)
    figures = {prefix: each.figures() for prefix, each in once.items()} | {p: mean_figures(each) for p, each in drawn.items()}
    others = {p: each.linear for p, each in once.items() if p} | {p: each[0].linear for p, each in drawn.items()}
    found: dict[str, Any] = {}
    bars = []
    for prefix, values in figures.items():
        found |= {f"{prefix}{key}": value for key, value in values.items() if value is not None}
        for how, key in (("linear probe", "linear_top1"), ("nearest neighbours", "knn_top1")):
            share = float(values[key] or 0)
            half = ci95(share, len(ours.linear.targets))
            bars.append(Bar(f"{OF[prefix]}, {how}", share, half, ours=prefix in OURS))
    commonest = np.bincount(train[train >= 0]).argmax()
    found |= {
        "majority_top1": float((test[test >= 0] == commonest).mean()),
        "train_labels": int((train >= 0).sum()),
        "test_labels": int((test >= 0).sum()),
        "paired": against(right(ours.linear), {p.rstrip("_"): right(result) for p, result in others.items()}),
    }
    if context.supervised is not None:
        found |= _supervised(context)
        room = found["supervised_top1"] - found["random_linear_top1"]
        if room > 0:
            found["headroom"] = (found["linear_top1"] - found["random_linear_top1"]) / room
        bars.insert(4, Bar("Supervised network", top1 := found["supervised_top1"], ci95(top1, found["test_labels"]), ours=False))
        notes.append(_about_supervised(context))
    missing = set(test[test >= 0].tolist()) - set(train.tolist())
    if missing:
        notes.append(f"{len(missing)} of the test labels occur in no training picture; these pictures count as wrong.")
    names, answers = context.data.label_names, ours.linear
    confusion(answers.targets.numpy(), answers.predictions.numpy(), names, context.folder / "confusion.png")
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
        f"Supervised network: the same encoder with a linear layer, from the weights that this run drew, "
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
        "Untrained encoder: "
        + (
            f"the mean of {config.untrained_draws} draws of its weights, the first of which are this run's own (the others take "
            "the settings over that the first chose), and the paired test is against that one"
            if config.untrained_draws > 1
            else "one draw of its weights, this run's own"
        )
        + "; BatchNorm with "
        + (f"statistics of {CALIBRATION_IMAGES} training pictures" if context.untrained[1] else "its initial statistics")
        + ", the better of the two on validation. "
        + ("z is the encoder's features." if context.z_is_features else "Features before z: what its last layer makes z of."),
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
        *paired_quantities(PAIRED),
        Quantity("majority_top1", "Always the commonest label", _SHARE, "higher"),
        Quantity("train_labels", "Labelled training images"),
        Quantity("test_labels", "Labelled test images"),
        Quantity("supervised_top1", "Supervised network of the same encoder", _SHARE, "higher"),
        Quantity("headroom", "Share of the way from the untrained encoder to the supervised network", _SHARE, "higher"),
        Quantity("supervised_val_top1", "Supervised network of the same encoder, on validation", _SHARE, "higher"),
    ),
    tables=(
        Table(
            "Top-1 accuracy on the test split; the encoder stays frozen, the settings of each probe were chosen on validation",
            ("Features", "linear probe", "nearest neighbours"),
            (
                *(Row(name, (f"{prefix}linear_top1", f"{prefix}knn_top1"), prefix in OURS) for prefix, name in OF.items()),
                Row("Supervised network", ("supervised_top1", ""), remark="same encoder, trained with labels"),
                Row("Chance", ("majority_top1", ""), remark="always the commonest label"),
            ),
            bars=True,
        ),
        paired_table(PAIRED),
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
