"""Directions of z that change something in the picture: kept in one file beside the model, used by number or by a given name."""

from __future__ import annotations

import hashlib
import json
import math
import numbers
import operator
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from soda.common.errors import SodaError
from soda.common.files import file_sha256, whole_file
from soda.common.tensors import tensors_sha256

FORMAT = 1
SUFFIX = ".directions.safetensors"
EVALUATED = "directions.safetensors"
"""Beside the model folder: those that the evaluate stage found. A name given to one goes into the person's own file."""


class DirectionError(SodaError, ValueError):
    """A direction that does not exist, a name that is not possible, or a file of directions that cannot be used."""


class NoDirectionsError(DirectionError):
    """None have been found for this model yet."""


@dataclass(frozen=True)
class Direction:
    """A line through z. `vector` (D,) has length 1; moving by `sigma` along it is one standard deviation over the data set."""

    vector: Tensor
    sigma: float
    kind: str  # how it was found: pca, section, sparse or ica
    section: int | None  # the only section that it touches
    share: float  # of the variance of z
    change: float  # mean absolute difference of the pictures at -2 and +2 sigma, in [0, 1] of the grey scale
    name: str | None = None

    def __str__(self) -> str:
        where = self.kind if self.section is None else f"{self.kind} {self.section}"
        return f"{self.name or where}: change {self.change:.3f}, {self.share:.1%} of the variance of z"


@dataclass(frozen=True)
class Directions:
    """All directions of a model, those that change its pictures most first; a direction's number is its place.

    model: SHA-256 of the weights that they were found with. notes: how they were found (pictures, seed, data version).
    """

    items: tuple[Direction, ...]
    model: str
    notes: dict[str, Any]

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Direction]:
        return iter(self.items)

    def __getitem__(self, key: int | str) -> Direction:
        return self.items[self.number(key)]

    @property
    def names(self) -> dict[str, int]:
        """Given names and the numbers that they stand for."""
        return {item.name: number for number, item in enumerate(self.items) if item.name is not None}

    def number(self, key: int | str) -> int:
        """The number of a direction given by its number (3 or "3") or its name. Raises DirectionError for what does not exist."""
        if isinstance(key, str) and key in self.names:
            return self.names[key]
        try:
            number = int(key) if isinstance(key, str) else operator.index(key)
        except (ValueError, TypeError):
            number = -1
        if not 0 <= number < len(self.items):
            names = f" and the names {', '.join(self.names)}" if self.names else "; none has been given a name yet"
            raise DirectionError(f"direction {key!r} does not exist; this model has 0 to {len(self.items) - 1}{names}")
        return number

    def named(self, key: int | str, name: str | None) -> Directions:
        """The same directions, one of them with another name, or none. Raises DirectionError for a name that cannot be one."""
        number = self.number(key)
        if name is not None:
            name = name.strip()
            if not name or any(sign in name for sign in "=,\n") or name.lstrip("+-").isdigit():
                raise DirectionError(f"{name!r} cannot be a name: a name is a word that is no number and has no '=' or ','")
            if self.names.get(name, number) != number:
                raise DirectionError(f"direction {self.names[name]} is already called {name!r}")
        items = [replace(item, name=name) if i == number else item for i, item in enumerate(self.items)]
        return replace(self, items=tuple(items))

    def move(self, z: Tensor, amounts: Mapping[int | str, float]) -> Tensor:
        """z (B, D) moved by so many sigmas along each direction.

        Raises DirectionError for one that does not exist or is given twice (by number and by name), and for amounts that are
        not finite or lead z out of what float32 holds.
        """
        given: dict[int, int | str] = {}
        for key, amount in amounts.items():
            number = self.number(key)
            if number in given:
                raise DirectionError(f"direction {key!r} is given twice: {given[number]!r} is the same one")
            given[number], item = key, self.items[number]
            if not isinstance(amount, numbers.Real) or not math.isfinite(amount):
                raise DirectionError(f"direction {key!r}: {amount!r} is not possible; an amount is a finite number of sigmas")
            z = z + float(amount) * item.sigma * item.vector.to(z)
            if not bool(z.isfinite().all()):
                raise DirectionError(f"direction {key!r}: {amount!r} is too far: z would hold values that are not finite")
        return z


def directions_file(model_folder: Path) -> Path:
    """Where a model's directions are kept: beside its folder, which belongs to the train stage."""
    folder = model_folder.resolve()
    return folder.with_name(folder.name + SUFFIX)


def find_file(model_folder: Path) -> Path:
    """The person's file beside the folder, else the one that came inside it, else what the evaluation found beside it.

    Raises NoDirectionsError without any.
    """
    folder = model_folder.resolve()
    for file in (directions_file(folder), folder / ("model" + SUFFIX), folder.with_name(EVALUATED)):
        if file.is_file():
            return file
    raise NoDirectionsError(f"{model_folder}: no directions were found for this model yet; `soda directions` finds them")


def directions_of(model_folder: Path, latent_dim: int) -> Directions:
    """Those of `find_file`. Raises DirectionError when there are none, or they were found with other weights."""
    return load_directions(find_file(model_folder), model=weights_sha256(model_folder), latent_dim=latent_dim)


def usable_file(model_folder: Path, latent_dim: int) -> Path | None:
    """The file of `find_file` when it is about the folder's weights, None without any. Raises DirectionError for others."""
    try:
        file = find_file(model_folder)
    except NoDirectionsError:
        return None
    load_directions(file, model=weights_sha256(model_folder), latent_dim=latent_dim)
    return file


def weights_sha256(model_folder: Path) -> str:
    """What directions are tied to: another training gives another latent space."""
    return file_sha256(model_folder / "model.safetensors")


def save_directions(path: Path, directions: Directions) -> None:
    """Write them, whole or not at all: vectors and numbers as tensors, the rest as JSON in the metadata."""
    tensors = {
        "vectors": torch.stack([item.vector.float() for item in directions]).contiguous(),
        "sigma": torch.tensor([item.sigma for item in directions], dtype=torch.float64),
        "share": torch.tensor([item.share for item in directions], dtype=torch.float64),
        "change": torch.tensor([item.change for item in directions], dtype=torch.float64),
    }
    about: dict[str, Any] = {
        "format": FORMAT,
        "model": directions.model,
        "notes": directions.notes,
        "items": [{"kind": item.kind, "section": item.section, "name": item.name} for item in directions],
    }
    about["sha256"] = _checksum(tensors, about)
    with whole_file(path) as temporary:
        save_file(tensors, temporary, metadata={"soda": json.dumps(about, ensure_ascii=False)})
        temporary.chmod(0o644)  # safetensors keeps its files to their owner


def _checksum(tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> str:
    text = json.dumps([about, tensors_sha256(tensors)], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def load_directions(path: Path, *, model: str, latent_dim: int) -> Directions:
    """Read what `save_directions` wrote. Raises DirectionError for a damaged file, or one that is about other weights."""
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {})["soda"])
            tensors = {name: file.get_tensor(name) for name in ("vectors", "sigma", "share", "change")}
        vectors, (sigma, share, change) = tensors["vectors"], (tensors[name].tolist() for name in ("sigma", "share", "change"))
        if about["format"] != FORMAT:
            raise DirectionError(f"{path}: format {about['format']} is not read here, only {FORMAT}: update the package")
        if about.pop("sha256", None) not in (None, _checksum(tensors, about)):  # None: written before there were checksums
            raise DirectionError(f"{path}: altered since it was written; `soda directions --find` finds directions anew")
        rows = zip(vectors, sigma, about["items"], share, change, strict=True)
        items = tuple(Direction(v, s, item["kind"], item["section"], p, c, item["name"]) for v, s, item, p, c in rows)
        found = Directions(items, about["model"], about["notes"])
    except DirectionError:
        raise
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise DirectionError(f"{path}: not a readable file of directions ({error})") from error
    if found.model != model or vectors.shape[1:] != (latent_dim,):
        raise DirectionError(f"{path}: these directions were found with other weights; `soda directions --find` finds new ones")
    return found
