"""The latents in the plane, as points and as images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from soda.evaluation.registry import Figure, Measure

if TYPE_CHECKING:
    from soda.evaluation.context import EvaluationContext


def compute(context: EvaluationContext) -> dict[str, Any]:
    """Draw the latents of test images in the plane."""
    from soda.evaluation.samples import draw_positions, held_at_once
    from soda.viz.maps import MAX_MAP, can_be_coloured, image_map, latent_map, plane

    test, folder, seed = context.samples["test"], context.folder, context.config.seed
    chosen = draw_positions(test, held_at_once(test, MAX_MAP), seed)
    images, labels = test.gather(chosen), test.labels[chosen]
    points = plane(context.latents["test"].x[chosen].numpy(), seed)
    if can_be_coloured(labels):
        latent_map(points, labels, context.data.label_names, folder / "latent_map.png")
        image_map(points, images, folder / "latent_map_images.png")
    else:
        image_map(points, images, folder / "latent_map.png")
    return {}


MEASURE = Measure(
    key="latent_map",
    title="Map of the latents",
    place=44,
    compute=compute,
    figures=(
        Figure(
            "latent_map",
            "A map of the latents",
            "Test pictures placed in the plane by their latents alone. Labels, where it shows them, took no part in the "
            "training.",
            shipped=False,
        ),
        Figure(
            "latent_map_images",
            "The same map in pictures",
            "In each cell of the plane the test picture that lies nearest to its centre.",
            shipped=False,
        ),
    ),
)
