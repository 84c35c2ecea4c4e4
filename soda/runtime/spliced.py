"""A file put together from pieces of another one and from bytes, without a copy of either."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import BinaryIO, TypeAlias

Piece: TypeAlias = bytes | tuple[int, int]
"""Bytes, or (start, length) in the other file."""


class Spliced(io.RawIOBase):
    """Reads `pieces` of `file` one after another. It has no descriptor: decoders are to read what stands here."""

    def __init__(self, file: BinaryIO, pieces: Sequence[Piece]) -> None:
        self._file, self._pieces = file, pieces
        self._ends: list[int] = []
        end = 0
        for piece in pieces:
            end += len(piece) if isinstance(piece, bytes) else piece[1]
            self._ends.append(end)
        self._place = self._at = 0  # the next byte, and the piece in which it was last found

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        length = self._ends[-1] if self._ends else 0
        self._place = max(0, offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: length}[whence])
        self._at = 0
        return self._place

    def read(self, size: int | None = -1) -> bytes:
        """Up to `size` bytes, all that are left by default; fewer only at the end."""
        left = (self._ends[-1] if self._ends else 0) - self._place
        wanted = max(0, left if size is None or size < 0 else min(size, left))
        found: list[bytes] = []
        while wanted > 0:
            while self._ends[self._at] <= self._place:
                self._at += 1
            piece = self._pieces[self._at]
            length = len(piece) if isinstance(piece, bytes) else piece[1]
            inside = self._place - (self._ends[self._at] - length)
            count = min(wanted, length - inside)
            if isinstance(piece, bytes):
                block = piece[inside : inside + count]
            else:
                self._file.seek(piece[0] + inside)
                block = self._file.read(count)
                if not block:
                    break  # the other file is shorter than its pieces say
            found.append(block)
            self._place += len(block)
            wanted -= len(block)
        return b"".join(found)

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        block = self.read(len(buffer))
        buffer[: len(block)] = block
        return len(block)
