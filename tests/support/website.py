"""The built page on a loopback port, under a sub-path, and a real Chromium to look at it."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
from playwright.sync_api import Page, expect

from tests.support.running import ROOT

SUB_PATH = "/some/where/soda/"


def make(target: str) -> None:
    """Build what changed, as `make` knows it."""
    done = subprocess.run(["make", "-s", target], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"make {target}\n{done.stdout}{done.stderr}"


def browser_path() -> str:
    """Chromium, which `make test` installs where it may. Fails with what to do where there is none."""
    found = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")
    assert found, "Chromium is missing; `make browser-tools` installs it, or: apt install chromium"
    return found


def lay_out(root: Path) -> Path:
    """The built page under `root` + SUB_PATH, without a model. Returns its folder."""
    make("apps/web/dist/.built")
    page = root / SUB_PATH.strip("/")
    shutil.copytree(ROOT / "apps/web/dist", page, ignore=shutil.ignore_patterns("model"))
    return page


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        """Says nothing."""


@contextmanager
def web_server(root: Path) -> Iterator[str]:
    """Serve a folder as plain web space does; gives the address of the page in it."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(root)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}{SUB_PATH}"
    finally:
        server.shutdown()
        server.server_close()


def add(page: Page, files: list[Path]) -> None:
    before = page.locator(".cell").count()
    page.set_input_files("#files", files)
    expect(page.locator(".cell")).to_have_count(before + len(files))


def saved_vectors(page: Page) -> dict[str, np.ndarray]:
    with page.expect_download() as download:
        page.click("#save")
    rows = json.loads(Path(download.value.path()).read_text())["pictures"]
    return {row["file"]: np.asarray(row["z"], np.float32) for row in rows}


def pixels(page: Page, selector: str) -> np.ndarray:
    """What a canvas shows: (H, W, 4)."""
    found = page.eval_on_selector(
        selector, "c => [c.width, c.height, ...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]"
    )
    return np.asarray(found[2:], np.uint8).reshape(found[1], found[0], 4)
