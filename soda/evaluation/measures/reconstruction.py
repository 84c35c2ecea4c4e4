"""How near reconstructions come to their originals: from z alone, against the number of evaluations, and exact."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from soda.evaluation.registry import Better, Figure, Headline, Measure, Quantity, Row, Table

if TYPE_CHECKING:
    from soda.evaluation.context import EvaluationContext
    from soda.inference.drawer import Drawer

NEAR: dict[str, tuple[str, str, Better, str]] = {
    "psnr": ("PSNR, dB", "{:.2f}", "higher", "{:.1f} dB"),
    "ssim": ("SSIM", "{:.3f}", "higher", ""),
    "lpips_like": ("LPIPS-like distance", "{:.3f}", "lower", ""),
    "fid_like": ("FID-like distance", "{:.2f}", "lower", ""),
}
"""What is measured: title, format, which way is better, the format of a sentence."""

EXACT = tuple(name for name in NEAR if name != "fid_like")
"""What is measured of exact reconstructions, which are too few for a Fréchet distance."""

PAIRED = "fid_like_paired"
"""Against the originals themselves: below what two sets of real images have, and so beside no other figure. What `fid_like` was
until 0.1.0, also of reconstructions in n evaluations."""

OTHERS = {"shuffled_z": "Another picture’s latent", "mean_picture": "The mean picture", "train": "Real training pictures"}
"""Other images in the reconstructions' place: what the key of a measure ends with, title."""

_HAS = {name: ("train",) if name == "fid_like" else ("shuffled_z", "mean_picture") for name in NEAR}


def _beside(name: str) -> tuple[tuple[str, str], ...]:
    return tuple((f"{name}_{other}", OTHERS[other]) for other in _HAS[name])


def _quantities(name: str) -> tuple[Quantity, ...]:
    title, form, better, spoken = NEAR[name]
    headline = Headline(
        "PSNR of reconstructions from the latent alone",
        (("another’s latent", "psnr_shuffled_z"), ("mean picture", "psnr_mean_picture")),
        unless="novel_view.psnr@1",  # without a camera any view may be drawn
    )
    return (
        Quantity(name, title, form, better, spoken, _beside(name), headline if name == "psnr" else None),
        *(Quantity(key, f"{title}: {other}", form, better, spoken) for key, other in _beside(name)),
        Quantity(f"{name}@*", f"{title}, in {{}} evaluations", form, better, spoken),
    )


def _paired_quantities() -> tuple[Quantity, ...]:
    title, form, better, spoken = NEAR["fid_like"]
    title = f"{title} to their own originals"
    return Quantity(PAIRED, title, form, better, spoken), Quantity(
        f"{PAIRED}@*", f"{title}, in {{}} evaluations", form, better, spoken
    )


COMPARED = 250  # images on which a wrong z and the mean image are judged, for comparison
GRID, GRID_SAMPLES = 24, 3
EVALUATIONS, EXACT_STEPS = (5, 10, 20, 50, 100), (10, 20, 100)


def compute(context: EvaluationContext) -> dict[str, Any]:
    """Draw test images from z alone and exactly, judge them, and show some."""
    from soda.inference.drawer import Drawer

    drawer = Drawer(context.model, batch_size=context.config.batch_size, progress=True)
    alone, cost = _from_z_alone(context, drawer), _against_cost(context, drawer)
    return {**alone, **cost, "notes": [*alone["notes"], *cost["notes"]]}


def _from_z_alone(context: EvaluationContext, drawer: Drawer) -> dict[str, Any]:
    """Reconstructions with the model's own steps beside a wrong z, the mean image and real images."""
    from soda.evaluation.reconstruct import reconstruct
    from soda.evaluation.samples import draw_apart, draw_positions, held_at_once, shuffled
    from soda.viz.grids import reconstruction_grid, spread_picks

    config, judge, seed = context.config, context.judge, context.config.seed
    train, test = context.samples["train"], context.samples["test"]
    chosen = draw_positions(test, held_at_once(test, max(config.reconstructions, config.fid_images)), seed)
    originals, z = test.gather(chosen), context.latents["test"].x[chosen]
    drawn = reconstruct(drawer, z, seed=seed)
    count, few = (min(n, len(chosen)) for n in (config.reconstructions, COMPARED))
    apart = draw_apart(test, min(config.fid_images, len(chosen)), seed)
    near = judge.nearness(drawn[:count], originals[:count])
    real = train.gather(draw_positions(train, held_at_once(train, min(config.fid_images, len(chosen))), seed))
    found: dict[str, Any] = {
        "psnr": float(near.psnr.mean()),
        "psnr_std": float(near.psnr.std()),
        "ssim": float(near.ssim.mean()),
        "lpips_like": float(near.lpips_like.mean()),
        "pictures": count,
        "sampling_steps": context.model.diffusion.sampling_steps,
    }
    if len(apart) > 1:  # else there is no covariance
        others, alike = test.gather(apart), slice(0, len(apart))
        found["fid_like"] = judge.fid_like(drawn[alike], others)
        found["fid_like_train"] = judge.fid_like(real[alike], others)
        found[PAIRED] = judge.fid_like(drawn[alike], originals[alike])
    in_place = {"mean_picture": np.repeat(real.mean(0, keepdims=True).round().astype(np.uint8), few, axis=0)}
    if few > 1:
        in_place["shuffled_z"] = reconstruct(drawer, z[:few][shuffled(few, seed)], seed=seed)
    for name, images in in_place.items():
        base = judge.nearness(images, originals[:few]).means()
        found |= {f"{measure}_{name}": mean for measure, mean in base.items()}
    picks = spread_picks(test.labels[chosen], GRID, seed)
    more = [reconstruct(drawer, z[picks], seed=seed, sample=k) for k in range(1, GRID_SAMPLES)]
    reconstruction_grid(originals[picks], [drawn[picks], *more], context.folder / "reconstructions.png")
    return {**found, "notes": _notes(context, count, len(apart), few)}


_FID = (
    "fid_like is between reconstructions of {0:,} test pictures and {0:,} other test pictures, fid_like_train, for scale, "
    "between as many training pictures and the same others. fid_like_paired, between the reconstructions and their own "
    "originals, is lower by its making and compares with neither."
)


def _notes(context: EvaluationContext, count: int, fid_count: int, few: int) -> list[str]:
    settings = context.model.diffusion
    return [
        f"Reconstructions of {count:,} test pictures from z and seeded noise alone (no inversion): {settings.sampler}, "
        f"{settings.sampling_steps} steps, guidance {settings.guidance_scale:g}. psnr is the mean over pictures, psnr_std their "
        "spread.",
        f"lpips_like and fid_like use the formulas of LPIPS and FID on {context.network_name}, not on a network trained on "
        "ImageNet: they compare runs of the same settings, never with published figures. lpips_like weighs all channels alike.",
        *([] if fid_count < 2 else [_FID.format(fid_count)]),
        f"Baselines, on {few:,} pictures: shuffled_z is drawn from another picture's z, mean_picture is the mean of training.",
    ]


def _against_cost(context: EvaluationContext, drawer: Drawer) -> dict[str, Any]:
    """The same against the number of evaluations, from z alone and from the inverted noise; their curves."""
    from soda.evaluation.reconstruct import evaluations_a_step, exact_cost, stochastic_cost
    from soda.evaluation.samples import draw_apart, draw_positions
    from soda.viz.charts import cost_curves

    config, test, a_step = context.config, context.samples["test"], evaluations_a_step(context.model)
    chosen = draw_positions(test, config.curve_images, config.seed)
    z, originals, few = context.latents["test"].x[chosen], test.gather(chosen), min(config.exact_images, len(chosen))
    most = context.model.schedule.num_timesteps
    asked = tuple(count for count in EVALUATIONS if count // a_step <= most)
    others = test.gather(draw_apart(test, len(chosen), config.seed))
    costs = stochastic_cost(drawer, z, originals, context.judge, asked, seed=config.seed, real=others)
    exact_steps = tuple(count for count in EXACT_STEPS if count <= most)
    exact = exact_cost(drawer, z[:few], originals[:few], context.judge, exact_steps)
    curves = {"z alone": costs, "z and inverted noise": exact}
    cost_curves(
        {k: [vars(cost) for cost in line.values()] for k, line in curves.items()}, context.folder / "reconstruction_cost.png"
    )
    best = exact[max(exact)]
    guided = ", two a step with this model's guidance" if a_step > 1 else ""
    return {
        **{
            f"{name}@{count}": getattr(cost, name)
            for count, cost in costs.items()
            for name in (NEAR if len(others) > 1 else EXACT)
        },
        **{f"exact_{name}@{count}": getattr(cost, name) for count, cost in exact.items() for name in EXACT},
        "exact_psnr": best.psnr,
        "exact_evaluations": best.evaluations,
        "notes": [
            f"measure@n: {len(chosen):,} test pictures drawn from z alone in n evaluations of the denoiser{guided}, the same "
            f"noise for every n; LPIPS-like and FID-like on {context.network_name}; FID-like, against {len(others):,} other test "
            "pictures, is too high of so few and compares with other n only.",
            f"exact_...@n: {few:,} of them from z and the inverted x_T, n DDIM steps each way, with the model's own guidance; "
            f"exact_psnr is that of {max(exact)} steps ({best.evaluations} evaluations a picture, inversion and drawing "
            "together).",
        ],
    }


MEASURE = Measure(
    key="reconstruction",
    title="Reconstruction",
    place=30,
    compute=compute,
    quantities=(
        *(quantity for name in NEAR for quantity in _quantities(name)),
        *_paired_quantities(),
        *(
            Quantity(f"exact_{name}@*", f"{NEAR[name][0]}, from the inverted noise in {{}} steps", "", *NEAR[name][2:])
            for name in EXACT
        ),
        Quantity("psnr_std", "PSNR, dB: its spread over images", "{:.2f}", spoken="{:.1f} dB"),
        Quantity("pictures", "Test images that were reconstructed"),
        Quantity("sampling_steps", "Steps of the sampler"),
        Quantity("exact_psnr", "PSNR, dB, from the inverted noise", "{:.2f}", "higher", "{:.1f} dB"),
        Quantity("exact_evaluations", "Evaluations of the denoiser for an exact reconstruction", better="lower"),
    ),
    tables=(
        Table(
            "Test images drawn again from z alone, beside other images in their place",
            ("Images", "PSNR, dB", "SSIM", "LPIPS-like", "FID-like"),
            (
                Row("Reconstructions from z alone", tuple(NEAR), ours=True),
                *(
                    Row(title, tuple(f"{name}_{other}" if other in _HAS[name] else "" for name in NEAR))
                    for other, title in OTHERS.items()
                ),
                Row("Reconstructions from z alone, against their own originals", ("", "", "", PAIRED), ours=True),
            ),
        ),
        Table(
            "Reconstruction against its cost",
            ("Drawn from", "PSNR, dB", "SSIM", "LPIPS-like", "FID-like"),
            (
                Row("z alone, {} steps", tuple(f"{name}@*" for name in NEAR)),
                Row("z and inverted noise, {} steps", (*(f"exact_{name}@*" for name in EXACT), "")),
            ),
        ),
    ),
    figures=(
        Figure(
            "reconstructions",
            "Originals over reconstructions",
            "Test pictures, and under each what the denoiser draws from noise with nothing but its {dim} numbers to go by. "
            "The model was trained on none of them. Rows named “again” begin with another draw of it.",
            (
                ("PSNR from z alone", "psnr"),
                ("of the mean picture", "psnr_mean_picture"),
                ("from z and the inverted noise", "exact_psnr"),
                ("LPIPS-like in 10 evaluations", "lpips_like@10"),
                ("in 100", "lpips_like@100"),
            ),
        ),
        Figure(
            "reconstruction_cost",
            "Reconstruction against its cost",
            "How near drawn pictures come to their originals, by the number of times that the denoiser was evaluated.",
            chart=True,
        ),
    ),
    card=(
        "reconstruction from z alone, {sampling_steps} steps: PSNR {psnr:.2f} dB (mean picture {psnr_mean_picture:.2f}), SSIM "
        "{ssim:.3f}, {pictures:,} pictures",
    ),
)
