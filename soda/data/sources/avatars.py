"""Avatars of one DiceBear style (https://www.dicebear.com), drawn from seeds: every factor that made the picture is known.

`dataset.path` is a YAML file that says which style, how many, from which variants and colours, and which of them are the factors.
Style and program come from PyPI (`dicebear-styles`, `dicebear-core`); the style's checksum is in that file, since another
definition would draw other pictures from the same seeds.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import lru_cache
from importlib import metadata, resources
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from soda.config import DatasetConfig
from soda.config.schema_data import Text
from soda.config.validated import Count, settings
from soda.data.parallel import spread
from soda.data.sources.base import Opened, SourceError, read_described
from soda.data.sources.drawings import COLUMNS, Drawing, open_drawings, write_drawings
from soda.data.sources.places import made_with

__all__ = ["COLUMNS", "LICENCE", "fetch", "opened", "origin"]

LICENCE = "CC-BY-4.0: Remix of Personas by Draftbit (https://personas.draftbit.com), drawn by DiceBear"
"""Of conf/dataset/drawings/personas.yaml; the licence of each picture is in the manifest, as its style states it."""
ABSENT = "none"  # the value of a part that an avatar does not have
_JOB = 250  # avatars


@settings("")
class Style:
    """What `dataset.path` says."""

    style: Text  # a definition of dicebear-styles
    sha256: Text  # of it
    count: Count
    options: Annotated[dict[str, Any], Field(min_length=1)]  # DiceBear's, the same for all avatars
    factors: Annotated[dict[str, str], Field(min_length=1)]  # name -> the option that holds its value once an avatar is drawn


def origin(config: DatasetConfig) -> str:
    style = read_described(Path(config.path), Style).style
    return f"https://www.dicebear.com/styles/{style}/, drawn with dicebear-core {_version('dicebear-core')}"


def fetch(config: DatasetConfig, raw: Path, earlier: Path) -> dict[str, Any]:
    """Draw the avatars of the seeds "<dataset.seed>-0", "-1" ... as SVG, spread over `dataset.workers` processes.

    Raises SourceError when DiceBear is not installed, its style is another, or a factor names no option of the style.
    """
    style = read_described(Path(config.path), Style)
    definition(style)
    jobs = [(style, config.seed, start, min(start + _JOB, style.count)) for start in range(0, style.count, _JOB)]
    drawn = spread(draw, jobs, config.workers, total=style.count, desc="draw", unit="avatar")
    total = write_drawings(raw, drawn, tuple(style.factors), made_with(config, "seed"))
    return {"avatars": total, "factors": len(style.factors), "bytes": sum(path.stat().st_size for path in raw.iterdir())}


def opened(config: DatasetConfig, raw: Path) -> Opened:
    """Every avatar in the order of the seeds. Raises SourceError when `raw` was fetched with another style file or seed."""
    return open_drawings(config, raw, made_with(config, "seed"))


def draw(style: Style, seed: int, start: int, stop: int) -> list[Drawing]:
    """The avatars start .. stop of a seed. Runs in a worker. Raises SourceError for a factor that the style does not resolve."""
    dicebear = _dicebear()
    about, found = definition(style)
    licence = about["meta"]["license"]
    drawings = []
    for number in range(start, stop):
        avatar = dicebear.Avatar(found, {**style.options, "seed": f"{seed}-{number}"})
        chosen = avatar.to_json()["options"]
        name = f"avatar-{number:06d}"
        factors = {factor: _value(about, style, chosen, factor) for factor in style.factors}
        drawings.append(Drawing(name, f"{style.style}#{seed}-{number}", str(avatar), licence["name"], factors))
    return drawings


def _value(about: Mapping[str, Any], style: Style, chosen: Mapping[str, Any], factor: str) -> str:
    """A chosen variant's name or a colour as "#rrggbb"; ABSENT for a part that this avatar lacks."""
    option = style.factors[factor]
    value = chosen.get(option)
    if value is None:
        part = option.removesuffix("Variant")
        if part == option or part not in about["components"]:
            raise SourceError(
                f"factors.{factor}: style {style.style} resolves no {option!r}; it does: {', '.join(sorted(chosen))}"
            )
        return ABSENT
    return str(value[0]) if isinstance(value, list) and value else str(value or ABSENT)


@lru_cache(maxsize=1)
def _definition(name: str, sha256: str) -> tuple[dict[str, Any], Any]:
    try:
        data = resources.files("dicebear_styles").joinpath(f"{name}.json").read_bytes()
    except ModuleNotFoundError:
        raise SourceError("drawing avatars needs DiceBear: pip install '.[drawings]'") from None
    except OSError:
        raise SourceError(f"style: dicebear-styles {_version('dicebear-styles')} has no {name!r}") from None
    digest = hashlib.sha256(data).hexdigest()
    if digest != sha256:
        raise SourceError(
            f"style {name} of dicebear-styles {_version('dicebear-styles')} has the SHA-256 {digest}, not {sha256}: it is "
            "another version and would draw other pictures; install the one of constraints.txt"
        )
    about = json.loads(data)
    return about, _dicebear().Style(about)


def definition(style: Style) -> tuple[dict[str, Any], Any]:
    """The style's definition as JSON and as DiceBear takes it. Raises SourceError unless it has the recorded checksum."""
    return _definition(style.style, style.sha256)


def _dicebear() -> Any:
    try:
        import dicebear
    except ImportError:
        raise SourceError("drawing avatars needs DiceBear: pip install '.[drawings]'") from None
    return dicebear


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "(not installed)"
