"""The password of this project's Prefect server: made at its first start, in .prefect/auth, readable by its owner alone.

Prefect calls it the auth string, "name:password". Whoever has it can start runs, and so run code as this user.
"""

from __future__ import annotations

import base64
import os
import secrets
from pathlib import Path
from urllib.parse import urlsplit

from flows.temporary_server import ServerError
from soda.common.files import whole_file

FILE = "auth"


def read_password(home: Path) -> str | None:
    """The server's auth string; None before the first start. Raises ServerError for a file that others can read, or a bad one."""
    path = home / FILE
    try:
        mode, text = path.stat().st_mode, path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return None
    if mode & 0o077:
        raise ServerError(f"{path}: others can read the password of the Prefect server; remove it: `make server` makes a new one")
    if ":" not in text:
        raise ServerError(f"{path}: it must be one line, name:password; without the file `make server` makes a new one")
    return text


def make_password(home: Path) -> str:
    """The server's auth string, made now where there is none."""
    if known := read_password(home):
        return known
    made = f"soda:{secrets.token_urlsafe(24)}"
    with whole_file(home / FILE) as temporary:
        temporary.touch(mode=0o600)
        temporary.write_text(made + "\n", encoding="utf-8")
    return made


def headers(password: str | None, url: str) -> dict[str, str]:
    """What a request to a server at `url` shows; nothing to a process of another user that listens on our port."""
    if password is None or not _own_process(urlsplit(url).port or 80):
        return {}
    return basic(password)


def basic(password: str) -> dict[str, str]:
    """The header that shows an auth string."""
    return {"Authorization": f"Basic {base64.b64encode(password.encode()).decode()}"}


def _own_process(port: int) -> bool:
    """Whether who listens on that port of this machine is this user; True where the system does not say."""
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            return True
        for fields in map(str.split, lines):
            if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port and int(fields[7]) != os.getuid():
                return False
    return True
