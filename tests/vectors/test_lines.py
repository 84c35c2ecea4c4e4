"""What a command found is printed, whatever becomes of its contact sheet and whatever its output can encode."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from soda.cli import main
from soda.monitor.sample import identity, sample_of
from soda.runtime import Encoder

ROOT = Path(__file__).parents[2]
ENCODER = ROOT / "zoo/emoji/encoder.onnx"
NAMES = ["a.png", "b.png", "holiday \N{GRINNING FACE}.png", "größe.png", "z.png"]


@pytest.fixture
def album(tmp_path: Path) -> Path:
    folder = tmp_path / "album"
    folder.mkdir()
    for name in NAMES:
        Image.new("RGB", (32, 32), "red").save(folder / name)
    return folder


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "cp437", "utf-8"])
def test_a_name_that_the_encoding_lacks_is_spelt_out(album: Path, tmp_path: Path, encoding: str) -> None:
    command = [
        sys.executable,
        "-m",
        "soda",
        "duplicates",
        album,
        "-o",
        tmp_path / "s.html",
        "--encoder",
        ENCODER,
        "--threads",
        "1",
    ]
    environment = os.environ | {"PYTHONIOENCODING": encoding, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(list(map(str, command)), env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = [line.split("\t")[1] for line in done.stdout.decode(encoding).splitlines()]
    assert lines == [name.encode(encoding, "backslashreplace").decode(encoding) for name in sorted(NAMES)]


@pytest.mark.parametrize("command", ["duplicates", "outliers", "cluster", "search"])
@pytest.mark.parametrize("named", [True, False])
def test_a_sheet_that_cannot_be_written_is_said_before_the_work_and_costs_no_line(
    album: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str, named: bool
) -> None:
    def refused(path: Path, *args: object, **settings: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Path, "touch", refused)  # root may write anywhere: so is a read-only disk
    monkeypatch.setattr(Path, "write_text", refused)
    more = {"search": [album / "a.png"], "cluster": ["-k", "2"]}.get(command, [])
    arguments = [command, album, *more, "--encoder", ENCODER, "--threads", "1", *(["-o", "there.html"] if named else [])]
    if named:  # it was asked for
        with pytest.raises(SystemExit) as ended:
            main(list(map(str, arguments)))
        assert ended.value.code == 1
    else:
        main(list(map(str, arguments)))
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == len(NAMES)
    first, *_, last = said.err.strip().splitlines()
    assert "the contact sheet cannot be written (permission denied); the lines are printed all the same" in first
    assert last.startswith(f"soda {command}: ") and "cannot be written (permission denied)" in last


def fill_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes the first bytes of a file, and not the last."""

    def refused(old: object, new: object) -> None:
        raise OSError(28, "No space left on device", str(old), None, str(new))

    monkeypatch.setattr(os, "replace", refused)


@pytest.fixture
def two_albums(album: Path, tmp_path: Path) -> list[str]:
    """What `soda drift` takes: a reference, and a folder of pictures beside it."""
    encoder, random = Encoder(ENCODER, threads=1), np.random.default_rng(0)
    images = random.integers(0, 256, (260, 32, 32, 3), np.uint8)
    sample_of(encoder.run(images[:200]), identity(encoder), images=images[:200]).save(tmp_path / "reference.npz")
    for number, image in enumerate(images[200:]):
        Image.fromarray(image).save(os.fsencode(album) + b"/\xff%d.png" % number)  # names that are no Unicode
    return [str(tmp_path / "reference.npz"), str(album)]


def ends_badly(*arguments: object) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*map(str, arguments), "--encoder", str(ENCODER)])
    assert ended.value.code == 1


def test_a_plan_that_cannot_be_written_at_the_end_costs_no_line(
    album: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_disk(monkeypatch)
    ends_badly("duplicates", album, "--plan", tmp_path / "p.csv", "-o", tmp_path / "s.html", "--threads", "1")
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == len(NAMES)
    for name, what in (("p.csv", "plan"), ("s.html", "contact sheet")):
        assert f"{name}: the {what} cannot be written (no space left on device)" in said.err
    assert not list(tmp_path.glob(".*"))


def test_a_table_that_cannot_be_written_at_the_end_costs_no_line_of_a_comparison(
    album: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_disk(monkeypatch)
    more = ["-k", "2", "--csv", tmp_path / "c.csv", "-o", tmp_path / "s.html", "--threads", "1"]
    ends_badly("compare", ENCODER, ENCODER, album, *more)
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == len(NAMES) and "neighbours that both name" in said.err
    assert "c.csv: the table cannot be written (no space left on device)" in said.err


@pytest.mark.parametrize("named", [True, False])
def test_drift_is_told_where_neither_page_nor_table_can_be_written(
    two_albums: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    named: bool,
) -> None:
    monkeypatch.chdir(tmp_path)
    fill_disk(monkeypatch)
    if named:
        ends_badly("drift", *two_albums, "-o", "page.html")
    else:
        main(["drift", *two_albums, "--encoder", str(ENCODER)])
    said = capsys.readouterr()
    assert "pictures of 65 compared" in said.out.splitlines()[0] and len(said.out.splitlines()) > 8
    assert "the page cannot be written" in said.err and "the table cannot be written" in said.err


@pytest.mark.parametrize("command", ["duplicates", "compare", "drift", "map"])
def test_a_place_that_cannot_be_written_is_said_before_anything_is_embedded(
    album: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    def never(*args: object, **settings: object) -> None:
        raise AssertionError("it is at work already")

    for name in ("embed_all", "stream", "run"):
        monkeypatch.setattr(Encoder, name, never)
    (tmp_path / "file").touch()
    (tmp_path / "folder.csv").mkdir()
    places = ["file/below.csv", "folder.csv"] if command in ("duplicates", "compare") else ["file/below.html"]
    for place in places:
        arguments = {
            "duplicates": ["duplicates", album, "--plan", tmp_path / place],
            "compare": ["compare", ENCODER, ENCODER, album, "--csv", tmp_path / place],
            "drift": ["reference", "--prepared", tmp_path / "none", "-o", tmp_path / place],
            "map": ["map", album, "-o", tmp_path / place],
        }[command]
        ends_badly(*arguments)
        assert f"{tmp_path / place}: cannot be written (" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("command", ["duplicates", "compare", "drift", "map", "search", "embed"])
def test_a_name_that_is_no_unicode_goes_into_every_list_and_page(
    two_albums: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    reference, album = two_albums
    beside = tmp_path / "t.csv"
    arguments = {
        "duplicates": ["duplicates", album, "--plan", beside, "--threshold", "0.5"],
        "compare": ["compare", ENCODER, ENCODER, album, "--csv", beside],
        "drift": ["drift", reference, album],
        "map": ["map", album],
        "search": ["search", album, os.fsdecode(os.fsencode(album) + b"/\xff7.png")],
        "embed": ["embed", album, "-o", tmp_path / "v.npz"],
    }[command]
    page = [] if command == "embed" else ["-o", tmp_path / "page.html"]
    main([*map(str, [*arguments, *page]), "--encoder", str(ENCODER)])
    if command == "compare":
        rows = beside.read_text(encoding="utf-8").splitlines()
        assert len(rows) == 66 and sum(row.startswith("\\xff") for row in rows) == 60
    if page:
        assert "\\xff" in (tmp_path / "page.html").read_text(encoding="utf-8").replace("\\\\", "\\")


def test_labels_and_tables_of_such_names_go_together(two_albums: list[str], tmp_path: Path) -> None:
    album = two_albums[1]
    main(["embed", album, "-o", str(tmp_path / "v.npz"), "--encoder", str(ENCODER), "--vectors", "search"])
    main(["compare", str(ENCODER), str(ENCODER), album, "--csv", str(tmp_path / "t.csv"), "-o", str(tmp_path / "s.html")])
    rows = (tmp_path / "t.csv").read_text(encoding="utf-8").splitlines()[1:]
    labels = [f"{row.split(',')[0]},{number % 2}x" for number, row in enumerate(rows)]
    (tmp_path / "l.csv").write_text("\n".join(["file,label", *labels]), encoding="utf-8")
    more = ["--labels", str(tmp_path / "l.csv"), "--csv", str(tmp_path / "t.csv"), "-o", str(tmp_path / "s.html")]
    main(["compare", str(tmp_path / "v.npz"), str(ENCODER), album, *more])  # a table beside a folder: the same pictures
    assert len((tmp_path / "t.csv").read_text(encoding="utf-8").splitlines()) == 66


def test_more_pixels_are_read_where_they_are_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "album"
    folder.mkdir()
    Image.fromarray(np.zeros((60, 60, 3), np.uint8)).save(folder / "a.png")
    Image.fromarray(np.zeros((60, 60, 3), np.uint8)).save(folder / "b.jpg")
    run = ["embed", str(folder), "-o", str(tmp_path / "v.npz"), "--encoder", str(ENCODER), "--threads", "1"]
    main([*run, "--max-pixels", "900"])
    assert "v.npz: 1 pictures" in capsys.readouterr().out
    assert "a.png: 60 x 60 px is more than the limit of 900 pixels" in (tmp_path / "v.npz.skipped.csv").read_text()
    main([*run, "--max-pixels", "3600"])
    assert "v.npz: 2 pictures" in capsys.readouterr().out
