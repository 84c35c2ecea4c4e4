"""docs/gallery.md: what the shipped models do, in the pictures and figures that their runs left; nothing is typed by hand."""

from __future__ import annotations

import shutil
from pathlib import Path

from PIL import Image

from soda.common.files import whole_file, whole_folder
from soda.report.contact_sheet import TITLE, draw_sheet
from soda.report.figures import CHARTS, PICTURES
from soda.report.parts import Parts, read_json

COLOURS = 256  # of a kept picture: a third of the size, and no difference that an eye finds

# Figure of an evaluation, in the gallery's order: the measures that stand beside it, as (words, key of the metrics, format).
SHOWN: dict[str, tuple[tuple[str, str, str], ...]] = {
    "turntable": (
        ("PSNR of the expected view from one picture", "novel_view.psnr@1", "{:.1f} dB"),
        ("from two", "novel_view.psnr@2", "{:.1f} dB"),
        ("from four", "novel_view.psnr@4", "{:.1f} dB"),
        ("of a copy of the source", "novel_view.baselines.copy.psnr", "{:.1f} dB"),
        ("of the mean training view at that pose", "novel_view.baselines.mean_view.psnr", "{:.1f} dB"),
    ),
    "turntables": (
        ("PSNR with the camera of another view", "novel_view.wrong_pose_psnr@1", "{:.1f} dB"),
        ("with another object as the source", "novel_view.shuffled_psnr@1", "{:.1f} dB"),
        ("with the source’s camera unknown", "novel_view.unposed_psnr@1", "{:.1f} dB"),
    ),
    "novel_views": (("PSNR of one sample", "novel_view.sample_psnr@1", "{:.1f} dB"),),
    "reconstructions": (
        ("PSNR from z alone", "reconstruction.psnr", "{:.1f} dB"),
        ("of the mean picture", "reconstruction.psnr_mean_picture", "{:.1f} dB"),
        ("from z and the inverted noise", "reconstruction.exact_psnr", "{:.1f} dB"),
        ("LPIPS-like in 10 evaluations", "reconstruction.lpips_like@10", "{:.3f}"),
        ("in 100", "reconstruction.lpips_like@100", "{:.3f}"),
    ),
    "walks": (
        ("path length of walks in z", "interpolation.path_length", "{:.1f}"),
        ("on the sphere", "interpolation.path_length_spherical", "{:.1f}"),
        ("of fading one picture into the other", "interpolation.path_length_crossfade", "{:.1f}"),
    ),
    "mix": (
        ("mixes that show the style asked for", "mix.style_accuracy", "{:.0%}"),
        ("that show the content", "mix.content_retrieval", "{:.0%}"),
        ("content by chance", "mix.content_chance", "{:.1%}"),
    ),
    "mix_cuts": (),
    "attributes": (
        ("how far the best direction moves a factor, mean", "attributes.mean_score", "{:.0%}"),
        ("the best of as many random ones", "attributes.mean_random_score", "{:.0%}"),
        ("other factors that change", "attributes.mean_others", "{:.0%}"),
    ),
    "directions": (),
    "section_factors": (("best section minus worst, mean", "sections.section_spread", "{:.0%}"),),
    "disentanglement": (
        ("DCI disentanglement", "disentanglement.dci_d", "{:.3f}"),
        ("PCA of pixels", "disentanglement.baselines.pca.dci_d", "{:.3f}"),
        ("untrained encoder", "disentanglement.baselines.random.dci_d", "{:.3f}"),
        ("beta-VAE", "disentanglement.baselines.beta_vae.dci_d", "{:.3f}"),
    ),
    "reconstruction_cost": (),
}


SHEET = "contact_sheet"  # of the data, beside what the evaluation drew


def keep_pictures(name: str, figures: Path, images: Path, prepared: Path | None = None) -> list[Path]:
    """Copy the figures that the gallery shows to images/<name>, as PNG of at most COLOURS colours, in place of earlier ones.

    prepared: the data, whose contact sheet joins them where there is one. Returns the files, in the gallery's order. Raises
    OSError for a figure that cannot be read, ReportError for broken data.
    """
    with whole_folder(images / name) as folder:
        for figure in SHOWN:
            if (figures / f"{figure}.gif").is_file():
                shutil.copyfile(figures / f"{figure}.gif", folder / f"{figure}.gif")
            elif (figures / f"{figure}.png").is_file():
                with Image.open(figures / f"{figure}.png") as picture:
                    small = picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
                small.save(folder / f"{figure}.png", optimize=True)
        sheet = draw_sheet(prepared) if prepared else None
        if sheet:
            big = sheet[0].resize((2 * sheet[0].width, 2 * sheet[0].height), Image.Resampling.NEAREST)
            big.quantize(COLOURS, dither=Image.Dither.NONE).save(folder / f"{SHEET}.png", optimize=True)
            (folder / f"{SHEET}.txt").write_text(sheet[1] + "\n", encoding="utf-8")
    return _pictures(images / name)


def write_gallery(page: Path, zoo: Path, results: Path, images: Path) -> list[str]:
    """Write the page of all models in `zoo` that have figures in `results` and pictures in `images`; returns their names.

    The four lie in one project: links lead from the page's folder. Raises ReportError for figures that are not JSON.
    """
    parts = [
        "# Gallery",
        "What the models in [zoo](../zoo) do with test pictures, which they never saw: drawn and measured by their evaluation. "
        "[results.md](results.md) has the protocol; `soda ship` writes this page.",
    ]
    names = []
    for folder in sorted(zoo.iterdir()):
        metrics, pictures = read_json(results / f"{folder.name}.json"), _pictures(images / folder.name)
        if metrics and pictures:
            names.append(folder.name)
            parts += _section(folder, Parts(metrics), pictures)
            caption = images / folder.name / f"{SHEET}.txt"
            if caption.is_file():
                shown = f"![{TITLE}](images/{folder.name}/{SHEET}.png)"
                parts += [f"### {TITLE}", shown, caption.read_text(encoding="utf-8").strip()]
    with whole_file(page) as temporary:
        temporary.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    return names


def _pictures(folder: Path) -> list[Path]:
    return [path for figure in SHOWN for kind in ("gif", "png") if (path := folder / f"{figure}.{kind}").is_file()]


def _section(folder: Path, parts: Parts, pictures: list[Path]) -> list[str]:
    name, credited = folder.name, (folder / "credits.csv").is_file()
    authors = f", [authors and licences of what is shown](../zoo/{name}/credits.csv)" if credited else ""
    lines = [f"## {name}", f"[Card](../zoo/{name}/README.md), [all figures](results/{name}.json){authors}."]
    for path in pictures:
        title, caption = {**PICTURES, **CHARTS}[path.stem]
        measured = [(words, parts.number(key), form) for words, key, form in SHOWN[path.stem]]
        said = ", ".join(f"{words} {form.format(value)}" for words, value, form in measured if value is not None)
        lines += [f"### {title}", f"![{title}](images/{name}/{path.name})", caption.replace("its {dim} numbers", "its latent")]
        lines += [f"*{said[0].upper()}{said[1:]}.*"] if said else []
    return lines
