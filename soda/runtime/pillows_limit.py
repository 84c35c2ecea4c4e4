"""Pillow's own limit of pixels, which is one for the whole process, out of the way of the limit that a caller names."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image

_LOCK = threading.Lock()
_raised: list[int] = []  # what those inside allow
_usual: list[int | None] = []  # Pillow's limit while none of them raised it


@contextmanager
def allowing(pixels: int) -> Iterator[None]:
    """Let Pillow decode so many pixels without an error or a warning; nothing changes where it does so anyway.

    Several threads may be inside at once; the last one to leave gives Pillow its own limit back.
    """
    with _LOCK:
        limit = _usual[0] if _raised else Image.MAX_IMAGE_PIXELS
        above = limit is not None and pixels > limit
        if above:
            if not _raised:
                _usual[:] = [limit]
            _raised.append(pixels)
            Image.MAX_IMAGE_PIXELS = max(_raised)
    try:
        yield
    finally:
        if above:
            with _LOCK:
                _raised.remove(pixels)
                Image.MAX_IMAGE_PIXELS = max(_raised) if _raised else _usual[0]
