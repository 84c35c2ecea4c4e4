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
