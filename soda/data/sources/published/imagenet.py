"""Folders of photographs by class: ImageNet's train/ and val/, and Tiny-ImageNet's with its lists of names."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from soda.data.sources.base import SourceError
from soda.data.sources.folder import EXTENSIONS
from soda.data.sources.published.records import Contents, Record, inner, lines, wanted


def read_imagenet(root: Path) -> Contents:
    """train/<class>/ and val/<class>/, as torchvision's ImageNet and ImageFolder have them; the label is the folder's name.

    Val is the test split, as is customary; a val split is drawn from train.
    """
    folders = {"train": wanted(root / "train"), "test": wanted(root / "val")}
    classes = {split: _folders(folder) for split, folder in folders.items()}
    unknown = sorted(set(classes["test"]) - set(classes["train"]))
    if unknown:
        raise SourceError(f"{folders['test'] / unknown[0]}: train has no class of this name")

    def records() -> Iterator[Record]:
        for split, names in classes.items():
            for name in names:
                yield from _pictures(root, folders[split] / name, split, name)

    return Contents(records())


def read_tiny_imagenet(root: Path) -> Contents:
    """tiny-imagenet-200: 100,000 + 10,000 photographs of 64 px in 200 classes. Its val is the test split (test has no labels)."""
    folder = inner(root, "tiny-imagenet-200")
    wnids = sorted(line.strip() for line in lines(folder / "wnids.txt") if line.strip())
    words = dict(line.split("\t", 1) for line in lines(folder / "words.txt") if "\t" in line)
    names = {wnid: f"{wnid} {words[wnid].split(',')[0].strip()}" if wnid in words else wnid for wnid in wnids}
    listed = [line.split("\t")[:2] for line in lines(folder / "val" / "val_annotations.txt") if line.strip()]
    for row in listed:
        if len(row) < 2 or row[1] not in names:
            raise SourceError(f"{folder / 'val/val_annotations.txt'}: {' '.join(row)!r} names none of the {len(names)} classes")
    for wnid in wnids:
        wanted(folder / "train" / wnid / "images")

    def records() -> Iterator[Record]:
        for wnid in wnids:
            yield from _pictures(root, folder / "train" / wnid / "images", "train", names[wnid])
        for file, wnid in sorted(listed):
            path = (folder / "val" / "images" / file).relative_to(root).as_posix()
            yield Record(path, "test", names[wnid], path)

    return Contents(records())


def _folders(path: Path) -> list[str]:
    names = sorted(entry.name for entry in os.scandir(path) if entry.is_dir() and not entry.name.startswith("."))
    if not names:
        raise SourceError(f"{path}: there is no folder of a class in it")
    return names


def _pictures(root: Path, folder: Path, split: str, label: str) -> Iterator[Record]:
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if os.path.splitext(entry.name)[1].lower() in EXTENSIONS and not entry.name.startswith("."):
            path = Path(entry.path).relative_to(root).as_posix()
            yield Record(path, split, label, path)
