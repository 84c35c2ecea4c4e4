"""Which Prefect server this project has, and which one a run that is started by hand reports to.

python -m flows.server start [PORT]   serve it, on 4200 or the next free port, and note the address in .prefect/server.json
python -m flows.server url            print its address; fails when it does not answer
python -m flows.server env            print what a shell needs for `prefect` commands: eval "$(python -m flows.server env)"
"""

from __future__ import annotations

import http.client
import json
import os
import shlex
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from socket import AF_INET, SO_REUSEADDR, SOCK_STREAM, SOL_SOCKET, socket
from typing import Any

from prefect.logging import get_logger
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, PREFECT_CLOUD_API_URL, PREFECT_HOME, temporary_settings

from flows.password import FILE, basic, headers, make_password, read_password
from flows.proxies import bypass_proxy, bypassing
from flows.temporary_server import ServerError, temporary_server
from soda.common.files import write_json

logger = get_logger("flows")

FIRST_PORT, PORTS = 4200, 100

_MOST = 1 << 20  # bytes of an answer: what listens there may be anything, and talk for ever


def answers_for(url: str, home: Path) -> bool:
    """Whether a Prefect server answers at `url` (http://host:port/api) and keeps its database in `home`."""
    try:
        asked = urllib.request.Request(f"{url.rstrip('/')}/admin/settings", headers=headers(read_password(home), url))
        with urllib.request.urlopen(asked, timeout=10) as answer:
            theirs = json.loads(answer.read(_MOST))["home"]
        # A server that was started by hand may say ".prefect" alone, as that of any clone does.
        return Path(theirs).is_absolute() and Path(theirs).resolve() == home.resolve()
    except (OSError, ValueError, TypeError, LookupError, RecursionError, http.client.HTTPException):
        return False  # another service, or none


def require_prefect(url: str) -> None:
    """Raise ServerError, with the reason, where no Prefect server answers at `url`, or not to us."""
    if url.startswith(PREFECT_CLOUD_API_URL.value()):
        return  # it has other ways to say so
    try:
        if _answer(f"{url.rstrip('/')}/health", {}) is not True:
            raise ServerError(f"PREFECT_API_URL={url}: what answers there is no Prefect server")
        password = PREFECT_API_AUTH_STRING.value()
        if not isinstance(_answer(f"{url.rstrip('/')}/admin/version", basic(password) if password else {}), str):
            raise ServerError(f"PREFECT_API_URL={url}: what answers there is no Prefect server")
    except urllib.error.HTTPError as error:
        if error.code in (401, 403):
            raise ServerError(f"PREFECT_API_URL={url}: it asks for another password than PREFECT_API_AUTH_STRING has") from None
        raise ServerError(f"PREFECT_API_URL={url}: what answers there is no Prefect server ({error})") from None
    except OSError as error:
        raise ServerError(f"PREFECT_API_URL={url}: nothing answers there ({getattr(error, 'reason', error)})") from None
    except (ValueError, RecursionError, http.client.HTTPException) as error:
        said = str(error).splitlines() or [type(error).__name__]
        raise ServerError(f"PREFECT_API_URL={url}: what answers there is no Prefect server ({said[0][:99]})") from None


def _answer(url: str, shown: dict[str, str]) -> Any:
    with urllib.request.urlopen(urllib.request.Request(url, headers=shown), timeout=10) as answer:
        return json.loads(answer.read(_MOST))


def project_url() -> str | None:
    """The address of this project's own server (`make server`) when it is up, or the one that a person named in PREFECT_API_URL.

    Another project's server that happens to listen at the usual port is not this project's. Raises ServerError where no Prefect
    server answers at the address that a person named.
    """
    bypass_proxy()
    if named := os.environ.get("PREFECT_API_URL"):
        require_prefect(named)
        return named
    home = PREFECT_HOME.value()
    try:
        noted = json.loads((home / "server.json").read_text(encoding="utf-8"))["url"]
    except (OSError, ValueError, KeyError, TypeError):
        noted = None
    return next((url for url in (noted, PREFECT_API_URL.value()) if url and answers_for(url, home)), None)


@contextmanager
def project_server() -> Iterator[None]:
    """Report to this project's own server when it is up, else to a temporary one with the same database."""
    if url := project_url():
        if not os.environ.get("PREFECT_API_URL"):
            logger.info("reporting to the Prefect server at %s", url)
        own = None if os.environ.get("PREFECT_API_URL") else read_password(PREFECT_HOME.value())
        with temporary_settings(updates={PREFECT_API_URL: url, **({PREFECT_API_AUTH_STRING: own} if own else {})}):
            yield
    else:
        logger.info("no Prefect server of this project is up: starting a temporary one, which takes up to half a minute")
        home = PREFECT_HOME.value()
        password = make_password(home)
        logger.info("its pages ask for a password: the line in %s", home / FILE)
        with temporary_server(password):
            yield


def _is_free(port: int) -> bool:
    with closing(socket(AF_INET, SOCK_STREAM)) as probe:
        probe.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)  # as the server does: a port that was left a moment ago is free
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def choose_port(wanted: int | None) -> int:
    """The port that was asked for, else the first free one from 4200 on. Raises ServerError when there is none."""
    for port in [wanted] if wanted else range(FIRST_PORT, FIRST_PORT + PORTS):
        if _is_free(port):
            return port
    if wanted:
        raise ServerError(f"port {wanted} is taken; make server PORT=... takes another, and without PORT the first that is free")
    raise ServerError(f"none of the ports {FIRST_PORT} to {FIRST_PORT + PORTS - 1} is free; name one: make server PORT=...")


def _start(wanted: int | None) -> None:
    home = PREFECT_HOME.value().resolve()
    if url := None if os.environ.get("PREFECT_API_URL") else project_url():
        raise ServerError(f"this project's server is up already: {url.removesuffix('/api')}")
    port = choose_port(wanted)
    url = f"http://127.0.0.1:{port}/api"
    write_json(home / "server.json", {"url": url})
    command = ["prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    password = make_password(home)
    sys.stdout.write(f"the pages ask for a password: the line in {home / FILE}\n")
    sys.stdout.flush()
    settings = {"PREFECT_API_URL": url, "PREFECT_HOME": str(home)}
    settings |= {"PREFECT_SERVER_API_AUTH_STRING": password, "PREFECT_API_AUTH_STRING": password}
    os.execvpe(sys.executable, [sys.executable, "-m", *command], {**os.environ, **settings})


def main(arguments: list[str]) -> int:
    """Returns the exit status."""
    try:
        if arguments[:1] == ["start"]:
            _start(int(arguments[1]) if len(arguments) > 1 else None)
        url = project_url()
        if url is None:
            raise ServerError("no Prefect server of this project answers; start it with: make server")
    except ServerError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if arguments[:1] == ["env"]:
        password = os.environ.get("PREFECT_API_AUTH_STRING") or read_password(PREFECT_HOME.value()) or ""
        exported = {"PREFECT_API_URL": url, "PREFECT_API_AUTH_STRING": password, **bypassing()}
        sys.stdout.write(f"export {' '.join(f'{name}={shlex.quote(value)}' for name, value in exported.items())}\n")
        return 0
    sys.stdout.write(f"{url}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
