"""Getting named files into a folder: from another folder, a Debian package (without root), npm or a web server."""

from __future__ import annotations

import http.client
import os
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

from tqdm import tqdm

from soda.common.errors import SodaError

TIMEOUT = 30  # seconds without an answer
MOST_BYTES = 4 << 30  # of one file
PACKAGE_TIMEOUT = 300  # seconds for apt-get to fetch lists or a package


class DownloadError(SodaError, ValueError):
    """A place that does not give what is wanted; the message says why, the caller names the place."""


def copy_from_folder(folder: Path, names: list[str], into: Path) -> None:
    """Copy the files. Raises DownloadError when the folder or one of them is missing."""
    if not folder.is_dir():
        raise DownloadError("no such folder")
    for name in names:
        if not (folder / name).is_file():
            raise DownloadError(f"there is no {name} in it")
        if not os.access(folder / name, os.R_OK):
            raise DownloadError(f"{name} may not be read")
        shutil.copyfile(folder / name, into / name)


def download(base: str, names: list[str], into: Path) -> None:
    """Download base + name for each name, with a progress bar. Raises DownloadError on any failure or a slow server."""
    for name in names:
        try:
            with urllib.request.urlopen(base + name, timeout=TIMEOUT) as answer, (into / name).open("wb") as file:
                size = int(answer.headers.get("Content-Length") or 0) or None
                with tqdm(total=size, unit="B", unit_scale=True, desc=name, leave=False) as bar:
                    while block := answer.read(1 << 16):
                        file.write(block)
                        bar.update(len(block))
                        if file.tell() > MOST_BYTES:
                            raise DownloadError(f"{name}: the server sends more than {MOST_BYTES:,} bytes")
        except urllib.error.HTTPError as error:
            raise DownloadError(f"{name}: the server answers {error.code} {error.reason}") from None
        except urllib.error.URLError as error:
            raise DownloadError(f"{name}: {error.reason}") from None
        except (TimeoutError, ConnectionError, http.client.HTTPException) as error:
            raise DownloadError(f"{name}: {error or type(error).__name__}") from None


def debian_package(package: str, folder: Path, names: list[str], into: Path) -> None:
    """Fetch a Debian package, unpack it in a temporary folder and copy files out of its `folder`: needs no root.

    When apt has no package lists (a container's usual state), it is given lists of its own in the temporary folder, so that
    the machine's stay as they are. Raises DownloadError where there is no apt-get, no such package or no network.
    """
    for program in ("apt-get", "dpkg-deb"):
        if shutil.which(program) is None:
            raise DownloadError(f"there is no {program} on this machine")
    with tempfile.TemporaryDirectory(prefix="soda-apt-") as temporary:
        work = Path(temporary)
        work.chmod(0o755)
        try:
            _run(["apt-get", *_options(), "download", package], work)
        except DownloadError as first:
            try:
                own = _own_state(work)
                _run(["apt-get", *_options(), *own, "update"], work)
                _run(["apt-get", *_options(), *own, "download", package], work)
            except DownloadError as second:
                raise DownloadError(f"{first}; with package lists of its own: {second}") from None
        packages = sorted(work.glob(f"{package}_*.deb"))
        if not packages:
            raise DownloadError("apt-get downloaded nothing")
        _run(["dpkg-deb", "-x", str(packages[0]), str(work / "unpacked")], work)
        copy_from_folder(work / "unpacked" / folder.relative_to(folder.anchor), names, into)


def npm_packages(scope: str, names: list[str], into: Path) -> None:
    """Fetch packages `scope`/<package> as the tarballs <package>-<version>.tgz that `names` are, with the machine's own npm: it
    knows the mirror and the certificates that are to be used here. Nothing of them is run or installed.

    Raises DownloadError where there is no npm, no such version or no network.
    """
    if shutil.which("npm") is None:
        raise DownloadError("there is no npm on this machine")
    with tempfile.TemporaryDirectory(prefix="soda-npm-") as temporary:
        work = Path(temporary)
        for name in names:
            package, _, version = name.removesuffix(".tgz").rpartition("-")
            _run(["npm", "pack", "--ignore-scripts", "--silent", f"{scope}/{package}@{version}"], work)
            packed = work / f"{scope.removeprefix('@')}-{name}"
            if not packed.is_file():
                raise DownloadError(f"npm left no {packed.name}")
            shutil.copyfile(packed, into / name)


def _options() -> list[str]:
    acquire = [f"http::Timeout={TIMEOUT}", f"https::Timeout={TIMEOUT}", "Retries=1"]
    options = ["-q", *(f"-oAcquire::{option}" for option in acquire)]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        options.append("-oAPT::Sandbox::User=root")  # apt's own user may not enter the temporary folder
    return options


def _own_state(work: Path) -> list[str]:
    for name in ("state/lists/partial", "cache/archives/partial"):
        (work / name).mkdir(parents=True)
    folders = [f"-oDir::State={work / 'state'}", f"-oDir::State::Lists={work / 'state/lists'}", f"-oDir::Cache={work / 'cache'}"]
    return [*folders, "-oDir::State::status=/var/lib/dpkg/status", "-oAcquire::Languages=none"]


def _run(command: list[str], folder: Path) -> None:
    environment = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=PACKAGE_TIMEOUT,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise DownloadError(f"{command[0]} took more than {PACKAGE_TIMEOUT} s") from None
    if done.returncode:
        lines = [
            line for line in done.stderr.splitlines() if line.startswith(("E:", "npm error code"))
        ] or done.stderr.strip().splitlines()[-1:]
        raise DownloadError(f"{command[0]} failed: {'; '.join(lines) or f'exit status {done.returncode}'}")
