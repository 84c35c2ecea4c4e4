"""Figures of the train stage (reports/train.json)."""

from __future__ import annotations

from soda.evaluation.registry import Measure, Quantity

MEASURE = Measure(
    key="train",
    title="Training",
    place=190,
    quantities=(
        Quantity("images", "Images seen"),
        Quantity("seconds", "Seconds of training", "{:.1f}", "lower", spoken="{:.0f} s"),
        Quantity("images_per_second", "Images a second", "{:.1f}", "higher"),
        Quantity("final_loss", "Loss at the end", better="lower"),
        Quantity("val_loss", "Loss on validation images", better="lower"),
        Quantity("usage_gap", "Use of the latent on validation images", better="higher"),
        Quantity("z_grad_norm", "Norm of the loss's gradient at z"),
        Quantity("view_psnr", "PSNR of expected novel views on validation pairs, dB", better="higher", spoken="{:.1f} dB"),
        Quantity("pose_gap", "Use of the pose, dB", better="higher", spoken="{:.1f} dB"),
        Quantity("teacher_cosine", "Cosine with the teacher, last batch", better="higher"),
        Quantity("processes", "Processes"),
        Quantity("threads", "Threads of each"),
        Quantity("encoder_parameters", "Parameters of the encoder"),
        Quantity("denoiser_parameters", "Parameters of the denoiser"),
    ),
    card=(
        "{images:,} images in {seconds:,.0f} s ({images_per_second:.0f} images/s)",
        "encoder {encoder_parameters:,} parameters, denoiser {denoiser_parameters:,}",
    ),
)
