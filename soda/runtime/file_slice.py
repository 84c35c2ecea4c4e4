"""A picture whose bytes lie somewhere in a larger file: in a tar, which is read where it is."""

from __future__ import annotations

import io
from dataclasses import dataclass

from soda.runtime.picture_error import PictureError


@dataclass(frozen=True, slots=True)
class FileSlice:
    """`length` bytes from `start` on, both bytes, of the file `path`. name: what errors call the picture. Can be pickled."""

    path: str
    start: int
    length: int
    name: str

    def open(self) -> io.BytesIO:
        """The picture's own bytes. Raises PictureError where the file cannot be read or ends before them."""
        try:
            with open(self.path, "rb") as file:
                file.seek(self.start)
                content = file.read(self.length)
        except OSError as error:
            raise PictureError(f"{self.name}: {(error.strerror or str(error)).lower()}") from None
        if len(content) != self.length:
            raise PictureError(f"{self.name}: cut off: its file ends after {len(content):,} of its {self.length:,} bytes")
        return io.BytesIO(content)
