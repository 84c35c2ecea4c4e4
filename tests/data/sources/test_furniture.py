"""Furniture libraries: a small one in the real format, from archive to manifest. Debian's package itself is needed by no test."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from soda.config import DatasetConfig
from soda.data.dataset import PreparedData
from soda.data.fetch import fetch
from soda.data.prepare import prepare
from soda.data.rendering import gl
from soda.data.sources import SourceError
from soda.data.sources.base import UnreachableError
from soda.data.sources.objects import furniture, sweethome
from soda.data.sources.objects.sweethome import label_of, read_catalogue, read_model, read_rules
from tests.support.prepared_factory import read_manifest
from tests.support.samples import MakeConfig
from tests.support.settings import ROOT

SHIPPED = yaml.safe_load((ROOT / "conf/dataset/objects/furniture.yaml").read_text())
CATALOGUE = """# a catalogue
id=Test
id#1=Test#chair
name#1=Ch\xe2ise chair
tags#1=Seat, Patio
category#1=Living room
model#1=/test/chair/chair.obj
width#1=50
depth#1=50
height#1=100
creator#1=A. Maker
id#2=Test#block
name#2=Block
tags#2=
category#2=Vehicles
model#2=/test/block/block.obj
width#2=200
depth#2=50
height#2=50
modelRotation#2=0 0 1 0 1 0 -1 0 0
creator#2=B. Maker
"""
BLOCK = """mtllib block.mtl
v 0 0 0
v 1 0 0
v 1 1 0
v 0 1 0
v 0 0 4
v 1 0 4
v 1 1 4
v 0 1 4
vt 0 0
vt 1 0
vt 1 1
vt 0 1
usemtl wood
f 1/1 2/2 3/3 4/4
f 5/1 6/2 7/3 8/4
f 1/1 2/2 6/3 5/4
usemtl red
f 4 3 7 8
f 1 4 8 5
f 2 3 7 6
"""


def library(folder: Path, **changes: str | bytes) -> dict[str, dict[str, str]]:
    """A library of a chair and a block in `folder`; `changes` replace what its files hold. Returns what `archives` says of it."""
    wood = io.BytesIO()
    Image.fromarray(np.full((4, 4, 3), (120, 80, 40), np.uint8)).save(wood, "PNG")
    files: dict[str, str | bytes] = {
        "PluginFurnitureCatalog.properties": CATALOGUE.encode("latin-1"),
        "test/chair/chair.obj": BLOCK,
        "test/chair/block.mtl": "newmtl red\nKd 0.9 0.1 0.1\nnewmtl wood\nKd 0 0 0\nmap_Kd WOOD.png\n",
        "test/chair/wood.png": wood.getvalue(),
        "test/block/block.obj": BLOCK,
        "test/block/block.mtl": "newmtl red\nKd 0.1 0.1 0.9\nd 0.5\n",
        **changes,
    }
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / "Test.sh3f", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    digest = hashlib.sha256((folder / "Test.sh3f").read_bytes()).hexdigest()
    return {"Test.sh3f": {"sha256": digest, "licence": "CC0-1.0"}}


def furniture_config(make: MakeConfig, folder: Path, archives: object, **changes: object) -> DatasetConfig:
    plan = {
        **SHIPPED,
        "archives": archives,
        "views": 4,
        "variants": 1,
        "variant_views": 2,
        "min_cover": 0.0,
        "leave_out": ["test-nothing"],
        **changes,
    }
    (folder / "plan.yaml").write_text(yaml.safe_dump(plan))
    return make(name="furniture", path=str(folder / "plan.yaml"), labels="category", image_size=16, max_unreadable=1.0)


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the Debian package would put its libraries; the package itself is out of reach."""
    places = furniture.places
    monkeypatch.setattr(furniture, "FOLDER", tmp_path / "usr-share")
    monkeypatch.setattr(furniture, "places", lambda earlier: places(earlier)[:2])
    return tmp_path / "usr-share"


def has_opengl() -> bool:
    try:
        gl.gl_renderer()
    except gl.RenderError:
        return False
    return True


needs_opengl = pytest.mark.skipif(
    not has_opengl(), reason="this machine draws no OpenGL: apt-get install libegl1 libgl1-mesa-dri"
)


@needs_opengl
def test_from_a_library_to_views_with_licence_author_and_class(tmp_path: Path, dataset_config: MakeConfig, shelf: Path) -> None:
    config = furniture_config(dataset_config, tmp_path, library(shelf))
    assert fetch(config, tmp_path / "raw")["objects"] == 2
    prepare(config, tmp_path / "raw", tmp_path / "prepared")
    table = read_manifest(tmp_path / "prepared")
    assert set(table["factor.model"]) == {"test-chair", "test-block"}
    chair = table[table["factor.model"] == "test-chair"]
    assert set(chair["label"]) == {"seat"} and set(chair["author"]) == {"A. Maker"} and set(chair["licence"]) == {"CC0-1.0"}
    assert set(chair["name"]) == {"Châise chair"} and chair["file"].str.startswith("Test.sh3f:test/chair/chair.obj#").all()
    assert set(table[table["factor.model"] == "test-block"]["label"]) == {"vehicle"}
    first = {row["id"]: row["sha256"] for row in table.to_dict("records")}
    prepare(config, tmp_path / "raw", tmp_path / "again")
    assert first == {row["id"]: row["sha256"] for row in read_manifest(tmp_path / "again").to_dict("records")}
    data = PreparedData(tmp_path / "prepared")
    for name in ("train", "val", "test"):
        for picture in data.split(name).gather(np.arange(len(data.split(name)))):
            assert picture.min() < 200 and (picture == 255).all(2).any()


@needs_opengl
def test_what_is_to_be_left_out_is(tmp_path: Path, dataset_config: MakeConfig, shelf: Path) -> None:
    config = furniture_config(dataset_config, tmp_path, library(shelf), leave_out=["test-block"])
    assert fetch(config, tmp_path / "raw")["objects"] == 1


@needs_opengl
def test_an_earlier_fetch_serves_the_next(tmp_path: Path, dataset_config: MakeConfig, shelf: Path) -> None:
    config = furniture_config(dataset_config, tmp_path, library(shelf))
    fetch(config, tmp_path / "raw")
    (shelf / "Test.sh3f").unlink()
    assert fetch(config, tmp_path / "raw")["from"] == "an earlier fetch"


def test_the_catalogue_turns_and_sizes_a_model(tmp_path: Path) -> None:
    library(tmp_path)
    with zipfile.ZipFile(tmp_path / "Test.sh3f") as archive:
        chair, block = (read_model(archive, model) for model in read_catalogue(archive, tmp_path / "Test.sh3f"))
    for mesh, (width, depth, height) in ((chair, (50, 50, 100)), (block, (200, 50, 50))):
        extent = np.ptp(mesh.vertices, axis=0)
        assert np.allclose(extent / extent[2], np.array([width, depth, height]) / height, atol=1e-5), "z is up"
    assert len(chair.textures) == 1 and not block.textures, "a texture is found whatever the case of its name, or left out"
    assert block.colours[:, 3].min() == 0.5


@needs_opengl
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"test/block/block.obj": "v 0 0 0\n"}, r"Test\.sh3f: test/block/block\.obj: it is empty"),
        ({"test/block/block.obj": "v 0 0 0\nf 1 2 9\n"}, r"block\.obj: line 2: .* no vertex 2"),
        ({"PluginFurnitureCatalog.properties": "id=x"}, r"lists no model"),
        ({"PluginFurnitureCatalog.properties": "name#1=x\n"}, r"entry 1 of its catalogue: KeyError: 'category'"),
        (
            {"PluginFurnitureCatalog.properties": CATALOGUE.replace("block.obj", "brick.obj").encode("latin-1")},
            r"no test/block/bri",
        ),
    ],
)
def test_a_bad_model_is_one_clear_error_and_leaves_nothing(
    tmp_path: Path, dataset_config: MakeConfig, shelf: Path, changes: dict[str, str], message: str
) -> None:
    config = furniture_config(dataset_config, tmp_path, library(shelf, **changes))
    with pytest.raises(SourceError, match=message):
        fetch(config, tmp_path / "raw")
    assert not (tmp_path / "raw").exists()


def test_an_entry_that_unpacks_to_too_much_is_never_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(sweethome.CATALOGUE, b"#" * 3000)
    monkeypatch.setattr(sweethome, "MOST_BYTES", 2999)
    with (
        zipfile.ZipFile(tmp_path / "bomb.zip") as archive,
        pytest.raises(SourceError, match=r"bomb\.zip: .*properties unpacks to 3,000 bytes, more than 2,999"),
    ):
        sweethome.read_catalogue(archive, tmp_path / "bomb.zip")


@needs_opengl
def test_a_mesh_whose_compressed_bytes_are_damaged_is_named(tmp_path: Path, dataset_config: MakeConfig, shelf: Path) -> None:
    archives = library(shelf)
    content = bytearray((shelf / "Test.sh3f").read_bytes())
    with zipfile.ZipFile(shelf / "Test.sh3f") as archive:
        entry = archive.getinfo("test/block/block.obj")
    start = entry.header_offset + 30 + len(entry.filename)
    assert entry.compress_type == zipfile.ZIP_DEFLATED
    content[start : start + 8] = bytes(8)
    (shelf / "Test.sh3f").write_bytes(bytes(content))
    archives["Test.sh3f"]["sha256"] = hashlib.sha256(content).hexdigest()
    config = furniture_config(dataset_config, tmp_path, archives)
    with pytest.raises(SourceError, match=r"test/block/block\.obj"):
        fetch(config, tmp_path / "raw")
    assert not (tmp_path / "raw").exists()


def test_without_opengl_nothing_is_fetched(
    tmp_path: Path, dataset_config: MakeConfig, shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import moderngl

    def broken(**settings: object) -> None:
        raise RuntimeError("libEGL.so.1: cannot open shared object file")

    monkeypatch.setattr(moderngl, "create_context", broken)
    monkeypatch.setattr(furniture, "gl_renderer", gl.GlRenderer)
    config = furniture_config(dataset_config, tmp_path, library(shelf))
    with pytest.raises(gl.RenderError, match=r"apt-get install -y libegl1 libgl1-mesa-dri"):
        fetch(config, tmp_path / "raw")
    assert not (tmp_path / "raw").exists()


def test_another_version_is_refused_and_every_place_is_named(tmp_path: Path, dataset_config: MakeConfig, shelf: Path) -> None:
    archives = library(shelf)
    archives["Test.sh3f"]["sha256"] = "0" * 64
    config = furniture_config(dataset_config, tmp_path, archives)
    if not has_opengl():
        return
    with pytest.raises(UnreachableError, match=r"(?s)an earlier fetch: no such folder.*its SHA-256 is .*another version"):
        fetch(config, tmp_path / "raw")


def test_the_shipped_plan_can_be_read_and_its_rules_class_by_whole_words(tmp_path: Path) -> None:
    rules = read_rules(SHIPPED["classes"], Path("furniture.yaml"))
    assert len({rule.label for rule in rules}) + 1 == 13 and len(SHIPPED["archives"]) == 5
    assert all(len(entry["sha256"]) == 64 for entry in SHIPPED["archives"].values())
    library(tmp_path)
    with zipfile.ZipFile(tmp_path / "Test.sh3f") as archive:
        model = read_catalogue(archive, tmp_path / "Test.sh3f")[0]
    for name, category, label in (
        ("Bedside table", "Bedroom", "table"),
        ("Desk lamp", "Lights", "lamp"),
        ("Seat Leon", "Vehicles", "vehicle"),
        ("Chairman", "Miscellaneous", "other"),
        ("Bath", "Bathroom", "sanitary"),
        ("Fork", "Kitchen", "kitchenware"),
    ):
        assert label_of(dataclasses.replace(model, name=name, category=category, tags=()), rules) == label
    with pytest.raises(SourceError, match=r"furniture\.yaml: classes, entry 1: .* must have a label"):
        read_rules([{"names": ["chair"]}], Path("furniture.yaml"))
