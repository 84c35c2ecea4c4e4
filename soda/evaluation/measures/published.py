"""FID and LPIPS by their published names, of reconstructions: measured where their networks' weights are given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from soda.evaluation.registry import Measure, Quantity, Row, Table

if TYPE_CHECKING:
    from soda.evaluation.context import EvaluationContext

FID = {"fid": "FID", "fid_torchvision": "FID in torchvision’s Inception"}
LPIPS = {"lpips": "LPIPS (AlexNet)", "lpips_vgg": "LPIPS (VGG)"}
"""Keys by network, and titles. Published figures are of the first; torchvision's network gives another scale."""
_OTHERS = {"train": "real training pictures", "paired": "reconstructions, to their own originals"}


def compute(context: EvaluationContext) -> dict[str, Any]:
    """Draw test images again from z alone and hold them against other test images (FID) and their originals (LPIPS)."""
    import numpy as np

    from soda.evaluation.inception import Inception
    from soda.evaluation.lpips import Lpips
    from soda.evaluation.reconstruct import reconstruct
    from soda.evaluation.samples import draw_apart, draw_positions, held_at_once

    config, seed = context.config, context.config.seed
    inception = Inception(config.inception_weights, context.device) if config.inception_weights else None
    lpips = Lpips(config.lpips_weights, config.lpips_linear, context.device) if config.lpips_weights else None
    if inception is None and lpips is None:
        return {}
    train, test = context.samples["train"], context.samples["test"]
    chosen = draw_positions(test, held_at_once(test, max(config.reconstructions, config.fid_images)), seed)
    originals, found, notes = test.gather(chosen), {}, []
    drawn = reconstruct(context.drawer, context.latents["test"].x[chosen], seed=seed)
    apart = draw_apart(test, min(config.fid_images, len(chosen)), seed)
    if inception is not None and len(apart) > 1:
        others, real = test.gather(apart), train.gather(draw_positions(train, len(apart), seed))
        described = inception.describe(others)
        sets = {"": drawn[: len(apart)], "_train": real}
        found = {f"{inception.name}{key}": inception.between(images, described) for key, images in sets.items()}
        found[f"{inception.name}_paired"] = inception.distance(drawn[: len(apart)], originals[: len(apart)])
        found["fid_pictures"] = len(apart)
        notes.append(
            f"{inception.name}: Frechet distance in Inception v3 ({config.inception_weights}) between reconstructions of "
            f"{len(apart):,} test pictures and as many other test pictures; …_train of training pictures, for scale; …_paired to "
            "the originals. Published ones are of 10,000 to 50,000 pictures: of few it is too high."
        )
    if lpips is not None:
        count = min(config.reconstructions, len(chosen))
        some = train.gather(draw_positions(train, len(chosen), seed))
        mean = np.repeat(some.mean(0, keepdims=True).round().astype(np.uint8), count, axis=0)
        found[lpips.name] = float(lpips.distances(drawn[:count], originals[:count]).mean())
        found[f"{lpips.name}_mean_picture"] = float(lpips.distances(mean, originals[:count]).mean())
        notes.append(
            f"{lpips.name}: mean LPIPS 0.1 of {count:,} reconstructions from z alone to their originals ({lpips.about})."
        )
    return {**found, "notes": notes}


def _columns(ending: str) -> tuple[str, ...]:
    """The cells of a row: a key for each network, "" where it has none."""
    fid = ending in ("", *(f"_{other}" for other in _OTHERS))
    lpips = ending in ("", "_mean_picture")
    return (*(f"{key}{ending}" if fid else "" for key in FID), *(f"{key}{ending}" if lpips else "" for key in LPIPS))


MEASURE = Measure(
    key="published",
    title="FID and LPIPS",
    place=35,
    compute=compute,
    quantities=(
        *(Quantity(key, f"{title} of reconstructions", "{:.2f}", "lower") for key, title in FID.items()),
        *(Quantity(f"{k}_{o}", f"{v} of {of}", "{:.2f}", "lower") for k, v in FID.items() for o, of in _OTHERS.items()),
        Quantity("fid_pictures", "Images of each set that FID is between"),
        *(Quantity(key, f"{title} of reconstructions", "{:.3f}", "lower") for key, title in LPIPS.items()),
        *(Quantity(f"{key}_mean_picture", f"{title} of the mean picture", "{:.3f}", "lower") for key, title in LPIPS.items()),
    ),
    tables=(
        Table(
            "Test images drawn again from z alone, by published measures",
            ("Images", *FID.values(), *LPIPS.values()),
            (
                Row("Reconstructions from z alone", _columns(""), ours=True),
                Row("Reconstructions, against their own originals", _columns("_paired"), ours=True),
                Row("Real training pictures", _columns("_train")),
                Row("The mean picture", _columns("_mean_picture")),
            ),
        ),
    ),
)
