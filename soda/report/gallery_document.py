"""docs/gallery.md: what the shipped models do, in the images and figures that their runs left; nothing is typed by hand."""

from __future__ import annotations

import shutil
from pathlib import Path

from PIL import Image

from soda.common.files import whole_file, whole_folder
from soda.evaluation.registry import Figure, Measure, measures
from soda.report.contact_sheet import TITLE, draw_sheet
from soda.report.parts import Metrics
from soda.report.presentation import beside
from soda.report.results import read_results

COLOURS = 256  # of a kept image: a third of the size, and no difference that an eye finds
SHEET = "contact_sheet"  # of the data, beside what the evaluation drew


def shipped_figures() -> list[tuple[Measure, Figure]]:
    """What the gallery shows of a model, in its order."""
    return [(measure, figure) for measure in measures() for figure in measure.figures if figure.shipped]


def keep_images(name: str, figures: Path, images: Path, prepared: Path | None = None) -> list[Path]:
    """Copy the figures that the gallery shows to images/<name>, as PNG of at most COLOURS colours, in place of earlier ones.

    prepared: the data, whose contact sheet joins them where there is one. Returns the files, in the gallery's order. Raises
    OSError for a figure that cannot be read, ReportError for broken data.
    """
    with whole_folder(images / name) as folder:
        for path in _kept(figures):
            if path.suffix == ".gif":
                shutil.copyfile(path, folder / path.name)
            else:
                with Image.open(path) as opened:
                    save_small(opened, folder / path.name, COLOURS)
        sheet = draw_sheet(prepared) if prepared else None
        if sheet:
            big = sheet[0].resize((2 * sheet[0].width, 2 * sheet[0].height), Image.Resampling.NEAREST)
            save_small(big, folder / f"{SHEET}.png", COLOURS)
            (folder / f"{SHEET}.txt").write_text(sheet[1] + "\n", encoding="utf-8")
    return list(_kept(images / name))


def write_gallery(page: Path, zoo: Path, results: Path, images: Path) -> list[str]:
    """Write the page of all models in `zoo` that have figures in `results` and images in `images`; returns their names.

    The four lie in one project: links lead from the page's folder. Raises ReportError for figures that are not JSON.
    """
    parts = [
        "# Gallery",
        "What the models in [zoo](../zoo) do with test images, which they never saw: drawn and measured by their evaluation. "
        "[results.md](results.md) has the protocol; `soda ship` writes this page.",
    ]
    names = []
    for name, metrics in read_results(results, zoo).items():
        kept = _kept(images / name)
        if kept:
            names.append(name)
            parts += _section(zoo / name, metrics, kept)
            caption = images / name / f"{SHEET}.txt"
            if caption.is_file():
                shown = f"![{TITLE}](images/{name}/{SHEET}.png)"
                parts += [f"### {TITLE}", shown, caption.read_text(encoding="utf-8").strip()]
    with whole_file(page) as temporary:
        temporary.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    return names


def save_small(image: Image.Image, path: Path, colours: int) -> None:
    """Write a PNG of at most so many colours."""
    image.convert("RGB").quantize(colours, dither=Image.Dither.NONE).save(path, optimize=True)


def _kept(folder: Path) -> dict[Path, tuple[Measure, Figure]]:
    """The files of the gallery's figures in a folder, an animation before its still image."""
    found = {}
    for measure, figure in shipped_figures():
        paths = [path for kind in ("gif", "png") if (path := folder / f"{figure.name}.{kind}").is_file()]
        found.update(dict.fromkeys(paths[:1], (measure, figure)))
    return found


def _section(folder: Path, metrics: Metrics, kept: dict[Path, tuple[Measure, Figure]]) -> list[str]:
    name, credited = folder.name, (folder / "credits.csv").is_file()
    authors = f", [authors and licences of what is shown](../zoo/{name}/credits.csv)" if credited else ""
    lines = [f"## {name}", f"[Card](../zoo/{name}/README.md), [all figures](results/{name}.json){authors}."]
    for path, (measure, figure) in kept.items():
        caption = figure.caption.replace("its {dim} numbers", "its latent")
        lines += [f"### {figure.title}", f"![{figure.title}](images/{name}/{path.name})", caption]
        lines += [f"*{said}*"] if (said := beside(measure, figure, metrics)) else []
    return lines
