"""How smoothly images change along an interpolation between two latents (perceptual path length), and some to look at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from soda.evaluation.registry import Figure, Measure, Quantity

if TYPE_CHECKING:
    from soda.evaluation.context import EvaluationContext

SHOWN, FRAMES = 5, 10
REAL = 500  # test images that those half-way are held against


def compute(context: EvaluationContext) -> dict[str, Any]:
    """Measure the path length of interpolations between test images, and draw some between others."""
    import numpy as np
    import torch

    from soda.common.images import to_float
    from soda.evaluation.perceptual_path import DETOURS, EPSILON, half_way, path_length
    from soda.evaluation.samples import draw_apart, draw_positions

    _draw_some(context)
    config, test = context.config, context.samples["test"]
    chosen = draw_positions(test, config.curve_images, config.seed + 1)
    if len(chosen) < 2:
        return {"notes": ["No path length: a walk takes two test pictures."]}
    z, originals = context.latents["test"].x[chosen], to_float(test.gather(chosen))
    found = path_length(z, originals, context.draw, context.network, seed=config.seed)
    apart = draw_apart(test, REAL, config.seed + 1)
    if len(apart) > 1:
        # Of a small test split, walks and real images share none: halves of the same order.
        few = min(len(chosen), len(test) - len(apart))

        def describe(images: torch.Tensor) -> np.ndarray:
            return torch.cat([context.network(block)[0].cpu() for block in images.split(100)]).numpy()

        found |= half_way(z[:few], originals[:few], to_float(test.gather(apart)), context.draw, describe)
    return {
        **found,
        "walks": len(chosen),
        "notes": [
            f"path_length: StyleGAN's perceptual path length: LPIPS-like distance, on {context.network_name}, of two pictures "
            f"{EPSILON:g} of a walk apart, over {EPSILON:g}^2, mean of {len(chosen)} walks between test pictures, from the same "
            "noise. Less is smoother. path_length_crossfade: the two pictures faded into one another. No walk between pictures "
            "can pass that in pixels: a fade is the straight line, the least there is. detour: squared speed in pixels over that "
            f"least, between the walk's own ends, {min(DETOURS, len(chosen))} walks; a fade has 1.",
            "half_way…: what path length cannot see. Frechet distance in the same network of pictures half-way to other test "
            "pictures: of walks, of fades, which are double exposures there, and of real ones, for scale.",
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
        ),
        Quantity("detour", "Squared speed of a walk in pixels over the least, which a fade has", "{:.2f}", "lower"),
        Quantity(
            "half_way",
            "FID-like distance of images half-way of a walk",
            "{:.2f}",
            "lower",
            baselines=(("half_way_crossfade", "half-way of a fade"), ("half_way_real", "real images")),
        ),
        Quantity("half_way_crossfade", "FID-like distance of images half-way of a cross-fade", "{:.2f}", "lower"),
        Quantity("half_way_real", "FID-like distance of real images, as many", "{:.2f}", "lower"),
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
                ("of fading one picture into the other, the least there can be", "path_length_crossfade"),
                ("distance from real images half-way", "half_way"),
                ("half-way of a fade", "half_way_crossfade"),
            ),
        ),
    ),
)
