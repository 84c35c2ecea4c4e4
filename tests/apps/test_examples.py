"""The examples do what they say, on a real exported model."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from soda.runtime import Encoder, nearest
from soda.vectors.job import embed_folder
from tests.support.workspace import Workspace, noise

ROOT = Path(__file__).parents[2]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    for i in range(12):
        path = folder / ("a" if i % 2 else "b") / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise(20, 26, 3, seed=i)).save(path)
    (folder / "broken.jpg").write_bytes(b"no")
    return folder


def run(*command: object) -> str:
    done = subprocess.run([sys.executable, *map(str, command)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_python_without_torch_embeds_draws_walks_and_edits(workspace: Workspace, pictures: Path, tmp_path: Path) -> None:
    code = (
        "import runpy, sys; sys.argv = sys.argv[1:]; sys.path.insert(0, ''); runpy.run_path(sys.argv[0], run_name='__main__'); "
        "assert not {'torch', 'onnx', 'pandas', 'scipy'} & set(sys.modules)"
    )
    said = run("-c", code, "examples/embed_and_draw.py", workspace.encoder.parent, pictures, tmp_path / "drawn.png")
    assert said.startswith("12 of 13 pictures, 16 numbers each\n")
    sheet = np.asarray(Image.open(tmp_path / "drawn.png"))
    assert sheet.shape == (5 * 16, 7 * 16, 3) and sheet.reshape(5, 16, -1).std(axis=(1, 2)).min() > 1  # five rows of pictures


def test_sql_finds_the_neighbours_that_numpy_finds(workspace: Workspace, pictures: Path, tmp_path: Path) -> None:
    encoder, table = Encoder(workspace.encoder, threads=1), tmp_path / "vectors.parquet"
    embed_folder(encoder, pictures, table)
    size, neighbours, folders = (
        block.splitlines()[1:] for block in run("examples/duckdb_search.py", table, "a/3.png").split("\n\n")[:3]
    )
    assert size == ["12  16"] and [line.split("  ")[:2] for line in folders] == [["a", "6"], ["b", "6"]]
    found = encoder.embed_all(pictures)
    scaled = (found.z - found.z.mean(0)) / found.z.std(0)
    indices, cosines = nearest(scaled[[found.names.index("a/3.png")]], scaled, 11)
    assert [line.split("  ")[0] for line in neighbours] == [found.names[i] for i in indices[0][1:]]
    np.testing.assert_allclose([float(line.split("  ")[1]) for line in neighbours], cosines[0][1:], atol=1e-3)


def test_the_method_from_its_parts_reconstructs_digits_it_never_saw(tmp_path: Path) -> None:
    said = run("examples/train_from_parts.py", tmp_path / "digits.png", 150).splitlines()
    losses = [float(line.rpartition(" ")[2]) for line in said[:3]]
    assert losses[2] < losses[0] < 0.2
    sheet = np.asarray(Image.open(tmp_path / "digits.png")).astype(float)
    digits = sheet.reshape(2, 18, 5, 10, 18, 5).mean((2, 5))[:, 1:-1, :, 1:-1].transpose(0, 2, 1, 3).reshape(2, 10, -1)
    alike = np.corrcoef(*digits)[:10, 10:]  # of each original with each of those drawn
    assert np.diag(alike).mean() > max(0.8, alike.mean() + 0.1)
