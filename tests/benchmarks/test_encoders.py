"""The comparison of encoders: every method trains and is judged, rows are kept, and what is chosen is chosen on validation."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import __main__ as bench
from benchmarks.encoders.__main__ import main
from benchmarks.encoders.measure import judge_of, table, written
from benchmarks.encoders.methods import METHODS, build_method
from benchmarks.encoders.training import UNAUGMENTED, train_other, train_ours
from soda.config import compose, from_dict
from soda.runtime.foreign_settings import Preprocessing


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Discs and squares, by category."""
    root, generator = tmp_path_factory.mktemp("shapes"), np.random.default_rng(0)
    rows, columns = np.mgrid[:24, :24]
    for kind in ("disc", "square"):
        (root / kind).mkdir()
        for k in range(60):
            pixels = np.full((24, 24, 3), generator.integers(0, 100, 3), np.uint8)
            y, x = generator.integers(8, 16, 2)
            inside = (rows - y) ** 2 + (columns - x) ** 2 < 36 if kind == "disc" else (abs(rows - y) < 6) & (abs(columns - x) < 6)
            pixels[inside] = generator.integers(150, 256, 3)
            Image.fromarray(pixels).save(root / kind / f"{k}.png")
    return root


@pytest.mark.parametrize("name", METHODS)
def test_every_method_lowers_its_loss_and_trains_the_encoder(name: str) -> None:
    config = from_dict(compose(["dataset=folder", "dataset.path=/x", "model.encoder_width=16", "model.latent_dim=32"]))
    method = build_method(name, "mild", config, seed=0)
    again = build_method(name, "mild", config, seed=0)
    for (key, mine), theirs in zip(method.state_dict().items(), again.state_dict().values(), strict=True):
        assert torch.equal(mine, theirs), key
    images = torch.rand(16, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    slow = [p.clone() for p in getattr(method, "slow", torch.nn.Identity()).parameters()]
    optimizer = torch.optim.AdamW([p for p in method.parameters() if p.requires_grad], lr=1e-3)
    before = [p.clone() for p in method.encoder.parameters()]
    losses = []
    for step in range(8):
        loss = method.loss(images, torch.Generator().manual_seed(step % 2))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        method.after_step(step / 8)
        losses.append(loss.item())
    if name != "dino":  # which moves its own target
        assert sum(losses[-2:]) < sum(losses[:2])
    assert all(np.isfinite(losses))
    moved = [not torch.equal(a, b) for a, b in zip(before, method.encoder.parameters(), strict=True)]
    assert all(moved)
    if slow:
        assert any(not torch.equal(a, b) for a, b in zip(slow, method.slow.parameters(), strict=True))


def test_a_training_ends_when_its_time_is_spent(folder: Path, tmp_path: Path) -> None:
    judge = judge_of("shapes", folder, tmp_path)
    encoder, images = train_ours(judge.config, judge.data, 0.5, tmp_path)
    longer = train_ours(judge.config, judge.data, 2.0, tmp_path)[1]
    assert 0 < images < longer
    assert not encoder.training
    found = judge.encoder(encoder)
    assert set(found) == {"z", "features"} and found["z"]["ms"] > 0
    assert found["z"]["mb"] == pytest.approx(sum(t.numel() for t in encoder.state_dict().values()) * 4e-6, rel=0.1)
    other, images = train_other("simclr", UNAUGMENTED[2], judge.config, judge.data, 0.5, batch_size=32)
    assert images % 32 == 0 and images > 0 and not other.training


def test_a_foreign_encoder_sees_the_pictures_themselves(folder: Path, tmp_path: Path) -> None:
    judge = judge_of("shapes", folder, tmp_path)
    sizes = []

    def teach(squares: np.ndarray) -> np.ndarray:
        sizes.append(squares.shape[1:])
        return squares.reshape(len(squares), -1).astype(np.float32)[:, ::97]

    how = Preprocessing(size=24, resize="stretch")
    scores = judge.foreign(teach, how, 1.5)
    assert set(sizes) == {(24, 24, 3)} and scores["mb"] == 1.5
    original = np.asarray(Image.open(folder / str(judge.samples["test"].split.files[judge.samples["test"].indices[0]])))
    assert (judge._square(judge.samples["test"], int(judge.samples["test"].indices[0]), how) == original).all()


def test_the_command_writes_a_row_for_each_kind_of_vectors_and_goes_on(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "encoders.json"
    common = ["--folder", str(folder), "--name", "shapes", "--runs", str(tmp_path / "runs"), "--out", str(out)]
    words = [*common, "--seconds", "0.3", "--seeds", "2", "--methods", "soda", "pca"]
    main(words)
    rows = json.loads(out.read_text())
    assert {(row["method"], row["vectors"]) for row in rows} == {
        ("soda", "z"),
        ("soda", "features"),
        ("pca", "components"),
    }
    for row in rows:
        assert row["data"] == "shapes" and 0 < row["linear"] <= 1 and 0 < row["knn"] <= 1
        assert row["seeds"] == (2 if row["method"] == "soda" else 1)
        assert ("linear_sd" in row) == (row["seeds"] == 2)
    kept = sorted((tmp_path / "runs/rows").glob("*.json"))
    times = [file.stat().st_mtime_ns for file in kept]
    main(words)
    assert [file.stat().st_mtime_ns for file in kept] == times and json.loads(out.read_text()) == rows
    printed = capsys.readouterr().out
    assert "| soda | z |" in printed and "**" in printed
    with pytest.raises(SystemExit):
        main([*common, "--onnx", "a.onnx"])
    assert "1 files after --onnx, 0 after --preprocess" in capsys.readouterr().err


def test_rows_take_the_place_of_those_before(tmp_path: Path) -> None:
    row = {"data": "a", "method": "soda", "vectors": "z", "linear": 0.5, "knn": 0.25, "seeds": 1}
    out = tmp_path / "rows.json"
    written([row, {**row, "vectors": "features"}], out)
    every = written([{**row, "linear": 0.75, "linear_sd": 0.01}], out)
    assert [each["linear"] for each in every] == [0.5, 0.75]
    assert "| soda | z | **0.750 ± 0.010** | **0.250** |  |  |" in table(every)


def test_the_long_part_takes_options_of_its_own(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["bench", "--only", "encoders", "--methods", "simsiam"])
    with pytest.raises(SystemExit):
        bench.main()
    assert "invalid choice: 'simsiam'" in capsys.readouterr().err
    monkeypatch.setattr("sys.argv", ["bench", "--methods", "soda"])
    with pytest.raises(SystemExit):
        bench.main()
    assert "unrecognized arguments: --methods soda" in capsys.readouterr().err
