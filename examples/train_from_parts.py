"""The method at one sitting: a small SODA from its parts, trained on drawn shapes in under a minute, without the pipeline.

    python examples/train_from_parts.py reconstructions.png

An encoder turns an image into a vector z. A denoiser draws the image from noise, and all that it is told of it is z: so z must
come to say what is in the image. Nobody labels anything.
"""

from __future__ import annotations

import sys
from dataclasses import replace

import torch
from PIL import Image
from torch import Tensor

from soda.common.images import to_uint8
from soda.config import compose, from_dict
from soda.diffusion.sampler import prediction_target, sample, split_prediction
from soda.diffusion.schedule import Schedule
from soda.model.encoder import build_encoder
from soda.model.modulation import draw_keep, mask_sections
from soda.model.unet import UNet

SIZE, STEPS, BATCH, PREDICTION = 16, 500, 64, "v"


def shapes(count: int, generator: torch.Generator) -> Tensor:
    """Discs and squares of any place, size and lightness: (count, 1, SIZE, SIZE) in [-1, 1]."""
    x, y, radius, light, round_ = torch.rand(5, count, 1, 1, generator=generator)
    across, down = torch.meshgrid(torch.linspace(0, 1, SIZE), torch.linspace(0, 1, SIZE), indexing="xy")
    dx, dy = (across - 0.2 - 0.6 * x).abs(), (down - 0.2 - 0.6 * y).abs()
    distance = torch.where(round_ > 0.5, (dx**2 + dy**2).sqrt(), torch.maximum(dx, dy))
    inside = ((0.12 + 0.15 * radius - distance) * SIZE + 0.5).clamp(0, 1)  # soft edges, one pixel wide
    return (2 * inside * (0.4 + 0.6 * light) - 1)[:, None]


def main(target: str) -> None:
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    settings = replace(from_dict(compose([])).model, latent_dim=32, channels=16, channel_mult=(1, 2, 2), encoder_width=16)
    encoder, denoiser = build_encoder(settings, image_size=SIZE, channels=1), UNet(settings, channels=1)
    schedule = Schedule("cosine", 1000)
    optimizer = torch.optim.AdamW([*encoder.parameters(), *denoiser.parameters()], lr=3e-3)
    rate = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)

    for step in range(1, STEPS + 1):
        x_0 = shapes(BATCH, generator)
        t = torch.randint(1, schedule.num_timesteps + 1, (BATCH,), generator=generator)
        eps = torch.randn(x_0.shape, generator=generator)
        z = encoder(x_0)  # (B, D): the bottleneck
        z = mask_sections(z, draw_keep(BATCH, denoiser.sections, 0.1, 0.1, generator))  # layer masking: sections go missing
        output = denoiser(schedule.add_noise(x_0, t, eps), t / schedule.num_timesteps, z)
        loss = (output - prediction_target(PREDICTION, x_0, eps, schedule.abar(t, x_0))).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rate.step()
        if step % 100 == 0:
            print(f"step {step}: loss {loss.item():.4f}", flush=True)

    encoder.eval(), denoiser.eval()
    originals = shapes(8, generator)  # never seen
    with torch.no_grad():
        z = encoder(originals)

    def denoise(x_t: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        output = denoiser(x_t, t / schedule.num_timesteps, z)
        return split_prediction(PREDICTION, output, x_t, schedule.abar(t, x_t))

    drawn = sample(denoise, torch.randn(originals.shape, generator=generator), schedule, steps=20)
    rows = [torch.cat(list(to_float_row), dim=-1) for to_float_row in (originals, drawn)]
    sheet = to_uint8(torch.cat(rows, dim=-2)[None])[0, :, :, 0]
    Image.fromarray(sheet).resize((sheet.shape[1] * 6, sheet.shape[0] * 6), Image.Resampling.NEAREST).save(target)
    print(f"{target}: originals above, drawn from z and noise below; {(drawn - originals).square().mean().item():.4f} apart")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "reconstructions.png")
