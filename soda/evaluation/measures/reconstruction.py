"""How near reconstructions come to their originals: from z alone, against the number of evaluations, and exact."""

from __future__ import annotations

from soda.evaluation.registry import Better, Figure, Headline, Measure, Quantity, Row, Table

NEAR: dict[str, tuple[str, str, Better, str]] = {
    "psnr": ("PSNR, dB", "{:.2f}", "higher", "{:.1f} dB"),
    "ssim": ("SSIM", "{:.3f}", "higher", ""),
    "lpips_like": ("LPIPS-like distance", "{:.3f}", "lower", ""),
    "fid_like": ("FID-like distance", "{:.2f}", "lower", ""),
}
"""What is measured: title, format, which way is better, the format of a sentence."""

EXACT = tuple(name for name in NEAR if name != "fid_like")
"""What is measured of exact reconstructions, which are too few for a Fréchet distance."""

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


MEASURE = Measure(
    key="reconstruction",
    title="Reconstruction",
    place=30,
    quantities=(
        *(quantity for name in NEAR for quantity in _quantities(name)),
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
            shipped=True,
        ),
        Figure(
            "reconstruction_cost",
            "Reconstruction against its cost",
            "How near drawn pictures come to their originals, by the number of times that the denoiser was evaluated.",
            chart=True,
            shipped=True,
        ),
    ),
    card=(
        "reconstruction from z alone, {sampling_steps} steps: PSNR {psnr:.2f} dB (mean picture {psnr_mean_picture:.2f}), SSIM "
        "{ssim:.3f}, {pictures:,} pictures",
    ),
)
