"""Sources of pictures, by `dataset.name`."""

from __future__ import annotations

from soda.data.sources import avatars, emoji, fashion_mnist, folder
from soda.data.sources.base import TRAIN, Item, Source, SourceError
from soda.data.sources.objects import furniture, random_objects
from soda.data.sources.published import PUBLISHED

__all__ = ["SOURCES", "TRAIN", "Item", "Source", "SourceError", "get_source"]

SOURCES: dict[str, Source] = {
    "fashion_mnist": fashion_mnist,
    "folder": folder,
    "avatars": avatars,
    "emoji": emoji,
    "furniture": furniture,
    "random_objects": random_objects,
    **PUBLISHED,
}


def get_source(name: str) -> Source:
    """The source called `name`. Raises SourceError when there is none."""
    try:
        return SOURCES[name]
    except KeyError:
        raise SourceError(f"dataset.name: {name!r} is no source of pictures; there are {', '.join(SOURCES)}") from None
