"""The page of `soda map` in a real browser: what is drawn, found, selected and saved, with no network."""

from __future__ import annotations

import csv
import io
import time
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


def until(page: Page, expression: str) -> None:
    """Wait until it is true. The page forbids `eval`, by which Playwright's own waiting asks again."""
    end = time.monotonic() + 60
    while not page.evaluate(expression):
        assert time.monotonic() < end, expression
        page.wait_for_timeout(20)


def opened(browser: Browser, folder: Path, width: int, height: int) -> Page:
    page = browser.new_context(viewport={"width": width, "height": height}).new_page()
    page.set_default_timeout(60_000)
    page.goto((folder / "map.html").as_uri())
    until(page, "frames > 0")
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
    until(page, "frames > 0")
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
    until(page, "drawing.textures[0] && !arriving && !drawn.stale")
    page.wait_for_timeout(300)


def colour_at(page: Page, row: int, right: float = 0) -> np.ndarray:
    """What is seen in the middle of a row, or some px beside it: (3,) of 0 to 255."""
    x, y = middle_of(page, row)
    return np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB"))[round(y), round(x + right)].astype(int)


def test_a_picture_is_drawn_where_it_lies(page: Page) -> None:
    for name, colour in (("warm/00.png", (250, 0, 10)), ("cold/00.png", (10, 0, 250))):
        row = row_of(page, name)
        show_close(page, row)
        assert np.abs(colour_at(page, row) - colour).max() < 20, name


# Moves the view by a share of the map's width, and waits for the frame: what was then on the canvas, and what was before.
MOVE = """async (share) => {
  const before = drawn.x;
  view.x += share * mapElement.clientWidth / view.scale;
  follow();
  await new Promise(requestAnimationFrame);
  clearTimeout(settling);
  return [before, drawn.x, view.x];
}"""


def test_what_is_drawn_is_moved_and_only_beyond_its_margin_drawn_anew(page: Page) -> None:
    row = row_of(page, "warm/00.png")
    show_close(page, row)
    before, drawn, view = page.evaluate(MOVE, 0.1)
    assert before == drawn != view
    assert np.abs(colour_at(page, row) - (250, 0, 10)).max() < 20
    before, drawn, view = page.evaluate(MOVE, 0.2)  # and a little beyond the view, as it will go on
    assert before < view < drawn
    assert np.abs(colour_at(page, row) - (250, 0, 10)).max() < 20
    page.evaluate("follow()")
    until(page, "drawn.x === view.x && !canvas.style.transform.match(/[1-9].*px/)")  # it has settled


def test_marked_pictures_are_framed_on_top(page: Page) -> None:
    row = row_of(page, "warm/00.png")
    show_close(page, row)
    edge = page.evaluate("squarePixels() / 2 - 1")
    assert np.abs(colour_at(page, row, -edge) - (242, 64, 26)).max() > 20
    page.evaluate("row => select([row])", row)
    until(page, "!drawn.stale")
    page.wait_for_timeout(300)
    assert np.abs(colour_at(page, row, -edge) - (242, 64, 26)).max() < 20
    assert np.abs(colour_at(page, row) - (250, 0, 10)).max() < 20


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
    until(page, "view.scale > 0")
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
