"""818 textured models of furniture and other things (https://www.sweethome3d.com), of Debian's package sweethome3d-furniture.

`dataset.path` is a YAML file: the archives with their checksums and licences, how models are classed, and what every source of
meshes is told (plan.py). `fetch` turns the models into meshes; preparation draws them on OpenGL.
"""

from __future__ import annotations

import zipfile
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from soda.config import DatasetConfig
from soda.config.validated import settings
from soda.data.parallel import spread
from soda.data.rendering.gl import gl_renderer
from soda.data.rendering.mesh import MeshError, pack
from soda.data.sources.base import Opened, SourceError, read_described
from soda.data.sources.download import copy_from_folder, debian_package
from soda.data.sources.objects.plan import Plan
from soda.data.sources.objects.stored import COLUMNS, Objects, Stored, write_objects
from soda.data.sources.objects.sweethome import Model, Rule, label_of, read_catalogue, read_model, read_rules
from soda.data.sources.places import Place, first_place, made_with

__all__ = ["COLUMNS", "LICENCE", "fetch", "opened", "origin"]

LICENCE = "CC0-1.0, CC-BY-3.0 and CC-BY-3.0-US: Sweet Home 3D's libraries; author and licence of each model are in the manifest"
PACKAGE = "sweethome3d-furniture"
FOLDER = Path("/usr/share/sweethome3d/furniture")
_OWN = ("category",)
_JOB = 10  # models


@settings("")
class FurniturePlan(Plan):
    """What `dataset.path` says."""

    archives: Annotated[dict[str, Any], Field(min_length=1)]  # name -> sha256 and licence
    classes: Annotated[list[Any], Field(min_length=1)]  # rules, as `read_rules` takes them
    leave_out: Annotated[list[str], Field(min_length=1)]  # ids of models


def _read(config: DatasetConfig) -> FurniturePlan:
    plan = read_described(Path(config.path), FurniturePlan)
    for name, entry in plan.archives.items():
        if not isinstance(entry, dict) or set(entry) != {"sha256", "licence"} or "/" in name:
            raise SourceError(f"{config.path}: archives: {name}: {entry!r}; it must have sha256 and licence")
    return plan


def origin(config: DatasetConfig) -> str:
    return f"https://packages.debian.org/{PACKAGE}"


def fetch(config: DatasetConfig, raw: Path, earlier: Path) -> dict[str, Any]:
    """Fill `raw` with the archives, checked, and their models as meshes.

    Raises RenderError, before anything is downloaded, where there is no OpenGL to draw them with; SourceError naming the model
    that cannot be read; UnreachableError listing what was tried.
    """
    plan = _read(config)
    archives, rules = plan.archives, read_rules(plan.classes, Path(config.path))
    gl_renderer()
    sums = {name: entry["sha256"] for name, entry in archives.items()}
    remedy = f"\nEither let one of them be reached, or put {', '.join(archives)} into {FOLDER} by hand."
    place = first_place("the furniture", places(earlier), sums, raw, "sha256", remedy)
    jobs = []
    for name, entry in archives.items():
        with _archive(raw / name) as archive:
            models = [model for model in read_catalogue(archive, raw / name) if model.id not in plan.leave_out]
        jobs += [(raw / name, entry["licence"], rules, models[start : start + _JOB]) for start in range(0, len(models), _JOB)]
    count_of_models = sum(len(job[3]) for job in jobs)
    converted = spread(convert, jobs, config.workers, total=count_of_models, desc="convert", unit="model")
    total = write_objects(raw, converted, _OWN, made_with(config))
    return {"objects": total, "bytes": sum(path.stat().st_size for path in raw.iterdir()), "from": place}


def places(earlier: Path) -> list[Place]:
    """Where to look, in order: (name, function that puts the named files into a folder)."""
    return [
        ("an earlier fetch", partial(copy_from_folder, earlier)),
        (str(FOLDER), partial(copy_from_folder, FOLDER)),
        (f"the Debian package {PACKAGE}", partial(debian_package, PACKAGE, FOLDER)),
    ]


def _archive(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise SourceError(f"{path}: no zip archive ({error})") from None


def convert(path: Path, licence: str, rules: list[Rule], models: list[Model]) -> list[Stored]:
    """Some models of one archive, in a worker. Raises SourceError naming the one that cannot be read."""
    stored = []
    with _archive(path) as archive:
        for model in models:
            try:
                mesh = pack(read_model(archive, model))
            except MeshError as error:
                raise SourceError(f"{path.name}: {model.path}: {error}") from None
            factors = {"category": label_of(model, rules)}
            stored.append(Stored(model.id, model.name, model.author, licence, f"{path.name}:{model.path}", mesh, factors))
    return stored


def opened(config: DatasetConfig, raw: Path) -> Opened:
    """Every view. Raises SourceError when `raw` is not what `fetch` wrote."""
    return Objects(raw, made_with(config)).opened(config, _read(config), "opengl")
