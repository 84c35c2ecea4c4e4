"""The gallery on the report's page: captions of its figures, and its measures as tables beside their baselines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from soda.report.format import number, percent
from soda.report.parts import Parts

# File name without its suffix: title, caption. {dim} is the number of components of z.
PICTURES: dict[str, tuple[str, str]] = {
    "turntable": (
        "Turned round",
        "Objects that the model was never trained on. Above one picture of each; in the middle the object turned round, drawn "
        "from this picture alone; below from it and a second one.",
    ),
    "turntables": (
        "Turned, beside the truth",
        "Held-out objects, the best drawn above and the worst below. Of each: true views in the order of their cameras’ azimuth; "
        "the same views drawn from the picture at the left; and from two pictures, of which the second is at the left.",
    ),
    "novel_views": (
        "Novel views, from the best drawn to the worst",
        "Views of held-out objects. The expected view is the mean of several samples from one, two or four of the sources, whose "
        "cameras are known; it blurs what they leave open. A single sample is sharp and need not be the right one.",
    ),
    "walks": (
        "From one picture to another",
        "Each row leads from one test picture to another: latents on the straight line between theirs, drawn from noise that "
        "turns from the one picture’s to the other’s, so that the ends are the pictures themselves.",
    ),
    "mix_cuts": (
        "Style of one, content of the other, at every cut",
        "At the left the picture that gives the content, at the right the one that gives the style. Between them the latent is "
        "cut at every place: so many of its finest sections come from the style, the coarser ones from the content.",
    ),
    "directions": (
        "Directions found without labels",
        "Test pictures moved from -3 to +3 standard deviations along directions of the latent, those that change pictures most "
        "first. Their numbers are what soda edit --direction takes.",
    ),
    "mix": (
        "Style of one, content of the other",
        "Pictures drawn from some sections of the latent of the picture above and the other sections of the picture at the left, "
        "none of which the model was trained on.",
    ),
    "attributes": (
        "Attributes found without labels",
        "Test pictures moved along the direction of the latent that changes the named attribute most. The names come from the "
        "data; the directions were found without them.",
    ),
}
CHARTS: dict[str, tuple[str, str]] = {
    "section_factors": (
        "What each section knows",
        "Percent of test pictures whose value of a known factor (column) a linear probe tells from one section (row).",
    ),
    "disentanglement": (
        "Disentanglement",
        "How far single components of the latent stand for single factors, beside other representations of as many components.",
    ),
    "reconstruction_cost": (
        "Reconstruction against its cost",
        "How near drawn pictures come to their originals, by the number of times that the denoiser was evaluated.",
    ),
}

REPRESENTATIONS = {
    "": "SODA latent",
    "pca": "PCA of pixels",
    "random": "Untrained encoder",
    "beta_vae": "beta-VAE, same encoder, as many operations",
}
NOVEL_BASELINES = {
    "mean_view": "Mean training view at that pose",
    "nearest_object": "Training object nearest in z, at that pose",
    "copy": "Copy of the source",
    "copy_nearest_of_2": "Copy of the nearer of two sources",
    "copy_nearest_of_4": "Copy of the nearest of four sources",
}
DISENTANGLEMENT = {
    "dci_d": "Disentanglement",
    "dci_c": "Completeness",
    "dci_i": "Informativeness",
    "modularity": "Modularity",
    "explicitness": "Explicitness",
}


@dataclass(frozen=True)
class Table:
    """A table of text. `section`: the group of metrics whose notes explain it. ours: rows that are about the SODA latent."""

    section: str
    title: str
    headings: list[str]
    rows: list[list[str]]
    ours: set[int] = field(default_factory=set)


def _share(value: float | None) -> str:
    return "–" if value is None else percent(value)


def _plain(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _group(parts: Parts, key: str) -> dict[str, object]:
    value: object = parts.metrics
    for name in key.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def _disentanglement(parts: Parts) -> Table | None:
    rows: list[list[str]] = []
    ours: set[int] = set()
    for name, title in REPRESENTATIONS.items():
        prefix = f"disentanglement.baselines.{name}." if name else "disentanglement."
        values = [parts.number(prefix + key) for key in DISENTANGLEMENT]
        if any(value is not None for value in values):
            if not name:
                ours.add(len(rows))
            rows.append([title, *map(_plain, values)])
    headings = ["Representation", *DISENTANGLEMENT.values()]
    return Table("disentanglement", "Disentanglement", headings, rows, ours) if rows else None


def _mixes(parts: Parts) -> Table | None:
    if parts.number("mix.style_accuracy") is None:
        return None
    rows = []
    for title, ending in (("Mixes", ""), ("The content alone", "_content_alone"), ("The style alone", "_style_alone")):
        style, content = (parts.number(f"mix.{key}{ending}") for key in ("style_accuracy", "content_retrieval"))
        rows.append([title, _share(style), _share(content)])
    rows.append(["Chance", "–", _share(parts.number("mix.content_chance"))])
    return Table("mix", "Style and content", ["Pictures", "Style of A", "Content of B found"], rows, {0})


def _attributes(parts: Parts) -> Table | None:
    rows = []
    for name in _group(parts, "attributes.best_match"):
        key = f"attributes.best_match.{name}."
        direction = parts.number(key + "direction")
        shares = [parts.number(key + part) for part in ("score", "others", "random_score", "random_others")]
        rows.append([name, "–" if direction is None else number(direction), *map(_share, shares)])
    headings = ["Factor", "Direction", "Moves it", "Moves others", "Random: moves it", "Random: moves others"]
    return Table("attributes", "Attributes found without labels", headings, rows) if rows else None


def _factors(parts: Parts) -> Table | None:
    rows = []
    for name in _group(parts, "sections.by_factor"):
        key = f"sections.by_factor.{name}."
        columns = ("linear_top1", "pixels_linear_top1", "random_linear_top1", "majority_top1")
        rows.append([name, *(_share(parts.number(key + column)) for column in columns)])
    headings = ["Factor", "SODA latent", "Pixels", "Untrained encoder", "Commonest value"]
    return Table("sections", "Known factors, told by a linear probe", headings, rows) if rows else None


def _costs(parts: Parts) -> Table | None:
    rows = []
    for name in _group(parts, "reconstruction"):
        if name.startswith("psnr@"):
            count = name.removeprefix("psnr@")
            found = [parts.number(f"reconstruction.{key}@{count}") for key in ("psnr", "ssim", "lpips_like", "fid_like")]
            psnr, ssim, lpips, fid = ("–" if value is None else number(value) for value in found)
            rows.append([f"z alone, {count} steps", psnr, ssim, lpips, fid])
        elif name.startswith("exact_psnr@"):
            count = name.removeprefix("exact_psnr@")
            found = [parts.number(f"reconstruction.exact_{key}@{count}") for key in ("psnr", "ssim", "lpips_like")]
            rows.append(
                [f"z and inverted noise, {count} steps", *("–" if value is None else number(value) for value in found), "–"]
            )
    headings = ["Drawn from", "PSNR, dB", "SSIM", "LPIPS-like", "FID-like"]
    return Table("reconstruction", "Reconstruction against its cost", headings, rows) if rows else None


def _novel_views(parts: Parts) -> Table | None:
    rows: list[list[str]] = []
    ours: set[int] = set()

    def add(title: str, keys: Sequence[str], *, mine: bool = False) -> None:
        values = [parts.number(f"novel_view.{key}") for key in keys]
        if values[0] is not None:
            ours.update([len(rows)] if mine else [])
            rows.append([title, *("–" if value is None else number(value) for value in values)])

    for count in (1, 2, 4):
        sources = f"{count} source view{'s' if count > 1 else ''}"
        for title, prefix in (("expected view", ""), ("one sample", "sample_"), ("expected view, sources unposed", "unposed_")):
            keys = [f"{prefix}{measure}@{count}" for measure in ("psnr", "ssim", "lpips_like")]
            add(f"{title}, {sources}", keys, mine=not prefix)
    add("another object as the source", ["shuffled_psnr@1"])
    add("another object’s camera", ["wrong_pose_psnr@1"])
    for name in _group(parts, "novel_view.baselines"):
        keys = [f"baselines.{name}.{measure}" for measure in ("psnr", "ssim", "lpips_like")]
        add(NOVEL_BASELINES.get(name, name.replace("_", " ")), keys)
    rows = [row + ["–"] * (4 - len(row)) for row in rows]
    return (
        Table("novel_view", "Novel views of held-out objects", ["View", "PSNR, dB", "SSIM", "LPIPS-like"], rows, ours)
        if rows
        else None
    )


def _by_angle(parts: Parts) -> Table | None:
    rows = []
    for name in _group(parts, "novel_view.by_angle"):
        values = [parts.number(f"novel_view.by_angle.{name}.{key}") for key in ("pictures", "psnr", "copy_psnr")]
        rows.append([f"{name.replace('-', ' to ')}°", *("–" if value is None else number(value) for value in values)])
    headings = ["Between source and target", "Views", "Expected view, dB", "Copy of the source, dB"]
    return Table("novel_view", "Novel views by angle", headings, rows) if rows else None


def gallery_tables(parts: Parts) -> list[Table]:
    """The tables that the metrics have something for, in the order of the page."""
    tables = (
        _novel_views(parts),
        _by_angle(parts),
        _costs(parts),
        _factors(parts),
        _mixes(parts),
        _attributes(parts),
        _disentanglement(parts),
    )
    return [table for table in tables if table is not None]
