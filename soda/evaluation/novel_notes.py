"""How novel views were measured, in sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from soda.evaluation.context import EvaluationContext


def notes(context: EvaluationContext, metrics: dict[str, Any], chance: float) -> list[str]:
    """How the figures of `measures/novel_views.py` were come by. chance: error of the azimuth, in degrees."""
    settings = context.model.diffusion
    said = [
        f"Novel views: {metrics['tasks']:,} views of {metrics['objects']} held-out objects, drawn from 1, 2 and 4 other views of "
        f"it, taken at random; {settings.sampler}, {settings.sampling_steps} steps, guidance {settings.guidance_scale:g}. "
        f"psnr@n, ssim@n and lpips_like@n are of the mean of {context.config.view_samples} samples, an estimate of the expected "
        f"view, which is blurred where the sources leave the view open; sample_… are of single samples, which are sharper and "
        f"need not be the right ones. lpips_like is in {context.network_name}.",
        "unposed_…: the cameras of the sources are not given. wrong_pose_psnr@1: drawn for the camera of another task. "
        "shuffled_psnr@1: from a view of another object.",
        "Baselines: mean_view is the mean of all training objects, each seen by its camera nearest to the target's "
        f"(baseline_angle: these are {metrics['baseline_angle']:.1f} degrees off in the mean); "
        "nearest_object the view nearest to the target's of the training object with the view that is nearest in z; nearest_mean "
        "the mean of the k objects nearest in z, k chosen on validation; copy the first source itself; copy_nearest_of_n that of "
        "n sources which is nearest to the target.",
        "by_angle: by the angle in degrees between the viewing directions of target and source. other_set: procedural meshes as "
        "sources, which the model was not trained on unless its data are these.",
        "azimuth_error: median error in degrees of the camera's azimuth as ridge regression reads it off z of unposed test "
        f"views; {chance:g} is chance.",
    ]
    if seen := metrics.get("regressor_images"):
        said.append(
            "one_step: the same encoder and U-Net from the same initial weights, trained by squared error to draw the target "
            f"from z and its camera at once, without noise, on {seen:,} of the {context.trained.train.images:,} images that "
            "the model saw, with AdamW. What PSNR rewards is what it learns."
        )
    if metrics["unpaired"]:
        said.append(
            "unpaired.…: PSNR is best for a mean, however blurred. These compare sets of views without a pairing, with views of "
            "validation objects, which are neither sources nor answers: fid_like, and detail_distance, the Frechet distance of "
            "the energies of fine bands; truth is the true views held against the same ones. detail: energy of the finest band "
            "over that of the true views. fid_like is too high of so few and compares within the table."
        )
    if "spread@1" in metrics:
        said.append(
            f"spread@n: root of the variance of a pixel over {context.config.view_samples} samples of one task, data range 1. "
            "spread_share@n: that variance over the squared error of the expected view; 1: samples differ as much as the truth "
            "does from their mean, less: they are too alike."
        )
    return said
