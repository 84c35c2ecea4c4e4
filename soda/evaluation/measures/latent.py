"""Is z used, and how many of its directions carry anything?"""

from __future__ import annotations

from soda.evaluation.registry import Headline, Measure, Quantity

MEASURE = Measure(
    key="latent",
    title="The latent",
    place=40,
    quantities=(
        Quantity(
            "usage_gap",
            "Growth of the loss with another picture’s latent",
            "{:+.1%}",
            "higher",
            headline=Headline("loss with another picture’s latent", remark="unused would be 0%"),
        ),
        Quantity("loss", "Denoising loss with the right z", better="lower"),
        Quantity("loss_shuffled", "Denoising loss with another picture’s z"),
        Quantity("effective_dim", "Effective dimensions of z", "{:.1f}"),
    ),
    card=(
        "use of the latent: the loss grows {usage_gap:.1f}-fold on top when z is another picture's",
        "effective dimensions of z: {effective_dim:.0f}",
    ),
)
