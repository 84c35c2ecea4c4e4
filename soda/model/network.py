"""Encoder and denoiser under one roof: the training loss, and a denoiser to sample with."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from soda.common.errors import InputError
from soda.config import Config, DiffusionConfig, ModelConfig
from soda.diffusion.sampler import Denoise, prediction_target, split_prediction
from soda.diffusion.schedule import Schedule
from soda.model.batch import LossDraws, ViewBatch
from soda.model.conditions import Context
from soda.model.encoder import PosedEncoder, build_encoder, map_channels
from soda.model.modulation import mask_sections
from soda.model.unet import UNet


class SodaNetwork(nn.Module):
    """Bottleneck diffusion model: z = encoder(source view) is the only path from the source to the drawn target view."""

    def __init__(self, *, model: ModelConfig, diffusion: DiffusionConfig, image_size: int, channels: int) -> None:
        super().__init__()
        self.image_size, self.channels = image_size, channels
        self.latent_dim, self.sections = model.latent_dim, model.sections
        self.diffusion = diffusion
        self.schedule = Schedule(diffusion.schedule, diffusion.num_timesteps)
        self.encoder = build_encoder(model, image_size=image_size, channels=channels)
        self.denoiser = UNet(model, channels=channels, context_channels=map_channels(model))
        self.takes_cameras, self.attends_views = model.cameras.rays, bool(model.cameras.view_attention)

    def train(self, mode: bool = True) -> SodaNetwork:
        """As of any module; but an encoder that takes no gradients stays in eval mode: its batch norms learn nothing either."""
        super().train(mode)
        if not any(weight.requires_grad for weight in self.encoder.parameters()):
            self.encoder.eval()
        return self

    def encode(self, images: Tensor, cameras: Tensor | None = None) -> Tensor:
        """images: (B, C, S, S) in [-1, 1] -> z: (B, D). cameras: (B, 16), of a model with rays; None: unposed."""
        return self.encoder(images) if cameras is None else self.encoder(images, self._cameras(cameras))

    def encode_views(
        self, views: Tensor, cameras: Tensor | None = None, shown: Tensor | None = None
    ) -> tuple[Tensor, Context | None]:
        """Several views of each object, encoded one by one: (B, V, C, S, S) in [-1, 1] -> z (B, D), the mean over its views.

        cameras: (B, V, 16); shown: (B, V) of booleans, the views that count. Also what the denoiser attends to of the views, None
        of a model without view attention.
        """
        B, V = views.shape[:2]
        shown = torch.ones(B, V, dtype=torch.bool, device=views.device) if shown is None else shown
        of_all = None if cameras is None else self._cameras(cameras.flatten(0, 1))
        if self.attends_views:
            assert isinstance(self.encoder, PosedEncoder)
            z, features = self.encoder.with_map(views.flatten(0, 1), of_all)
            tokens = features.flatten(2).transpose(1, 2).reshape(B, -1, features.shape[1])  # (B, V h w, C)
            context = Context(tokens, shown.repeat_interleave(tokens.shape[1] // V, dim=1))
        else:
            z, context = self.encode(views.flatten(0, 1), of_all), None
        share = shown.to(z.dtype) / shown.sum(1, keepdim=True)
        return torch.einsum("bv,bvd->bd", share, z.unflatten(0, (B, V))), context

    def encode_batch(self, batch: ViewBatch, shown: Tensor | None = None) -> tuple[Tensor, Context | None]:
        """z (B, D) of the sources, its finest sections those of the style where there is one, and what is attended to of them."""
        if self.attends_views or batch.sources.shape[1] > 1:
            return self.encode_views(batch.sources, batch.source_cameras, shown)
        source = batch.sources[:, 0]
        if batch.style is None:
            return self.encode(source, None if batch.source_cameras is None else batch.source_cameras[:, 0]), None
        style, content = self.encode(torch.cat([batch.style, source])).chunk(2)
        fine = (torch.arange(self.sections, device=style.device) < batch.style_sections).float()[None]  # (1, sections)
        return mask_sections(style, fine) + mask_sections(content, 1 - fine), None

    def predict(
        self, x_t: Tensor, t: Tensor, z: Tensor, cameras: Tensor | None = None, context: Context | None = None
    ) -> tuple[Tensor, Tensor]:
        """(x_0, eps), each (B, C, S, S), as the denoiser sees them. t: (B,) in 1 .. T; z: (B, D), masked or not.

        cameras: (B, 16), of the view that is drawn; context: of the source views, from `encode_views`.
        """
        output = self._denoise(x_t, t, z, cameras, context).float()
        return split_prediction(self.diffusion.prediction, output, x_t, self.schedule.abar(t, x_t))

    def _denoise(self, x_t: Tensor, t: Tensor, z: Tensor, cameras: Tensor | None, context: Context | None) -> Tensor:
        time = t / self.schedule.num_timesteps
        return self.denoiser(x_t, time, z, None if cameras is None else self._cameras(cameras), context)

    def _cameras(self, cameras: Tensor) -> Tensor:
        if not self.takes_cameras:
            raise InputError("this model was trained without cameras (model.cameras.rays=false) and cannot be given any")
        return cameras

    def loss(
        self, batch: ViewBatch, draws: LossDraws, *, encoded: tuple[Tensor, Context | None] | None = None, reduction: str = "mean"
    ) -> Tensor:
        """Mean squared error of the denoiser's prediction on the noisy target view (paper, section 3).

        encoded: z (B, D) and its context, in place of encoding the sources. Returns a scalar, or (B,) with reduction="none".
        """
        z, context = self.encode_batch(batch, draws.shown) if encoded is None else encoded
        if draws.keep is not None:
            z = mask_sections(z, draws.keep)
            context = None if context is None else context.where(draws.keep.any(1))
        x_t = self.schedule.add_noise(batch.target, draws.t, draws.noise)
        output = self._denoise(x_t, draws.t, z, batch.target_cameras, context).float()
        abar = self.schedule.abar(draws.t, x_t)
        wanted = prediction_target(self.diffusion.prediction, batch.target, draws.noise, abar)
        errors = F.mse_loss(output, wanted, reduction="none").flatten(1).mean(1)  # (B,)
        return errors if reduction == "none" else errors.mean()

    forward = loss  # what DistributedDataParallel calls

    def denoise_with(
        self,
        z: Tensor,
        *,
        guidance_scale: float = 1.0,
        section_scales: dict[int, float] | None = None,
        cameras: Tensor | None = None,
        context: Context | None = None,
        pose_scale: float = 1.0,
    ) -> Denoise:
        """A denoiser bound to z (B, D), and to the cameras (B, 16) of what is drawn where there are any, guided.

        eps = eps(0) + guidance_scale * (eps(z) - eps(0)), and for each section k of `section_scales` also
        + (w_k - 1) * (eps(z) - eps(z without section k)): a weight of 1 leaves a section as it is, more stresses it, less plays
        it down, and 0 of one section leaves it out. Not eps(z on section k alone), which layer masking hardly ever shows in
        training. pose_scale adds + (pose_scale - 1) * (eps(z) - eps(z, no camera)). context: goes with z.
        Each guided term costs one more evaluation. Raises ValueError for a section that does not exist.
        """
        scales = {k: w for k, w in (section_scales or {}).items() if w != 1.0}
        for k in scales:
            if not 0 <= k < self.sections:
                raise InputError(f"section {k} does not exist; this model has sections 0 to {self.sections - 1}")
        by_pose = pose_scale != 1.0 and cameras is not None
        if guidance_scale == 1.0 and not scales and not by_pose:
            return lambda x_t, t: self.predict(x_t, t, z, cameras, context)

        def denoise(x_t: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
            given = eps = self.predict(x_t, t, z, cameras, context)[1]
            if by_pose:
                eps = eps + (pose_scale - 1) * (given - self.predict(x_t, t, z, None, context)[1])
            if guidance_scale != 1.0:
                eps = eps + (guidance_scale - 1) * (given - self.predict(x_t, t, torch.zeros_like(z), cameras)[1])
            for k, weight in scales.items():
                keep = torch.ones(len(z), self.sections, device=z.device)
                keep[:, k] = 0
                eps = eps + (weight - 1) * (given - self.predict(x_t, t, mask_sections(z, keep), cameras, context)[1])
            return split_prediction("eps", eps, x_t, self.schedule.abar(t, x_t))

        return denoise


def build_model(config: Config) -> SodaNetwork:
    """A freshly initialised model of this configuration, in channels_last, which CPUs and tensor cores like."""
    model = SodaNetwork(
        model=config.model, diffusion=config.diffusion, image_size=config.dataset.image_size, channels=config.dataset.channels
    )
    return model.to(memory_format=torch.channels_last)
