"""The page of `soda map` in Chromium: frames a second while it is dragged. `python -m benchmarks.map_speed`.

The map has 100,000 pictures, drawn here, in groups. It is opened as wide as a desk's screen and as a phone's, and dragged to and
fro with the mouse, seen whole, and so close that pictures have 10 and 40 px. WebGL runs on the processor, which is the slowest
that a page meets.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from soda.vectors.atlas.page import Map, write_map
from soda.vectors.cluster import Clusters
from soda.vectors.origin import Origin
from soda.vectors.store import Vectors
from tests.support.website import browser_path

KINDS, DISTINCT, WIDTH = 24, 25, 64
SCREENS = {"desk": (1280, 800, 1.0), "phone": (390, 780, 2.0)}
CLOSE = (0, 10, 40)
"""px of a picture; 0: the whole map."""
SECONDS = 4.0
ARGUMENTS = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
WATCH = """() => {
  window.seen = { times: [], frames };
  const tick = (now) => {
    if (frames > seen.frames) seen.times.push(now);
    seen.frames = frames;
    seen.going = requestAnimationFrame(tick);
  };
  tick(performance.now());
}"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.map_speed", description=__doc__)
    parser.add_argument("--count", type=int, default=100_000, help="pictures (100,000)")
    parser.add_argument("--page", type=Path, help="where the page is kept, or is already")
    parser.add_argument("--screenshots", type=Path, metavar="DIR", help="save what was seen before and during each drag")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        page = (args.page or Path(folder) / "map.html").absolute()
        if not page.exists():
            draw(page, Path(folder), args.count)
        print(f"{page.stat().st_size / 1e6:.1f} MB")
        browser = playwright.chromium.launch(executable_path=browser_path(), args=ARGUMENTS)
        for name in SCREENS:
            measure(browser, page, name, args.screenshots)
        browser.close()


def draw(page: Path, folder: Path, count: int, seed: int = 0) -> None:
    """Write the map of `count` pictures: KINDS groups, in each DISTINCT pictures under many names."""
    rng = np.random.default_rng(seed)
    labels = np.sort(rng.integers(KINDS, size=count))
    middles, centres = rng.uniform(-1, 1, (KINDS, 2)), rng.normal(size=(KINDS, WIDTH)).astype(np.float32)
    angle, away = rng.uniform(0, 2 * np.pi, count), 0.3 * np.sqrt(rng.random(count))
    places = (middles[labels] + away[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)).astype(np.float32)
    z = centres[labels] + 0.5 * rng.normal(size=(count, WIDTH)).astype(np.float32)
    z, centres = (values / np.linalg.norm(values, axis=1, keepdims=True) for values in (z, centres))
    originals = []
    for number in range(KINDS * DISTINCT):
        pixels = rng.integers(0, 256, (4, 4, 3)) * 0.5 + 127 * rng.random(3)
        originals.append(folder / f"original-{number}.png")
        Image.fromarray(pixels.astype(np.uint8)).resize((32, 32), Image.Resampling.BICUBIC).save(originals[-1])
    names = [f"{kind}/{number:06d}.png" for number, kind in enumerate(labels.tolist())]
    for number, (name, kind) in enumerate(zip(names, labels.tolist(), strict=True)):
        (folder / name).parent.mkdir(exist_ok=True)
        os.link(originals[kind * DISTINCT + number % DISTINCT], folder / name)
    origin = Origin(str(folder), "drawn", WIDTH, "stats+l2", [0.0] * WIDTH, [1.0] * WIDTH)
    clusters = Clusters(labels, centres, (z * centres[labels]).sum(1))
    write_map(page, Map(Vectors(names, z, origin), places, clusters, f"{count:,} pictures"))


def measure(browser: Browser, path: Path, name: str, screenshots: Path | None) -> None:
    width, height, dense = SCREENS[name]
    page = browser.new_context(viewport={"width": width, "height": height}, device_scale_factor=dense).new_page()
    page.set_default_timeout(240_000)
    started = time.perf_counter()
    page.goto(path.as_uri())
    while not page.evaluate("frames > 0"):
        page.wait_for_timeout(20)
    print(f"{name}, {width} x {height} px: opened in {time.perf_counter() - started:.1f} s")
    for pixels in CLOSE:
        page.evaluate("fit(bounds)")
        if pixels:
            page.evaluate("pixels => { goTo(about.medoids[0]); zoom(pixels / (1.1 * spacing * view.scale)); }", pixels)
        page.wait_for_timeout(3000)  # sheets are decoded
        took, busy, times = drag(page, screenshots and screenshots / f"{name}-{pixels}")
        gaps = np.diff(times) / 1000
        rate, longest = len(times) / took, f"{gaps.max():.2f} s" if len(gaps) else "-"
        what, core = f"pictures of {pixels} px" if pixels else "the whole map", 1000 * busy / max(1, len(times))
        print(f"  {what}: {rate:.1f} frames a second, the longest {longest}, {core:.0f} ms of one core a frame", flush=True)
    page.context.close()


def drag(page: Page, screenshot: Path | None) -> tuple[float, float, list[float]]:
    """Drag for SECONDS, to and fro: the seconds that it took, those of one core, and when frames were drawn, ms."""
    box = page.locator("#map").bounding_box()
    assert box
    x, y, reach = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, 0.45 * box["width"]
    if screenshot:
        screenshot.parent.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=f"{screenshot}.png")
    page.mouse.move(x, y)
    page.mouse.down()
    page.evaluate(WATCH)
    started, step, busy = time.perf_counter(), 0, processor_seconds()
    while time.perf_counter() - started < SECONDS:
        step += 1
        page.mouse.move(x + reach * np.sin(step / 12), y + 0.3 * reach * np.sin(step / 20))
    took, busy = time.perf_counter() - started, processor_seconds() - busy
    times: list[float] = page.evaluate("() => { cancelAnimationFrame(seen.going); return seen.times; }")
    if screenshot:
        page.screenshot(path=f"{screenshot}-dragged.png")
    page.mouse.up()
    return took, busy, times


def processor_seconds() -> float:
    """Of the browser and what drives it, so far."""
    return sum(sum(each.cpu_times()[:2]) for each in psutil.Process().children(recursive=True))


if __name__ == "__main__":
    main()
