"""Two encoders on one folder: what is the same, what moved, and what labels say of it."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from soda.cli import main
from soda.runtime import Encoder
from soda.vectors import VectorsError
from soda.vectors.compare import compare, label_figures, labels_of
from soda.vectors.origin import Origin
from soda.vectors.store import Vectors

ZOO = Path(__file__).parents[2] / "zoo"


def vectors(z: np.ndarray, files: list[str] | None = None) -> Vectors:
    z = (z / np.linalg.norm(z, axis=1, keepdims=True)).astype(np.float32)
    origin = Origin("/p", "0", z.shape[1], "stats+l2", [0.0] * z.shape[1], [1.0] * z.shape[1])
    return Vectors(files or [f"{i:03d}.png" for i in range(len(z))], z, origin)


def test_a_rotation_moves_nothing_and_chance_is_chance() -> None:
    rng = np.random.default_rng(0)
    z = rng.normal(size=(400, 16))
    turned = compare(vectors(z), vectors(z @ np.linalg.qr(rng.normal(size=(16, 16)))[0]), 10)
    assert turned.shared.mean() > 0.999 and turned.cka > 0.9999
    other = compare(vectors(z), vectors(rng.normal(size=(400, 24))), 10)
    assert abs(other.shared.mean() - other.chance) < 0.01 and other.chance == 10 / 399 and other.cka < 0.2


def test_what_moved_is_named_and_only_pictures_in_both_count() -> None:
    rng = np.random.default_rng(1)
    centres = np.eye(4).repeat(25, axis=0)
    z = np.concatenate([centres, 0.05 * rng.normal(size=(100, 8))], axis=1)
    moved = z.copy()
    moved[[7, 60], :4] = np.eye(4)[[3, 0]]  # to other groups
    files = [f"{i:03d}.png" for i in range(100)]
    order = rng.permutation(100)
    found = compare(vectors(z[:-1], files[:-1]), vectors(moved[order], [files[row] for row in order]), 10)
    assert len(found.files) == 99 and set(found.most_moved(2)) == {7, 60} and found.shared[[7, 60]].max() == 0
    with pytest.raises(VectorsError, match="0 pictures are in both of 100 and 100"):
        compare(vectors(z, files), vectors(z, [f"other/{name}" for name in files]))


def test_labels_of_folders_and_what_neighbours_say_of_them() -> None:
    assert labels_of(["a/1.png", "train/a/2.png", "b/3.png", "test/b/4.png"]) == ["a", "a", "b", "b"]
    for files in (["a/1.png", "2.png"], ["a/1.png", "a/2.png"], ["a/1.png", "b/2.png", "c/3.png"]):
        assert labels_of(files) is None
    rng = np.random.default_rng(0)
    truth = np.repeat([0, 1], 50)
    knowing = np.eye(2)[truth] + 0.1 * rng.normal(size=(100, 2))
    found = compare(vectors(np.c_[knowing, np.ones(100)]), vectors(rng.normal(size=(100, 3))), 5)
    figures = label_figures(found, [str(each) for each in truth])
    assert figures.right[0] == 1 and figures.own[0] == 1 and 0.3 < figures.right[1] < 0.7 and figures.only[1] == 0
    assert figures.only[0] == round(100 * (1 - figures.right[1]))


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two folders of colours, from red to yellow and from blue to cyan."""
    folder = tmp_path_factory.mktemp("album")
    for number in range(12):
        for label, colour in (("warm", (255, 20 * number, 0)), ("cold", (0, 20 * number, 255))):
            (folder / label).mkdir(exist_ok=True)
            Image.new("RGB", (32, 32), colour).save(folder / label / f"{number:02d}.png")
    return folder


def test_on_the_command_line(album: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    about = [str(album), "-k", "5", "-n", "3", "-o", str(tmp_path / "c.html"), "--threads", "1"]
    main(["compare", str(ZOO / "emoji"), str(ZOO / "avatars/encoder.onnx"), *about, "--csv", str(tmp_path / "c.csv")])
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == 3 and "neighbours that both name, of 5: 0." in said.err
    assert "labels (2) that the neighbours vote for: A " in said.err
    with (tmp_path / "c.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 24 and min(float(row["shared"]) for row in rows) == float(said.out.split("\t")[0])
    assert "warm/" in (tmp_path / "c.html").read_text(encoding="utf-8")
    for name, model in (("a", "emoji"), ("b", "emoji")):
        embed = ["embed", str(album), "-o", str(tmp_path / f"{name}.npz"), "--encoder", str(ZOO / model / "encoder.onnx")]
        main([*embed, "--threads", "1", *(["--normalize", "stats"] if name == "b" else [])])
    capsys.readouterr()
    main(["compare", str(tmp_path / "a.npz"), str(tmp_path / "b.npz"), "-o", str(tmp_path / "t.html")])
    assert "neighbours that both name, of 10: 1.000" in capsys.readouterr().err


@pytest.mark.parametrize("style", ["./{}", "{}", " {} "])
def test_labels_may_be_written_as_spreadsheets_do(
    album: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], style: str
) -> None:
    named = [(path.relative_to(album), path.parent.name) for path in sorted(album.rglob("*.png"))]
    rows = [f"{style.format(str(name).replace('/', chr(92)))};{label}" for name, label in named]
    (tmp_path / "l.csv").write_text("\n".join(["file;label", *rows, "gone.png;warm"]), encoding="utf-8-sig")
    encoder = str(ZOO / "emoji/encoder.onnx")
    more = ["--labels", str(tmp_path / "l.csv"), "-o", str(tmp_path / "c.html"), "--threads", "1", "-n", "2"]
    main(["compare", encoder, encoder, str(album), *more])
    said = capsys.readouterr()
    assert "labels (2) that the neighbours vote for: A " in said.err and len(said.out.splitlines()) == 2


def test_labels_are_read_before_anything_is_embedded(
    album: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*args: object, **settings: object) -> None:
        raise AssertionError("it embeds already")

    monkeypatch.setattr(Encoder, "embed_all", never)
    (tmp_path / "l.csv").write_text("file,label\nwarm/00.png,warm\n")
    encoder = str(ZOO / "emoji/encoder.onnx")
    for labels in ("l.csv", "none.csv"):
        with pytest.raises(SystemExit):
            main(["compare", encoder, encoder, str(album), "--labels", str(tmp_path / labels), "-o", str(tmp_path / "c.html")])
        assert f"{labels}: " in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["compare", encoder, str(tmp_path / "none.onnx"), str(album), "-o", str(tmp_path / "c.html")])


def test_folders_of_splits_are_no_labels_here_either() -> None:
    for train, test in (("train2017", "val2017"), ("train_images", "test_images"), ("Training Set", "testing")):
        files = [f"{folder}/{number}.png" for folder in (train, test) for number in range(4)]
        assert labels_of(files) is None
        assert labels_of([f"{file[:-5]}{'ab'[row % 2]}/{file[-5:]}" for row, file in enumerate(files)]) == list("ab" * 4)
    vehicles = [f"{kind}/{number}.png" for kind in ("train", "bus", "car") for number in range(4)]
    assert labels_of(vehicles) == [name.split("/")[0] for name in vehicles]  # a train may also be a train


def test_a_mistake_is_one_line(album: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    encoder = str(ZOO / "emoji/encoder.onnx")
    (tmp_path / "l.csv").write_text("file,label\nwarm/00.png,warm\n")
    for arguments, says in (
        ([encoder, encoder], "an encoder needs a folder of pictures"),
        ([str(tmp_path), encoder, str(album)], "there is no encoder.onnx in it"),
        ([encoder, encoder, str(album), "--labels", str(tmp_path / "l.csv")], "l.csv: no row for 23 pictures (cold/00.png, "),
        ([encoder, encoder, str(album), "--labels", str(tmp_path / "none.csv")], "none.csv: cannot be read (no such file"),
        ([encoder, str(tmp_path / "none.onnx"), str(album)], "none.onnx"),
        ([encoder, encoder, str(album), "-k", "0"], "-k: 0 is not possible"),
    ):
        with pytest.raises(SystemExit) as ended:
            main(["compare", *arguments, "-o", str(tmp_path / "c.html"), "--threads", "1"])
        assert ended.value.code == 1 and says in capsys.readouterr().err.splitlines()[-1]
