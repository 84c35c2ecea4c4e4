"""Whether a Prefect server is this project's, whatever listens there; and no proxy on the way to this machine itself."""

from __future__ import annotations

import base64
import json
import os
import re
import socketserver
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from flows import dvc_client
from flows.password import FILE, headers, make_password, read_password
from flows.proxies import KEPT, bypass_proxy, bypassing, given_back
from flows.server import answers_for, require_prefect
from flows.temporary_server import ServerError
from soda.common.without_git import allow_without_git
from tests.support.scratch_project import PROJECT


@contextmanager
def service(answer: bytes) -> Iterator[str]:
    """What answers every request with the same bytes."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(4096)
            self.request.sendall(answer)

    with socketserver.TCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/api"
        server.shutdown()


def http(body: bytes, status: str = "200 OK") -> bytes:
    return f"HTTP/1.0 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def test_a_service_of_another_kind_is_not_this_projects(tmp_path: Path) -> None:
    answers = [
        b"SSH-2.0-OpenSSH\r\n",
        b"",
        http(b"<html>"),
        http(b"", "404 Not Found"),
        http(b"null"),
        http(b"[1]"),
        http(b'{"home": null}'),
    ]
    answers += [http(b'{"home": "/elsewhere"}'), http(b"[" * 100_000), b"HTTP/1.0 200 OK\r\n" + b"x" * 70_000, b"\x00\xff" * 99]
    for answer in answers:
        with service(answer) as url:
            assert not answers_for(url, tmp_path), answer[:40]
    with service(http(json.dumps({"home": str(tmp_path)}).encode())) as url:
        assert answers_for(url, tmp_path)


@pytest.mark.parametrize("before", [{}, {"no_proxy": "example.org"}, {"NO_PROXY": "example.org, localhost"}])
def test_no_proxy_on_the_way_to_this_machine(before: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    for name, value in (before | {"HTTP_PROXY": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(urllib.request, "_opener", None)  # it remembers the proxies of its first request
    bypass_proxy()
    assert os.environ["no_proxy"] == os.environ["NO_PROXY"]
    assert {"127.0.0.1", "localhost"} | ({"example.org"} if before else set()) <= set(os.environ["no_proxy"].split(","))
    with service(http(json.dumps({"home": str(tmp_path)}).encode())) as url:
        assert answers_for(url, tmp_path)


SOCKS = "socks5://127.0.0.1:9"


@pytest.mark.parametrize("name", ["ALL_PROXY", "all_proxy", "HTTPS_PROXY", "http_proxy"])
@pytest.mark.parametrize("value", ["socks://127.0.0.1:9/", "socks4://127.0.0.1:9", "ftp://127.0.0.1:9", "http://[::1", SOCKS])
def test_a_proxy_that_prefects_client_cannot_use_is_kept_for_the_stages(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for each in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", KEPT):
        for spelt in (each, each.lower()):
            monkeypatch.setenv(spelt, "")  # so that it is put back
            monkeypatch.delenv(spelt)
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:8")
    monkeypatch.setenv(name, value)
    if value == SOCKS:
        monkeypatch.setitem(sys.modules, "socksio", None)  # not installed
        monkeypatch.setattr("flows.proxies.find_spec", lambda name: None)
    with pytest.raises((ImportError, ValueError, httpx.InvalidURL)):
        httpx.Client()
    for _ in range(2):  # the worker's runs do so again
        bypass_proxy()
        httpx.Client().close()
        assert given_back(os.environ)[name] == value and KEPT not in given_back(os.environ)
    assert dvc_client._environment()[name] == value
    if name != "HTTPS_PROXY":
        assert os.environ["HTTPS_PROXY"] == "http://127.0.0.1:8"
    assert bypassing()[name] == "" and bypassing()["NO_PROXY"]


def test_what_answers_at_a_named_address_has_to_be_a_prefect_server() -> None:
    with service(b"") as url, pytest.raises(ServerError, match=f"PREFECT_API_URL={url}: nothing answers there"):
        require_prefect(url)
    for answer in (b"SSH-2.0\r\n", http(b"<html>"), http(b"{}"), http(b'{"status": "ok"}'), http(b"true"), http(b"[" * 9999)):
        with service(answer) as url, pytest.raises(ServerError, match=f"PREFECT_API_URL={url}: what answers there is no Prefect"):
            require_prefect(url)
    for status, says in (("404 Not Found", "no Prefect server"), ("401 Unauthorized", "PREFECT_API_AUTH_STRING")):
        with service(http(b"", status)) as url, pytest.raises(ServerError, match=says):
            require_prefect(url)
    for url in ("http://127.0.0.1:9/api", "http://no.such.host.invalid/api", "127.0.0.1:4200/api", "nonsense", "http://[::1"):
        with pytest.raises(ServerError, match=re.escape(f"PREFECT_API_URL={url}: ")):
            require_prefect(url)


@pytest.mark.parametrize("module", ["flows.pipeline", "flows.tidy"])
def test_a_named_service_of_another_kind_is_one_line(module: str, tmp_path: Path) -> None:
    with service(http(b"<html>")) as url:
        environment = os.environ | {"PREFECT_API_URL": url, "PREFECT_HOME": str(tmp_path), "PYTHONPATH": str(PROJECT)}
        command = [sys.executable, "-m", module]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode in (1, 2) and f"PREFECT_API_URL={url}: what answers there is no Prefect server" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_copy_without_git_is_told_to_dvc_once(tmp_path: Path) -> None:
    assert not allow_without_git(tmp_path)  # no project at all
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text("[core]\n    analytics = false\n")
    assert allow_without_git(tmp_path) and not allow_without_git(tmp_path)
    assert (tmp_path / ".dvc/config.local").read_text() == "[core]\n    no_scm = true\n"
    (tmp_path / ".dvc/config.local").unlink()
    (tmp_path / ".git").mkdir()
    assert not allow_without_git(tmp_path)


def test_the_password_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    home = tmp_path / ".prefect"
    assert read_password(home) is None and headers(None, "http://127.0.0.1:9/api") == {}
    made = make_password(home)
    assert make_password(home) == read_password(home) == made and len(made) > 30
    assert (home / FILE).stat().st_mode & 0o777 == 0o600
    (home / FILE).chmod(0o640)
    with pytest.raises(ServerError, match="others can read"):
        read_password(home)
    (home / FILE).write_text("\n")
    (home / FILE).chmod(0o600)
    with pytest.raises(ServerError, match="name:password"):
        read_password(home)


def test_this_projects_server_is_found_behind_its_password(tmp_path: Path) -> None:
    password, seen = make_password(tmp_path), list[bytes]()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            seen.append(self.request.recv(4096))
            right = b"Basic " + base64.b64encode(password.encode()) in seen[-1]
            body = json.dumps({"home": str(tmp_path)}).encode()
            self.request.sendall(http(body) if right else http(b"", "401 Unauthorized"))

    with socketserver.TCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}/api"
        assert answers_for(url, tmp_path)
        make_password(tmp_path / "other")
        assert not answers_for(url, tmp_path / "other")
        server.shutdown()
    assert len(seen) == 2


def test_a_run_cannot_choose_its_command_its_environment_or_its_folder() -> None:
    template = json.loads((PROJECT / "deploy/work-pool.json").read_text())
    assert set(template["variables"]["properties"]) == {"name", "stream_output"}
    assert not {"command", "env", "working_dir"} & set(template["job_configuration"])
    assert template["variables"]["properties"]["stream_output"]["default"] is False
