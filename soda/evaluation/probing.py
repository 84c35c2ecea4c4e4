"""Both probes of a set of features, and of the untrained encoder over several draws of its weights."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean, stdev

from soda.data.columns import SPLITS
from soda.evaluation.context import EvaluationContext
from soda.evaluation.knn import KnnResult, knn_probe
from soda.evaluation.linear_probe import Features, ProbeResult, ci95, linear_probe


@dataclass(frozen=True)
class Probed:
    """Both probes of one set of features."""

    linear: ProbeResult
    knn: KnnResult

    def figures(self) -> dict[str, float | None]:
        """What the measure reports of it."""
        return {
            "linear_top1": self.linear.test_top1,
            "linear_top1_ci95": ci95(self.linear.test_top1, len(self.linear.targets)),
            "linear_val_top1": self.linear.val_top1,
            "linear_l2": self.linear.l2,
            "knn_top1": self.knn.test_top1,
            "knn_val_top1": self.knn.val_top1,
            "knn_k": self.knn.k,
        }


def probe(context: EvaluationContext, sets: dict[str, Features], like: Probed | None = None) -> Probed:
    """Probe one set of features; `like` another, its settings are taken over instead of being chosen anew."""
    l2, k = (context.config.probe_l2, context.config.knn_k) if like is None else ((like.linear.l2,), (like.knn.k,))
    train_val_test = [sets[split] for split in SPLITS]
    linear = linear_probe(*train_val_test, classes=context.classes, l2=l2)
    return Probed(linear, knn_probe(*train_val_test, classes=context.classes, k=k))


def untrained_probes(context: EvaluationContext) -> dict[str, list[Probed]]:
    """z and features of the untrained encoder ("random_", "random_features_"), each probed for several draws of its weights.

    Settings are chosen for the first draw, and the others take them over.
    """
    drawn: dict[str, list[Probed]] = {"random_": [], "random_features_": []}
    for draw in range(context.config.untrained_draws):
        for probed, sets in zip(drawn.values(), context.embed_features(context.untrained_draw(draw)), strict=True):
            probed.append(probe(context, sets, probed[0] if draw else None))
    return drawn


def mean_figures(probed: list[Probed]) -> dict[str, float | None]:
    """Figures of the first draw, with means over all draws and their spread for accuracies on test."""
    found = probed[0].figures()
    for key in ("linear_top1", "knn_top1"):
        values = [float(each.figures()[key] or 0) for each in probed]
        found |= {key: fmean(values), f"{key}_std": stdev(values) if len(values) > 1 else None}
    return found
