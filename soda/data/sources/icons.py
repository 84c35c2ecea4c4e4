"""Icons in colour from many packages of npm: pictures of all kinds of things, small and free, for an encoder to begin with.

`dataset.path` lists the packages (see `iconify`).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from soda.config import DatasetConfig
from soda.data.sources import iconify
from soda.data.sources.base import Opened
from soda.data.sources.drawings import COLUMNS, Drawing, open_drawings, write_drawings
from soda.data.sources.iconify import SCOPE, IconSet
from soda.data.sources.places import made_with

__all__ = ["COLUMNS", "LICENCE", "fetch", "opened", "origin"]

LICENCE = "by package, as each states it: Apache-2.0, CC-BY-4.0, CC-BY-SA-4.0, CC0-1.0, MIT"
"""Of conf/dataset/icons.sha512; the licence of each picture is in the manifest."""
FACTORS = ("package",)


def origin(config: DatasetConfig) -> str:
    return iconify.origin(Path(config.path))


def fetch(config: DatasetConfig, raw: Path, earlier: Path) -> dict[str, Any]:
    """Write a drawing of every icon of every package.

    Raises SourceError as `iconify.fetch_packages`, or naming the file of a tarball that is not what it should be.
    """
    names, place = iconify.fetch_packages("the icons", Path(config.path), raw, earlier)
    drawings = (each for name in names for each in _drawings(iconify.read_package(raw / name)))
    return {"icons": write_drawings(raw, drawings, FACTORS, made_with(config)), "packages": len(names), "from": place}


def opened(config: DatasetConfig, raw: Path) -> Opened:
    """Every icon. Raises SourceError when `raw` was fetched with another list of packages."""
    return open_drawings(config, raw, made_with(config))


def _drawings(package: IconSet) -> Iterator[Drawing]:
    for name in package.names():
        where = f"{package.prefix}/{name}"
        yield Drawing(where, f"{SCOPE}/{where}", package.svg(name), package.licence, {"package": package.prefix})
