"""The exported encoder as the page shows it: its true latent size, its metadata, and how to call it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from soda.report.format import plain
from soda.report.parts import ReportError
from soda.runtime import Encoder, EncoderError


@dataclass(frozen=True)
class EncoderFacts:
    path: str
    bytes: int
    sha256: str
    latent_dim: int
    image_size: int  # px
    code_version: str
    data_version: str
    metadata: list[tuple[str, str]]  # by key; long lists shortened

    @property
    def snippet(self) -> str:
        """Python that embeds two images."""
        return (
            "from soda.runtime import Encoder\n\n"
            f"encoder = Encoder({json.dumps(self.path, ensure_ascii=False)})\n"
            "# paths, Pillow images or uint8 arrays, of any size\n"
            'z = encoder.embed(["a.jpg", "b.png"])\n'
            f"assert z.shape == (2, {self.latent_dim})\n"
        )


def read_encoder(path: Path) -> EncoderFacts | None:
    """Read the model and its metadata; None when there is no file. Raises ReportError when it is no encoder of this project."""
    if not path.exists():
        return None
    try:
        encoder = Encoder(path, threads=1)
    except EncoderError as error:
        raise ReportError(str(error)) from None
    content, metadata = path.read_bytes(), encoder.metadata
    return EncoderFacts(
        path=path.as_posix(),
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        latent_dim=encoder.latent_dim,
        image_size=encoder.image_size,
        code_version=str(metadata.get("code_version", "unknown")),
        data_version=str(metadata.get("data_version", "unknown")),
        metadata=[(key, plain(value)) for key, value in sorted(metadata.items())],
    )
