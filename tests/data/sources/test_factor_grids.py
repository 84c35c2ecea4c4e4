"""Sets whose factors form a grid: small files in the published formats, and the two that are drawn here."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from soda.config import compose, from_dict
from soda.data.dataset import PreparedData
from soda.data.fetch import fetch
from soda.data.prepare import prepare
from soda.data.rendering import shapes_room, sprites
from soda.data.sources import SourceError, dsprites_like, shapes3d_like
from soda.data.sources.published import dsprites, mpi3d
from soda.data.sources.published.smallnorb import PARTS
from tests.support.samples import MakeConfig, snapshot
from tests.support.settings import ROOT

RNG = np.random.default_rng(0)


def make(folder: Path, dataset_config: MakeConfig, name: str, path: Path, **settings: object) -> PreparedData:
    config = dataset_config(
        **{"name": name, "path": str(path), "labels": "shape", "image_size": 64, "duplicates": "keep", **settings}
    )
    fetch(config, folder / "raw")
    prepare(config, folder / "raw", folder / "prepared")
    return PreparedData(folder / "prepared")


def everything(data: PreparedData) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """By id: pixels, and the row of factors in words."""
    images, rows = {}, {}
    for name in ("train", "val", "test"):
        split = data.split(name)
        if len(split):
            columns = [split.column(f"factor.{factor}") for factor in data.factor_names]
            images |= dict(zip(split.ids, split.gather(np.arange(len(split))), strict=True))
            rows |= {
                key: dict(zip(data.factor_names, row, strict=True))
                for key, row in zip(split.ids, zip(*columns, strict=True), strict=True)
            }
    return images, rows


def test_3d_shapes(tmp_path: Path, dataset_config: MakeConfig) -> None:
    h5py = pytest.importorskip("h5py")
    images = RNG.integers(0, 256, (30, 64, 64, 3), dtype=np.uint8)
    labels = np.stack([[0.1 * (n % 10), 0.0, 0.9, 0.75 + 1 / 14, n % 4, -30 + 60 / 14 * (n % 15)] for n in range(30)])
    with h5py.File(tmp_path / "3dshapes.h5", "w") as file:
        file["images"], file["labels"] = images, labels
    data = make(tmp_path, dataset_config, "shapes3d", tmp_path)
    found, rows = everything(data)
    assert all((found[f"room-{n:06d}"] == images[n]).all() for n in range(30))
    assert rows["room-000003"]["shape"] == "capsule" and rows["room-000013"]["floor_hue"] == "0.3"
    assert len(data.factor_names["orientation"]) == 15 and data.label_names == ["capsule", "cube", "cylinder", "sphere"]
    (tmp_path / "3dshapes.h5").write_bytes(b"no HDF5" * 100)
    with pytest.raises(SourceError, match=r"3dshapes\.h5: cannot be read as the HDF5 file"):
        make(tmp_path, dataset_config, "shapes3d", tmp_path)


def test_dsprites(tmp_path: Path, dataset_config: MakeConfig) -> None:
    images = RNG.integers(0, 2, (24, 64, 64), dtype=np.uint8)
    classes = np.stack([[0, n % 3, n % 6, n % 4, n % 5, n % 7] for n in range(24)])
    path = tmp_path / dsprites.FILE
    np.savez_compressed(path, imgs=images, latents_classes=classes, metadata=np.array({"any": "thing"}))
    data = make(tmp_path, dataset_config, "dsprites", tmp_path, channels=1)
    found, rows = everything(data)
    assert all((found[f"sprite-{n:06d}"][..., 0] == 255 * images[n]).all() for n in range(24))
    assert rows["sprite-000010"] == {"shape": "ellipse", "scale": "04", "orientation": "02", "x": "00", "y": "03"}
    np.savez(path, imgs=images, latents_classes=classes[:20])
    with pytest.raises(SourceError, match=r"\.npz: its imgs are \(24, 64, 64\), with latents_classes of \(20, 6\)"):
        make(tmp_path, dataset_config, "dsprites", tmp_path, channels=1)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(SourceError, match=r"\.npz: cannot be read as the \.npz file of this set"):
        make(tmp_path, dataset_config, "dsprites", tmp_path, channels=1)


def test_mpi3d_counts_its_factors_in_order(tmp_path: Path, dataset_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mpi3d, "AXES", {"horizontal_axis": 2, "vertical_axis": 1})
    images = RNG.integers(0, 256, (6 * 6 * 2 * 3 * 3 * 2, 8, 8, 3), dtype=np.uint8)
    np.savez_compressed(tmp_path / "mpi3d_toy.npz", images=images)
    data = make(tmp_path, dataset_config, "mpi3d", tmp_path, image_size=8, labels="object_shape")
    found, rows = everything(data)
    assert (found["mpi3d_toy-0000217"] == images[217]).all()
    # 217 = ((((1 * 6 + 0) * 2 + 0) * 3 + 0) * 3 + 0) * 2 + 1 with 216 images a colour
    assert rows["mpi3d_toy-0000217"]["object_colour"] == "green" and rows["mpi3d_toy-0000217"]["horizontal_axis"] == "01"
    assert rows["mpi3d_toy-0000217"]["object_shape"] == "cone" and len(data.label_names) == 6
    np.savez(tmp_path / "mpi3d_real.npz", images=images)
    with pytest.raises(SourceError, match=r"one \.npz file .* there is mpi3d_real\.npz, mpi3d_toy\.npz"):
        make(tmp_path, dataset_config, "mpi3d", tmp_path)


def norb(values: np.ndarray) -> bytes:
    magic = 0x1E3D4C55 if values.dtype == np.uint8 else 0x1E3D4C54
    sizes = (*values.shape, *(1,) * (3 - values.ndim))
    return struct.pack(f"<II{len(sizes)}I", magic, values.ndim, *sizes) + values.astype(values.dtype.newbyteorder("<")).tobytes()


def test_smallnorb_keeps_its_splits_and_its_left_eye(tmp_path: Path, dataset_config: MakeConfig) -> None:
    images = {split: RNG.integers(0, 256, (20, 2, 96, 96), dtype=np.uint8) for split in PARTS}
    for split, name in PARTS.items():
        facts = np.array([[4 + n % 2, n % 9, 2 * (n % 18), n % 6] for n in range(20)], np.int32)
        cats = np.array([n % 5 for n in range(20)], np.int32)
        for kind, values in (("dat", images[split]), ("cat", cats), ("info", facts)):
            (tmp_path / f"{name}-{kind}.mat").write_bytes(norb(values))
    path = tmp_path / f"{PARTS['train']}-dat.mat"
    (tmp_path / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    settings = {"image_size": 96, "channels": 1, "labels": "category"}
    data = make(tmp_path, dataset_config, "smallnorb", tmp_path, **settings)
    test = data.split("test")
    assert (test.gather(np.arange(20))[..., 0] == images["test"][:, 0]).all()
    assert list(test.column("label")[:5]) == ["animal", "human", "plane", "truck", "car"]
    assert list(test.column("factor.azimuth")[:3]) == ["00", "01", "02"] and data.summary["splits"]["test"] == 20
    (tmp_path / f"{PARTS['test']}-cat.mat").write_bytes(b"MATLAB 5.0 MAT-file")
    with pytest.raises(SourceError, match=r"testing-cat\.mat: cannot be read as a file of SmallNORB \(its first number"):
        make(tmp_path, dataset_config, "smallnorb", tmp_path, **settings)


def test_cars3d(tmp_path: Path, dataset_config: MakeConfig) -> None:
    folder = tmp_path / "data" / "cars"
    folder.mkdir(parents=True)
    images = RNG.integers(0, 256, (2, 16, 16, 3, 24, 4), dtype=np.uint8)
    for car, values in zip(("a", "b"), images, strict=True):
        savemat(folder / f"car_{car}_mesh.mat", {"im": values})
    data = make(tmp_path, dataset_config, "cars3d", tmp_path, image_size=16, labels="none")
    found, rows = everything(data)
    assert len(found) == 192 and (found["car_b_mesh-05-3"] == images[1, ..., 5, 3]).all()
    assert rows["car_b_mesh-05-3"] == {"car": "001", "azimuth": "05", "elevation": "3"}
    with pytest.raises(SourceError, match=r"there is no \.mat file"):
        make(tmp_path, dataset_config, "cars3d", folder.parent / "other" if (folder.parent / "other").mkdir() is None else folder)


@pytest.mark.parametrize("name", ["shapes3d_like", "dsprites_like"])
def test_what_is_drawn_is_the_same_from_one_seed(tmp_path: Path, dataset_config: MakeConfig, name: str) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text("images: 60\n")
    settings = {"image_size": 16, "channels": 3 if name == "shapes3d_like" else 1}
    for folder, more in (("one", {"workers": 1}), ("two", {"workers": 2}), ("other", {"workers": 1, "seed": 1})):
        (tmp_path / folder).mkdir()
        make(tmp_path / folder, dataset_config, name, plan, **settings, **more)
    one, two, other = (snapshot(tmp_path / folder) for folder in ("one", "two", "other"))
    assert one == two and one != other
    data = PreparedData(tmp_path / "one/prepared")
    source = shapes3d_like if name == "shapes3d_like" else dsprites_like
    images, rows = everything(data)
    grid = source.GRID.factors
    for key, row in list(rows.items())[:5]:
        values = tuple(list(grid[factor]).index(row[factor]) for factor in grid)
        assert (images[key].squeeze() == source.draw(values, 16)).all()
    plan.write_text("images: 900000\n")
    with pytest.raises(SourceError, match="images is 900,000"):
        make(tmp_path / "one", dataset_config, name, plan, **settings)


def test_the_grids_have_the_sizes_of_the_published_sets() -> None:
    assert [len(each) for each in shapes3d_like.GRID.factors.values()] == [10, 10, 10, 8, 4, 15]
    assert [len(each) for each in dsprites_like.GRID.factors.values()] == [3, 6, 40, 32, 32]
    for name in ("shapes3d_like", "dsprites_like"):
        config = from_dict(compose([f"experiment={name}"], ROOT / "conf"))
        assert set(config.gate.factors) == set(shapes3d_like.GRID.factors if "3d" in name else dsprites_like.GRID.factors)


def test_a_hue_recolours_its_own_surface_alone() -> None:
    base = shapes_room.room(2, 4, 7, (0, 3, 6), 32).astype(int)
    floor, wall, thing = (shapes_room.room(2, 4, 7, hues, 32).astype(int) for hues in ((1, 3, 6), (0, 4, 6), (0, 3, 7)))
    changed = [np.abs(each - base).max(-1) > 0 for each in (floor, wall, thing)]
    weights = shapes_room.maps(2, 4, 7, 32)
    for k, where in enumerate(changed):
        assert where.sum() > 40 and not (where & (weights[..., k] == 0)).any()
    assert weights[:8, :, 0].max() == 0 and weights[-2:, :, 1].max() == 0  # walls above, floor below


def test_every_factor_of_a_room_is_seen() -> None:
    for values, other in (((0, 0), (0, 1)), ((1, 7), (1, 6)), ((2, 3), (2, 4)), ((3, 0), (3, 1))):
        shape, scale = values
        one = shapes_room.room(shape, scale, 7, (0, 3, 6), 32).astype(int)
        assert np.abs(one - shapes_room.room(shape, other[1], 7, (0, 3, 6), 32)).max() > 20  # a step of scale
        assert np.abs(one - shapes_room.room((shape + 1) % 4, scale, 7, (0, 3, 6), 32)).max() > 20
        assert np.abs(one - shapes_room.room(shape, scale, 8, (0, 3, 6), 32)).max() > 20  # a step of orientation


def test_a_sprite_is_where_it_is_said_to_be() -> None:
    for x, y in ((0, 0), (31, 0), (5, 20)):
        image = sprites.sprite(1, 3, 5, x, y, 64).astype(float)
        down, across = np.indices(image.shape)
        centre = np.array([(image * across).sum(), (image * down).sum()]) / image.sum() + 0.5
        assert centre == pytest.approx(64 * (0.2 + 0.6 * np.array([x, y]) / 31), abs=0.3)
    small, large = (sprites.sprite(0, scale, 0, 16, 16, 64).sum() for scale in (0, 5))
    assert large == pytest.approx(4 * small, rel=0.1)  # twice the side
    assert (sprites.sprite(0, 5, 10, 9, 9, 64) == sprites.sprite(0, 5, 0, 9, 9, 64)).mean() > 0.99  # a quarter turn of a square
