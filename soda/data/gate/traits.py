"""Traits of images, one number an image: what a version of a data set is described by, so that the next can be held to it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

PLACES = 8
"""The grey of PLACES x PLACES parts of the image is a trait each: a mark in a corner moves one of them and no mean."""
PLACE = "grey at "
_BLOCK = 1 << 22  # numbers at once


def traits_of(images: np.ndarray) -> dict[str, np.ndarray]:
    """Level, contrast, edges both ways, fine detail, balance, grey levels in use, colours and how they go together, and places.

    Args:
        images: (n, S, S, C) uint8.

    Returns:
        name -> (n,) float32, in grey levels of [0, 1], shares, or squares of grey levels ("with").
    """
    step = max(1, _BLOCK // int(np.prod(images.shape[1:])))
    blocks = [_traits(images[start : start + step]) for start in range(0, max(1, len(images)), step)]
    return {name: np.concatenate([block[name] for block in blocks]).astype(np.float32) for name in blocks[0]}


def _traits(block: np.ndarray) -> dict[str, np.ndarray]:
    images = block.astype(np.float32) / 255
    grey = images.mean(axis=3)  # (n, S, S)
    side, whole = grey.shape[1], (1, 2)
    quarter, half = side // 4, side // 2
    inside = grey[:, quarter : side - quarter, quarter : side - quarter].mean(axis=whole)
    around = np.concatenate((grey[:, 0], grey[:, -1], grey[:, :, 0], grey[:, :, -1]), axis=1).mean(axis=1)
    found = {
        "edges across": np.abs(np.diff(grey, axis=2)).mean(axis=whole),
        "edges down": np.abs(np.diff(grey, axis=1)).mean(axis=whole),
        "fine detail": np.abs(np.diff(grey, 2, axis=2)).mean(axis=whole) + np.abs(np.diff(grey, 2, axis=1)).mean(axis=whole),
        "border over inside": around - inside,
        "top over bottom": grey[:, :half].mean(axis=whole) - grey[:, half:].mean(axis=whole),
        "left over right": grey[:, :, :half].mean(axis=whole) - grey[:, :, half:].mean(axis=whole),
        "dark": (grey < 0.25).mean(axis=whole),
        "bright": (grey > 0.75).mean(axis=whole),
        "grey levels in use": _levels(grey) / 256,
    }
    for index, name in enumerate(("red", "green", "blue") if images.shape[3] == 3 else ("grey",)):
        found[f"{name} mean"] = images[..., index].mean(axis=whole)
        found[f"{name} deviation"] = images[..., index].std(axis=whole)
    if images.shape[3] == 3:
        found |= _colours(images)
    found |= {f"{PLACE}{y},{x}": values for y, x, values in _places(grey)}
    return found


def _levels(grey: np.ndarray) -> np.ndarray:
    """How many of the 256 levels each image has: (n,)."""
    levels = np.sort((grey * 255 + 0.5).astype(np.uint8).reshape(len(grey), -1), axis=1)
    return 1 + (levels[:, 1:] != levels[:, :-1]).sum(axis=1)


def _colours(images: np.ndarray) -> dict[str, np.ndarray]:
    red, green, blue = (images[..., index] for index in range(3))
    apart = images - images.mean(axis=(1, 2), keepdims=True)
    found = {
        "red over blue": (red - blue).mean(axis=(1, 2)),
        "green over both": (green - (red + blue) / 2).mean(axis=(1, 2)),
        "colourfulness": (images.max(axis=3) - images.min(axis=3)).mean(axis=(1, 2)),
    }
    for one, other, name in ((0, 1, "red with green"), (0, 2, "red with blue"), (1, 2, "green with blue")):
        found[name] = (apart[..., one] * apart[..., other]).mean(axis=(1, 2))
    return found


def _places(grey: np.ndarray) -> Iterator[tuple[int, int, np.ndarray]]:
    side = grey.shape[1]
    if side < PLACES:
        return
    edges = [side * each // PLACES for each in range(PLACES + 1)]
    for y in range(PLACES):
        for x in range(PLACES):
            yield y + 1, x + 1, grey[:, edges[y] : edges[y + 1], edges[x] : edges[x + 1]].mean(axis=(1, 2))
