"""Somebody else's ONNX file as an encoder: prepared as its maker says, described, and searched with."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from soda.cli import main
from soda.runtime import EncoderError
from soda.runtime.foreign import ForeignEncoder, describe
from soda.runtime.foreign_settings import IMAGENET, Preprocessing, read_preprocessing, write_preprocessing
from tests.support.foreign import by_hand, foreign_encoder
from tests.support.workspace import noise


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize("batch", ["n", 1, 4])
def test_the_graph_gets_what_its_maker_says(tmp_path: Path, layout: str, batch: Any) -> None:
    path = foreign_encoder(tmp_path / "any.onnx", layout=layout, batch=batch)
    encoder, squares = ForeignEncoder(path, Preprocessing(size=8, layout=layout)), noise(6, 8, 8, 3)
    assert encoder.width == 5 and encoder.image_size == 8
    np.testing.assert_allclose(encoder.embed(squares), by_hand(squares, *IMAGENET), atol=1e-4)
    signed = ForeignEncoder(path, Preprocessing(size=8, layout=layout, range=(-1.0, 1.0), mean=(0, 0, 0), std=(1, 1, 1)))
    np.testing.assert_allclose(signed.run(squares), by_hand(squares, (0.5,) * 3, (0.5,) * 3), atol=1e-4)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(encoder)).run(squares), encoder.run(squares))
    assert encoder.run(noise(2, 20, 31, 3)).shape == (2, 5)  # squared first


def test_maps_are_averaged_and_outputs_are_chosen(tmp_path: Path) -> None:
    path = foreign_encoder(tmp_path / "two.onnx", two=True)
    with pytest.raises(EncoderError, match=r"two\.onnx: it has the outputs map, embedding; say which by `output:`"):
        ForeignEncoder(path, Preprocessing(size=8))
    with pytest.raises(EncoderError, match=r"no output 'z', only map, embedding"):
        ForeignEncoder(path, Preprocessing(size=8, output="z"))
    squares = noise(3, 8, 8, 3)
    averaged = ForeignEncoder(path, Preprocessing(size=8, output="map", mean=(0, 0, 0), std=(1, 1, 1))).run(squares)
    np.testing.assert_allclose(averaged, squares.mean((1, 2)) / 255, atol=1e-5)
    with pytest.raises(EncoderError, match=r"two\.onnx: it failed at pixels \(1, 3, 9, 9\); does the preprocessing suit"):
        ForeignEncoder(path, Preprocessing(size=9, output="map"))


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
def test_what_is_described_is_what_is_read(tmp_path: Path, layout: str) -> None:
    path = foreign_encoder(tmp_path / "any.onnx", layout=layout, two=True)
    settings, remarks = describe(path)
    assert (settings.size, settings.layout, settings.output) == (8, layout, "embedding") and "map" in remarks["output"]
    write_preprocessing(tmp_path / "any.yaml", settings, remarks)
    assert read_preprocessing(tmp_path / "any.yaml") == settings
    yaml = pytest.importorskip("yaml")
    plain = yaml.safe_load((tmp_path / "any.yaml").read_text())
    assert plain["size"] == 8 and plain["mean"] == list(IMAGENET[0]) and plain["output"] == "embedding"
    free = foreign_encoder(tmp_path / "free.onnx", size="s", layout=layout)
    assert describe(free)[0].size == 224 and "size" in describe(free)[1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("size: big", r"p\.yaml: size: 'big' is not possible"),
        ("colour: red", r"p\.yaml: line 1: 'colour: red' is no setting; known: layout"),
        ("mean: [1, 2]", r"p\.yaml: mean: \[1, 2\] is not possible; it must be 3 numbers"),
        ("std: [0, 1, 1]", r"std: .* above 0"),
        ("layout: chw", r"layout: 'chw'"),
    ],
)
def test_what_is_no_setting_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "p.yaml").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_preprocessing(tmp_path / "p.yaml")
    with pytest.raises(OSError, match=r"none\.yaml: cannot be read"):
        read_preprocessing(tmp_path / "none.yaml")


def test_a_folder_is_embedded_and_searched_with_it(tmp_path: Path, capsys: Any) -> None:
    path, pictures, table = foreign_encoder(tmp_path / "any.onnx"), tmp_path / "pictures", str(tmp_path / "v.npz")
    pictures.mkdir()
    for i in range(5):
        Image.fromarray(noise(8, 8, 3, seed=i)).save(pictures / f"{i}.png")
    main(["describe", str(path)])
    said = capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["embed", str(pictures), "-o", table, "--encoder", str(path)])
    assert "not an encoder of this project; `soda describe` prepares" in capsys.readouterr().err
    options = ["--encoder", str(path), "--preprocess", str(tmp_path / "any.yaml")]
    assert f"soda embed FOLDER {' '.join(options)}" in said and "5 numbers a picture" in said
    main(["embed", str(pictures), "-o", table, *options])
    main(["search", table, str(pictures / "2.png"), "-k", "1", "-o", str(tmp_path / "s.html"), *options])
    assert capsys.readouterr().out.splitlines()[-1].split("\t")[0::2] == ["1.0000", "2.png"]
    (tmp_path / "any.yaml").write_text("size: 8\nmean: [0, 0, 0]\n")
    with pytest.raises(SystemExit):
        main(["search", table, str(pictures / "2.png"), *options])
    assert "another encoder than" in capsys.readouterr().err
