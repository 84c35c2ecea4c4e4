"""Tables of latents and the commands on them: resumable, whole or not at all, and right."""

from __future__ import annotations

import csv
import html.parser
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from soda.cli import main
from soda.commands import vectors as vectors_command
from soda.runtime import Encoder, duplicates, nearest
from soda.vectors import VectorsError, index, job, pieces
from soda.vectors.cluster import cluster
from soda.vectors.job import embed_folder
from soda.vectors.origin import Origin
from soda.vectors.search import search
from soda.vectors.sheet import Section, Shown, write_sheet
from soda.vectors.store import Writer, read_blocks, read_origin, read_vectors
from tests.support.workspace import Workspace

COUNT = 40


def picture(seed: int) -> Image.Image:
    """A coarse pattern with its own look at any size."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((24 + seed % 7, 20), Image.Resampling.NEAREST)


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """COUNT pictures, two of them copies, names to be careful with, and a broken one."""
    root = tmp_path_factory.mktemp("album") / "my pictures"
    for i in range(COUNT - 2):
        path = root / ("<b>&" if i % 2 else "größe") / f"{i:02d}.{('png', 'webp')[i % 2]}"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(i).save(path, lossless=True)
    picture(3).save(root / "copy.png")
    picture(3).save(root / "another.bmp")
    (root / "broken.jpg").write_bytes(b"\xff\xd8")
    return root


@pytest.fixture(scope="module")
def encoder(workspace: Workspace) -> Encoder:
    return Encoder(workspace.encoder, threads=1)


@pytest.fixture(scope="module")
def table(album: Path, encoder: Encoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("table") / "vectors.parquet"
    embed_folder(encoder, album, path)
    return path


def unit(rng: np.random.Generator, *shape: int) -> np.ndarray:
    z = rng.normal(size=shape).astype(np.float32)
    return z / np.linalg.norm(z, axis=-1, keepdims=True)


@pytest.mark.parametrize("suffix", [".parquet", ".npz"])
def test_a_table_holds_what_the_encoder_gives(suffix: str, album: Path, encoder: Encoder, tmp_path: Path) -> None:
    path = tmp_path / f"v{suffix}"
    done = embed_folder(encoder, album, path, batch_size=7)
    found = encoder.embed_all(album)
    (files, z), *more = read_blocks(path)
    assert (done.pictures, done.skipped, done.resumed, more) == (COUNT, 1, 0, [])
    assert files == found.names and read_origin(path).encoder_sha256 == encoder.metadata["sha256"]
    np.testing.assert_allclose(z, found.z, atol=1e-5)
    np.testing.assert_allclose(read_vectors(path).z, encoder.normalized(found.z, "stats+l2"), atol=1e-5)
    assert done.rejects is not None
    (row,) = csv.DictReader(done.rejects.open(encoding="utf-8"))
    assert row["file"] == "broken.jpg" and row["reason"].startswith("broken.jpg: ")
    assert {each.name for each in tmp_path.iterdir()} == {path.name, f"{path.name}.skipped.csv"}


def test_parquet_is_typed_for_others(table: Path) -> None:
    schema = pq.read_schema(table)
    assert str(schema.field("z").type) == "fixed_size_list<element: float>[16]" and str(schema.field("file").type) == "string"


def test_an_interrupted_run_goes_on_where_it_was(
    album: Path, encoder: Encoder, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces, "PART", 8)
    path, made = tmp_path / "v.parquet", []
    write = job.write_part

    def stopping(*args: Any) -> None:
        if len(made) == 3:
            raise KeyboardInterrupt
        write(*args)
        made.append(args[0].name)

    monkeypatch.setattr(job, "write_part", stopping)
    with pytest.raises(KeyboardInterrupt):
        embed_folder(encoder, album, path)
    assert not path.exists() and len(list((tmp_path / ".v.parquet.parts").glob("*.npz"))) == 3
    damaged = tmp_path / ".v.parquet.parts" / made[1]
    damaged.write_bytes(damaged.read_bytes()[:-50])  # as a full disk or a power cut leaves one
    again: list[str] = []
    monkeypatch.setattr(job, "write_part", lambda *args: (again.append(args[0].name), write(*args)))
    done = embed_folder(encoder, album, path)
    assert made[1] in again and not {made[0], made[2]} & set(again)
    assert (done.pictures, done.skipped) == (COUNT, 1) and 0 < done.resumed < COUNT
    files, z = read_vectors(path).files, read_vectors(path).z
    assert files == read_vectors(table).files and not (tmp_path / ".v.parquet.parts").exists()
    np.testing.assert_allclose(z, read_vectors(table).z, atol=1e-5)


def test_of_a_folder_that_changed_only_the_parts_that_did_are_made_anew(
    encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, path = tmp_path / "pictures", tmp_path / "v.parquet"
    root.mkdir()
    for i in range(60):
        picture(i).save(root / f"{i:02d}.png")
    monkeypatch.setattr(pieces, "PART", 4)
    merge = job._merge
    monkeypatch.setattr(job, "_merge", lambda *args: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        embed_folder(encoder, root, path)
    picture(99).save(root / "00.png")  # altered, added and gone
    picture(98).save(root / "30a.png")
    (root / "59.png").unlink()
    monkeypatch.setattr(job, "_merge", merge)
    done = embed_folder(encoder, root, path)
    assert (done.pictures, done.skipped) == (60, 0) and 15 < done.resumed < 58
    found = read_vectors(path)
    assert found.files == sorted(each.name for each in root.iterdir())
    np.testing.assert_allclose(found.z, encoder.embed(root, normalize="stats+l2"), atol=1e-5)
    assert embed_folder(encoder, root, path, normalize="l2").resumed == 0


def test_finished_parts_outlive_a_folder_that_is_not_there_today(
    encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, path = tmp_path / "pictures", tmp_path / "new" / "v.npz"
    (root / "a").mkdir(parents=True)
    (root / "b").mkdir()
    for i in range(30):
        picture(i).save(root / "ab"[i % 2] / f"{i:02d}.png")
    monkeypatch.setattr(pieces, "PART", 4)
    with pytest.raises(NotADirectoryError):
        embed_folder(encoder, tmp_path / "nowhere", path)
    assert not path.parent.exists()
    merge = job._merge
    monkeypatch.setattr(job, "_merge", lambda *args: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        embed_folder(encoder, root, path)
    root.rename(tmp_path / "elsewhere")
    root.mkdir()
    with pytest.raises(VectorsError, match="there is no picture in it"):
        embed_folder(encoder, root, path)
    (tmp_path / "elsewhere" / "a").rename(root / "a")  # half of it is back
    with pytest.raises(KeyboardInterrupt):
        embed_folder(encoder, root, path)
    (tmp_path / "elsewhere" / "b").rename(root / "b")
    monkeypatch.setattr(job, "_merge", merge)
    assert embed_folder(encoder, root, path).resumed == 30 and not list(path.parent.glob(".*"))


def test_killed_it_leaves_the_earlier_table_and_goes_on(workspace: Workspace, tmp_path: Path) -> None:
    root, path = tmp_path / "pictures", tmp_path / "v.npz"
    root.mkdir()
    for i in range(900):
        picture(i % 30).save(root / f"{i:04d}.png")
    path.write_bytes(b"the earlier one")
    run = "from soda.vectors import pieces; pieces.PART = 100; from soda.cli import main; main()"
    command = [
        sys.executable,
        "-c",
        run,
        "embed",
        root,
        "-o",
        path,
        "--encoder",
        workspace.encoder,
        "--threads",
        "1",
        "--workers",
        "1",
    ]
    process = subprocess.Popen(list(map(str, command)), stderr=subprocess.DEVNULL)
    made = tmp_path / ".v.npz.parts"
    while process.poll() is None and len(list(made.glob("*.npz"))) < 2:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it was done before it could be killed"
    assert path.read_bytes() == b"the earlier one"
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True)
    assert "900 pictures, " in done.stdout and "by an earlier run" in done.stdout
    assert len(read_vectors(path).files) == 900


def test_memory_does_not_grow_with_the_number_of_pictures(workspace: Workspace, tmp_path: Path) -> None:
    code = (
        "import sys; from soda.vectors import pieces; pieces.PART = 256; from soda.cli import main; main()\n"
        "print(int(open('/proc/self/status').read().split('VmHWM:')[1].split()[0]) / 1024)"
    )
    picture(0).save(tmp_path / "0.png")
    peaks = []
    for count in (300, 3000):
        folder = tmp_path / str(count)
        folder.mkdir()
        for i in range(count):
            os.link(tmp_path / "0.png", folder / f"{i:05d}.png")
        command = [sys.executable, "-c", code, "embed", folder, "-o", tmp_path / "v.parquet", "--encoder", workspace.encoder]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True)
        peaks.append(float(done.stdout.splitlines()[-1]))
    assert peaks[1] - peaks[0] < 12, peaks  # MiB; 2,700 pictures would take 8 as arrays, and their vectors and names


def test_what_cannot_be_embedded_is_refused(album: Path, encoder: Encoder, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.png").write_bytes(b"no")
    for folder, name, says in (
        (album, "v.csv", r"v\.csv: cannot be written; it must be one of \.parquet, \.npz"),
        (tmp_path / "empty", "v.npz", "empty: there is no picture"),
        (tmp_path / "bad", "v.npz", "bad: none of its 1 pictures"),
    ):
        with pytest.raises(VectorsError, match=says):
            embed_folder(encoder, folder, tmp_path / name)
        assert not list(tmp_path.glob(".*"))
    (tmp_path / "taken.npz").mkdir()
    with pytest.raises(VectorsError, match=r"taken\.npz: cannot be written; there is a folder of this name"):
        embed_folder(encoder, album, tmp_path / "taken.npz")
    with pytest.raises(NotADirectoryError, match="no such folder"):
        embed_folder(encoder, tmp_path / "none", tmp_path / "v.npz")
    assert not list(tmp_path.glob("v*"))


def test_what_an_interrupted_run_could_not_read_is_tried_again(
    encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, path = tmp_path / "a", tmp_path / "v.parquet"
    (root / "data").mkdir(parents=True)
    for i in range(9):
        picture(i).save(root / f"{i}.bmp")
    whole, stamp = (root / "3.bmp").read_bytes(), os.stat(root / "3.bmp").st_mtime_ns
    (root / "3.bmp").write_bytes(bytes(len(whole)))
    os.utime(root / "3.bmp", ns=(stamp, stamp))
    (root / "data" / "x.jpg").write_bytes(b"no")
    merge = job._merge
    monkeypatch.setattr(job, "_merge", lambda *args: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        embed_folder(encoder, root, path)
    (root / "3.bmp").write_bytes(whole)  # of the same size and time, as `cp -p` leaves it
    os.utime(root / "3.bmp", ns=(stamp, stamp))
    monkeypatch.setattr(job, "_merge", merge)
    done = embed_folder(encoder, root, path)
    assert (done.pictures, done.resumed, done.skipped) == (9, 8, 1) and done.rejects is not None
    found = read_vectors(path)
    assert found.files == [f"{i}.bmp" for i in range(9)]
    np.testing.assert_allclose(found.z, encoder.embed([root / name for name in found.files], normalize="stats+l2"), atol=1e-5)
    (row,) = csv.DictReader(done.rejects.open(encoding="utf-8"))
    assert row["reason"].startswith("data/x.jpg: not a picture")
    # Another table beside it has a list of its own.
    (root / "data" / "x.jpg").unlink()
    assert embed_folder(encoder, root, path.with_suffix(".npz")).rejects is None and done.rejects.exists()


def test_two_runs_do_not_write_one_output(encoder: Encoder, album: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, merge, refused = tmp_path / "v.npz", job._merge, []

    def late(*args: Any) -> job.Done:
        with pytest.raises(VectorsError, match=r"v\.npz: another run is writing it"):
            embed_folder(encoder, album / "größe", path)
        refused.append(1)
        return merge(*args)

    monkeypatch.setattr(job, "_merge", late)
    assert embed_folder(encoder, album, path).pictures == COUNT and refused == [1]
    monkeypatch.setattr(job, "_merge", merge)
    assert embed_folder(encoder, album / "größe", path).pictures == COUNT // 2 - 1
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", [".parquet", ".npz"])
def test_a_damaged_table_is_named(suffix: str, album: Path, encoder: Encoder, tmp_path: Path) -> None:
    path, rng = tmp_path / f"v{suffix}", np.random.default_rng(0)
    embed_folder(encoder, album, path)
    content = path.read_bytes()
    refused = 0
    for _ in range(300):
        data = bytearray(content)
        for place in rng.integers(0, len(data), 3):
            data[place] ^= int(rng.integers(1, 256))
        path.write_bytes(bytes(data))
        try:
            read_vectors(path)
        except VectorsError as error:
            assert str(error).startswith(f"{path}: ")
            refused += 1
    assert refused > 200
    # A zip that says of itself that it is packed in an unknown way, or encrypted; and latents that overflow.
    if suffix == ".npz":
        entry = content.rindex(b"PK\x01\x02")
        for place, value in ((10, 99), (8, 1)):
            path.write_bytes(content[: entry + place] + bytes([value]) + content[entry + place + 1 :])
            with pytest.raises(VectorsError, match=re.escape(str(path))):
                read_vectors(path)
    z = encoder.embed_all(album).z
    for huge in (1e20, 3e38):
        z[2] = huge
        with Writer(path, suffix, Origin.of(encoder, album, None)) as writer:
            writer.append([f"{i}.png" for i in range(len(z))], z)
        with pytest.raises(VectorsError, match=rf"{re.escape(str(path))}: damaged: the latent of row 2"):
            read_vectors(path)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"z_mean": [0.0]}, "z_mean is not a list of 16 finite numbers"),
        ({"z_std": [-1.0] * 16}, "z_std is not a list of 16 numbers above 0"),
        ({"z_std": [1e-50] * 16}, "z_std is not"),
        ({"z_mean": [10**400] * 16}, "z_mean is not"),
        ({"normalize": "whatever"}, "normalize is 'whatever'"),
        ({"folder": 5}, "folder is 5"),
        ({"latent_dim": True}, "latent_dim is True"),
        ({"more": 1}, "more"),
    ],
)
def test_a_table_whose_origin_cannot_be_is_refused(table: Path, tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    read = pq.read_table(table)
    origin = json.loads(read.schema.metadata[b"soda"]) | changes
    pq.write_table(read.replace_schema_metadata({"soda": json.dumps(origin)}), tmp_path / "v.parquet")
    with pytest.raises(VectorsError, match=rf"v\.parquet: not a table of `soda embed` .*{says}"):
        read_vectors(tmp_path / "v.parquet")


def test_a_table_that_another_program_wrote_anew_is_read_or_refused(table: Path, tmp_path: Path) -> None:
    import pyarrow as pa

    read, path = pq.read_table(table), tmp_path / "v.parquet"
    z = read["z"].to_pylist()

    def rewritten(files: pa.Array, latents: pa.Array) -> Path:
        pq.write_table(pa.table({"file": files, "z": latents}, metadata=read.schema.metadata), path)
        return path

    np.testing.assert_array_equal(
        read_vectors(rewritten(read["file"], pa.array(z, pa.list_(pa.float64())))).z, read_vectors(table).z
    )
    ragged = [*z[:2], z[2][:-1], [*z[3], 0.0], *z[4:]]  # together as many numbers as there should be
    for files, latents, says in (
        (read["file"], pa.array(ragged, pa.list_(pa.float32())), "a latent of 15 numbers, not 16, the first of 2"),
        (read["file"], pa.array([None, *z[1:]], pa.list_(pa.float32(), 16)), "a latent of 0 numbers"),
        (read["file"], pa.array(range(COUNT)), "its column z is int64"),
        (read["file"], pa.array([["a"] * 16] * COUNT), "its latents are not all 16 finite numbers"),
        (pa.array([None, *read["file"].to_pylist()[1:]]), read["z"], "its column file is string with 1 nulls"),
        (pa.array(range(COUNT)), read["z"], "its column file is int64"),
        (read["file"].slice(0, 0), read["z"].slice(0, 0), "there is no picture in it"),
    ):
        with pytest.raises(VectorsError, match=rf"v\.parquet: .*{says}"):
            read_vectors(rewritten(files, latents))


@pytest.mark.parametrize("content", [b"", b"PAR1 no", b"PK\x03\x04 no"])
@pytest.mark.parametrize("name", ["v.parquet", "v.npz", "v.csv", "gone.parquet"])
def test_what_is_no_table_is_named(content: bytes, name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    if name.startswith("gone"):
        (tmp_path / name).unlink()
    with pytest.raises(VectorsError, match=name.replace(".", r"\.")):
        read_vectors(tmp_path / name)


def test_another_table_is_no_table_of_ours(tmp_path: Path) -> None:
    import pyarrow as pa

    pq.write_table(pa.table({"a": [1]}), tmp_path / "v.parquet")
    np.savez(tmp_path / "v.npz", a=np.zeros(3))
    for name in ("v.parquet", "v.npz"):
        with pytest.raises(VectorsError, match="not a table of `soda embed`"):
            read_vectors(tmp_path / name)


def test_a_search_by_blocks_is_a_search_of_all() -> None:
    rng = np.random.default_rng(0)
    bank, queries = unit(rng, 500, 8), unit(rng, 5, 8)
    bank[100] = bank[7]  # equals come in the order of the table
    names = [str(i) for i in range(500)]
    wanted = nearest(queries, bank, 20)
    for size in (1, 7, 64, 500):
        blocks = ((names[i : i + size], bank[i : i + size]) for i in range(0, 500, size))
        found = search(queries, blocks, 20)
        assert [[file for file, _ in hits] for hits in found] == [[names[i] for i in row] for row in wanted[0]]
        np.testing.assert_allclose([[cosine for _, cosine in hits] for hits in found], wanted[1], atol=1e-6)
    assert [len(hits) for hits in search(queries, [(names[:3], bank[:3])], 20)] == [3] * 5


def test_the_approximate_index_finds_what_all_pairs_find() -> None:
    rng = np.random.default_rng(0)
    centres = unit(rng, 400, 16)
    z = np.concatenate([centres, centres + rng.normal(0, 0.01, centres.shape)]).astype(np.float32)
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    assert index.duplicate_groups(z, 0.99, "approximate") == duplicates(z, threshold=0.99)
    exact, approximate = (index.neighbours_within(z, 5, method) for method in ("exact", "approximate"))
    shared = [len(set(a) & set(b)) for a, b in zip(exact[0], approximate[0], strict=True)]
    assert np.mean(shared) > 4.9 and not (approximate[0] == np.arange(len(z))[:, None]).any()
    np.testing.assert_array_equal(approximate[0], index.neighbours_within(z, 5, "approximate")[0])
    with pytest.raises(ValueError, match="method: 'fast'"):
        index.neighbours_within(z, 5, "fast")


def test_many_are_searched_by_the_index_where_there_is_one(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert not index.is_approximate(index.EXACT, "auto") and index.is_approximate(index.EXACT + 1, "auto")
    monkeypatch.setitem(sys.modules, "usearch.index", None)
    assert not index.is_approximate(index.EXACT + 1, "auto") and "pip install '.[search]'" in caplog.text
    with pytest.raises(ModuleNotFoundError, match=r"pip install '\.\[search\]'"):
        index.neighbours_within(np.eye(3, dtype=np.float32), 1, "approximate")


def test_clusters_are_found_and_none_is_empty() -> None:
    rng = np.random.default_rng(0)
    truth = np.repeat([0, 1, 2, 3], [50, 40, 30, 20])
    z = np.eye(6, dtype=np.float32)[truth] + rng.normal(0, 0.1, (140, 6)).astype(np.float32)
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    found = cluster(z, 4)
    assert found.labels.tolist() == truth.tolist()  # cluster 0 is the largest
    typical = found.members(2)
    assert len(typical) == 30 and np.all(np.diff(found.cosines[typical]) <= 0)
    assert set(cluster(np.ones((5, 3), np.float32) / np.sqrt(3), 5).labels.tolist()) == {0, 1, 2, 3, 4}
    np.testing.assert_array_equal(cluster(z, 7, seed=3).labels, cluster(z, 7, seed=3).labels)
    for count in (0, 141):
        with pytest.raises(ValueError, match=f"count: {count} is not possible"):
            cluster(z, count)


class Page(html.parser.HTMLParser):
    """Pictures, texts and everything that could leave the page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.images: list[str] = []
        self.links: list[str] = []
        self.tags: set[str] = set()
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        given = dict(attrs)
        self.images += [str(given["src"])] if tag == "img" else []
        self.links += [str(given["href"])] if "href" in given else []

    def handle_data(self, data: str) -> None:
        self.text += data


def test_a_sheet_is_one_file_that_shows_pictures_and_names_safely(tmp_path: Path) -> None:
    names = ["<script>alert(1)</script>.png", "a&b 'c'.png", os.fsdecode(b"\xff.png")]
    for i, name in enumerate(names):
        path = tmp_path / name.replace("/", "_")
        picture(i).save(path)
    shown = [Shown(tmp_path / name.replace("/", "_"), name, "0.9") for name in names]
    gone = Shown(tmp_path / "gone.png", "gone.png")
    assert write_sheet(tmp_path / "s.html", "A <b>", "about", [Section("h", [*shown, gone], more=3)]) == 4
    page = Page(tmp_path / "s.html")
    assert len(page.images) == 3 and all(image.startswith("data:image/jpeg;base64,") for image in page.images)
    assert "script" not in page.tags and all(link.startswith("file://") for link in page.links)
    for said in ("<script>alert(1)</script>.png", "a&b 'c'.png", "\\xff.png", "gone.png: no such file", "and 3 more", "A <b>"):
        assert said in page.text, said


def test_a_sheet_of_very_many_stays_small(album: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("soda.vectors.sheet.MOST", 5)
    shown = [Shown(album / "copy.png", f"{i}") for i in range(4)]
    assert write_sheet(tmp_path / "s.html", "t", "a", [Section(f"s{i}", shown) for i in range(9)]) == 5
    page = Page(tmp_path / "s.html")
    assert len(page.images) == 5 and "and 3 more" in page.text and "7 more groups are not shown" in page.text


def soda(capsys: pytest.CaptureFixture[str], *args: object) -> list[list[str]]:
    main([str(arg) for arg in args])
    return [line.split("\t") for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize("target", ["folder", "table"])
def test_the_commands_say_what_they_found_and_show_it(
    target: str, album: Path, table: Path, workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    about = [album if target == "folder" else table, "--encoder", workspace.encoder, "--threads", 1]
    query = album / "<b>&/03.webp"
    rows = soda(capsys, "search", *about, query, "-k", 5, "-o", tmp_path / "s.html")
    assert sorted(row[2] for row in rows[:3]) == ["<b>&/03.webp", "another.bmp", "copy.png"] and len(rows) == 5
    assert all(float(row[0]) > 0.9999 for row in rows[:3]) and float(rows[3][0]) < 0.9999
    assert len(Page(tmp_path / "s.html").images) == 6

    rows = soda(capsys, "duplicates", *about, "--kinds", "--threshold", 0.9999, "-o", tmp_path / "d.html")
    assert rows == [
        ["0", "another.bmp", "keep"],
        ["0", "<b>&/03.webp", "exact", "another.bmp"],
        ["0", "copy.png", "exact", "another.bmp"],
    ]
    assert "Of 40 pictures 2 are exact copies of others, 0 near copies" in Page(tmp_path / "d.html").text

    rows = soda(capsys, "cluster", *about, "-k", 3, "--shown", 2, "-o", tmp_path / "c.html")
    assert len(rows) == COUNT and {row[0] for row in rows} == {"0", "1", "2"}
    assert len(Page(tmp_path / "c.html").images) <= 6

    rows = soda(capsys, "outliers", *about, "-n", 4, "-o", tmp_path / "o.html")
    scores = [float(row[0]) for row in rows]
    assert len(rows) == 4 and scores == sorted(scores, reverse=True) and len(Page(tmp_path / "o.html").images) == 4
    assert not {row[1] for row in rows} & {"copy.png", "another.bmp"}


def test_a_mistake_is_one_line_and_leaves_no_sheet(
    album: Path, table: Path, workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    encoder = ["--encoder", workspace.encoder]
    (album / ".." / "one").mkdir()
    picture(0).save(album / ".." / "one" / "a.png")
    for args, says in (
        (["search", table, album / "no.png", *encoder], "no.png: no such file"),
        (["search", table, album / "copy.png", "--encoder", workspace.variants / "encoder.int8.onnx"], "another encoder"),
        (["search", table, album / "copy.png", "-k", 0, *encoder], "k: 0"),
        (["duplicates", table, "--threshold", 2], "threshold: 2.0"),
        (["duplicates", tmp_path / "none.parquet"], "none.parquet: no such file"),
        (["cluster", table, "-k", 41], "-k: 41 is not possible; it must be a whole number from 1 to 40"),
        (["cluster", table, "-k", 2, "--seed", -1], "--seed: -1"),
        (["outliers", table, "-n", 0], "--number: 0"),
        (["outliers", table, "-o", tmp_path / "o.png"], "o.png: cannot be written"),
        (["embed", album, "--encoder", tmp_path / "none.onnx", "-o", tmp_path / "v.npz"], "none.onnx: no such file"),
        (["embed", album, *encoder, "--provider", "FPGA", "-o", tmp_path / "v.npz"], "this onnxruntime has no 'FPGA'"),
        (["serve", workspace.encoder, "--port", 99999], "--port: 99999"),
        (["serve", workspace.encoder, "--token-file", workspace.encoder], "encoder.onnx: a token is text"),
        (["outliers", album / ".." / "one", *encoder, "--method", "approximate"], "there are 1 in all"),
        (["serve", workspace.encoder, "--name", "a/b"], "--name: 'a/b'"),
        (["serve", workspace.encoder, "--max-json", 0], "--max-json: 0"),
    ):
        output = [] if "-o" in args or args[0] == "serve" else ["-o", tmp_path / "x.html"]
        with pytest.raises(SystemExit) as caught:
            main([str(arg) for arg in [*args, *output]])
        error = capsys.readouterr().err.strip().splitlines()[-1]
        assert caught.value.code == 1 and says in error, (args, error)
    assert not list(tmp_path.iterdir())


def test_without_pyarrow_the_other_format_is_named(
    album: Path, encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(VectorsError, match=r"pip install '\.\[search\]' \(or give an \.npz file\)"):
        embed_folder(encoder, album, tmp_path / "v.parquet")
    assert embed_folder(encoder, album, tmp_path / "v.npz").pictures == COUNT


def test_without_pyarrow_the_table_is_an_npz_unless_told_otherwise(
    album: Path, workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, present in (("vectors.parquet", True), ("vectors.npz", False)):
        monkeypatch.setattr(vectors_command, "find_spec", lambda name, present=present: present)
        main(["embed", str(album), "--encoder", str(workspace.encoder)])
        assert capsys.readouterr().out.startswith(f"{name}: {COUNT} pictures") and len(read_vectors(Path(name)).files) == COUNT


def test_strange_names_stay_one_line_and_are_found_again(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    names = [
        b"a\tb\nc\x1b[2J.png",
        b"caf\xe9.png",
        rb"caf\xe9 too.png",
        "10.00\u202fAM \u3000名.png".encode(),
    ]  # the third spells it out itself
    for i, name in enumerate(names):
        picture(i).save(tmp_path / "a.png")
        (tmp_path / "a.png").rename(os.fsdecode(os.path.join(os.fsencode(folder), name)))
    for suffix in (".parquet", ".npz"):
        path = tmp_path / f"v{suffix}"
        main(["embed", str(folder), "-o", str(path), "--encoder", str(workspace.encoder)])
        found = read_vectors(path)
        assert all(found.path(row).is_file() for row in range(4))
        capsys.readouterr()
        rows = soda(capsys, "outliers", path, "-k", 1, "-o", tmp_path / "o.html")
        spelt = ["10.00\u202fAM \u3000名.png", "a\\tb\\nc\\x1b[2J.png", r"caf\xe9 too.png", r"caf\xe9.png"]
        assert sorted(row[1] for row in rows) == spelt  # blanks of other scripts are blanks


def test_the_commands_load_no_torch_and_no_yaml(album: Path, workspace: Workspace, tmp_path: Path) -> None:
    code = (
        "import sys; from soda.cli import main; main(sys.argv[1:])\n"
        "assert not {'torch', 'yaml', 'pandas', 'scipy', 'onnx', 'pyarrow', 'usearch'} & set(sys.modules)"
    )
    command = [sys.executable, "-c", code, "duplicates", album, "--encoder", workspace.encoder, "-o", tmp_path / "d.html"]
    subprocess.run(list(map(str, command)), check=True, capture_output=True)
