"""Folders called train, val and test: the splits that a person made of their pictures."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

_NAMES = {"train": "train|training", "val": "val|valid|validation", "test": "test|testing"}
_AFTER = r"(?:[ _-]?(?:images?|imgs?|set|data|\d{1,4}))?"  # train_images, train2017, test1
_KINDS = {kind: re.compile(rf"(?:{names}){_AFTER}", re.IGNORECASE) for kind, names in _NAMES.items()}
_LEAST = 0.5  # share of all pictures that must lie in such folders


def kind_of(folder: str) -> str:
    """The split that a folder's name means: "train", "val", "test", or "" for all other names."""
    return next((kind for kind, pattern in _KINDS.items() if pattern.fullmatch(folder)), "")


@dataclass(frozen=True)
class SplitFolders:
    """At which depth of the paths the folders are: 0 directly in the folder of pictures."""

    depth: int

    def split(self, path: str) -> str:
        """The split of a picture by its relative path; "" where it lies beside these folders."""
        folders = path.split("/")[:-1]
        return kind_of(folders[self.depth]) if len(folders) > self.depth else ""

    def without(self, path: str) -> str:
        """The path as it would be if these folders, which say nothing of what a picture shows, were not there."""
        if not self.split(path):
            return path
        parts = path.split("/")
        return "/".join(parts[: self.depth] + parts[self.depth + 1 :])


def find_split_folders(paths: Sequence[str]) -> SplitFolders | None:
    """The folders called as splits among the relative paths of pictures, None where there are none.

    It takes a train and a val or test at one depth, with half of the pictures in them: a category may be called train, too.
    """
    counts: defaultdict[int, Counter[str]] = defaultdict(Counter)
    for path in paths:
        for depth, folder in enumerate(path.split("/")[:-1]):
            if kind := kind_of(folder):
                counts[depth][kind] += 1
    for depth, found in sorted(counts.items()):
        if found["train"] and len(found) > 1 and found.total() >= _LEAST * len(paths):
            return SplitFolders(depth)
    return None


def labels_by_folder(names: Sequence[str]) -> dict[str, str]:
    """The first sub-folder of each picture by its relative path, folders called as splits passed over; none of pictures that lie
    in no other."""
    splits = find_split_folders(names)
    if splits is None and all("/" in name and kind_of(name.split("/", 1)[0]) for name in names):
        splits = SplitFolders(0)  # train alone, say
    inner = {name: splits.without(name) if splits else name for name in names}
    if splits and splits.depth and len({name.split("/", splits.depth)[0] for name in names}) == 1:
        inner = {name: path.split("/", splits.depth)[-1] for name, path in inner.items()}  # images/train/cat: no label is images
    return {name: path.split("/", 1)[0] for name, path in inner.items() if "/" in path}


def plain_labels(names: Sequence[str]) -> dict[str, str]:
    """`labels_by_folder` where these look like labels: each picture has one, and there are two or more, and at most half as many
    as pictures; else none."""
    labels = labels_by_folder(names)
    kinds = len(set(labels.values()))
    return labels if len(labels) == len(names) and 2 <= kinds <= max(2, len(names) / 2) else {}
