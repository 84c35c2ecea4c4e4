"""Groups of metrics that want no factors: reconstruction against its cost, and walks between pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from soda.common.images import to_float
from soda.config import EvaluateConfig
from soda.evaluation.gallery_figures import cost_curves
from soda.evaluation.gallery_scene import Subject, draw_positions
from soda.evaluation.interpolation import EPSILON, path_length
from soda.evaluation.metrics import FixedNetwork
from soda.evaluation.reconstruct import Judge
from soda.evaluation.reconstruction_cost import EVALUATIONS, evaluations_a_step, exact_cost, stochastic_cost

EXACT_STEPS = (10, 20, 100)

Metrics = dict[str, Any]


def reconstruction_group(subject: Subject, config: EvaluateConfig, folder: Path) -> Metrics:
    """Measures of pictures drawn again, against the number of evaluations; their curves."""
    judge = Judge(FixedNetwork(subject.network), device=subject.device, batch_size=config.batch_size)
    test = subject.samples["test"]
    chosen = draw_positions(test, config.curve_images, config.seed)
    z, originals = subject.latents["test"].x[chosen], test.gather(chosen)
    most = subject.model.schedule.num_timesteps
    asked = tuple(count for count in EVALUATIONS if count // evaluations_a_step(subject.model) <= most)
    costs = stochastic_cost(subject.model, z, originals, judge, asked, seed=config.seed)
    few = min(config.exact_images, len(chosen))
    exact_steps = tuple(count for count in EXACT_STEPS if count <= most)
    exact = exact_cost(subject.model, z[:few], originals[:few], judge, exact_steps)
    cost_curves(costs, exact, folder / "reconstruction_cost.png")
    found: Metrics = {}
    for count, cost in costs.items():
        for measure in ("psnr", "ssim", "lpips_like", "fid_like"):
            found[f"{measure}@{count}"] = getattr(cost, measure)
    for count, cost in exact.items():
        for measure in ("psnr", "ssim", "lpips_like"):
            found[f"exact_{measure}@{count}"] = getattr(cost, measure)
    best = exact[max(exact)]
    guided = ", two a step with this model's guidance" if evaluations_a_step(subject.model) > 1 else ""
    return {
        **found,
        "exact_psnr": best.psnr,
        "exact_evaluations": best.evaluations,
        "notes": [
            f"measure@n: {len(chosen):,} test pictures drawn from z alone in n evaluations of the denoiser{guided}, the same "
            f"noise for every n; LPIPS-like and FID-like on {subject.network_name}; FID-like of so few pictures is too high and "
            "compares with other n only.",
            f"exact_...@n: {few:,} of them from z and the inverted x_T, n DDIM steps each way, with the model's own guidance; "
            f"exact_psnr is that of {max(exact)} steps ({best.evaluations} evaluations a picture, inversion and drawing "
            "together).",
        ],
    }


def interpolation_group(subject: Subject, config: EvaluateConfig) -> Metrics:
    """Perceptual path length of walks between test pictures."""
    test = subject.samples["test"]
    chosen = draw_positions(test, config.curve_images, config.seed + 1)
    if len(chosen) < 2:
        return {"notes": ["No path length: a walk takes two test pictures."]}
    found = path_length(
        subject.latents["test"].x[chosen],
        to_float(test.gather(chosen)).to(subject.device),
        subject.paint.floats,
        FixedNetwork(subject.network),
        seed=config.seed,
    )
    return {
        "path_length": found.linear,
        "path_length_spherical": found.spherical,
        "path_length_crossfade": found.crossfade,
        "walks": found.walks,
        "notes": [
            f"path_length: StyleGAN's perceptual path length: LPIPS-like distance, on {subject.network_name}, of two pictures "
            f"{EPSILON:g} of a walk apart, over {EPSILON:g}^2, mean of {found.walks} walks between test pictures, from the same "
            "noise. Less is smoother. path_length_crossfade: the two pictures faded into one another.",
        ],
    }
