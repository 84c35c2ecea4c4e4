"""One encoder, one service, one page, one browser and the same pictures for all tests here."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from soda.runtime import Encoder
from tests.support.running import ENCODER, ROOT, Running, serve
from tests.support.website import browser_path, lay_out, web_server


@pytest.fixture(scope="session")
def encoder() -> Encoder:
    return Encoder(ENCODER, threads=1)


@pytest.fixture(scope="session")
def noise() -> Callable[..., np.ndarray]:
    """uint8 pictures of a shape, always the same."""
    return lambda *shape, seed=0: np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.fixture(scope="session")
def service() -> Iterator[Running]:
    """One service for all tests that only ask; a fast clock, so that the slow ones can be shown."""
    limits = ("--header-timeout", "1", "--body-timeout", "2", "--max-connections", "100", "--max-pictures", "128")
    with serve(*limits) as running:
        yield running


@pytest.fixture(scope="session")
def tiles() -> np.ndarray:
    """100 real pictures, (100, 32, 32, 3): pieces of the sheet that ships with the model, somewhere and of some size."""
    rng, sheet = np.random.default_rng(0), Image.open(ENCODER.parent / "reconstructions.png").convert("RGB")
    boxes = [(*rng.integers(0, (sheet.width - 260, sheet.height - 260)), rng.integers(60, 260)) for _ in range(100)]
    crops = [sheet.crop((int(x), int(y), int(x + side), int(y + side))) for x, y, side in boxes]
    return np.stack([np.asarray(crop.resize((32, 32), Image.Resampling.BILINEAR)) for crop in crops])


@pytest.fixture(scope="session")
def tile_files(tiles: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The tiles as PNG files."""
    folder = tmp_path_factory.mktemp("tiles")
    files = [folder / f"{i:03d}.png" for i in range(len(tiles))]
    for file, tile in zip(files, tiles, strict=True):
        Image.fromarray(tile).save(file)
    return files


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The page with a model that draws, under a sub-path."""
    folder = tmp_path_factory.mktemp("site")
    page = lay_out(folder)
    run_script = subprocess.run(
        [sys.executable, ROOT / "apps/web/bundle_model.py", ENCODER.parent, "--to", page / "model"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run_script.returncode == 0, run_script.stderr
    with web_server(folder) as address:
        yield address


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One Chromium for the tests of a file; no longer, since while its driver runs no other event loop can."""
    expect.set_options(timeout=60_000)  # a busy machine is slow, not wrong
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path(), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """A fresh tab; a test fails when the page had an error that it did not handle."""
    context = chromium.new_context(viewport={"width": 1280, "height": 860})
    page = context.new_page()
    page.set_default_timeout(60_000)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    context.close()
    assert not errors
