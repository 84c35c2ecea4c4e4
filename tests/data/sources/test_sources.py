"""Raw data is what it should be, or one error says what is wrong with which file, row or setting."""

from __future__ import annotations

import csv
import os
import subprocess
import threading
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from soda.data.fetch import fetch
from soda.data.sources import SourceError, download, fashion_mnist, folder, get_source
from soda.data.sources.labels import folder_labels, read_label_csv
from tests.support.samples import IdxSet, MakeConfig, picture, snapshot
from tests.support.settings import DEFAULT

SETTINGS = replace(DEFAULT.dataset, image_size=28)


def idx_config(dataset_config: MakeConfig, idx_set: IdxSet, **settings: object):
    return dataset_config(name="fashion_mnist", path=str(idx_set.sums), labels="official", channels=1, **settings)


def test_fashion_mnist_items_are_the_pictures_and_labels_of_the_files(
    tmp_path: Path, dataset_config: MakeConfig, idx_set: IdxSet
) -> None:
    config = idx_config(dataset_config, idx_set)
    metrics = fetch(config, tmp_path / "raw")
    items = list(fashion_mnist.opened(config, tmp_path / "raw").items())
    assert metrics["files"] == 4
    assert metrics["from"] == str(idx_set.folder)
    assert fashion_mnist.opened(config, tmp_path / "raw").count == len(items) == len({item.id for item in items}) == 50
    assert [item.split for item in items] == ["train"] * 40 + ["test"] * 10
    assert [item.label for item in items[:10]] == list(fashion_mnist.CLASSES)
    assert (np.asarray(items[17].load(SETTINGS)) == idx_set.images["train"][17]).all()
    assert (np.asarray(items[43].load(SETTINGS)) == idx_set.images["t10k"][3]).all()
    assert items[43].file == "t10k-images-idx3-ubyte#3"


def test_fashion_mnist_is_not_downloaded_twice(tmp_path: Path, dataset_config: MakeConfig, idx_set: IdxSet) -> None:
    config = idx_config(dataset_config, idx_set)
    fetch(config, tmp_path / "raw")
    before = snapshot(tmp_path / "raw")
    for path in idx_set.folder.iterdir():
        path.unlink()
    assert fetch(config, tmp_path / "raw")["from"] == "an earlier fetch"
    assert snapshot(tmp_path / "raw") == before


def test_truncated_gz_names_the_file_and_leaves_the_earlier_fetch(
    tmp_path: Path, dataset_config: MakeConfig, idx_set: IdxSet
) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "earlier").write_text("kept")
    path = idx_set.folder / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(SourceError, match=r"train-images-idx3-ubyte\.gz: truncated or damaged gzip file") as caught:
        fetch(idx_config(dataset_config, idx_set), raw)
    assert "an earlier fetch: there is no" in str(caught.value)
    assert snapshot(tmp_path / "raw") == {"earlier": b"kept"}
    assert not list(tmp_path.glob(".raw*"))


def test_wrong_md5_names_the_file_and_both_sums(tmp_path: Path, dataset_config: MakeConfig, idx_set: IdxSet) -> None:
    lines = idx_set.sums.read_text().splitlines()
    lines[1] = "0" * 32 + lines[1][32:]
    idx_set.sums.write_text("\n".join(lines))
    with pytest.raises(SourceError, match=r"train-images-idx3-ubyte: its MD5 is [0-9a-f]{32}, it should be 0{32}"):
        fetch(idx_config(dataset_config, idx_set), tmp_path / "raw")


def test_raw_files_changed_after_fetch_are_refused(tmp_path: Path, dataset_config: MakeConfig, idx_set: IdxSet) -> None:
    config = idx_config(dataset_config, idx_set)
    fetch(config, tmp_path / "raw")
    path = tmp_path / "raw" / "t10k-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    with pytest.raises(SourceError, match=r"t10k-images-idx3-ubyte: its MD5 is"):
        list(fashion_mnist.opened(config, tmp_path / "raw").items())
    path.unlink()
    with pytest.raises(SourceError, match=r"t10k-images-idx3-ubyte: cannot be read"):
        list(fashion_mnist.opened(config, tmp_path / "raw").items())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data[:-1], "its header announces"),
        (lambda data: data + b"\0", "its header announces"),
        (lambda data: b"\0\0\x08\x01" + data[4:], "not this kind of IDX file"),
        (lambda data: data[:4] + b"\0\0\0\0" + data[8:], "its header announces"),
        (lambda data: b"", "not this kind of IDX file"),
    ],
)
def test_idx_headers_are_held_against_the_file(
    tmp_path: Path,
    dataset_config: MakeConfig,
    idx_set: IdxSet,
    monkeypatch: pytest.MonkeyPatch,
    change,
    message: str,
) -> None:
    config = idx_config(dataset_config, idx_set)
    fetch(config, tmp_path / "raw")
    path = tmp_path / "raw" / "train-images-idx3-ubyte"
    path.write_bytes(change(path.read_bytes()))
    monkeypatch.setattr(fashion_mnist, "check_sum", lambda path, wanted, algorithm: None)
    with pytest.raises(SourceError, match=f"train-images-idx3-ubyte: .*{message}"):
        list(fashion_mnist.opened(config, tmp_path / "raw").items())


def test_a_label_that_is_no_class_is_refused(
    tmp_path: Path, dataset_config: MakeConfig, idx_set: IdxSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = idx_config(dataset_config, idx_set)
    fetch(config, tmp_path / "raw")
    path = tmp_path / "raw" / "train-labels-idx1-ubyte"
    path.write_bytes(path.read_bytes()[:-1] + b"\x0a")
    monkeypatch.setattr(fashion_mnist, "check_sum", lambda path, wanted, algorithm: None)
    with pytest.raises(SourceError, match="label 10 of picture 39"):
        list(fashion_mnist.opened(config, tmp_path / "raw").items())


def test_when_no_place_can_be_reached_all_are_named(
    tmp_path: Path, dataset_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    sums = tmp_path / "list.md5"
    sums.write_text("".join(f"{'0' * 32}  {p}-{k}-ubyte\n" for p in ("train", "t10k") for k in ("images-idx3", "labels-idx1")))
    monkeypatch.setattr(fashion_mnist, "FOLDER", tmp_path / "nowhere")
    monkeypatch.setattr(fashion_mnist, "MIRRORS", ("http://127.0.0.1:9/fashion/",))
    monkeypatch.setattr(download.shutil, "which", lambda program: None)
    with pytest.raises(SourceError) as caught:
        fetch(dataset_config(name="fashion_mnist", path=str(sums), labels="official"), tmp_path / "raw")
    message = str(caught.value)
    for part in ("nowhere: no such folder", "no apt-get", "http://127.0.0.1:9/fashion/: train-images-idx3-ubyte.gz: ", "by hand"):
        assert part in message


def test_the_debian_package_is_unpacked_and_own_lists_are_used_when_apt_has_none(
    tmp_path: Path, idx_set: IdxSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[list[str]] = []

    def run(command: list[str], cwd: Path, **_: object) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        own = any("Dir::State::Lists=" in part for part in command)
        if command[-1] == "dataset-x" and not own:
            return subprocess.CompletedProcess(command, 100, "", "E: Unable to locate package dataset-x")
        if command[-1] == "dataset-x":
            (Path(cwd) / "dataset-x_1_all.deb").touch()
        if command[0] == "dpkg-deb":
            target = Path(command[-1]) / "usr/share/x"
            target.mkdir(parents=True)
            (target / "a.gz").write_text("data")
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(download.shutil, "which", lambda program: f"/usr/bin/{program}")
    monkeypatch.setattr(download.subprocess, "run", run)
    download.debian_package("dataset-x", Path("/usr/share/x"), ["a.gz"], tmp_path)
    assert (tmp_path / "a.gz").read_text() == "data"
    assert [command[-2] if command[-1] != "update" else "update" for command in commands[:3]] == [
        "download",
        "update",
        "download",
    ]


def test_settings_that_do_not_fit_the_source_are_named(tmp_path: Path, dataset_config: MakeConfig, idx_set: IdxSet) -> None:
    config = dataset_config(name="fashion_mnist", path=str(idx_set.sums), labels="folders")
    with pytest.raises(SourceError, match=r"dataset\.labels: 'folders' is not possible for fashion_mnist"):
        list(fashion_mnist.opened(config, tmp_path).items())
    idx_set.sums.write_text("nonsense\n")
    with pytest.raises(SourceError, match=r"list\.md5, line 1: 'nonsense'"):
        fetch(config, tmp_path / "raw")
    with pytest.raises(SourceError, match=r"dataset\.name: 'nonesuch'"):
        get_source("nonesuch")


# --- a person's folder


def labels_of(config, raw: Path) -> dict[str, str]:
    return {item.file: item.label for item in folder.opened(config, raw).items()}


def test_folder_finds_pictures_in_every_corner_and_counts_the_rest(
    tmp_path: Path, dataset_config: MakeConfig, album: Path
) -> None:
    config = dataset_config(path=str(album))
    metrics = fetch(config, tmp_path / "raw")
    assert (metrics["files"], metrics["ignored"], metrics["labels"], metrics["unreadable"]) == (60, 4, 2, 0)
    labels = labels_of(config, tmp_path / "raw")
    assert folder.opened(config, tmp_path / "raw").count == len(labels) == 60
    assert labels["dogs/big ones/größe 0.png"] == "dogs"
    assert labels["cats/größe 1.jpg"] == "cats"
    assert list(labels) == sorted(labels)
    assert sorted(os.listdir(tmp_path / "raw")) == ["inventory.parquet"]


def test_linked_folders_are_entered_once(tmp_path: Path, dataset_config: MakeConfig, album: Path) -> None:
    other = tmp_path / "elsewhere"
    other.mkdir()
    picture(99).save(other / "far.png")
    (album / "birds").symlink_to(other)
    (album / "birds" / "loop").symlink_to(album)
    names, _ = folder.list_pictures(album)
    assert len(names) == 61
    assert "birds/far.png" in names


@pytest.mark.parametrize("how", ["missing", "empty", "no pictures", "a file"])
def test_a_folder_without_pictures_is_one_clear_error(tmp_path: Path, dataset_config: MakeConfig, how: str) -> None:
    root, raw = tmp_path / "pictures", tmp_path / "raw"
    raw.mkdir()
    (raw / "earlier").write_text("kept")
    if how == "a file":
        root.write_text("x")
    elif how != "missing":
        root.mkdir()
    if how == "no pictures":
        (root / "notes.txt").write_text("x")
    said = {"missing": "no such folder", "empty": "no picture in it", "no pictures": "1 other files", "a file": "not a folder"}
    with pytest.raises(SourceError, match=rf"dataset\.path: .*pictures: .*{said[how]}"):
        fetch(dataset_config(path=str(root)), raw)
    assert snapshot(raw) == {"earlier": b"kept"}


def test_auto_labels_need_two_folders_and_no_loose_picture(tmp_path: Path, dataset_config: MakeConfig, album: Path) -> None:
    config = dataset_config(path=str(album))
    picture(5).save(album / "loose.png")
    fetch(config, tmp_path / "raw")
    assert set(labels_of(config, tmp_path / "raw").values()) == {""}
    with pytest.raises(SourceError, match=r"dataset\.labels=folders: 1 pictures \(loose\.png\)"):
        fetch(dataset_config(path=str(album), labels="folders"), tmp_path / "raw")
    only = dataset_config(path=str(album / "dogs"))
    fetch(only, tmp_path / "raw")
    assert set(labels_of(only, tmp_path / "raw").values()) == {""}
    none = dataset_config(path=str(album), labels="none")
    fetch(none, tmp_path / "raw")
    assert set(labels_of(none, tmp_path / "raw").values()) == {""}


def test_folders_called_as_splits_are_no_labels(tmp_path: Path, dataset_config: MakeConfig) -> None:
    labels = folder_labels(dataset_config(path=str(tmp_path)), tmp_path, ["train/cat/1.png", "test/dog/2.png"])
    assert labels == {"train/cat/1.png": "cat", "test/dog/2.png": "dog"}
    assert folder_labels(dataset_config(path=str(tmp_path)), tmp_path, ["train/1.png", "test/2.png"]) == {}


def test_the_delimiter_is_the_one_that_gives_both_columns(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text('file;label;"note, with, many, commas"\na.png;x;"1, 2"\n', encoding="utf-8")
    assert read_label_csv(tmp_path / "l.csv", ["a.png"], file_column="file", label_column="label") == {"a.png": "x"}


def write_csv(album: Path, rows: list[list[str]], *, header: list[str], delimiter: str = ",") -> None:
    with (album / "labels.csv").open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow(header)
        writer.writerows(rows)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_labels_from_a_csv(tmp_path: Path, dataset_config: MakeConfig, album: Path, delimiter: str) -> None:
    names, _ = folder.list_pictures(album)
    decomposed = [name.replace("ö", "o\u0308").replace("/", "\\") for name in names]
    rows = [["x", name, f"kind, {i % 3}"] for i, name in enumerate(decomposed)]
    write_csv(album, rows, header=["n", "file", "label"], delimiter=delimiter)
    config = dataset_config(path=str(album), labels="labels.csv")
    assert fetch(config, tmp_path / "raw")["labels"] == 3
    assert list(labels_of(config, tmp_path / "raw").values()) == [f"kind, {i % 3}" for i in range(60)]


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        ("missing label column", r"labels\.csv: no column 'label' \(dataset\.csv_label_column\); its columns are file, kind"),
        ("missing file column", r"labels\.csv: no column 'file' \(dataset\.csv_file_column\); its columns are name, label"),
        ("half empty", r"labels\.csv: column 'label' is empty in 30 of 60 rows: line 2 \(cats/.*\), line 4 .*\.\.\."),
        ("unknown file", r"labels\.csv: 1 of 61 rows name files that are no pictures in .*: line 62 \(cats/ghost\.png\)"),
        ("picture without row", r"labels\.csv: no row for 1 pictures \(dogs/"),
        ("two minds", r"labels\.csv, line 62: .* is 'b', an earlier line says 'a'"),
        ("two columns", r"labels\.csv: 2 columns are called 'label' \(dataset\.csv_label_column\)"),
        ("no csv", r"dataset\.labels: 'labels\.csv' is neither .*CSV files there: none"),
        ("empty file", r"labels\.csv: no column 'file' .*its columns are none"),
        ("not text", r"labels\.csv: not UTF-8"),
    ],
)
def test_bad_label_csv(tmp_path: Path, dataset_config: MakeConfig, album: Path, problem: str, message: str) -> None:
    names, _ = folder.list_pictures(album)
    rows, header = [[name, "a"] for name in names], ["file", "label"]
    if problem == "missing label column":
        header = ["file", "kind"]
    elif problem == "missing file column":
        header = ["name", "label"]
    elif problem == "half empty":
        rows = [[name, " " if i % 2 == 0 else "a"] for i, name in enumerate(names)]
    elif problem == "unknown file":
        rows.append(["cats/ghost.png", "a"])
    elif problem == "picture without row":
        rows.pop()
    elif problem == "two minds":
        rows.append([names[0], "b"])
    elif problem == "two columns":
        header, rows = ["file", "label", "label"], [[*row, "b"] for row in rows]
    if problem != "no csv":
        write_csv(album, rows, header=header)
    if problem == "empty file":
        (album / "labels.csv").write_text("")
    if problem == "not text":
        (album / "labels.csv").write_bytes(b"file,label\n\xff\xfe,a\n")
    with pytest.raises(SourceError, match=message):
        fetch(dataset_config(path=str(album), labels="labels.csv"), tmp_path / "raw")


def test_an_inventory_made_with_other_settings_is_refused(tmp_path: Path, dataset_config: MakeConfig, album: Path) -> None:
    fetch(dataset_config(path=str(album)), tmp_path / "raw")
    with pytest.raises(SourceError, match=r"fetched with dataset\.labels=auto, which is now none; fetch the data again"):
        folder.opened(dataset_config(path=str(album), labels="none"), tmp_path / "raw")
    (tmp_path / "raw" / "inventory.parquet").write_bytes(b"PAR1 nonsense")
    with pytest.raises(SourceError, match=r"inventory\.parquet: cannot be read"):
        folder.opened(dataset_config(path=str(album)), tmp_path / "raw")


def test_files_that_cannot_be_read_are_recorded_with_the_reason(tmp_path: Path, dataset_config: MakeConfig, album: Path) -> None:
    (album / "cats" / "empty.png").touch()
    (album / "cats" / "nowhere.png").symlink_to(tmp_path / "gone.png")
    with open(os.fsencode(album) + b"/cats/\xff.png", "wb") as file:
        file.write(b"x")
    config = dataset_config(path=str(album))
    os.mkfifo(album / "cats" / "pipe.png")
    os.mkdir(os.fsencode(album) + b"/caf\xe9")
    with open(os.fsencode(album) + b"/caf\xe9/x.png", "wb") as file:
        file.write(b"x")
    assert fetch(config, tmp_path / "raw")["unreadable"] == 5
    problems = {item.file: item.load.problem for item in folder.opened(config, tmp_path / "raw").items() if item.load.problem}  # type: ignore[attr-defined]
    assert problems == {
        "cats/empty.png": "the file is empty",
        "cats/nowhere.png": "no such file or directory",
        "cats/pipe.png": "it is no file but a pipe, a socket or a device",
        "caf\\xe9/x.png": "its name is not valid UTF-8; rename it",
        "cats/\\xff.png": "its name is not valid UTF-8; rename it",
    }


def test_a_server_that_sends_without_end_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "served").mkdir()
    (tmp_path / "served/a.bin").write_bytes(bytes(300_000))
    monkeypatch.setattr(download, "MOST_BYTES", 200_000)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "served")))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with pytest.raises(download.DownloadError, match=r"a\.bin: the server sends more than 200,000 bytes"):
            download.download(f"http://127.0.0.1:{server.server_port}/", ["a.bin"], tmp_path)
    finally:
        server.shutdown()
        server.server_close()


def test_mirrors_are_asked_by_https_first() -> None:
    kinds = [url.partition(":")[0] for url in fashion_mnist.MIRRORS]
    assert kinds[0] == "https" and kinds == sorted(kinds, reverse=True)
