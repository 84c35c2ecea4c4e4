"""The group `novel_view` of the metrics: measures, notes and figures of a model that is told of cameras."""

from __future__ import annotations

from pathlib import Path

import torch

from soda.config import EvaluateConfig
from soda.data.dataset import DatasetError
from soda.evaluation.azimuth import CHANCE, azimuth_error
from soda.evaluation.gallery_scene import Subject
from soda.evaluation.novel_figures import novel_sheet, spinning, turntables
from soda.evaluation.novel_views import COUNTS, Metrics, NovelViews, measure_novel_views


def novel_view_group(subject: Subject, config: EvaluateConfig, folder: Path) -> Metrics:
    """Measure novel views of the held-out objects and draw novel_views.png, turntables.png and turntable.gif into `folder`.

    Where that cannot be done the group holds a note that says why.
    """
    train, test = (subject.samples[name].split for name in ("train", "test"))
    try:
        cameras = {name: torch.from_numpy(each.split.cameras[each.indices]) for name, each in subject.samples.items()}
    except DatasetError as error:
        return {"notes": [f"Novel views were not measured: {error}."]}
    found = measure_novel_views(
        subject.model,
        train,
        test,
        subject.network,
        targets=config.view_targets,
        samples=config.view_samples,
        seed=config.seed,
        batch_size=subject.paint.batch_size,
    )
    if found is None:
        wanted = max(COUNTS) + 1
        return {"notes": [f"Novel views were not measured: that takes two test objects of {wanted} views or more."]}
    novel_sheet(found, folder / "novel_views.png")
    turntables(subject.model, found, folder / "turntables.png", config.seed)
    spinning(subject.model, found, folder / "turntable.gif", config.seed)
    read = azimuth_error({name: each.x for name, each in subject.latents.items()}, cameras)
    return {**found.metrics, "azimuth_error": read, "azimuth_chance": CHANCE, "notes": _notes(subject, found, config)}


def _notes(subject: Subject, found: NovelViews, config: EvaluateConfig) -> list[str]:
    settings, metrics = subject.model.diffusion, found.metrics
    return [
        f"Novel views: {metrics['tasks']:,} views of {metrics['objects']} held-out objects, drawn from 1, 2 and 4 other views of "
        f"it, taken at random; {settings.sampler}, {settings.sampling_steps} steps, guidance {settings.guidance_scale:g}. "
        f"psnr@n, ssim@n and lpips_like@n are of the mean of {config.view_samples} samples, an estimate of the expected view, "
        "which is blurred where the sources leave the view open; sample_… are of single samples, which are sharp and need not be "
        f"the right ones. lpips_like is in {subject.network_name}.",
        "unposed_…: the cameras of the sources are not given. wrong_pose_psnr@1: drawn for the camera of another task. "
        "shuffled_psnr@1: from a view of another object.",
        "Baselines: mean_view is the mean of all training objects, each seen by its camera nearest to the target's "
        f"(baseline_angle: these are {metrics['baseline_angle']:.1f} degrees off in the mean); "
        "nearest_object the view nearest to the target's of the training object with the view that is nearest in z; copy the "
        "first source itself; copy_nearest_of_n that of n sources which is nearest to the target.",
        "by_angle: by the angle in degrees between the viewing directions of target and source. other_set: procedural meshes as "
        "sources, which the model was not trained on unless its data are these.",
        "azimuth_error: median error in degrees of the camera's azimuth as ridge regression reads it off z of unposed test "
        f"views; {CHANCE:g} is chance.",
    ]
