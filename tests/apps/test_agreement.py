"""One encoder.onnx, five ways to run it, the same 100 vectors: Python, Node, the browser, the service's tensors and its form."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from PIL import Image
from playwright.sync_api import Page

from soda.common.images import to_float
from soda.runtime import Decoder, Encoder
from soda.runtime.preprocess import to_square
from soda.training.checkpoint import load_model
from tests.support.running import ENCODER, MODEL, ROOT, Running
from tests.support.website import add, lay_out, make, pixels, saved_vectors, web_server

ZOO = sorted(path.parent.name for path in ROOT.glob("zoo/*/encoder.onnx"))

RUN_GRAPH = """
import { readFileSync } from "node:fs";
import ort from "onnxruntime-node";
const session = await ort.InferenceSession.create(process.argv[1], { intraOpNumThreads: 1 });
const feeds = Object.entries(JSON.parse(readFileSync(0))).map(([name, [type, values, shape]]) => [
  name,
  type === "int64" ? new ort.Tensor(type, values.map(BigInt), shape) : new ort.Tensor(type, values, shape),
]);
const out = await session.run(Object.fromEntries(feeds));
console.log(JSON.stringify({ x_0: [...out.x_0.data], eps: [...out.eps.data] }));
"""


def of_node(files: list[Path], model: Path = ENCODER) -> np.ndarray:
    make("examples/node/node_modules/.installed")
    command = ["node", "embed.mjs", str(model), *map(str, files)]
    done = subprocess.run(command, cwd=ROOT / "examples/node", capture_output=True, text=True, check=True)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["file"] for row in rows] == list(map(str, files))
    return np.asarray([row["z"] for row in rows], np.float32)


def of_page(page: Page, site: str, files: list[Path]) -> np.ndarray:
    page.goto(site)
    page.wait_for_selector(".status.ready")
    add(page, files)
    vectors = saved_vectors(page)
    return np.stack([vectors[file.name] for file in files])


def of_service(service: Running, pictures: np.ndarray) -> np.ndarray:
    tensor = {"name": "images", "shape": pictures.shape, "datatype": "UINT8", "data": pictures.reshape(-1).tolist()}
    [output] = httpx.post(f"{service.url}/v2/models/{MODEL}/infer", json={"inputs": [tensor]}, timeout=60).json()["outputs"]
    return np.asarray(output["data"], np.float32).reshape(output["shape"])


def of_form(service: Running, files: list[Path]) -> np.ndarray:
    form = [("files", (file.name, file.read_bytes())) for file in files]
    rows = httpx.post(f"{service.url}/embed", files=form, timeout=60).json()["pictures"]
    return np.asarray([row["z"] for row in rows], np.float32)


def of_torch(pictures: np.ndarray) -> np.ndarray:
    """Of the pixels that training sees: grey, rounded to 8 bits."""
    model, config = load_model(ENCODER.parent, torch.device("cpu"))
    squares = [to_square(Image.fromarray(picture), len(picture), channels=config.dataset.channels) for picture in pictures]
    with torch.no_grad():
        return model.encode(to_float(np.stack(squares))).numpy()


def test_all_give_the_same_vectors(
    page: Page, site: str, service: Running, encoder: Encoder, tiles: np.ndarray, tile_files: list[Path]
) -> None:
    wanted = encoder.embed(tile_files)
    assert wanted.std(0).mean() > 0.05, "the pictures must differ, or agreeing says nothing"
    found = {
        "torch": of_torch(tiles),
        "Node": of_node(tile_files),
        "browser": of_page(page, site, tile_files),
        "service, tensors": of_service(service, tiles),
        "service, form": of_form(service, tile_files),
    }
    for name, z in found.items():
        np.testing.assert_allclose(z, wanted, atol=1e-4, rtol=0, err_msg=name)


def test_the_node_example_goes_on_after_a_broken_picture(tile_files: list[Path], tmp_path: Path) -> None:
    make("examples/node/node_modules/.installed")
    (tmp_path / "broken.png").write_bytes(tile_files[0].read_bytes()[:150])
    command = ["node", "embed.mjs", str(ENCODER), str(tmp_path / "broken.png"), str(tile_files[0])]
    done = subprocess.run(command, cwd=ROOT / "examples/node", capture_output=True, text=True, check=False)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 1 and "error" in rows[0] and len(rows[1]["z"]) == 512


def of_sheet(folder: Path, target: Path) -> list[Path]:
    """A dozen pieces of the pictures that ship with a model, in their colours, no two sizes alike."""
    [sheet_file] = folder.glob("*.png")
    rng, sheet, files = np.random.default_rng(0), Image.open(sheet_file).convert("RGB"), []
    for i in range(12):
        side = 40 + 9 * i
        x, y = (int(edge) for edge in rng.integers(0, (sheet.width - side, sheet.height - side)))
        files.append(target / f"{i:02d}.png")
        sheet.crop((x, y, x + side, y + side - i)).save(files[-1])
    return files


@pytest.mark.parametrize("name", ZOO)
def test_every_shipped_model_runs_in_node(name: str, tmp_path: Path) -> None:
    folder, files = ROOT / "zoo" / name, of_sheet(ROOT / "zoo" / name, tmp_path)
    for model in sorted(folder.glob("encoder*.onnx")):
        wanted, found = Encoder(model).embed(files), of_node(files, model)
        if "int8" not in model.name:
            np.testing.assert_allclose(found, wanted, atol=1e-4, rtol=0)
        cosines = (found * wanted).sum(1) / np.linalg.norm(found, axis=1) / np.linalg.norm(wanted, axis=1)
        assert cosines.min() > 0.99, model  # 8-bit kernels round in their own ways
    decoder, rng = Decoder(folder / "denoiser.onnx"), np.random.default_rng(0)
    x_t, z = rng.normal(size=(2, *decoder.picture_shape)).astype("f4"), rng.normal(size=(2, decoder.latent_dim)).astype("f4")
    feeds = {"x_t": x_t, "t": np.array([3, 900]), "z": z}
    tensors = {key: [str(value.dtype), value.reshape(-1).tolist(), value.shape] for key, value in feeds.items()}
    command = ["node", "--input-type=module", "-e", RUN_GRAPH, str(folder / "denoiser.onnx")]
    settings: dict[str, Any] = {"cwd": ROOT / "examples/node", "capture_output": True, "text": True}
    done = subprocess.run(command, input=json.dumps(tensors), check=False, **settings)
    assert done.returncode == 0, done.stderr
    drawn = json.loads(done.stdout)
    for key, value in zip(("x_0", "eps"), decoder.predict(*feeds.values()), strict=True):
        np.testing.assert_allclose(np.reshape(drawn[key], value.shape), value, atol=2e-3, rtol=1e-3)


@pytest.mark.parametrize("name", ZOO)
def test_every_shipped_model_runs_in_the_browser(name: str, page: Page, tmp_path: Path) -> None:
    folder = ROOT / "zoo" / name
    (tmp_path / "pictures").mkdir()
    files = of_sheet(folder, tmp_path / "pictures")
    site = lay_out(tmp_path)
    subprocess.run([sys.executable, ROOT / "apps/web/bundle_model.py", folder, "--to", site / "model"], check=True)
    with web_server(tmp_path) as address:
        np.testing.assert_allclose(
            of_page(page, address, files), Encoder(folder / "encoder.onnx").embed(files), atol=1e-4, rtol=0
        )
        page.click("#tab-change")
        page.wait_for_selector("#change canvas[data-amount='0']")
        original, same = pixels(page, "#change figure:first-child canvas"), pixels(page, "#change canvas[data-amount]")
        page.fill("#change input", "3")
        page.wait_for_selector("#change canvas[data-amount='3']")
        moved = pixels(page, "#change canvas[data-amount]")
    # Pieces of a sheet are strange to a model, and few steps invert a picture only so far: it is drawn, and the slider moves it.
    assert np.abs(original.astype(int) - same).mean() < 25 and np.abs(moved.astype(int) - same).mean() > 0.2
