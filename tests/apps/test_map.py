"""The page of `soda map` in a real browser: what is drawn, found, selected and saved, with no network."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from soda.cli import main
from soda.vectors.store import read_vectors
from tests.support.website import browser_path

ENCODER = Path(__file__).parents[2] / "zoo/emoji/encoder.onnx"
ODD = "cold/<b> & \"</script>\", 'x'.png"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 pictures of one colour each, warm and cold, embedded; the map of them is map.html."""
    folder = tmp_path_factory.mktemp("map")
    for number in range(20):
        for label, colour in (("warm", (250, 8 * number, 10)), ("cold", (10, 8 * number, 250))):
            path = folder / "album" / (ODD if (label, number) == ("cold", 19) else f"{label}/{number:02d}.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (32, 32), colour).save(path)
    main(["embed", str(folder / "album"), "-o", str(folder / "v.npz"), "--encoder", str(ENCODER), "--threads", "1"])
    main(["map", str(folder / "v.npz"), "-o", str(folder / "map.html"), "-k", "2", "--layout", "pca"])
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium with WebGL on the processor."""
    with sync_playwright() as playwright:
        args = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
        browser = playwright.chromium.launch(executable_path=browser_path(), args=args)
        yield browser
        browser.close()


def opened(browser: Browser, folder: Path, width: int, height: int) -> Page:
    page = browser.new_context(viewport={"width": width, "height": height}).new_page()
    page.set_default_timeout(60_000)
    page.goto((folder / "map.html").as_uri())
    page.wait_for_function("frames > 0")
    return page


@pytest.fixture
def page(browser: Browser, folder: Path) -> Iterator[Page]:
    """The map at the size of a desk; nothing else than the page itself may be asked for, and no error may go unhandled."""
    context = browser.new_context(viewport={"width": 1200, "height": 800})
    page = context.new_page()
    page.set_default_timeout(60_000)
    asked: list[str] = []
    errors: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.goto((folder / "map.html").as_uri())
    page.wait_for_function("frames > 0")
    yield page
    context.close()
    assert [url for url in asked if not url.startswith(("data:", "blob:"))] == [(folder / "map.html").as_uri()] and not errors


def row_of(page: Page, name: str) -> int:
    return int(page.evaluate("name => about.names.indexOf(name)", name))


def middle_of(page: Page, row: int) -> tuple[float, float]:
    """Where a row is drawn, in px of the page."""
    box = page.locator("#map").bounding_box()
    assert box
    x, y = page.evaluate("row => toScreen(row)", row)
    return box["x"] + x, box["y"] + y


def show_close(page: Page, row: int) -> None:
    """Zoom in until a picture is seen, and wait for its sheet."""
    page.evaluate("row => { goTo(row); zoom(1e6); }", row)
    page.wait_for_function("drawing.textures[0]")
    page.wait_for_timeout(300)


def test_a_picture_is_drawn_where_it_lies(page: Page) -> None:
    for name, colour in (("warm/00.png", (250, 0, 10)), ("cold/00.png", (10, 0, 250))):
        row = row_of(page, name)
        show_close(page, row)
        x, y = middle_of(page, row)
        seen = np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB"))[round(y), round(x)]
        assert np.abs(seen.astype(int) - colour).max() < 20, (name, seen)


def test_clusters_are_named_by_their_medoids(page: Page) -> None:
    names = page.locator("#clusterlist .go span").all_inner_texts()
    medoids = page.evaluate("about.medoids.map((row) => about.names[row].split('/').pop().replace(/\\.[^.]+$/, ''))")
    assert names == medoids and len(names) == 2
    page.locator("#clusterlist li button").nth(1).click()
    kinds = page.evaluate("[...selectedRows()].map((row) => clusters[row])")
    assert set(kinds) == {0} and len(kinds) == page.evaluate("sizes[0]")


def test_a_click_finds_those_like_it(page: Page, folder: Path) -> None:
    vectors = read_vectors(folder / "v.npz")
    row = row_of(page, "warm/07.png")
    show_close(page, row)
    page.mouse.click(*middle_of(page, row))
    expect(page.locator("#one .name")).to_have_text("warm/07.png")
    at = vectors.files.index("warm/07.png")
    cosines = vectors.z @ vectors.z[at]
    cosines[at] = -2
    titles = page.locator("#one .like button").evaluate_all("all => all.map((each) => each.title)")
    assert len(titles) == 24
    found = [vectors.files.index(title.rsplit(":", 1)[0]) for title in titles]
    assert cosines[found[:5]].min() > np.sort(cosines)[-5] - 0.02
    page.keyboard.press("Escape")
    page.locator("#map").press("Escape")
    expect(page.locator("#one")).to_be_hidden()


def test_a_line_round_pictures_selects_them_and_the_list_is_saved(page: Page, tmp_path: Path) -> None:
    page.click("#select")
    box = page.locator("#map").bounding_box()
    assert box
    corners = [(2, 2), (box["width"] - 2, 2), (box["width"] - 2, box["height"] - 2), (2, box["height"] - 2)]
    page.mouse.move(box["x"] + corners[0][0], box["y"] + corners[0][1])
    page.mouse.down()
    for x, y in corners[1:]:
        page.mouse.move(box["x"] + x, box["y"] + y)
    page.mouse.up()
    expect(page.locator("#selected")).to_have_text("40")
    with page.expect_download() as download:
        page.click("#save")
    lines = Path(download.value.path()).read_text(encoding="utf-8").splitlines()
    assert len(lines) == 40 and lines == sorted(lines) and ODD in lines
    with page.expect_download() as download:
        page.click("#savecsv")
    with Path(download.value.path()).open(encoding="utf-8", newline="") as file:
        assert [row["file"] for row in csv.DictReader(file)] == lines
    page.click("#clear")
    expect(page.locator("#selected")).to_have_text("0")
    expect(page.locator("#save")).to_be_disabled()


def test_it_is_moved_and_zoomed(page: Page) -> None:
    box = page.locator("#map").bounding_box()
    assert box
    x, y = round(box["x"]) + 200, round(box["y"]) + 200  # events have whole pixels
    here = [x - box["x"], y - box["y"]]
    before = page.evaluate("place => toMap(...place)", here)
    page.mouse.move(x, y)
    page.mouse.wheel(0, -400)
    page.wait_for_function("view.scale > 0")
    assert np.allclose(
        page.evaluate("place => toMap(...place)", here), before, atol=1e-6
    )  # what is under the pointer stays there
    page.mouse.down()
    page.mouse.move(x + 50, y + 30, steps=4)
    page.mouse.up()
    assert np.allclose(page.evaluate("([x, y]) => toMap(x + 50, y + 30)", here), before, atol=1e-6)


def test_on_a_phone_nothing_is_cut_off(browser: Browser, folder: Path) -> None:
    page = opened(browser, folder, 390, 780)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    for name in ("#map", "#select", "#whole", "#panel"):
        box = page.locator(name).bounding_box()
        assert box and box["x"] >= 0 and box["x"] + box["width"] <= 390.5 and box["y"] + box["height"] <= 780.5
    assert page.locator("#map").bounding_box()["height"] > 250  # type: ignore[index]
    page.context.close()
