"""The method at one sitting: a small SODA made of its parts, trained on digits in under a minute, without the pipeline.

    python examples/train_from_parts.py reconstructions.png

An encoder turns an image into a vector z. A denoiser draws the image out of noise, and z is all that it is told of it: so z comes
to say what is in the image, with no label.
"""

from __future__ import annotations

import sys
from dataclasses import replace

import torch
import torch.nn.functional as F
from PIL import Image
from sklearn.datasets import load_digits
from torch import Tensor

from soda.common.images import to_uint8
from soda.config import compose, from_dict
from soda.diffusion.sampler import prediction_target, sample, split_prediction
from soda.diffusion.schedule import Schedule
from soda.model.encoder import build_encoder
from soda.model.modulation import draw_keep, mask_sections
from soda.model.unet import UNet

SIZE, BATCH, SHOWN = 16, 64, 10
PREDICTION = "x_0"  # what the denoiser puts out: the clean image; eps and v are the other two


def main(target: str, steps: int) -> None:
    torch.manual_seed(0)
    small = torch.from_numpy(load_digits().images).float()[:, None] / 8 - 1  # (1797, 1, 8, 8) in [-1, 1]
    images = F.interpolate(small, SIZE, mode="bilinear", align_corners=False)
    train, held_out = images[:-SHOWN], images[-SHOWN:]

    settings = replace(from_dict(compose([])).model, latent_dim=32, channels=16, encoder_width=16)
    encoder, denoiser = build_encoder(settings, image_size=SIZE, channels=1), UNet(settings, channels=1)
    schedule = Schedule("cosine", num_timesteps=1000)
    optimizer = torch.optim.AdamW([*encoder.parameters(), *denoiser.parameters()], lr=3e-3)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)

    for step in range(1, steps + 1):
        x_0 = train[torch.randint(len(train), (BATCH,))]
        t = torch.randint(1, schedule.num_timesteps + 1, (BATCH,))
        eps = torch.randn_like(x_0)
        z = encoder(x_0)  # (B, D): the bottleneck
        z = mask_sections(z, draw_keep(BATCH, settings, torch.default_generator))  # layer masking
        output = denoiser(schedule.add_noise(x_0, t, eps), t / schedule.num_timesteps, z)
        loss = F.mse_loss(output, prediction_target(PREDICTION, x_0, eps, schedule.abar(t, x_0)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        decay.step()
        if step % 50 == 0:
            print(f"step {step}: loss {loss.item():.4f}", flush=True)

    encoder.eval()
    denoiser.eval()
    with torch.no_grad():
        z = encoder(held_out)

    def denoise(x_t: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        output = denoiser(x_t, t / schedule.num_timesteps, z)
        return split_prediction(PREDICTION, output, x_t, schedule.abar(t, x_t))

    drawn = sample(denoise, torch.randn_like(held_out), schedule, steps=20)
    rows = [F.pad(images, (1, 1, 1, 1), value=1.0).permute(1, 2, 0, 3).flatten(2) for images in (held_out, drawn)]
    sheet = to_uint8(torch.cat(rows, dim=1)[None])[0, :, :, 0]
    Image.fromarray(sheet).resize((sheet.shape[1] * 5, sheet.shape[0] * 5), Image.Resampling.NEAREST).save(target)
    print(f"{target}: originals above; below, drawn from z and noise: {F.mse_loss(drawn, held_out).item():.4f} apart")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "reconstructions.png", int(sys.argv[2]) if len(sys.argv) > 2 else 500)
