"""Every output of `soda embed`: read back by the library whose it is, and on a second run touched where something changed."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from soda.cli import main
from soda.common.errors import NotInstalledError
from soda.runtime import Encoder, nearest
from soda.vectors import VectorsError
from soda.vectors.job import embed_folder
from soda.vectors.store import read_vectors
from soda.vectors.stores.choose import ENDINGS, SCHEMES, output_named, store_of

ENCODER = Path(__file__).parents[2] / "zoo/emoji/encoder.onnx"
OUTPUTS = {".parquet": "", ".npz": "", ".npy": "", ".faiss": "faiss", "lancedb": "lancedb", "qdrant": "qdrant_client"}
"""Each output, and the library that it wants."""
UNIT = "stats+l2"
K = 4


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder(ENCODER, threads=1)


@pytest.fixture
def album(tmp_path: Path) -> Path:
    folder = tmp_path / "album"
    for i in range(12):
        save(folder / f"{'ab'[i % 2]}'s/{i:02d}.png", i)
    (folder / "broken.png").write_bytes(b"no")
    return folder


def save(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    Image.fromarray(image).resize((32, 32), Image.Resampling.NEAREST).save(path)


def output_in(folder: Path, kind: str) -> Path:
    if OUTPUTS[kind]:
        pytest.importorskip(OUTPUTS[kind])
    return folder / f"v{kind}" if kind.startswith(".") else Path(f"{kind}:{folder}/db")


def names_beside(path: Path) -> list[str]:
    with Path(f"{path}.csv").open(encoding="utf-8", newline="") as file:
        return [row["file"] for row in csv.DictReader(file)]


def by_parquet(path: Path, z: np.ndarray) -> list[str]:
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    bank = np.stack(table["z"].to_numpy())
    return [table["file"][int(row)].as_py() for row in nearest(z[None], bank, K)[0][0]]


def by_npz(path: Path, z: np.ndarray) -> list[str]:
    with np.load(path) as arrays:
        return [str(arrays["files"][row]) for row in nearest(z[None], arrays["z"], K)[0][0]]


def by_npy(path: Path, z: np.ndarray) -> list[str]:
    names = names_beside(path)
    return [names[row] for row in nearest(z[None], np.load(path, mmap_mode="r"), K)[0][0]]


def by_faiss(path: Path, z: np.ndarray) -> list[str]:
    import faiss

    names = names_beside(path)
    return [names[row] for row in faiss.read_index(str(path)).search(z[None], K)[1][0]]


def by_lancedb(path: Path, z: np.ndarray) -> list[str]:
    import lancedb

    table = lancedb.connect(str(path).partition(":")[2]).open_table("vectors")
    return [row["file"] for row in table.search(z).distance_type("cosine").limit(K).to_list()]


def by_qdrant(path: Path, z: np.ndarray) -> list[str]:
    from qdrant_client import QdrantClient

    client = QdrantClient(path=str(path).partition(":")[2])
    try:
        return [point.payload["file"] for point in client.query_points("vectors", query=z.tolist(), limit=K).points]
    finally:
        client.close()


READERS: dict[str, Callable[[Path, np.ndarray], list[str]]] = {
    ".parquet": by_parquet,
    ".npz": by_npz,
    ".npy": by_npy,
    ".faiss": by_faiss,
    "lancedb": by_lancedb,
    "qdrant": by_qdrant,
}


def test_all_stores_are_tried_here() -> None:
    assert set(READERS) == set(OUTPUTS) == {*ENDINGS, *SCHEMES}


def neighbours(encoder: Encoder, album: Path, picture: str) -> tuple[np.ndarray, list[str]]:
    """The vector of a picture, and the K nearest by comparing all."""
    found = encoder.embed_all(album, normalize=UNIT)
    z = found.z[found.names.index(picture)]
    return z, [found.names[row] for row in nearest(z[None], found.z, K)[0][0]]


@pytest.mark.parametrize("kind", OUTPUTS)
def test_its_library_finds_the_neighbours(kind: str, album: Path, encoder: Encoder, tmp_path: Path) -> None:
    output = output_in(tmp_path / "new", kind)
    done = embed_folder(encoder, album, output, normalize=UNIT)
    assert (done.pictures, done.kept, done.skipped) == (12, 0, 1)
    for picture in ("a's/04.png", "b's/11.png"):
        z, expected = neighbours(encoder, album, picture)
        assert READERS[kind](output, z) == expected and expected[0] == picture
    assert not list((tmp_path / "new").glob(".*"))


@pytest.mark.parametrize("kind", OUTPUTS)
def test_again_only_what_changed_is_embedded(
    kind: str, album: Path, encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = output_in(tmp_path, kind)
    embed_folder(encoder, album, output, normalize=UNIT)
    save(album / "a's/04.png", 104)  # altered, added, gone, renamed, and one that is broken now
    save(album / "a's/new.png", 105)
    (album / "b's/11.png").unlink()
    (album / "b's/03.png").rename(album / "b's/zz.png")
    (album / "b's/05.png").write_bytes(b"no")
    seen: list[str] = []
    stream = encoder.stream

    def watched(paths: object, **settings: object) -> object:
        return stream((seen.append(Path(path).name) or path for path in paths), **settings)  # type: ignore[attr-defined,arg-type]

    monkeypatch.setattr(encoder, "stream", watched)
    done = embed_folder(encoder, album, output, normalize=UNIT)
    monkeypatch.undo()
    assert sorted(seen) == ["04.png", "05.png", "broken.png", "new.png", "zz.png"]
    assert (done.pictures, done.kept, done.skipped) == (11, 8, 2)
    names: list[str] = []
    for rows in store_of(output).rows():
        names += rows.names
        expected = encoder.embed([album / name for name in rows.names], normalize=UNIT)
        np.testing.assert_allclose(rows.z, expected, atol=1e-5)
        status = [os.stat(album / name) for name in rows.names]
        assert rows.modified.tolist() == [each.st_mtime_ns for each in status]
        assert rows.sizes.tolist() == [each.st_size for each in status]
    assert sorted(names) == sorted(str(path.relative_to(album)) for path in album.rglob("*/*.png") if path.stat().st_size > 2)
    z, expected = neighbours(encoder, album, "a's/04.png")
    assert READERS[kind](output, z) == expected
    assert embed_folder(encoder, album, output, normalize=UNIT).kept == 11
    assert embed_folder(encoder, album, output, normalize=UNIT, anew=True).kept == 0
    assert embed_folder(encoder, album, output, normalize="l2").kept == 0


@pytest.mark.parametrize("kind", [".parquet", ".npz", ".npy"])
def test_a_damaged_output_is_made_anew(kind: str, album: Path, encoder: Encoder, tmp_path: Path) -> None:
    output = output_in(tmp_path, kind)
    embed_folder(encoder, album, output)
    first = Path(f"{output}.csv") if kind == ".npy" else output
    first.write_bytes(first.read_bytes()[:-60])
    assert embed_folder(encoder, album, output).kept == 0
    assert sum(len(rows) for rows in store_of(output).rows()) == 12


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_database_holds_several_tables_and_touches_no_strange_one(
    scheme: str, album: Path, encoder: Encoder, tmp_path: Path
) -> None:
    output = output_in(tmp_path, scheme)
    for name in ("", "#a_1"):
        embed_folder(encoder, album, Path(f"{output}{name}"), normalize=UNIT)
    assert sum(len(rows) for rows in store_of(Path(f"{output}#a_1")).rows()) == 12
    folder = str(output).partition(":")[2]
    if scheme == "lancedb":
        import lancedb

        lancedb.connect(folder).create_table("mine", [{"vector": [1.0, 2.0]}])
    else:
        from qdrant_client import QdrantClient, models

        client = QdrantClient(path=folder)
        client.create_collection("mine", vectors_config=models.VectorParams(size=2, distance=models.Distance.DOT))
        client.close()
    with pytest.raises(VectorsError, match="its table mine was not made by `soda embed`"):
        embed_folder(encoder, album, Path(f"{output}#mine"), normalize=UNIT)


def test_a_collection_that_another_program_has_open_is_named(album: Path, encoder: Encoder, tmp_path: Path) -> None:
    qdrant_client = pytest.importorskip("qdrant_client")
    client = qdrant_client.QdrantClient(path=str(tmp_path / "db"))
    client.create_collection(
        "vectors", vectors_config=qdrant_client.models.VectorParams(size=2, distance=qdrant_client.models.Distance.DOT)
    )
    with pytest.raises(VectorsError, match="cannot be opened"):
        embed_folder(encoder, album, Path(f"qdrant:{tmp_path}/db"), normalize=UNIT)
    client.close()


@pytest.mark.parametrize("kind", SCHEMES)
def test_a_database_that_was_half_written_anew_is_completed(kind: str, album: Path, encoder: Encoder, tmp_path: Path) -> None:
    output = output_in(tmp_path, kind)
    embed_folder(encoder, album, output, normalize=UNIT)
    store = store_of(output)
    (rows,) = store.rows()
    origin = store.origin()
    assert origin is not None
    with pytest.raises(KeyboardInterrupt), store.writer(origin) as sink:
        sink.append(rows.where(np.arange(12) < 5))
        raise KeyboardInterrupt
    assert [len(rows) for rows in store.rows()] == [5]
    done = embed_folder(encoder, album, output, normalize=UNIT)
    assert (done.pictures, done.kept) == (12, 5)
    z, expected = neighbours(encoder, album, "b's/11.png")
    assert READERS[kind](output, z) == expected


@pytest.mark.parametrize(
    ("output", "says"),
    [
        ("lancedb://data/v", "must be lancedb:FOLDER, a folder of this machine, without //: lancedb:data/v"),
        ("qdrant://db", "must be qdrant:FOLDER, a folder of this machine, without //: qdrant:db"),
        ("qdrant:///db#a", "without //: qdrant:db#a"),
        ("QDRANT://", "without //: qdrant:FOLDER"),
        ("s3://bucket/v.parquet", "not to an address"),
        ("https://example.org/v.npy", "not to an address"),
    ],
)
def test_an_address_is_no_folder(
    output: str, says: str, album: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        main(["embed", str(album), "-o", output, "--encoder", str(ENCODER)])
    assert f"{output}: " in (said := capsys.readouterr().err) and says in said
    assert [each.name for each in tmp_path.iterdir()] == ["album"]


def test_folders_of_databases_are_meant_as_a_shell_means_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    folders = {"a/b": Path("a/b"), "/a": Path("/a"), "~/a#t": tmp_path / "a", "./a": Path("a")}
    for scheme in SCHEMES:
        for text, folder in folders.items():
            assert store_of(output_named(f"{scheme}:{text}")).folder == folder


def test_what_cannot_be_is_said_before_the_work(
    album: Path, encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    for output, says in (
        (tmp_path / "v.faiss", "--normalize stats.l2 or l2"),
        (Path("lancedb:"), "must be lancedb:FOLDER"),
        (Path("qdrant:a#b/c"), "must be qdrant:FOLDER or qdrant:FOLDER#TABLE"),
        (Path("redis:a"), r"must be one of \.parquet, \.npz, \.npy, \.faiss, lancedb:FOLDER, qdrant:FOLDER"),
    ):
        with pytest.raises(VectorsError, match=says):
            embed_folder(encoder, album, output)
    with pytest.raises(VectorsError, match="a database is a folder, and this is a file"):
        embed_folder(encoder, album, Path(f"lancedb:{tmp_path}/file"), normalize=UNIT)
    for kind, package in OUTPUTS.items():
        if package:
            monkeypatch.setitem(__import__("sys").modules, package, None)
            output = tmp_path / f"v{kind}" if kind.startswith(".") else Path(f"{kind}:{tmp_path}/db")
            with pytest.raises(NotInstalledError, match=r"pip install '\.\[stores\]'"):
                embed_folder(encoder, album, output, normalize=UNIT)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["album", "file"]


def test_on_the_command_line(album: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("faiss")
    command = ["embed", str(album), "-o", str(tmp_path / "v.faiss"), "--encoder", str(ENCODER), "--threads", "1"]
    for says in ("v.faiss: 12 pictures\n", "v.faiss: 12 pictures, 12 of them as they were\n"):
        main(command)
        assert says in capsys.readouterr().out
    main(["embed", str(album), "-o", str(tmp_path / "v.npz"), "--encoder", str(ENCODER), "--threads", "1"])
    assert read_vectors(tmp_path / "v.npz").origin.normalize is None
