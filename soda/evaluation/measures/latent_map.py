"""The latents in the plane, as points and as images."""

from __future__ import annotations

from soda.evaluation.registry import Figure, Measure

MEASURE = Measure(
    key="latent_map",
    title="Map of the latents",
    place=44,
    figures=(
        Figure(
            "latent_map",
            "A map of the latents",
            "Test pictures placed in the plane by their latents alone. Labels, where it shows them, took no part in the "
            "training.",
        ),
        Figure(
            "latent_map_pictures",
            "The same map in pictures",
            "In each cell of the plane the test picture that lies nearest to its centre.",
        ),
    ),
)
