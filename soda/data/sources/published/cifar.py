"""CIFAR-10 and CIFAR-100 in their "python version": pickled batches of 32 x 32 px.

A pickle may run any program, so these are read by an unpickler that knows how to make arrays and nothing else.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from soda.data.sources.base import SourceError
from soda.data.sources.published.records import Contents, Record, inner, wanted

_SIDE = 32
_ALLOWED = {
    *((f"numpy.{core}.multiarray", "_reconstruct") for core in ("core", "_core")),
    *((f"numpy.{core}.numeric", "_frombuffer") for core in ("core", "_core")),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
}


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it wants {module}.{name}, which no batch of pictures needs")
        return super().find_class(module, name)


def read_cifar10(root: Path) -> Contents:
    """cifar-10-batches-py: 50,000 + 10,000 pictures in 10 classes."""
    folder = inner(root, "cifar-10-batches-py")
    parts = {f"data_batch_{number}": "train" for number in range(1, 6)} | {"test_batch": "test"}
    return _contents(folder, parts, "labels", _names(folder / "batches.meta", "label_names"))


def read_cifar100(root: Path) -> Contents:
    """cifar-100-python: 50,000 + 10,000 pictures in 100 classes; the factor `superclass` is one of 20."""
    folder = inner(root, "cifar-100-python")
    fine, coarse = (_names(folder / "meta", f"{kind}_label_names") for kind in ("fine", "coarse"))
    return _contents(folder, {"train": "train", "test": "test"}, "fine_labels", fine, coarse)


def _contents(folder: Path, parts: dict[str, str], key: str, names: list[str], coarse: list[str] | None = None) -> Contents:
    """parts: file -> split. coarse: names of superclasses."""
    for part in parts:
        wanted(folder / part)

    def records() -> Iterator[Record]:
        for part, split in parts.items():
            batch = _batch(folder / part)
            superclasses = [name for _, name in _pictures(folder / part, batch, "coarse_labels", coarse)] if coarse else []
            for number, (pixels, label) in enumerate(_pictures(folder / part, batch, key, names)):
                factors = {"superclass": superclasses[number]} if coarse else {}
                yield Record(f"{part}-{number:05d}", split, label, pixels=pixels, file=f"{part}#{number}", factors=factors)

    return Contents(records(), ("superclass",) if coarse else ())


def _batch(path: Path) -> dict[str, Any]:
    try:
        with wanted(path).open("rb") as file:
            batch = _ArraysOnly(file, encoding="latin1").load()
    except (pickle.UnpicklingError, EOFError, OSError, ValueError, TypeError, AttributeError, ImportError, IndexError) as error:
        raise SourceError(f"{path}: damaged, or no batch of CIFAR ({error})") from None
    if not isinstance(batch, dict):
        raise SourceError(f"{path}: holds a {type(batch).__name__}, no batch of CIFAR")
    return batch


def _names(path: Path, key: str) -> list[str]:
    names = _batch(path).get(key)
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise SourceError(f"{path}: holds no {key}")
    return names


def _pictures(path: Path, batch: dict[str, Any], key: str, names: list[str]) -> Iterator[tuple[np.ndarray, str]]:
    data, labels = batch.get("data"), batch.get(key)
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.ndim != 2 or data.shape[1] != 3 * _SIDE**2:
        raise SourceError(f"{path}: its data are no uint8 pictures of {_SIDE} px")
    if (
        not isinstance(labels, list)
        or len(labels) != len(data)
        or not all(isinstance(label, int) and 0 <= label < len(names) for label in labels)
    ):
        raise SourceError(f"{path}: its {key} are not one of {len(names)} classes for each of {len(data)} pictures")
    for planes, label in zip(data, labels, strict=True):
        yield planes.reshape(3, _SIDE, _SIDE).transpose(1, 2, 0), names[label]
