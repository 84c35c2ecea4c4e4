"""Emoji: the same code points in several vendors' styles, so that content (the code point) and style (the vendor) are known.

`dataset.path` lists the packages of the styles (see `iconify`).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from soda.config import DatasetConfig
from soda.data.sources import iconify
from soda.data.sources.base import Opened, SourceError
from soda.data.sources.drawings import COLUMNS, Drawing, open_drawings, write_drawings
from soda.data.sources.iconify import SCOPE, IconSet
from soda.data.sources.places import made_with

__all__ = ["COLUMNS", "LICENCE", "fetch", "opened", "origin"]

LICENCE = (
    "by style: Noto Emoji, Google, Apache-2.0; Twemoji, Twitter and contributors, CC-BY-4.0; OpenMoji, CC-BY-SA-4.0; "
    "Fluent Emoji, Microsoft, MIT"
)
"""Of conf/dataset/emoji.sha512; the licence of each picture is in the manifest, as its package states it."""
FACTORS = ("content", "style", "category", "skin_tone")
SKIN_TONES = {"1f3fb": "light", "1f3fc": "medium-light", "1f3fd": "medium", "1f3fe": "medium-dark", "1f3ff": "dark"}
PEOPLE = {"1f468": "1f9d1", "1f469": "1f9d1"}  # man, woman -> person
SIGNS = {"fe0f", "200d", "2640", "2642"}  # picture style, joiner, female sign, male sign


def origin(config: DatasetConfig) -> str:
    return iconify.origin(Path(config.path))


def fetch(config: DatasetConfig, raw: Path, earlier: Path) -> dict[str, Any]:
    """Write a drawing of every code point that all packages have, in every style.

    Raises SourceError as `iconify.fetch_packages`, or naming the file of a tarball that is not what it should be.
    """
    names, place = iconify.fetch_packages("the emoji", Path(config.path), raw, earlier)
    styles = [iconify.read_package(raw / name) for name in names]
    if not styles[0].categories:
        raise SourceError(f"{raw / names[0]}: no categories of its emoji (metadata.json of the package)")
    common = sorted(set.intersection(*(set(style.codes) for style in styles)))
    total = write_drawings(raw, _drawings(styles, common), FACTORS, made_with(config))
    return {"emoji": total, "code_points": len(common), "styles": [style.prefix for style in styles], "from": place}


def opened(config: DatasetConfig, raw: Path) -> Opened:
    """Every code point in every style. Raises SourceError when `raw` was fetched with another list of packages."""
    return open_drawings(config, raw, made_with(config))


def family(code: str) -> str:
    """What a code point shows, whatever its skin tone and gender: "1f469-1f3fd-200d-1f680" (woman astronaut) -> "1f9d1-1f680".

    Emoji of one family look so much alike that they have to be held out together.
    """
    parts = [PEOPLE.get(part, part) for part in code.split("-")]
    return "-".join(part for part in parts if part not in SIGNS and part not in SKIN_TONES) or code


def skin_tone(code: str) -> str:
    """The skin tone that a code point asks for, "mixed" for two different ones, "none" where it asks for none."""
    tones = {SKIN_TONES[part] for part in code.split("-") if part in SKIN_TONES}
    return "none" if not tones else tones.pop() if len(tones) == 1 else "mixed"


def _drawings(styles: list[IconSet], codes: list[str]) -> Iterator[Drawing]:
    for code in codes:
        for style in styles:
            factors = {
                "content": code,
                "style": style.prefix,
                "category": styles[0].categories.get(styles[0].codes[code], ""),
                "skin_tone": skin_tone(code),
            }
            where = f"{style.prefix}/{code}"
            yield Drawing(where, f"{SCOPE}/{where}", style.svg(style.codes[code]), style.licence, factors, family(code))
