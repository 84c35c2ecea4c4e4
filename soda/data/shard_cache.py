"""Shards that lie elsewhere (s3://, gs://, any address that fsspec knows), in a local folder of bounded size.

A file there is called by the SHA-256 that summary.json has of it, and gets its name only when its bytes are those: whatever is
read is what was prepared. Processes share the folder. A shard in use is locked, and what was not used for longest goes first; the
operating system frees the locks of a process that was killed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from soda.common.errors import NotInstalledError, SodaError
from soda.data.locks import locked
from soda.data.manifest_columns import DatasetError

WAIT = 60.0
"""Seconds to wait for room while other processes use all that there is."""
_CHUNK = 4 << 20  # bytes read at once
_HEADER = 128  # of a .npy file of this shape
_POLL = 0.02


class ShardCache:
    """The shards of a prepared folder at `address`, as far as they are wanted, in `folder`: at most `limit` bytes.

    `held` of them at most are in use by this process, and stay; `plan` sets it.
    """

    def __init__(self, address: str, folder: Path, limit: int) -> None:
        self.address, self.folder, self.limit = address.rstrip("/"), Path(folder), limit
        self.held = 1
        self._open: OrderedDict[str, tuple[np.ndarray, int]] = OrderedDict()  # by sha256, what was used last at the end
        self._guard, self._queue = threading.Lock(), threading.Lock()
        self._wanted: list[tuple[dict[str, Any], int]] = []  # to be fetched ahead
        self._fetching = False

    def plan(self, held: int, needed: int, shard_bytes: int) -> None:
        """So many shards are to be in use at once, and so many to be here. Raises DatasetError where they do not fit."""
        if (most := needed * (shard_bytes + _HEADER)) > self.limit:
            raise DatasetError(
                f"train.shards.gigabytes: {self.limit / 1e9:g} are less than the {needed} shards of {shard_bytes / 1e6:.3g} MB "
                f"that must be here at once; it must be {most / 1e9:.3g} or more, or train.shuffle_buffer smaller, but above 0"
            )
        self.held = max(self.held, held)

    def get(self, entry: dict[str, Any], nbytes: int) -> np.ndarray:
        """A shard, mapped and read-only. entry: its line of summary.json; nbytes: of its pixels.

        Raises DatasetError where it cannot be had, is not what summary.json says, or there is no room for it.
        """
        key = str(entry["sha256"])
        with self._guard:
            if key in self._open:
                self._open.move_to_end(key)
                return self._open[key][0]
            while len(self._open) >= self.held:
                os.close(self._open.popitem(last=False)[1][1])  # who still has its pixels keeps them
            handle = self._hold(entry, nbytes, WAIT)
            try:
                pixels = np.load(self._path(key), mmap_mode="r", allow_pickle=False)
            except (ValueError, EOFError) as error:
                os.close(handle)
                raise DatasetError(f"{self.path_of(entry)}: cannot be read ({error}); prepare the data again") from None
            self._open[key] = pixels, handle
            return pixels

    def fetch_ahead(self, entries: Sequence[dict[str, Any]], nbytes: Sequence[int]) -> None:
        """Bring these, in this order, while others are used; as far as there is room. Returns at once."""
        with self._queue:
            self._wanted = list(zip(entries, nbytes, strict=True))
            if not self._fetching:
                self._fetching = True
                threading.Thread(target=self._bring_wanted, name="shards", daemon=True).start()

    def _bring_wanted(self) -> None:
        while True:
            with self._queue:
                if not self._wanted:
                    self._fetching = False
                    return
                entry, nbytes = self._wanted.pop(0)
            with contextlib.suppress(SodaError, OSError):  # whoever needs it will be told
                os.close(self._hold(entry, nbytes, 0))

    def close(self) -> None:
        """Let go of what is held."""
        with self._guard:
            while self._open:
                os.close(self._open.popitem()[1][1])

    # --- one file

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.npy"

    def path_of(self, entry: dict[str, Any]) -> str:
        """Where a shard lies."""
        return f"{self.address}/{entry['file']}"

    def _hold(self, entry: dict[str, Any], nbytes: int, patience: float) -> int:
        """A handle of the shard's file that keeps it here; it is brought where it is missing."""
        path = self._path(str(entry["sha256"]))
        self.folder.mkdir(parents=True, exist_ok=True)
        while (handle := locked(path, shared=True)) is None:
            # Whoever brings it gives this very file its name, and then keeps it locked while it is used: to wait for the lock
            # would be to wait for the end of that.
            part = locked(path.with_suffix(".part"), create=True, wait=False)
            if part is None:
                time.sleep(_POLL)
                continue
            try:
                if not path.exists():
                    self._room_for(part, nbytes + _HEADER, patience)
                    self._download(entry, part, nbytes + _HEADER)
                    os.replace(path.with_suffix(".part"), path)
            except BaseException:
                path.with_suffix(".part").unlink(missing_ok=True)
                raise
            finally:
                os.close(part)
        os.utime(path)
        return handle

    def _download(self, entry: dict[str, Any], part: int, most: int) -> None:
        digest, size = hashlib.sha256(), 0
        with self._reading(entry) as chunks:
            for chunk in chunks:
                digest.update(chunk)
                if size + len(chunk) > most:
                    raise DatasetError(f"{self.path_of(entry)}: longer than the shard that summary.json has of this name")
                size += os.pwrite(part, chunk, size)
        if digest.hexdigest() != entry["sha256"]:
            raise DatasetError(
                f"{self.path_of(entry)}: {size} bytes with the SHA-256 {digest.hexdigest()[:12]}…, summary.json says "
                f"{entry['sha256'][:12]}…: truncated, or of other data"
            )
        os.ftruncate(part, size)

    @contextlib.contextmanager
    def _reading(self, entry: dict[str, Any]) -> Iterator[Iterator[bytes]]:
        """The file's bytes where it lies. Raises DatasetError."""
        try:
            from fsspec.core import url_to_fs

            files, root = url_to_fs(self.address)
        except (ImportError, ValueError) as error:
            raise NotInstalledError(f"train.shards.address: {self.address}: {error} (pip install, e.g. s3fs)") from None
        try:
            with files.open(f"{root}/{entry['file']}", "rb", block_size=_CHUNK) as file:
                yield iter(lambda: file.read(_CHUNK), b"")
        except FileNotFoundError:
            raise DatasetError(f"{self.path_of(entry)}: no such file, but summary.json has it") from None
        except DatasetError:
            raise
        except Exception as error:  # each store has errors of its own
            raise DatasetError(f"{self.path_of(entry)}: cannot be read ({type(error).__name__}: {error})") from error

    # --- room

    def _room_for(self, part: int, size: int, patience: float) -> None:
        """Take so many bytes for a file that is being brought; shards that nobody uses go for it. Raises DatasetError."""
        until = time.monotonic() + patience
        while True:
            handle = locked(self.folder / "lock", create=True)  # one process at a time counts
            assert handle is not None
            try:
                if self._made_room(size):
                    os.ftruncate(part, size)
                    return
            finally:
                os.close(handle)
            if time.monotonic() >= until:
                raise DatasetError(
                    f"{self.folder}: no room for {size} bytes: others use all of its {self.limit}; a larger "
                    "train.shards.gigabytes, or another folder"
                )
            time.sleep(_POLL)

    def _made_room(self, size: int) -> bool:
        files = sorted((each.stat().st_mtime_ns, each.stat().st_size, each) for each in self._kept())
        used = sum(each for _, each, _ in files)
        for _, taken, path in files:
            if used + size <= self.limit:
                break
            handle = locked(path, wait=False)
            if handle is not None:  # nobody uses it, or whoever was bringing it is gone
                path.unlink(missing_ok=True)
                os.close(handle)
                used -= taken
        return used + size <= self.limit

    def _kept(self) -> Iterator[Path]:
        """Files in the folder that count; those that vanish meanwhile do not."""
        for path in (*self.folder.glob("*.npy"), *self.folder.glob("*.part")):
            if path.exists():
                yield path
