"""The one drawing loop: encoding, sampling and inverting in batches, on the model's device; in and out on the CPU.

All noise is drawn on the CPU, so that the same seed gives the same images on any device.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from soda.common.checks import whole_number
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
    sample: int = 0  # one seed has many samples, each with noise of its own
    sampler: str | None = None  # ddpm, ddim or dpm++2m
    eta: float | None = None
    clip: bool = True  # each predicted x_0 to [-1, 1]

    def __post_init__(self) -> None:
        if not math.isfinite(self.pose_guidance):
            raise InputError(f"pose_guidance: {self.pose_guidance!r} is not possible; a weight is a finite number")

    def noise_seed(self) -> int:
        """Of the noise that a stochastic sampler adds on the way."""
        return seed_of("sampling", self.seed, *([self.sample] if self.sample else []))


class Drawer:
    """A network and how much of it is seen: batch_size images at once, a progress bar or none."""

    def __init__(self, network: SodaNetwork, *, batch_size: int = 64, progress: bool = False) -> None:
        self.network, self.batch_size, self.progress = network, whole_number("batch_size", batch_size, 1), progress

    @property
    def device(self) -> torch.device:
        return next(self.network.parameters()).device

    def noise(self, count: int, seed: int, sample: int = 0) -> Tensor:
        """x_T (count, C, S, S), drawn on the CPU: the same on every device, and the first the same for every count."""
        generator = torch.Generator().manual_seed(seed_of("x_T", seed, sample))
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
        """What `SodaNetwork.encode_views` gives of views (B, V, C, S, S) and cameras (B, V, 16), on the CPU."""
        blocks = views.split(self.batch_size)
        posed = self._split(cameras, len(blocks))
        encoded = [self.network.encode_views(block.to(self.device), each) for block, each in zip(blocks, posed, strict=True)]
        contexts = [context.to(torch.device("cpu")) for _, context in encoded if context is not None]
        return torch.cat([z.float().cpu() for z, _ in encoded]), Context.cat(contexts) if contexts else None

    @torch.no_grad()
    def draw(
        self,
        z: Tensor,
        x_T: Tensor | None = None,
        sampling: Sampling = Sampling(),
        *,
        exact: bool = False,
        alike: bool = False,
        label: str = "draw",
        cameras: Tensor | None = None,
        context: Context | None = None,
    ) -> Tensor:
        """(B, C, S, S) in [-1, 1] from z (B, D) and x_T (B, C, S, S), as cameras (B, 16) see it where they are given.

        x_T: None: the noise of the seed and sample. alike: one noise for all images, also that which a stochastic sampler adds on
        the way. exact: as the inversion has it, by deterministic DDIM without clipping. context: from `encode_views`, as z.
        """
        if exact:
            sampling = replace(sampling, sampler="ddim", eta=0.0, clip=False)
        if x_T is None:
            x_T = self.noise(1 if alike else len(z), sampling.seed, sampling.sample).expand(len(z), -1, -1, -1)
        settings, blocks, steps = self.network.diffusion, [], self._steps(sampling)
        generator = torch.Generator().manual_seed(sampling.noise_seed())
        with self._bar(label, steps * len(z)) as bar:
            for start in range(0, len(z), self.batch_size):
                rows = slice(start, start + self.batch_size)
                posed = None if cameras is None else cameras[rows].to(self.device)
                views = None if context is None else context[rows].to(self.device)
                if alike:
                    generator.manual_seed(sampling.noise_seed())
                drawn = sample(
                    self._denoiser(z[rows], sampling, bar, posed, views),
                    self._place(x_T[rows]),
                    self.network.schedule,
                    steps,
                    method=sampling.sampler or settings.sampler,
                    eta=settings.eta if sampling.eta is None else sampling.eta,
                    spacing=settings.spacing,
                    generator=generator,
                    alike=alike,
                    clip=sampling.clip,
                )
                blocks.append(drawn.clamp(-1, 1).cpu())
        return torch.cat(blocks)

    @torch.no_grad()
    def invert(self, images: Tensor, z: Tensor, sampling: Sampling) -> Tensor:
        """The x_T from which `draw(z, x_T, exact=True)` gives `images`. Raises ValueError for unequal numbers of them."""
        if len(images) != len(z):
            raise InputError(f"{len(z)} latents for {len(images)} images")
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
