"""How smoothly images change along an interpolation between two latents (perceptual path length), and some to look at."""

from __future__ import annotations

from soda.evaluation.registry import Figure, Measure, Quantity

MEASURE = Measure(
    key="interpolation",
    title="Interpolation",
    place=50,
    quantities=(
        Quantity(
            "path_length",
            "Perceptual path length of straight interpolations of z",
            "{:.2f}",
            "lower",
            "{:.1f}",
            baselines=(("path_length_crossfade", "fading one picture into the other"),),
        ),
        Quantity("path_length_spherical", "Perceptual path length on the sphere", "{:.2f}", "lower", "{:.1f}"),
        Quantity("path_length_crossfade", "Perceptual path length of a cross-fade", "{:.2f}", "lower", "{:.1f}"),
        Quantity("walks", "Interpolations that were measured"),
    ),
    figures=(
        Figure(
            "walks",
            "From one picture to another",
            "Each row leads from one test picture to another: latents on the straight line between theirs, drawn from noise that "
            "turns from the one picture’s to the other’s, so that the ends are the pictures themselves.",
            (
                ("path length of walks in z", "path_length"),
                ("on the sphere", "path_length_spherical"),
                ("of fading one picture into the other", "path_length_crossfade"),
            ),
            shipped=True,
        ),
    ),
)
