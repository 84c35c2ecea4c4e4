"""NMR's .npz cameras and SRN's text files: small sets of these formats, drawn from known cameras, come out with those cameras."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from soda.data.dataset import PreparedData
from soda.data.fetch import fetch
from soda.data.prepare import prepare
from soda.data.rendering.procedural import random_object
from soda.data.rendering.views import drawer, picture
from soda.data.sources import SourceError
from soda.geometry.cameras import Camera, camera, focal_length, from_opengl, orbit
from tests.support.samples import MakeConfig

SIZE = 16
FOCAL = focal_length(40)
TO_Y_UP = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])  # our (x, y, z) is (x, z, -y) there


def views() -> list[tuple[Image.Image, Camera]]:
    generator = np.random.default_rng(0)
    found = []
    for number in range(4):
        draw = drawer(random_object(generator)[0], "numpy")
        for k in range(3):
            seen_by = camera(orbit(100 * k + 10 * number, 25, 3.1), FOCAL)
            found.append((Image.fromarray(picture(draw, seen_by, SIZE)[0]), seen_by))
    return found


def nmr(root: Path) -> list[Camera]:
    cameras = []
    for number, split in enumerate(("train", "train", "val", "test")):
        folder = root / "03001627" / f"object{number}"
        (folder / "image").mkdir(parents=True)
        matrices = {}
        for k, (image, seen_by) in enumerate(views()[3 * number : 3 * number + 3]):
            image.save(folder / "image" / f"{k:04d}.png")
            pose = TO_Y_UP @ seen_by.matrix
            turn = pose[:, :3].T
            matrices[f"world_mat_{k}"] = np.vstack((np.column_stack((turn, -turn @ pose[:, 3])), [0, 0, 0, 1]))
            matrices[f"camera_mat_{k}"] = np.diag([2 * FOCAL, 2 * FOCAL, 1, 1])
            cameras.append(seen_by)
        np.savez(folder / "cameras.npz", **matrices)
        with (folder.parent / f"softras_{split}.lst").open("a") as file:
            file.write(folder.name + "\n")
    return cameras


def srn(root: Path) -> list[Camera]:
    cameras = []
    for number, split in enumerate(("train", "train", "val", "test")):
        folder = root / f"cars_{split}" / f"object{number}"
        for name in ("rgb", "pose"):
            (folder / name).mkdir(parents=True)
        (folder / "intrinsics.txt").write_text(f"{FOCAL * SIZE} {SIZE / 2} {SIZE / 2} 0.\n0. 0. 0.\n1.\n{SIZE} {SIZE}\n")
        for k, (image, seen_by) in enumerate(views()[3 * number : 3 * number + 3]):
            image.save(folder / "rgb" / f"{k:06d}.png")
            matrix = np.vstack((seen_by.matrix, [0, 0, 0, 1]))
            (folder / "pose" / f"{k:06d}.txt").write_text(" ".join(map(str, matrix.ravel())))
            cameras.append(seen_by)
    return cameras


def made(tmp_path: Path, dataset_config: MakeConfig, name: str) -> PreparedData:
    config = dataset_config(name=name, path=str(tmp_path / "root"), labels="official", image_size=SIZE)
    fetch(config, tmp_path / "raw")
    prepare(config, tmp_path / "raw", tmp_path / "prepared")
    return PreparedData(tmp_path / "prepared")


@pytest.mark.parametrize(("name", "write", "label"), [("nmr", nmr, "chair"), ("srn", srn, "cars")])
def test_cameras_splits_and_objects_come_out_as_they_were(
    tmp_path: Path, dataset_config: MakeConfig, name: str, write: Callable[[Path], list[Camera]], label: str
) -> None:
    cameras = write(tmp_path / "root")
    data = made(tmp_path, dataset_config, name)
    assert data.summary["splits"] == {"train": 6, "val": 3, "test": 3} and data.label_names == [label]
    found = {
        split_id: numbers
        for part in ("train", "val", "test")
        for split_id, numbers in zip(data.split(part).ids, data.split(part).cameras, strict=True)
    }
    for key, wanted in zip(sorted(found, key=lambda key: key.split("/")[1]), cameras, strict=True):
        assert np.allclose(found[key], wanted.numbers, atol=1e-5), key
    objects = data.split("train").column("factor.object")
    assert len(set(objects)) == 2 and (objects == data.split("train").column("factor.model")).all()


def test_an_srn_split_inside_another_folder_of_its_name_is_found(tmp_path: Path, dataset_config: MakeConfig) -> None:
    """As the chairs of the published archive lie, with what a Mac leaves beside them."""
    srn(tmp_path / "root")
    inner = tmp_path / "root/cars_train/cars_2.0_train"
    inner.mkdir()
    for each in ("object0", "object1"):
        (tmp_path / "root/cars_train" / each).rename(inner / each)
    (inner / "__MACOSX").mkdir()
    assert made(tmp_path, dataset_config, "srn").summary["splits"] == {"train": 6, "val": 3, "test": 3}


Change = Callable[[Path], None]


def edit_npz(change: Callable[[dict[str, np.ndarray]], None]) -> Change:
    def apply(root: Path) -> None:
        path = root / "03001627/object1/cameras.npz"
        with np.load(path) as file:
            matrices = {key: file[key] for key in file.files}
        change(matrices)
        np.savez(path, **matrices)

    return apply


def opengl_pose(root: Path) -> None:
    path = root / "cars_train/object0/pose/000001.txt"
    path.write_text(" ".join(map(str, from_opengl(np.loadtxt(path).reshape(4, 4)).ravel())))


@pytest.mark.parametrize(
    ("name", "write", "change", "message"),
    [
        ("nmr", nmr, edit_npz(lambda m: m.__delitem__("camera_mat_2")), r"cameras\.npz: the intrinsics .* view 2 are missing"),
        ("nmr", nmr, edit_npz(lambda m: m.update(world_mat_1=m["world_mat_1"] * 2)), r"view 1: the pose is no rotation"),
        (
            "nmr",
            nmr,
            edit_npz(lambda m: m.update(world_mat_1=np.diag([1, -1, -1, 1]) @ m["world_mat_1"])),
            r"view 1: the object at the origin lies behind the camera",
        ),
        ("nmr", nmr, lambda root: (root / "03001627/object0/cameras.npz").write_bytes(b"PK"), r"cameras\.npz: cannot be read"),
        (
            "nmr",
            nmr,
            lambda root: Image.new("RGB", (8, 8)).save(root / "03001627/object0/image/0001.png"),
            r"0001\.png: 8 x 8 px; the views of an object are to be 16 x 16 px",
        ),
        ("nmr", nmr, lambda root: (root / "03001627/softras_train.lst").unlink(), r"there is no <class>/softras_train\.lst"),
        ("nmr", nmr, lambda root: (root / "03001627/object0/image/0001.png").unlink(), r"there is no picture of view 1"),
        ("srn", srn, lambda root: (root / "cars_val/object2/intrinsics.txt").unlink(), r"intrinsics\.txt: no such file"),
        ("srn", srn, lambda root: (root / "cars_val/object2/rgb/000000.png").unlink(), r"there is no picture 000000, whose pose"),
        ("srn", srn, opengl_pose, r"000001\.txt: the object at the origin lies behind the camera .* OpenGL's"),
        ("srn", srn, lambda root: (root / "cars_val/object2/pose/000000.txt").unlink(), r"pose/000000\.txt: no such file"),
        (
            "srn",
            srn,
            lambda root: (root / "cars_val/object2/pose/000000.txt").write_text("1 0 0 0 0 one"),
            r"000000\.txt: '1 0 0 0 0 one' is no row of numbers",
        ),
        (
            "srn",
            srn,
            lambda root: (root / "cars_val/object2/intrinsics.txt").write_text("20. 8. 8. 0.\n0. 0. 0.\n1.\n16 24\n"),
            r"intrinsics\.txt: its pictures are of 24 x 16 px, not square",
        ),
        (
            "srn",
            srn,
            lambda root: (root / "cars_val/object2/intrinsics.txt").write_text("20. 8. 8. 0.\n"),
            r"intrinsics\.txt: it must begin with focal length and principal point",
        ),
        (
            "srn",
            srn,
            lambda root: (root / "cars_val/object2/intrinsics.txt").write_text("20. 8. 8. 0.\n0. 0. 0.\n1.\ninf inf\n"),
            r"intrinsics\.txt: 'inf inf' is no row of numbers",
        ),
    ],
)
def test_a_wrong_file_is_one_clear_error_and_leaves_nothing(
    tmp_path: Path,
    dataset_config: MakeConfig,
    name: str,
    write: Callable[[Path], list[Camera]],
    change: Change,
    message: str,
) -> None:
    write(tmp_path / "root")
    change(tmp_path / "root")
    with pytest.raises(SourceError, match=message):
        made(tmp_path, dataset_config, name)
    assert not (tmp_path / "raw").exists()
