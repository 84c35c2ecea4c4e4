"""What a person's folder is trained with: a general model to begin with where there is one, size of the images, batch and length
of training, from how many pictures it holds and how large they are.

Chosen when params.yaml is composed, so that what a run was made with stands there and travels with the model. What somebody names
is never chosen. All choices train for some ten minutes on two idle CPU cores at most.
"""

from __future__ import annotations

import statistics
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from soda import layout
from soda.config import Config, from_dict, to_dict
from soda.config.migrate import migrate
from soda.data.sources.base import SourceError
from soda.data.sources.folder import list_pictures

GENERAL = layout.ZOO / "icons"
"""What others begin with, if it is there: its encoder has seen a million photographs, and the whole model many icons."""
LONGEST_GENERAL = 40_000
"""Images at most, where it begins with that: its steps take twice as long, and teach the denoiser alone."""
ENCODER_RATE = 0.0
"""Of the rate of learning, for its encoder: some thousand images would teach it to forget (docs/notebook/general-encoder.md)."""
LENGTHS = ((200, 20_000), (500, 50_000), (2_000, 100_000))
"""Below so many pictures, so many images: some hundred times each. Steps, so that a folder may grow without a new choice."""
LONGEST = 200_000
SMALL, LARGE = 32, 64
"""Pixels a side of the images. LARGE costs four times the time a picture: for large pictures of which there are few."""
LARGE_SIDE, LARGE_MOST = 96, 500
"""LARGE from this median of the shorter side (px) on, below this number of pictures."""
SMALL_BATCH = (1_000, 32)
"""Below so many pictures, so many a batch."""
_SAID = ("train.init", "dataset.image_size", "train.batch_size", "train.images")
_MEASURED = 200  # pictures whose size is read
_PARTS = {"log_every_images": 40, "checkpoint_every_images": 10, "warmup_images": 30}  # of the length, at least


def choose(values: dict[str, Any], overrides: Sequence[str]) -> str:
    """Set `dataset.image_size` and settings of `train` in composed `values` for the source `folder`, in place.

    Args:
        overrides: what a person said; a setting, a group or an experiment that is named there is left as it is.

    Returns:
        A line that says what was chosen and from what; "" where there was nothing to choose.
    """
    named = {key.lstrip("+"): value for key, _, value in (each.partition("=") for each in overrides)}
    root = Path(values["dataset"]["path"])
    if values["dataset"]["name"] != "folder" or named.get("experiment", "folder") != "folder" or not root.is_dir():
        return ""
    try:
        names, _ = list_pictures(root)
    except (SourceError, OSError):
        return ""  # fetch says it
    if not names:
        return ""
    side = median_side(root, names)
    general = _general(values, named)
    left = named.keys() - {"dataset"}  # dataset=folder is why anything is chosen
    if "train.images" in named:
        left |= {f"train.{name}" for name in _PARTS}
    chosen = chosen_for(len(names), side, general)
    chosen = {key: value for key, value in chosen.items() if key not in left and key.split(".")[0] not in left}
    if not chosen:
        return ""
    if general is not None:
        values["model"] = to_dict(general)["model"]
    for key, value in chosen.items():
        group, name = key.split(".")
        values[group][name] = value
    from_dict(values)
    said = " ".join(f"{key}={value}" for key, value in chosen.items() if key in _SAID)
    size = f", half of them at least {side:,} px a side" if side else ""
    return f"chosen from {len(names):,} pictures{size}: {said}; name any of them to set it yourself"


def _general(values: dict[str, Any], named: Mapping[str, str]) -> Config | None:
    """The settings of the general model, where it can be begun with; None where somebody shapes the model or the training, or the
    images do not fit it."""
    file, dataset = GENERAL / "config.yaml", values["dataset"]
    if not file.is_file() or any(key in ("model", "train", "train.init") or key.startswith("model.") for key in named):
        return None
    found = from_dict(migrate(yaml.safe_load(file.read_text(encoding="utf-8"))))
    size = dataset["image_size"] if "dataset.image_size" in named else found.dataset.image_size
    return found if dataset["channels"] == found.dataset.channels and size % found.model.downscale == 0 else None


def chosen_for(count: int, side: int, general: Config | None = None) -> dict[str, Any]:
    """The settings for `count` pictures whose shorter side is `side` px in the median (0: not known), by their full keys.

    general: the settings of the model to begin with, if any.
    """
    images = next((length for most, length in LENGTHS if count < most), LONGEST)
    chosen: dict[str, Any] = {
        "dataset.image_size": LARGE if side >= LARGE_SIDE and count < LARGE_MOST else SMALL,
        "train.batch_size": SMALL_BATCH[1] if count < SMALL_BATCH[0] else 64,
        "train.images": images,
    }
    if general is not None:
        chosen |= {"train.init": str(GENERAL), "train.encoder_lr_factor": ENCODER_RATE}
        # A supervised network would be drawn anew, and would take longer than all the rest of the evaluation; so do more draws.
        chosen |= {"evaluate.supervised": False, "evaluate.untrained_draws": 1}
        chosen |= {"diffusion.prediction": general.diffusion.prediction, "dataset.image_size": general.dataset.image_size}
        chosen["train.images"] = images = min(images, LONGEST_GENERAL)
    if images < LONGEST:
        chosen |= {f"train.{name}": images // part for name, part in _PARTS.items()}
    return chosen


def median_side(root: Path, names: Sequence[str]) -> int:
    """The median of the shorter side, px, by the headers of some pictures spread over the folder; 0 where none can be read."""
    from PIL import Image

    step = max(1, len(names) // _MEASURED)
    sides = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in names[::step]:
            if not (root / name).is_file():  # a pipe would wait for somebody to write
                continue
            try:
                with Image.open(root / name) as image:
                    sides.append(min(image.size))
            except Exception:  # Pillow raises whatever a damaged header leads to; prepare says it
                continue
    return int(statistics.median(sides)) if sides else 0
