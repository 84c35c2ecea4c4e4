"""Seeds from what they depend on, so that every random draw can be drawn again by itself."""

from __future__ import annotations

import hashlib


def seed_of(*parts: int | str) -> int:
    """A 63-bit seed from what it depends on, e.g. (seed, step)."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:8], "little") >> 1
