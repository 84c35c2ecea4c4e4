"""Near vectors found among many, and copies told from mere likeness."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from benchmarks.duplicates_scale import THRESHOLD, draw, share_found
from soda.cli import main
from soda.runtime import duplicates
from soda.vectors import join, looks, spill
from soda.vectors.copies import told_apart, write_plan
from soda.vectors.grouped import group_table
from soda.vectors.join import near_groups
from soda.vectors.store import read_vectors

ENCODER = Path(__file__).parents[2] / "zoo/emoji/encoder.onnx"


def photo(seed: int) -> Image.Image:
    """320 x 240 px, smooth, with grain."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8)).resize((320, 240), Image.Resampling.BICUBIC)
    return Image.fromarray((np.asarray(coarse) + rng.normal(0, 5, (240, 320, 3))).clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize(("threshold", "width"), [(0.9, 32), (0.98, 32), (0.9999, 32), (0.9, 128), (0.99, 128)])
def test_cells_find_what_all_pairs_find(threshold: float, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spill, "PART_BYTES", 1 << 16)  # many files
    rng = np.random.default_rng(0)
    spread = np.geomspace(1, 0.05, width)
    z = rng.normal(size=(3000, width)) * spread
    noise = rng.uniform(0.02, 0.4, (600, 1)) * rng.normal(size=(600, width)) * spread
    z = np.concatenate([z, z[:600] + noise, z[:50]]).astype(np.float32)
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    expected = duplicates(z, threshold=threshold)
    found = near_groups(lambda: (z[at : at + 700] for at in range(0, len(z), 700)), threshold)
    assert len(expected) >= 40
    pairs = {(group[0], row) for group in expected for row in group[1:]}
    assert len(pairs - {(group[0], row) for group in found for row in group[1:]}) <= 0.005 * len(pairs)
    sure = duplicates(z, threshold=threshold - 4e-4)  # the rows wait rounded
    assert all(any(set(group) <= set(larger) for larger in sure) for group in found)


def test_a_crowd_in_one_cell_does_not_cost_its_square(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(join, "CROWD", 500)
    rng = np.random.default_rng(0)
    z = np.concatenate([np.ones((3000, 16)) + 0.01 * rng.normal(size=(3000, 16)), rng.normal(size=(500, 16))]).astype(np.float32)
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    assert near_groups(lambda: [z], 0.99)[0] == list(range(3000))


def test_planted_pairs_are_found_in_a_table_read_by_blocks(tmp_path: Path) -> None:
    planted = draw(tmp_path / "t.parquet", 8000)
    found = group_table(tmp_path / "t.parquet", THRESHOLD)
    assert share_found(found.groups, planted) >= 0.999 and found.count == 8000
    assert all(found.names[row] == f"{row:08d}.jpg" for group in found.groups for row in group)
    exact = duplicates(read_vectors(tmp_path / "t.parquet").z, threshold=THRESHOLD)
    assert len(found.groups) == len(exact) and [each.name for each in tmp_path.iterdir()] == ["t.parquet"]


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """A photograph in many forms, and others."""
    folder = tmp_path / "album"
    folder.mkdir()
    image = photo(1)
    image.save(folder / "photo.png")
    image.save(folder / "same.webp", lossless=True)
    image.save(folder / "saved.jpg", quality=60)
    image.resize((160, 120), Image.Resampling.LANCZOS).save(folder / "small.png")
    stamped = image.copy()
    ImageDraw.Draw(stamped).text((240, 220), "2026-11-27", fill="orange")
    stamped.save(folder / "stamped.png")
    image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(folder / "mirrored.png")
    Image.fromarray((np.asarray(image) * 0.8).astype(np.uint8)).save(folder / "darker.png")
    (folder / "again.png").symlink_to("photo.png")
    return folder


def kinds(paths: list[Path]) -> dict[str, tuple[str, str | None]]:
    members = told_apart(paths)
    return {paths[each.place].name: (each.kind, None if each.of is None else paths[each.of].name) for each in members}


def test_pictures_above_pillows_own_limit_are_looked_at_like_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [tmp_path / "a.png", tmp_path / "b.bmp"]
    for path in paths:
        photo(1).save(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 30_000)  # of twice as many it makes an error
    first, second = (member.look for member in told_apart(paths))
    assert first.plain and first.digest == second.digest
    assert [each.look for each in told_apart(paths, 320 * 240 - 1)] == [None, None]


def test_exact_near_and_similar_are_told_apart(album: Path) -> None:
    (album / "broken.png").write_bytes(b"no")
    assert kinds(sorted(album.iterdir())) == {
        "photo.png": ("keep", None),
        "same.webp": ("exact", "photo.png"),
        "again.png": ("link", "photo.png"),
        "saved.jpg": ("near", "photo.png"),
        "small.png": ("near", "photo.png"),
        "stamped.png": ("near", "photo.png"),
        "mirrored.png": ("similar", None),
        "darker.png": ("similar", None),
        "broken.png": ("unread", None),
    }


def test_what_a_thumbnail_does_not_show_is_no_copy(tmp_path: Path) -> None:
    """Transparency, further frames and 16 bits: as the encoder sees them these are one picture."""
    image = photo(2)
    image.save(tmp_path / "plain.png")
    clear = image.convert("RGBA")
    clear.save(tmp_path / "alpha.png")
    image.save(tmp_path / "film.gif", save_all=True, append_images=[photo(3)])
    grey = image.convert("L")
    grey.save(tmp_path / "grey.png")
    Image.fromarray(np.asarray(grey).astype(np.uint16) * 257).save(tmp_path / "deep.png")
    (tmp_path / "alpha copy.png").write_bytes((tmp_path / "alpha.png").read_bytes())
    found = kinds(sorted(tmp_path.iterdir()))
    assert {name for name, (kind, _) in found.items() if kind == "similar"} == {"plain.png", "film.gif", "grey.png", "deep.png"}
    assert found["alpha.png"] == ("exact", "alpha copy.png")


def test_no_near_copy_is_passed_over_before_it_is_looked_at() -> None:
    """Spots painted over and a change of all pixels, up to the very edge of what is near."""
    generator, near = np.random.default_rng(0), 0

    def look(thumb: np.ndarray) -> looks.Look:
        return looks.Look(Path("x"), 1, 64, 64, True, "", thumb.astype(np.uint8))

    for _ in range(300):
        thumb = generator.integers(0, 256, (64, 64, 3)).astype(float)
        other = np.clip(thumb + generator.choice([-1, 1], thumb.shape) * generator.uniform(2, 5), 0, 255)
        for tile in generator.choice(256, generator.integers(0, 8), replace=False):
            y, x = 4 * (tile // 16), 4 * (tile % 16)
            other[y : y + 4, x : x + 4] = 255 * (thumb[y : y + 4, x : x + 4].mean() < 128)
        a, b = look(thumb), look(other)
        if looks.are_near(a, b):
            near += 1
            assert np.abs(looks.coarse(a) - looks.coarse(b)).mean() <= looks.COARSE
            assert looks.may_be_near(looks.fine(a)[None].astype(np.float16), looks.fine(b)).all()
    assert 50 < near < 250


def test_two_takes_are_similar_and_not_copies(tmp_path: Path) -> None:
    """Frames of a burst: the same scene, something moved through it."""
    for number in range(3):
        image = photo(4)
        ImageDraw.Draw(image).ellipse((60 + 60 * number, 90, 110 + 60 * number, 150), fill="navy")
        image.save(tmp_path / f"{number}.jpg", quality=92)
    assert {kind for kind, _ in kinds(sorted(tmp_path.iterdir())).values()} == {"similar"}


def test_a_plan_keeps_one_of_each_and_deletes_nothing(album: Path, tmp_path: Path) -> None:
    paths = sorted(album.iterdir())
    files, size = write_plan(tmp_path / "plan.csv", [told_apart(paths)])
    with (tmp_path / "plan.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    goes = {Path(row["delete"]).name for row in rows}
    stays = {row["keep"] for row in rows}
    assert stays == {str(album / "photo.png")}
    assert goes == {"same.webp", "saved.jpg", "small.png", "stamped.png"}
    assert files == 4 and size == sum((album / name).stat().st_size for name in goes)
    assert sorted(album.iterdir()) == paths
    for row in rows:  # carried out, a picture of each remains
        Path(row["delete"]).unlink()
    assert {each.name for each in album.iterdir()} == {"photo.png", "again.png", "mirrored.png", "darker.png"}


def test_a_chain_of_copies_hangs_on_none_that_goes(tmp_path: Path) -> None:
    """Each a little darker than the one before: what goes must be near what stays, not near another that goes."""
    pixels = np.asarray(photo(5)).astype(np.float32)
    for step in range(8):
        Image.fromarray((pixels * 0.97**step).astype(np.uint8)).save(tmp_path / f"{step}.png")
    found = kinds(sorted(tmp_path.iterdir()))
    kept = {name for name, (kind, _) in found.items() if kind in ("keep", "similar")}
    assert len(kept) > 1 and all(of in kept for kind, of in found.values() if kind == "near")


@pytest.mark.parametrize("method", ["auto", "approximate"])
def test_on_the_command_line(album: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], method: str) -> None:
    photo(9).save(album / "other.png")
    encoder = ["--encoder", str(ENCODER), "--threads", "1"]
    main(["embed", str(album), "-o", str(tmp_path / "v.parquet"), *encoder])
    capsys.readouterr()
    about = [
        "--plan",
        str(tmp_path / "plan.csv"),
        "-o",
        str(tmp_path / "d.html"),
        "--method",
        method,
        "--threshold",
        "0.97",
        "--kinds",
    ]
    main(["duplicates", str(tmp_path / "v.parquet"), *about, *encoder])
    said = capsys.readouterr()
    rows = [line.split("\t") for line in said.out.splitlines()]
    assert ["0", "photo.png", "keep"] in rows and ["0", "same.webp", "exact", "photo.png"] in rows
    assert ["0", "saved.jpg", "near", "photo.png"] in rows and not any("other.png" in row for row in rows)
    assert "plan.csv: 4 files that could go" in said.err and "nothing was deleted" in said.err
    page = (tmp_path / "d.html").read_text(encoding="utf-8")
    assert "1 exact, 3 near" in page and "exact copy" in page
    assert len(list(album.iterdir())) == 9


def test_the_help_says_what_the_lines_do_not_mark(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["duplicates", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert "Pictures that are only similar are among them, and the lines do not mark these: --kinds does" in said
