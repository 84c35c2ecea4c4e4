"""The page in Chromium: how soon a picture has its vector once the model is there, and how large the page is beside it."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

from benchmarks.deploying import MODEL, photo
from benchmarks.training import Figures
from tests.support.website import browser_path, lay_out, web_server

ROUNDS = 5


def measure() -> Figures:
    """Of MODEL, on loopback, in fresh tabs. Fails with what to install where there is no Chromium."""
    loads, firsts = [], []
    with tempfile.TemporaryDirectory() as root:
        site = lay_out(Path(root))
        subprocess.run([sys.executable, "apps/web/bundle_model.py", MODEL, "--to", site / "model"], check=True)
        picture = Path(root) / "a.jpg"
        photo(0, (320, 240)).save(picture)
        own = [path for path in site.rglob("*") if path.is_file() and "model" not in path.parts and path.suffix != ".wasm"]
        size = sum(path.stat().st_size for path in own)
        with web_server(Path(root)) as address, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=browser_path(), args=["--no-sandbox"])
            for _ in range(ROUNDS):
                page = browser.new_page()
                started = time.perf_counter()
                page.goto(address)
                page.wait_for_selector(".status.ready")
                loads.append(time.perf_counter() - started)
                started = time.perf_counter()
                page.set_input_files("#files", picture)
                page.wait_for_selector(".cell")
                firsts.append(time.perf_counter() - started)
                page.close()
            browser.close()
    return {
        "browser: page and model loaded": (statistics.median(loads), "s"),
        "browser: first result after that": (statistics.median(firsts), "s"),
        "browser: the page beside models and wasm": (size / 1e3, "kB"),
    }
