"""Sources of images, by `dataset.name`. Each module here, and in `objects`, that has `opened` is one, and is found by itself."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from soda.data.sources import objects
from soda.data.sources.base import TRAIN, Item, Opened, Source, SourceError
from soda.data.sources.published import PUBLISHED

__all__ = ["SOURCES", "TRAIN", "Item", "Opened", "Source", "SourceError", "get_source"]


def _modules() -> dict[str, Source]:
    folders = ((__name__, __path__), (objects.__name__, objects.__path__))
    found = {each.name: import_module(f"{package}.{each.name}") for package, path in folders for each in iter_modules(path)}
    return {name: module for name, module in found.items() if hasattr(module, "opened")}  # type: ignore[misc]


SOURCES: dict[str, Source] = {**_modules(), **PUBLISHED}


def get_source(name: str) -> Source:
    """The source called `name`. Raises SourceError when there is none."""
    try:
        return SOURCES[name]
    except KeyError:
        raise SourceError(f"dataset.name: {name!r} is no source of images; there are {', '.join(SOURCES)}") from None
