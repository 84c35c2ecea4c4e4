"""Objects seen by cameras, from plan to manifest: seeded, split by model, varied for training only, judged by the gate."""

from __future__ import annotations

import base64
import dataclasses
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from soda.config import DatasetConfig, GateConfig
from soda.data import prepare as prepare_module
from soda.data.dataset import DatasetError, PreparedData
from soda.data.fetch import fetch
from soda.data.gate.validate import validate
from soda.data.gate.verdict import GateError
from soda.data.pairs import find_partners
from soda.data.prepare import prepare
from soda.data.sources import SourceError
from soda.data.sources.objects import random_objects
from soda.geometry.cameras import COLUMNS, project
from soda.geometry.cameras import Camera as CameraOf
from soda.report.contact_sheet import contact_sheet
from tests.support.objects import PLAN
from tests.support.prepared_factory import make_prepared, read_manifest
from tests.support.samples import MakeConfig, snapshot
from tests.support.settings import DEFAULT

GATE = GateConfig(
    min_train=10,
    min_val=6,
    min_test=6,
    classes=None,
    labels=None,
    max_imbalance=100,
    min_side=16,
    min_std=0.01,
    reference=None,
    max_shift=0.1,
    allow_failure=False,
    encoder=None,
    factors=("model", "object"),
    held_apart="model",
    min_views=3,
)


def plan_file(folder: Path, **changes: object) -> str:
    path = folder / "plan.yaml"
    path.write_text(yaml.safe_dump({**PLAN, **changes}))
    return str(path)


def objects_config(make: MakeConfig, path: str, **settings: object) -> DatasetConfig:
    return make(name="random_objects", path=path, labels="none", image_size=16, val_fraction=0.25, test_fraction=0.3, **settings)


def made(folder: Path, config: DatasetConfig) -> PreparedData:
    fetch(config, folder / "raw")
    prepare(config, folder / "raw", folder / "prepared")
    return PreparedData(folder / "prepared")


@pytest.fixture
def data(tmp_path: Path, dataset_config: MakeConfig) -> PreparedData:
    return made(tmp_path, objects_config(dataset_config, plan_file(tmp_path)))


def test_one_seed_one_set_whatever_the_workers(
    tmp_path: Path, dataset_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare_module, "_CHUNK", 20)
    path = plan_file(tmp_path, variants=0, objects=8)
    for name, workers, seed in (("one", 1, 0), ("two", 2, 0), ("other", 1, 1)):
        made(tmp_path / name, objects_config(dataset_config, path, workers=workers, seed=seed))
    assert snapshot(tmp_path / "one") == snapshot(tmp_path / "two")
    one, other = (PreparedData(tmp_path / name / "prepared") for name in ("one", "other"))
    assert not set(one.column("sha256")) & set(other.column("sha256"))


def test_models_are_split_whole_and_only_those_of_train_are_varied(data: PreparedData) -> None:
    table = read_manifest(data.folder)
    assert (table.groupby("factor.model")["split"].nunique() == 1).all()
    assert set(table["split"]) == {"train", "val", "test"}
    views = table.groupby("factor.object").size()
    for name, count in views.items():
        assert count == (3 if "~" in str(name) else 6)
    varied = table[table["variant"] != ""]
    assert set(varied["split"]) == {"train"}
    assert len(varied["factor.object"].unique()) == 2 * len(table[table["split"] == "train"]["factor.model"].unique())
    assert varied.groupby("factor.object")["variant"].nunique().max() == 1, "one variant is the same in all its views"
    assert varied["variant"].str.contains("mirrored").any() and not varied["variant"].str.contains("mirrored").all()


def test_every_picture_shows_the_object_where_its_camera_looks(data: PreparedData) -> None:
    """The object is centred: the mean of what is not white lies where the origin projects, within its own radius."""
    split = data.split("test")
    assert split.cameras.shape == (len(split), len(COLUMNS)) and split.cameras.dtype == np.float32
    for picture, numbers in zip(split.gather(np.arange(len(split))), split.cameras.astype(float), strict=True):
        fx, fy, cx, cy, *pose = numbers.tolist()
        (uv,), (depth,) = project(np.zeros((1, 3)), CameraOf(fx, fy, cx, cy, tuple(pose)))
        assert PLAN["distance"][0] - 1e-3 <= depth <= PLAN["distance"][1] + 1e-3
        rows, columns = np.nonzero(picture.min(2) < 250)
        middle = np.array([columns.mean() + 0.5, rows.mean() + 0.5]) / 16
        assert np.abs(middle - uv).max() < 0.25
        border = np.concatenate((picture[0], picture[-1], picture[:, 0], picture[:, -1]))
        assert (border == 255).mean() > 0.9, "it does not fit into the picture"


def test_pairs_are_two_views_of_one_object(data: PreparedData) -> None:
    split = data.split("train")
    partners = find_partners(data, split, dataclasses.replace(DEFAULT.views.pairs, by="column", column="factor.object"))
    assert partners is not None and len(partners) == len(split)
    names = split.column("factor.object")
    targets = partners.draw(np.arange(len(partners)), np.random.default_rng(0))
    assert (names[partners.anchors] == names[targets]).all() and (partners.anchors != targets).all()


def test_views_that_show_too_little_are_listed_with_the_rule(tmp_path: Path, dataset_config: MakeConfig) -> None:
    config = objects_config(dataset_config, plan_file(tmp_path, min_cover=0.18, variants=0), max_unreadable=1.0)
    data = made(tmp_path, config)
    rejected = pd.read_csv(data.folder / "rejected.csv")
    assert 0 < len(rejected) < 72 and len(rejected) + data.summary["count"] == 72
    assert rejected["reason"].str.contains(r"nearly nothing to see: the object covers 1?\d\.\d\d% .*min_cover is 18\.00%").all()


def test_the_contact_sheet_has_a_row_for_each_object_and_its_variants(data: PreparedData, tmp_path: Path) -> None:
    sheet = contact_sheet(data.folder)
    assert sheet is not None
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(sheet.uri.partition(",")[2]))))
    held_out = min(6, len(set(data.split("test").column("factor.object"))))
    assert pixels.shape == (16 * (4 * 3 + held_out), 16 * 10, 3) and "The first 12 are trained on" in sheet.caption
    split = data.split("train")
    first = split.column("factor.object")[0]
    shown = split.gather(np.flatnonzero(split.column("factor.object") == first))
    assert (pixels[:16, : 16 * 6] == np.concatenate(list(shown), axis=1)).all() and (pixels[:16, 16 * 6 :] == 255).all()
    assert contact_sheet(make_prepared(tmp_path / "flat")) is None and contact_sheet(tmp_path / "nothing") is None


def test_the_gate_passes_them_and_counts_their_views(data: PreparedData, tmp_path: Path) -> None:
    assert validate(GATE, data.folder, tmp_path / "verdict.json", tmp_path / "docs")["success"]
    with pytest.raises(GateError, match=r"Objects with too few views: .*random-0.*~1: 3"):
        validate(dataclasses.replace(GATE, min_views=4), data.folder, tmp_path / "verdict.json", tmp_path / "docs")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"camera.fx": np.nan}, r"Pictures whose camera cannot be right: 1 .*missing or not finite"),
        ({"camera.place1": 3.0}, r"cannot be right: 1 .*behind the camera"),
        ({"camera.right0": 3.0}, r"cannot be right: 1 .*no rotation"),
        ({"factor.model": "p0059"}, r"Pictures whose model another split has too"),
    ],
    ids=["nan", "behind", "skewed", "torn"],
)
def test_the_gate_refuses_wrong_cameras_and_torn_models(tmp_path: Path, change: dict[str, object], message: str) -> None:
    pose = {
        "camera.fx": 1.2,
        "camera.fy": 1.2,
        "camera.cx": 0.5,
        "camera.cy": 0.5,
        **{f"camera.{part}{row}": 0.0 for part in ("right", "down", "forward", "place") for row in range(3)},
        "camera.right0": 1.0,
        "camera.down2": -1.0,
        "camera.forward1": 1.0,
        "camera.place1": -3.0,
    }

    def edit(manifest: pd.DataFrame) -> pd.DataFrame:
        manifest = manifest.assign(**pose)
        manifest["factor.model"] = manifest["factor.object"] = manifest["id"]
        for column, value in change.items():
            manifest.loc[3, column] = value
        return manifest

    folder = make_prepared(tmp_path / "prepared", edit=edit)
    gate = dataclasses.replace(GATE, min_side=1, min_views=1)
    with pytest.raises(GateError, match=message):
        validate(gate, folder, tmp_path / "verdict.json", tmp_path / "docs")


def test_the_gate_wants_every_number_of_a_camera_and_some_object(tmp_path: Path) -> None:
    folder = make_prepared(tmp_path / "half", edit=lambda manifest: manifest.assign(**{"camera.fx": 1.0}))
    with pytest.raises(GateError, match=r"absent or of the wrong kind: 15 \(camera\.fy: "):
        validate(dataclasses.replace(GATE, min_side=1), folder, tmp_path / "verdict.json", tmp_path / "docs")
    folder = make_prepared(tmp_path / "none")
    gate = dataclasses.replace(GATE, min_side=1, factors=(), held_apart=None)
    with pytest.raises(GateError, match=r"too few views: 1 \(there is no factor\.object: 0\)"):
        validate(gate, folder, tmp_path / "verdict.json", tmp_path / "docs")


def test_pictures_without_cameras_say_so(tmp_path: Path) -> None:
    data = PreparedData(make_prepared(tmp_path / "prepared"))
    with pytest.raises(DatasetError, match=r"no column 'camera\.fx'"):
        _ = data.split("train").cameras


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"views": 1}, r"plan\.yaml: views: 1 is not possible; it must be greater than or equal to 2"),
        ({"elevation": [40, 20]}, r"plan\.yaml: elevation: \(40\.0, 20\.0\) is not possible"),
        ({"elevation": 20}, r"plan\.yaml: elevation: 20 is not possible; it must be a list"),
        ({"distance": [0.5, 2]}, r"distance: .* above 1"),
        ({"objects": "many"}, r"objects: 'many' is not possible; it must be a valid integer"),
        ({"colour": 1}, r"plan\.yaml: colour: no such setting \(value 1\); known here: views, "),
    ],
)
def test_a_wrong_plan_is_one_clear_error(
    tmp_path: Path, dataset_config: MakeConfig, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(SourceError, match=message):
        fetch(objects_config(dataset_config, plan_file(tmp_path, **changes)), tmp_path / "raw")
    assert not (tmp_path / "raw").exists()


def test_what_was_fetched_otherwise_or_is_damaged_is_refused(tmp_path: Path, dataset_config: MakeConfig) -> None:
    config = objects_config(dataset_config, plan_file(tmp_path))
    fetch(config, tmp_path / "raw")
    with pytest.raises(SourceError, match=r"fetched with dataset\.seed=0, which is now 1"):
        random_objects.opened(dataclasses.replace(config, seed=1), tmp_path / "raw")
    with pytest.raises(SourceError, match=r"dataset\.labels: 'size' .* a factor: shape, hue"):
        random_objects.opened(dataclasses.replace(config, labels="size"), tmp_path / "raw")
    with (tmp_path / "raw/meshes.bin").open("r+b") as file:
        file.truncate(1000)
    with pytest.raises(SourceError, match=r"meshes\.bin: it is shorter than .*objects\.parquet says"):
        random_objects.opened(config, tmp_path / "raw")
    plan_file(tmp_path, views=7)
    with pytest.raises(SourceError, match=r"fetched with dataset\.path SHA-256"):
        random_objects.opened(config, tmp_path / "raw")


def test_a_mesh_that_changed_stops_the_preparation(tmp_path: Path, dataset_config: MakeConfig) -> None:
    config = objects_config(dataset_config, plan_file(tmp_path, objects=4))
    fetch(config, tmp_path / "raw")
    path = tmp_path / "raw/meshes.bin"
    path.write_bytes(b"\0" * path.stat().st_size)
    with pytest.raises(ValueError, match=r"meshes\.bin, from byte \d+: the mesh cannot be read .*; fetch again"):
        prepare(config, tmp_path / "raw", tmp_path / "prepared")
    assert not (tmp_path / "prepared").exists()
