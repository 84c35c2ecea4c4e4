"""Objects seen by known cameras: NMR's renderings of ShapeNet (cameras in .npz), and folders as SRN has them (text files).

Every pose is turned into the convention of cameras.py here; what cannot be of the convention that the format states is refused.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from soda.data.sources.base import TRAIN, SourceError
from soda.data.sources.published.records import Contents, MissingError, Record, lines, wanted
from soda.geometry.cameras import Camera, CameraError, camera, y_up_to_z_up

FACTORS = ("model", "object")
_SPLITS = {"train": TRAIN, "val": "val", "test": "test"}
SHAPENET = {
    "02691156": "airplane",
    "02828884": "bench",
    "02933112": "cabinet",
    "02958343": "car",
    "03001627": "chair",
    "03211117": "display",
    "03636649": "lamp",
    "03691459": "loudspeaker",
    "04090263": "rifle",
    "04256520": "sofa",
    "04379243": "table",
    "04401088": "telephone",
    "04530566": "watercraft",
}
"""The classes of NMR's renderings, by the names of their folders."""


def read_nmr(root: Path) -> Contents:
    """<class>/<object>/image/*.png and cameras.npz, split by <class>/softras_<split>.lst (Kato et al. 2018, as DVR packs it).

    camera_mat_<k> maps camera coordinates to [-1, 1] from edge to edge, world_mat_<k> (3 or 4, 4) the world to a camera with y
    down and z forward, in a world whose y is up.
    """
    classes = sorted(path.parent for path in wanted(root).glob("*/softras_train.lst"))
    if not classes:
        raise MissingError(f"dataset.path: {root}: there is no <class>/softras_train.lst in it")

    def records() -> Iterator[Record]:
        for folder in classes:
            label = SHAPENET.get(folder.name, folder.name)
            for name, split in _SPLITS.items():
                for line in lines(folder / f"softras_{name}.lst"):
                    if line.strip():
                        yield from _nmr_object(root, folder / line.strip(), split, label)

    return Contents(records(), FACTORS)


def _nmr_object(root: Path, folder: Path, split: str, label: str) -> Iterator[Record]:
    path = wanted(folder / "cameras.npz")
    try:
        with np.load(path, allow_pickle=False) as file:
            matrices = {name: file[name] for name in file.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise SourceError(f"{path}: cannot be read ({error})") from None
    pictures = _pictures(folder / "image")
    _of_one_size(pictures, None)
    views = {_view_number(picture): picture for picture in pictures}
    missing = {int(found[1]) for name in matrices if (found := re.fullmatch(r"world_mat_(\d+)", name))} - set(views)
    if missing:
        raise SourceError(f"{folder / 'image'}: there is no picture of view {min(missing)}, whose camera is in {path.name}")
    for number, picture in sorted(views.items()):
        yield _record(root, picture, folder, split, label, _nmr_camera(path, matrices, number))


def _view_number(picture: Path) -> int:
    if not picture.stem.isdecimal():
        raise SourceError(f"{picture}: it is called after no view; the pictures of cameras.npz are 0000.png, 0001.png ...")
    return int(picture.stem)


def _nmr_camera(path: Path, matrices: dict[str, np.ndarray], number: int) -> Camera:
    try:
        inner = np.asarray(matrices[f"camera_mat_{number}"], np.float64)
        outer = np.asarray(matrices[f"world_mat_{number}"], np.float64)
    except KeyError as error:
        raise SourceError(f"{path}: the intrinsics or pose of view {number} are missing: there is no {error}") from None
    except (ValueError, TypeError) as error:
        raise SourceError(f"{path}: view {number}: its matrices are no numbers ({error})") from None
    if outer.shape not in ((3, 4), (4, 4)) or inner.ndim != 2 or min(inner.shape) < 3:
        raise SourceError(f"{path}: view {number}: matrices of {inner.shape} and {outer.shape}, not (4, 4) or (3, 4)")
    if len(outer) == 4 and np.abs(outer[3, :3]).max() > 1e-6:
        raise SourceError(f"{path}: view {number}: the last row of its world_mat is {outer[3].tolist()}, not 0, 0, 0, 1")
    turn, shift = outer[:3, :3], outer[:3, 3]
    pose = np.concatenate((turn.T, -(turn.T @ shift)[:, None]), axis=1)  # its inverse, when it is a rotation; else it is refused
    centre = (0.5 + inner[0, 2] / 2, 0.5 + inner[1, 2] / 2)
    try:
        return camera(y_up_to_z_up(pose), (float(inner[0, 0]) / 2, float(inner[1, 1]) / 2), centre)
    except CameraError as error:
        raise SourceError(f"{path}: view {number}: {error}") from None


def read_srn(root: Path) -> Contents:
    """<class>_<split>/<object>/ with intrinsics.txt, rgb/*.png and pose/*.txt of the same names (Sitzmann et al. 2019).

    A pose is camera to world, 4 x 4, of a camera with y down and z forward. intrinsics.txt begins with focal length and principal
    point in pixels, and ends with height and width.
    """
    inside = sorted(path for pattern in ("*", "*/*", "*/*/*") for path in wanted(root).glob(pattern) if path.is_dir())
    named = [(folder, match) for folder in inside if (match := re.match(r"([a-z]+).*_(train|val|test)$", folder.name))]
    around = {folder.parent for folder, _ in named}  # as chairs_train/chairs_2.0_train/
    folders = [(folder, match) for folder, match in named if folder not in around]
    if not folders:
        raise MissingError(f"dataset.path: {root}: there is no <class>_<train, val or test>/<object>/intrinsics.txt in it")

    def records() -> Iterator[Record]:
        for folder, match in folders:
            for each in sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith((".", "__"))):
                yield from _srn_object(root, each, _SPLITS[match[2]], match[1])

    return Contents(records(), FACTORS)


def _srn_object(root: Path, folder: Path, split: str, label: str) -> Iterator[Record]:
    rows = [_numbers(line, folder / "intrinsics.txt") for line in lines(folder / "intrinsics.txt") if line.strip()]
    # A last line of one number says whether the poses are world to camera.
    inverted = len(rows) > 1 and len(rows[-1]) == 1 and bool(rows.pop()[0])
    if len(rows) < 2 or len(rows[0]) < 3 or len(rows[-1]) != 2:
        raise SourceError(
            f"{folder / 'intrinsics.txt'}: it must begin with focal length and principal point and end with height and width"
        )
    (focal, cx, cy), (height, width) = rows[0][:3], rows[-1]
    if inverted or height != width or height <= 0:
        what = "its poses are from world to camera" if inverted else f"its pictures are of {width:g} x {height:g} px, not square"
        raise SourceError(f"{folder / 'intrinsics.txt'}: {what}")
    pictures = _pictures(folder / "rgb")
    _of_one_size(pictures, int(width))
    unseen = {path.stem for path in (folder / "pose").glob("*.txt")} - {picture.stem for picture in pictures}
    if unseen:
        raise SourceError(f"{folder / 'rgb'}: there is no picture {min(unseen)}, whose pose is there")
    for picture in pictures:
        path = folder / "pose" / f"{picture.stem}.txt"
        numbers = [number for line in lines(path) for number in _numbers(line, path)]
        if len(numbers) != 16:
            raise SourceError(f"{path}: {len(numbers)} numbers, a pose has 16")
        try:
            seen_by = camera(np.reshape(numbers, (4, 4)), focal / width, (cx / width, cy / height))
        except CameraError as error:
            raise SourceError(f"{path}: {error}") from None
        yield _record(root, picture, folder, split, label, seen_by)


def _record(root: Path, picture: Path, folder: Path, split: str, label: str, seen_by: Camera) -> Record:
    path, name = picture.relative_to(root).as_posix(), folder.relative_to(root).as_posix()
    return Record(path, split, label, path, factors={"model": name, "object": name}, camera=seen_by)


def _numbers(line: str, path: Path) -> list[float]:
    try:
        numbers = [float(token) for token in line.split()]
        if not np.isfinite(numbers).all():
            raise ValueError
        return numbers
    except ValueError:
        raise SourceError(f"{path}: {line.strip()[:60]!r} is no row of numbers") from None


def _pictures(folder: Path) -> list[Path]:
    found = sorted(path for path in wanted(folder).iterdir() if path.suffix.lower() in (".png", ".jpg", ".jpeg"))
    if not found:
        raise SourceError(f"{folder}: there is no picture in it")
    return found


def _of_one_size(pictures: list[Path], side: int | None) -> None:
    """Raises SourceError unless all are squares of one size, `side` px where the intrinsics say so. Reads the headers alone."""
    for path in pictures:
        try:
            with Image.open(path) as image:
                size = image.size
        except (OSError, ValueError):
            continue  # what cannot be read is rejected one by one when it is prepared
        side = side or size[0]
        if size != (side, side):
            raise SourceError(f"{path}: {size[0]} x {size[1]} px; the views of an object are to be {side} x {side} px")
