"""One encoder.onnx, five ways to run it, the same 100 vectors: Python, Node, the browser, the service's tensors and its form."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import httpx
import numpy as np
import torch
from playwright.sync_api import Page

from soda.data.views import to_float
from soda.runtime import Encoder
from soda.training.checkpoint import load_model
from tests.apps.running import ENCODER, MODEL, ROOT, Running
from tests.apps.test_web import add, saved_vectors
from tests.apps.website import make


def of_node(files: list[Path]) -> np.ndarray:
    make("examples/node/node_modules/.installed")
    command = ["node", "embed.mjs", str(ENCODER), *map(str, files)]
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
    model, _ = load_model(ENCODER.parent, torch.device("cpu"))
    luma = np.stack([np.asarray(grey(picture)) for picture in pictures])[..., None]
    with torch.no_grad():
        return model.encode(to_float(luma)).numpy()


def grey(picture: np.ndarray) -> np.ndarray:
    from soda.runtime.preprocess import Image, to_square

    return to_square(Image.fromarray(picture), picture.shape[0], channels=1)[..., 0]


def test_all_give_the_same_vectors(
    page: Page, site: str, service: Running, encoder: Encoder, tiles: np.ndarray, tile_files: list[Path]
) -> None:
    wanted = encoder.embed(tile_files)
    assert wanted.std(0).mean() > 0.05, "the pictures must differ, or agreeing says nothing"
    found = {
        "Node": of_node(tile_files),
        "browser": of_page(page, site, tile_files),
        "service, tensors": of_service(service, tiles),
        "service, form": of_form(service, tile_files),
    }
    for name, z in found.items():
        np.testing.assert_allclose(z, wanted, atol=1e-4, rtol=0, err_msg=name)
    # Torch sees luma rounded to 8 bits, as training did; the graph weighs the three colours itself.
    ours = of_torch(tiles)
    cosines = (ours * wanted).sum(1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(wanted, axis=1)
    assert cosines.min() > 0.999


def test_the_node_example_goes_on_after_a_broken_picture(tile_files: list[Path], tmp_path: Path) -> None:
    make("examples/node/node_modules/.installed")
    (tmp_path / "broken.png").write_bytes(tile_files[0].read_bytes()[:150])
    command = ["node", "embed.mjs", str(ENCODER), str(tmp_path / "broken.png"), str(tile_files[0])]
    done = subprocess.run(command, cwd=ROOT / "examples/node", capture_output=True, text=True, check=False)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 1 and "error" in rows[0] and len(rows[1]["z"]) == 128
