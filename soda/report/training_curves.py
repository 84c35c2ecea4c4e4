"""The training's curves for the page: DVC's own plots load a script from the network, and the report must open offline."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from soda.report.parts import ReportError
from soda.viz.svg_curves import draw_curve

# Last part of the name: title, remark, whether the axis starts at 0. In the order of the page.
KNOWN: dict[str, tuple[str, str, bool]] = {
    "loss": ("Loss", "Mean squared error of the denoiser on training images.", False),
    "val_loss": ("Loss on validation images", "Of the averaged model.", False),
    "usage_gap": (
        "Use of the latent",
        "How much worse the loss is with another image’s latent; at 0 it is unused; training stops below train.min_usage_gap.",
        True,
    ),
    "z_grad_norm": ("Gradient at the latent", "Mean norm of the loss’s gradient at z.", True),
    "view_psnr": ("Expected novel views, dB", "PSNR of what is drawn in one step from pure noise, on validation pairs.", False),
    "pose_gap": ("Use of the pose", "By how many dB that falls with another view’s camera; 0 would mean unused.", True),
    "teacher_cosine": (
        "Agreement with the teacher",
        "Cosine of what the head says with the teacher’s vector, last batch.",
        False,
    ),
    "psnr": ("PSNR, dB", "Of reconstructions while training.", False),
    "lr": ("Learning rate", "Of the denoiser.", True),
    "images_per_second": ("Speed", "Images a second.", True),
}


@dataclass(frozen=True)
class Curve:
    name: str  # as logged, e.g. train/loss
    title: str
    remark: str
    svg: Markup


def read_curve(path: Path) -> list[tuple[float, float]]:
    """(step, value) pairs of a DVCLive file, by step; the last line of a repeated step counts, as a resumed run logs it again.

    Values that are not finite are left out. Raises ReportError naming the file and line.
    """
    points: dict[float, float] = {}
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file, delimiter="\t")
        columns = [name for name in reader.fieldnames or [] if name not in ("step", "timestamp")]
        if "step" not in (reader.fieldnames or []) or not columns:
            raise ReportError(f"{path}: no curve: its columns are {reader.fieldnames}, expected step and a value")
        for row in reader:
            try:
                step, value = float(row["step"]), float(row[columns[-1]])
            except (TypeError, ValueError):
                raise ReportError(f"{path}, line {reader.line_num}: {dict(row)!r} is no pair of numbers") from None
            if math.isfinite(value):
                points[step] = value
            else:
                points.pop(step, None)
    return sorted(points.items())


def read_curves(live: Path) -> list[Curve]:
    """Every DVCLive metric below `live`, the known ones first. Their steps are images, as progress is counted.

    Curves of fewer than two points show nothing and are left out. Raises ReportError for a file that holds no curve.
    """
    folder = live / "plots" / "metrics"
    order = list(KNOWN)
    found = []
    for path in folder.rglob("*.tsv"):
        name = path.relative_to(folder).with_suffix("").as_posix()
        points = read_curve(path)
        if len(points) < 2:
            continue
        leaf = name.rsplit("/", 1)[-1]
        title, remark, from_zero = KNOWN.get(leaf, (leaf.replace("_", " ").capitalize(), "", False))
        rank = order.index(leaf) if leaf in order else len(order)
        found.append((rank, name, Curve(name, title, remark, draw_curve(points, title, from_zero))))
    return [curve for _, _, curve in sorted(found, key=lambda item: item[:2])]
