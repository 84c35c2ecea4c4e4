"""Both probes of a set of features, and of the untrained encoder over several draws of its weights.

Each set is probed by one thread, and as many sets at a time as there are threads: a probe is many products of a few rows, which
gain little from a second thread. So its figures do not depend on how many there are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import fmean, stdev

import torch

from soda.data.columns import SPLITS
from soda.data.parallel import ordered_map
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


Job = tuple[str, dict[str, Features], Probed | None]
"""A name, features by split, and whose settings are taken over."""


def probe(context: EvaluationContext, sets: dict[str, Features], like: Probed | None = None) -> Probed:
    """Probe one set of features; `like` another, its settings are taken over instead of being chosen anew."""
    l2, k = (context.config.probe_l2, context.config.knn_k) if like is None else ((like.linear.l2,), (like.knn.k,))
    train_val_test = [sets[split] for split in SPLITS]
    linear = linear_probe(*train_val_test, classes=context.classes, l2=l2)
    return Probed(linear, knn_probe(*train_val_test, classes=context.classes, k=k))


def probe_all(
    context: EvaluationContext, jobs: Iterable[tuple[str, dict[str, Features], Probed | None]]
) -> dict[str, list[Probed]]:
    """Probe sets of features as they come, (name, sets, whose settings are taken over): name -> its probes, in order."""
    found: dict[str, list[Probed]] = defaultdict(list)
    threads = torch.get_num_threads()

    def work(sets: dict[str, Features], like: Probed | None) -> Probed:
        torch.set_flush_denormal(True)  # it is a thread's own setting
        return probe(context, sets, like)

    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(threads) as pool:
            asked = ((name, (sets, like)) for name, sets, like in jobs)
            for name, probed in ordered_map(pool, work, asked, threads + 1):
                found[name].append(probed)
    finally:
        torch.set_num_threads(threads)
    return found


def z_and_features(
    context: EvaluationContext, prefix: str, z: dict[str, Features], features: dict[str, Features]
) -> dict[str, dict[str, Features]]:
    """Both under their names, `prefix` and `prefix`features_; z alone where the features are z, so that none is probed twice."""
    return {prefix: z} if context.z_is_features else {prefix: z, f"{prefix}features_": features}


def untrained_probes(context: EvaluationContext) -> dict[str, list[Probed]]:
    """z and features of the untrained encoder ("random_", "random_features_"), each probed for several draws of its weights.

    Settings are chosen for the first draw, and the others take them over.
    """

    def drawn(draw: int) -> dict[str, dict[str, Features]]:
        return z_and_features(context, "random_", *context.embed_features(context.untrained_draw(draw)))

    first = probe_all(context, ((name, sets, None) for name, sets in drawn(0).items()))
    more = probe_all(
        context,
        ((name, sets, first[name][0]) for draw in range(1, context.config.untrained_draws) for name, sets in drawn(draw).items()),
    )
    return {name: [*first[name], *more[name]] for name in first}


def mean_figures(probed: list[Probed]) -> dict[str, float | None]:
    """Figures of the first draw, with means over all draws and their spread for accuracies on test."""
    found = probed[0].figures()
    for key in ("linear_top1", "knn_top1"):
        values = [float(each.figures()[key] or 0) for each in probed]
        found |= {key: fmean(values), f"{key}_std": stdev(values) if len(values) > 1 else None}
    return found
