"""How pictures are prepared for somebody else's ONNX file: what its maker's README says, in a file of a few lines.

The file is plain YAML, a line `key: value` for each setting, `#` before a remark. It is read here without a YAML parser, which
the base install does not have: a value is a word, a number or a list of numbers in brackets.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from soda.common.checks import one_of, whole_number
from soda.common.errors import FileError, InputError
from soda.common.files import whole_file
from soda.runtime.preprocess import RESIZES

LAYOUTS = ("nchw", "nhwc")
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and deviation of red, green and blue in [0, 1] that most files trained on ImageNet ask for."""


@dataclass(frozen=True)
class Preprocessing:
    """size: px, of the square; layout: of the input, nchw or nhwc; range: what 0 and 255 become, before `mean` is taken off and
    `std` divided by, each of red, green and blue; output: name of the graph's output, "" where it has one; resize: crop or
    stretch. Raises InputError for an impossible value."""

    size: int = 224
    layout: str = "nchw"
    range: tuple[float, float] = (0.0, 1.0)
    mean: tuple[float, ...] = IMAGENET[0]
    std: tuple[float, ...] = IMAGENET[1]
    output: str = ""
    resize: str = "crop"

    def __post_init__(self) -> None:
        whole_number("size", self.size, 1, 4096)
        one_of("layout", self.layout, LAYOUTS)
        one_of("resize", self.resize, RESIZES)
        for key, count in (("range", 2), ("mean", 3), ("std", 3)):
            values = getattr(self, key)
            if not isinstance(values, (tuple, list)) or len(values) != count or not all(map(_is_number, values)):
                raise InputError(f"{key}: {values!r} is not possible; it must be {count} numbers in brackets")
            object.__setattr__(self, key, tuple(map(float, values)))
        if min(self.std) <= 0:
            raise InputError(f"std: {self.std!r} is not possible; it must be above 0")
        if not isinstance(self.output, str):
            raise InputError(f"output: {self.output!r} is not possible; it must be the name of an output")

    def tensor(self, squares: np.ndarray) -> np.ndarray:
        """uint8 RGB (N, size, size, 3) as the graph takes it: float32, (N, 3, size, size) or (N, size, size, 3)."""
        low, high = self.range
        x: np.ndarray = squares.astype(np.float32) * np.float32((high - low) / 255) + np.float32(low)
        x = (x - np.asarray(self.mean, np.float32)) / np.asarray(self.std, np.float32)
        return np.ascontiguousarray(x.transpose(0, 3, 1, 2) if self.layout == "nchw" else x)

    def key(self) -> str:
        """All of it as text, for fingerprints."""
        return json.dumps(asdict(self), sort_keys=True)


def read_preprocessing(path: str | os.PathLike[str]) -> Preprocessing:
    """Raises FileError for a file that cannot be read, InputError naming file and line for what is no setting."""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(f"{os.fspath(path)}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
    known, found = {field.name for field in fields(Preprocessing)}, dict[str, Any]()
    for number, line in enumerate(lines, 1):
        text = line.partition(" #")[0].strip()
        if not text or text.startswith("#"):
            continue
        key, colon, value = (part.strip() for part in text.partition(":"))
        if not colon or key not in known:
            raise InputError(f"{os.fspath(path)}: line {number}: {text[:60]!r} is no setting; known: {', '.join(sorted(known))}")
        found[key] = _value(value)
    try:
        return Preprocessing(**found)
    except InputError as error:
        raise InputError(f"{os.fspath(path)}: {error}") from None


def write_preprocessing(path: Path, settings: Preprocessing, remarks: dict[str, str]) -> None:
    """Write it so that `read_preprocessing` reads it. remarks: said behind each key."""
    lines = []
    for key, value in asdict(settings).items():
        text = json.dumps(list(value)) if isinstance(value, tuple) else json.dumps(value) if key == "output" else str(value)
        lines.append(f"{key}: {text}" + (f"  # {remarks[key]}" if key in remarks else ""))
    with whole_file(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text.strip("'\"")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
