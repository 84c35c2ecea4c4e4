"""Every setting, in frozen dataclasses that check their own values. How they are composed and read is config.py's."""

from __future__ import annotations

from dataclasses import dataclass

from soda.settings_cameras import NO_CAMERAS, CamerasConfig
from soda.settings_checks import ConfigError, check
from soda.settings_checks import not_negative as _not_negative
from soda.settings_checks import one_of as _one_of
from soda.settings_checks import positive as _positive
from soda.settings_checks import seed as _seed
from soda.settings_checks import share as _share
from soda.settings_data import SOURCES, DatasetConfig, GateConfig
from soda.settings_views import AugmentConfig, PairsConfig, ViewsConfig

__all__ = [
    "SOURCES",
    "AugmentConfig",
    "CamerasConfig",
    "Config",
    "ConfigError",
    "DatasetConfig",
    "DiffusionConfig",
    "EvaluateConfig",
    "ExportConfig",
    "GateConfig",
    "ModelConfig",
    "PairsConfig",
    "TrainConfig",
    "ViewsConfig",
    "check",
]


@dataclass(frozen=True)
class ModelConfig:
    """Encoder and denoiser. The number of sections follows from the U-Net and is no setting (`sections`)."""

    encoder: str
    encoder_width: int  # channels of the first stage; `tiny` only, the others have their own
    encoder_stem: str  # auto | small (3x3, stride 1, no pool) | large (7x7, stride 2, max-pool)
    latent_dim: int  # D
    patch_size: int  # pixels folded into channels at the U-Net's door
    channels: int  # of the U-Net's finest level
    channel_mult: tuple[int, ...]  # one level each
    blocks_per_level: int
    attention_levels: tuple[int, ...]  # levels (0 is the finest) whose blocks attend
    head_dim: int
    dropout: float
    time_dim: int
    layer_modulation: bool  # False: every layer sees the whole of z
    section_drop: float  # layer masking: probability that a section is zeroed in training (not stated in the paper)
    latent_drop: float  # probability that the whole of z is zeroed in training
    cameras: CamerasConfig = NO_CAMERAS

    def __post_init__(self) -> None:
        _one_of("model.encoder", self.encoder, ("tiny", "resnet18", "resnet50"))
        _one_of("model.encoder_stem", self.encoder_stem, ("auto", "small", "large"))
        for key in ("encoder_width", "latent_dim", "channels", "blocks_per_level", "head_dim", "time_dim"):
            _positive(f"model.{key}", getattr(self, key))
        _one_of("model.patch_size", self.patch_size, (1, 2, 4, 8))
        check(bool(self.channel_mult), "model.channel_mult", self.channel_mult, "at least one level")
        check(all(m >= 1 for m in self.channel_mult), "model.channel_mult", self.channel_mult, "whole numbers from 1 up")
        check(self.channels % 8 == 0, "model.channels", self.channels, "a multiple of 8 (the groups of GroupNorm)")
        check(self.time_dim % 2 == 0, "model.time_dim", self.time_dim, "an even number")
        levels = range(len(self.channel_mult))
        attending = [("model.attention_levels", level) for level in self.attention_levels]
        for key, level in attending + [("model.cameras.view_attention", level) for level in self.cameras.view_attention]:
            check(level in levels, key, level, f"levels from 0 to {len(levels) - 1}")
            width = self.channels * self.channel_mult[level]
            check(
                width % self.head_dim == 0, "model.head_dim", self.head_dim, f"a divisor of the {width} channels of level {level}"
            )
        for key in ("dropout", "section_drop", "latent_drop"):
            _share(f"model.{key}", getattr(self, key))
        check(self.encoder_width >= 8, "model.encoder_width", self.encoder_width, "8 or more")  # torch crashes on narrower ones
        needed = self.layer_modulation or self.section_drop > 0  # else no section is ever taken by itself
        check(
            not needed or self.latent_dim % self.sections == 0,
            "model.latent_dim",
            self.latent_dim,
            f"a multiple of the {self.sections} sections (levels x blocks + 1)",
        )

    @property
    def sections(self) -> int:
        """m + 1: the U-Net has m modulated blocks down, one in the middle and m up; each section serves a pair."""
        return len(self.channel_mult) * self.blocks_per_level + 1

    @property
    def downscale(self) -> int:
        """Picture side over the side of the U-Net's coarsest level."""
        return self.patch_size * 2 ** (len(self.channel_mult) - 1)


@dataclass(frozen=True)
class DiffusionConfig:
    """Schedule and prediction of training, and how pictures are sampled afterwards."""

    schedule: str
    num_timesteps: int
    prediction: str
    sampler: str
    sampling_steps: int
    spacing: str  # of the sampling steps: even in log-SNR or in t
    eta: float  # DDIM only: 0 deterministic, 1 as noisy as DDPM
    guidance_scale: float
    time_power: float = 1.0  # training draws t as T (1 - u^power), u uniform: 1 evenly, above it more of the high noise

    def __post_init__(self) -> None:
        _one_of("diffusion.schedule", self.schedule, ("inverted", "cosine", "linear"))
        _one_of("diffusion.prediction", self.prediction, ("eps", "v", "x_0"))
        _one_of("diffusion.sampler", self.sampler, ("ddpm", "ddim", "dpm++2m"))
        _one_of("diffusion.spacing", self.spacing, ("logsnr", "t"))
        check(2 <= self.num_timesteps <= 100_000, "diffusion.num_timesteps", self.num_timesteps, "2 to 100,000")
        check(
            1 <= self.sampling_steps <= self.num_timesteps,
            "diffusion.sampling_steps",
            self.sampling_steps,
            f"1 to num_timesteps ({self.num_timesteps})",
        )
        _share("diffusion.eta", self.eta)
        _not_negative("diffusion.guidance_scale", self.guidance_scale)
        _positive("diffusion.time_power", self.time_power)


@dataclass(frozen=True)
class TrainConfig:
    """Progress is counted in images: `images` source-target pairs are drawn, whatever the batch or the number of processes."""

    images: int
    batch_size: int  # of all processes together
    lr: float  # of the denoiser
    encoder_lr_factor: float  # the encoder's learning rate over the denoiser's
    weight_decay: float
    betas: tuple[float, float]
    grad_clip: float
    warmup_images: int
    lr_decay: str  # to 0 at the end: cosine | linear, or none
    ema_decay: float
    device: str  # auto | cpu | cuda
    precision: str  # fp32 | bf16
    compile: bool
    threads: int  # 0: torch's own choice
    seed: int
    log_every_images: int
    checkpoint_every_images: int
    usage_check_images: int  # the use of z is judged from here on ...
    min_usage_gap: float  # ... and a run whose gap (loss with z shuffled / loss with z - 1) stays below fails

    def __post_init__(self) -> None:
        for key in (
            "images",
            "batch_size",
            "lr",
            "encoder_lr_factor",
            "grad_clip",
            "log_every_images",
            "checkpoint_every_images",
        ):
            _positive(f"train.{key}", getattr(self, key))
        check(self.images >= self.batch_size, "train.images", self.images, f"at least one batch ({self.batch_size})")
        check(self.batch_size >= 2, "train.batch_size", self.batch_size, "2 or more (z is shuffled across the batch)")
        for key in ("weight_decay", "warmup_images", "threads", "usage_check_images", "min_usage_gap"):
            _not_negative(f"train.{key}", getattr(self, key))
        check(len(self.betas) == 2 and all(0 <= b < 1 for b in self.betas), "train.betas", self.betas, "two numbers in [0, 1)")
        _seed("train.seed", self.seed)
        check(0 <= self.ema_decay < 1, "train.ema_decay", self.ema_decay, "a number in [0, 1)")
        _one_of("train.lr_decay", self.lr_decay, ("cosine", "linear", "none"))
        _one_of("train.device", self.device, ("auto", "cpu", "cuda"))
        _one_of("train.precision", self.precision, ("fp32", "bf16"))


@dataclass(frozen=True)
class EvaluateConfig:
    """Protocol of the evaluation. Choices (regularisation, k) are made on validation, reported on test."""

    probe_l2: tuple[float, ...]  # candidates
    knn_k: tuple[int, ...]  # candidates
    reconstructions: int  # test pictures for PSNR and SSIM
    fid_images: int  # test pictures for the FID-like measure
    supervised: bool  # train the supervised network of the same encoder for comparison
    curve_images: int  # test pictures of the curves against the number of denoiser evaluations, and of the walks
    exact_images: int  # test pictures that are inverted and drawn again
    max_factors: int  # known factors that are measured, the commonest first
    reader_images: int  # training pictures, with repeats, of the classifier that reads factors off drawn pictures
    mix_pairs: int  # pairs of test pictures that are mixed
    attribute_images: int  # validation pictures moved along every direction, and test pictures along the best
    dci_images: int  # training pictures, and at most as many test pictures, of DCI, modularity and explicitness
    vae_share: float  # computation of the beta-VAE's training over that of the model; 0: no beta-VAE
    vae_beta: float
    style_factor: str | None  # what a mix takes from A; null: found in the data
    content_factor: str | None  # what it takes from B; null: a factor whose test values no training picture has, if any
    seed: int
    batch_size: int
    view_targets: int = 4  # of a model with cameras: views of each held-out object that are drawn
    view_samples: int = 8  # of each, for the expected view

    def __post_init__(self) -> None:
        check(
            bool(self.probe_l2) and all(v >= 0 for v in self.probe_l2), "evaluate.probe_l2", self.probe_l2, "numbers of 0 or more"
        )
        check(bool(self.knn_k) and all(k >= 1 for k in self.knn_k), "evaluate.knn_k", self.knn_k, "whole numbers from 1 up")
        for key in (
            "reconstructions", "fid_images", "batch_size", "exact_images", "max_factors", "reader_images", "mix_pairs",
            "view_targets", "view_samples",
        ):  # fmt: skip
            _positive(f"evaluate.{key}", getattr(self, key))
        for key in ("curve_images", "attribute_images", "dci_images"):
            check(getattr(self, key) >= 2, f"evaluate.{key}", getattr(self, key), "2 or more")
        for key in ("vae_share", "vae_beta"):
            _not_negative(f"evaluate.{key}", getattr(self, key))
        _seed("evaluate.seed", self.seed)


@dataclass(frozen=True)
class ExportConfig:
    """ONNX export of encoder and denoiser, the parity that they must keep, and the smaller encoders."""

    opset: int
    parity_images: int
    max_abs_diff: float  # greatest difference of any component of z from torch, z being standardised
    decoder_images: int = 64  # drawn by torch and by the runtime, and compared
    decoder_max_abs_diff: float = 1e-3  # of any pixel, in [-1, 1]
    int8: bool = True  # look for an 8-bit encoder
    int8_max_drop: float = 0.005  # of the probe on validation, 1 being all; one that loses more is not written
    calibration_images: int = 512
    probe_images: int = 20000  # labels of the train split that judge the 8-bit encoders
    fp16: bool = False

    def __post_init__(self) -> None:
        check(18 <= self.opset <= 23, "export.opset", self.opset, "18 to 23")
        for key in (
            "parity_images", "max_abs_diff", "decoder_images", "decoder_max_abs_diff", "calibration_images", "probe_images",
        ):  # fmt: skip
            _positive(f"export.{key}", getattr(self, key))
        _not_negative("export.int8_max_drop", self.int8_max_drop)


@dataclass(frozen=True)
class Config:
    dataset: DatasetConfig
    gate: GateConfig
    views: ViewsConfig
    model: ModelConfig
    diffusion: DiffusionConfig
    train: TrainConfig
    evaluate: EvaluateConfig
    export: ExportConfig

    def __post_init__(self) -> None:
        check(
            self.dataset.image_size % self.model.downscale == 0,
            "dataset.image_size",
            self.dataset.image_size,
            f"a multiple of {self.model.downscale} (model.patch_size x 2 for each further level of model.channel_mult)",
        )
        fine = self.views.pairs.style_sections
        check(
            fine == 0 or (self.model.layer_modulation and not self.model.cameras.rays and fine < self.model.sections),
            "views.pairs.style_sections",
            fine,
            f"less than the model's {self.model.sections} sections, model.layer_modulation, and no cameras",
        )
        for name in ("source", "target") if self.model.cameras.rays else ():
            view = getattr(self.views, name)
            moved = view.crop_prob > 0 or view.flip_prob > 0 or (view.randaugment_prob > 0 and view.randaugment_ops > 0)
            check(not moved, f"views.{name}", view, "noise at most where model.cameras.rays: a moved picture has other rays")
