"""The page in apps/web, built and in real Chromium: what it shows, draws and refuses, and that nothing leaves it."""

from __future__ import annotations

import io
import json
import shutil
import time
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from soda.runtime import Encoder
from tests.support.running import ENCODER, ROOT, Running
from tests.support.website import SUB_PATH, add, lay_out, pixels, saved_vectors, web_server
from tests.support.workspace import Workspace

DIST = ROOT / "apps/web/dist"


@pytest.fixture
def ready(page: Page, site: str) -> Page:
    """The page with its model loaded."""
    page.goto(site)
    expect(page.locator("#status")).to_have_class("status ready")
    return page


@pytest.fixture(scope="module")
def shared(chromium: Browser, site: str, tile_files: list[Path]) -> Iterator[Page]:
    """One page with twenty pictures for the tests that only look around in it."""
    context = chromium.new_context(viewport={"width": 1280, "height": 860})
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.goto(site)
    expect(page.locator("#status")).to_have_class("status ready")
    add(page, tile_files[:20])
    yield page
    context.close()


def test_nothing_leaves_the_page_and_the_first_result_is_quick(page: Page, site: str, tile_files: list[Path]) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(site)
    expect(page.locator("#status")).to_have_class("status ready")
    start = time.perf_counter()
    add(page, tile_files[:1])
    assert time.perf_counter() - start < 10, "the first result after the model was loaded: two seconds where nothing else runs"
    add(page, tile_files[1:4])
    for tab in ("map", "same", "change", "walk"):
        page.click(f"#tab-{tab}")
    page.wait_for_selector("#walk canvas[data-frame]")
    assert len(asked) >= 6 and all(url.startswith((site, "data:", "blob:")) for url in asked), asked
    # The page could not send anything elsewhere if it wanted to.
    assert page.evaluate("fetch('http://127.0.0.1:9/').then(() => 'sent', (error) => error.name)") == "TypeError"
    assert "connect-src 'self'" in (page.get_attribute("meta[http-equiv]", "content") or "")


def test_it_is_small() -> None:
    files = [path for path in DIST.rglob("*") if path.is_file() and "model" not in path.parts and path.suffix != ".wasm"]
    assert sum(path.stat().st_size for path in files) < 500_000
    assert len(list(DIST.rglob("*.wasm"))) == 1


def test_pictures_of_many_kinds(ready: Page, encoder: Encoder, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    smooth = Image.fromarray(rng.integers(0, 256, (6, 9, 3), dtype=np.uint8)).resize((90, 60), Image.Resampling.BICUBIC)
    exif = Image.Exif()
    exif[0x0112] = 6
    smooth.save(tmp_path / "a-turned.jpg", exif=exif, quality=95)
    clear = smooth.convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize(smooth.size))
    clear.save(tmp_path / "b-clear.png")
    smooth.resize((1800, 1200)).save(tmp_path / "c-large.png")
    smooth.convert("P").save(tmp_path / "d-palette.gif")
    smooth.resize((20_000, 40)).save(tmp_path / "e-long.png")
    files = sorted(tmp_path.iterdir())
    add(ready, files)
    vectors = saved_vectors(ready)
    for file in files:
        ours, theirs = encoder.embed(file)[0], vectors[file.name]
        assert ours @ theirs / np.linalg.norm(ours) / np.linalg.norm(theirs) > 0.99, file.name


def test_broken_pictures_are_named_and_the_rest_goes_on(ready: Page, tile_files: list[Path], tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(tile_files[0].read_bytes()[:200])
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "<b>words.png").write_text("no picture")
    ready.set_input_files("#files", [*sorted(tmp_path.iterdir()), tile_files[0]])
    expect(ready.locator(".cell")).to_have_count(1)
    problems = ready.locator("#problems")
    expect(problems).to_contain_text("3 files were left out")
    expect(problems).to_contain_text("broken.png: it is no picture, or it is damaged")
    expect(problems).to_contain_text("empty.jpg: the file is empty")
    expect(problems).to_contain_text("<b>words.png")


def test_a_folder(ready: Page, tile_files: list[Path], tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    for i, file in enumerate(tile_files[:6]):
        shutil.copy(file, tmp_path / ("below" if i % 2 else ".") / file.name)
    (tmp_path / "notes.txt").write_text("left out without a word")
    ready.set_input_files("#folder", tmp_path)
    expect(ready.locator(".cell")).to_have_count(6)
    expect(ready.locator("#problems")).to_be_hidden()


def test_drops(ready: Page, tile_files: list[Path]) -> None:
    ready.evaluate(
        """bytes => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([new Uint8Array(bytes)], "dropped.png", { type: "image/png" }));
            document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true }));
        }""",
        list(tile_files[0].read_bytes()),
    )
    expect(ready.locator(".cell")).to_have_attribute("title", "dropped.png")


def test_what_cannot_be_read_of_a_drop_is_named_and_the_rest_goes_on(ready: Page, tile_files: list[Path]) -> None:
    """Entries as Chromium gives them of a dropped folder; a real one that is not readable cannot be made here."""
    ready.evaluate(
        """bytes => {
            const picture = new File([new Uint8Array(bytes)], "good.png", { type: "image/png" });
            const no = (_, reject) => reject(new DOMException("permission denied", "NotReadableError"));
            const good = { isFile: true, fullPath: "/box/good.png", file: (resolve) => resolve(picture) };
            const bad = { isFile: true, fullPath: "/box/bad.png", file: no };
            const locked = { isFile: false, fullPath: "/box/locked", createReader: () => ({ readEntries: no }) };
            const batches = [[bad, locked, good], []];
            const readEntries = (resolve) => resolve(batches.shift());
            const box = { isFile: false, fullPath: "/box", createReader: () => ({ readEntries }) };
            const event = new DragEvent("drop", { bubbles: true, cancelable: true });
            const items = [{ kind: "file", webkitGetAsEntry: () => box, getAsFile: () => null }];
            Object.defineProperty(event, "dataTransfer", { value: { items } });
            document.body.dispatchEvent(event);
        }""",
        list(tile_files[0].read_bytes()),
    )
    expect(ready.locator(".cell")).to_have_attribute("title", "box/good.png")
    expect(ready.locator("#problems summary")).to_have_text("2 files were left out")
    assert ready.locator("#problems li").all_inner_texts() == ["box/bad.png: permission denied", "box/locked: permission denied"]


def test_neighbours_are_those_of_the_runtime(shared: Page, encoder: Encoder, tile_files: list[Path]) -> None:
    z = encoder.embed(tile_files[:20], normalize="stats+l2")
    shared.click("#tab-near")
    shared.click(".cell:nth-child(8)")
    shown = [pick.get_attribute("title") for pick in shared.locator("#near .pick").all()]
    order = [i for i in np.argsort(-(z @ z[7])) if i != 7]
    assert shown[:10] == [tile_files[i].name for i in order[:10]]
    assert float(shared.locator("#near .pick span").first.inner_text()) == pytest.approx(z[7] @ z[order[0]], abs=2e-3)


def test_duplicates(ready: Page, tile_files: list[Path], tmp_path: Path) -> None:
    again = tmp_path / "again.png"
    shutil.copy(tile_files[2], again)
    add(ready, [*tile_files[:5], again])
    ready.click("#tab-same")
    ready.fill("#same input", "1")
    expect(ready.locator("#same .group .pick")).to_have_count(2)
    assert [pick.get_attribute("title") for pick in ready.locator("#same .pick").all()] == [tile_files[2].name, "again.png"]


def test_the_map_draws_and_chooses(shared: Page) -> None:
    shared.click("#tab-map")
    deadline = time.monotonic() + 10
    drawn = "c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some((value) => value)"
    while not shared.eval_on_selector("#map canvas", drawn) and time.monotonic() < deadline:
        shared.wait_for_timeout(50)
    chosen = shared.locator("[aria-selected=true].cell").get_attribute("title")
    box = shared.locator("#map canvas").bounding_box()
    assert box
    for x in np.linspace(0.05, 0.95, 12):
        for y in (0.3, 0.5, 0.7):
            shared.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])
            if shared.locator("[aria-selected=true].cell").get_attribute("title") != chosen:
                return
    pytest.fail("no click on the map chose another picture")


def test_the_slider_changes_the_picture_and_zero_is_the_picture_itself(shared: Page) -> None:
    shared.click("#tab-change")
    shared.wait_for_selector("#change canvas[data-amount='0']")
    original, same = pixels(shared, "#change figure:first-child canvas"), pixels(shared, "#change canvas[data-amount]")
    assert np.abs(original.astype(int) - same).mean() < 6
    seen = [same]
    for amount in ("3", "-3"):
        shared.fill("#change input", amount)
        shared.wait_for_selector(f"#change canvas[data-amount='{amount}']")
        seen.append(pixels(shared, "#change canvas[data-amount]"))
    for a, b in ((0, 1), (0, 2), (1, 2)):
        assert np.abs(seen[a].astype(int) - seen[b]).mean() > 8
    shared.fill("#change input", "0")
    shared.wait_for_selector("#change canvas[data-amount='0']")


def test_the_walk_leads_from_one_picture_to_the_other(shared: Page) -> None:
    shared.click(".cell:nth-child(3)")
    shared.click(".cell:nth-child(11)")
    shared.click("#tab-change")
    ends = []
    for cell in (3, 11):
        shared.click(f".cell:nth-child({cell})")
        canvas = f"#change canvas[data-picture='{cell - 1}']"
        shared.wait_for_selector(canvas)
        ends.append(pixels(shared, canvas))
    shared.click("#tab-walk")
    expect(shared.locator("#walk .strip canvas")).to_have_count(9)
    expect(shared.locator("#walk [role=status]")).to_have_text("")
    frames = []
    for frame in (0, 6, 12, 18, 24):
        shared.fill("#walk input", str(frame))
        frames.append(pixels(shared, f"#walk canvas[data-frame='{frame}']").astype(int))
    assert np.abs(frames[0] - ends[0]).mean() < 8 and np.abs(frames[-1] - ends[1]).mean() < 8
    steps = [np.abs(a - b).mean() for a, b in pairwise(frames)]
    assert min(steps) > 0 and max(steps) < np.abs(frames[0] - frames[-1]).mean() * 1.2
    shared.click("#walk button.main")
    expect(shared.locator("#walk input")).not_to_have_value("24")
    shared.click("#walk button.main")
    expect(shared.locator("#walk button.main")).to_have_attribute("aria-pressed", "false")


def test_all_of_it_from_the_keyboard(shared: Page) -> None:
    shared.click(".cell:nth-child(1)")
    shared.focus(".cell:nth-child(1)")
    shared.keyboard.press("ArrowRight")
    shared.keyboard.press("Enter")
    expect(shared.locator(".cell:nth-child(2)")).to_have_attribute("aria-selected", "true")
    shared.keyboard.press("End")
    shared.keyboard.press("Space")
    expect(shared.locator(".cell:nth-child(20)")).to_have_attribute("aria-selected", "true")
    shared.click("#tab-near")
    shared.focus("#tab-near")
    shared.keyboard.press("ArrowRight")
    expect(shared.locator("#map")).to_be_visible()
    unnamed = shared.eval_on_selector_all(
        "button, input:not([hidden]), select, [role=img]",
        "all => all.filter(e => !(e.innerText || e.ariaLabel || e.labels?.length)).length",
    )
    assert unnamed == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone(chromium: Browser, site: str, tile_files: list[Path], scheme: str) -> None:
    context = chromium.new_context(viewport={"width": 360, "height": 740}, color_scheme=scheme, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto(site)
    expect(page.locator("#status")).to_have_class("status ready")
    add(page, tile_files[:12])
    for tab in ("near", "map", "same", "change", "walk"):
        page.tap(f"#tab-{tab}")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        heights = page.eval_on_selector_all(
            "button:not([hidden])", "all => all.filter(e => e.offsetHeight).map(e => e.offsetHeight)"
        )
        assert min(heights) >= 40
    shot = Image.open(io.BytesIO(page.screenshot())).convert("L")
    assert (np.asarray(shot).mean() > 128) == (scheme == "light")
    context.close()


def test_without_a_model_or_without_a_decoder_it_says_so(page: Page, tmp_path: Path, tile_files: list[Path]) -> None:
    folder = lay_out(tmp_path)
    with web_server(tmp_path) as address:
        page.goto(address)
        expect(page.locator("#status")).to_contain_text("bundle_model.py")
        bundle(ENCODER.parent / "encoder.onnx", folder / "model", tmp_path / "bare")
        page.goto(address)
        expect(page.locator("#status")).to_have_class("status ready")
        add(page, tile_files[:2])
        page.click("#tab-change")
        expect(page.locator("#change")).to_contain_text("denoiser.onnx")
        (folder / "model/encoder.onnx").write_bytes(b"damaged")
        page.goto(address)
        expect(page.locator("#status")).to_have_class("status bad")
        expect(page.locator("#status")).to_contain_text("encoder.onnx is not a model that can be run here")


def bundle_script() -> ModuleType:
    spec = spec_from_file_location("bundle_model", ROOT / "apps/web/bundle_model.py")
    assert spec and spec.loader
    script = module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


def bundle(encoder: Path, target: Path, model: Path) -> None:
    """The script's function on an encoder alone."""
    model.mkdir()
    shutil.copy(encoder, model)
    assert bundle_script().bundle(model, target)["denoiser"] is None


def test_pictures_are_compared_by_what_was_measured_to_find_better_or_by_the_other(
    page: Page, workspace: Workspace, tmp_path: Path, tile_files: list[Path]
) -> None:
    page_folder = lay_out(tmp_path / "site")
    (tmp_path / "mine").mkdir()
    shutil.copy(workspace.encoder, tmp_path / "mine/encoder.onnx")
    about = bundle_script().bundle(tmp_path / "mine", page_folder / "model")
    files = tile_files[:12]

    def order(output: str) -> list[str]:
        vectors = Encoder(workspace.encoder, output=output).embed(files, normalize="stats+l2")
        return [files[i].name for i in np.argsort(-(vectors @ vectors[2]), kind="stable") if i != 2]

    with web_server(tmp_path / "site") as address:
        page.goto(address)
        expect(page.locator("#status")).to_have_class("status ready")
        add(page, files)
        choice = page.locator("#kind")
        assert choice.input_value() == about["encoder"]["search_vectors"]
        page.click(".cell:nth-child(3)")
        for kind in ("features", "z"):
            choice.select_option(kind)
            shown = [pick.get_attribute("title") for pick in page.locator("#near .pick").all()]
            assert shown[:5] == order(kind)[:5]
        with page.expect_download() as download:
            page.click("#save")
        rows = json.loads(Path(download.value.path()).read_text())["pictures"]
        wanted = Encoder(workspace.encoder, output="features").embed(files)
        assert np.allclose([row["features"] for row in rows], wanted, atol=1e-3)


def test_a_bundle_replaces_the_one_before_or_leaves_it(tmp_path: Path, tile_files: list[Path]) -> None:
    target, script = tmp_path / "model", bundle_script()
    script.bundle(ENCODER.parent, target, tile_files[0].parent)
    assert (target / "denoiser.onnx").is_file() and len(list((target / "examples").iterdir())) == len(tile_files)
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    (damaged / "encoder.onnx").write_bytes(ENCODER.read_bytes()[:3000])
    before = {path: path.read_bytes() for path in target.rglob("*") if path.is_file()}
    with pytest.raises(ValueError, match=r"damaged/encoder\.onnx: "):
        script.bundle(damaged, target)
    assert {path: path.read_bytes() for path in target.rglob("*") if path.is_file()} == before
    bundle(ENCODER, target, tmp_path / "bare")  # nothing of the former model or of its pictures stays behind
    assert sorted(path.name for path in target.iterdir()) == ["encoder.onnx", "model.json"]
    with pytest.raises(ValueError, match="there is something else here"):
        script.bundle(ENCODER.parent, tmp_path / "bare")


def test_the_services_page_works_offline(page: Page, service: Running) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{service.url}/docs")
    expect(page.locator("details")).not_to_have_count(0)
    expect(page.locator("#operations")).to_contain_text("/v2/models/{model}/infer")
    expect(page.locator("#about")).to_contain_text("512 numbers a picture")
    assert all(url.startswith((service.url, "data:")) for url in asked), asked
    assert SUB_PATH not in page.url
