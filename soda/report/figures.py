"""The images of the report: every PNG and GIF that the evaluation left, embedded, the declared ones with captions, in order."""

from __future__ import annotations

import base64
import struct
from dataclasses import dataclass
from pathlib import Path

from soda.evaluation.registry import measures
from soda.report.parts import ReportError

PNG_SIGNATURE, GIF_SIGNATURES = b"\x89PNG\r\n\x1a\n", (b"GIF87a", b"GIF89a")
SHARP_BELOW = 500  # px of width; a smaller figure is enlarged pixel by pixel, not blurred


@dataclass(frozen=True)
class EmbeddedImage:
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


def read_image(path: Path, title: str, caption: str) -> EmbeddedImage:
    """Embed one PNG or GIF. Raises ReportError naming the file when it is neither."""
    content = path.read_bytes()
    is_png = len(content) >= 33 and content.startswith(PNG_SIGNATURE) and content[12:16] == b"IHDR"
    if not is_png and not (len(content) >= 14 and content.startswith(GIF_SIGNATURES)):
        raise ReportError(f"{path}: not a PNG or GIF image")
    return embed_image(content, title, caption)


def embed_image(content: bytes, title: str, caption: str) -> EmbeddedImage:
    """The bytes of a PNG or a GIF as an image of the page."""
    kind = "png" if content.startswith(PNG_SIGNATURE) else "gif"
    width, height = struct.unpack(">II", content[16:24]) if kind == "png" else struct.unpack("<HH", content[6:10])
    uri = f"data:image/{kind};base64," + base64.b64encode(content).decode("ascii")
    return EmbeddedImage(title, caption, uri, width, height)


def read_images(folder: Path, latent_dim: int) -> tuple[list[EmbeddedImage], dict[str, list[EmbeddedImage]]]:
    """What the evaluation left: the images, the declared ones in order before any others, and the charts by measure."""
    paths = {path.stem: path for kind in ("png", "gif") for path in sorted(folder.glob(f"*.{kind}"))}
    images: list[EmbeddedImage] = []
    charts: dict[str, list[EmbeddedImage]] = {}
    for measure in measures():
        for figure in measure.figures:
            if path := paths.pop(figure.name, None):
                shown = charts.setdefault(measure.key, []) if figure.chart else images
                shown.append(read_image(path, figure.title, figure.caption.format(dim=latent_dim)))
    return images + [read_image(path, name.replace("_", " ").capitalize(), "") for name, path in paths.items()], charts
