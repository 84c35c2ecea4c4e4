"""soda.runtime: any picture in, the same vector out, and a clear error for what is no picture or no encoder."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from soda.runtime import (
    Encoder,
    EncoderError,
    PictureError,
    duplicates,
    nearest,
    neighbours,
    novelty,
    pictures_in,
    similarity,
    walk,
)
from soda.runtime.metadata import FORMAT, MetadataError, from_props, to_props
from soda.runtime.preprocess import load_picture, to_rgb, to_square
from soda.runtime.stream import AHEAD

SIZE, DIM = 16, 5


def metadata(**changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "format": FORMAT,
        "latent_dim": DIM,
        "image_size": SIZE,
        "channels": 3,
        "resize": "crop",
        "z_mean": [0.5, -1.0, 0.0, 2.0, 0.25],
        "z_std": [1.0, 0.5, 2.0, 4.0, 0.125],
        "dataset": "7e5",
        "labels": ["cat", "dög"],
    }
    return {key: value for key, value in (values | changes).items() if value is not None}


def linear_encoder(path: Path, props: dict[str, str], *, input_type: int = TensorProto.UINT8, output: str = "z") -> Path:
    """z = W x / 255 of the pixels: the smallest model whose vectors tell pictures apart."""
    weights = np.random.default_rng(0).normal(size=(SIZE * SIZE * 3, DIM)).astype(np.float32) / 255
    nodes = [
        helper.make_node("Cast", ["images"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["pixels", "flat"], ["vector"]),
        helper.make_node("MatMul", ["vector", "weights"], [output]),
    ]
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("images", input_type, ["n", "h", "w", 3])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["n", DIM])],
        [numpy_helper.from_array(weights, "weights"), numpy_helper.from_array(np.array([-1, SIZE * SIZE * 3]), "flat")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(model, props)
    onnx.save(model, path)
    return path


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return linear_encoder(tmp_path_factory.mktemp("runtime") / "encoder.onnx", to_props(metadata()))


@pytest.fixture(scope="module")
def encoder(file: Path) -> Encoder:
    return Encoder(file, threads=1)


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def test_the_file_tells_what_it_is(encoder: Encoder, file: Path) -> None:
    assert (encoder.latent_dim, encoder.image_size) == (DIM, SIZE)
    assert encoder.metadata["labels"] == ["cat", "dög"] and encoder.metadata["dataset"] == "7e5"
    assert encoder.mean.tolist() == metadata()["z_mean"] and encoder.std.dtype == np.float32
    assert str(file) in repr(encoder)


@pytest.mark.parametrize("shape", [(SIZE, SIZE, 3), (40, 23, 3), (7, 9, 3), (1, 1, 3)])
def test_path_image_and_array_of_one_picture_give_one_vector(encoder: Encoder, tmp_path: Path, shape: tuple[int, ...]) -> None:
    pixels = noise(*shape)
    image = Image.fromarray(pixels)
    path = tmp_path / "a.png"
    image.save(path)
    z = encoder.embed([str(path), path, image, pixels, np.asfortranarray(pixels)])
    assert z.shape == (5, DIM) and z.dtype == np.float32
    np.testing.assert_allclose(z, np.repeat(z[:1], 5, 0), atol=1e-5)


def test_a_turned_photo_is_upright_as_a_path_and_as_an_image(encoder: Encoder, tmp_path: Path) -> None:
    image = Image.fromarray(noise(24, 24, 3))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    image.save(tmp_path / "turned.png", exif=exif)
    by_path, by_image = encoder.embed([tmp_path / "turned.png", Image.open(tmp_path / "turned.png")])
    np.testing.assert_array_equal(by_path, by_image)
    np.testing.assert_array_equal(by_path, encoder.embed(image.transpose(Image.Transpose.ROTATE_270))[0])


def test_grey_arrays_of_every_shape_agree_with_their_rgb(encoder: Encoder) -> None:
    grey = noise(SIZE, SIZE)
    z = encoder.embed([grey, grey[:, :, None], np.repeat(grey[:, :, None], 3, 2), Image.fromarray(grey)])
    np.testing.assert_array_equal(z, np.repeat(z[:1], 4, 0))


def test_transparency_shows_white(encoder: Encoder) -> None:
    rgba = noise(SIZE, SIZE, 4)
    rgba[:, :, 3] = 0
    np.testing.assert_array_equal(encoder.embed(rgba), encoder.embed(np.full((SIZE, SIZE, 3), 255, np.uint8)))


def test_of_a_png_of_16_bits_the_transparent_value_shows_white(encoder: Encoder) -> None:
    file = io.BytesIO()
    Image.fromarray(np.asarray([[0, 65535], [1000, 0]], np.uint16)).save(file, "PNG", transparency=0)
    picture = Image.open(file)
    assert picture.mode == "I;16" and picture.info["transparency"] == 0
    assert np.asarray(to_rgb(picture))[:, :, 0].tolist() == [[255, 255], [4, 255]]


def test_vectors_come_in_the_order_of_the_pictures_whatever_their_kinds_and_sizes(encoder: Encoder, tmp_path: Path) -> None:
    items: list[Any] = []
    for i in range(23):
        pixels = noise(SIZE + i % 3 * 7, SIZE + i % 4 * 5, 3, seed=i)
        path = tmp_path / f"{i}.png"
        Image.fromarray(pixels).save(path)
        items.append((pixels, path, Image.fromarray(pixels))[i % 3])
    one_by_one = np.concatenate([encoder.embed(item) for item in items])
    assert len(np.unique(one_by_one, axis=0)) == 23
    for batch_size in (1, 4, 64):
        np.testing.assert_allclose(encoder.embed(items, batch_size=batch_size), one_by_one, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_an_array_of_pictures_is_a_list_of_pictures(encoder: Encoder, channels: int) -> None:
    pictures = noise(3, SIZE, SIZE, channels)
    np.testing.assert_array_equal(encoder.embed(pictures), encoder.embed(list(pictures)))


def test_one_picture_gives_one_row(encoder: Encoder) -> None:
    assert encoder.embed(noise(20, 30, 3)).shape == (1, DIM)


def test_an_iterator_is_read_a_batch_at_a_time(encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []
    seen: list[tuple[int, int]] = []  # pictures drawn so far and pictures of the batch, at each run
    run = encoder.run

    def pictures() -> Iterator[np.ndarray]:
        for i in range(10):
            drawn.append(i)
            yield noise(SIZE, SIZE, 3, seed=i)

    def watched(images: np.ndarray) -> np.ndarray:
        seen.append((len(drawn), len(images)))
        return run(images)

    monkeypatch.setattr(encoder, "run", watched)
    assert len(encoder.embed(pictures(), batch_size=4)) == 10
    assert seen == [(4, 4), (8, 4), (10, 2)]


def test_files_are_decoded_ahead_but_not_without_bound(encoder: Encoder, tmp_path: Path) -> None:
    drawn: list[int] = []

    def files() -> Iterator[Path]:
        for i in range(60):
            drawn.append(i)
            path = tmp_path / f"{i}.png"
            Image.fromarray(noise(SIZE, SIZE, 3, seed=i)).save(path)
            yield path

    seen = []
    for batch in encoder.stream(files(), batch_size=4, workers=2):
        seen.append(len(drawn))
        assert batch.z.shape == (4, DIM)
    assert seen[0] == 4 * AHEAD and max(b - a for a, b in pairwise(seen)) <= 4
    paths = sorted(tmp_path.glob("*.png"))
    one_by_one = np.concatenate([encoder.embed(path, workers=0) for path in paths])
    np.testing.assert_allclose(encoder.embed(paths, batch_size=7, workers=3), one_by_one, atol=1e-5)


def test_a_buffer_that_its_iterator_fills_again_is_read_in_time(encoder: Encoder, tmp_path: Path) -> None:
    Image.fromarray(noise(SIZE, SIZE, 3)).save(tmp_path / "a.png")
    buffer = np.zeros((SIZE, SIZE, 3), np.uint8)

    def items() -> Iterator[Any]:
        for i in range(20):
            buffer[:] = i
            yield buffer
            yield tmp_path / "a.png"

    wanted = encoder.embed([np.full((SIZE, SIZE, 3), i, np.uint8) for i in range(20)])
    np.testing.assert_allclose(encoder.embed(items(), batch_size=6, workers=2)[::2], wanted, atol=1e-5)


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """Ten pictures in folders, two broken ones, and what is none."""
    root = tmp_path / "album"
    for i in range(10):
        path = root / ("größe" if i % 2 else "a/b") / f"{i}.{('png', 'JPG', 'webp')[i % 3]}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise(20 + i, 30, 3, seed=i)).save(path)
    (root / "a" / "broken.jpg").write_bytes(b"\xff\xd8 no")
    (root / "zero.png").write_bytes(b"")
    (root / "notes.txt").write_text("none")
    (root / ".hidden.png").write_bytes(b"")
    return root


def test_a_folder_is_its_pictures_and_what_is_broken_is_reported_and_left_out(
    encoder: Encoder, album: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = encoder.embed_all(album, batch_size=3)
    assert found.names == sorted(found.names) and len(found.names) == 10 and found.z.shape == (10, DIM)
    assert [each.name for each in found.skipped] == ["a/broken.jpg", "zero.png"]
    assert sorted(found.indices + [each.place for each in found.skipped]) == list(range(12))
    assert "skipped: " in caplog.text and "broken.jpg" in caplog.text
    one_by_one = np.concatenate([encoder.embed(album / name) for name in found.names])
    np.testing.assert_allclose(found.z, one_by_one, atol=1e-5)
    np.testing.assert_allclose(encoder.embed(str(album)), one_by_one, atol=1e-5)
    with pytest.raises(PictureError, match=r"broken\.jpg"):
        encoder.embed(album, errors="raise")
    (album / "only").mkdir()
    with pytest.raises(ValueError, match="nothing to embed"):
        encoder.embed(album / "only")


def test_what_lies_in_a_folder_and_cannot_be_read_is_said(
    encoder: Encoder, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link to nowhere, a folder that is locked (to root, too, by a stand-in), and what is passed over without a word."""
    Image.fromarray(GOOD).save(tmp_path / "a.png")
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "round.png").symlink_to(tmp_path / "round.png")
    (tmp_path / "through.png").symlink_to(tmp_path / "a.png" / "b.png")
    (tmp_path / "notes.txt").symlink_to(tmp_path / "nowhere.txt")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "zz\x1b[31m\nno.png").write_bytes(b"no")
    (tmp_path / "locked").mkdir()
    scan = os.scandir

    def guarded(path: Any) -> Any:
        if str(path).endswith("locked/"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(walk.os, "scandir", lambda path: guarded(f"{path}/"))
    found = encoder.embed_all(tmp_path)
    assert found.names == ["a.png"] and [each.name for each in found.skipped] == [
        *("gone.png", "round.png", "through.png", "zz\x1b[31m\nno.png")
    ]
    (line,) = [r.getMessage() for r in caplog.records if "zz" in r.getMessage()]  # neither drives the terminal nor forges a line
    assert line.startswith(f"skipped: {tmp_path}/zz\\x1b[31m\\nno.png: not a picture")
    assert "no such file" in found.skipped[0].reason
    assert [r.getMessage() for r in caplog.records if "passed over" in r.getMessage()] == [
        f"passed over: {tmp_path / 'locked'}: Permission denied"
    ]


def test_what_is_broken_in_a_list_is_left_out_when_asked(encoder: Encoder, album: Path) -> None:
    items = [noise(9, 9, 3), album / "zero.png", album / "größe/1.JPG", album / "no.png"]
    found = encoder.embed_all(items, errors="skip")
    assert found.indices == [0, 2] and [each.place for each in found.skipped] == [1, 3]
    with pytest.raises(TypeError, match="item 1"):  # no damaged picture: a mistake
        encoder.embed([GOOD, 7], errors="skip")


def test_progress_counts_every_picture(encoder: Encoder, album: Path, capsys: pytest.CaptureFixture[str]) -> None:
    counts: list[int] = []
    encoder.embed(album, batch_size=5, progress=counts.append)
    assert counts == [5, 10, 12]
    encoder.embed(album, progress=True)
    assert "\n" not in capsys.readouterr().err.strip()


def test_more_names_than_fit_in_a_run_come_in_the_same_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"{'x' * (i % 3)}{i}/{i * 7 % 31}.png" for i in range(40)] + ["new\nline.png", "ü.png", os.fsdecode(b"\xff.png")]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.setattr(walk, "RUN", 6)
    assert list(pictures_in(tmp_path)) == sorted(names)
    with pytest.raises(NotADirectoryError, match="nowhere: no such folder"):
        list(pictures_in(tmp_path / "nowhere"))


def test_likeness_is_the_cosine() -> None:
    z = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    wanted = z @ z.T / np.outer(np.linalg.norm(z, axis=1), np.linalg.norm(z, axis=1))
    np.testing.assert_allclose(similarity(z), wanted, atol=1e-6)
    np.testing.assert_allclose(similarity(z[:2], 3 * z), wanted[:2], atol=1e-6)
    assert similarity(np.zeros((1, 4)), z).tolist() == [[0.0] * 6]


def test_neighbours_are_those_of_a_full_sort_whatever_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    z = np.random.default_rng(0).integers(-2, 3, (70, 3)).astype(np.float32)  # many ties
    wanted = np.argsort(-similarity(z[:20], z), axis=1, kind="stable")[:, :9]
    for cells in (1, 200, 1 << 20):
        monkeypatch.setattr(neighbours, "BLOCK_CELLS", cells)
        indices, cosines = nearest(z[:20], z, 9)
        np.testing.assert_allclose(cosines, np.take_along_axis(similarity(z[:20], z), wanted, 1), atol=1e-6)
        assert all(len(set(row)) == 9 for row in indices.tolist())
    assert nearest(z[:2], z[:5], 9)[0].shape == (2, 5)


def test_duplicates_are_linked_in_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    angles = np.deg2rad([0, 90, 3, 200, 6, 91, 300])
    z = np.stack([np.cos(angles), np.sin(angles)], 1)
    for cells in (1, 1 << 20):
        monkeypatch.setattr(neighbours, "BLOCK_CELLS", cells)
        assert duplicates(z, threshold=float(np.cos(np.deg2rad(4)))) == [[0, 2, 4], [1, 5]]  # 0 and 6 degrees through 3
        assert duplicates(z, threshold=1.0) == []
    with pytest.raises(ValueError, match=r"threshold: 1\.2"):
        duplicates(z, threshold=1.2)


def test_very_many_equals_are_grouped_in_time() -> None:
    z = np.ones((12_000, 4), np.float32)
    z[::3, 1] = -1
    started = time.process_time()
    assert [len(group) for group in duplicates(z)] == [4000, 8000]
    assert time.process_time() - started < 20  # 144 million pairs: minutes one by one


def test_groups_are_those_of_a_graph() -> None:
    rng = np.random.default_rng(0)
    for count in (1, 2, 50, 2000):
        for links in (0, count // 2, 3 * count):
            a, b = rng.integers(0, count, (2, links))
            groups = neighbours.Groups(count)
            groups.join(a[::2], b[::2])
            groups.join(a[1::2], b[1::2])
            matrix = coo_matrix((np.ones(links), (a, b)), shape=(count, count))
            total, labels = connected_components(matrix, directed=False)
            several = [np.flatnonzero(labels == k).tolist() for k in range(total)]
            assert groups.several() == sorted(group for group in several if len(group) > 1)


def test_the_strange_one_is_the_novel_one() -> None:
    rng = np.random.default_rng(0)
    z = np.concatenate([rng.normal((5, 0, 0), 0.1, (20, 3)), [[0, 0, 5]]])
    scores = novelty(z, k=3)
    assert scores.argmax() == 20 and scores[20] > 0.9 and scores[:20].max() < 0.01
    assert novelty(z[20:], z[:20])[0] == pytest.approx(scores[20], abs=0.05)
    equal = novelty(np.ones((8, 3)), k=2)  # a picture is not its own neighbour, also among equals
    np.testing.assert_allclose(equal, 0, atol=1e-6)
    with pytest.raises(ValueError, match="there are 1 in all"):
        novelty(z[:1])


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: similarity(np.zeros(3)), r"a has shape \(3,\)"),
        (lambda: similarity(np.zeros((2, 3)), np.zeros((2, 4))), "of 3 and of 4 numbers"),
        (
            lambda: nearest(np.zeros((2, 3)), np.full((2, 3), np.nan), 1),
            "bank holds values that are not finite or too large for latents, the first in row 0",
        ),
        (lambda: similarity(np.full((2, 3), 1e30)), "a holds values that are not finite or too large"),
        (lambda: nearest(np.zeros((2, 3)), np.zeros((2, 3)), 0), "k: 0"),
        (lambda: novelty(np.zeros((2, 3)), k=0), "k: 0"),
        (lambda: novelty(np.zeros((2, 3)), k=1.5), r"k: 1\.5"),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_compared_is_refused(call: Callable[[], object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        call()


def test_stats_standardises_and_l2_gives_unit_length(encoder: Encoder) -> None:
    pictures = noise(6, SIZE, SIZE, 3)
    z = encoder.embed(pictures)
    np.testing.assert_allclose(encoder.embed(pictures, normalize="stats"), (z - encoder.mean) / encoder.std, rtol=1e-6)
    both = encoder.embed(pictures, normalize="stats+l2")
    standard = encoder.embed(pictures, normalize="stats")
    np.testing.assert_allclose(both * np.linalg.norm(standard, axis=1, keepdims=True), standard, atol=1e-5)
    unit = encoder.embed(pictures, normalize="l2")
    np.testing.assert_allclose(np.linalg.norm(unit, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(unit * np.linalg.norm(z, axis=1, keepdims=True), z, atol=1e-5)
    assert np.isfinite(encoder.embed(np.zeros((SIZE, SIZE, 3), np.uint8), normalize="l2")).all()


def test_threads_share_an_encoder(encoder: Encoder) -> None:
    pictures = noise(32, SIZE, SIZE, 3)
    with ThreadPoolExecutor(8) as pool:
        rows = list(pool.map(encoder.embed, pictures))
    np.testing.assert_allclose(np.concatenate(rows), encoder.embed(pictures), atol=1e-5)


GOOD = np.zeros((SIZE, SIZE, 3), np.uint8)


@pytest.mark.parametrize(
    ("items", "error", "says"),
    [
        (np.zeros((SIZE, SIZE, 3), np.float32), TypeError, "the array has dtype float32"),
        ([GOOD, np.zeros((4, 4, 3), np.int64)], TypeError, "item 1 has dtype int64"),
        (np.zeros((2, 4, 4, 3), bool), TypeError, "the array has dtype bool"),
        (np.zeros((5, 8, 8), np.uint8), ValueError, r"the array has shape \(5, 8, 8\)"),
        (np.zeros(8, np.uint8), ValueError, r"the array has shape \(8,\)"),
        (np.uint8(3), TypeError, "uint8"),
        ([GOOD, np.zeros((4, 4, 2), np.uint8)], ValueError, r"item 1 has shape \(4, 4, 2\)"),
        ([np.zeros((1, 4, 4, 3), np.uint8)], ValueError, r"item 0 has shape \(1, 4, 4, 3\)"),
        (np.zeros((0, 4, 3), np.uint8), ValueError, "without pixels"),
        (np.zeros((2, 4, 4, 5), np.uint8), ValueError, r"\(2, 4, 4, 5\)"),
        ([], ValueError, "nothing to embed"),
        (iter(()), ValueError, "nothing to embed"),
        (np.zeros((0, 4, 4, 3), np.uint8), ValueError, "nothing to embed"),
        ([GOOD, 7], TypeError, "item 1 is an object of type int"),
        ([GOOD, None], TypeError, "item 1 is an object of type NoneType"),
        ([[GOOD]], TypeError, "item 0 is an object of type list"),
        (b"\x89PNG", TypeError, "type bytes"),
        ({"a.png": GOOD}, TypeError, "type dict"),
        (None, TypeError, "type NoneType"),
        (3.5, TypeError, "type float"),
        ("nowhere/lost.png", PictureError, r"nowhere/lost.png: no such file"),
        ([GOOD, Path("nowhere")], PictureError, "nowhere: no such file"),
        ([Image.new("RGB", (0, 5))], PictureError, "item 0"),
    ],
)
def test_what_is_no_picture_is_named(encoder: Encoder, items: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        encoder.embed(items)


@pytest.mark.parametrize("content", [b"", b"no picture", "truncated"])
def test_a_damaged_file_is_named(encoder: Encoder, tmp_path: Path, content: bytes | str) -> None:
    path = tmp_path / "broken.png"
    Image.fromarray(noise(64, 64, 3)).save(path)
    path.write_bytes(content if isinstance(content, bytes) else path.read_bytes()[:2000])
    with pytest.raises(PictureError, match=r"broken\.png"):
        encoder.embed([GOOD, path])
    if content == "truncated":
        with pytest.raises(PictureError, match="item 1"):
            encoder.embed([GOOD, Image.open(path)])


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"normalize": "max"}, "normalize: 'max'"),
        ({"batch_size": 0}, "batch_size: 0"),
        ({"batch_size": 2.5}, r"batch_size: 2\.5"),
        ({"errors": "ignore"}, "errors: 'ignore'"),
        ({"workers": -1}, "workers: -1"),
    ],
)
def test_impossible_settings_of_embed_are_refused(encoder: Encoder, settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        encoder.embed(GOOD, **settings)


@pytest.mark.parametrize(
    ("settings", "says"),
    [({"threads": -1}, "threads: -1"), ({"providers": ["FPGAExecutionProvider"]}, "no 'FPGAExecutionProvider'; it has .*CPU")],
)
def test_impossible_settings_of_the_encoder_are_refused(file: Path, settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Encoder(file, **settings)


@pytest.mark.parametrize("images", [GOOD, GOOD[None].astype(np.float32), GOOD[None, :0], GOOD[None, :, :, :1], [[1]]])
def test_run_takes_one_batch_of_uint8_rgb_and_nothing_else(encoder: Encoder, images: Any) -> None:
    with pytest.raises(ValueError, match=r"uint8 \(N, H, W, 3\)"):
        encoder.run(images)


def test_a_model_that_fails_or_gives_no_numbers_is_named(encoder: Encoder, file: Path, tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match=rf"{file}: the model failed at images \(1, 9, {SIZE}, 3\)"):
        encoder.run(noise(1, 9, SIZE, 3))  # this one is for one size alone
    model = onnx.load(file)
    weights = numpy_helper.to_array(model.graph.initializer[0]).copy()
    weights[0] = np.nan
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weights, "weights"))
    onnx.save(model, tmp_path / "nan.onnx")
    with pytest.raises(EncoderError, match=r"nan\.onnx: for this input the model gave z with values that are not finite"):
        Encoder(tmp_path / "nan.onnx").embed(GOOD)


def test_names_that_are_no_text_are_damage(file: Path, tmp_path: Path) -> None:
    content = file.read_bytes()
    assert content.count(b"\x12\x01h") == 1  # the name of an input's height, with its tag and length
    (tmp_path / "odd.onnx").write_bytes(content.replace(b"\x12\x01h", b"\x12\x01\xe2"))
    with pytest.raises(EncoderError, match=r"odd\.onnx: damaged: its metadata or its nodes' names are not Unicode"):
        Encoder(tmp_path / "odd.onnx")


def props_without(key: str) -> Callable[[Path], object]:
    return lambda path: linear_encoder(path, to_props(metadata(**{key: None})))


def props_with(**changes: Any) -> Callable[[Path], object]:
    return lambda path: linear_encoder(path, to_props(metadata(**changes)))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: None, "no such file"),
        (lambda path: path.mkdir(), "is a directory"),
        (lambda path: path.write_bytes(b""), "not a model that onnxruntime can load"),
        (lambda path: path.write_bytes(noise(5000).tobytes()), "not a model that onnxruntime can load"),
        (
            lambda path: path.write_bytes(linear_encoder(path, to_props(metadata())).read_bytes()[:-900]),
            "not a model that onnxruntime can load",
        ),
        (lambda path: linear_encoder(path, {}), "no soda.format"),
        (lambda path: linear_encoder(path, {"soda.format": "{"}), "soda.format is not JSON"),
        (props_with(format="1"), "soda.format is '1'"),
        (props_with(format=FORMAT + 1), "newer than the 1 that is read here"),
        (props_without("latent_dim"), "no soda.latent_dim"),
        (props_without("z_std"), "no soda.z_std"),
        (props_with(image_size=-3), "soda.image_size is -3"),
        (props_with(resize="fit"), "soda.resize is 'fit'"),
        (props_with(z_mean=[0.0] * 4), "soda.z_mean is not a list of 5"),
        (props_with(z_mean=[float("nan")] * 5), "soda.z_mean is not a list of 5 finite"),
        (props_with(z_mean=[1e39] * 5), "soda.z_mean is not a list of 5 finite"),
        (props_with(z_mean=[10**400] * 5), "soda.z_mean is not a list of 5 finite"),
        (props_with(z_std=[1e-50] * 5), "soda.z_std is not a list of 5 numbers above 0"),
        (
            lambda path: linear_encoder(path, to_props(metadata()) | {"soda.z_pictures": "9" * 5000}),
            "soda.z_pictures is not JSON",
        ),
        (props_with(z_std=[0.0] * 5), "soda.z_std is not a list of 5 numbers above 0"),
        (props_with(latent_dim=4, z_mean=[0.0] * 4, z_std=[1.0] * 4), r"float \(N, 4\)"),
        (lambda path: linear_encoder(path, to_props(metadata()), input_type=TensorProto.FLOAT), r"images is tensor\(float\)"),
        (lambda path: linear_encoder(path, to_props(metadata()), output="logits"), "no output z, only logits"),
    ],
)
def test_a_file_that_is_no_encoder_is_named_with_what_it_lacks(tmp_path: Path, make: Callable[[Path], object], says: str) -> None:
    path = tmp_path / "other.onnx"
    make(path)
    with pytest.raises(EncoderError, match=says) as caught:
        Encoder(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_metadata_comes_back_as_it_was_written() -> None:
    assert from_props({**to_props(metadata()), "other.key": "1"}) == metadata()
    with pytest.raises(MetadataError):
        from_props({})


def test_embedding_prepares_pictures_as_training_did(encoder: Encoder, tmp_path: Path) -> None:
    Image.fromarray(noise(37, 61, 3)).save(tmp_path / "a.png")
    prepared = to_square(load_picture(tmp_path / "a.png"), SIZE)
    np.testing.assert_array_equal(encoder.embed(tmp_path / "a.png"), encoder.run(prepared[None]))


def test_the_runtime_loads_no_torch_and_embeds_within_a_second(file: Path, tmp_path: Path) -> None:
    Image.fromarray(noise(300, 400, 3)).save(tmp_path / "a.jpg")
    code = (
        "import sys, time\n"
        "from soda.runtime import Encoder\n"
        "z = Encoder(sys.argv[1], threads=1).embed([sys.argv[2]])\n"
        "assert z.shape == (1, 5), z.shape\n"
        "heavy = {'torch', 'onnx', 'pandas', 'pyarrow', 'scipy', 'yaml'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "print(time.process_time())\n"  # of the processor, not of the clock: other work on the machine does not count
    )
    done = subprocess.run([sys.executable, "-c", code, file, tmp_path / "a.jpg"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 1.0
