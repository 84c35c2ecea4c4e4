"""How much of the labels the frozen latent tells, by a linear probe and by nearest neighbours, beside its baselines."""

from __future__ import annotations

from soda.evaluation.registry import Figure, Headline, Measure, Quantity, Row, Table

OF = {"": "SODA latent", "pixels_": "Raw pixels", "random_": "Untrained encoder"}
"""What is probed: what its keys begin with, its name."""

_BASELINES = (("pixels_{}_top1", "raw pixels"), ("random_{}_top1", "untrained encoder"))
_CHANCE = ("majority_top1", "always the commonest label")
_LINEAR = (
    *((key.format("linear"), title) for key, title in _BASELINES),
    ("supervised_top1", "supervised network of the same encoder"),
    _CHANCE,
)
_KNN = (*((key.format("knn"), title) for key, title in _BASELINES), _CHANCE)
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


MEASURE = Measure(
    key="probe",
    title="Probes",
    place=10,
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
        ),
        Figure(
            "confusion",
            "What the linear probe confuses",
            "Rows are the true labels, columns what the probe says.",
            chart=True,
        ),
    ),
)
