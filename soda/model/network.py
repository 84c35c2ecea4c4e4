"""SODA: encoder and denoiser under one roof, the training loss, and sampling with guidance."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from soda.common.errors import InputError
from soda.config import Config, DiffusionConfig, ModelConfig
from soda.diffusion.sampler import Denoise, invert, prediction_target, sample, split_prediction
from soda.diffusion.schedule import Schedule
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
        self.denoiser = UNet(
            in_channels=channels,
            out_channels=channels,
            latent_dim=model.latent_dim,
            patch_size=model.patch_size,
            channels=model.channels,
            channel_mult=model.channel_mult,
            blocks_per_level=model.blocks_per_level,
            attention_levels=model.attention_levels,
            head_dim=model.head_dim,
            dropout=model.dropout,
            time_dim=model.time_dim,
            layer_modulation=model.layer_modulation,
            cameras=model.cameras,
            context_channels=map_channels(model),
        )
        self.takes_cameras, self.attends_views = model.cameras.rays, bool(model.cameras.view_attention)

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
        self,
        source: Tensor | None,
        target: Tensor,
        t: Tensor,
        noise: Tensor,
        *,
        z: Tensor | None = None,
        keep: Tensor | None = None,
        style: Tensor | None = None,
        style_sections: int = 0,
        source_cameras: Tensor | None = None,
        target_cameras: Tensor | None = None,
        shown: Tensor | None = None,
        context: Context | None = None,
        reduction: str = "mean",
    ) -> Tensor:
        """Mean squared error of the denoiser's prediction on the noisy target view.

        source, target, noise: (B, C, S, S); t: (B,) in 1 .. T; z: (B, D) stands in for encoding `source`;
        keep: (B, sections), the layer mask; style: (B, C, S, S), a view whose latent gives the `style_sections` finest sections
        in place of the source's; cameras: (B, 16), rows of zeros where one is not to be known. Several sources are (B, V, C, S,
        S), their cameras (B, V, 16), those that count `shown` (B, V). context: goes with a given z.
        Returns a scalar, or (B,) with reduction="none".
        """
        if z is None:
            if source is None:
                raise InputError("the loss needs a source view or its latent z")
            if self.attends_views or source.ndim == 5:
                z, context = self.encode_views(*_as_views(source, source_cameras), shown)
            elif style is None:
                z = self.encode(source, source_cameras)
            else:
                z = self._encode_both(style, source, style_sections)
        if keep is not None:
            z = mask_sections(z, keep)
            context = None if context is None else context.where(keep.any(1))
        x_t = self.schedule.add_noise(target, t, noise)
        output = self._denoise(x_t, t, z, target_cameras, context).float()
        wanted = prediction_target(self.diffusion.prediction, target, noise, self.schedule.abar(t, target))
        errors = F.mse_loss(output, wanted, reduction="none").flatten(1).mean(1)  # (B,)
        return errors if reduction == "none" else errors.mean()

    def _encode_both(self, style: Tensor, content: Tensor, style_sections: int) -> Tensor:
        """The finest sections from one view, the others from another: (B, D)."""
        of_style, of_content = self.encode(torch.cat([style, content])).chunk(2)
        fine = (torch.arange(self.sections, device=style.device) < style_sections).float()[None]  # (1, sections)
        return mask_sections(of_style, fine) + mask_sections(of_content, 1 - fine)

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
        + (w_k - 1) * (eps(z on section k alone) - eps(0)): a weight of 1 leaves a section as it is, more stresses it, less
        plays it down. pose_scale adds + (pose_scale - 1) * (eps(z) - eps(z, no camera)). context: goes with z.
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
            if guidance_scale == 1.0 and not scales:
                return split_prediction("eps", eps, x_t, self.schedule.abar(t, x_t))
            zero = self.predict(x_t, t, torch.zeros_like(z), cameras)[1]
            eps = eps + (guidance_scale - 1) * (given - zero)
            for k, weight in scales.items():
                only = torch.zeros(len(z), self.sections, device=z.device)
                only[:, k] = 1
                eps = eps + (weight - 1) * (self.predict(x_t, t, mask_sections(z, only), cameras)[1] - zero)
            return split_prediction("eps", eps, x_t, self.schedule.abar(t, x_t))

        return denoise

    def decode(
        self,
        z: Tensor,
        *,
        x_T: Tensor | None = None,
        generator: torch.Generator | None = None,
        steps: int | None = None,
        sampler: str | None = None,
        eta: float | None = None,
        guidance_scale: float | None = None,
        section_scales: dict[int, float] | None = None,
        clip: bool = True,
    ) -> Tensor:
        """Draw pictures (B, C, S, S) in [-1, 1] from z (B, D); what is not given comes from the diffusion settings.

        x_T: (B, C, S, S) to start from, else drawn with `generator`.
        """
        settings = self.diffusion
        if x_T is None:
            shape = (len(z), self.channels, self.image_size, self.image_size)
            x_T = torch.randn(shape, generator=generator, device=generator.device if generator else z.device).to(z.device)
        guidance = settings.guidance_scale if guidance_scale is None else guidance_scale
        return sample(
            self.denoise_with(z, guidance_scale=guidance, section_scales=section_scales),
            x_T.contiguous(memory_format=torch.channels_last),
            self.schedule,
            steps or settings.sampling_steps,
            method=sampler or settings.sampler,
            eta=settings.eta if eta is None else eta,
            spacing=settings.spacing,
            generator=generator,
            clip=clip,
        ).clamp(-1, 1)

    def invert(self, images: Tensor, z: Tensor, *, steps: int | None = None) -> Tensor:
        """The x_T (B, C, S, S) from which `decode(z, x_T=..., sampler="ddim", eta=0, clip=False)` returns `images`."""
        steps = steps or self.diffusion.sampling_steps
        return invert(self.denoise_with(z), images, self.schedule, steps, spacing=self.diffusion.spacing)


def _as_views(source: Tensor, cameras: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """One source, (B, C, S, S) and (B, 16), as a set of one: (B, 1, C, S, S) and (B, 1, 16). Sets stay as they are."""
    if source.ndim == 5:
        return source, cameras
    return source[:, None], None if cameras is None else cameras[:, None]


def build_model(config: Config) -> SodaNetwork:
    """A freshly initialised model of this configuration, in channels_last, which CPUs and tensor cores like."""
    model = SodaNetwork(
        model=config.model,
        diffusion=config.diffusion,
        image_size=config.dataset.image_size,
        channels=config.dataset.channels,
    )
    return model.to(memory_format=torch.channels_last)
