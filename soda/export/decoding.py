"""Does the runtime draw with denoiser.onnx what torch draws? Asked with real latents, unguided, guided whole and by section."""

from __future__ import annotations

import numpy as np
import torch

from soda.common.images import to_float
from soda.config import ExportConfig
from soda.data.dataset import Split
from soda.export import ExportError
from soda.export.statistics import evenly_spaced
from soda.inference.drawer import Drawer, Sampling
from soda.model.network import SodaNetwork
from soda.runtime import Decoder

GUIDED = 4
"""Pictures that are drawn again for each kind of guidance."""

WEIGHT = 1.5


@torch.inference_mode()
def check_decoder(decoder: Decoder, model: SodaNetwork, split: Split, config: ExportConfig) -> dict[str, float]:
    """Draw `config.decoder_images` pictures of the split from their latents, by torch and by the runtime, from the same x_T.

    Returns decoder_images, decoder_max_abs_diff and decoder_mean_abs_diff, over pixels in [-1, 1]. Raises ExportError naming the
    picture when a difference exceeds `config.decoder_max_abs_diff`, and when there is no picture.
    """
    indices = evenly_spaced(len(split), config.decoder_images)
    if not len(indices):
        raise ExportError(f"the {split.name} split has no pictures, so the denoiser cannot be compared with the torch model")
    z = model.encode(to_float(split.gather(indices)))
    shape = (len(z), model.channels, model.image_size, model.image_size)
    x_T = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    few = slice(0, GUIDED)
    guided = 0 if model.latent_dim % model.sections else model.sections  # none where they do not divide the latent
    cases: list[tuple[str, slice, float, dict[int, float]]] = [
        ("", slice(None), model.diffusion.guidance_scale, {}),
        (" with guidance", few, WEIGHT, {}),
        *((f" with guidance of section {k}", few, 1.0, {k: WEIGHT}) for k in range(guided)),
    ]
    diffs = []
    for about, rows, whole, sections in cases:
        asked = Sampling(guidance=sections or whole, sampler="ddim", eta=0.0)
        wanted = Drawer(model, batch_size=len(z)).draw(z[rows], x_T[rows], asked).numpy()
        drawn = decoder.sample(z[rows].numpy(), x_T=x_T[rows].numpy(), guidance=sections or whole, output="float")
        diff = np.nan_to_num(np.abs(drawn - wanted), nan=np.inf).reshape(len(wanted), -1)
        worst = int(diff.max(1).argmax())
        if diff[worst].max() > config.decoder_max_abs_diff:
            raise ExportError(
                f"the exported denoiser draws {split.name} picture {split.ids[indices[worst]]}{about} otherwise than the "
                f"torch model: {diff[worst].max():.3g} apart; export.decoder_max_abs_diff allows {config.decoder_max_abs_diff:g}"
            )
        diffs.append(diff)
    all_diffs = np.concatenate(diffs)
    return {
        "decoder_images": len(z),
        "decoder_max_abs_diff": float(all_diffs.max()),
        "decoder_mean_abs_diff": float(all_diffs.mean()),
    }
