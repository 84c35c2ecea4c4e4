"""What the page of `soda map` is made of: places, tiles, and vectors to search by."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from soda.cli import main
from soda.runtime import nearest
from soda.vectors.atlas import flat as flat_module
from soda.vectors.atlas.flat import flat
from soda.vectors.atlas.page import along_curve
from soda.vectors.atlas.shrunk import WIDTH, shrunk
from soda.vectors.atlas.tiles import MISSING, SHEET, sheets, side_for

ENCODER = Path(__file__).parents[2] / "zoo/emoji/encoder.onnx"


def groups(count: int, width: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """(n, width) of length 1 around 5 centres, and whose they are."""
    rng = np.random.default_rng(0)
    kinds = np.arange(count) % 5
    z = rng.normal(size=(5, width))[kinds] + 0.3 * rng.normal(size=(count, width))
    return (z / np.linalg.norm(z, axis=1, keepdims=True)).astype(np.float32), kinds


@pytest.mark.parametrize("method", ["tsne", "pca"])
def test_alike_ones_lie_side_by_side(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if method == "tsne":
        pytest.importorskip("openTSNE")
        monkeypatch.setattr(flat_module, "SAMPLE", 200)  # the other half goes beside these
    z, kinds = groups(400)
    places = flat(z, method)
    assert places.shape == (400, 2) and places.dtype == np.float32 and np.abs(np.percentile(places, [1, 99])).max() <= 1.1
    apart = np.linalg.norm(places[:, None] - places[None], axis=2)
    np.fill_diagonal(apart, np.inf)
    assert (kinds[apart.argmin(1)] == kinds).mean() > (0.97 if method == "tsne" else 0.7)


def test_without_opentsne_components_serve(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setitem(sys.modules, "openTSNE", None)
    z, _ = groups(50)
    np.testing.assert_array_equal(flat(z), flat(z, "pca"))
    assert "pip install '.[map]'" in caplog.text
    with pytest.raises(ModuleNotFoundError, match=r"pip install '\.\[map\]'"):
        flat(z, "tsne")
    with pytest.raises(ValueError, match="method: 'umap'"):
        flat(z, "umap")


@pytest.mark.parametrize("count", [1, 2, 3, 13])
def test_few_pictures_have_places_too(count: int) -> None:
    assert np.isfinite(flat(groups(count)[0])).all() and np.isfinite(flat(np.ones((count, 4), np.float32) / 2)).all()


def test_what_lies_close_is_on_few_sheets() -> None:
    places = np.random.default_rng(0).random((5000, 2)).astype(np.float32)
    order = along_curve(places)
    assert sorted(order.tolist()) == list(range(5000))
    steps = np.linalg.norm(np.diff(places[order], axis=0), axis=1)
    assert np.median(steps) < 0.03


def test_short_vectors_find_what_long_ones_find() -> None:
    rng = np.random.default_rng(0)
    z = rng.normal(size=(2000, 128)) * np.geomspace(1, 0.05, 128)
    z = (z / np.linalg.norm(z, axis=1, keepdims=True)).astype(np.float32)
    short = shrunk(z)
    assert short.shape == (2000, WIDTH) and short.dtype == np.int8
    full, found = nearest(z[:200], z, 11)[0], nearest(short[:200].astype(np.float32), short.astype(np.float32), 11)[0]
    assert np.mean([len(set(a) & set(b)) for a, b in zip(full, found, strict=True)]) > 10
    assert shrunk(np.zeros((3, 4), np.float32)).tolist() == [[0] * 4] * 3


def test_every_picture_has_its_tile(tmp_path: Path) -> None:
    side = side_for(700)
    across, paths = SHEET // side, []
    for number in range(across * across + 3):  # a second sheet
        paths.append(tmp_path / f"{number % 3}.png")
    for number, colour in enumerate(("red", "lime", "blue")):
        Image.new("RGB", (40, 90), colour).save(tmp_path / f"{number}.png")
    paths[1] = tmp_path / "gone.png"
    first, second = sheets(paths, side)
    assert (len(first.colours), len(second.colours), first.missing, second.missing) == (across * across, 3, 1, 0)
    pixels = np.asarray(Image.open(io.BytesIO(first.jpeg)))
    assert pixels.shape == (SHEET, SHEET, 3)
    for place, colour in ((0, (255, 0, 0)), (1, (MISSING,) * 3), (2, (0, 0, 255)), (across + 1, None)):
        expected = first.colours[place] if colour is None else colour
        tile = pixels[place // across * side :, place % across * side :][:side, :side]
        assert np.abs(tile.astype(int) - np.asarray(expected)).max() <= 12 and np.abs(first.colours[place] - expected).max() <= 1
    for count in (1, 4_001, 20_001, 50_001, 100_000):
        assert side_for(count) % 8 == 0 and count / (SHEET // side_for(count)) ** 2 <= 26


def test_a_map_says_how_many_it_leaves_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(9):
        Image.new("RGB", (32, 32), (25 * number, 0, 0)).save(tmp_path / f"{number}.png")
    command = ["map", str(tmp_path), "-o", str(tmp_path / "m.html"), "--encoder", str(ENCODER), "--threads", "1", "-k", "2"]
    main([*command, "--most", "7"])
    said = capsys.readouterr()
    assert "m.html: 7 pictures, " in said.out and "2 more are left out: those on it were drawn at random (--most" in said.err
    main(command)
    assert "left out" not in capsys.readouterr().err


def test_mistakes_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a").mkdir()
    for arguments, says in (
        (["-o", str(tmp_path / "m.png")], "a map is an .html file"),
        (["-k", "0"], "-k: 0 is not possible"),
        (["--most", "200000"], "--most: 200000 is not possible; it must be a whole number from 1 to 100000"),
    ):
        with pytest.raises(SystemExit) as ended:
            main(["map", str(tmp_path / "a"), "--encoder", str(ENCODER), *arguments])
        assert ended.value.code == 1 and says in capsys.readouterr().err
