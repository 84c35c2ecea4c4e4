"""How smoothly images change along an interpolation between two latents (perceptual path length), and some to look at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from soda.evaluation.registry import Figure, Measure, Quantity

if TYPE_CHECKING:
    from soda.evaluation.context import EvaluationContext

SHOWN, FRAMES = 5, 10


def compute(context: EvaluationContext) -> dict[str, Any]:
    """Measure the path length of interpolations between test images, and draw some between others."""
    from soda.common.images import to_float
    from soda.evaluation.perceptual_path import EPSILON, path_length
    from soda.evaluation.samples import draw_positions

    _draw_some(context)
    config, test = context.config, context.samples["test"]
    chosen = draw_positions(test, config.curve_images, config.seed + 1)
    if len(chosen) < 2:
        return {"notes": ["No path length: a walk takes two test pictures."]}
    z, originals = context.latents["test"].x[chosen], to_float(test.gather(chosen))
    found = path_length(z, originals, context.draw, context.network, seed=config.seed)
    return {
        **found,
        "walks": len(chosen),
        "notes": [
            f"path_length: StyleGAN's perceptual path length: LPIPS-like distance, on {context.network_name}, of two pictures "
            f"{EPSILON:g} of a walk apart, over {EPSILON:g}^2, mean of {len(chosen)} walks between test pictures, from the same "
            "noise. Less is smoother. path_length_crossfade: the two pictures faded into one another."
        ],
    }


def _draw_some(context: EvaluationContext) -> None:
    from soda.viz.sheets import grid, save_sheet

    rows = [
        list(context.soda.interpolate(pair, frames=FRAMES - 1, seed=context.config.seed))
        for pair in zip(*context.shown_pairs, strict=True)
    ]
    if rows:
        save_sheet(grid(rows), context.folder / "walks.png")


MEASURE = Measure(
    key="interpolation",
    title="Interpolation",
    place=50,
    compute=compute,
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
        ),
    ),
)
