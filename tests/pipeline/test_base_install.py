"""The base package alone, in an environment of its own, turns pictures into vectors."""

from __future__ import annotations

import shutil
import subprocess
import venv
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from PIL import Image

from soda.config import compose, from_dict
from soda.export.graph import DeployedEncoder
from soda.export.onnx import to_onnx
from soda.model.network import build_model
from soda.runtime import Encoder
from soda.runtime.metadata import FORMAT, to_props

ROOT = Path(__file__).parents[2]
MAX_BYTES = 150_000_000
"""Of the base package and all that it needs, without what every environment brings and the bytecode that Python may write."""

NOT_OURS = {"pip", "setuptools", "pkg_resources", "_distutils_hack"}

USE = (
    "import sys; from soda.runtime import Encoder; z = Encoder('models/encoder.onnx').embed(['a.jpg', 'b.png']); "
    "assert z.shape == (2, 448) and 'torch' not in sys.modules"
)


def write_encoder(path: Path) -> None:
    """An untrained encoder of the default settings, exported as the stage exports a trained one."""
    config = from_dict(compose([], ROOT / "conf"))
    model = build_model(config).eval().requires_grad_(False)
    size, channels, resize = model.image_size, model.channels, config.dataset.resize
    graph = to_onnx(DeployedEncoder(model.encoder, image_size=size, channels=channels, resize=resize).eval(), config.export.opset)
    values = {"format": FORMAT, "latent_dim": model.latent_dim, "image_size": size, "channels": channels, "resize": resize}
    statistics = {"z_mean": [0.0] * model.latent_dim, "z_std": [1.0] * model.latent_dim}
    onnx.helper.set_model_props(graph, to_props(values | statistics))
    path.parent.mkdir(parents=True)
    path.write_bytes(graph.SerializeToString())


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(list(map(str, command)), cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.slow
def test_the_base_package_alone_embeds_pictures(tmp_path: Path) -> None:
    torch.manual_seed(0)
    write_encoder(tmp_path / "models" / "encoder.onnx")
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (120, 90, 3), dtype=np.uint8)).save(tmp_path / "a.jpg")
    Image.fromarray(rng.integers(0, 256, (32, 32), dtype=np.uint8)).save(tmp_path / "b.png")

    source, python = tmp_path / "source", tmp_path / "env" / "bin" / "python"
    ignore = shutil.ignore_patterns("__pycache__")
    for part in ("soda", "flows"):  # a copy, since building leaves files beside the source
        shutil.copytree(ROOT / part, source / part, ignore=ignore)
    for part in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / part, source)
    venv.create(tmp_path / "env", with_pip=True, symlinks=True)  # as `python -m venv` does
    pip = (python, "-m", "pip", "--disable-pip-version-check", "--no-input")
    reachable = subprocess.run([*map(str, pip), "download", "-q", "--no-deps", "-d", tmp_path / "wheels", "pillow"], check=False)
    if reachable.returncode:
        pytest.skip("no package index can be reached")
    run(*pip, "install", "-q", "-c", ROOT / "constraints.txt", ".", cwd=source)

    installed = {line.split("==")[0].lower() for line in run(*pip, "freeze", cwd=tmp_path).split()}
    assert {"numpy", "pillow", "onnxruntime"} <= installed and not {"torch", "pandas", "pyarrow", "onnx"} & installed
    run(python, "-c", USE, cwd=tmp_path)
    save = "import numpy; from soda.runtime import Encoder; "
    save += "numpy.save('z.npy', Encoder('models/encoder.onnx').embed(['a.jpg', 'b.png']))"
    run(python, "-c", save, cwd=tmp_path)
    here = Encoder(tmp_path / "models" / "encoder.onnx").embed([tmp_path / "a.jpg", tmp_path / "b.png"])
    np.testing.assert_allclose(np.load(tmp_path / "z.npy"), here, atol=1e-4)

    album = tmp_path / "album"
    album.mkdir()
    for i in range(5):
        Image.fromarray(rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(
            album / f"{i}.{('png', 'jpg', 'gif', 'tiff', 'bmp')[i]}"
        )
    shutil.copy(album / "0.png", album / "again.png")
    (album / "broken.jpg").write_bytes(b"no picture")
    soda = tmp_path / "env" / "bin" / "soda"
    assert "v.npz: 6 pictures" in run(soda, "embed", "album", "-o", "v.npz", cwd=tmp_path)
    assert "1.0000\talbum/0.png\tagain.png" in run(soda, "search", "v.npz", "album/0.png", "-k", "2", cwd=tmp_path)
    copies = run(soda, "duplicates", "album", "--threshold", "0.9999", cwd=tmp_path).splitlines()
    assert copies == ["0\t0.png", "0\tagain.png"]
    files = (path for path in (tmp_path / "env").rglob("*") if path.is_file() and not path.is_symlink() and path.suffix != ".pyc")
    size = sum(path.stat().st_size for path in files if not NOT_OURS & {part.split("-")[0] for part in path.parts})
    assert size < MAX_BYTES, f"{size / 1e6:.0f} MB"
