"""The page of a training that is at work: its curves, the last figures, and what it draws by now."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from pathlib import Path

from flows.glimpses import Glimpse
from soda.report.presentation import markdown_table
from soda.report.training_curves import Curve, read_curve, read_curves

_BAR = re.compile(
    r"train: +(?P<percent>\d+) % \|.*\| (?P<done>\S+) of (?P<total>\S+?), (?P<rate>[^,]+?)(?:, (?P<more>.+))?, (?P<left>[^,]+)"
)
_SHOWN = ("loss", "val_loss", "usage_gap", "view_psnr", "pose_gap", "teacher_cosine")
_COLUMNS = ("loss", "val_loss", "usage_gap", "images_per_second")
_LAST_ROWS = 5
_STYLE = (
    "text{font:11px sans-serif;fill:#66625b}.grid{stroke:#e4e0d8}path{fill:none;stroke:#1f5c99;stroke-linejoin:round}"
    ".line{stroke-width:1.75}.raw{stroke-width:1;opacity:.3}.end{fill:#1f5c99}"
)


@dataclass(frozen=True)
class Heard:
    """What the progress bar said last. percent: 0 to 100; rate and left in words."""

    percent: float
    done: str
    total: str
    rate: str
    left: str

    def __str__(self) -> str:
        return f"{self.percent:.0f} %, {self.rate}, {self.left}"


def read_bar(text: str) -> Heard | None:
    """Of a line of the training's bar (soda.common.bar); None for any other."""
    found = _BAR.fullmatch(text.strip())
    if found is None:
        return None
    rate = re.sub(r"img/s$", " images a second", found["rate"].strip())
    return Heard(float(found["percent"]), found["done"], found["total"], rate, found["left"])


def training_markdown(heard: Heard | None, live: Path, seen: Glimpse | None) -> str:
    """The whole page. live: what DVCLive writes. Raises ReportError or OSError while a file of it is half written."""
    parts = ["# Training"]
    if heard:
        parts.append(f"**{heard.percent:.0f} %**: {heard.done} of {heard.total} images, {heard.rate}, {heard.left}")
    if seen:
        about = f"After {seen.images:,} images: validation images, and below each what is drawn from its z alone"
        parts += ["## Reconstructions", about, f"![reconstructions](data:image/png;base64,{seen.png})"]
    curves = {curve.name.rsplit("/", 1)[-1]: curve for curve in read_curves(live)}
    for name in _SHOWN:
        if curve := curves.get(name):
            parts += [f"## {curve.title}", curve.remark, f"![{name}]({curve_image(curve)})"]
    if rows := _last_rows(live):
        parts += ["## Last figures", markdown_table(("images", *(name.replace("_", " ") for name in _COLUMNS)), rows)]
    return "\n\n".join(filter(None, parts))


def curve_image(curve: Curve) -> str:
    """The curve as an image of its own, in a data URI: inline SVG has no place in Prefect's Markdown."""
    svg = str(curve.svg).replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" width="540" height="300" ', 1)
    head, _, rest = svg.partition(">")
    drawn = f'{head}><style>{_STYLE}</style><rect width="100%" height="100%" fill="white"/>{rest}'
    return f"data:image/svg+xml;base64,{base64.b64encode(drawn.encode()).decode()}"


def _last_rows(live: Path) -> list[tuple[str, ...]]:
    columns: dict[str, dict[float, float]] = {}
    for path in (live / "plots/metrics").rglob("*.tsv"):
        if path.stem in _COLUMNS:
            columns[path.stem] = dict(read_curve(path))
    steps = sorted(set().union(*columns.values()))[-_LAST_ROWS:]
    cells = [[columns.get(name, {}).get(step) for name in _COLUMNS] for step in steps]
    return [
        (f"{step:,.0f}", *("–" if value is None else f"{value:.4g}" for value in row))
        for step, row in zip(steps, cells, strict=True)
    ]
