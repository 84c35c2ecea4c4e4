"""The pictures of the report: every PNG and GIF that the evaluation left, embedded, the known ones with captions, in order."""

from __future__ import annotations

import base64
import struct
from dataclasses import dataclass
from pathlib import Path

from soda.report import gallery
from soda.report.parts import ReportError

PNG_SIGNATURE, GIF_SIGNATURES = b"\x89PNG\r\n\x1a\n", (b"GIF87a", b"GIF89a")
SHARP_BELOW = 500  # px of width; a smaller figure is enlarged pixel by pixel, not blurred

# File name without its suffix: title, caption. {dim} is the number of components of z. In the order of the page.
PICTURES: dict[str, tuple[str, str]] = {
    "reconstructions": (
        "Originals over reconstructions",
        "Test pictures, and under each what the denoiser draws from noise with nothing but its {dim} numbers to go by. "
        "The model was trained on none of them. Rows named “again” begin with another draw of it.",
    ),
    "neighbours": (
        "Neighbours in latent space",
        "Each row begins with a test picture; the pictures after it are those whose latents lie nearest to its own. "
        "Where there are labels, a frame marks a neighbour of another label.",
    ),
    "latent_map": (
        "A map of the latents",
        "Test pictures placed in the plane by their latents alone. Labels, where it shows them, took no part in the training.",
    ),
    "latent_map_pictures": (
        "The same map in pictures",
        "In each cell of the plane the test picture that lies nearest to its centre.",
    ),
    **gallery.PICTURES,
}
CHARTS: dict[str, tuple[str, str]] = {
    "probe": ("Probes side by side", "Test accuracy of classifiers on the frozen latent, beside their baselines."),
    "confusion": (
        "What the linear probe confuses",
        "Rows are the true labels, columns what the probe says.",
    ),
    **gallery.CHARTS,
}


@dataclass(frozen=True)
class Figure:
    name: str
    title: str
    caption: str
    uri: str  # data:image/...;base64,...
    width: int  # px
    height: int

    @property
    def wide(self) -> bool:
        """Whether it may be wider than the text without filling the window from top to bottom."""
        return self.width > 1.6 * self.height

    @property
    def sharp(self) -> bool:
        return self.width < SHARP_BELOW

    @property
    def alt(self) -> str:
        return f"{self.title}. {self.caption}".strip()


def read_figure(path: Path, title: str, caption: str) -> Figure:
    """Embed one PNG or GIF. Raises ReportError naming the file when it is neither."""
    content = path.read_bytes()
    is_png = len(content) >= 33 and content.startswith(PNG_SIGNATURE) and content[12:16] == b"IHDR"
    if not is_png and not (len(content) >= 14 and content.startswith(GIF_SIGNATURES)):
        raise ReportError(f"{path}: not a PNG or GIF picture")
    return embed(path.stem, content, title, caption)


def embed(name: str, content: bytes, title: str, caption: str) -> Figure:
    """The bytes of a PNG or a GIF as a figure of the page."""
    kind = "png" if content.startswith(PNG_SIGNATURE) else "gif"
    width, height = struct.unpack(">II", content[16:24]) if kind == "png" else struct.unpack("<HH", content[6:10])
    uri = f"data:image/{kind};base64," + base64.b64encode(content).decode("ascii")
    return Figure(name, title, caption, uri, width, height)


def read_figures(folder: Path, latent_dim: int) -> tuple[list[Figure], list[Figure]]:
    """(pictures, charts) of the folder: the known ones in their order, then any others by name among the pictures."""
    paths = {path.stem: path for kind in ("png", "gif") for path in sorted(folder.glob(f"*.{kind}"))}

    def known(table: dict[str, tuple[str, str]]) -> list[Figure]:
        return [
            read_figure(paths[name], title, caption.format(dim=latent_dim))
            for name, (title, caption) in table.items()
            if name in paths
        ]

    others = [name for name in paths if name not in PICTURES and name not in CHARTS]
    rest = [read_figure(paths[name], name.replace("_", " ").capitalize(), "") for name in others]
    return known(PICTURES) + rest, known(CHARTS)
