"""Following a folder of releases: when another one is in use there, the service changes over to it, without a failed request.

The next encoder is verified, loaded and run once beside the one at work; then new requests go to it, and those begun end with the
old one. A release that cannot be read or verified changes nothing: it is logged, and the service goes on with what it has.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from soda.common.errors import is_expected
from soda.release.signing import verify, verify_files
from soda.release.store import ENCODER, current_folder
from soda.runtime import Encoder

SECONDS = 1.0  # between two looks at the folder

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Releases:
    """folder: of releases. public: the key that they must be signed with; None: their hashes alone must hold. open: makes an
    encoder of a file."""

    folder: Path
    public: Path | None
    open: Callable[[Path], Encoder]

    def load(self) -> tuple[Encoder, str]:
        """The encoder in use, and its version. Raises ReleaseError or ModelError when it is not what it should be."""
        release = current_folder(self.folder)
        if self.public is None:
            verify_files(release)
        else:
            verify(release, self.public)
        return self.open(release / ENCODER), release.name

    def version(self) -> str:
        return current_folder(self.folder).name


async def follow(releases: Releases, present: Callable[[], str], change: Callable[[Encoder, str], Awaitable[None]]) -> None:
    """Look at the folder for ever, and call `change` with each encoder that comes into use.

    present: the version at work. A version that failed is tried again only after another one was in use, or the folder changed.
    """
    failed: tuple[str, int] | None = None
    while True:
        await asyncio.sleep(SECONDS)
        wanted, mark = "", 0
        try:
            wanted = releases.version()
            mark = (releases.folder / wanted).stat().st_mtime_ns
            if wanted == present() or failed == (wanted, mark):
                continue
            encoder, version = await asyncio.to_thread(releases.load)
            await change(encoder, version)
            failed = None
        except Exception as error:
            if failed != (wanted, mark):
                known = is_expected(error) or isinstance(error, OSError)
                said = "%s: not changed over to %s: %s"
                _log.error(said, releases.folder, wanted or "the release in use", error, exc_info=None if known else error)
            failed = (wanted, mark)
