"""Folders called train, val and test: the splits that a person made of their pictures."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_NAMES = {
    "train": {"train", "training", "trainset"},
    "val": {"val", "valid", "validation", "valset", "dev", "devset", "eval", "evaluation"},
    "test": {"test", "tests", "testing", "testset", "holdout", "heldout"},
}
_BESIDE = {
    *("image", "images", "img", "imgs", "picture", "pictures", "pic", "pics", "photo", "photos", "jpg", "jpeg", "png"),
    *("set", "dataset", "data", "split", "files", "frames"),
}
"""Words that do not change what a name means: train_images, val2017, test set."""
_WORDS = re.compile(r"[^\W\d_]+|\d+")
_LEAST, _FEW = 0.5, 3
"""Of the pictures beneath one folder this share lies in those called as splits, or so few other folders lie beside them: else
train and test are two of many categories."""


def kind_of(name: str) -> str:
    """The split that the name of a folder means: "train", "val", "test", or "" for all other names."""
    words = _WORDS.findall(re.sub(r"(hold|held)[ _-]out", r"\1out", name.lower()))
    kinds = kinds_among(words)
    known = all(word.isdigit() or word in _BESIDE or kinds_among([word]) for word in words)
    return kinds.pop() if known and len(kinds) == 1 else ""


def kinds_among(words: Iterable[str]) -> set[str]:
    """The splits that words in small letters name."""
    return {kind for word in words for kind, names in _NAMES.items() if word in names}


def words_of(name: str) -> list[str]:
    """The words of a name, in small letters, without digits: "imagenet1k-validation-00" has imagenet, k and validation."""
    return [word for word in _WORDS.findall(name.lower()) if not word.isdigit()]


@dataclass(frozen=True)
class SplitFolders:
    """What the outermost folder called as a split says of each picture in it."""

    def split(self, path: str) -> str:
        """The split of a picture by its relative path; "" where it lies beside these folders."""
        place = _place(path)
        return "" if place < 0 else kind_of(path.split("/")[place])

    def without(self, path: str) -> str:
        """The path as it would be if these folders, which say nothing of what a picture shows, were not there."""
        parts, place = path.split("/"), _place(path)
        return path if place < 0 else "/".join(parts[:place] + parts[place + 1 :])

    def above(self, path: str) -> str | None:
        """The folders around the one that says the split, "" where there are none; None for a picture beside them."""
        place = _place(path)
        return None if place < 0 else "/".join(path.split("/")[:place])


def _place(path: str) -> int:
    """Which folder of a path is called as a split, -1 where none is."""
    return next((place for place, folder in enumerate(path.split("/")[:-1]) if kind_of(folder)), -1)


def find_split_folders(paths: Sequence[str]) -> SplitFolders | None:
    """The folders called as splits among the relative paths of pictures, None where there are none.

    It takes two kinds of them side by side (train and test, val and test) that hold most of what lies beneath their parent, or
    have few other folders beside them, and pictures that are left to train on. A category may be called train, too.
    """
    kinds: defaultdict[str, Counter[str]] = defaultdict(Counter)  # parent -> pictures of each kind; "" for those beside
    beside: defaultdict[str, set[str]] = defaultdict(set)
    for path in paths:
        parts = path.split("/")
        for place, folder in enumerate(parts[:-1]):
            parent, kind = "/".join(parts[:place]), kind_of(folder)
            kinds[parent][kind] += 1
            if not kind:
                beside[parent].add(folder)
    for parent, found in kinds.items():
        named = found.total() - found[""]
        if len([kind for kind, count in found.items() if kind and count]) > 1 and (
            named >= _LEAST * found.total() or len(beside[parent]) <= _FEW
        ):
            folders = SplitFolders()
            return folders if any(folders.split(path) in ("train", "") for path in paths) else None
    return None


def called_so(paths: Sequence[str]) -> list[str]:
    """The folders called val or test among the relative paths of pictures: what is to be said where they are not the splits."""
    found = {folder for path in paths for folder in path.split("/")[:-1] if kind_of(folder) in ("val", "test")}
    return sorted(found)


def labels_by_folder(names: Sequence[str]) -> dict[str, str]:
    """The first sub-folder of each picture by its relative path, folders called as splits passed over; none of pictures that lie
    in no other."""
    splits = find_split_folders(names)
    if splits is None and all("/" in name and kind_of(name.split("/", 1)[0]) for name in names):
        splits = SplitFolders()  # train alone, say
    inner = {name: splits.without(name) if splits else name for name in names}
    around = {splits.above(name) for name in names} if splits else set()
    if len(around) == 1 and (above := around.pop()):  # images/train/cat: no label is images
        inner = {name: path.removeprefix(f"{above}/") for name, path in inner.items()}
    return {name: path.split("/", 1)[0] for name, path in inner.items() if "/" in path}


def plain_labels(names: Sequence[str]) -> dict[str, str]:
    """`labels_by_folder` where these look like labels: each picture has one, and there are two or more, and at most half as many
    as pictures; else none."""
    labels = labels_by_folder(names)
    kinds = len(set(labels.values()))
    return labels if len(labels) == len(names) and 2 <= kinds <= max(2, len(names) / 2) else {}
