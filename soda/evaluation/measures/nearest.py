"""Neighbours in latent space, to be looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from soda.evaluation.registry import Figure, Measure

if TYPE_CHECKING:
    from soda.evaluation.context import EvaluationContext

QUERIES, NEIGHBOURS = 12, 8


def compute(context: EvaluationContext) -> dict[str, Any]:
    """Draw test images beside the training images nearest in z."""
    from soda.evaluation.knn import neighbours
    from soda.evaluation.linear_probe import standardise
    from soda.viz.grids import neighbour_rows, spread_picks

    train, test = context.samples["train"], context.samples["test"]
    bank, queries = standardise(context.latents["train"].x, context.latents["test"].x)
    picks = spread_picks(test.labels, QUERIES, context.config.seed)
    found = neighbours(queries[picks], bank, NEIGHBOURS)[0].numpy()  # (n, k)
    images = train.gather(found.ravel())
    mine, theirs = test.labels[picks][:, None], train.labels[found]
    wrong = (mine >= 0) & (theirs >= 0) & (mine != theirs) if (mine >= 0).any() else None
    neighbour_rows(test.gather(picks), images.reshape(*found.shape, *images.shape[1:]), wrong, context.folder / "neighbours.png")
    return {}


MEASURE = Measure(
    key="nearest",
    title="Neighbours",
    place=42,
    compute=compute,
    figures=(
        Figure(
            "neighbours",
            "Neighbours in latent space",
            "Each row begins with a test picture; the pictures after it are those whose latents lie nearest to its own. "
            "Where there are labels, a frame marks a neighbour of another label.",
            shipped=False,
        ),
    ),
)
