"""Every setting, in frozen dataclasses that check their own values. How they are composed and read is config.py's."""

from __future__ import annotations

import math
from dataclasses import dataclass


class ConfigError(ValueError):
    """A setting that is unknown, missing or impossible; the message names its key and its value."""


def check(ok: bool, key: str, value: object, wants: str) -> None:
    if not ok:
        raise ConfigError(f"{key}: {value!r} is not possible; it wants {wants}")


def _one_of(key: str, value: object, choices: tuple[object, ...]) -> None:
    check(value in choices, key, value, "one of " + ", ".join(map(str, choices)))


def _share(key: str, value: float) -> None:
    check(0.0 <= value <= 1.0, key, value, "a number from 0 to 1")


def _positive(key: str, value: float) -> None:
    check(value > 0 and math.isfinite(value), key, value, "a number above 0")


def _not_negative(key: str, value: float) -> None:
    check(value >= 0 and math.isfinite(value), key, value, "0 or more")


SOURCES = (
    "fashion_mnist",
    "folder",
    "avatars",
    "emoji",
    "cifar10",
    "cifar100",
    "svhn",
    "flowers102",
    "celeba",
    "tiny_imagenet",
    "imagenet",
)


@dataclass(frozen=True)
class DatasetConfig:
    """Where pictures come from and how they are prepared."""

    name: str
    path: str  # what the source reads: a list of checksums, how pictures are to be drawn, or a folder
    image_size: int  # px, of the prepared square picture
    channels: int  # 1 grey, 3 RGB
    resize: str  # crop: the centre square, then resized; stretch: resized as it is
    labels: str  # official | auto | folders | none | the name of a CSV file inside `path` | the name of a factor
    csv_file_column: str
    csv_label_column: str
    duplicates: str  # keep: the gate refuses those that cross splits; drop: one of each is kept, a test picture before others
    val_fraction: float
    test_fraction: float  # of sources without an official test split
    max_unreadable: float  # share of unreadable files above which prepare stops
    max_pixels: int  # a picture of more pixels is refused unread (decompression bombs)
    min_side: int  # px; a smaller picture is refused
    shard_size: int  # pictures a shard
    workers: int  # processes; 0: one a core
    seed: int

    def __post_init__(self) -> None:
        _one_of("dataset.name", self.name, SOURCES)
        check(bool(self.path), "dataset.path", self.path, "a path, e.g. dataset.path=/home/me/pictures")
        check(8 <= self.image_size <= 1024, "dataset.image_size", self.image_size, "8 to 1024 px")
        _one_of("dataset.channels", self.channels, (1, 3))
        _one_of("dataset.resize", self.resize, ("crop", "stretch"))
        _one_of("dataset.duplicates", self.duplicates, ("keep", "drop"))
        _share("dataset.max_unreadable", self.max_unreadable)
        for key in ("val_fraction", "test_fraction"):
            check(0 < getattr(self, key) < 1, f"dataset.{key}", getattr(self, key), "a share between 0 and 1")
        check(
            self.val_fraction + self.test_fraction < 1,
            "dataset.val_fraction + dataset.test_fraction",
            self.val_fraction + self.test_fraction,
            "less than 1, so that something is left to train on",
        )
        for key in ("max_pixels", "min_side", "shard_size"):
            _positive(f"dataset.{key}", getattr(self, key))
        _not_negative("dataset.workers", self.workers)


@dataclass(frozen=True)
class GateConfig:
    """What the prepared data must satisfy before anything may be trained on it."""

    min_train: int  # pictures in the train split
    min_val: int
    min_test: int
    classes: int | None  # how many labels there must be; null: any number
    labels: tuple[str, ...] | None  # the names that they must have; null: any
    max_imbalance: float  # the commonest label's count over the rarest's, in train
    min_side: int  # px, of the original pictures
    min_std: float  # in [0, 1] grey levels; a flatter picture counts as constant
    reference: str | None  # YAML of recorded mean and std of the train split; null: no comparison
    max_shift: float  # greatest distance from the reference, in grey levels of [0, 1]
    allow_failure: bool  # train on data that failed; the report then says so in red
    factors: tuple[str, ...] = ()  # known factors of which every picture must have a value
    held_apart: str | None = None  # a factor whose values may each occur in one split only; null: none

    def __post_init__(self) -> None:
        for key in ("min_train", "min_val", "min_test"):
            check(getattr(self, key) >= 1, f"gate.{key}", getattr(self, key), "1 or more")
        check(self.classes is None or self.classes >= 1, "gate.classes", self.classes, "1 or more, or null")
        check(self.labels is None or bool(self.labels), "gate.labels", self.labels, "at least one name, or null")
        check(
            self.labels is None or self.classes in (None, len(set(self.labels))),
            "gate.classes",
            self.classes,
            f"the number of names in gate.labels ({len(set(self.labels or ()))}), or null",
        )
        _positive("gate.min_side", self.min_side)
        check(
            self.held_apart is None or self.held_apart in self.factors,
            "gate.held_apart",
            self.held_apart,
            f"one of gate.factors ({', '.join(self.factors) or 'there are none'}), or null",
        )
        check(self.max_imbalance >= 1, "gate.max_imbalance", self.max_imbalance, "1 or more")
        _share("gate.min_std", self.min_std)
        _share("gate.max_shift", self.max_shift)


@dataclass(frozen=True)
class AugmentConfig:
    """How one view is made from a picture. Every probability is per picture."""

    crop_prob: float
    crop_scale_min: float  # least share of the area that a crop keeps
    flip_prob: float
    randaugment_prob: float
    randaugment_ops: int
    randaugment_magnitude: float  # 0 to 1
    noise_sigma: float  # Gaussian, in units of [-1, 1]

    def __post_init__(self) -> None:
        for key in ("crop_prob", "flip_prob", "randaugment_prob", "randaugment_magnitude"):
            _share(f"views.*.{key}", getattr(self, key))
        check(0 < self.crop_scale_min <= 1, "views.*.crop_scale_min", self.crop_scale_min, "a share above 0, at most 1")
        check(0 <= self.randaugment_ops <= 8, "views.*.randaugment_ops", self.randaugment_ops, "0 to 8")
        _not_negative("views.*.noise_sigma", self.noise_sigma)

    @property
    def leaves_as_is(self) -> bool:
        """Whether the view is always the picture itself."""
        augmented = self.randaugment_prob > 0 and self.randaugment_ops > 0
        return not (self.crop_prob > 0 or self.flip_prob > 0 or self.noise_sigma > 0 or augmented)


@dataclass(frozen=True)
class PairsConfig:
    """Which two pictures a pair of views is of. The defaults are those of models trained before there was a choice."""

    by: str = "picture"  # picture: two views of one | column: two that share a manifest column | file: two that a CSV file pairs
    column: str | None = None  # e.g. factor.content, label
    differ: str | None = None  # a manifest column in which the two must differ, e.g. factor.style; null: any other picture
    file: str | None = None  # columns `source` and `target`, holding ids; a row pairs them in this direction
    reconstruct: float = 0.0  # share of the pairs in which the target is the source picture: there reconstruction is trained

    def __post_init__(self) -> None:
        _one_of("views.pairs.by", self.by, ("picture", "column", "file"))
        for key, kind in (("column", "column"), ("differ", "column"), ("file", "file")):
            value = getattr(self, key)
            check(value is None or self.by == kind, f"views.pairs.{key}", value, f"null unless views.pairs.by={kind}")
        check(
            self.by != "column" or bool(self.column), "views.pairs.column", self.column, "a manifest column, e.g. factor.content"
        )
        check(self.by != "file" or bool(self.file), "views.pairs.file", self.file, "a CSV file with columns source and target")
        check(
            0.0 <= self.reconstruct < 1.0 and (self.by != "picture" or not self.reconstruct),
            "views.pairs.reconstruct",
            self.reconstruct,
            "a share from 0 to less than 1, and 0 where views.pairs.by=picture",
        )


@dataclass(frozen=True)
class ViewsConfig:
    """The pair of views: the encoder sees `source`, the denoiser draws `target`."""

    source: AugmentConfig
    target: AugmentConfig
    pairs: PairsConfig = PairsConfig()

    @property
    def reconstructs(self) -> bool:
        """Whether source and target are the same view of the same picture by intent: nothing changes either of them."""
        return self.pairs.by == "picture" and self.source.leaves_as_is and self.target.leaves_as_is


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
        for level in self.attention_levels:
            check(level in levels, "model.attention_levels", level, f"levels from 0 to {len(levels) - 1}")
            width = self.channels * self.channel_mult[level]
            check(
                width % self.head_dim == 0, "model.head_dim", self.head_dim, f"a divisor of the {width} channels of level {level}"
            )
        for key in ("dropout", "section_drop", "latent_drop"):
            _share(f"model.{key}", getattr(self, key))
        check(
            not self.layer_modulation or self.latent_dim % self.sections == 0,
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
    seed: int
    batch_size: int

    def __post_init__(self) -> None:
        check(
            bool(self.probe_l2) and all(v >= 0 for v in self.probe_l2), "evaluate.probe_l2", self.probe_l2, "numbers of 0 or more"
        )
        check(bool(self.knn_k) and all(k >= 1 for k in self.knn_k), "evaluate.knn_k", self.knn_k, "whole numbers from 1 up")
        for key in ("reconstructions", "fid_images", "batch_size"):
            _positive(f"evaluate.{key}", getattr(self, key))


@dataclass(frozen=True)
class ExportConfig:
    """ONNX export of the encoder and the parity that it must keep."""

    opset: int
    parity_images: int
    max_abs_diff: float  # greatest difference of any component of z from torch, z being standardised

    def __post_init__(self) -> None:
        check(18 <= self.opset <= 23, "export.opset", self.opset, "18 (antialiased Resize) to 23")
        _positive("export.parity_images", self.parity_images)
        _positive("export.max_abs_diff", self.max_abs_diff)


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
