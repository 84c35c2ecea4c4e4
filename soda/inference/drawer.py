"""Encoding, sampling and inverting in batches, on the model's device, with a progress bar; in and out on the CPU."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from soda.common.errors import InputError
from soda.common.seeds import seed_of
from soda.diffusion.inversion import ROUNDS, invert_exactly
from soda.diffusion.sampler import Denoise, sample
from soda.model.conditions import Context
from soda.model.network import SodaNetwork
from soda.runtime.guidance import Guidance, read_guidance


@dataclass(frozen=True)
class Sampling:
    """How to draw. What is None comes from the model's own settings."""

    seed: int = 0
    steps: int | None = None
    guidance: Guidance | None = None
    pose_guidance: float = 1.0  # weight of the camera that is drawn for; 1 is none

    def __post_init__(self) -> None:
        if not math.isfinite(self.pose_guidance):
            raise InputError(f"pose_guidance: {self.pose_guidance!r} is not possible; a weight is a finite number")


class Drawer:
    """A network and how much of it is seen: batch_size pictures at once, a bar or none."""

    def __init__(self, network: SodaNetwork, *, batch_size: int, progress: bool) -> None:
        self.network, self.batch_size, self.progress = network, batch_size, progress

    @property
    def device(self) -> torch.device:
        return next(self.network.parameters()).device

    def noise(self, count: int, seed: int) -> Tensor:
        """x_T (count, C, S, S), drawn on the CPU: the same on every device, and the first the same for every count."""
        generator = torch.Generator().manual_seed(seed_of("x_T", seed, 0))
        shape = (self.network.channels, self.network.image_size, self.network.image_size)
        return torch.stack([torch.randn(shape, generator=generator) for _ in range(count)])

    @torch.no_grad()
    def encode(self, images: Tensor, cameras: Tensor | None = None) -> Tensor:
        """(B, C, S, S) in [-1, 1], and their cameras (B, 16) where they are known -> z (B, D) float32."""
        blocks = images.split(self.batch_size)
        posed = self._split(cameras, len(blocks))
        encoded = [self.network.encode(block.to(self.device), each) for block, each in zip(blocks, posed, strict=True)]
        return torch.cat([z.float().cpu() for z in encoded])

    @torch.no_grad()
    def encode_views(self, views: Tensor, cameras: Tensor | None = None) -> tuple[Tensor, Context | None]:
        """What `SODA.encode_views` gives of views (B, V, C, S, S) and cameras (B, V, 16), on the CPU."""
        blocks = views.split(self.batch_size)
        posed = self._split(cameras, len(blocks))
        encoded = [self.network.encode_views(block.to(self.device), each) for block, each in zip(blocks, posed, strict=True)]
        contexts = [context.to(torch.device("cpu")) for _, context in encoded if context is not None]
        return torch.cat([z.float().cpu() for z, _ in encoded]), Context.cat(contexts) if contexts else None

    @torch.no_grad()
    def draw(
        self,
        z: Tensor,
        x_T: Tensor,
        sampling: Sampling,
        *,
        exact: bool = False,
        alike: bool = False,
        label: str = "draw",
        cameras: Tensor | None = None,
        context: Context | None = None,
    ) -> Tensor:
        """(B, C, S, S) in [-1, 1] from z (B, D) and x_T (B, C, S, S), as cameras (B, 16) see it where they are given.

        context: goes with z, from `encode_views`. exact: as the inversion has it, by deterministic DDIM without clipping; else by
        the model's own sampler. alike: what noise that adds on the way is one for all pictures, as x_T may be.
        """
        settings, blocks, steps = self.network.diffusion, [], self._steps(sampling)
        generator = torch.Generator(device=self.device).manual_seed(seed_of("sampling", sampling.seed))
        with self._bar(label, steps * len(z)) as bar:
            latent_blocks = z.split(self.batch_size)
            posed = self._split(cameras, len(latent_blocks))
            seen = [None] * len(latent_blocks) if context is None else context.split(self.batch_size)
            for latents, noise, each, views in zip(latent_blocks, x_T.split(self.batch_size), posed, seen, strict=True):
                if alike:
                    generator.manual_seed(seed_of("sampling", sampling.seed))
                drawn = sample(
                    self._denoiser(latents, sampling, bar, each, None if views is None else views.to(self.device)),
                    self._place(noise),
                    self.network.schedule,
                    steps,
                    method="ddim" if exact else settings.sampler,
                    eta=0.0 if exact else settings.eta,
                    spacing=settings.spacing,
                    generator=generator,
                    alike=alike,
                    clip=not exact,
                )
                blocks.append(drawn.clamp(-1, 1).cpu())
        return torch.cat(blocks)

    @torch.no_grad()
    def invert(self, images: Tensor, z: Tensor, sampling: Sampling) -> Tensor:
        """The x_T from which `draw(z, x_T, exact=True)` gives `images`. Raises ValueError for unequal numbers of them."""
        if len(images) != len(z):
            raise InputError(f"{len(z)} latents for {len(images)} pictures")
        blocks, steps = [], self._steps(sampling)
        with self._bar("invert", steps * ROUNDS * len(z)) as bar:
            for block, latents in zip(images.split(self.batch_size), z.split(self.batch_size), strict=True):
                denoise = self._denoiser(latents, sampling, bar)
                spacing = self.network.diffusion.spacing
                blocks.append(invert_exactly(denoise, self._place(block), self.network.schedule, steps, spacing=spacing).cpu())
        return torch.cat(blocks)

    def _split(self, cameras: Tensor | None, blocks: int) -> Sequence[Tensor | None]:
        return [None] * blocks if cameras is None else [each.to(self.device) for each in cameras.split(self.batch_size)]

    def _place(self, images: Tensor) -> Tensor:
        return images.to(self.device).contiguous(memory_format=torch.channels_last)

    def _steps(self, sampling: Sampling) -> int:
        return self.network.diffusion.sampling_steps if sampling.steps is None else sampling.steps

    def _bar(self, label: str, evaluations: int) -> Any:
        return tqdm(total=evaluations, desc=label, unit="eval", disable=not self.progress, leave=False, mininterval=0.5)

    def _denoiser(
        self, z: Tensor, sampling: Sampling, bar: Any, cameras: Tensor | None = None, context: Context | None = None
    ) -> Denoise:
        whole, sections = read_guidance(sampling.guidance, self.network.sections, self.network.diffusion.guidance_scale)
        denoise = self.network.denoise_with(
            z.to(self.device),
            guidance_scale=whole,
            section_scales=sections,
            cameras=cameras,
            context=context,
            pose_scale=sampling.pose_guidance,
        )

        def counted(x_t: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
            bar.update(len(x_t))
            return denoise(x_t, t)

        return counted
