"""The stages fetch, prepare and validate over a folder, and what the gate then says."""

from __future__ import annotations

import hashlib
import json
import shutil
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gate_faults.worlds import Picture, World, write_folder
from soda.common.errors import SodaError
from soda.config import Config, compose, from_dict
from soda.data.fetch import fetch
from soda.data.gate.validate import validate
from soda.data.prepare import prepare

Alter = Callable[[Path], None]
_SHOWN = 300  # characters of what was said


@dataclass(frozen=True)
class Said:
    """What became of a folder: "stop", "remark" or "" (nothing); the sentences, and the rows that they name."""

    how: str
    lines: tuple[str, ...]
    rows: frozenset[str]

    def about(self, planted: set[str]) -> dict[str, Any]:
        """For the record, and whether the fault is seen: said, with rows named; of planted ones half of the named at least."""
        right = len(self.rows & planted)
        seen = bool(self.how and self.rows) and (not planted or 2 * right >= len(self.rows))
        named = {"named": len(self.rows), **({"planted_among_them": right} if planted else {})}
        return {"seen": seen, "how": self.how or "nothing", **named, "said": [line[:_SHOWN] for line in self.lines[:3]]}


class Place:
    """A folder to work in: the pictures, what the stages leave, and the versions that were accepted."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.accepted = folder, folder / "accepted"

    def judge(self, world: World, pictures: Sequence[Picture], settings: Iterable[str] = (), alter: Alter | None = None) -> Said:
        """Put these pictures in the place of the ones before and let the stages go over them."""
        path = write_folder(pictures, self.folder / "pictures")
        labels = "folders" if world.labels else "none"
        asked = [f"dataset.image_size={world.size}", f"dataset.channels={world.channels}", f"dataset.labels={labels}"]
        config = from_dict(compose(["dataset=folder", f"dataset.path={path}", "dataset.workers=1", *asked, *settings]))
        return self.run(config, alter)

    def run(self, config: Config, alter: Alter | None = None) -> Said:
        """fetch, prepare, validate."""
        raw, prepared, verdict = self.folder / "raw", self.folder / "prepared", self.folder / "validation.json"
        verdict.unlink(missing_ok=True)
        try:
            fetch(config.dataset, raw)
            prepare(config.dataset, raw, prepared)
            if alter is not None:
                alter(prepared)
            validate(config.gate, prepared, verdict, self.folder / "data_docs", self.accepted)
        except SodaError as error:
            if not verdict.exists():  # a stage before the gate
                lines = str(error).splitlines()
                return Said("stop", tuple(lines), frozenset(line.strip().partition(": ")[0] for line in lines[1:-1]))
        found = json.loads(verdict.read_text())
        lines = tuple(line.replace(f"{self.folder}/", "") for line in (*found["failures"], *found["remarks"]))
        failed = [check for check in found["checks"] if not check["success"]]
        rows = frozenset(row["file"] or row["id"] for check in failed for row in check["failing_rows"])
        return Said("stop" if found["failures"] else "remark" if found["remarks"] else "", lines, rows)

    def keep(self) -> None:
        """Remember what is accepted now, for `forget`."""
        shutil.rmtree(self.folder / "kept", ignore_errors=True)
        shutil.copytree(self.accepted, self.folder / "kept")

    def forget(self) -> None:
        """What was accepted since `keep` was not."""
        shutil.rmtree(self.accepted, ignore_errors=True)
        shutil.copytree(self.folder / "kept", self.accepted)


def whole_fashion(place: Place, raw: Path, permuted: int) -> tuple[Said, Said]:
    """All of Fashion-MNIST, as the default takes it, and then with that many of its labels of train permuted: what is said."""
    names = [f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]
    files = place.folder / "raw"
    shutil.rmtree(files, ignore_errors=True)
    files.mkdir(parents=True)
    for name in names:
        shutil.copyfile(raw / name, files / name)

    def config() -> Config:
        sums = place.folder / "sums.md5"
        sums.write_text("".join(f"{hashlib.md5((files / name).read_bytes()).hexdigest()}  {name}\n" for name in names))
        return from_dict(compose([f"dataset.path={sums}", "dataset.workers=1"]))

    before = place.run(config())
    labels = np.fromfile(files / names[1], np.uint8, offset=8)
    rows = np.random.default_rng(9).choice(len(labels), permuted, replace=False)
    labels[rows] = labels[np.random.default_rng(10).permutation(rows)]
    (files / names[1]).write_bytes(struct.pack(">II", 0x0801, len(labels)) + labels.tobytes())
    return before, place.run(config())
