"""Novel views of held-out objects: how near they come, beside what a lookup would give, with wrong poses and wrong sources."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from soda.data.columns import SPLITS
from soda.evaluation.measures.published import FID, LPIPS
from soda.evaluation.measures.reconstruction import EXACT, NEAR
from soda.evaluation.registry import Better, Figure, Headline, Measure, Quantity, Row, Table

if TYPE_CHECKING:
    from soda.evaluation.context import EvaluationContext
    from soda.evaluation.view_synthesis import NovelViews
    from soda.model.network import SodaNetwork

COUNTS = (1, 2, 4)
"""Source views that are given."""

BASELINES = {
    "mean_view": "Mean training view at that pose",
    "nearest_object": "Training object nearest in z, at that pose",
    "nearest_mean": "Mean of the k training objects nearest in z, at that pose",
    "one_step": "One-step regressor of the same size",
    "copy": "Copy of the source",
    "copy_nearest_of_2": "Copy of the nearer of two sources",
    "copy_nearest_of_4": "Copy of the nearest of four sources",
}
_LATER = ("nearest_mean", "one_step")  # models measured before have none: they have a sentence of their own
_UNPAIRED = {
    "truth": "The true views",
    "expected": "expected view, 1 source view",
    "sample": "one sample, 1 source view",
    **{name: BASELINES[name] for name in ("one_step", "nearest_mean", "mean_view", "nearest_object", "copy")},
}
_SHARP: dict[str, tuple[str, str, Better]] = {
    "fid_like": ("FID-like distance to other real views", "{:.2f}", "lower"),
    "detail": ("Finest detail, of that of the true views", "{:.0%}", "neither"),
    "detail_distance": ("Distance in detail to other real views", "{:.3f}", "lower"),
}
_DRAWN = {"": "expected view", "sample_": "one sample", "unposed_": "expected view, sources unposed"}


def _near(key: str, title: str, names: tuple[str, ...] = EXACT) -> tuple[Quantity, ...]:
    """Quantities `key` with the name of each measure in the place of {}."""
    return tuple(Quantity(key.format(name), f"{NEAR[name][0]}: {title}", *NEAR[name][1:]) for name in names)


_OURS = {"expected": "psnr@1", "sample": "sample_psnr@1"}


def _sharp(name: str) -> tuple[str, ...]:
    return tuple(f"unpaired.{name}.{key}" for key in _SHARP)


def _psnr_of(name: str) -> str:
    """The key of the PSNR of a row of the unpaired table, "" of the truth."""
    return _OURS.get(name) or ("" if name == "truth" else f"baselines.{name}.psnr")


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
            ("mean of the nearest training objects", "baselines.nearest_mean.psnr"),
            ("one-step regressor", "baselines.one_step.psnr"),
        ),
    ),
)


def compute(context: EvaluationContext) -> dict[str, Any]:
    """Measure and draw novel views of the held-out objects; of a model that is told of cameras alone."""
    import torch

    from soda.data.dataset import DatasetError
    from soda.evaluation.azimuth import CHANCE, azimuth_error
    from soda.evaluation.novel_figures import novel_sheet, spinning, turntables
    from soda.evaluation.novel_notes import notes
    from soda.evaluation.view_synthesis import Splits, measure_novel_views
    from soda.evaluation.weights import require_weights

    if not context.model.takes_cameras:
        return {}
    config, folder = context.config, context.folder
    require_weights(config)
    try:
        cameras = {name: torch.from_numpy(each.split.cameras[each.indices]) for name, each in context.samples.items()}
    except DatasetError as error:
        return {"notes": [f"Novel views were not measured: {error}."]}
    splits = Splits(*(context.data.split(name) for name in SPLITS))
    regressor, seen = _regressor(context)
    found = measure_novel_views(context.drawer, splits, context.network, config, regressor)
    if found is None:
        return {"notes": [f"Novel views were not measured: that takes two test objects of {max(COUNTS) + 1} views or more."]}
    novel_sheet(found, folder / "novel_views.png")
    turntables(context.model, found, folder / "turntables.png", config.seed)
    spinning(context.model, found, folder / "turntable.gif", config.seed)
    read = azimuth_error({name: each.x for name, each in context.latents.items()}, cameras)
    figures = {
        **found.metrics,
        **_published(context, found),
        **({"regressor_images": seen} if seen else {}),
        "azimuth_error": read,
        "azimuth_chance": CHANCE,
    }
    return {**figures, "notes": notes(context, figures, CHANCE)}


def _published(context: EvaluationContext, found: NovelViews) -> dict[str, Any]:
    """FID to views of validation objects and LPIPS to the true views, of each set of views, where weights are given."""
    from soda.evaluation.inception import Inception
    from soda.evaluation.lpips import Lpips

    config, figures = context.config, {}
    if config.inception_weights and len(found.real) > 1:
        inception = Inception(config.inception_weights, context.device)
        described, sets = inception.describe(found.real), {"truth": found.truth, **found.answers}
        figures[inception.name] = {name: inception.between(images, described) for name, images in sets.items()}
    if config.lpips_weights:
        lpips = Lpips(config.lpips_weights, config.lpips_linear, context.device)
        figures[lpips.name] = {k: float(lpips.distances(v, found.truth).mean()) for k, v in found.answers.items()}
    return figures


def _regressor(context: EvaluationContext) -> tuple[SodaNetwork | None, int]:
    """The network that draws in one step, and how many images it saw; None where the settings or the data want none."""
    from soda.data.pairs import find_partners
    from soda.evaluation.baselines.one_step import train_one_step
    from soda.evaluation.context import timed

    trained, train = context.trained, context.data.split("train")
    images = min(context.config.view_regressor_images, trained.train.images)
    partners = find_partners(context.data, train, trained.views.pairs) if images else None
    if partners is None or not len(partners):
        return None, 0
    with timed("the one-step regressor"):
        return train_one_step(trained, train, partners, images=images, device=context.device, keeping=context.keeping), images


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
        Quantity("nearest_k", "Nearest training objects that are averaged"),
        Quantity("regressor_images", "Images that the one-step regressor saw"),
        Quantity("spread@*", "Spread of the samples of one task, {} source views", "{:.3f}"),
        Quantity("spread_share@*", "Variance of the samples over the error of the expected view, {} source views", "{:.0%}"),
        *(
            Quantity(f"unpaired.{name}.{key}", f"{title}: {of}", form, better)
            for name, of in {**BASELINES, **_UNPAIRED}.items()
            for key, (title, form, better) in _SHARP.items()
        ),
        *(Quantity(f"{key}.*", f"{title}, to other real views: {{}}", "{:.2f}", "lower") for key, title in FID.items()),
        *(Quantity(f"{key}.*", f"{title}, to the true views: {{}}", "{:.3f}", "lower") for key, title in LPIPS.items()),
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
            "Sharpness of novel views: sets of views without a pairing",
            ("View", "FID-like", "Detail", "Distance in detail", *FID.values(), *LPIPS.values(), "PSNR, dB"),
            tuple(
                Row(title, (*_sharp(name), *(f"{key}.{name}" for key in (*FID, *LPIPS)), _psnr_of(name)), ours=name in _OURS)
                for name, title in _UNPAIRED.items()
            ),
        ),
        Table(
            "Samples of one task",
            ("Given", "Spread of a pixel", "Of the error of their mean"),
            tuple(Row(_sources(count), (f"spread@{count}", f"spread_share@{count}"), ours=True) for count in COUNTS),
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
                ("of a one-step regressor of the same size", "baselines.one_step.psnr"),
                ("of a copy of the source", "baselines.copy.psnr"),
                ("of the mean training view at that pose", "baselines.mean_view.psnr"),
                ("of the mean of the training objects nearest in z", "baselines.nearest_mean.psnr"),
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
            "whose cameras are known; it blurs what they leave open. A single sample is sharper and need not be the right one.",
            (
                ("PSNR of one sample", "sample_psnr@1"),
                ("detail of one sample, of that of the true views", "unpaired.sample.detail"),
                ("of the expected view", "unpaired.expected.detail"),
                ("of a one-step regressor", "unpaired.one_step.detail"),
            ),
        ),
    ),
    card=(
        "novel views of {objects} unseen objects, PSNR of the expected view: {psnr@1:.2f} dB from one picture, {psnr@2:.2f} dB "
        "from two, {psnr@4:.2f} dB from four",
        "beside it: "
        + ", ".join(f"{name.replace('_', ' ')} {{baselines.{name}.psnr:.2f}}" for name in BASELINES if name not in _LATER)
        + "; for a wrong "
        "camera {wrong_pose_psnr@1:.2f}, from another object {shuffled_psnr@1:.2f}",
        "a one-step regressor of the same size, {regressor_images:,} images: {baselines.one_step.psnr:.2f} dB; the mean of the "
        "{nearest_k} nearest training objects: {baselines.nearest_mean.psnr:.2f}",
        "detail of a sample is {unpaired.sample.detail:.0%} of that of true views, of the expected view "
        "{unpaired.expected.detail:.0%}; samples of one picture spread by {spread@1:.3f}, {spread_share@1:.0%} of the error",
        "reconstructions are drawn without a camera, so any view may come",
    ),
)
