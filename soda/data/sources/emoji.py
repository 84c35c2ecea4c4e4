"""Emoji: the same code points in several vendors' styles, so that content (the code point) and style (the vendor) are known.

`dataset.path` lists the npm packages @iconify-json/<style>, by the SHA-512 of their tarballs; nothing else is accepted. A tarball
holds the pictures as SVG (icons.json), their code points (chars.json), categories (metadata.json) and the licence (info.json).
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from soda.config import DatasetConfig
from soda.data.sources.base import Opened, SourceError
from soda.data.sources.download import copy_from_folder, download, npm_packages
from soda.data.sources.drawings import COLUMNS, Drawing, open_drawings, write_drawings
from soda.data.sources.places import Place, first_place, made_with, read_sums

__all__ = ["COLUMNS", "LICENCE", "fetch", "opened", "origin"]

LICENCE = (
    "by style: Noto Emoji, Google, Apache-2.0; Twemoji, Twitter and contributors, CC-BY-4.0; OpenMoji, CC-BY-SA-4.0; "
    "Fluent Emoji, Microsoft, MIT"
)
"""Of conf/dataset/emoji.sha512; the licence of each picture is in the manifest, as its package states it."""
SCOPE = "@iconify-json"
REGISTRY = "https://registry.npmjs.org/"
FACTORS = ("content", "style", "category", "skin_tone")
SKIN_TONES = {"1f3fb": "light", "1f3fc": "medium-light", "1f3fd": "medium", "1f3fe": "medium-dark", "1f3ff": "dark"}
PEOPLE = {"1f468": "1f9d1", "1f469": "1f9d1"}  # man, woman -> person
SIGNS = {"fe0f", "200d", "2640", "2642"}  # picture style, joiner, female sign, male sign
_MOST_BYTES = 100_000_000  # of one file in a tarball (the largest has 12 million)


@dataclass(frozen=True)
class StyleSet:
    """One vendor's emoji. `bodies`: code points ("1f468-200d-1f680") -> a whole SVG; `categories`: likewise -> name."""

    name: str
    licence: str
    bodies: dict[str, str]
    categories: dict[str, str]


def origin(config: DatasetConfig) -> str:
    return "npm: " + ", ".join(f"{SCOPE}/{name.removesuffix('.tgz')}" for name in read_checksums(Path(config.path)))


def fetch(config: DatasetConfig, raw: Path, earlier: Path) -> dict[str, Any]:
    """Take the tarballs from the first place that has them all with the right SHA-512 (an earlier fetch, npm, the registry's
    files), and write a drawing of every code point that all of them have, in every style.

    Raises SourceError naming every place and what was wrong there, or the file of a tarball that is not what it should be.
    """
    sums = read_checksums(Path(config.path))
    place = first_place("the emoji", places(earlier), sums, raw, "sha512")
    styles = [read_package(raw / name) for name in sums]
    common = sorted(set.intersection(*(set(style.bodies) for style in styles)))
    total = write_drawings(raw, _drawings(styles, common), FACTORS, made_with(config))
    return {"emoji": total, "code_points": len(common), "styles": [style.name for style in styles], "from": place}


def places(earlier: Path) -> list[Place]:
    """Where to look, in order: (name, function that puts the named tarballs into a folder)."""
    return [
        ("an earlier fetch", partial(copy_from_folder, earlier)),
        ("npm", partial(npm_packages, SCOPE)),
        (REGISTRY, _from_registry),
    ]


def _from_registry(names: list[str], into: Path) -> None:
    for name in names:
        package = name.removesuffix(".tgz").rpartition("-")[0]
        download(f"{REGISTRY}{SCOPE}/{package}/-/", [name], into)


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


def _drawings(styles: list[StyleSet], codes: list[str]) -> Iterator[Drawing]:
    for code in codes:
        for style in styles:
            factors = {
                "content": code,
                "style": style.name,
                "category": styles[0].categories.get(code, ""),
                "skin_tone": skin_tone(code),
            }
            where = f"{style.name}/{code}"
            yield Drawing(where, f"{SCOPE}/{where}", style.bodies[code], style.licence, factors, family(code))


def read_package(path: Path) -> StyleSet:
    """One vendor's emoji from a tarball. Raises SourceError naming it and what is wrong in it."""
    try:
        with tarfile.open(path, "r:gz") as archive:
            icons, chars, about, info = (_json(archive, name) for name in ("icons", "chars", "metadata", "info"))
        by_name = {name: group for group, names in about["categories"].items() for name in names}
        bodies = {code: _svg(icons, name) for code, name in chars.items()}
        categories = {code: by_name[name] for code, name in chars.items() if name in by_name}
        return StyleSet(icons["prefix"], info["license"]["spdx"], bodies, categories)
    except (tarfile.TarError, EOFError, OSError, KeyError, TypeError, ValueError) as error:
        raise SourceError(f"{path}: not a package of {SCOPE} ({type(error).__name__}: {error})") from None


def _json(archive: tarfile.TarFile, name: str) -> dict[str, Any]:
    member = archive.getmember(f"package/{name}.json")
    file = archive.extractfile(member)
    if file is None or member.size > _MOST_BYTES:
        raise ValueError(f"{member.name} is no file of a reasonable size")
    value = json.load(file)
    if not isinstance(value, dict):
        raise ValueError(f"{member.name} holds a {type(value).__name__}")
    return value


def _svg(icons: dict[str, Any], name: str) -> str:
    """The icon as a whole SVG; an alias shows its parent, turned or mirrored as Iconify's format allows."""
    transforms = []
    icon = icons["icons"].get(name)
    while icon is None:
        alias = icons["aliases"][name]
        width, height = icons.get("width", 16), icons.get("height", 16)
        if alias.get("hFlip"):
            transforms.append(f"translate({width} 0) scale(-1 1)")
        if alias.get("vFlip"):
            transforms.append(f"translate(0 {height}) scale(1 -1)")
        if alias.get("rotate"):
            transforms.append(f"rotate({90 * alias['rotate']} {width / 2} {height / 2})")
        name = alias["parent"]
        icon = icons["icons"].get(name)
    left, top = (icon.get(key, icons.get(key, 0)) for key in ("left", "top"))
    width, height = (icon.get(key, icons.get(key, 16)) for key in ("width", "height"))
    body = f'<g transform="{" ".join(transforms)}">{icon["body"]}</g>' if transforms else icon["body"]
    side = max(width, height)  # a few are oblong: they stand in the middle of the square
    size = f'width="{side}" height="{side}" viewBox="{left} {top} {width} {height}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{body}</svg>'


def read_checksums(path: Path) -> dict[str, str]:
    """<package>-<version>.tgz -> SHA-512 of dataset.path. Raises SourceError for a line that is none, and for fewer than two."""
    sums = read_sums(path, "sha512", "<package>-<version>.tgz", r"[^/]+-[^/-]+\.tgz")
    if len(sums) < 2:
        raise SourceError(f"{path}: it names {len(sums)} packages; content and style take at least two")
    return sums
