"""Reading Sweet Home 3D's furniture libraries (.sh3f): a zip with a catalogue of properties, and for each model an OBJ file."""

from __future__ import annotations

import posixpath
import re
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from soda.data.rendering.mesh import Mesh, MeshError, normalise
from soda.data.rendering.obj import read_obj
from soda.data.sources.base import SourceError

CATALOGUE = "PluginFurnitureCatalog.properties"
_PROPERTY = re.compile(r"\s*(\w+)#(\d+)\s*=\s*(.*?)\s*$")
OTHER = "other"
MOST_BYTES = 200_000_000  # of one entry, unpacked


@dataclass(frozen=True)
class Model:
    """One entry of a catalogue."""

    id: str
    name: str
    category: str  # a room, mostly
    tags: tuple[str, ...]
    author: str
    path: str  # of the OBJ file in the archive
    size: tuple[float, float, float]  # width, depth, height: what the catalogue scales the model to
    rotation: tuple[float, ...] | None  # nine numbers, row by row, applied first


@dataclass(frozen=True)
class Rule:
    """A model that has one of these has the label."""

    label: str
    categories: tuple[str, ...] = ()
    names: tuple[str, ...] = ()  # whole words of its name, in lower case
    tags: tuple[str, ...] = ()

    def fits(self, model: Model) -> bool:
        words = set(re.findall(r"\w+", model.name.lower()))
        return model.category in self.categories or bool(words & set(self.names)) or bool(set(model.tags) & set(self.tags))


def label_of(model: Model, rules: Sequence[Rule]) -> str:
    """The label of the first rule that fits, else OTHER."""
    return next((rule.label for rule in rules if rule.fits(model)), OTHER)


def read_rules(values: Sequence[Any], path: Path) -> list[Rule]:
    """The list `classes` of a YAML file. Raises SourceError naming the entry."""
    rules = []
    for number, value in enumerate(values, 1):
        lists = {key: tuple(each) for key, each in value.items() if key != "label"} if isinstance(value, dict) else {}
        if not isinstance(value, dict) or not isinstance(value.get("label"), str) or set(lists) - {"categories", "names", "tags"}:
            raise SourceError(
                f"{path}: classes, entry {number}: {value!r} must have a label, and lists of categories, names and tags"
            )
        rules.append(Rule(value["label"], **lists))
    return rules


def _read(archive: zipfile.ZipFile, name: str) -> bytes:
    """An entry of the archive. Raises KeyError where there is none, MeshError for one that unpacks to more than MOST_BYTES."""
    entry = archive.getinfo(name)
    if entry.file_size > MOST_BYTES:  # no more than that is ever unpacked of it
        raise MeshError(f"{name} unpacks to {entry.file_size:,} bytes, more than {MOST_BYTES:,}")
    return archive.read(entry)


def read_catalogue(archive: zipfile.ZipFile, path: Path) -> list[Model]:
    """Every model, in the catalogue's order. Raises SourceError naming the archive and the entry that lacks something."""
    try:
        text = _read(archive, CATALOGUE).decode("latin-1")
    except KeyError:
        raise SourceError(f"{path}: no furniture library: there is no {CATALOGUE} in it") from None
    except MeshError as error:
        raise SourceError(f"{path}: {error}") from None
    entries: dict[int, dict[str, str]] = {}
    for line in text.splitlines():
        if found := _PROPERTY.match(line):
            entries.setdefault(int(found[2]), {})[found[1]] = found[3]
    if not entries:
        raise SourceError(f"{path}: its {CATALOGUE} lists no model")
    return [_model(number, entry, path) for number, entry in sorted(entries.items())]


def _model(number: int, entry: dict[str, str], path: Path) -> Model:
    try:
        rotation = tuple(float(x) for x in entry["modelRotation"].split()) if "modelRotation" in entry else None
        if rotation is not None and len(rotation) != 9:
            raise ValueError(f"modelRotation has {len(rotation)} numbers")
        return Model(
            id=f"{path.stem.lower()}-{entry.get('id', str(number)).rpartition('#')[2]}",
            name=entry["name"],
            category=entry["category"],
            tags=tuple(tag.strip() for tag in entry.get("tags", "").split(",") if tag.strip()),
            author=entry.get("creator", ""),
            path=entry["model"].lstrip("/"),
            size=(float(entry["width"]), float(entry["depth"]), float(entry["height"])),
            rotation=rotation,
        )
    except (KeyError, ValueError) as error:
        raise SourceError(f"{path}: entry {number} of its catalogue: {type(error).__name__}: {error}") from None


def read_model(archive: zipfile.ZipFile, model: Model) -> Mesh:
    """The model as the catalogue wants it, z up, normalised. Raises MeshError when it cannot be read or is empty."""
    folder = posixpath.dirname(model.path)
    inside = {name.lower(): name for name in archive.namelist()}

    def read(name: str) -> bytes | None:
        found = inside.get(posixpath.join(folder, posixpath.basename(name.replace("\\", "/"))).lower())
        return _read(archive, found) if found else None

    try:
        text = _read(archive, model.path).decode("latin-1")
    except KeyError:
        raise MeshError(f"there is no {model.path} in the archive") from None
    except (zipfile.BadZipFile, zlib.error, OSError) as error:
        raise MeshError(f"cannot be unpacked ({error})") from None
    mesh = read_obj(text, read)
    points = mesh.vertices.astype(np.float64)
    if model.rotation is not None:
        points = points @ np.asarray(model.rotation).reshape(3, 3).T
    width, depth, height = model.size
    used = points[np.unique(mesh.faces)]
    extent = used.max(0) - used.min(0)
    scale = np.where(extent > 1e-9, np.array([width, height, depth]) / np.maximum(extent, 1e-9), 1.0)
    x, y, z = (points * scale).T  # y is up there
    return normalise(replace(mesh, vertices=np.stack((x, -z, y), axis=1).astype(np.float32)))
