"""Is z used, and how many of its directions carry anything?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from soda.evaluation.registry import Headline, Measure, Quantity

if TYPE_CHECKING:
    from torch import Tensor

    from soda.evaluation.context import EvaluationContext
    from soda.model.network import SodaNetwork
    from soda.training.usage import LatentUse

USE_IMAGES = 512
TIMESTEPS = 8  # at which the use of z is measured, spread evenly over all


def compute(context: EvaluationContext) -> dict[str, Any]:
    """Measure the use of z and its effective dimensions."""
    from soda.common.images import to_float
    from soda.evaluation.samples import draw_positions, held_at_once

    config, test, found = context.config, context.samples["test"], {}
    notes = ["effective_dim: participation ratio of the covariance of z over the test split."]
    chosen = draw_positions(test, held_at_once(test, USE_IMAGES), config.seed)
    if len(chosen) > 1:
        images = to_float(test.gather(chosen)).to(context.device)
        use = use_of_z(context.model, images, seed=config.seed, batch_size=config.batch_size)
        found = {"usage_gap": use.gap, "loss": use.loss, "loss_shuffled": use.loss_shuffled}
        notes.append(
            f"usage_gap: denoising loss with another picture's z over that with the right z, minus 1, on {len(chosen)} test "
            "pictures, the same noise for both, averaged over evenly spread timesteps."
        )
    else:
        notes.append("usage_gap was not measured: it takes two test pictures.")
    notes.append(f"The weights are the same after the evaluation as before: sha256 {context.weights}.")
    return {**found, "effective_dim": effective_dim(context.latents["test"].x), "notes": notes}


def use_of_z(model: SodaNetwork, images: Tensor, *, seed: int, batch_size: int) -> LatentUse:
    """The use of z on images (N, C, S, S) in [-1, 1], N > 1, each its own source and target, and another's z drawn at random."""
    import torch

    from soda.common.seeds import seed_of
    from soda.evaluation.samples import shuffled
    from soda.model.batch import ViewBatch
    from soda.training.usage import measure_use

    strangers, draws = torch.from_numpy(shuffled(len(images), seed)), seed_of("usage", seed)
    return measure_use(model, ViewBatch.of(images), draws, times=TIMESTEPS, strangers=strangers, batch_size=batch_size)


def effective_dim(z: Tensor) -> float:
    """Participation ratio of the covariance's eigenvalues, (sum l)^2 / sum l^2: how many directions carry z. z: (N, D)."""
    centred = (z - z.mean(0)).double()
    covariance = centred.T @ centred / max(1, len(z) - 1)
    total = float(covariance.square().sum())
    return float(covariance.trace()) ** 2 / total if total else 0.0


MEASURE = Measure(
    key="latent",
    title="The latent",
    place=40,
    compute=compute,
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
