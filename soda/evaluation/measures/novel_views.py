"""Novel views of held-out objects: how near they come, beside what a lookup would give, with wrong poses and wrong sources."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from soda.evaluation.measures.reconstruction import EXACT, NEAR
from soda.evaluation.registry import Figure, Headline, Measure, Quantity, Row, Table

if TYPE_CHECKING:
    from soda.evaluation.context import EvaluationContext

COUNTS = (1, 2, 4)
"""Source views that are given."""

BASELINES = {
    "mean_view": "Mean training view at that pose",
    "nearest_object": "Training object nearest in z, at that pose",
    "copy": "Copy of the source",
    "copy_nearest_of_2": "Copy of the nearer of two sources",
    "copy_nearest_of_4": "Copy of the nearest of four sources",
}
_DRAWN = {"": "expected view", "sample_": "one sample", "unposed_": "expected view, sources unposed"}


def _near(key: str, title: str, names: tuple[str, ...] = EXACT) -> tuple[Quantity, ...]:
    """Quantities `key` with the name of each measure in the place of {}."""
    return tuple(Quantity(key.format(name), f"{NEAR[name][0]}: {title}", *NEAR[name][1:]) for name in names)


def _sources(count: int) -> str:
    return f"{count} source view{'s' if count > 1 else ''}"


def _cells(key: str) -> tuple[str, ...]:
    return tuple(key.format(name) for name in EXACT)


_FIRST = Quantity(
    "psnr@1",
    "PSNR, dB: expected view, 1 source view",
    "{:.2f}",
    "higher",
    "{:.1f} dB",
    baselines=tuple((f"baselines.{name}.psnr", title) for name, title in BASELINES.items()),
    headline=Headline(
        "PSNR of novel views of unseen objects, from one picture",
        (
            ("from two", "psnr@2"),
            ("a copy of the source", "baselines.copy.psnr"),
            ("mean training view", "baselines.mean_view.psnr"),
        ),
    ),
)


def compute(context: EvaluationContext) -> dict[str, Any]:
    """Measure and draw novel views of the held-out objects; of a model that is told of cameras alone."""
    import torch

    from soda.data.dataset import DatasetError
    from soda.evaluation.azimuth import CHANCE, azimuth_error
    from soda.evaluation.novel_figures import novel_sheet, spinning, turntables
    from soda.evaluation.view_synthesis import measure_novel_views

    if not context.model.takes_cameras:
        return {}
    config, folder = context.config, context.folder
    try:
        cameras = {name: torch.from_numpy(each.split.cameras[each.indices]) for name, each in context.samples.items()}
    except DatasetError as error:
        return {"notes": [f"Novel views were not measured: {error}."]}
    found = measure_novel_views(
        context.drawer,
        context.data.split("train"),
        context.data.split("test"),
        context.network,
        config,
    )
    if found is None:
        return {"notes": [f"Novel views were not measured: that takes two test objects of {max(COUNTS) + 1} views or more."]}
    novel_sheet(found, folder / "novel_views.png")
    turntables(context.model, found, folder / "turntables.png", config.seed)
    spinning(context.model, found, folder / "turntable.gif", config.seed)
    read = azimuth_error({name: each.x for name, each in context.latents.items()}, cameras)
    notes = _notes(context, found.metrics, CHANCE)
    return {**found.metrics, "azimuth_error": read, "azimuth_chance": CHANCE, "notes": notes}


def _notes(context: EvaluationContext, metrics: dict[str, Any], chance: float) -> list[str]:
    settings = context.model.diffusion
    return [
        f"Novel views: {metrics['tasks']:,} views of {metrics['objects']} held-out objects, drawn from 1, 2 and 4 other views of "
        f"it, taken at random; {settings.sampler}, {settings.sampling_steps} steps, guidance {settings.guidance_scale:g}. "
        f"psnr@n, ssim@n and lpips_like@n are of the mean of {context.config.view_samples} samples, an estimate of the expected "
        f"view, which is blurred where the sources leave the view open; sample_… are of single samples, which are sharp and "
        f"need not be the right ones. lpips_like is in {context.network_name}.",
        "unposed_…: the cameras of the sources are not given. wrong_pose_psnr@1: drawn for the camera of another task. "
        "shuffled_psnr@1: from a view of another object.",
        "Baselines: mean_view is the mean of all training objects, each seen by its camera nearest to the target's "
        f"(baseline_angle: these are {metrics['baseline_angle']:.1f} degrees off in the mean); "
        "nearest_object the view nearest to the target's of the training object with the view that is nearest in z; copy the "
        "first source itself; copy_nearest_of_n that of n sources which is nearest to the target.",
        "by_angle: by the angle in degrees between the viewing directions of target and source. other_set: procedural meshes as "
        "sources, which the model was not trained on unless its data are these.",
        "azimuth_error: median error in degrees of the camera's azimuth as ridge regression reads it off z of unposed test "
        f"views; {chance:g} is chance.",
    ]


MEASURE = Measure(
    key="novel_view",
    title="Novel views",
    place=20,
    compute=compute,
    quantities=(
        Quantity("tasks", "Views that were asked for"),
        Quantity("objects", "Held-out objects"),
        _FIRST,
        *(quantity for prefix, title in _DRAWN.items() for quantity in _near(f"{prefix}{{}}@*", f"{title}, {{}} source views")),
        *_near("wrong_pose_{}@1", "another object’s camera", ("psnr",)),
        *_near("shuffled_{}@1", "another object as the source", ("psnr",)),
        *(quantity for name, title in BASELINES.items() for quantity in _near(f"baselines.{name}.{{}}", title)),
        Quantity("baseline_angle", "Degrees between the target and the nearest training views", "{:.1f}"),
        Quantity("by_angle.*.pictures", "Views, {} degrees from the source"),
        *_near("by_angle.*.{}", "expected view, {} degrees from the source", ("psnr",)),
        *_near("by_angle.*.copy_{}", "copy of the source, {} degrees from the target", ("psnr",)),
        Quantity("other_set.objects", "Procedural objects"),
        *_near("other_set.{}@1", "expected view of procedural objects", ("psnr",)),
        *_near("other_set.sample_{}@1", "one sample, procedural objects", ("psnr",)),
        *_near("other_set.shuffled_{}@1", "another procedural object as the source", ("psnr",)),
        *_near("other_set.copy_{}", "copy of the source, procedural objects", ("psnr",)),
        Quantity("azimuth_error", "Error of the azimuth read off z, degrees", "{:.1f}", "lower", "{:.1f}°"),
        Quantity("azimuth_chance", "Error of the azimuth by chance, degrees", "{:.1f}", "neither", "{:.1f}°"),
    ),
    tables=(
        Table(
            "Novel views of held-out objects",
            ("View", "PSNR, dB", "SSIM", "LPIPS-like"),
            (
                *(
                    Row(f"{title}, {_sources(count)}", _cells(f"{prefix}{{}}@{count}"), ours=not prefix)
                    for count in COUNTS
                    for prefix, title in _DRAWN.items()
                ),
                Row("another object as the source", ("shuffled_psnr@1", "", "")),
                Row("another object’s camera", ("wrong_pose_psnr@1", "", "")),
                *(Row(title, _cells(f"baselines.{name}.{{}}")) for name, title in BASELINES.items()),
            ),
        ),
        Table(
            "Novel views by angle",
            ("Between source and target", "Views", "Expected view, dB", "Copy of the source, dB"),
            (Row("{}°", ("by_angle.*.pictures", "by_angle.*.psnr", "by_angle.*.copy_psnr")),),
        ),
    ),
    figures=(
        Figure(
            "turntable",
            "Turned round",
            "Objects that the model was never trained on. Above one picture of each; in the middle the object turned round, "
            "drawn from this picture alone; below from it and a second one.",
            (
                ("PSNR of the expected view from one picture", "psnr@1"),
                ("from two", "psnr@2"),
                ("from four", "psnr@4"),
                ("of a copy of the source", "baselines.copy.psnr"),
                ("of the mean training view at that pose", "baselines.mean_view.psnr"),
            ),
        ),
        Figure(
            "turntables",
            "Turned, beside the truth",
            "Held-out objects, the best drawn above and the worst below. Of each: true views in the order of their cameras’ "
            "azimuth; the same views drawn from the picture at the left; and from two pictures, of which the second is at the "
            "left.",
            (
                ("PSNR with the camera of another view", "wrong_pose_psnr@1"),
                ("with another object as the source", "shuffled_psnr@1"),
                ("with the source’s camera unknown", "unposed_psnr@1"),
            ),
        ),
        Figure(
            "novel_views",
            "Novel views, from the best drawn to the worst",
            "Views of held-out objects. The expected view is the mean of several samples from one, two or four of the sources, "
            "whose cameras are known; it blurs what they leave open. A single sample is sharp and need not be the right one.",
            (("PSNR of one sample", "sample_psnr@1"),),
        ),
    ),
    card=(
        "novel views of {objects} unseen objects, PSNR of the expected view: {psnr@1:.2f} dB from one picture, {psnr@2:.2f} dB "
        "from two, {psnr@4:.2f} dB from four",
        "beside it: "
        + ", ".join(f"{name.replace('_', ' ')} {{baselines.{name}.psnr:.2f}}" for name in BASELINES)
        + "; for a wrong "
        "camera {wrong_pose_psnr@1:.2f}, from another object {shuffled_psnr@1:.2f}",
        "reconstructions are drawn without a camera, so any view may come",
    ),
)
